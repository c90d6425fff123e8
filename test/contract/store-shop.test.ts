/** ShopStore: one suite over files and memory. Lists are checked against the obvious version: sort, filter, cut. */
import { describe, expect, test } from 'vitest'
import type { AccountRecord, MemberRecord, OrderRecord, Product } from '../../node/commands.ts'
import { canonicalProduct } from '../../node/core/digest.ts'
import { Fault } from '../../node/faults.ts'
import type { CommandId, Digest, MemberId, UserId } from '../../node/ids.ts'
import type { ProductPage, ProductQuery, ProductSort, ShopStore } from '../../node/ports.ts'
import {
  fields,
  handle,
  orderId,
  otherUser,
  sku,
  tag,
  user,
  variant,
  worlds,
} from '../support/store-world.ts'

function product(name: string, version: number, more: Partial<Product> = {}): Product {
  const stamps = { handle: handle(name), catalogVersion: version, updatedAt: '2026-01-01T00:00:00.000Z' }
  return canonicalProduct({ ...fields(name), ...stamps, ...more })
}

function put(shop: ShopStore, ...products: Product[]): void {
  shop.transaction((tables) => products.forEach((one) => tables.putProduct(one)))
}

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
      expect(walk(shop, query), JSON.stringify(query)).toEqual(expected)
      expect(shop.products(query).total, JSON.stringify(query)).toBe(expected.length)
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
      expect(() => shop.products({ sort: 'title', limit: 2, cursor }), cursor).toThrow(Fault)
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
      expect(() => search(shop, q), JSON.stringify(q)).not.toThrow()
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

describe.each(worlds)('ShopStore tables in %s', (_kind, makeWorld) => {
  test('keeps products exactly, with variants by SKU', () => {
    const { shop } = makeWorld().open()
    const one = product('lamp', 1, {
      title: 'Lamp',
      images: [{ src: 'a.jpg', alt: '' }],
      variants: [variant('s1', 300), { ...variant('s2', 200), title: 'Red' }],
    })
    put(shop, one)
    expect(shop.productJson(one.handle)).toBe(JSON.stringify(one))
    expect(shop.read.product(one.handle)).toEqual(one)
    const expected = {
      sku: 's2',
      handle: 'lamp',
      title: 'Lamp',
      variantTitle: 'Red',
      image: 'a.jpg',
      price: 200,
    }
    expect(shop.read.sku(sku('s2'))).toEqual({ ...expected, status: 'active' })
    put(shop, { ...one, variants: [variant('s1')], images: [], status: 'draft' })
    expect(shop.read.sku(sku('s2'))).toBeNull()
    expect(shop.read.sku(sku('s1'))).toMatchObject({ image: null, status: 'draft', price: 1_000 })
    expect(shop.read.skuOwner(sku('s1'))).toBe('lamp')
    shop.transaction((tables) => tables.deleteProduct(one.handle))
    expect([shop.read.skuOwner(sku('s1')), shop.productJson(one.handle)]).toEqual([null, null])
  })

  test('a SKU that moves within one version belongs to its new product', () => {
    const { shop } = makeWorld().open()
    put(shop, product('a', 1, { variants: [variant('s1')] }))
    put(shop, product('b', 2, { variants: [variant('s1')] }), product('a', 2, { variants: [variant('s2')] }))
    expect([shop.read.skuOwner(sku('s1')), shop.read.skuOwner(sku('s2'))]).toEqual(['b', 'a'])
  })

  test('keeps versions for those who lag, within bounds', () => {
    const { shop } = makeWorld().open()
    const digest = '0'.repeat(64) as Digest
    const record = (version: number, text = '') => ({
      version,
      previousDigest: digest,
      digest,
      changes: [
        { handle: handle('a'), product: text === '' ? null : product('a', version, { description: text }) },
      ],
    })
    shop.transaction((tables) => {
      for (let version = 1; version <= 2_010; version += 1) tables.appendVersion(record(version))
      tables.setCatalog({ version: 2_010, digest })
    })
    expect(shop.versionsAfter(2_010, 1_000)).toEqual([])
    expect(shop.versionsAfter(2_008, 1_000_000)).toEqual([record(2_009), record(2_010)])
    expect(shop.versionsAfter(2_000, 1)).toEqual([record(2_001)])
    expect(shop.versionsAfter(5, 1_000)).toBeNull()
    shop.transaction((tables) => {
      const text = 'x'.repeat(1024 * 1024)
      for (let version = 2_011; version <= 2_080; version += 1) tables.appendVersion(record(version, text))
      tables.setCatalog({ version: 2_080, digest })
    })
    expect(shop.versionsAfter(2_010, 1_000)).toBeNull()
    expect(shop.versionsAfter(2_079, 1_000)).toHaveLength(1)
  })

  test('keeps orders, sold tags, notices and erasable contacts', () => {
    const world = makeWorld()
    const stores = world.open()
    const order = (number: number, of: UserId, more: Partial<OrderRecord> = {}): OrderRecord => ({
      id: orderId(number),
      number: `S-${number}`,
      user: of,
      status: 'placed',
      bodyHash: 'b',
      currency: 'USD',
      lines: [],
      total: 0,
      catalogVersion: 1,
      createdAt: '2026-01-01T00:00:00.000Z',
      history: [],
      ...more,
    })
    const private_ = { contact: { name: 'Ada', email: 'ada@example.com' }, note: 'ring twice' }
    stores.shop.transaction((tables) => {
      expect([tables.nextOrderNumber(), tables.nextOrderNumber()]).toEqual([1, 2])
      for (let number = 1; number <= 5; number += 1) {
        const of = number % 2 === 0 ? otherUser : user
        tables.insertOrder(order(number, of, private_), 10 + number, [tag(`t${number}`)])
        tables.insertSold(of, tag(`t${number}`), orderId(number))
      }
      tables.updateOrder(order(2, otherUser, { status: 'shipped' }), 20)
      tables.setOrdersDigest({ count: 5, digest: '1'.repeat(64) as Digest })
    })
    const { shop } = world.reopen(stores)
    expect(shop.read.order(orderId(1))).toEqual(order(1, user, private_))
    expect(shop.read.soldTo(otherUser, tag('t1'))).toBe(orderId(1))
    expect(shop.read.soldTo(user, tag('t9'))).toBeNull()
    const first = shop.orders({ limit: 2 })
    expect(first.items.map((one) => one.id)).toEqual([orderId(5), orderId(4)])
    const second = shop.orders({ limit: 10, cursor: first.next ?? '' })
    expect(second.items.map((one) => one.id)).toEqual([orderId(3), orderId(2), orderId(1)])
    expect(second.next).toBeNull()
    expect(shop.orders({ limit: 9, user: otherUser, status: 'shipped' }).items.map((one) => one.id)).toEqual([
      orderId(2),
    ])
    expect(() => shop.orders({ limit: 1, cursor: 'abc' })).toThrow(Fault)
    expect(
      shop.soldSince(13, 2).map((notice) => [notice.index, notice.order, notice.status, notice.tags]),
    ).toEqual([
      [14, orderId(4), 'placed', ['t4']],
      [15, orderId(5), 'placed', ['t5']],
    ])
    expect(shop.soldSince(15, 9)).toMatchObject([
      { index: 20, order: orderId(2), status: 'shipped', user: otherUser },
    ])
    expect([shop.ordersIndex(), shop.read.ordersDigest().count]).toEqual([20, 5])
    shop.transaction((tables) => tables.eraseContacts(user))
    expect(shop.read.order(orderId(1))).toEqual(order(1, user))
    expect(shop.read.order(orderId(2))?.note).toBe('ring twice')
  })

  test('keeps accounts, members, results and single values', () => {
    const world = makeWorld()
    const stores = world.open()
    const account: AccountRecord = { id: user, email: 'Ada@Example.com', passwordHash: 'h', createdAt: 'now' }
    const member = (id: string, joinedIndex: number): MemberRecord =>
      ({
        id,
        node: id,
        url: 'http://a',
        p2p: 'a:1',
        eligible: true,
        draining: false,
        capacity: 1,
        joinedIndex,
      }) as MemberRecord
    stores.shop.transaction((tables) => {
      tables.putAccount(account)
      for (const [id, index] of [
        ['m2', 2],
        ['m1', 1],
        ['m3', 3],
      ] as const)
        tables.putMember(member(id, index))
      tables.removeMember('m3' as MemberId)
      tables.setMembersVersion(4)
      tables.setCurrency('EUR')
      tables.putResult('c1' as CommandId, 1, { ok: true, value: 1 })
      tables.putResult('c2' as CommandId, 50_000, { ok: false, code: 'conflict', message: 'no', data: {} })
    })
    stores.shop.setFeed('log')
    stores.shop.setApplied({ index: 5, term: 2, config: { voters: ['m1' as MemberId], learners: [] } })
    const { shop } = world.reopen(stores)
    expect(shop.read.accountByEmail('ADA@example.COM ')).toEqual(account)
    expect(shop.read.members().map((one) => one.id)).toEqual(['m1', 'm2'])
    expect([shop.read.removedMembers(), shop.read.membersVersion(), shop.read.currency()]).toEqual([
      ['m3'],
      4,
      'EUR',
    ])
    expect(shop.read.result('c1' as CommandId)).toEqual({ ok: true, value: 1 })
    expect([shop.feed(), shop.applied().index, shop.applied().config.voters]).toEqual(['log', 5, ['m1']])
    shop.transaction((tables) => tables.putResult('c3' as CommandId, 50_001, { ok: true, value: 3 }))
    expect(shop.read.result('c1' as CommandId)).toBeNull()
    expect(shop.read.result('c2' as CommandId)).toMatchObject({ ok: false, code: 'conflict' })
    shop.transaction((tables) => tables.deleteAccount(user))
    expect(shop.read.account(user)).toBeNull()
  })
})
