/** The back office: products with import and export. The token is entered once and kept in a cookie for /admin. */
import type { Context } from 'hono'
import { html, raw } from 'hono/html'
import type { Product } from '../../node/commands.ts'
import { productStatusSchema } from '../../node/commands.ts'
import { adminName } from '../auth.ts'
import { checkQuery } from '../input.ts'
import { productQueryOf } from '../routes/catalog.ts'
import { adminProductsQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { chosen, facetPanel, filledIn, filterOf } from './filters.ts'
import { moneyText, queryText } from './format.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { bulkForm } from './admin-bulk.ts'
import { importForm } from './admin-import.ts'
import { productHref } from './admin-product.ts'
import { frame, guarded } from './office.ts'
import { readForm, seeOther } from './visitors.ts'

async function logOnPage(shop: Shop, message: string | null): Promise<string> {
  const body = html`<article class="narrow">
    <h1>Back office</h1>
    ${message === null ? '' : html`<p class="notice" role="alert">${message}</p>`}
    <form method="post" action="/admin/log-on">
      <label>Administrator token <input name="token" type="password" required autocomplete="off" /></label>
      <label
        >Your name, for the history of changes <input name="name" maxlength="60" autocomplete="name"
      /></label>
      <button>Enter</button>
    </form>
  </article>`
  return await page(shop, { title: 'Back office', body })
}

function filters(query: { q?: string | undefined; status?: string | undefined }): Html {
  return html`<form class="filters" method="get" action="/admin">
    <input type="search" name="q" value="${query.q ?? ''}" placeholder="Search" aria-label="Search" />
    <select name="status" aria-label="Status">
      ${['', ...productStatusSchema.options].map(
        (status) =>
          html`<option value="${status}" ${status === (query.status ?? '') ? raw('selected') : ''}>
            ${status === '' ? 'every status' : status}
          </option>`,
      )}
    </select>
    <button class="secondary">Show</button>
  </form>`
}

async function productsPage(shop: Shop, context: Context): Promise<string> {
  const { catalog } = shop.replica
  const currency = catalog.currency()
  const query = checkQuery(filledIn(context.req.url, currency), adminProductsQuery)
  const wanted = productQueryOf(query, query.status)
  const found = catalog.products(wanted)
  const filter = filterOf(query, query.status === undefined ? {} : { status: query.status })
  const panel = { path: '/admin', filter, currency }
  const rows = found.items.map((text) => {
    const product = JSON.parse(text) as Product
    const [variant] = product.variants
    return html`<tr>
      <td>
        <a href="${productHref(product.handle)}">${product.title}</a><br /><small>${product.handle}</small>
      </td>
      <td><span class="badge ${product.status}">${product.status}</span></td>
      <td>${product.category}</td>
      <td>${product.variants.length}</td>
      <td class="sum">
        ${variant === undefined ? '' : moneyText(variant.price.amount, variant.price.currency)}
      </td>
      <td>${product.catalogVersion}</td>
    </tr>`
  })
  const body = html`<h1>Products <small>${found.total}</small></h1>
    <div class="toolbar">
      ${filters(query)} <a role="button" href="/admin/new">New product</a>
      ${importForm()} ${bulkForm(filter, found.total)}
      <a role="button" class="secondary outline" href="/admin/export?format=csv">Export CSV</a>
      <a role="button" class="secondary outline" href="/admin/export?format=jsonl">Export JSON Lines</a>
    </div>
    <details class="narrow-down">
      <summary>Narrow down</summary>
      <div class="facets">${facetPanel(panel, catalog.facets(wanted))}</div>
    </details>
    ${chosen(panel)}
    <div class="overflow-auto">
      <table>
        <thead>
          <tr>
            <th>Product</th>
            <th>Status</th>
            <th>Category</th>
            <th>Variants</th>
            <th class="sum">Price</th>
            <th>Version</th>
          </tr>
        </thead>
        <tbody>
          ${rows}
        </tbody>
      </table>
    </div>
    ${
      found.next === null
        ? ''
        : html`<a role="button" href="/admin${queryText({ ...filter, cursor: found.next })}">More</a>`
    }`
  return await page(shop, { title: 'Products', body: frame(body) })
}

function entryPages(shop: Shop): void {
  pageRoute(shop, 'get', '/admin/log-on', async () => await logOnPage(shop, null))
  pageRoute(shop, 'post', '/admin/log-on', async (context) => {
    shop.gate.requireSameOrigin(context)
    const form = await readForm(context)
    const token = (form['token'] ?? '').trim()
    if (!shop.gate.isAdminToken(token))
      return shop.answers.html(await logOnPage(shop, 'This is not the administrator token.'), 401)
    const answer = seeOther(shop, '/admin')
    answer.headers.append('Set-Cookie', shop.gate.adminCookie(token))
    answer.headers.append('Set-Cookie', shop.gate.adminNameCookie(adminName((form['name'] ?? '').trim())))
    return answer
  })
  pageRoute(shop, 'post', '/admin/log-off', (context) => {
    shop.gate.requireSameOrigin(context)
    const answer = seeOther(shop, '/')
    answer.headers.append('Set-Cookie', shop.gate.adminCookie(null))
    answer.headers.append('Set-Cookie', shop.gate.adminNameCookie(null))
    return answer
  })
}

export function adminPages(shop: Shop): void {
  entryPages(shop)
  pageRoute(
    shop,
    'get',
    '/admin',
    guarded(shop, async (context) => await productsPage(shop, context)),
  )
}
