/**
 * Lists of products: every page is a range of one index, from where the page before ended (keyset pagination), so that
 * its cost does not grow with the catalog. Words typed by a shopper go to `product-ranking.ts`.
 */
import type { ProductPage, ProductQuery } from '../ports.ts'
import type { Connection, Value } from './connection.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { CursorPosition } from './cursor.ts'
import { filterConditions, filtersKey, orders, priceRange } from './product-filters.ts'
import type { Filters, Order } from './product-filters.ts'
import type { Facet, ProductTables } from './products.ts'
import { ProductRanking } from './product-ranking.ts'

type Source = { readonly table: string; readonly where: string; readonly values: Value[] }
type Row = { json: string; key: string | number; handle: string }

/** Totals kept in memory; one entry per combination of filters that somebody asked for since the last change. */
const totalsMax = 1_000
const statuses = ['active', 'draft', 'archived'] as const
/**
 * So few products in a range of prices are gathered and sorted by what else is asked for; with more, walking along that
 * order soon meets enough of them.
 */
const gatheredMax = 2_000
/** Before everything that there is. */
const starts: { readonly [D in Order['direction']]: (order: Order) => CursorPosition } = {
  ASC: ({ column }) => ({ key: column === 'title_key' ? '' : -1, id: '' }),
  DESC: () => ({ key: Number.MAX_SAFE_INTEGER, id: '\u{10ffff}' }),
}

export class ProductLists {
  readonly #connection: Connection
  readonly #products: ProductTables
  readonly #ranking: ProductRanking
  #totals = new Map<string, number>()
  #totalsGeneration = -1

  constructor(connection: Connection, products: ProductTables) {
    this.#connection = connection
    this.#products = products
    this.#ranking = new ProductRanking(connection, products)
  }

  /** Fault `invalid-request` for a cursor of another list. */
  page(query: ProductQuery): ProductPage {
    if (query.q !== undefined && query.q.trim() !== '') return this.#ranking.page(query, query.q)
    const sort = query.sort === 'relevance' ? 'title' : query.sort
    const order = orders[sort]
    const keyType = sort === 'title' ? 'string' : 'number'
    const position = query.cursor === undefined ? null : decodeCursor(`list:${sort}`, keyType, query.cursor)
    const rows = this.#rows(query, order, position, query.limit + 1)
    const items = rows.slice(0, query.limit)
    const last = items.at(-1)
    const more = rows.length > items.length && last !== undefined
    return {
      items: items.map((row) => row.json),
      total: this.#total(query),
      next: more ? encodeCursor(`list:${sort}`, { key: last.key, id: last.handle }) : null,
    }
  }

  /** Without a status, one range per status, merged: each index begins with it. */
  #rows(filters: Filters, order: Order, position: CursorPosition | null, limit: number): Row[] {
    const asked = filters.status === undefined ? statuses : [filters.status]
    const facet = this.#drivingFacet(filters)
    const start = position ?? starts[order.direction](order)
    const [only] = asked
    if (asked.length === 1 && only !== undefined && facet !== 'tag') {
      const { sql, values } = this.#branch({ ...filters, status: only }, facet, 'p.json', order, start)
      return this.#connection.all<Row>(sql, ...values, limit)
    }
    const id = facet === 'tag' ? 'g.product AS id' : 'p.id AS id'
    const branches = asked.map((status) => this.#branch({ ...filters, status }, facet, id, order, start))
    const merged = branches.map((branch) => `SELECT * FROM (${branch.sql})`).join(' UNION ALL ')
    const sql = `SELECT p.json, found.key, found.handle
      FROM (${merged} ORDER BY key ${order.direction}, handle ${order.direction} LIMIT ?) AS found
      JOIN products p ON p.id = found.id
      ORDER BY found.key ${order.direction}, found.handle ${order.direction}`
    const values = branches.flatMap((branch) => [...branch.values, limit])
    return this.#connection.all<Row>(sql, ...values, limit)
  }

  /** The filter whose index is walked; the others are checked on the way. The rarest one walks least. */
  #drivingFacet(filters: Filters): Facet {
    const given = (['category', 'tag', 'vendor'] as const).filter((facet) => filters[facet] !== undefined)
    const [only] = given
    if (given.length === 1 && only !== undefined) return only
    const candidates = given.map((facet) => ({
      facet,
      count: this.#products.count(facet, filters[facet] ?? '', filters.status),
    }))
    return candidates.reduce<{ facet: Facet; count: number }>(
      (best, next) => (next.count < best.count ? next : best),
      {
        facet: 'all',
        count: Number.POSITIVE_INFINITY,
      },
    ).facet
  }

  /** One range of one index. Its last parameter, the limit, is the caller's. */
  #branch(
    filters: Filters & { status: string },
    facet: Facet,
    column: string,
    order: Order,
    start: CursorPosition,
  ): { sql: string; values: Value[] } {
    const range = priceRange(filters)
    const isNarrow = range !== null && order.index !== 'price' && this.#isNarrow(filters, facet, range)
    const source = this.#source(filters, facet, isNarrow ? 'price' : order.index)
    const { status: _status, ...others } = filters
    const rest = filterConditions(others, facet === 'all' ? 'status' : facet, 'price')
    const where = [source.where, ...rest.where]
    const values: Value[] = [...source.values, ...rest.values]
    const alias = facet === 'tag' ? 'g' : 'p'
    if (range !== null) {
      where.push(`${alias}.price BETWEEN ? AND ?`)
      values.push(...range)
    }
    where.push(`(${alias}.${order.column}, ${alias}.handle) ${order.direction === 'ASC' ? '>' : '<'} (?, ?)`)
    values.push(start.key, start.id)
    const sql = `SELECT ${column}, ${alias}.${order.column} AS key, ${alias}.handle AS handle
      FROM ${source.table} WHERE ${where.join(' AND ')}
      ORDER BY ${alias}.${order.column} ${order.direction}, ${alias}.handle ${order.direction} LIMIT ?`
    return { sql, values }
  }

  #isNarrow(filters: Filters & { status: string }, facet: Facet, range: readonly [number, number]): boolean {
    const alone = { status: filters.status, ...(facet === 'all' ? {} : { [facet]: filters[facet] }) }
    const { table, where, values } = this.#source(alone, facet, 'price')
    const sql = `SELECT count(*) AS count FROM (SELECT 1 FROM ${table} WHERE ${where}
      AND ${facet === 'tag' ? 'g' : 'p'}.price BETWEEN ? AND ? LIMIT ?)`
    const found = this.#connection.one<{ count: number }>(sql, ...values, ...range, gatheredMax + 1)
    return (found?.count ?? 0) <= gatheredMax
  }

  #source(filters: Filters & { status: string }, facet: Facet, index: string): Source {
    const { status, category = '', vendor = '', tag = '' } = filters
    switch (facet) {
      case 'all':
        return {
          table: `products p INDEXED BY products_by_${index}`,
          where: 'p.status = ?',
          values: [status],
        }
      case 'category':
        return {
          table: `products p INDEXED BY products_by_category_${index}`,
          where: 'p.category = ? AND p.status = ?',
          values: [category, status],
        }
      case 'vendor':
        return {
          table: `products p INDEXED BY products_by_vendor_${index}`,
          where: 'p.vendor = ? AND p.status = ?',
          values: [vendor, status],
        }
      case 'tag': {
        const rows =
          index === 'title' ? 'product_tags g' : `product_tags g INDEXED BY product_tags_by_${index}`
        const joined = filters.category !== undefined || filters.vendor !== undefined
        return {
          table: joined ? `${rows} CROSS JOIN products p ON p.id = g.product` : rows,
          where: 'g.tag = ? AND g.status = ?',
          values: [tag, status],
        }
      }
      default: {
        const never: never = facet
        throw new Error(`unknown facet ${String(never)}`)
      }
    }
  }

  /** One filter: its maintained count. Several: counted once per change of the catalog. */
  #total(filters: Filters): number {
    const given = (['category', 'tag', 'vendor'] as const).filter((name) => filters[name] !== undefined)
    const [only] = given
    const isAnyPrice = priceRange(filters) === null
    if (only === undefined && isAnyPrice) return this.#products.count('all', '', filters.status)
    if (only !== undefined && given.length === 1 && isAnyPrice)
      return this.#products.count(only, filters[only] ?? '', filters.status)
    if (this.#totalsGeneration !== this.#products.generation || this.#totals.size >= totalsMax) {
      this.#totals = new Map()
      this.#totalsGeneration = this.#products.generation
    }
    const key = filtersKey(filters)
    const known = this.#totals.get(key)
    if (known !== undefined) return known
    const { where, values } = filterConditions(filters)
    const sql = `SELECT count(*) AS count FROM products p WHERE ${where.join(' AND ')}`
    const total = this.#connection.one<{ count: number }>(sql, ...values)?.count ?? 0
    this.#totals.set(key, total)
    return total
  }
}
