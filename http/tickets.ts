/** Tickets: what stands in for the session at the home after a redirect (API.md, "Redirection"). */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { NodeName } from '../node/ids.ts'
import { Fault } from '../node/faults.ts'
import { userIdSchema } from '../node/commands.ts'
import { hopsMax, ticketLifetimeMs, usedTicketsMax } from './limits.ts'
import type { SessionClaims, TokenSigner } from './tokens.ts'
import { seal, unseal } from './tokens.ts'

export const ticketParameter = 'souk_ticket'
const ticketVersion = 't1'

const ticketSchema = z.object({
  i: z.string().min(1),
  u: userIdSchema,
  h: z.string(),
  m: z.string(),
  p: z.string(),
  n: z.int().min(1).max(hopsMax),
  e: z.number(),
  s: z.object({ t: z.string().min(1), i: z.number(), e: z.number() }),
})

/** What a ticket is good for: one request, at one node. */
export type TicketScope = { readonly home: NodeName; readonly method: string; readonly path: string }

export class Tickets {
  readonly #signer: TokenSigner
  readonly #now: () => number
  /** Ids of used tickets with their end, oldest end first (every ticket lives equally long). */
  readonly #used = new Map<string, number>()

  constructor(signer: TokenSigner, now: () => number) {
    this.#signer = signer
    this.#now = now
  }

  /** `clockAheadMs`: of the home, whose clock will judge it. */
  issue(session: SessionClaims, scope: TicketScope, hops: number, clockAheadMs = 0): string {
    return seal(this.#signer, 'ticket', ticketVersion, {
      i: randomUUID(),
      u: session.user,
      h: scope.home,
      m: scope.method,
      p: scope.path,
      n: hops,
      e: this.#now() + clockAheadMs + ticketLifetimeMs,
      s: { t: session.id, i: session.issuedAtMs, e: session.expiresAtMs },
    })
  }

  /** Takes a ticket for this request and uses it up. Fault `unauthorized` when it is not good for it (any more). */
  redeem(raw: string, scope: TicketScope): { session: SessionClaims; hops: number } {
    const parsed = ticketSchema.safeParse(unseal(this.#signer, 'ticket', ticketVersion, raw))
    if (!parsed.success) throw refused('is not valid')
    const { i, u, h, m, p, n, e, s } = parsed.data
    const nowMs = this.#now()
    if (e <= nowMs || s.e <= nowMs) throw refused('has expired')
    if (h !== scope.home) throw refused('is for another node')
    if (m !== scope.method || p !== scope.path) throw refused('is for another request')
    this.#use(i, e, nowMs)
    return { session: { id: s.t, user: u, issuedAtMs: s.i, expiresAtMs: s.e }, hops: n }
  }

  #use(id: string, expiresAtMs: number, nowMs: number): void {
    for (const [old, endMs] of this.#used) {
      if (endMs > nowMs) break
      this.#used.delete(old)
    }
    if (this.#used.has(id)) throw refused('was used before')
    if (this.#used.size >= usedTicketsMax)
      throw new Fault('overloaded', 'too many redirected requests at once')
    this.#used.set(id, expiresAtMs)
  }
}

function refused(why: string): Fault {
  return new Fault('unauthorized', `the ticket ${why}; send the request again to the first node`)
}
