/** Filters and sort orders that lists and searches of products have in common. */
import type { ProductQuery, ProductSort } from '../ports.ts'
import type { Value } from './connection.ts'

export type Filters = Pick<ProductQuery, 'category' | 'tag' | 'vendor' | 'status'>
export type Order = { readonly column: string; readonly index: string; readonly direction: 'ASC' | 'DESC' }

export const orders: { readonly [S in Exclude<ProductSort, 'relevance'>]: Order } = {
  title: { column: 'title_key', index: 'title', direction: 'ASC' },
  price: { column: 'price', index: 'price', direction: 'ASC' },
  '-price': { column: 'price', index: 'price', direction: 'DESC' },
  newest: { column: 'created_version', index: 'created', direction: 'DESC' },
}

/** Conditions on the row `p` of a product. */
export function filterConditions(
  filters: Filters,
  skip?: keyof Filters,
): { where: string[]; values: Value[] } {
  const where: string[] = []
  const values: Value[] = []
  const add = (name: keyof Filters, condition: string): void => {
    const value = filters[name]
    if (value === undefined || name === skip) return
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
  return { where, values }
}
