/** Requests that belong to the user's home: served here, or redirected with a ticket (API.md, "Redirection"). */
import type { Context } from 'hono'
import { Fault, isFault } from '../node/faults.ts'
import type { NodeAddress } from '../node/replica-api.ts'
import type { Shopper } from './auth.ts'
import { hopsMax } from './limits.ts'
import type { Handler, Shop } from './shop.ts'
import { ticketParameter } from './tickets.ts'

export type Visitor = {
  readonly shopper: Shopper
  /** Redirects that the request has met. */
  readonly hops: number
  /** Came by ticket: the session cookie is to be set with the answer. */
  readonly byTicket: boolean
}

/** Path and query as they were sent, without the ticket. */
export function withoutTicket(url: string): { path: string; query: string } {
  const { pathname, search } = new URL(url)
  const kept = search
    .slice(1)
    .split('&')
    .filter((pair) => pair !== '' && pair.split('=', 1)[0] !== ticketParameter)
  return { path: pathname, query: kept.join('&') }
}

/** Who asks: by the ticket, if there is one, whatever other credentials came along; else by session. */
export function visitorOf(shop: Shop, context: Context): Visitor {
  const ticket = context.req.query(ticketParameter)
  if (ticket === undefined) return { shopper: shop.gate.shopper(context), hops: 0, byTicket: false }
  const { path } = withoutTicket(context.req.url)
  const scope = { home: shop.replica.self.node, method: context.req.method, path }
  const { session, hops } = shop.tickets.redeem(ticket, scope)
  if (!shop.gate.isGood(session)) throw new Fault('unauthorized', 'the session has ended')
  return { shopper: { token: shop.tokens.write(session), claims: session }, hops, byTicket: true }
}

/** A home that is another node; its clock may not agree with this node's. */
export type HomeElsewhere = { readonly address: NodeAddress; readonly clockAheadMs: number }

/** The address of the same request at the home, with a ticket for it. */
export function ticketedUrl(
  shop: Shop,
  visitor: Visitor,
  { address, clockAheadMs }: HomeElsewhere,
  request: { method: string; path: string; query: string },
): string {
  const { method, path, query } = request
  const ticket = shop.tickets.issue(
    visitor.shopper.claims,
    { home: address.node, method, path },
    visitor.hops + 1,
    clockAheadMs,
  )
  return `${address.url}${path}?${query === '' ? '' : `${query}&`}${ticketParameter}=${ticket}`
}

/** Null when this node serves the visitor; else the home. Fault `no-home`. */
export async function homeElsewhere(shop: Shop, visitor: Visitor): Promise<HomeElsewhere | null> {
  const route = await shop.replica.carts.route(visitor.shopper.claims.user, visitor.hops)
  if (route.kind === 'here') return null
  // The replica promises to serve or fail at the last hop; a loop must not be possible whatever it says.
  if (visitor.hops >= hopsMax) throw new Fault('no-home', 'the home moved while the request was on its way')
  return { address: route.home, clockAheadMs: route.clockAheadMs ?? 0 }
}

/** 307 with Location and a problem body `not-home`. */
export function redirectAnswer(shop: Shop, location: string, home: NodeAddress): Response {
  const fault = new Fault('not-home', `${home.node} is home of this user`, { home })
  return shop.answers.fault(fault, { Location: location })
}

export type HomeHandler = (context: Context, visitor: Visitor) => Response | Promise<Response>

/** Wraps a handler that may only run at the home. */
export function atHome(shop: Shop, handler: HomeHandler): Handler {
  return async (context) => {
    const visitor = visitorOf(shop, context)
    const home = await homeElsewhere(shop, visitor)
    if (home !== null) {
      const request = { method: context.req.method, ...withoutTicket(context.req.url) }
      return redirectAnswer(shop, ticketedUrl(shop, visitor, home, request), home.address)
    }
    if (!visitor.byTicket) return await handler(context, visitor)
    return withCookie(shop, visitor, await settled(shop, () => handler(context, visitor)))
  }
}

/** A refused request that came by ticket gets its cookie as well. */
async function settled(shop: Shop, run: () => Response | Promise<Response>): Promise<Response> {
  try {
    return await run()
  } catch (error) {
    if (isFault(error)) return shop.answers.fault(error)
    throw error
  }
}

export function withCookie(shop: Shop, visitor: Visitor, response: Response): Response {
  response.headers.append('Set-Cookie', shop.gate.cookie(visitor.shopper))
  return response
}
