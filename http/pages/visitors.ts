/** Who looks at a page, and where it must be served: pages are redirected whole, they never fetch across nodes. */
import type { Context } from 'hono'
import { setTimeout } from 'node:timers/promises'
import { isFault } from '../../node/faults.ts'
import { isGuest } from '../../node/ids.ts'
import type { Shopper } from '../auth.ts'
import type { HomeElsewhere, Visitor } from '../home.ts'
import { homeElsewhere, ticketedUrl, visitorOf, withCookie, withoutTicket } from '../home.ts'
import { decodeText, readBytes, requireType } from '../input.ts'
import { jsonSizeBytesMax } from '../limits.ts'
import type { Shop } from '../shop.ts'
import { ticketParameter } from '../tickets.ts'

type PageAnswer = Response | string
export type PageHandler = (context: Context, visitor: Visitor) => Promise<PageAnswer>

/** The shopper of the cookie, or null. Fault `forbidden` for a form on another site. */
export function shopperOf(shop: Shop, context: Context): Shopper | null {
  const given = shop.gate.credentials(context)
  return given.kind === 'session' ? given : null
}

/** What the frame of a page says about the visitor. The footer is not worth waiting for. */
const footerWaitMs = 150

export async function frameOf(
  shop: Shop,
  context: Context,
  visitor: Visitor | null = null,
): Promise<{ who: string | null; home: string | null; serverSet: readonly string[] }> {
  const shopper = visitor?.shopper ?? shopperOf(shop, context)
  if (shopper === null) return { who: null, home: null, serverSet: [] }
  const { user } = shopper.claims
  const known = await Promise.race([describe(shop, shopper), setTimeout(footerWaitMs, null, { ref: false })])
  const account = known?.user.name ?? known?.user.email ?? 'Your account'
  return {
    who: isGuest(user) ? null : account,
    home: known?.assignment.home.node ?? null,
    serverSet: known?.assignment.serverSet.map(({ url }) => url) ?? [],
  }
}

async function describe(
  shop: Shop,
  { claims }: Shopper,
): Promise<Awaited<ReturnType<Shop['replica']['users']['describe']>> | null> {
  try {
    return await shop.replica.users.describe(claims.user)
  } catch (error) {
    // The page is readable without it; who asks for the cart gets the reason.
    if (isFault(error)) return null
    throw error
  }
}

export function seeOther(shop: Shop, location: string): Response {
  return shop.answers.empty(303, { Location: location, 'Cache-Control': 'no-store' })
}

function isHtmx(context: Context): boolean {
  return context.req.header('hx-request') === 'true'
}

function cleanUrl(context: Context): string {
  const { path, query } = withoutTicket(context.req.url)
  return query === '' ? path : `${path}?${query}`
}

/** The browser is sent to the home with a ticket. A script's request can't follow there, the page itself must. */
function away(shop: Shop, context: Context, visitor: Visitor, home: HomeElsewhere): Response {
  const clean = withoutTicket(context.req.url)
  const request = isHtmx(context)
    ? { method: 'GET', path: '/cart', query: '' }
    : { method: context.req.method, ...clean }
  const location = ticketedUrl(shop, visitor, home, request)
  if (isHtmx(context))
    return shop.answers.raw(null, 200, { 'HX-Redirect': location, 'Cache-Control': 'no-store' })
  return shop.answers.raw(null, 307, { Location: location, 'Cache-Control': 'no-store' })
}

/** A page to look at, at the home. `nobody` serves visitors without a session. */
export function homePage(
  shop: Shop,
  handler: PageHandler,
  nobody: (context: Context) => Promise<PageAnswer>,
): (context: Context) => Promise<PageAnswer> {
  return async (context) => {
    if (context.req.query(ticketParameter) !== undefined) return await arrival(shop, context)
    const shopper = shopperOf(shop, context)
    if (shopper === null) return await nobody(context)
    const visitor: Visitor = { shopper, hops: 0, byTicket: false }
    const home = await homeElsewhere(shop, visitor)
    return home === null ? await handler(context, visitor) : away(shop, context, visitor, home)
  }
}

/** The ticket becomes a cookie and leaves the address. One that was used (a reload) just leaves it. */
async function arrival(shop: Shop, context: Context): Promise<Response> {
  let visitor: Visitor
  try {
    visitor = visitorOf(shop, context)
  } catch (error) {
    if (isFault(error) && error.code === 'unauthorized') return seeOther(shop, cleanUrl(context))
    throw error
  }
  const home = await homeElsewhere(shop, visitor)
  if (home !== null) return away(shop, context, visitor, home)
  return withCookie(shop, visitor, seeOther(shop, cleanUrl(context)))
}

/** A change by a form, at the home. Who has no session yet becomes a guest. */
export function homeForm(shop: Shop, handler: PageHandler): (context: Context) => Promise<PageAnswer> {
  return async (context) => {
    const { visitor, fresh } = await formVisitor(shop, context)
    const home = await homeElsewhere(shop, visitor)
    const answer = home === null ? await handler(context, visitor) : away(shop, context, visitor, home)
    const response = typeof answer === 'string' ? shop.answers.html(answer) : answer
    return fresh || visitor.byTicket ? withCookie(shop, visitor, response) : response
  }
}

async function formVisitor(shop: Shop, context: Context): Promise<{ visitor: Visitor; fresh: boolean }> {
  if (context.req.query(ticketParameter) !== undefined)
    return { visitor: visitorOf(shop, context), fresh: false }
  shop.gate.requireSameOrigin(context)
  const shopper = shopperOf(shop, context)
  if (shopper !== null) return { visitor: { shopper, hops: 0, byTicket: false }, fresh: false }
  const { user } = await shop.replica.users.createGuest()
  return { visitor: { shopper: shop.tokens.issue(user.id), hops: 0, byTicket: false }, fresh: true }
}

/** Fields of a posted form. Fault `unsupported-type` for other bodies. */
export async function readForm(
  context: Context,
  sizeBytesMax: number = jsonSizeBytesMax,
): Promise<{ [name: string]: string }> {
  requireType(context, ['application/x-www-form-urlencoded'])
  const text = decodeText(await readBytes(context, sizeBytesMax), 'the form')
  return Object.fromEntries(new URLSearchParams(text))
}

/** Where to go after logging on: a path of ours, never another site. */
export function ownPath(raw: string | undefined): string {
  return raw !== undefined && /^\/(?![/\\])[^\s\\]*$/.test(raw) ? raw : '/'
}
