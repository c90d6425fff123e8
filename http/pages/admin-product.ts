/**
 * The back office's page of one product: edit, create, delete. The form carries the catalog version that it was filled
 * from and the log decides by it (If-Match), so two administrators can't overwrite each other unseen, at whatever nodes.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { Context } from 'hono'
import { html } from 'hono/html'
import type { Product, ProductChange } from '../../node/commands.ts'
import { Fault, isFault } from '../../node/faults.ts'
import type { Handle } from '../../node/ids.ts'
import { parseCommandId, parseHandle } from '../../node/ids.ts'
import { currencyDigits } from '../csv/price.ts'
import { pathId } from '../input.ts'
import { productFormSizeBytesMax } from '../limits.ts'
import { fieldsOf } from '../products.ts'
import { runChange } from '../routes/admin-products.ts'
import type { Shop } from '../shop.ts'
import { productHistory } from './admin-history.ts'
import { timeText } from './format.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { frame, guarded, officeName } from './office.ts'
import type { Draft, Money } from './product-form.ts'
import { bodyOf, draftOf, productForm } from './product-form.ts'
import { readForm, seeOther } from './visitors.ts'

/** What the form shows beside its fields: why it was not saved, and what stands in the catalog by now. */
type Remark = { readonly message: string; readonly saved: Product | null }

function productAt(shop: Shop, handle: Handle): Product | null {
  const text = shop.replica.catalog.productJson(handle)
  return text === null ? null : (JSON.parse(text) as Product)
}

function moneyOf(shop: Shop): Money {
  const currency = shop.replica.catalog.currency()
  return { currency, digits: currencyDigits(currency) }
}

export function productHref(handle: string): string {
  return `/admin/products/${encodeURIComponent(handle)}`
}

/** What somebody else saved, where it is not what this form says. */
function differences(draft: Draft, saved: Product, money: Money): Html {
  const theirs = draftOf(saved, money)
  const names = [...new Set([...Object.keys(theirs), ...Object.keys(draft)])].filter(
    (name) => !['version', 'key', 'handle'].includes(name),
  )
  const breaks = /\r\n|\r/g
  const different = names.filter(
    (name) => (draft[name] ?? '').replace(breaks, '\n') !== (theirs[name] ?? '').replace(breaks, '\n'),
  )
  if (different.length === 0) return html`<p>It says the same as this form.</p>`
  return html`<table>
    <thead>
      <tr>
        <th>Field</th>
        <th>Saved now</th>
        <th>In this form</th>
      </tr>
    </thead>
    <tbody>
      ${different.map(
        (name) =>
          html`<tr>
            <td>${name}</td>
            <td>${theirs[name] ?? ''}</td>
            <td>${draft[name] ?? ''}</td>
          </tr>`,
      )}
    </tbody>
  </table>`
}

function remarkHtml(remark: Remark, draft: Draft, money: Money): Html {
  return html`<div class="notice" role="alert">
    <p>${remark.message}</p>
    ${
      remark.saved === null
        ? ''
        : html`${differences(draft, remark.saved, money)}
            <p>
              Save again to put this form in its place, or
              <a href="${productHref(remark.saved.handle)}">start from what is saved</a>.
            </p>`
    }
  </div>`
}

function deleteForm(product: Product): Html {
  return html`<details class="import">
    <summary role="button" class="secondary outline">Delete</summary>
    <form method="post" action="${productHref(product.handle)}/delete">
      <input type="hidden" name="key" value="${randomUUID()}" />
      <input type="hidden" name="version" value="${product.catalogVersion}" />
      <p>The product leaves the shop. Orders that were placed keep their lines.</p>
      <button class="secondary">Delete ${product.title}</button>
    </form>
  </details>`
}

function head(product: Product): Html {
  return html`<h1>${product.title} <span class="badge ${product.status}">${product.status}</span></h1>
    <p>
      <small
        >${product.handle} · catalog version ${product.catalogVersion} · ${timeText(product.updatedAt)}</small
      >
      ${product.status === 'active' ? html` · <a href="/products/${encodeURIComponent(product.handle)}">in the shop</a>` : ''}
    </p>`
}

async function editPage(shop: Shop, product: Product, draft: Draft, remark: Remark | null): Promise<string> {
  const money = moneyOf(shop)
  const options = { action: productHref(product.handle), key: randomUUID(), isNew: false, money }
  const history = await productHistory(shop, product.handle)
  const body = html`${head(product)} ${remark === null ? '' : remarkHtml(remark, draft, money)}
  ${productForm(draft, options)} ${deleteForm(product)} ${history}`
  return await page(shop, { title: product.title, body: frame(body) })
}

async function newPage(shop: Shop, draft: Draft, message: string | null): Promise<string> {
  const options = { action: '/admin/new', key: randomUUID(), isNew: true, money: moneyOf(shop) }
  const body = html`<h1>New product</h1>
    ${message === null ? '' : html`<p class="notice" role="alert">${message}</p>`}
    ${productForm(draft, options)}`
  return await page(shop, { title: 'New product', body: frame(body) })
}

async function readProductForm(context: Context): Promise<Draft> {
  return await readForm(context, productFormSizeBytesMax)
}

/** The catalog version that the form was filled from. */
function seenVersion(draft: Draft): number {
  const version = draft['version'] ?? ''
  if (!/^\d{1,15}$/.test(version)) throw new Fault('invalid-request', 'form: version: not a catalog version')
  return Number(version)
}

/** The same form sent twice is one change; with something else in it, another. */
async function save(shop: Shop, context: Context, draft: Draft, change: ProductChange): Promise<void> {
  const content = JSON.stringify([draft['key'] ?? '', change])
  const id = parseCommandId(`office:${createHash('sha256').update(content).digest('hex')}`)
  await runChange(shop, change, officeName(context), id)
}

/** Faults that the form itself explains; others get their own page. */
const explained = new Set(['invalid-request', 'conflict', 'too-large'])

async function saveProduct(shop: Shop, context: Context): Promise<Response | string> {
  const handle = pathId(context, 'handle', parseHandle, 'product')
  const draft = await readProductForm(context)
  const before = productAt(shop, handle)
  if (before === null) throw new Fault('not-found', 'somebody deleted this product meanwhile')
  try {
    const fields = fieldsOf(bodyOf(draft, before, moneyOf(shop)))
    await save(shop, context, draft, { op: 'replace', handle, fields, ifMatch: seenVersion(draft) })
    return seeOther(shop, productHref(handle))
  } catch (error) {
    if (!isFault(error)) throw error
    // The own copy has the version that the log compared with: changes are waited for before they are answered.
    const saved = productAt(shop, handle) ?? before
    if (error.code === 'precondition-failed') {
      const message = `Not saved: somebody else changed this product (catalog version ${saved.catalogVersion}). Who and when is told in its history below.`
      const again = { ...draft, version: String(saved.catalogVersion) }
      return shop.answers.html(await editPage(shop, saved, again, { message, saved }), 412)
    }
    if (!explained.has(error.code)) throw error
    const remark = { message: `Not saved: ${error.message}`, saved: null }
    return shop.answers.html(await editPage(shop, saved, draft, remark), 400)
  }
}

async function createProduct(shop: Shop, context: Context): Promise<Response | string> {
  const draft = await readProductForm(context)
  try {
    const handle = handleOf(draft['handle'])
    const fields = fieldsOf(bodyOf(draft, null, moneyOf(shop)))
    await save(shop, context, draft, { op: 'replace', handle, fields, ifMatch: 'none' })
    return seeOther(shop, productHref(handle))
  } catch (error) {
    if (!isFault(error) || !(explained.has(error.code) || error.code === 'precondition-failed')) throw error
    return shop.answers.html(await newPage(shop, draft, `Not saved: ${error.message}`), 400)
  }
}

function handleOf(raw: string | undefined): Handle {
  try {
    return parseHandle((raw ?? '').trim())
  } catch (error) {
    throw new Fault(
      'invalid-request',
      'a handle is made of small letters, digits and hyphens',
      {},
      { cause: error },
    )
  }
}

async function deleteProduct(shop: Shop, context: Context): Promise<Response | string> {
  const handle = pathId(context, 'handle', parseHandle, 'product')
  const draft = await readForm(context)
  try {
    await save(shop, context, draft, { op: 'delete', handle, ifMatch: seenVersion(draft) })
  } catch (error) {
    const saved = productAt(shop, handle)
    if (!isFault(error) || error.code !== 'precondition-failed' || saved === null) throw error
    const message = 'Not deleted: somebody else changed this product meanwhile. Look at it first.'
    return shop.answers.html(
      await editPage(shop, saved, draftOf(saved, moneyOf(shop)), { message, saved: null }),
      412,
    )
  }
  return seeOther(shop, '/admin')
}

const emptyDraft: Draft = { status: 'draft' }

export function adminProductPages(shop: Shop): void {
  pageRoute(
    shop,
    'get',
    '/admin/new',
    guarded(shop, async () => await newPage(shop, emptyDraft, null)),
  )
  pageRoute(
    shop,
    'post',
    '/admin/new',
    guarded(shop, async (context) => await createProduct(shop, context)),
  )
  pageRoute(
    shop,
    'get',
    '/admin/products/:handle',
    guarded(shop, async (context) => {
      const product = productAt(shop, pathId(context, 'handle', parseHandle, 'product'))
      if (product === null) throw new Fault('not-found', 'there is no such product')
      return await editPage(shop, product, draftOf(product, moneyOf(shop)), null)
    }),
  )
  pageRoute(
    shop,
    'post',
    '/admin/products/:handle',
    guarded(shop, async (context) => await saveProduct(shop, context)),
  )
  pageRoute(
    shop,
    'post',
    '/admin/products/:handle/delete',
    guarded(shop, async (context) => await deleteProduct(shop, context)),
  )
}
