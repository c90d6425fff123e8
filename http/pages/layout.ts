/** The frame of every page: head, navigation, footer, security headers. */
import type { Context, Next } from 'hono'
import { html } from 'hono/html'
import { secureHeaders } from 'hono/secure-headers'
import { isFault } from '../../node/faults.ts'
import { problemKinds } from '../problems.ts'
import type { Problem } from '../problems.ts'
import { problemOf } from '../problems.ts'
import type { Handler, Shop } from '../shop.ts'
import { atVersion } from '../shop.ts'

export type Html = ReturnType<typeof html>

export type PageFrame = {
  readonly title: string
  readonly body: Html
  /** Words in the search box. */
  readonly q?: string
  /** The shopper's name or e-mail address; null: not logged on; absent: a page that is not about shoppers. */
  readonly who?: string | null
  /** Name of the home, when known; absent as above. */
  readonly home?: string | null
  /** URLs of the shopper's server set, when known. */
  readonly serverSet?: readonly string[]
  /** Scripts of ours beside htmx and shop.js. */
  readonly scripts?: readonly string[]
}

/**
 * htmx must not add styles of its own: the policy below allows no inline ones. A problem does not replace a part of
 * the page, shop.js shows what it says.
 */
const htmxConfig = JSON.stringify({ includeIndicatorCSS: false, noSwap: [204, 304, '4xx', '5xx'] })

/** Where the shopper may go on when this server dies under the page; more links would only confuse. */
const othersMax = 4

function head(title: string, scripts: readonly string[]): Html {
  return html`<head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <meta name="htmx-config" content="${htmxConfig}" />
    <title>${title} · Souk</title>
    <link rel="icon" href="/assets/souk.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="/assets/pico.css" />
    <link rel="stylesheet" href="/assets/souk.css" />
    <link rel="stylesheet" href="/assets/office.css" />
    <script src="/assets/htmx.js" defer></script>
    <script src="/assets/shop.js" defer></script>
    ${scripts.map((script) => html`<script src="/assets/${script}" defer></script>`)}
  </head>`
}

function navigation({ q, who }: PageFrame): Html {
  const account =
    who === undefined
      ? ''
      : who === null
        ? html`<a href="/log-on">Log on</a>`
        : html`<a class="who" href="/account">${who}</a>
            <form method="post" action="/log-off"><button class="link">Log off</button></form>`
  return html`<header class="top">
    <div class="container">
      <a class="brand" href="/"><img src="/assets/souk.svg" alt="" width="32" height="32" />Souk</a>
      <form class="search" role="search" action="/" method="get">
        <input
          type="search"
          name="q"
          value="${q ?? ''}"
          placeholder="Search the bazaar"
          aria-label="Search"
        />
      </form>
      <nav>
        <a href="/orders">Orders</a>
        <a href="/cart">Cart</a>
        ${account}
      </nav>
    </div>
  </header>`
}

function footer(shop: Shop, home: string | null | undefined): Html {
  const { primary, catalog } = shop.replica.cluster.view()
  return html`<footer class="bottom">
    <div class="container">
      <span>Served by <strong id="node">${shop.replica.self.node}</strong></span>
      ${home === undefined ? '' : html`<span>Your home: <strong id="home">${home ?? 'none yet'}</strong></span>`}
      <span>Primary: <strong id="primary">${primary?.node ?? 'none right now'}</strong></span>
      <span>Catalog version ${catalog.version}</span>
      <span class="links">
        <a href="/cluster">Cluster</a> <a href="/admin">Back office</a> <a href="/docs">API</a>
      </span>
    </div>
  </footer>`
}

/** Live members beside this one, those of the shopper's server set first. */
function othersOf(shop: Shop, serverSet: readonly string[]): string {
  const alive = shop.replica.cluster
    .view()
    .members.filter((member) => member.alive && member.node !== shop.replica.self.node)
    .map(({ url }) => url)
  const first = alive.filter((url) => serverSet.includes(url))
  return [...new Set([...first, ...alive])].slice(0, othersMax).join(' ')
}

/** A whole page as text. */
export async function page(shop: Shop, frame: PageFrame): Promise<string> {
  const text = await html`<!doctype html>
    <html lang="en">
      ${head(frame.title, frame.scripts ?? [])}
      <body data-others="${othersOf(shop, frame.serverSet ?? [])}">
        ${navigation(frame)}
        <main class="container">${frame.body}</main>
        ${footer(shop, frame.home)}
      </body>
    </html>`
  return text.toString()
}

/** No inline scripts or styles. Forms may end at any member, because a change is redirected to the home. */
function security(shop: Shop): ReturnType<typeof secureHeaders> {
  const members = shop.replica.cluster.view().members.map(({ url }) => url)
  const secure = shop.replica.self.url.startsWith('https:')
  return secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:', 'https:', 'http:'],
      connectSrc: ["'self'"],
      formAction: ["'self'", ...members],
      baseUri: ["'none'"],
      frameAncestors: ["'none'"],
    },
    // With no-referrer browsers send "Origin: null", and our own forms could not be told from foreign ones.
    referrerPolicy: 'same-origin',
    strictTransportSecurity: secure ? 'max-age=15552000' : false,
    xFrameOptions: 'DENY',
  })
}

/** Browsers ask for pages; everybody else is told problems as documents. */
export function wantsPage(context: Context): boolean {
  return (context.req.header('accept') ?? '').includes('text/html')
}

export async function problemHtml(shop: Shop, problem: Problem): Promise<string> {
  const name = String(problem.body['type']).slice('/problems/'.length)
  const kind = Object.hasOwn(problemKinds, name) ? problemKinds[name as keyof typeof problemKinds] : null
  const body = html`<article class="problem">
    <h1>${String(problem.body['title'])}</h1>
    <p>${String(problem.body['detail'])}</p>
    ${kind === null ? '' : html`<p><small>${kind.meaning}</small></p>`}
    <p><a href="/" role="button" class="secondary">Back to the shop</a></p>
  </article>`
  return await page(shop, { title: String(problem.body['title']), body })
}

/** A problem as a page, with the headers that every page has. */
export async function problemPageAnswer(shop: Shop, context: Context, problem: Problem): Promise<Response> {
  const headers: Record<string, string> =
    problem.retryAfterSeconds === null ? {} : { 'Retry-After': String(problem.retryAfterSeconds) }
  context.res = shop.answers.html(await problemHtml(shop, problem), problem.status, headers)
  await security(shop)(context, async () => await Promise.resolve())
  return context.res
}

/** Adds a page. Faults become pages too, for browsers; anything else is left to the one error handler. */
export function pageRoute(
  shop: Shop,
  method: 'get' | 'post',
  path: string,
  handler: (context: Context) => Response | Promise<Response | string> | Promise<string>,
): void {
  const counter = shop.metrics.route(method.toUpperCase(), path)
  const guarded: Handler = async (context) => {
    counter.begin()
    try {
      const answer = await handler(context)
      return typeof answer === 'string' ? shop.answers.html(answer) : answer
    } catch (error) {
      if (!isFault(error) || error.code === 'internal' || !wantsPage(context)) throw error
      shop.metrics.problem(error.code)
      return await problemPageAnswer(shop, context, problemOf(error))
    }
  }
  const headers = async (context: Context, next: Next): Promise<Response | undefined> =>
    (await security(shop)(context, next)) ?? undefined
  shop.app.on(method.toUpperCase(), path, headers, atVersion(shop, guarded))
}
