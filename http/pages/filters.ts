/** What products can be narrowed down by, with how many there are: for the storefront and the back office. */
import { html, raw } from 'hono/html'
import type { z } from '@hono/zod-openapi'
import type { FacetCount, ProductFacets } from '../../node/replica-api.ts'
import { currencyDigits, formatPrice, parsePrice } from '../csv/price.ts'
import { invalidRequest } from '../input.ts'
import type { productsQuery } from '../schemas.ts'
import { moneyText, queryText } from './format.ts'
import type { Html } from './layout.ts'

/** Parameters of the address of a list, as text. */
export type Filter = { readonly [name: string]: string }

/** Names shown per facet before the rest is folded away. */
const shownMax = 8
const titles = { category: 'Category', vendor: 'Maker', tag: 'Tag' } as const
type Facet = keyof typeof titles

/** What the query says, to be said again in links; not where the page begins. */
export function filterOf(query: z.output<typeof productsQuery>, more: Filter = {}): Filter {
  const { q, category, tag, vendor, minPrice, maxPrice, sort } = query
  const named = Object.entries({ q, category, tag, vendor, minPrice, maxPrice, sort })
  const given = named.filter((pair): pair is [string, string | number] => pair[1] !== undefined)
  return { ...Object.fromEntries(given.map(([name, value]) => [name, String(value)])), ...more }
}

/**
 * What was filled in: an empty field of a form asks for nothing. People give prices as `from` and `to` in the currency
 * of the shop, addresses hold them in minor units.
 */
export function filledIn(url: string, currency: string): { [name: string]: string } {
  const given = [...new URL(url).searchParams].filter(([, value]) => value !== '')
  const { from, to, ...rest } = Object.fromEntries(given)
  return {
    ...rest,
    ...(from === undefined ? {} : { minPrice: minorUnits('from', from, currency) }),
    ...(to === undefined ? {} : { maxPrice: minorUnits('to', to, currency) }),
  }
}

function minorUnits(name: string, text: string, currency: string): string {
  const amount = parsePrice(text.replace(',', '.'), currencyDigits(currency))
  if (typeof amount === 'number') return String(amount)
  throw invalidRequest(`${name}: ${amount}`, [{ path: name, message: amount }])
}

function majorUnits(amount: string | undefined, currency: string): string {
  return amount === undefined ? '' : formatPrice(Number(amount), currencyDigits(currency))
}

type Panel = { readonly path: string; readonly filter: Filter; readonly currency: string }

function choice(panel: Panel, name: Facet, label: string, value: string, count: number | null): Html {
  const isCurrent = (panel.filter[name] ?? '') === value
  // The choice made is taken back by choosing it again.
  const href = panel.path + queryText({ ...panel.filter, [name]: isCurrent ? '' : value })
  return html`<li>
    <a href="${href}" ${isCurrent ? raw('aria-current="true"') : ''}>
      <span>${label}</span>${count === null ? '' : html`<small>${count}</small>`}
    </a>
  </li>`
}

function names(panel: Panel, name: Facet, counts: readonly FacetCount[]): Html {
  if (counts.length === 0) return html``
  const entry = ({ name: value, count }: FacetCount): Html => choice(panel, name, value, value, count)
  const chosen = panel.filter[name]
  const isShown = ({ name: value }: FacetCount, place: number): boolean =>
    place < shownMax || value === chosen
  const folded = counts.filter((count, place) => !isShown(count, place))
  const everything = name === 'category' ? choice(panel, name, 'Everything', '', null) : ''
  return html`<section class="facet">
    <h2>${titles[name]}</h2>
    <ul>
      ${everything} ${counts.filter(isShown).map(entry)}
    </ul>
    ${
      folded.length === 0
        ? ''
        : html`<details>
            <summary>${folded.length} more</summary>
            <ul>
              ${folded.map(entry)}
            </ul>
          </details>`
    }
  </section>`
}

function bands(panel: Panel, price: NonNullable<ProductFacets['price']>): Html {
  const { minPrice, maxPrice } = panel.filter
  return html`<ul>
    ${price.bands.map((band) => {
      const range = { minPrice: String(band.minPrice), maxPrice: String(band.maxPrice) }
      const isCurrent = minPrice === range.minPrice && maxPrice === range.maxPrice
      const href =
        panel.path + queryText({ ...panel.filter, ...(isCurrent ? { minPrice: '', maxPrice: '' } : range) })
      const [from, to] = [band.minPrice, band.maxPrice].map((amount) => moneyText(amount, panel.currency))
      return html`<li>
        <a href="${href}" ${isCurrent ? raw('aria-current="true"') : ''}
          ><span>${from === to ? from : `${from} – ${to}`}</span><small>${band.count}</small></a
        >
      </li>`
    })}
  </ul>`
}

function priceForm(panel: Panel, price: ProductFacets['price']): Html {
  const { minPrice, maxPrice, ...others } = panel.filter
  if (price === null && minPrice === undefined && maxPrice === undefined) return html``
  const field = (name: string, label: string, amount: string | undefined): Html =>
    html`<input
      name="${name}"
      inputmode="decimal"
      placeholder="${label}"
      aria-label="Price ${label}"
      value="${majorUnits(amount, panel.currency)}"
    />`
  return html`<section class="facet">
    <h2>Price</h2>
    ${price === null ? '' : bands(panel, price)}
    <form class="price-range" method="get" action="${panel.path}">
      ${Object.entries(others).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}
      ${field('from', 'from', minPrice)} ${field('to', 'to', maxPrice)}
      <button class="secondary outline">Go</button>
    </form>
  </section>`
}

/** Every facet as links: works without scripts, and each choice has an address. */
export function facetPanel(panel: Panel, facets: ProductFacets): Html {
  return html`${names(panel, 'category', facets.category)} ${priceForm(panel, facets.price)}
  ${names(panel, 'vendor', facets.vendor)} ${names(panel, 'tag', facets.tag)}`
}

/** What is chosen now, each with its way back. */
export function chosen({ path, filter, currency }: Panel): Html {
  const { minPrice, maxPrice } = filter
  const money = (amount: string): string => moneyText(Number(amount), currency)
  const price =
    minPrice === undefined
      ? maxPrice === undefined
        ? undefined
        : `up to ${money(maxPrice)}`
      : maxPrice === undefined
        ? `from ${money(minPrice)}`
        : `${money(minPrice)} – ${money(maxPrice)}`
  const { category, vendor, tag } = filter
  const made = Object.entries({ category, vendor, tag, price }).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  )
  if (made.length === 0) return html``
  return html`<p class="chosen">
    ${made.map(([name, text]) => {
      const without = name === 'price' ? { ...filter, minPrice: '', maxPrice: '' } : { ...filter, [name]: '' }
      return html`<a href="${path}${queryText(without)}" aria-label="Without ${text}">${text} ×</a> `
    })}
  </p>`
}
