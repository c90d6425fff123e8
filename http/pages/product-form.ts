/**
 * The form of one product in the back office: its fields as texts, and what was typed as a product again. Names of
 * inputs are numbered (`sku.0`, `value.0.1`), so that a form needs no script.
 */
import { html, raw } from 'hono/html'
import type { Product } from '../../node/commands.ts'
import { productStatusSchema } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import { optionColumnsMax } from '../csv/columns.ts'
import { formatPrice, parsePrice } from '../csv/price.ts'
import { check, isCleanText } from '../input.ts'
import { optionsOf } from '../products.ts'
import { productBody } from '../schemas.ts'
import type { ProductBody } from '../schemas.ts'
import type { Html } from './layout.ts'

/** Every input of the form by name, as a browser sends it. */
export type Draft = { readonly [name: string]: string }
export type Money = { readonly currency: string; readonly digits: number }

/** Empty lines for new variants that the form offers. */
const spareVariants = 2
/** A product has at most so many (node/commands.ts), and the form so many lines more. */
const variantLinesMax = 500 + spareVariants

export function draftOf(product: Product, money: Money): Draft {
  const draft: { [name: string]: string } = {
    version: String(product.catalogVersion),
    title: product.title,
    description: product.description,
    vendor: product.vendor,
    category: product.category,
    tags: product.tags.join(', '),
    images: product.images.map(({ src, alt }) => (alt === '' ? src : `${src} | ${alt}`)).join('\n'),
    status: product.status,
  }
  product.options.forEach(({ name }, column) => (draft[`option.${column}`] = name))
  product.variants.forEach((variant, line) => {
    draft[`sku.${line}`] = variant.sku
    draft[`name.${line}`] = variant.title
    draft[`price.${line}`] = formatPrice(variant.price.amount, money.digits)
    product.options.forEach(({ name }, column) => {
      draft[`value.${line}.${column}`] = variant.options[name] ?? ''
    })
  })
  return draft
}

/** Browsers send line breaks of a text area as CR LF, and none of a one-line input. */
function sameTyped(given: string, before: string): boolean {
  const breaks = /\r\n|\r|\n/g
  return given.replace(breaks, '\n') === before.replace(breaks, '\n') || given === before.replace(breaks, '')
}

function imageOf(line: string): { src: string; alt: string } {
  const bar = line.indexOf(' | ')
  return bar < 0
    ? { src: line.trim(), alt: '' }
    : { src: line.slice(0, bar).trim(), alt: line.slice(bar + 3).trim() }
}

function linesOf(text: string): string[] {
  return text.split(/\r\n|\r|\n/).filter((line) => line.trim() !== '')
}

function columnsOf(draft: Draft): { column: number; name: string }[] {
  const columns = Array.from({ length: optionColumnsMax }, (_, column) => ({
    column,
    name: (draft[`option.${column}`] ?? '').trim(),
  }))
  return columns.filter(({ name }) => name !== '')
}

function priceOf(text: string, sku: string, money: Money): { amount: number; currency: string } {
  const amount = parsePrice(text, money.digits)
  if (typeof amount === 'string') throw new Fault('invalid-request', `the price of ${sku}: ${amount}`)
  return { amount, currency: money.currency }
}

/** A line without a SKU is no variant: that is how one is taken away. */
function variantsOf(draft: Draft, money: Money): unknown[] {
  const columns = columnsOf(draft)
  const variants: unknown[] = []
  for (let line = 0; line < variantLinesMax && `sku.${line}` in draft; line += 1) {
    const sku = (draft[`sku.${line}`] ?? '').trim()
    if (sku === '') continue
    const values = columns.map(({ column, name }) => [name, (draft[`value.${line}.${column}`] ?? '').trim()])
    const title = (draft[`name.${line}`] ?? '').trim()
    variants.push({
      sku,
      ...(title === '' ? {} : { title }),
      options: Object.fromEntries(values.filter(([, value]) => value !== '')),
      price: priceOf(draft[`price.${line}`] ?? '', sku, money),
    })
  }
  return variants
}

/** Names in the form's order; a value that no variant has and none had before is kept, it was only declared. */
function optionsAfter(
  body: ProductBody,
  names: readonly string[],
  before: Product | null,
): ProductBody['options'] {
  const used = new Map(optionsOf(body.variants).map(({ name, values }) => [name, values]))
  const usedBefore = new Map(optionsOf(before?.variants ?? []).map(({ name, values }) => [name, values]))
  return names.flatMap((name) => {
    const now = used.get(name) ?? []
    const declared = before?.options.find((option) => option.name === name)?.values ?? []
    const kept = declared.filter((value) => now.includes(value) || !usedBefore.get(name)?.includes(value))
    const values = [...kept, ...now.filter((value) => !kept.includes(value))]
    return values.length === 0 ? [] : [{ name, values }]
  })
}

/** What was typed, checked like a PUT. Texts that the browser alone changed stay as they were. Fault `invalid-request`. */
export function bodyOf(draft: Draft, before: Product | null, money: Money): ProductBody {
  if (!Object.values(draft).every(isCleanText)) throw new Fault('invalid-request', 'the form is not a text')
  const known = before === null ? null : draftOf(before, money)
  const typed = (name: string): boolean => known === null || !sameTyped(draft[name] ?? '', known[name] ?? '')
  const text = (name: 'title' | 'description' | 'vendor' | 'category'): string =>
    before !== null && !typed(name) ? before[name] : (draft[name] ?? '').replaceAll('\r\n', '\n')
  const tags = (draft['tags'] ?? '').split(',').map((tag) => tag.trim())
  const body = check(
    productBody,
    {
      title: text('title'),
      description: text('description'),
      vendor: text('vendor'),
      category: text('category'),
      tags: before !== null && !typed('tags') ? before.tags : tags.filter((tag) => tag !== ''),
      images:
        before !== null && !typed('images') ? before.images : linesOf(draft['images'] ?? '').map(imageOf),
      status: draft['status'],
      variants: variantsOf(draft, money),
    },
    'form',
  )
  const names = columnsOf(draft).map(({ name }) => name)
  return { ...body, options: optionsAfter(body, names, before) }
}

// ---------------------------------------------------------------- the form

function input(draft: Draft, name: string, label: string, more = ''): Html {
  return html`<label>${label} <input name="${name}" value="${draft[name] ?? ''}" ${raw(more)} /></label>`
}

/** A parser drops the first line break of a text area (WHATWG HTML, section 13.2.6.4.7), so one is given for that. */
function areaText(draft: Draft, name: string): string {
  return `\n${draft[name] ?? ''}`
}

function cell(draft: Draft, name: string, label: string): Html {
  return html`<td><input name="${name}" value="${draft[name] ?? ''}" aria-label="${label}" /></td>`
}

function variantTable(draft: Draft, money: Money): Html {
  const used = Array.from({ length: optionColumnsMax }, (_, column) => column).filter(
    (column) => (draft[`option.${column}`] ?? '') !== '',
  )
  const columns = Array.from(
    { length: Math.min(optionColumnsMax, (used.at(-1) ?? -1) + 2) },
    (_, column) => column,
  )
  const lines = Object.keys(draft).filter((name) => name.startsWith('sku.') && draft[name] !== '').length
  const rows = Array.from({ length: Math.min(variantLinesMax, lines + spareVariants) }, (_, line) => line)
  return html`<div class="overflow-auto">
    <table class="variants-edit">
      <thead>
        <tr>
          <th>SKU</th>
          <th>Name</th>
          <th>Price in ${money.currency}</th>
          ${columns.map(
            (column) =>
              html`<th>
                <input
                  name="option.${column}"
                  value="${draft[`option.${column}`] ?? ''}"
                  placeholder="Option ${column + 1}"
                  aria-label="Name of option ${column + 1}"
                />
              </th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (line) =>
            html`<tr>
              ${cell(draft, `sku.${line}`, `SKU of variant ${line + 1}`)}
              ${cell(draft, `name.${line}`, `Name of variant ${line + 1}`)}
              ${cell(draft, `price.${line}`, `Price of variant ${line + 1}`)}
              ${columns.map((column) =>
                cell(draft, `value.${line}.${column}`, `Option ${column + 1} of variant ${line + 1}`),
              )}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`
}

function statusChoice(draft: Draft): Html {
  return html`<label
    >Status
    <select name="status">
      ${productStatusSchema.options.map(
        (status) =>
          html`<option value="${status}" ${status === draft['status'] ? raw('selected') : ''}>
            ${status}
          </option>`,
      )}
    </select></label
  >`
}

/** `action`: where the form is sent; `isNew`: it also asks for the handle. */
export function productForm(
  draft: Draft,
  options: { action: string; key: string; isNew: boolean; money: Money },
): Html {
  return html`<form method="post" action="${options.action}" class="product-edit">
    <input type="hidden" name="key" value="${options.key}" />
    <input type="hidden" name="version" value="${draft['version'] ?? ''}" />
    ${options.isNew ? input(draft, 'handle', 'Handle (its name in addresses)', 'required') : ''}
    ${input(draft, 'title', 'Title', 'required maxlength="500"')}
    <label
      >Description (HTML) <textarea name="description" rows="8">${areaText(draft, 'description')}</textarea>
    </label>
    <div class="grid">
      ${statusChoice(draft)} ${input(draft, 'category', 'Category', 'maxlength="255"')}
      ${input(draft, 'vendor', 'Vendor', 'maxlength="255"')}
    </div>
    ${input(draft, 'tags', 'Tags, separated by commas')}
    <label
      >Images, one a line: address | what it shows
      <textarea name="images" rows="3">${areaText(draft, 'images')}</textarea>
    </label>
    <h2>Variants <small>clear a SKU to take the variant away</small></h2>
    ${variantTable(draft, options.money)}
    <button>Save</button>
  </form>`
}
