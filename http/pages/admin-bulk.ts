/** The back office's change of many products: asked for beside the list, shown before it is done, then done. */
import { randomUUID } from 'node:crypto'
import type { Context } from 'hono'
import { html } from 'hono/html'
import { z } from 'zod'
import type { BulkAnswer } from '../bulk.ts'
import { changeMany } from '../bulk.ts'
import { parsePrice, currencyDigits } from '../csv/price.ts'
import { check, invalidRequest } from '../input.ts'
import { bulkBody } from '../schemas.ts'
import type { BulkBody } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { differenceTable, facts } from './admin-import.ts'
import { productHref } from './admin-product.ts'
import { queryText } from './format.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { frame, guarded, officeName } from './office.ts'
import { readForm } from './visitors.ts'

const actions = [
  ['active', 'Publish'],
  ['draft', 'Make drafts'],
  ['archived', 'Archive'],
  ['price-percent', 'Change prices by percent'],
  ['price-add', 'Add to prices'],
  ['price-set', 'Set prices to'],
] as const

const filterNames = ['q', 'category', 'tag', 'vendor', 'minPrice', 'maxPrice', 'status'] as const
type Filter = { readonly [name in (typeof filterNames)[number]]?: string | undefined }

function hidden(values: { readonly [name: string]: string | undefined }): Html {
  return html`${Object.entries(values).map(([name, value]) =>
    value === undefined || value === '' ? '' : html`<input type="hidden" name="${name}" value="${value}" />`,
  )}`
}

function filterOf(values: Filter): { [name: string]: string } {
  const given = filterNames.map((name) => [name, values[name] ?? ''] as const)
  return Object.fromEntries(given.filter(([, value]) => value !== ''))
}

/** Texts of the form as the numbers that the body has. */
function pricesOf(filter: { readonly [name: string]: string }): { [name: string]: number } {
  const given = Object.entries(filter).filter(([name]) => name === 'minPrice' || name === 'maxPrice')
  return Object.fromEntries(given.map(([name, value]) => [name, Number(value)]))
}

/** Beside the list of products: what is done is done to all that the filter finds, on whatever page. */
export function bulkForm(filter: Filter, total: number): Html {
  return html`<details class="import">
    <summary role="button" class="secondary">Change all ${total}</summary>
    <form method="post" action="/admin/bulk">
      ${hidden(filterOf(filter))}
      <label
        >What
        <select name="action">
          ${actions.map(([value, label]) => html`<option value="${value}">${label}</option>`)}
        </select></label
      >
      <label
        >By how much, for prices (-10 takes ten percent off)
        <input name="value" inputmode="decimal" autocomplete="off"
      /></label>
      <button>Look at it first</button>
    </form>
  </details>`
}

/** A signed amount in the shop's currency, or Fault `invalid-request`. */
function amountOf(shop: Shop, text: string): number {
  const digits = currencyDigits(shop.replica.catalog.currency())
  const isNegative = text.startsWith('-')
  const amount = parsePrice(text.replace(/^[-+]/, ''), digits)
  if (typeof amount === 'string') throw invalidRequest(`form: value: ${amount}`)
  return isNegative ? -amount : amount
}

function changeOf(shop: Shop, action: string, value: string): unknown {
  switch (action) {
    case 'price-percent':
      return { kind: action, percent: value === '' ? Number.NaN : Number(value) }
    case 'price-add':
    case 'price-set':
      return { kind: action, amount: amountOf(shop, value) }
    default:
      return { kind: 'status', status: action }
  }
}

const formSchema = z.object({
  action: z.string().max(20),
  value: z.string().trim().max(20).default(''),
  version: z
    .string()
    .regex(/^\d{1,15}$/)
    .optional(),
  key: z.string().max(200).optional(),
})

function rejectedList({ rejected }: BulkAnswer): Html {
  if (rejected.length === 0) return html``
  return html`<h2>Left as they are</h2>
    <ul>
      ${rejected
        .slice(0, 500)
        .map(
          ({ handle, reason }) => html`<li><a href="${productHref(handle)}">${handle}</a>: ${reason}</li>`,
        )}
    </ul>`
}

async function bulkPage(shop: Shop, context: Context): Promise<string> {
  const given = await readForm(context)
  const form = check(formSchema, given, 'form')
  const filter = filterOf(given)
  // The first form has no version: it asks what would happen. The second one agrees to that.
  const isPreview = form.version === undefined
  const body: BulkBody = check(
    bulkBody,
    {
      filter: { ...filter, ...pricesOf(filter) },
      change: changeOf(shop, form.action, form.value),
      ...(form.version === undefined ? {} : { catalogVersion: Number(form.version) }),
    },
    'form',
  )
  const answer = await changeMany(shop, body, { dryRun: isPreview, key: form.key, by: officeName(context) })
  const { matched, updated, unchanged, rejected, catalogVersion } = answer
  const again = {
    ...filter,
    action: form.action,
    value: form.value,
    version: String(catalogVersion),
    key: randomUUID(),
  }
  const label = actions.find(([action]) => action === form.action)?.[1] ?? form.action
  const content = html`<h1>${isPreview ? `${label}: this would do` : `${label}: done`}</h1>
    ${facts({ found: matched, changed: updated, unchanged, 'left as they are': rejected.length })}
    ${
      isPreview && updated > 0
        ? html`<form method="post" action="/admin/bulk">
            ${hidden(again)}<button>${label}: change ${updated} products</button>
          </form>`
        : ''
    }
    ${rejectedList(answer)} ${differenceTable(answer)}
    <p><a href="/admin${queryText(filter)}">Back to the products</a></p>`
  return await page(shop, { title: label, body: frame(content) })
}

export function adminBulkPages(shop: Shop): void {
  pageRoute(
    shop,
    'post',
    '/admin/bulk',
    guarded(shop, async (context) => await bulkPage(shop, context)),
  )
}
