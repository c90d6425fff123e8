/** The page of an account: password, sessions on other devices, and its end. Answered at any node. */
import type { Context } from 'hono'
import { html } from 'hono/html'
import type { Fault } from '../../node/faults.ts'
import { isFault } from '../../node/faults.ts'
import { isGuest } from '../../node/ids.ts'
import type { Shopper } from '../auth.ts'
import { withCookie } from '../home.ts'
import { check } from '../input.ts'
import { problemKinds } from '../problems.ts'
import { changePassword, deleteAccount, freshSession, logOffEverywhere } from '../routes/users.ts'
import { deleteAccountBody, passwordBody } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { frameOf, readForm, seeOther, shopperOf } from './visitors.ts'

type Notice = { readonly kind: 'done' | 'refused'; readonly text: string } | null

function passwordField(name: string, label: string, isNew: boolean): Html {
  return html`<label>
    ${label}
    <input
      name="${name}"
      type="password"
      required
      minlength="${isNew ? '8' : '1'}"
      maxlength="200"
      autocomplete="${isNew ? 'new-password' : 'current-password'}"
    />
  </label>`
}

function accountHtml(who: string | null, notice: Notice): Html {
  return html`<article class="narrow">
    <h1>${who ?? 'Your account'}</h1>
    ${notice === null ? '' : html`<p class="notice" role="${notice.kind === 'done' ? 'status' : 'alert'}">${notice.text}</p>`}
    <h2>Password</h2>
    <form method="post" action="/account/password">
      ${passwordField('current', 'Current password', false)}
      ${passwordField('password', 'New password', true)}
      <button>Change password</button>
      <small>You stay logged on here; all other devices are logged off.</small>
    </form>
    <h2>Other devices</h2>
    <form method="post" action="/account/log-off">
      <button class="secondary">Log off everywhere</button>
      <small>Ends every session of this account, this one too.</small>
    </form>
    <h2>Delete the account</h2>
    <form method="post" action="/account/delete">
      ${passwordField('password', 'Password', false)}
      <button class="secondary">Delete my account</button>
      <small>
        Erases your address, your cart, and the contact and note of your orders, at every server. This can’t
        be undone.
      </small>
    </form>
  </article>`
}

async function accountPage(shop: Shop, context: Context, notice: Notice): Promise<string> {
  const frame = await frameOf(shop, context)
  return await page(shop, { ...frame, title: 'Account', body: accountHtml(frame.who, notice) })
}

/** What the shopper can mend is said on the page; the rest is a problem page. */
const mendable = new Set<Fault['code']>(['forbidden', 'invalid-request', 'too-many-requests', 'conflict'])

/** The shopper with an account, or where to go to become one. */
function accountOf(shop: Shop, context: Context): Shopper | Response {
  const shopper = shopperOf(shop, context)
  if (shopper === null || isGuest(shopper.claims.user)) return seeOther(shop, '/log-on?next=/account')
  return shopper
}

function accountForm(
  shop: Shop,
  path: string,
  run: (context: Context, shopper: Shopper, fields: { [name: string]: string }) => Promise<Response>,
): void {
  pageRoute(shop, 'post', path, async (context) => {
    shop.gate.requireSameOrigin(context)
    const shopper = accountOf(shop, context)
    if (shopper instanceof Response) return shopper
    try {
      return await run(context, shopper, await readForm(context))
    } catch (error) {
      if (!isFault(error) || !mendable.has(error.code)) throw error
      const text = await accountPage(shop, context, { kind: 'refused', text: error.message })
      return shop.answers.html(text, problemKinds[error.code].status)
    }
  })
}

function loggedOff(shop: Shop): Response {
  const answer = seeOther(shop, '/')
  answer.headers.append('Set-Cookie', shop.gate.clearedCookie())
  return answer
}

export function ownAccountPages(shop: Shop): void {
  pageRoute(shop, 'get', '/account', async (context) => {
    const shopper = accountOf(shop, context)
    if (shopper instanceof Response) return shopper
    const isDone = context.req.query('changed') === 'password'
    return await accountPage(
      shop,
      context,
      isDone ? { kind: 'done', text: 'The password is changed.' } : null,
    )
  })
  accountForm(shop, '/account/password', async (context, { claims }, fields) => {
    await changePassword(shop, context, claims.user, check(passwordBody, fields, 'form'))
    const shopper = freshSession(shop, claims.user)
    const answer = seeOther(shop, '/account?changed=password')
    return withCookie(shop, { shopper, hops: 0, byTicket: false }, answer)
  })
  accountForm(shop, '/account/log-off', async (_context, { claims }) => {
    logOffEverywhere(shop, claims.user)
    return await Promise.resolve(loggedOff(shop))
  })
  accountForm(shop, '/account/delete', async (context, { claims }, fields) => {
    await deleteAccount(shop, context, claims.user, check(deleteAccountBody, fields, 'form').password)
    return loggedOff(shop)
  })
}
