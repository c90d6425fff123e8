/** Small things that several pages show. */
import { html } from 'hono/html'
import sanitizeHtml from 'sanitize-html'
import { currencyDigits, formatPrice } from '../csv/price.ts'
import type { Html } from './layout.ts'

export function moneyText(amount: number, currency: string): string {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency })
  // As a text: a division would round great amounts.
  return format.format(formatPrice(amount, currencyDigits(currency)) as Intl.StringNumericLiteral)
}

/** An absolute URL as it is; anything else gets a drawing made from the product's name (API.md, "CSV"). */
export function imageUrl(src: string | null | undefined, name: string): string {
  if (typeof src === 'string' && /^https?:\/\//i.test(src)) return src
  return `/assets/placeholder/${encodeURIComponent(name.slice(0, 60))}.svg`
}

export function picture(src: string | null | undefined, name: string, alt: string): Html {
  return html`<img src="${imageUrl(src, name)}" alt="${alt}" loading="lazy" width="400" height="300" />`
}

/** What a shop's description may hold. Everything else is dropped, text is kept. */
const descriptionRules: sanitizeHtml.IOptions = {
  allowedTags:
    'p br ul ol li b strong i em u s h2 h3 h4 h5 h6 blockquote code pre table thead tbody tr th td a span div hr'.split(
      ' ',
    ),
  allowedAttributes: { a: ['href', 'title'], td: ['colspan', 'rowspan'], th: ['colspan', 'rowspan'] },
  allowedSchemes: ['http', 'https', 'mailto'],
  transformTags: { a: sanitizeHtml.simpleTransform('a', { rel: 'noopener nofollow' }) },
  nestingLimit: 30,
}

export function safeDescription(description: string): string {
  return sanitizeHtml(description, descriptionRules)
}

export function timeText(iso: string): string {
  return iso.replace('T', ' ').replace(/\.\d+Z$|Z$/, ' UTC')
}

/** A query string of what is set. */
export function queryText(values: { [name: string]: string | undefined }): string {
  const kept = Object.entries(values).filter(
    (pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== '',
  )
  return kept.length === 0 ? '' : `?${new URLSearchParams(kept).toString()}`
}
