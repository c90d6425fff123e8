/** The back office: products with import and export. The token is entered once and kept in a cookie for /admin. */
import { randomUUID } from 'node:crypto'
import type { Context } from 'hono'
import { html, raw } from 'hono/html'
import { z } from 'zod'
import type { Product } from '../../node/commands.ts'
import { productStatusSchema } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import { adminName } from '../auth.ts'
import type { ImportAnswer, ImportType } from '../import.ts'
import { importProducts } from '../import.ts'
import { check, checkQuery, contentType, readBytes } from '../input.ts'
import { importSizeBytesMax } from '../limits.ts'
import type { ImportGate } from '../routes/admin-import.ts'
import { exportAnswer } from '../routes/admin-import.ts'
import { productQueryOf } from '../routes/catalog.ts'
import { adminProductsQuery, exportQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { moneyText, queryText } from './format.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { productHref } from './admin-product.ts'
import { filled, frame, guarded, officeName } from './office.ts'
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

function importForm(): Html {
  return html`<details class="import">
    <summary role="button" class="secondary">Import</summary>
    <form method="post" action="/admin/import" enctype="multipart/form-data">
      <input type="hidden" name="key" value="${randomUUID()}" />
      <label>Shopify CSV or JSON Lines <input type="file" name="file" accept=".csv,.jsonl" required /></label>
      <label><input type="checkbox" name="dryRun" value="true" /> Only try, change nothing</label>
      <button>Import</button>
    </form>
  </details>`
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
  const query = checkQuery(filled(context), adminProductsQuery)
  const found = shop.replica.catalog.products(productQueryOf(query, query.status))
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
      ${filters(query)} <a role="button" href="/admin/new">New product</a> ${importForm()}
      <a role="button" class="secondary outline" href="/admin/export?format=csv">Export CSV</a>
      <a role="button" class="secondary outline" href="/admin/export?format=jsonl">Export JSON Lines</a>
    </div>
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
        : html`<a
            role="button"
            href="/admin${queryText({ q: query.q, status: query.status, cursor: found.next })}"
            >More</a
          >`
    }`
  return await page(shop, { title: 'Products', body: frame(body) })
}

const importFields = z.object({
  file: z.instanceof(File),
  dryRun: z.literal('true').optional(),
  key: z.string().regex(/^[\x21-\x7e]{1,200}$/),
})

/** Multipart framing around the file. */
const multipartSizeBytes = 8_192

async function importForms(shop: Shop, imports: ImportGate, context: Context): Promise<string> {
  if (contentType(context) !== 'multipart/form-data')
    throw new Fault('unsupported-type', 'this form is multipart/form-data', {
      accepts: ['multipart/form-data'],
    })
  let type: ImportType = 'text/csv'
  let dryRun = false
  const answer = await imports.run(async () => {
    const bytes = await readBytes(context, importSizeBytesMax + multipartSizeBytes)
    const fields = check(importFields, await formFields(context, bytes), 'form')
    if (fields.file.name.endsWith('.jsonl')) type = 'application/jsonl'
    dryRun = fields.dryRun === 'true'
    const file = Buffer.from(await fields.file.arrayBuffer())
    return await importProducts(shop, type, file, {
      dryRun,
      key: fields.key,
      by: officeName(context),
    })
  })
  return await page(shop, { title: 'Import', body: frame(importResult(answer, dryRun)) })
}

async function formFields(context: Context, bytes: Buffer): Promise<{ [name: string]: unknown }> {
  const headers = { 'content-type': context.req.header('content-type') ?? '' }
  try {
    const form = await new Response(new Uint8Array(bytes), { headers }).formData()
    return Object.fromEntries(form)
  } catch (error) {
    throw new Fault('invalid-request', 'the form can’t be read', {}, { cause: error })
  }
}

function importResult(answer: ImportAnswer, dryRun: boolean): Html {
  const { created, updated, unchanged, rejected, catalogVersion } = answer
  return html`<h1>${dryRun ? 'This import would do' : 'Imported'}</h1>
    <dl class="facts">
      ${Object.entries({
        created,
        updated,
        unchanged,
        'rejected lines': rejected.length,
        'catalog version': catalogVersion,
      }).map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>
    ${
      rejected.length === 0
        ? ''
        : html`<table>
            <thead>
              <tr>
                <th>Line</th>
                <th>Reason</th>
              </tr>
            </thead>
            <tbody>
              ${rejected.slice(0, 500).map(
                ({ line, reason }) =>
                  html`<tr>
                    <td>${line}</td>
                    <td>${reason}</td>
                  </tr>`,
              )}
            </tbody>
          </table>`
    }
    <p><a href="/admin">Back to the products</a></p>`
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

export function adminPages(shop: Shop, imports: ImportGate): void {
  entryPages(shop)
  pageRoute(
    shop,
    'get',
    '/admin',
    guarded(shop, async (context) => await productsPage(shop, context)),
  )
  pageRoute(
    shop,
    'post',
    '/admin/import',
    guarded(shop, async (context) => await importForms(shop, imports, context)),
  )
  pageRoute(
    shop,
    'get',
    '/admin/export',
    guarded(shop, async (context) => {
      const { format } = checkQuery(context.req.query(), exportQuery)
      return await Promise.resolve(exportAnswer(shop, context, format))
    }),
  )
}
