/** Tables of `shop.db` beside the lists: one suite over files and memory. */
import { describe, expect, test } from 'vitest'
import type { AccountRecord, CatalogHistoryEntry, MemberRecord, OrderRecord } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import type { CommandId, Digest, MemberId, Sku, UserId } from '../../node/ids.ts'
import { allSessionsOf } from '../../node/ids.ts'
import {
  handle,
  intent,
  orderId,
  otherUser,
  product,
  put,
  sku,
  tag,
  user,
  variant,
  worlds,
} from '../support/store-world.ts'

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

  test('keeps versions that the reader of a copy goes on from', () => {
    const { shop } = makeWorld().open()
    const digest = '0'.repeat(64) as Digest
    shop.keepVersionsAfter(() => 5)
    shop.transaction((tables) => {
      for (let version = 1; version <= 2_010; version += 1)
        tables.appendVersion({ version, previousDigest: digest, digest, changes: [] })
      tables.setCatalog({ version: 2_010, digest })
    })
    expect([shop.versionsAfter(5, 1)?.[0]?.version, shop.versionsAfter(4, 1)]).toEqual([6, null])
  })

  test('keeps the history of the catalog, newest first, in pages, also of one product', () => {
    const world = makeWorld()
    const stores = world.open()
    const entry = (version: number, name: string): CatalogHistoryEntry => ({
      version,
      at: '2026-01-01T00:00:00.000Z',
      by: 'ada',
      node: null,
      handle: handle(name),
      change: 'updated',
      fields: [{ field: 'title', before: null, after: 'Lamp' }],
    })
    stores.shop.transaction((tables) => tables.appendHistory([entry(1, 'a'), entry(1, 'b')]))
    stores.shop.transaction((tables) => tables.appendHistory([entry(2, 'a')]))
    const { shop } = world.reopen(stores)
    const first = shop.catalogHistory({ limit: 2 })
    expect(first.items).toEqual([entry(2, 'a'), entry(1, 'b')])
    expect(shop.catalogHistory({ limit: 2, cursor: first.next as string })).toEqual({
      items: [entry(1, 'a')],
      next: null,
    })
    expect(shop.catalogHistory({ handle: handle('a'), limit: 9 }).items).toEqual([
      entry(2, 'a'),
      entry(1, 'a'),
    ])
    expect(() => shop.catalogHistory({ limit: 2, cursor: 'nonsense' })).toThrow(Fault)
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
    expect([shop.read.orderTags(orderId(1)), shop.read.orderTags(orderId(9))]).toEqual([[tag('t1')], []])
    // An entry is sold once, whatever applying believes.
    expect(() => shop.transaction((tables) => tables.insertSold(otherUser, tag('t1'), orderId(2)))).toThrow(
      /UNIQUE/,
    )
    expect(shop.read.soldTo(user, tag('t1'))).toBe(orderId(1))
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

  test('finds orders by number, words and time, in pages that neither skip nor repeat', () => {
    const { shop } = makeWorld().open()
    const at = (number: number): string => new Date(Date.UTC(2026, 0, 1) + (number % 7) * 1_000).toISOString()
    const order = (number: number): OrderRecord => ({
      id: orderId(number),
      number: number % 5 === 0 ? null : `S-${number}`,
      user,
      status: number % 5 === 0 ? 'refused' : 'placed',
      bodyHash: 'b',
      currency: 'USD',
      lines: [
        {
          sku: `SKU-${number % 3}` as Sku,
          title: number % 2 === 0 ? 'Lamp' : 'Stuhl',
          quantity: 1,
          unitPrice: 5,
        },
      ],
      total: 5,
      catalogVersion: 1,
      createdAt: at(number),
      history: [],
      ...(number === 30 ? { note: 'Ring "twice" 100%_' } : {}),
      ...(number === 31 ? { contact: { email: 'Ada@Example.test' } } : {}),
    })
    const all = Array.from({ length: 60 }, (_, index) => order(index + 1))
    shop.transaction((tables) => {
      for (const [index, one] of all.entries()) tables.insertOrder(one, index + 1, [])
    })
    type Filter = Omit<Parameters<typeof shop.orders>[0], 'limit' | 'cursor'>
    const walk = (filter: Filter, limit: number): string[] => {
      const ids: string[] = []
      let cursor: string | undefined
      do {
        const page = shop.orders({ ...filter, limit, ...(cursor === undefined ? {} : { cursor }) })
        expect(page.items.length).toBeLessThanOrEqual(limit)
        ids.push(...page.items.map(({ id }) => id))
        cursor = page.next ?? undefined
      } while (cursor !== undefined)
      return ids
    }
    const newest = [...all].reverse()
    const byTime = [...all].sort((a, b) =>
      a.createdAt === b.createdAt ? (a.id < b.id ? 1 : -1) : a.createdAt < b.createdAt ? 1 : -1,
    )
    const cases: [Filter, OrderRecord[]][] = [
      [{}, newest],
      [{ number: 'S-7' }, newest.filter(({ number }) => number === 'S-7')],
      [{ number: 'S-5' }, []],
      [{ q: 'LAMP' }, newest.filter(({ lines }) => lines[0]?.title === 'Lamp')],
      [
        { q: 'sku-2', status: 'refused' },
        newest.filter((one) => one.status === 'refused' && one.lines[0]?.sku === 'SKU-2'),
      ],
      [{ q: 'ring "twice" 100%_' }, [order(30)]],
      [{ q: 'ada@example' }, [order(31)]],
      [{ q: 'placed' }, []],
      [{ from: at(2), to: at(5) }, byTime.filter(({ createdAt }) => createdAt >= at(2) && createdAt < at(5))],
      [{ from: at(6) }, byTime.filter(({ createdAt }) => createdAt >= at(6))],
      [
        { to: at(1), user, q: 'lamp' },
        byTime.filter((one) => one.createdAt < at(1) && one.lines[0]?.title === 'Lamp'),
      ],
      [{ user: 'u2' as typeof user }, []],
    ]
    for (const [filter, wanted] of cases)
      for (const limit of [1, 4, 200]) expect(walk(filter, limit)).toEqual(wanted.map(({ id }) => id))
    const { next } = shop.orders({ limit: 1 })
    expect(() => shop.orders({ limit: 1, from: at(1), cursor: next ?? '' })).toThrow(Fault)
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
  })

  test('an erased account is gone for good, and told of in log order', () => {
    const world = makeWorld()
    const stores = world.open()
    const account = (id: UserId): AccountRecord => ({
      id,
      email: `${id}@example.com`,
      passwordHash: 'h',
      createdAt: 'now',
    })
    stores.shop.transaction((tables) => {
      for (const id of [user, otherUser]) tables.putAccount(account(id))
      tables.deleteAccount(user, 7)
      tables.setAccountsDigest('ab'.repeat(32) as Digest)
      tables.setStateMarks([{ index: 6, digest: 'cd'.repeat(32) as Digest }])
    })
    stores.shop.transaction((tables) => tables.deleteAccount(otherUser, 9))
    const { shop } = world.reopen(stores)
    expect([shop.read.account(user), shop.read.accountByEmail(`${user}@example.com`)]).toEqual([null, null])
    expect([user, 'u-else' as UserId].map((id) => shop.read.isErasedAccount(id))).toEqual([true, false])
    expect([shop.erasedIndex(), shop.ordersIndex()]).toEqual([9, 9])
    expect(shop.erasedSince(0, 9)).toEqual([
      { index: 7, user },
      { index: 9, user: otherUser },
    ])
    expect([shop.erasedSince(0, 1), shop.erasedSince(9, 9)]).toEqual([[{ index: 7, user }], []])
    expect(shop.read.accountsDigest()).toBe('ab'.repeat(32))
    expect(shop.read.stateMarks()).toEqual([{ index: 6, digest: 'cd'.repeat(32) }])
  })

  test('nothing of an erased user stays in local.db but the fact, and what can be erased of its orders is', () => {
    const world = makeWorld()
    const stores = world.open()
    const { local } = stores
    for (const one of [user, otherUser]) {
      local.putCart({
        user: one,
        state: new Uint8Array([1]),
        hash: 'h',
        delivered: {},
        syncedHash: null,
        held: 'set',
        updatedAtMs: 1,
      })
      const record = { epoch: 1, home: 'm1' as MemberId }
      local.putSession({ user: one, record, previousMembers: [], lastActiveAtMs: 1 })
      const sent = intent({
        id: orderId(one === user ? 1 : 2),
        user: one,
        contact: { name: 'Ada' },
        note: 'n',
      })
      local.putOutbox({ order: sent.id, user: one, intent: sent, createdAtMs: 1 })
    }
    local.revoke('t', 50)
    local.revoke('t', 40)
    local.eraseUser(user)
    local.eraseUser(user)
    const again = world.reopen(stores).local
    expect([again.cart(user), again.session(user), again.isErased(user)]).toEqual([null, null, true])
    const stripped = again.outboxEntry(orderId(1))?.intent
    expect([stripped?.id, stripped?.contact, stripped?.note]).toEqual([orderId(1), undefined, undefined])
    expect(again.cart(otherUser)?.hash).toBe('h')
    expect([again.session(otherUser)?.user, again.isErased(otherUser)]).toEqual([otherUser, false])
    expect(again.outboxEntry(orderId(2))?.intent.note).toBe('n')
    const isOver = (id: string, one: UserId, expiresAtMs: number): boolean =>
      again.isSessionOver({ id, user: one, expiresAtMs })
    expect([isOver('x', user, 99), isOver('x', otherUser, 99), isOver('t', otherUser, 99)]).toEqual([
      true,
      false,
      true,
    ])
    again.revoke(allSessionsOf(otherUser), 60)
    expect([isOver('x', otherUser, 60), isOver('x', otherUser, 61)]).toEqual([true, false])
    expect([again.revokedUntilMs('t'), again.revokedUntilMs('y')]).toEqual([50, 0])
  })

  test('following the log from its first entry begins with the rows that everybody began with', () => {
    const world = makeWorld()
    const stores = world.open()
    stores.shop.transaction((tables) => {
      tables.setCurrency('EUR')
      tables.setMembersVersion(4)
      tables.removeMember('m3' as MemberId)
    })
    stores.shop.setFeed('broadcast')
    stores.shop.startFromLog()
    const { shop } = world.reopen(stores)
    expect([
      shop.feed(),
      shop.read.currency(),
      shop.read.membersVersion(),
      shop.read.removedMembers(),
    ]).toEqual(['log', null, 0, []])
    expect(shop.diverged()).toBeNull()
    shop.setDiverged('rows differ')
    expect(shop.diverged()).toBe('rows differ')
  })
})
