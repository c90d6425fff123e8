/** Tables `products`, `product_tags`, `variants`, `facet_counts` and `product_search`: written together, always. */
import type { Product } from '../commands.ts'
import { assert } from '../faults.ts'
import type { Handle, Sku } from '../ids.ts'
import type { SkuInfo } from '../ports.ts'
import type { Connection } from './connection.ts'
import { searchRow, titleKey } from './search-text.ts'

/** What products are counted by, each value together with each status. `all` has the empty value. */
export type Facet = 'all' | 'category' | 'vendor' | 'tag'

type StoredRow = { id: number; title_key: string; status: string; created_version: number; json: string }
type Facts = { status: string; facets: [Facet, string][] }

/** More rows than this are read anew all together. */
const touchedMax = 5_000
/** Counts kept; a shop has some hundred categories and vendors, and whoever asks for others learns that there are none. */
const countsMax = 5_000
/** Rows of one page of `texts`: few enough to leave the event loop free between pages. */
const textsPageSize = 200

function factsOf(product: Product): Facts {
  const tags = [...new Set(product.tags)].map((tag): [Facet, string] => ['tag', tag])
  const facets: [Facet, string][] = [
    ['all', ''],
    ['category', product.category],
    ['vendor', product.vendor],
    ...tags,
  ]
  return { status: product.status, facets }
}

function lowestPrice(product: Product): number {
  return Math.min(...product.variants.map((variant) => variant.price.amount))
}

export class ProductTables {
  readonly #connection: Connection
  /** Counts up whenever product rows may have changed; caches of lists are valid for one generation. */
  generation = 0
  /** Rows written since whoever keeps a copy of them looked last (`product-columns.ts`); null: too many to tell. */
  #touched: Set<number> | null = null
  /** Of `#countsGeneration`. */
  #counts = new Map<string, number>()
  #countsGeneration = -1

  constructor(connection: Connection) {
    this.#connection = connection
    connection.onReset(() => (this.generation += 1))
  }

  text(handle: Handle): string | null {
    return (
      this.#connection.one<{ json: string }>('SELECT json FROM products WHERE handle = ?', handle)?.json ??
      null
    )
  }

  get(handle: Handle): Product | null {
    const text = this.text(handle)
    return text === null ? null : (JSON.parse(text) as Product)
  }

  sku(sku: Sku): SkuInfo | null {
    const sql = `SELECT sku, handle, title, variant_title AS variantTitle, image, price, status
      FROM variants WHERE sku = ?`
    return this.#connection.one<SkuInfo>(sql, sku) ?? null
  }

  skuOwner(sku: Sku): Handle | null {
    return (
      this.#connection.one<{ handle: Handle }>('SELECT handle FROM variants WHERE sku = ?', sku)?.handle ??
      null
    )
  }

  /** Ids of rows that were written, or may have been, since the last call; null for all of them. */
  takeTouched(): ReadonlySet<number> | null {
    const touched = this.#touched
    this.#touched = new Set()
    return touched
  }

  #touch(id: number): void {
    this.generation += 1
    if (this.#touched?.add(id).size === touchedMax) this.#touched = null
  }

  /** The given product's JSON is stored as it is: the caller gives it in canonical form. */
  put(product: Product): void {
    const stored = this.#stored(product.handle)
    const before = stored === undefined ? null : (JSON.parse(stored.json) as Product)
    if (stored !== undefined && before !== null) this.#removeDependents(stored, before)
    const key = titleKey(product.title)
    const created = stored?.created_version ?? product.catalogVersion
    const price = lowestPrice(product)
    const { category, vendor, status } = product
    const json = JSON.stringify(product)
    const written = this.#connection.one<{ id: number }>(
      `INSERT INTO products (handle, title_key, category, vendor, status, price, created_version, json)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (handle) DO UPDATE SET title_key = excluded.title_key, category = excluded.category,
         vendor = excluded.vendor, status = excluded.status, price = excluded.price, json = excluded.json
       RETURNING id`,
      product.handle,
      key,
      category,
      vendor,
      status,
      price,
      created,
      json,
    )
    assert(written !== undefined, 'the row was inserted or updated')
    const { id } = written
    this.#touch(id)
    for (const tag of new Set(product.tags))
      this.#connection.run(
        `INSERT INTO product_tags (tag, status, title_key, handle, price, created_version, product)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        tag,
        status,
        key,
        product.handle,
        price,
        created,
        id,
      )
    this.#insertVariants(product)
    this.#insertSearch(id, product)
    this.#count(before === null ? null : factsOf(before), factsOf(product))
  }

  delete(handle: Handle): void {
    const stored = this.#stored(handle)
    if (stored === undefined) return
    this.#touch(stored.id)
    const before = JSON.parse(stored.json) as Product
    this.#removeDependents(stored, before)
    this.#connection.run('DELETE FROM products WHERE id = ?', stored.id)
    this.#count(factsOf(before), null)
  }

  /** Kept until the next change of a product: every list asks for one or two. */
  count(facet: Facet, value: string, status: string | undefined): number {
    if (this.#countsGeneration !== this.generation || this.#counts.size >= countsMax) {
      this.#counts = new Map()
      this.#countsGeneration = this.generation
    }
    const key = `${facet} ${status ?? ''} ${value}`
    const known = this.#counts.get(key)
    if (known !== undefined) return known
    const count = this.#readCount(facet, value, status)
    this.#counts.set(key, count)
    return count
  }

  #readCount(facet: Facet, value: string, status: string | undefined): number {
    const where = status === undefined ? '' : ' AND status = ?'
    const sql = `SELECT sum(count) AS count FROM facet_counts WHERE facet = ? AND value = ?${where}`
    const values = status === undefined ? [facet, value] : [facet, value, status]
    return this.#connection.one<{ count: number | null }>(sql, ...values)?.count ?? 0
  }

  categories(): { name: string; count: number }[] {
    const sql = `SELECT value AS name, count FROM facet_counts
      WHERE facet = 'category' AND value <> '' AND status = 'active' ORDER BY value`
    return this.#connection.all<{ name: string; count: number }>(sql)
  }

  /** All products in handle order. Read in pages: an open cursor would forbid every write until it is done. */
  *texts(): Iterable<string> {
    const sql = 'SELECT handle, json FROM products WHERE handle > ? ORDER BY handle LIMIT ?'
    for (let after = ''; ;) {
      const page = this.#connection.all<{ handle: string; json: string }>(sql, after, textsPageSize)
      for (const row of page) yield row.json
      const last = page.at(-1)
      if (last === undefined || page.length < textsPageSize) return
      after = last.handle
    }
  }

  #stored(handle: Handle): StoredRow | undefined {
    const sql = 'SELECT id, title_key, status, created_version, json FROM products WHERE handle = ?'
    return this.#connection.one<StoredRow>(sql, handle)
  }

  #removeDependents(stored: StoredRow, before: Product): void {
    for (const tag of new Set(before.tags))
      this.#connection.run(
        'DELETE FROM product_tags WHERE tag = ? AND status = ? AND title_key = ? AND handle = ?',
        tag,
        stored.status,
        stored.title_key,
        before.handle,
      )
    // A SKU that moved to another product within one version is that product's already.
    for (const variant of before.variants)
      this.#connection.run('DELETE FROM variants WHERE sku = ? AND handle = ?', variant.sku, before.handle)
    this.#connection.run('DELETE FROM product_search WHERE rowid = ?', stored.id)
  }

  #insertVariants(product: Product): void {
    const image = product.images[0]?.src ?? null
    for (const { sku, title, price } of product.variants)
      this.#connection.run(
        'INSERT OR REPLACE INTO variants (sku, handle, title, variant_title, image, price, status) VALUES (?, ?, ?, ?, ?, ?, ?)',
        sku,
        product.handle,
        product.title,
        title,
        image,
        price.amount,
        product.status,
      )
  }

  #insertSearch(id: number, product: Product): void {
    this.#connection.run(
      'INSERT INTO product_search (rowid, title, vendor, category, tags, description) VALUES (?, ?, ?, ?, ?, ?)',
      id,
      ...searchRow(product),
    )
  }

  /** Moves the counts from what the product was to what it is; facets that stay cost nothing. */
  #count(before: Facts | null, after: Facts | null): void {
    const deltas = new Map<string, { facet: Facet; value: string; status: string; delta: number }>()
    const note = (facts: Facts | null, delta: number): void => {
      for (const [facet, value] of facts?.facets ?? []) {
        const status = facts?.status ?? ''
        const key = JSON.stringify([facet, value, status])
        deltas.set(key, { facet, value, status, delta: (deltas.get(key)?.delta ?? 0) + delta })
      }
    }
    note(before, -1)
    note(after, 1)
    for (const { facet, value, status, delta } of deltas.values()) {
      if (delta === 0) continue
      this.#connection.run(
        `INSERT INTO facet_counts (facet, value, status, count) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET count = count + excluded.count`,
        facet,
        value,
        status,
        delta,
      )
      if (delta < 0)
        this.#connection.run(
          'DELETE FROM facet_counts WHERE facet = ? AND value = ? AND status = ? AND count = 0',
          facet,
          value,
          status,
        )
    }
  }
}
