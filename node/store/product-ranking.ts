/**
 * Search by words (FTS5). What was found is kept in order for a while, so that further pages cost little. A cursor
 * holds sort key and handle, and both follow from the product and the words alone (never from the other products, as
 * bm25 does): so no change of the catalog moves a product that did not change itself from one page to another, and
 * every node has the same order.
 */
import type { ProductPage, ProductQuery } from '../ports.ts'
import type { Connection, Value } from './connection.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { CursorPosition } from './cursor.ts'
import { filterConditions, filtersKey, orders } from './product-filters.ts'
import type { ProductTables } from './products.ts'
import type { SearchWords } from './search-text.ts'
import { searchWords } from './search-text.ts'

type Hit = { readonly id: number; readonly key: string | number; readonly handle: string }
/** What was found behind `after` (null: from the beginning), in order; `isWhole`: up to its end. */
type Ranking = {
  readonly after: CursorPosition | null
  readonly hits: readonly Hit[]
  readonly isWhole: boolean
}

/** Found products kept in order at once; who pages beyond has the next ones looked up. Bounds memory. */
const hitsMax = 5_000
/** Rankings kept; each at most `hitsMax` small rows. */
const rankingsMax = 32
/** Totals kept: numbers only. */
const totalsMax = 1_000
/** Points for one word in the title; so many that the other columns together never outweigh it. */
const titlePoints = 20
/** On top, when it is a word of the title as it was typed: what only begins like it comes later. */
const exactPoints = 5
/** For one word in vendor, category or tags. A word that is only in the description gets none. */
const labelPoints = 4
/** Of equal points the shorter title is the closer match; the key is `-points * titleSpan + length of the title key` (80 at most). */
const titleSpan = 1_000
const emptyPage: ProductPage = { items: [], total: 0, next: null }

export class ProductRanking {
  readonly #connection: Connection
  readonly #products: ProductTables
  /** Oldest use first. */
  readonly #rankings = new Map<string, Ranking>()
  readonly #totals = new Map<string, number>()
  #generation = -1

  constructor(connection: Connection, products: ProductTables) {
    this.#connection = connection
    this.#products = products
  }

  page(query: ProductQuery, typed: string): ProductPage {
    const list = `search:${query.sort}`
    const keyType = query.sort === 'title' ? 'string' : 'number'
    const position = query.cursor === undefined ? null : decodeCursor(list, keyType, query.cursor)
    const words = searchWords(typed)
    if (words === null) return emptyPage
    this.#forgetOld()
    const key = JSON.stringify([words.all, filtersKey(query)])
    const hits = this.#hits(query, words, key, position)
    const page = hits.slice(0, query.limit)
    const last = page.at(-1)
    return {
      items: page.map((hit) => this.#text(hit)),
      total: this.#total(query, words, key),
      next:
        last === undefined || hits.length <= query.limit
          ? null
          : encodeCursor(list, { key: last.key, id: last.handle }),
    }
  }

  #text(hit: Hit): string {
    return (
      this.#connection.one<{ json: string }>('SELECT json FROM products WHERE id = ?', hit.id)?.json ?? '{}'
    )
  }

  #forgetOld(): void {
    if (this.#generation === this.#products.generation) return
    this.#rankings.clear()
    this.#totals.clear()
    this.#generation = this.#products.generation
  }

  /** One more than the page has, so that one knows whether there are more. */
  #hits(query: ProductQuery, words: SearchWords, key: string, position: CursorPosition | null): Hit[] {
    const first = `${query.sort} ${key}`
    // Beyond the first `hitsMax` the stretch that somebody pages through; there are few of them.
    for (const name of [first, `${first} further`]) {
      const known = this.#rankings.get(name)
      const hits = known === undefined ? null : pageOf(known, position, query)
      if (known === undefined || hits === null) continue
      this.#keep(name, known)
      return hits
    }
    const found = this.#rank(query, words, position)
    this.#keep(position === null ? first : `${first} further`, found)
    return found.hits.slice(0, query.limit + 1)
  }

  #keep(name: string, ranking: Ranking): void {
    this.#rankings.delete(name)
    this.#rankings.set(name, ranking)
    const oldest = this.#rankings.keys().next().value
    if (this.#rankings.size > rankingsMax && oldest !== undefined) this.#rankings.delete(oldest)
  }

  #rank(query: ProductQuery, words: SearchWords, after: CursorPosition | null): Ranking {
    const { where, values } = filterConditions(query)
    const order = query.sort === 'relevance' ? null : orders[query.sort]
    const direction = order?.direction ?? 'ASC'
    const found = order === null ? pointsOf(words) : allOf(words)
    const key = order === null ? 'found.key + length(p.title_key)' : `p.${order.column}`
    if (after !== null) {
      where.push(`(${key}, p.handle) ${direction === 'ASC' ? '>' : '<'} (?, ?)`)
      values.push(after.key, after.id)
    }
    const hits = this.#connection.all<Hit>(
      `SELECT p.id AS id, ${key} AS key, p.handle AS handle FROM ${joined(found.sql, where)}
       ORDER BY key ${direction}, p.handle ${direction} LIMIT ?`,
      ...found.values,
      ...values,
      hitsMax,
    )
    return { after, hits, isWhole: hits.length < hitsMax }
  }

  #total(query: ProductQuery, words: SearchWords, key: string): number {
    const ranking = this.#rankings.get(`${query.sort} ${key}`)
    if (ranking?.isWhole === true) return ranking.hits.length
    const known = this.#totals.get(key)
    if (known !== undefined) return known
    const { where, values } = filterConditions(query)
    const found = allOf(words)
    const sql = `SELECT count(*) AS count FROM ${joined(found.sql, where)}`
    const total = this.#connection.one<{ count: number }>(sql, ...found.values, ...values)?.count ?? 0
    if (this.#totals.size >= totalsMax) this.#totals.clear()
    this.#totals.set(key, total)
    return total
  }
}

type Found = { readonly sql: string; readonly values: Value[] }

/** `id` of every product that has all words. */
function allOf(words: SearchWords): Found {
  const sql = 'SELECT rowid AS id FROM product_search WHERE product_search MATCH ?'
  return { sql, values: [words.all] }
}

/** The same with `key`, less the better they match: the sum of what each word is worth where it was found. */
function pointsOf(words: SearchWords): Found {
  const parts = words.ranked.flatMap(({ title, exact, label }) => [
    { expression: title, points: titlePoints },
    { expression: exact, points: exactPoints },
    { expression: label, points: labelPoints },
  ])
  const one = (points: number): string =>
    `SELECT rowid AS id, ${-points * titleSpan} AS key FROM product_search WHERE product_search MATCH ?`
  const sql = [one(0), ...parts.map(({ points }) => one(points))].join(' UNION ALL ')
  return {
    sql: `SELECT id, sum(key) AS key FROM (${sql}) GROUP BY id`,
    values: [words.all, ...parts.map(({ expression }) => expression)],
  }
}

function joined(found: string, where: readonly string[]): string {
  const conditions = where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`
  return `(${found}) AS found CROSS JOIN products p INDEXED BY products_by_id ON p.id = found.id${conditions}`
}

function isDescending(query: ProductQuery): boolean {
  return query.sort !== 'relevance' && orders[query.sort].direction === 'DESC'
}

/** Compares as SQLite does: text by its UTF-8 bytes. */
function compare(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  return Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)))
}

function isBehind({ key, id }: CursorPosition, other: CursorPosition, descending: boolean): boolean {
  return (descending ? -1 : 1) * (compare(key, other.key) || compare(id, other.id)) > 0
}

/** The hits of a page and one more, null when the ranking does not reach that far. */
function pageOf(ranking: Ranking, position: CursorPosition | null, query: ProductQuery): Hit[] | null {
  const { after, hits, isWhole } = ranking
  const descending = isDescending(query)
  if (after !== null && (position === null || isBehind(after, position, descending))) return null
  const start = position === null ? 0 : firstBehind(hits, position, descending)
  const found = hits.slice(start, start + query.limit + 1)
  return isWhole || found.length > query.limit ? found : null
}

/** Index of the first hit behind the position. */
function firstBehind(hits: readonly Hit[], position: CursorPosition, descending: boolean): number {
  let low = 0
  let high = hits.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const hit = hits[middle]
    if (hit === undefined) break
    if (isBehind({ key: hit.key, id: hit.handle }, position, descending)) high = middle
    else low = middle + 1
  }
  return low
}
