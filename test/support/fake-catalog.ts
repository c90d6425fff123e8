/** The catalog of a fake node, by the rules of node/core. */
import { createHash } from 'node:crypto'
import type {
  CatalogChangeResult,
  CatalogHistoryEntry,
  Product,
  ProductChange,
  ProductOutcome,
} from '../../node/commands.ts'
import { productDiff } from '../../node/core/apply/product-diff.ts'
import { checkFields, mergedFields, withoutRepeatedTags } from '../../node/core/apply/product-rules.ts'
import { Fault } from '../../node/faults.ts'
import type { CommandId, Handle, Sku } from '../../node/ids.ts'

import type {
  CatalogHistoryPage,
  CatalogHistoryQuery,
  ProductFacets,
  ProductPage,
  ProductQuery,
} from '../../node/ports.ts'
import type { CatalogPreview, CatalogReads, CatalogWrites } from '../../node/replica-api.ts'

import type { FakeWorld } from './fake-world.ts'

export class FakeCatalog implements CatalogReads, CatalogWrites {
  readonly #world: FakeWorld
  /** As each version left the products that it changed, by version and handle. */
  readonly #made = new Map<string, string>()
  constructor(world: FakeWorld) {
    this.#world = world
  }
  version = (): number => this.#world.version
  digest = (): string =>
    createHash('sha256')
      .update([...this.allProducts()].join('\n'))
      .digest('hex')
  generation = (): number => this.#world.version
  currency = (): string => this.#world.currency
  productJson(handle: Handle): string | null {
    const product = this.#world.products.get(handle)
    return product === undefined ? null : JSON.stringify(product)
  }
  productAt(handle: Handle, version: number): string | null {
    return this.#made.get(`${version} ${handle}`) ?? null
  }
  products(query: ProductQuery): ProductPage {
    const found = [...this.#world.products.values()].filter((product) => fits(product, query))
    found.sort(order(query.sort))
    const offset = query.cursor === undefined ? 0 : Number(query.cursor)
    if (!Number.isSafeInteger(offset) || offset < 0) throw new Fault('invalid-request', 'not a cursor')
    const items = found.slice(offset, offset + query.limit).map((product) => JSON.stringify(product))
    const end = offset + query.limit
    return { items, total: found.length, next: end < found.length ? String(end) : null }
  }
  facets(query: ProductQuery): ProductFacets {
    const { category, vendor, tag, minPrice, maxPrice, ...rest } = query
    const others = { category, vendor, tag, minPrice, maxPrice }
    const without = (...names: (keyof typeof others)[]): Product[] => {
      const kept = Object.entries(others).filter(
        ([name, value]) => value !== undefined && !names.includes(name as keyof typeof others),
      )
      const asked = { ...rest, ...Object.fromEntries(kept) } as ProductQuery
      return [...this.#world.products.values()].filter((product) => fits(product, asked))
    }
    const counted = (names: string[]): { name: string; count: number }[] =>
      [...Map.groupBy(names, (name) => name)]
        .map(([name, all]) => ({ name, count: all.length }))
        .toSorted((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))
    const prices = without('minPrice', 'maxPrice').map(lowest)
    const [min, max] = [Math.min(...prices), Math.max(...prices)]
    return {
      category: counted(without('category').map((product) => product.category)),
      vendor: counted(without('vendor').map((product) => product.vendor)),
      tag: counted(without('tag').flatMap(({ tags }) => tags)),
      price:
        prices.length === 0
          ? null
          : { min, max, bands: [{ minPrice: min, maxPrice: max, count: prices.length }] },
    }
  }
  categories(): { name: string; count: number }[] {
    const active = [...this.#world.products.values()].filter(({ status }) => status === 'active')
    return [...Map.groupBy(active, ({ category }) => category)]
      .map(([name, list]) => ({ name, count: list.length }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }
  allProducts(): Iterable<string> {
    const handles = [...this.#world.products.keys()].toSorted()
    return handles.map((handle) => JSON.stringify(this.#world.products.get(handle)))
  }
  async waitForVersion(version: number): Promise<boolean> {
    if (version > this.#world.version + 1_000_000) throw new Fault('invalid-request', 'an absurd version')
    return await Promise.resolve(version <= this.#world.version)
  }
  async change(changes: readonly ProductChange[], by: string, id?: CommandId): Promise<CatalogChangeResult> {
    await Promise.resolve()
    if (this.#world.failure !== null) throw this.#world.failure
    const known = id === undefined ? undefined : this.#world.results.get(id)
    if (known !== undefined) return known
    const before = new Map(this.#world.products)
    const result = this.#apply(changes, this.#world.products)
    this.#world.history.unshift(...this.#history(before, this.#world.products, result, by))
    for (const { handle } of result.outcomes) {
      const product = this.#world.products.get(handle as Handle)
      if (product?.catalogVersion === result.version)
        this.#made.set(`${result.version} ${handle}`, JSON.stringify(product))
    }
    if (id !== undefined) this.#world.results.set(id, result)
    return result
  }
  preview(changes: readonly ProductChange[]): CatalogPreview {
    const { version } = this.#world
    const products = new Map(this.#world.products)
    const result = this.#apply(changes, products)
    const history = this.#history(this.#world.products, products, result, 'preview')
    this.#world.version = version
    return { ...result, version, history }
  }
  async history({ handle, limit, cursor }: CatalogHistoryQuery): Promise<CatalogHistoryPage> {
    const offset = Number(cursor ?? 0)
    if (!Number.isSafeInteger(offset)) throw new Fault('invalid-request', 'not a cursor')
    const found = this.#world.history.filter((entry) => handle === undefined || entry.handle === handle)
    const next = offset + limit < found.length ? String(offset + limit) : null
    return await Promise.resolve({ items: found.slice(offset, offset + limit), next })
  }
  #history(
    before: Map<Handle, Product>,
    after: Map<Handle, Product>,
    { version, outcomes }: CatalogChangeResult,
    by: string,
  ): CatalogHistoryEntry[] {
    const at = new Date(this.#world.nowMs).toISOString()
    const handles = new Set(outcomes.map(({ handle }) => handle as Handle))
    return [...handles].flatMap((handle): CatalogHistoryEntry[] => {
      const [was, is] = [before.get(handle), after.get(handle)]
      if (was === is) return []
      const stamps = { version, at, by, node: 'n1', handle }
      if (is === undefined) return [{ ...stamps, change: 'deleted', fields: [] }]
      if (was === undefined) return [{ ...stamps, change: 'created', fields: [] }]
      return [{ ...stamps, change: 'updated', fields: productDiff(was, is) }]
    })
  }
  #apply(changes: readonly ProductChange[], products: Map<Handle, Product>): CatalogChangeResult {
    const version = this.#world.version + 1
    const outcomes = changes.map((change) => this.#applyOne(change, products, version))
    const changed = outcomes.some(({ outcome }) => ['created', 'updated', 'deleted'].includes(outcome))
    if (changed) this.#world.version = version
    return { version: this.#world.version, outcomes }
  }
  #applyOne(change: ProductChange, products: Map<Handle, Product>, version: number): ProductOutcome {
    const { handle, ifMatch } = change
    const before = products.get(handle) ?? null
    const failed = { handle, outcome: 'rejected', code: 'precondition-failed', reason: 'it changed' } as const
    if (ifMatch === 'none' && before !== null) return failed
    if (ifMatch === '*' && before === null) return failed
    if (typeof ifMatch === 'number' && before?.catalogVersion !== ifMatch) return failed
    if (change.op === 'delete') return { handle, outcome: products.delete(handle) ? 'deleted' : 'absent' }
    const fields = change.op === 'replace' ? change.fields : mergedFields(change.fields, before)
    if ('reason' in fields) return { handle, outcome: 'rejected', ...fields }
    const ownerOf = (sku: Sku): Handle | null =>
      [...products.values()].find(({ variants }) => variants.some((variant) => variant.sku === sku))
        ?.handle ?? null
    const wrong = checkFields(handle, fields, this.#world.currency, ownerOf)
    if (wrong !== null) return { handle, outcome: 'rejected', ...wrong }
    const updatedAt = new Date(this.#world.nowMs).toISOString()
    const { title, description, vendor, category, tags, images, status, options, variants } =
      withoutRepeatedTags(fields)
    const content = { handle, title, description, vendor, category, tags, images, status, options, variants }
    const after: Product = { ...content, catalogVersion: version, updatedAt }
    const same = JSON.stringify({ ...after, catalogVersion: 0, updatedAt: '' })
    if (before !== null && JSON.stringify({ ...before, catalogVersion: 0, updatedAt: '' }) === same)
      return { handle, outcome: 'unchanged' }
    products.set(handle, after)
    return { handle, outcome: before === null ? 'created' : 'updated' }
  }
}

function fits(product: Product, query: ProductQuery): boolean {
  const { q, category, tag, vendor, status, minPrice, maxPrice } = query
  const words = (q ?? '').toLowerCase().split(/\s+/).filter(Boolean)
  const text = `${product.title} ${product.description} ${product.tags.join(' ')}`.toLowerCase()
  return (
    words.every((word) => text.includes(word)) &&
    (category === undefined || product.category === category) &&
    (tag === undefined || product.tags.includes(tag)) &&
    (vendor === undefined || product.vendor === vendor) &&
    (status === undefined || product.status === status) &&
    lowest(product) >= (minPrice ?? 0) &&
    lowest(product) <= (maxPrice ?? Number.MAX_SAFE_INTEGER)
  )
}

function lowest(product: Product): number {
  return Math.min(...product.variants.map(({ price }) => price.amount))
}

function order(sort: ProductQuery['sort']): (a: Product, b: Product) => number {
  const byTitle = (a: Product, b: Product): number => (a.title < b.title ? -1 : a.title > b.title ? 1 : 0)
  if (sort === 'price') return (a, b) => lowest(a) - lowest(b)
  if (sort === '-price') return (a, b) => lowest(b) - lowest(a)
  if (sort === 'newest') return (a, b) => b.catalogVersion - a.catalogVersion
  return byTitle
}
