/** Logging on, registering, logging off. */
import { randomUUID } from 'node:crypto'
import type { Context } from 'hono'
import { html } from 'hono/html'
import type { Fault } from '../../node/faults.ts'
import { isFault } from '../../node/faults.ts'
import { withCookie } from '../home.ts'
import { check, isCleanText } from '../input.ts'
import { problemKinds } from '../problems.ts'
import type { NewSession } from '../routes/users.ts'
import { freshSession, logOn, register } from '../routes/users.ts'
import { accountBody, logOnBody } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { queryText } from './format.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { frameOf, ownPath, readForm, seeOther, shopperOf } from './visitors.ts'

type Form = { readonly kind: 'log-on' | 'register'; readonly next: string; readonly message: string | null }

function formHtml({ kind, next, message }: Form, email: string): Html {
  const registering = kind === 'register'
  const other = registering
    ? html`<p>You have an account? <a href="/log-on${queryText({ next })}">Log on</a>.</p>`
    : html`<p>No account yet? <a href="/register${queryText({ next })}">Register</a>.</p>`
  return html`<article class="narrow">
    <h1>${registering ? 'Register' : 'Log on'}</h1>
    ${message === null ? '' : html`<p class="notice" role="alert">${message}</p>`}
    <form method="post" action="/${kind}">
      <input type="hidden" name="next" value="${next}" />
      <input type="hidden" name="key" value="${randomUUID()}" />
      ${registering ? html`<label>Name <input name="name" maxlength="200" autocomplete="name" /></label>` : ''}
      <label>E-mail <input name="email" type="email" value="${email}" required autocomplete="email" /></label>
      <label>
        Password
        <input
          name="password"
          type="password"
          required
          minlength="${registering ? '8' : '1'}"
          maxlength="200"
          autocomplete="${registering ? 'new-password' : 'current-password'}"
        />
      </label>
      <button>${registering ? 'Register' : 'Log on'}</button>
    </form>
    ${other}
    <p><small>What is in your cart comes along.</small></p>
  </article>`
}

async function formPage(shop: Shop, context: Context, form: Form, email = ''): Promise<string> {
  const frame = await frameOf(shop, context)
  return await page(shop, {
    ...frame,
    title: form.kind === 'register' ? 'Register' : 'Log on',
    body: formHtml(form, email),
  })
}

/** What the shopper can mend is said on the form; the rest is a problem page. */
const mendable = new Set<Fault['code']>([
  'unauthorized',
  'email-taken',
  'invalid-request',
  'too-many-requests',
])

async function submitted(
  shop: Shop,
  context: Context,
  kind: Form['kind'],
  run: (fields: { [name: string]: string }) => Promise<NewSession>,
): Promise<Response> {
  shop.gate.requireSameOrigin(context)
  const fields = await readForm(context)
  const next = ownPath(fields['next'])
  try {
    const { user } = await run(fields)
    const shopper = freshSession(shop, user.id)
    return withCookie(shop, { shopper, hops: 0, byTicket: false }, seeOther(shop, next))
  } catch (error) {
    if (!isFault(error) || !mendable.has(error.code)) throw error
    const email = isCleanText(fields['email'] ?? '') ? (fields['email'] ?? '').slice(0, 254) : ''
    const text = await formPage(shop, context, { kind, next, message: error.message }, email)
    return shop.answers.html(text, problemKinds[error.code].status)
  }
}

export function accountPages(shop: Shop): void {
  for (const kind of ['log-on', 'register'] as const) {
    pageRoute(
      shop,
      'get',
      `/${kind}`,
      async (context) =>
        await formPage(shop, context, { kind, next: ownPath(context.req.query('next')), message: null }),
    )
  }
  pageRoute(
    shop,
    'post',
    '/log-on',
    async (context) =>
      await submitted(
        shop,
        context,
        'log-on',
        async (fields) => await logOn(shop, context, check(logOnBody, fields, 'form')),
      ),
  )
  pageRoute(
    shop,
    'post',
    '/register',
    async (context) =>
      await submitted(shop, context, 'register', async ({ key, name, ...fields }) => {
        const named = name === undefined || name.trim() === '' ? fields : { ...fields, name }
        return await register(shop, context, check(accountBody, named, 'form'), key)
      }),
  )
  pageRoute(shop, 'post', '/log-off', (context) => {
    shop.gate.requireSameOrigin(context)
    const shopper = shopperOf(shop, context)
    if (shopper !== null) shop.replica.users.revoke(shopper.claims.id, shopper.claims.expiresAtMs)
    const answer = seeOther(shop, '/')
    answer.headers.append('Set-Cookie', shop.gate.clearedCookie())
    return answer
  })
}
