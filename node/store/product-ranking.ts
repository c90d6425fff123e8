/**
 * Search by words (FTS5). A search is run once per change of the catalog and its order kept for a while, so that its
 * further pages cost little; cursors hold sort key and handle, and go on from there after a change as well.
 */
import type { ProductPage, ProductQuery } from '../ports.ts'
import type { Connection } from './connection.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { CursorPosition } from './cursor.ts'
import { filterConditions, orders } from './product-filters.ts'
import type { ProductTables } from './products.ts'
import { matchExpression } from './search-text.ts'

type Hit = { readonly id: number; readonly key: string | number; readonly handle: string }
type Ranking = { readonly hits: readonly Hit[]; readonly total: number }

/** Nobody pages further; `total` counts all. Bounds the memory of one ranking. */
const hitsMax = 5_000
/** Rankings kept; each at most `hitsMax` small rows. */
const rankingsMax = 32
/** What a word is worth where: title, vendor, category, tags, description. */
const weights = '10.0, 4.0, 5.0, 5.0, 1.0'
const emptyPage: ProductPage = { items: [], total: 0, next: null }

export class ProductRanking {
  readonly #connection: Connection
  readonly #products: ProductTables
  /** Oldest use first. */
  readonly #rankings = new Map<string, Ranking>()
  #generation = -1

  constructor(connection: Connection, products: ProductTables) {
    this.#connection = connection
    this.#products = products
  }

  page(query: ProductQuery, typed: string): ProductPage {
    const list = `search:${query.sort}`
    const keyType = query.sort === 'title' ? 'string' : 'number'
    const position = query.cursor === undefined ? null : decodeCursor(list, keyType, query.cursor)
    const expression = matchExpression(typed)
    if (expression === null) return emptyPage
    const { hits, total } = this.#ranking(query, expression)
    const start = position === null ? 0 : firstAfter(hits, position, isDescending(query))
    const page = hits.slice(start, start + query.limit)
    const last = page.at(-1)
    const more = last !== undefined && start + page.length < hits.length
    return {
      items: page.map((hit) => this.#text(hit)),
      total,
      next: more ? encodeCursor(list, { key: last.key, id: last.handle }) : null,
    }
  }

  #text(hit: Hit): string {
    return (
      this.#connection.one<{ json: string }>('SELECT json FROM products WHERE id = ?', hit.id)?.json ?? '{}'
    )
  }

  #ranking(query: ProductQuery, expression: string): Ranking {
    if (this.#generation !== this.#products.generation) {
      this.#rankings.clear()
      this.#generation = this.#products.generation
    }
    const { sort, status, category, vendor, tag } = query
    const key = JSON.stringify([expression, sort, status, category, vendor, tag])
    const ranking = this.#rankings.get(key) ?? this.#rank(query, expression)
    this.#rankings.delete(key)
    this.#rankings.set(key, ranking)
    const oldest = this.#rankings.keys().next().value
    if (this.#rankings.size > rankingsMax && oldest !== undefined) this.#rankings.delete(oldest)
    return ranking
  }

  #rank(query: ProductQuery, expression: string): Ranking {
    const { where, values } = filterConditions(query)
    const conditions = where.map((condition) => ` AND ${condition}`).join('')
    const order = query.sort === 'relevance' ? null : orders[query.sort]
    const key = order === null ? `bm25(product_search, ${weights})` : `p.${order.column}`
    const direction = order?.direction ?? 'ASC'
    const from = `FROM product_search s CROSS JOIN products p INDEXED BY products_by_id ON p.id = s.rowid
      WHERE s.product_search MATCH ?${conditions}`
    const hits = this.#connection.all<Hit>(
      `SELECT p.id AS id, ${key} AS key, p.handle AS handle ${from}
       ORDER BY key ${direction}, p.handle ${direction} LIMIT ?`,
      expression,
      ...values,
      hitsMax,
    )
    if (hits.length < hitsMax) return { hits, total: hits.length }
    const counted = this.#connection.one<{ count: number }>(
      `SELECT count(*) AS count ${from}`,
      expression,
      ...values,
    )
    return { hits, total: counted?.count ?? hits.length }
  }
}

function isDescending(query: ProductQuery): boolean {
  return query.sort !== 'relevance' && orders[query.sort].direction === 'DESC'
}

/** Compares as SQLite does: text by its UTF-8 bytes. */
function compare(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  return Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)))
}

/** Index of the first hit behind the position. */
function firstAfter(hits: readonly Hit[], position: CursorPosition, descending: boolean): number {
  const sign = descending ? -1 : 1
  let low = 0
  let high = hits.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const hit = hits[middle]
    if (hit === undefined) break
    const difference = sign * (compare(hit.key, position.key) || compare(hit.handle, position.id))
    if (difference > 0) high = middle
    else low = middle + 1
  }
  return low
}
