/** Facets: what a shopper could choose next, and how many products there would be (`ProductFacets`, ports.ts). */
import type { FacetCount, PriceBand, ProductFacets, ProductQuery } from '../ports.ts'
import type { Connection } from './connection.ts'
import type { Names } from './product-columns.ts'
import { ProductColumns, statusCode } from './product-columns.ts'
import { filtersKey, priceRange } from './product-filters.ts'
import type { ProductTables } from './products.ts'
import { searchWords } from './search-text.ts'

/** Names told per facet, those with most products: nobody reads through more, and a shop may have thousands of tags. */
const namesMax = 50
const bandsMax = 5
/** Answers kept until the catalog changes; each at most some 150 names. */
const answersMax = 256

/** Which one condition a product misses: it still counts for that one facet. */
const category = 1
const vendor = 2
const tag = 4
const price = 8

/** The choices of a query as numbers; -1: not made, -2: of something that no product has. */
type Choices = {
  status: number
  category: number
  vendor: number
  tag: number
  range: readonly [number, number] | null
}

class Tally {
  readonly category: Int32Array
  readonly vendor: Int32Array
  readonly tag: Int32Array
  readonly prices: number[] = []

  constructor({ categories, vendors, tagNames }: ProductColumns) {
    this.category = new Int32Array(categories.texts.length)
    this.vendor = new Int32Array(vendors.texts.length)
    this.tag = new Int32Array(tagNames.texts.length)
  }
}

export class ProductFacetCounts {
  readonly #connection: Connection
  readonly #products: ProductTables
  readonly #columns: ProductColumns
  readonly #answers = new Map<string, ProductFacets>()
  #generation = -1

  constructor(connection: Connection, products: ProductTables) {
    this.#connection = connection
    this.#products = products
    this.#columns = new ProductColumns(connection, products)
  }

  of(query: ProductQuery): ProductFacets {
    if (this.#generation !== this.#products.generation || this.#answers.size >= answersMax) {
      this.#answers.clear()
      this.#generation = this.#products.generation
    }
    const typed = query.q?.trim() ?? ''
    const words = typed === '' ? null : searchWords(typed)
    const key = JSON.stringify([typed === '' ? null : (words?.all ?? ''), filtersKey(query)])
    const known = this.#answers.get(key)
    if (known !== undefined) return known
    this.#columns.refresh()
    const tally = new Tally(this.#columns)
    const count = counter(this.#columns, choicesOf(this.#columns, query), tally)
    if (typed === '') for (let id = 0; id < this.#columns.end; id += 1) count(id)
    else if (words !== null) for (const id of this.#found(words.all)) count(id)
    const facets = this.#told(query, tally)
    this.#answers.set(key, facets)
    return facets
  }

  #found(expression: string): number[] {
    const sql = 'SELECT rowid AS id FROM product_search WHERE product_search MATCH ?'
    return this.#connection.all<{ id: number }>(sql, expression).map(({ id }) => id)
  }

  #told(query: ProductQuery, tally: Tally): ProductFacets {
    const { categories, vendors, tagNames } = this.#columns
    return {
      category: namesOf(categories, tally.category, query.category),
      vendor: namesOf(vendors, tally.vendor, query.vendor),
      tag: namesOf(tagNames, tally.tag, query.tag),
      price: pricesOf(tally.prices),
    }
  }
}

function choicesOf(columns: ProductColumns, query: ProductQuery): Choices {
  const code = (names: Names, text: string | undefined): number => {
    if (text === undefined) return -1
    const found = names.find(text)
    return found < 0 ? -2 : found
  }
  return {
    status: statusCode(query.status),
    category: code(columns.categories, query.category),
    vendor: code(columns.vendors, query.vendor),
    tag: code(columns.tagNames, query.tag),
    range: priceRange(query),
  }
}

/** Counts one product where it belongs: everywhere, or for the one facet whose choice alone leaves it out. */
function counter(columns: ProductColumns, choices: Choices, tally: Tally): (id: number) => void {
  const [lowest, highest] = choices.range ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  return (id) => {
    const status = columns.status[id] ?? 0
    if (status === 0 || (choices.status !== 0 && status !== choices.status)) return
    const ownCategory = columns.category[id] ?? 0
    const ownVendor = columns.vendor[id] ?? 0
    const ownPrice = columns.price[id] ?? 0
    const ownTags = columns.tags[id] ?? []
    let missed = 0
    if (choices.category !== -1 && ownCategory !== choices.category) missed |= category
    if (choices.vendor !== -1 && ownVendor !== choices.vendor) missed |= vendor
    if (choices.tag !== -1 && !ownTags.includes(choices.tag)) missed |= tag
    if (ownPrice < lowest || ownPrice > highest) missed |= price
    if (missed === 0 || missed === category) add(tally.category, ownCategory)
    if (missed === 0 || missed === vendor) add(tally.vendor, ownVendor)
    if (missed === 0 || missed === tag) for (const one of ownTags) add(tally.tag, one)
    if (missed === 0 || missed === price) tally.prices.push(ownPrice)
  }
}

function add(counts: Int32Array, code: number): void {
  counts[code] = (counts[code] ?? 0) + 1
}

/** Most products first, then by name. A product without a category or vendor is nothing to choose. */
function namesOf({ texts }: Names, counts: Int32Array, chosen: string | undefined): FacetCount[] {
  const all = texts.flatMap((name, code) => {
    const count = counts[code] ?? 0
    return name === '' || (count === 0 && name !== chosen) ? [] : [{ name, count }]
  })
  all.sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))
  const told = all.slice(0, namesMax)
  if (chosen === undefined || chosen === '' || told.some(({ name }) => name === chosen)) return told
  return [...told, all.find(({ name }) => name === chosen) ?? { name: chosen, count: 0 }]
}

/** To one of 1, 1.5, 2, 2.5 … 9.5 times a power of ten: what people think in. */
function roundPrice(amount: number): number {
  const step = Math.max(1, 10 ** Math.floor(Math.log10(Math.max(1, amount))) / 2)
  return Math.round(amount / step) * step
}

/** Bands of about as many products each, with round bounds between them. */
function pricesOf(given: readonly number[]): ProductFacets['price'] {
  const prices = Float64Array.from(given).sort()
  const min = prices[0]
  const max = prices.at(-1)
  if (min === undefined || max === undefined) return null
  const bounds = new Set<number>()
  for (let part = 1; part < bandsMax; part += 1) {
    const bound = roundPrice(prices[Math.floor((prices.length * part) / bandsMax)] ?? min)
    if (bound > min && bound <= max) bounds.add(bound)
  }
  const edges = [min, ...bounds, max + 1]
  const bands: PriceBand[] = []
  let begin = 0
  for (const [place, minPrice] of edges.slice(0, -1).entries()) {
    const next = edges[place + 1] ?? max + 1
    let end = begin
    while (end < prices.length && (prices[end] ?? 0) < next) end += 1
    if (end > begin) bands.push({ minPrice, maxPrice: next - 1, count: end - begin })
    begin = end
  }
  return { min, max, bands }
}
