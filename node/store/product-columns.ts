/**
 * What facets are counted by, as columns in memory, indexed by the id of the product's row: counting 100,000 products
 * by rows takes SQLite a quarter of a second, by columns a millisecond. Made at the first question, some 10 MB for
 * 100,000 products; then only rows that were written are read again, so that the tables stay the one truth.
 */
import type { Product } from '../commands.ts'
import type { Connection } from './connection.ts'
import type { ProductTables } from './products.ts'

/** Rows read at once when all are read. */
const pageRows = 10_000
const statusCodes: { readonly [S in Product['status']]: number } = { active: 1, draft: 2, archived: 3 }
const noTags: readonly number[] = []

type Row = { id: number; status: Product['status']; category: string; vendor: string; price: number }
type TagRow = { tag: string; status: string; title_key: string; handle: string; product: number }

/** Numbers for texts, so that products hold small numbers. */
export class Names {
  readonly #codes = new Map<string, number>()
  readonly texts: string[] = []

  code(text: string): number {
    const known = this.#codes.get(text)
    if (known !== undefined) return known
    this.#codes.set(text, this.texts.length)
    return this.texts.push(text) - 1
  }

  /** -1 for a text that no product has. */
  find(text: string): number {
    return this.#codes.get(text) ?? -1
  }
}

/** Zero: no product has this id. */
export function statusCode(status: Product['status'] | undefined): number {
  return status === undefined ? 0 : statusCodes[status]
}

export class ProductColumns {
  readonly #connection: Connection
  readonly #products: ProductTables
  /** An installed snapshot is another database. */
  #database: Connection['database'] | null = null
  /** Ids are below this. */
  end = 0
  status = new Uint8Array(0)
  category = new Int32Array(0)
  vendor = new Int32Array(0)
  price = new Float64Array(0)
  tags: (readonly number[])[] = []
  categories = new Names()
  vendors = new Names()
  tagNames = new Names()

  constructor(connection: Connection, products: ProductTables) {
    this.#connection = connection
    this.#products = products
  }

  /** Reads what was written since the last time. */
  refresh(): void {
    const { database } = this.#connection
    const touched = this.#products.takeTouched()
    if (touched === null || database !== this.#database) this.#readAll()
    else for (const id of touched) this.#readOne(id)
    // What is read inside a transaction may be rolled back, and nobody says of which rows.
    this.#database = database.inTransaction ? null : database
  }

  #readAll(): void {
    const last = this.#connection.one<{ id: number | null }>('SELECT max(id) AS id FROM products')?.id ?? 0
    this.end = 0
    this.#grow(last + 1, true)
    this.categories = new Names()
    this.vendors = new Names()
    this.tagNames = new Names()
    const sql = `SELECT id, status, category, vendor, price FROM products INDEXED BY products_by_id
      WHERE id > ? ORDER BY id LIMIT ?`
    for (let after = 0; ;) {
      const rows = this.#connection.all<Row>(sql, after, pageRows)
      for (const row of rows) this.#set(row)
      const end = rows.at(-1)
      if (end === undefined || rows.length < pageRows) break
      after = end.id
    }
    this.#readTags()
  }

  #readTags(): void {
    const sql = `SELECT tag, status, title_key, handle, product FROM product_tags
      WHERE (tag, status, title_key, handle) > (?, ?, ?, ?) ORDER BY tag, status, title_key, handle LIMIT ?`
    let last: TagRow = { tag: '', status: '', title_key: '', handle: '', product: 0 }
    for (;;) {
      const { tag, status, title_key: key, handle } = last
      const rows = this.#connection.all<TagRow>(sql, tag, status, key, handle, pageRows)
      for (const row of rows) {
        const code = this.tagNames.code(row.tag)
        const known = this.tags[row.product] ?? noTags
        if (known.length === 0) this.tags[row.product] = [code]
        else (known as number[]).push(code)
      }
      const end = rows.at(-1)
      if (end === undefined || rows.length < pageRows) return
      last = end
    }
  }

  #readOne(id: number): void {
    if (id >= this.end) this.#grow(id + 1, false)
    const sql = 'SELECT id, status, category, vendor, price, json FROM products WHERE id = ?'
    const row = this.#connection.one<Row & { json: string }>(sql, id)
    this.status[id] = 0
    this.tags[id] = noTags
    if (row === undefined) return
    this.#set(row)
    const { tags } = JSON.parse(row.json) as Product
    this.tags[id] = [...new Set(tags)].map((tag) => this.tagNames.code(tag))
  }

  #set({ id, status, category, vendor, price }: Row): void {
    this.status[id] = statusCodes[status]
    this.category[id] = this.categories.code(category)
    this.vendor[id] = this.vendors.code(vendor)
    this.price[id] = price
  }

  /** A little more than needed, so that a growing catalog is not copied at every product. */
  #grow(end: number, isAnew: boolean): void {
    if (isAnew || end > this.status.length) {
      const size = Math.ceil(end * 1.25) + 64
      const kept = isAnew ? 0 : this.end
      const grown = <T extends Uint8Array | Int32Array | Float64Array>(next: T, before: T): T => {
        next.set(before.subarray(0, kept))
        return next
      }
      this.status = grown(new Uint8Array(size), this.status)
      this.category = grown(new Int32Array(size), this.category)
      this.vendor = grown(new Int32Array(size), this.vendor)
      this.price = grown(new Float64Array(size), this.price)
      this.tags = isAnew ? [] : this.tags
    }
    while (this.tags.length < end) this.tags.push(noTags)
    this.end = end
  }
}
