/** Who is asking: shopper, administrator or nobody (API.md, "General"). */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Context } from 'hono'
import { generateCookie, getCookie } from 'hono/cookie'
import { Fault } from '../node/faults.ts'
import type { Replica } from '../node/replica-api.ts'
import type { SessionClaims, SessionTokens } from './tokens.ts'

export const sessionCookie = 'souk_session'
/** The back office's cookie: never read by the API, and sent to /admin only. */
export const adminCookie = 'souk_admin'
/** The name under which an administrator's changes are remembered; a word, no proof. */
export const adminNameCookie = 'souk_admin_name'

const adminNamePattern = /^[\p{L}\p{N}][\p{L}\p{M}\p{N} .,'_@-]{0,59}$/u

/** Administrators share one token, so they say who they are; null for what is no name. */
export function adminName(raw: string | undefined): string | null {
  const name = raw?.normalize('NFC').trim()
  return name !== undefined && adminNamePattern.test(name) ? name : null
}

export const adminNameHeader = 'Souk-Admin'

/** Header values are Latin-1 (RFC 9110, section 5.5), so other letters come percent-encoded as UTF-8. */
function decodedName(raw: string): string | undefined {
  try {
    return decodeURIComponent(raw)
  } catch {
    return undefined
  }
}

export type Credentials =
  | { readonly kind: 'none' }
  | { readonly kind: 'invalid' }
  | { readonly kind: 'admin' }
  | { readonly kind: 'session'; readonly token: string; readonly claims: SessionClaims }

export type Shopper = { readonly token: string; readonly claims: SessionClaims }

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS'])

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

export class Gate {
  readonly #replica: Replica
  readonly #tokens: SessionTokens
  readonly #adminHash: Buffer
  readonly #secureCookies: boolean
  readonly #now: () => number

  constructor(
    replica: Replica,
    tokens: SessionTokens,
    options: { adminToken: string; secureCookies: boolean; now: () => number },
  ) {
    this.#replica = replica
    this.#tokens = tokens
    this.#adminHash = sha256(options.adminToken)
    this.#secureCookies = options.secureCookies
    this.#now = options.now
  }

  /** Constant time over hashes (DESIGN.md section 8). */
  isAdminToken(token: string): boolean {
    return timingSafeEqual(sha256(token), this.#adminHash)
  }

  /** The session of a token, if it is good at this node now. */
  session(token: string): Shopper | null {
    const claims = this.#tokens.read(token)
    if (claims === null || !this.isGood(claims)) return null
    return { token, claims }
  }

  /** Not logged off, and not a guest of long ago. */
  isGood(claims: SessionClaims): boolean {
    return !this.#replica.users.isOver(claims) && !this.#replica.users.isExpired(claims.user)
  }

  /** The Authorization header decides when there is one; else the cookie. Fault `forbidden` for a cookie sent by another site. */
  credentials(context: Context): Credentials {
    const authorization = context.req.header('authorization')
    if (authorization !== undefined) {
      const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
      if (token === undefined) return { kind: 'invalid' }
      return this.isAdminToken(token) ? { kind: 'admin' } : this.#sessionOf(token)
    }
    const cookie = getCookie(context, sessionCookie)
    if (cookie === undefined) return { kind: 'none' }
    this.requireSameOrigin(context)
    return this.#sessionOf(cookie)
  }

  #sessionOf(token: string): Credentials {
    const shopper = this.session(token)
    return shopper === null ? { kind: 'invalid' } : { kind: 'session', ...shopper }
  }

  /**
   * Cookies come along by themselves, so a change that rests on one must come from our own pages. Browsers
   * say where from (Fetch Metadata, else Origin); clients that say neither are no browsers. SameSite=Lax and
   * the required JSON type are the other two walls.
   */
  requireSameOrigin(context: Context): void {
    if (safeMethods.has(context.req.method)) return
    const site = context.req.header('sec-fetch-site')
    if (site === 'same-origin' || site === 'none') return
    const origin = context.req.header('origin')
    if (site === undefined && (origin === undefined || this.#isOwn(context, origin))) return
    throw new Fault('forbidden', 'a cookie is not taken from a page of another site; send a bearer token')
  }

  #isOwn(context: Context, origin: string): boolean {
    const host = URL.parse(origin)?.host
    if (host === undefined) return false
    return host === new URL(context.req.url).host || host === new URL(this.#replica.self.url).host
  }

  /** A shopper's session, or Fault `unauthorized`; the administrator has no cart: `forbidden`. */
  shopper(context: Context): Shopper {
    const given = this.credentials(context)
    switch (given.kind) {
      case 'session':
        return given
      case 'admin':
        throw new Fault('forbidden', 'the administrator token is not a shopper; send a session token')
      case 'none':
        throw new Fault('unauthorized', 'this needs a session token')
      case 'invalid':
        throw new Fault('unauthorized', 'the token is not valid (any more)')
      default: {
        const never: never = given
        throw new Error(`unknown credentials ${JSON.stringify(never)}`)
      }
    }
  }

  /** Only the bearer token counts here: no cookie ever gives administration. */
  admin(context: Context): void {
    const given = this.credentials(context)
    if (given.kind === 'admin') return
    if (given.kind === 'session') throw new Fault('forbidden', 'this is for administrators')
    throw new Fault('unauthorized', 'this needs the administrator token')
  }

  /** The name of header `Souk-Admin`, for the history of changes; `admin` when there is none. Fault `invalid-request`. */
  adminName(context: Context): string {
    const raw = context.req.header(adminNameHeader)
    if (raw === undefined) return 'admin'
    const name = adminName(decodedName(raw))
    if (name === null)
      throw new Fault('invalid-request', `${adminNameHeader}: 1 to 60 letters, digits, spaces and .,'_@-`)
    return name
  }

  /** Set-Cookie for the session; it ends with the token. */
  cookie(shopper: Shopper): string {
    return generateCookie(sessionCookie, shopper.token, {
      httpOnly: true,
      sameSite: 'Lax',
      secure: this.#secureCookies,
      path: '/',
      maxAge: Math.max(0, Math.floor((shopper.claims.expiresAtMs - this.#now()) / 1000)),
    })
  }

  clearedCookie(): string {
    return generateCookie(sessionCookie, '', {
      httpOnly: true,
      sameSite: 'Lax',
      secure: this.#secureCookies,
      path: '/',
      maxAge: 0,
    })
  }

  adminNameCookie(name: string | null): string {
    return generateCookie(adminNameCookie, name ?? '', {
      httpOnly: true,
      sameSite: 'Strict',
      secure: this.#secureCookies,
      path: '/admin',
      ...(name === null ? { maxAge: 0 } : {}),
    })
  }

  adminCookie(token: string | null): string {
    return generateCookie(adminCookie, token ?? '', {
      httpOnly: true,
      sameSite: 'Strict',
      secure: this.#secureCookies,
      path: '/admin',
      ...(token === null ? { maxAge: 0 } : {}),
    })
  }
}
