/** Filters and sort orders that lists, searches and facets of products have in common. */
import type { ProductQuery, ProductSort } from '../ports.ts'
import type { Value } from './connection.ts'

export type Filters = Pick<ProductQuery, 'category' | 'tag' | 'vendor' | 'status' | 'minPrice' | 'maxPrice'>
/** What a filter is called where one can be left out. */
export type FilterName = 'category' | 'tag' | 'vendor' | 'status' | 'price'
export type Order = { readonly column: string; readonly index: string; readonly direction: 'ASC' | 'DESC' }

export const orders: { readonly [S in Exclude<ProductSort, 'relevance'>]: Order } = {
  title: { column: 'title_key', index: 'title', direction: 'ASC' },
  price: { column: 'price', index: 'price', direction: 'ASC' },
  '-price': { column: 'price', index: 'price', direction: 'DESC' },
  newest: { column: 'created_version', index: 'created', direction: 'DESC' },
}

/** Both ends, inclusive; null when any price will do. Prices are those of the cheapest variant. */
export function priceRange({ minPrice, maxPrice }: Filters): readonly [number, number] | null {
  if (minPrice === undefined && maxPrice === undefined) return null
  return [minPrice ?? 0, maxPrice ?? Number.MAX_SAFE_INTEGER]
}

/** Conditions on the row `p` of a product, except those that the caller checks in another way. */
export function filterConditions(
  filters: Filters,
  ...skip: readonly FilterName[]
): { where: string[]; values: Value[] } {
  const where: string[] = []
  const values: Value[] = []
  const add = (name: Exclude<FilterName, 'price'>, condition: string): void => {
    const value = filters[name]
    if (value === undefined || skip.includes(name)) return
    where.push(condition)
    values.push(value)
  }
  add('status', 'p.status = ?')
  add('category', 'p.category = ?')
  add('vendor', 'p.vendor = ?')
  add(
    'tag',
    `EXISTS (SELECT 1 FROM product_tags t WHERE t.tag = ? AND t.status = p.status AND t.title_key = p.title_key
      AND t.handle = p.handle)`,
  )
  const range = skip.includes('price') ? null : priceRange(filters)
  if (range !== null) {
    where.push('p.price BETWEEN ? AND ?')
    values.push(...range)
  }
  return { where, values }
}

/** One key for one set of filters. */
export function filtersKey({ status, category, tag, vendor, minPrice, maxPrice }: Filters): string {
  return JSON.stringify([status, category, tag, vendor, minPrice, maxPrice])
}
