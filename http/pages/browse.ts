/** Storefront: looking around. Served at any node, from its own copy of the catalog. */
import { randomUUID } from 'node:crypto'
import type { Context } from 'hono'
import { html, raw } from 'hono/html'
import type { Product } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import { parseHandle } from '../../node/ids.ts'
import { checkQuery, pathId } from '../input.ts'
import { isActive, productQueryOf } from '../routes/catalog.ts'
import { productsQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import type { Filter } from './filters.ts'
import { chosen, facetPanel, filledIn, filterOf } from './filters.ts'
import { moneyText, picture, queryText, safeDescription } from './format.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { frameOf } from './visitors.ts'

const sorts = [
  ['', 'Best match'],
  ['title', 'Title'],
  ['price', 'Price, low first'],
  ['-price', 'Price, high first'],
  ['newest', 'Newest'],
] as const

function priceText(product: Product): string {
  const amounts = product.variants.map(({ price }) => price.amount)
  const lowest = Math.min(...amounts)
  const text = moneyText(lowest, product.variants[0]?.price.currency ?? 'USD')
  return amounts.some((amount) => amount !== lowest) ? `from ${text}` : text
}

function card(product: Product): Html {
  const image = product.images[0]
  return html`<a class="card" href="/products/${encodeURIComponent(product.handle)}">
    ${picture(image?.src, product.title, image?.alt ?? product.title)}
    <span class="card-text">
      <span class="card-title">${product.title}</span>
      <span class="card-price">${priceText(product)}</span>
    </span>
  </a>`
}

function sortForm(filter: Filter): Html {
  const { sort, ...rest } = filter
  return html`<form
    class="sort"
    action="/"
    method="get"
    hx-get="/"
    hx-trigger="change"
    hx-target="#results"
    hx-select="#results"
    hx-swap="outerHTML"
    hx-push-url="true"
  >
    ${Object.entries(rest).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}
    <select name="sort" aria-label="Sort by">
      ${sorts.map(
        ([value, label]) =>
          html`<option value="${value}" ${value === (sort ?? '') ? raw('selected') : ''}>${label}</option>`,
      )}
    </select>
    <noscript><button>Sort</button></noscript>
  </form>`
}

function heading(filter: Filter): string {
  const q = filter['q'] ?? ''
  if (q !== '') return `“${q}”`
  return filter['category'] ?? filter['tag'] ?? filter['vendor'] ?? 'The bazaar'
}

async function browse(shop: Shop, context: Context): Promise<string> {
  const { catalog } = shop.replica
  const currency = catalog.currency()
  const query = checkQuery(filledIn(context.req.url, currency), productsQuery)
  const wanted = productQueryOf(query, 'active')
  const found = catalog.products(wanted)
  const filter = filterOf(query)
  const panel = { path: '/', filter, currency }
  const products = found.items.map((text) => JSON.parse(text) as Product)
  const body = html`<div class="browse">
    <aside class="facets" aria-label="Narrow down">${facetPanel(panel, catalog.facets(wanted))}</aside>
    <section id="results">
      <div class="results-head">
        <h1>
          ${(query.q ?? '') === '' ? html`<span class="name">${heading(filter)}</span>` : heading(filter)}
          <small>${found.total} ${found.total === 1 ? 'product' : 'products'}</small>
        </h1>
        ${sortForm(filter)}
      </div>
      ${chosen(panel)}
      ${products.length === 0 ? html`<p>Nothing here. Try other words, or <a href="/">look at everything</a>.</p>` : ''}
      <div class="grid-cards">${products.map(card)}</div>
      <nav class="pages">
        ${query.cursor === undefined ? '' : html`<a href="/${queryText(filter)}">First page</a>`}
        ${
          found.next === null
            ? ''
            : html`<a role="button" class="next" href="/${queryText({ ...filter, cursor: found.next })}"
                >More</a
              >`
        }
      </nav>
    </section>
  </div>`
  return await page(shop, {
    ...(await frameOf(shop, context)),
    title: heading(filter),
    body,
    ...(query.q === undefined ? {} : { q: query.q }),
  })
}

function variantChoice(product: Product): Html {
  const [only] = product.variants
  if (product.variants.length === 1 && only !== undefined)
    return html`<input type="hidden" name="sku" value="${only.sku}" />
      <p class="price">${moneyText(only.price.amount, only.price.currency)}</p>`
  return html`<fieldset class="variants">
    <legend>${product.options.map(({ name }) => name).join(' / ') || 'Choose'}</legend>
    ${product.variants.map(
      (variant, index) =>
        html`<label>
          <input
            type="radio"
            name="sku"
            value="${variant.sku}"
            ${index === 0 ? raw('checked') : ''}
            required
          />
          <span>${variant.title || variant.sku}</span>
          <strong>${moneyText(variant.price.amount, variant.price.currency)}</strong>
        </label>`,
    )}
  </fieldset>`
}

async function productPage(shop: Shop, context: Context): Promise<string> {
  const text = shop.replica.catalog.productJson(pathId(context, 'handle', parseHandle, 'product'))
  if (text === null || !isActive(text)) throw new Fault('not-found', 'there is no such product')
  const product = JSON.parse(text) as Product
  const [image, ...more] = product.images
  const body = html`<nav class="crumbs" aria-label="breadcrumb">
      <ul>
        <li><a href="/">The bazaar</a></li>
        ${
          product.category === ''
            ? ''
            : html`<li><a href="/${queryText({ category: product.category })}">${product.category}</a></li>`
        }
        <li>${product.title}</li>
      </ul>
    </nav>
    <article class="product">
      <div class="product-images">
        ${picture(image?.src, product.title, image?.alt ?? product.title)}
        ${more.map(({ src, alt }, index) => picture(src, `${product.title} ${index + 2}`, alt))}
      </div>
      <div>
        <hgroup>
          <h1>${product.title}</h1>
          <p>${product.vendor}</p>
        </hgroup>
        <form class="add" method="post" action="/cart/items">
          <input type="hidden" name="key" value="${randomUUID()}" />
          ${variantChoice(product)}
          <div class="buy">
            <input type="number" name="quantity" value="1" min="1" max="999" required aria-label="Quantity" />
            <button id="add">Add to cart</button>
          </div>
        </form>
        <div class="description">${raw(safeDescription(product.description))}</div>
        <p class="tags">${product.tags.map((tag) => html`<a href="/${queryText({ tag })}">${tag}</a> `)}</p>
      </div>
    </article>`
  return await page(shop, { ...(await frameOf(shop, context)), title: product.title, body })
}

export function browsePages(shop: Shop): void {
  pageRoute(shop, 'get', '/', async (context) => await browse(shop, context))
  pageRoute(shop, 'get', '/products/:handle', async (context) => await productPage(shop, context))
}
