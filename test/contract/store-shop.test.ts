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

const cheapest = (one: Product): number => Math.min(...one.variants.map(({ price }) => price.amount))

function obvious(query: ProductQuery & { sort: keyof typeof sortKey }): string[] {
  const sign = query.sort === '-price' || query.sort === 'newest' ? -1 : 1
  const key = sortKey[query.sort]
  const order = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0)
  return many
    .filter((one) => query.status === undefined || one.status === query.status)
    .filter((one) => query.category === undefined || one.category === query.category)
    .filter((one) => query.vendor === undefined || one.vendor === query.vendor)
    .filter((one) => query.tag === undefined || one.tags.includes(query.tag))
    .filter((one) => cheapest(one) >= (query.minPrice ?? 0) && cheapest(one) <= (query.maxPrice ?? 1e9))
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
  { minPrice: 100, maxPrice: 300, status: 'active' },
  { minPrice: 301 },
  { maxPrice: 0, vendor: 'acme' },
  { minPrice: 100, maxPrice: 500, tag: 'new', status: 'active' },
  { minPrice: 100, maxPrice: 500, tag: 'sale', category: 'lights' },
  { minPrice: 500, maxPrice: 100 },
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

  test('the generation counts up with every change, and when one is rolled back', () => {
    const { shop } = makeWorld().open()
    const seen = [shop.catalogGeneration()]
    const note = (): number => seen.push(shop.catalogGeneration())
    put(shop, product('a', 1, {}))
    note()
    shop.products({ sort: 'title', limit: 1 })
    expect(shop.catalogGeneration()).toBe(seen[1])
    const failing = (): void =>
      shop.transaction((tables) => {
        tables.deleteProduct(handle('a'))
        note()
        throw new Error('no')
      })
    expect(failing).toThrow('no')
    note()
    shop.transaction((tables) => tables.deleteProduct(handle('a')))
    note()
    expect(seen).toEqual(seen.toSorted((one, other) => one - other))
    expect(new Set(seen).size).toBe(seen.length)
  })

  test('facets: every count is the total with that choice', () => {
    const { shop } = makeWorld().open()
    put(shop, ...many)
    const names = { category: ['lights', 'seats'], vendor: ['acme', 'brio'], tag: ['new', 'sale'] }
    const check = (filters: Partial<ProductQuery>): void => {
      const { minPrice: _min, maxPrice: _max, ...others } = filters
      const total = (more: Partial<ProductQuery>): number =>
        shop.products({ ...more, sort: 'title', limit: 1 }).total
      const facets = shop.facets({ ...filters, sort: 'title', limit: 1 })
      for (const name of ['category', 'vendor', 'tag'] as const) {
        const told = facets[name].map((choice) => choice.name)
        const expected = [...new Set([...names[name], ...told])]
          .map((choice) => ({ name: choice, count: total({ ...filters, [name]: choice }) }))
          .filter((choice) => choice.count > 0 || choice.name === filters[name])
          .toSorted((one, other) => other.count - one.count || (one.name < other.name ? -1 : 1))
        expect(facets[name], `${name} of ${JSON.stringify(filters)}`).toEqual(expected)
      }
      const bands = facets.price?.bands ?? []
      const expected = bands.map(({ minPrice, maxPrice }) => ({
        minPrice,
        maxPrice,
        count: total({ ...others, minPrice, maxPrice }),
      }))
      expect(bands, `price of ${JSON.stringify(filters)}`).toEqual(expected)
      const counted = bands.reduce((sum, band) => sum + band.count, 0)
      expect(counted, `any price of ${JSON.stringify(filters)}`).toBe(total(others))
    }
    const all = [...filterSets, { q: 'lamp' }, { q: 'e', category: 'lights', minPrice: 200 }, { q: '**' }]
    for (const filters of all) check(filters)
    // Written, deleted and rolled back rows count as they are.
    put(shop, product('p-new', 9, { category: 'fresh', tags: ['sale'], vendor: 'new' }))
    shop.transaction((tables) => tables.deleteProduct(many[0]?.handle ?? handle('')))
    expect(() =>
      shop.transaction((tables) => {
        tables.putProduct(product('p-never', 9, { category: 'never' }))
        check({})
        tables.putProduct(product('p-nor-this', 9, { category: 'never' }))
        throw new Error('no')
      }),
    ).toThrow('no')
    for (const filters of all) check(filters)
    expect(shop.facets({ sort: 'title', limit: 1 }).category).toContainEqual({ name: 'fresh', count: 1 })
    expect(shop.facets({ sort: 'title', limit: 1 }).category.map(({ name }) => name)).not.toContain('never')
  })

  test('facets name what was chosen, and those with most products', () => {
    const { shop } = makeWorld().open()
    const tags = Array.from({ length: 80 }, (_, number) => `t${String(number).padStart(2, '0')}`)
    put(shop, ...tags.map((_, number) => product(`p${number}`, 1, { tags: tags.slice(number) })))
    const told = shop.facets({ sort: 'title', limit: 1, tag: 't03' }).tag
    expect(told.slice(0, 2)).toEqual([
      { name: 't79', count: 80 },
      { name: 't78', count: 79 },
    ])
    expect([told.length, told.at(-1)]).toEqual([51, { name: 't03', count: 4 }])
    expect(shop.facets({ sort: 'title', limit: 1, tag: 'x' }).tag.at(-1)).toEqual({ name: 'x', count: 0 })
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
    expect(search(shop, 'crem bru')).toEqual(['a'])
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

  test('what is in the title counts most, then labels, then the description', () => {
    const { shop } = makeWorld().open()
    put(
      shop,
      product('in-text', 1, { title: 'Aaa', description: 'a lamp, the lamp, lamp lamp lamp' }),
      product('in-labels', 1, { title: 'Bbb', vendor: 'Lamp', category: 'lamp', tags: ['lamp', 'lamp 2'] }),
      product('begins', 1, { title: 'Lampshade' }),
      product('long', 1, { title: 'The one lamp that you want to have' }),
      product('short', 1, { title: 'Blue lamp' }),
      product('short-2', 1, { title: 'Grün lamp' }),
    )
    expect(search(shop, 'lamp')).toEqual(['short', 'short-2', 'long', 'begins', 'in-labels', 'in-text'])
    expect(search(shop, 'lam')).toEqual(['begins', 'short', 'short-2', 'long', 'in-labels', 'in-text'])
    expect(search(shop, 'lamps')).toEqual(['begins'])
  })

  test.each(['relevance', 'price', 'newest'] as const)(
    'by %s: pages stay stable while what is found, and how common each word is, changes',
    (sort) => {
      const { shop } = makeWorld().open()
      const lamps = Array.from({ length: 40 }, (_, number) =>
        product(`lamp-${number * 37}`, 1 + (number % 3), {
          title: `${'very '.repeat(number % 4)}${number % 2 === 0 ? 'lamp' : 'thing'}`,
          tags: ['lamp', 'blue'].slice(number % 2),
          description: number % 5 === 0 ? 'a lamp for a blue room' : 'blue lamp',
          variants: [variant(`s${number}`, 100 * (number % 7))],
        }),
      )
      put(shop, ...lamps)
      const expected = search(shop, 'blue lamp', { sort })
      expect(expected).toHaveLength(40)
      let step = 0
      const seen = walk(shop, { q: 'blue lamp', sort, limit: 3 }, () => {
        step += 1
        put(shop, product(`new-${step}`, 9, { title: 'lamp '.repeat(step), description: 'blue '.repeat(50) }))
        shop.transaction((tables) => tables.deleteProduct(handle(`new-${step - 1}`)))
        // Not the words, but the rest of one that was shown already or comes yet.
        put(shop, { ...(lamps[step] as Product), updatedAt: '2030-01-01T00:00:00.000Z' })
      })
      expect(seen.filter((name) => name.startsWith('lamp-'))).toEqual(expected)
    },
  )

  test('more is found than is kept in order at once: all pages are there', () => {
    const { shop } = makeWorld().open()
    const count = 5_100
    shop.transaction((tables) => {
      for (let number = 0; number < count; number += 1)
        tables.putProduct(
          product(`p-${String(number).padStart(5, '0')}`, 1, {
            title: 'Pin',
            variants: [variant(`s${number}`, number)],
          }),
        )
    })
    for (const sort of ['relevance', '-price'] as const) {
      const seen = walk(shop, { q: 'pin', sort, limit: 200 })
      expect(seen).toHaveLength(count)
      expect(new Set(seen).size).toBe(count)
      const page = shop.products({ q: 'pin', sort, limit: 200, maxPrice: 4_999 })
      expect(page.total).toBe(5_000)
    }
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
