/** Session tokens: any node verifies them without asking anybody (DESIGN.md section 6). */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { UserId } from '../node/ids.ts'
import { isGuest } from '../node/ids.ts'
import { userIdSchema } from '../node/commands.ts'
import { sessionLifetimeMs } from './limits.ts'

/** Separate labels mean separate keys, so that a ticket never passes for a session (DESIGN.md section 8). */
export type TokenLabel = 'session' | 'ticket'

/** Implemented by the keyring. `keyId` and `signature` are of A–Z a–z 0–9 - _ only. */
export interface TokenSigner {
  /** Signs with the first key of the ring. */
  sign(label: TokenLabel, payload: string): { keyId: string; signature: string }
  /** Constant time in the signature; false for an unknown key id. */
  verify(label: TokenLabel, keyId: string, payload: string, signature: string): boolean
}

export type SessionClaims = {
  readonly id: string
  readonly user: UserId
  readonly issuedAtMs: number
  readonly expiresAtMs: number
}

/** No honest token is longer; it keeps garbage away from base64 and JSON. */
const tokenLengthMax = 2_000

/** `VERSION.PAYLOAD.KEYID.SIGNATURE`; the signature covers version and payload. */
export function seal(signer: TokenSigner, label: TokenLabel, version: string, payload: object): string {
  const signed = `${version}.${Buffer.from(JSON.stringify(payload)).toString('base64url')}`
  const { keyId, signature } = signer.sign(label, signed)
  return `${signed}.${keyId}.${signature}`
}

/** The payload of a token of this version with a good signature, else null. */
export function unseal(signer: TokenSigner, label: TokenLabel, version: string, raw: string): unknown {
  if (raw.length > tokenLengthMax) return null
  const parts = raw.split('.')
  const [given, payload, keyId, signature] = parts
  if (parts.length !== 4 || given !== version || !payload || !keyId || !signature) return null
  if (!signer.verify(label, keyId, `${given}.${payload}`, signature)) return null
  return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'))
}

const sessionVersion = 's1'
const sessionSchema = z.object({
  t: z.string().min(1),
  u: userIdSchema,
  k: z.enum(['guest', 'account']),
  i: z.number(),
  e: z.number(),
})

export class SessionTokens {
  readonly #signer: TokenSigner
  readonly #now: () => number

  constructor(signer: TokenSigner, now: () => number) {
    this.#signer = signer
    this.#now = now
  }

  /** `afterMs`: tokens that expire by then are refused, so this one lives a moment longer. */
  issue(user: UserId, afterMs = 0): { token: string; claims: SessionClaims } {
    const issuedAtMs = this.#now()
    const expiresAtMs = Math.max(issuedAtMs + sessionLifetimeMs, afterMs + 1)
    const claims = { id: randomUUID(), user, issuedAtMs, expiresAtMs }
    return { token: this.write(claims), claims }
  }

  /** The same session again (same id, same end), so that logging off ends every copy of it. */
  write(claims: SessionClaims): string {
    const kind = isGuest(claims.user) ? 'guest' : 'account'
    const { id: t, user: u, issuedAtMs: i, expiresAtMs: e } = claims
    return seal(this.#signer, 'session', sessionVersion, { t, u, k: kind, i, e })
  }

  /** Null when forged or expired. Whether it was revoked is the replica's knowledge. */
  read(raw: string): SessionClaims | null {
    const parsed = sessionSchema.safeParse(unseal(this.#signer, 'session', sessionVersion, raw))
    if (!parsed.success || parsed.data.e <= this.#now()) return null
    const { t, u, i, e } = parsed.data
    return { id: t, user: u, issuedAtMs: i, expiresAtMs: e }
  }
}
