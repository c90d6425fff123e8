/** ShopStore: one suite over files and memory. Lists are checked against the obvious version: sort, filter, cut. */
import { describe, expect, test } from 'vitest'
import type { Product } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import type { ProductPage, ProductQuery, ProductSort, ShopStore } from '../../node/ports.ts'
import { handle, product, put, variant, worlds } from '../support/store-world.ts'

const handlesOf = (page: ProductPage): string[] =>
  page.items.map((text) => (JSON.parse(text) as Product).handle as string)

/** All pages of a query, with `between` run after each: what a shopper sees who pages through. */
function walk(shop: ShopStore, query: ProductQuery, between: () => void = () => undefined): string[] {
  const seen: string[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: ProductPage = shop.products(cursor === '' ? query : { ...query, cursor })
    seen.push(...handlesOf(page))
    cursor = page.next
    between()
  }
  return seen
}

const titles = ['Lamp', 'Åse', 'asa', 'Zebra', 'Éclair', 'eclair', 'Chair', 'Table', 'lamp', 'Bench']
/** 60 products, made so that every filter has some and every sort has ties. */
const many: Product[] = Array.from({ length: 60 }, (_, number) =>
  product(`p-${String(number * 7919).padStart(6, '0')}`, 1 + (number % 5), {
    title: titles[number % titles.length] ?? '',
    category: ['lights', 'seats', ''][number % 3] ?? '',
    vendor: ['acme', 'brio'][number % 2] ?? '',
    tags: number % 4 === 0 ? ['sale', 'new'] : ['new'],
    status: (['active', 'active', 'draft', 'archived'] as const)[number % 4] ?? 'active',
    variants: [variant(`s${number}`, 100 * (number % 7)), variant(`t${number}`, 5_000)],
  }),
)

const sortKey: { [S in Exclude<ProductSort, 'relevance'>]: (one: Product) => string | number } = {
  title: (one) => one.title.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase(),
  price: (one) => one.variants[0]?.price.amount ?? 0,
  '-price': (one) => one.variants[0]?.price.amount ?? 0,
  newest: (one) => one.catalogVersion,
}

function obvious(query: ProductQuery & { sort: keyof typeof sortKey }): string[] {
  const sign = query.sort === '-price' || query.sort === 'newest' ? -1 : 1
  const key = sortKey[query.sort]
  const order = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0)
  return many
    .filter((one) => query.status === undefined || one.status === query.status)
    .filter((one) => query.category === undefined || one.category === query.category)
    .filter((one) => query.vendor === undefined || one.vendor === query.vendor)
    .filter((one) => query.tag === undefined || one.tags.includes(query.tag))
    .sort((a, b) => sign * (order(key(a), key(b)) || order(a.handle, b.handle)))
    .map((one) => one.handle)
}

const filterSets: Partial<ProductQuery>[] = [
  {},
  { status: 'active' },
  { category: 'lights' },
  { category: 'lights', status: 'active' },
  { vendor: 'acme', status: 'active' },
  { tag: 'sale' },
  { tag: 'new', status: 'draft' },
  { tag: 'sale', category: 'seats', status: 'active' },
  { tag: 'new', vendor: 'brio' },
  { category: 'seats', vendor: 'brio', tag: 'new', status: 'active' },
  { category: 'nothing' },
]

describe.each(worlds)('ShopStore lists in %s', (_kind, makeWorld) => {
  const sorts = ['title', 'price', '-price', 'newest'] as const
  test.each(sorts)('by %s: every filter, every page', (sort) => {
    const { shop } = makeWorld().open()
    put(shop, ...many)
    for (const filters of filterSets) {
      const query = { ...filters, sort, limit: 4 }
      const expected = obvious(query)
      expect(walk(shop, query), `${JSON.stringify(query)}`).toEqual(expected)
      expect(shop.products(query).total, `${JSON.stringify(query)}`).toBe(expected.length)
    }
  })

  test('pages stay stable while the catalog changes', () => {
    const { shop } = makeWorld().open()
    put(shop, ...many)
    const expected = obvious({ sort: 'title', limit: 5 })
    let added = 0
    const seen = walk(shop, { sort: 'title', limit: 5 }, () => {
      added += 1
      put(shop, product(`a-new-${added}`, 9, { title: 'aaa' }))
      shop.transaction((tables) => tables.deleteProduct(handle(expected[added] ?? '')))
    })
    expect(new Set(seen).size).toBe(seen.length)
    const deleted = new Set(expected.slice(1, added + 1))
    expect(expected.filter((name) => !seen.includes(name) && !deleted.has(name))).toEqual([])
  })

  test('counts follow changes, deletions and rollbacks', () => {
    const { shop } = makeWorld().open()
    put(shop, ...many)
    const total = (more: Partial<ProductQuery>): number =>
      shop.products({ sort: 'title', limit: 1, ...more }).total
    const both = { category: 'lights', vendor: 'acme', status: 'active' } as const
    const before = [total({}), total({ category: 'lights' }), total(both)] as const
    const one = product('x', 9, { category: 'lights', vendor: 'acme' })
    put(shop, one)
    expect([total({}), total({ category: 'lights' }), total(both)]).toEqual(before.map((count) => count + 1))
    put(shop, { ...one, status: 'draft' })
    expect([total({}), total({ category: 'lights' }), total(both)]).toEqual([
      before[0] + 1,
      before[1] + 1,
      before[2],
    ])
    expect(() =>
      shop.transaction((tables) => {
        tables.deleteProduct(one.handle)
        expect(total({})).toBe(before[0])
        throw new Error('no')
      }),
    ).toThrow('no')
    expect(total({})).toBe(before[0] + 1)
    shop.transaction((tables) => tables.deleteProduct(one.handle))
    expect([total({}), total({ category: 'lights' }), total(both)]).toEqual(before)
    const active = many.filter((p) => p.status === 'active')
    expect(shop.categories()).toEqual(
      ['lights', 'seats'].map((name) => ({ name, count: active.filter((p) => p.category === name).length })),
    )
  })

  test('refuses cursors that are not of the list', () => {
    const { shop } = makeWorld().open()
    put(shop, ...many)
    const next = shop.products({ sort: 'title', limit: 2 }).next ?? ''
    const bad = [
      '',
      ' ',
      'x',
      next.slice(1),
      `${next}!`,
      'W10',
      Buffer.from('["list:title",1,"a"]').toString('base64url'),
    ]
    for (const cursor of bad)
      expect(() => shop.products({ sort: 'title', limit: 2, cursor }), `${cursor}`).toThrow(Fault)
    expect(() => shop.products({ sort: 'price', limit: 2, cursor: next })).toThrow('cursor')
    expect(() => shop.products({ q: 'lamp', sort: 'title', limit: 2, cursor: next })).toThrow('cursor')
  })
})

describe.each(worlds)('ShopStore search in %s', (_kind, makeWorld) => {
  const shelf = [
    product('a', 1, { title: 'Crème brûlée torch', description: '<p>for the kitchen</p>' }),
    product('b', 1, { title: 'Torch', vendor: 'Lux', category: 'lights', tags: ['camping'] }),
    product('c', 1, {
      title: 'Tent',
      description: '<b class="torch">sleeps two</b> &amp; a cat',
      tags: ['camping'],
    }),
    product('d', 1, { title: 'Lantern', description: 'brighter than any torch', status: 'draft' }),
    product('e', 1, { title: 'Résumé paper', description: '日本語 の 紙' }),
  ]
  const search = (shop: ShopStore, q: string, more: Partial<ProductQuery> = {}): string[] =>
    walk(shop, { q, sort: 'relevance', limit: 1, ...more })

  test('finds beginnings, several words and folded accents, best first', () => {
    const { shop } = makeWorld().open()
    put(shop, ...shelf)
    expect(search(shop, 'torch')).toEqual(['b', 'a', 'd'])
    expect(search(shop, 'TOR')).toEqual(['b', 'a', 'd'])
    expect(search(shop, 'tor', { status: 'active' })).toEqual(['b', 'a'])
    expect(search(shop, 'creme brulee')).toEqual(['a'])
    expect(search(shop, 'CRÈME br')).toEqual(['a'])
    expect(search(shop, 're\u0301sume\u0301')).toEqual(['e'])
    expect(search(shop, 'camping', { category: 'lights' })).toEqual(['b'])
    expect(search(shop, 'camping', { sort: 'title' })).toEqual(['c', 'b'])
    expect(search(shop, 'camping', { sort: 'newest' })).toEqual(['c', 'b'])
    expect(search(shop, 'class')).toEqual([])
    expect(search(shop, '日本')).toEqual(['e'])
    expect(search(shop, 'torch tent')).toEqual([])
    expect(shop.products({ q: 'camping', sort: 'relevance', limit: 1 }).total).toBe(2)
    expect(search(shop, '  ')).toHaveLength(5)
  })

  test('no input is a syntax error', () => {
    const { shop } = makeWorld().open()
    put(shop, ...shelf)
    const typed = [
      '"',
      "'",
      '*',
      '-torch',
      'a OR',
      'NEAR(',
      'title:torch',
      '^',
      '\u0000',
      '((',
      'x'.repeat(5_000),
    ]
    for (const q of [...typed, 'a '.repeat(500), '\ud800', '%', 'AND NOT'])
      expect(() => search(shop, q), `${JSON.stringify(q)}`).not.toThrow()
    expect(search(shop, '***')).toEqual([])
    expect(search(shop, '"torch"')).toEqual(['b', 'a', 'd'])
  })

  test('follows changes', () => {
    const { shop } = makeWorld().open()
    put(shop, ...shelf)
    expect(search(shop, 'tent')).toEqual(['c'])
    put(shop, product('c', 2, { title: 'Hammock' }))
    expect([search(shop, 'tent'), search(shop, 'hammock')]).toEqual([[], ['c']])
    shop.transaction((tables) => tables.deleteProduct(handle('c')))
    expect(search(shop, 'hammock')).toEqual([])
  })
})
