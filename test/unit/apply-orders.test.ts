/** `order.*` and `account.*` applied: once per order id, for ever; no entry sold twice (P2, P4). */
import { describe, expect, test } from 'vitest'
import type { CommandBody, OrderIntent, OrderRecord } from '../../node/commands.ts'
import type { ApplyOutcome } from '../../node/core/apply.ts'
import { ordersDigestOf } from '../../node/core/digest.ts'
import type { Applying } from '../support/store-world.ts'
import {
  applying,
  intent,
  merge,
  orderId,
  otherUser,
  replace,
  sku,
  tag,
  user,
  variant,
} from '../support/store-world.ts'

function lampShop(): Applying {
  const shop = applying()
  shop.change(
    replace('lamp', { variants: [variant('lamp-sku'), { ...variant('lamp-red', 1_500), title: 'Red' }] }),
    replace('draft', { status: 'draft', variants: [variant('draft-sku')] }),
  )
  return shop
}

function orderOf(outcome: ApplyOutcome): OrderRecord {
  if (!outcome.result.ok) throw new Error(outcome.result.message)
  const { tags: _tags, ...order } = outcome.result.value as OrderRecord & { tags?: unknown }
  return order
}

function status(to: 'shipped' | 'cancelled', by: 'user' | 'admin', more = {}): CommandBody {
  return { kind: 'order.status', order: orderId(1), status: to, by, ...more }
}

describe('placing', () => {
  test('makes an order with number, titles, total and history, and sells the tags', () => {
    const shop = lampShop()
    const lines = [
      { sku: sku('lamp-sku'), quantity: 2, unitPrice: 1_000 },
      { sku: sku('lamp-red'), quantity: 1, unitPrice: 1_500, title: 'old' },
    ]
    const outcome = shop.place({
      lines,
      tags: [tag('a'), tag('b'), tag('a')],
      contact: { name: 'Ada' },
      note: 'n',
    })
    const order = orderOf(outcome)
    expect(order).toEqual({
      id: orderId(1),
      number: 'S-000001',
      user,
      status: 'placed',
      bodyHash: 'body',
      currency: 'USD',
      lines: [
        { sku: 'lamp-sku', title: 'lamp', quantity: 2, unitPrice: 1_000 },
        { sku: 'lamp-red', title: 'lamp – Red', quantity: 1, unitPrice: 1_500 },
      ],
      total: 3_500,
      catalogVersion: 1,
      createdAt: '2026-01-01T00:00:00.000Z',
      placedAt: '2026-01-01T00:00:03.000Z',
      history: [
        { status: 'pending', at: '2026-01-01T00:00:00.000Z', by: 'user' },
        { status: 'placed', at: '2026-01-01T00:00:03.000Z', by: 'system' },
      ],
    })
    expect(outcome.decided).toEqual({ ...order, contact: { name: 'Ada' }, note: 'n' })
    expect(shop.shop.read.order(orderId(1))).toEqual(outcome.decided)
    expect([shop.shop.read.soldTo(user, tag('a')), shop.shop.read.soldTo(user, tag('b'))]).toEqual([
      orderId(1),
      orderId(1),
    ])
    expect(shop.shop.soldSince(0, 9)).toMatchObject([
      { order: orderId(1), tags: ['a', 'b'], status: 'placed' },
    ])
    expect(orderOf(shop.place({ id: orderId(2), tags: [tag('c')] })).number).toBe('S-000002')
  })

  test('is decided once: any later intent of the id gets the first decision', () => {
    const shop = lampShop()
    const first = orderOf(shop.place())
    const again = shop.place({ bodyHash: 'other', lines: [], tags: [tag('z')] })
    expect([orderOf(again), again.decided]).toEqual([first, null])
    expect(shop.shop.read.ordersDigest().count).toBe(1)
    const refused = orderOf(shop.place({ id: orderId(2) }))
    shop.change(merge('lamp', { title: 'L' }))
    expect(orderOf(shop.place({ id: orderId(2), tags: [tag('new')] }))).toEqual(refused)
  })

  const refusals: [string, Partial<OrderIntent>, Partial<OrderRecord>][] = [
    ['what home refused', { verdict: 'cart-changed', lines: [], tags: [] }, { reason: 'cart-changed' }],
    ['an empty cart as home saw it', { verdict: 'empty-cart' }, { reason: 'empty-cart' }],
    ['no lines', { lines: [] }, { reason: 'empty-cart' }],
    ['no tags', { tags: [] }, { reason: 'empty-cart' }],
    [
      'another price',
      { lines: [{ sku: sku('lamp-sku'), quantity: 1, unitPrice: 999 }] },
      { reason: 'price-changed', changes: [{ sku: 'lamp-sku', old: 999, new: 1_000 }], total: 999 },
    ],
    [
      'drafts and unknown SKUs',
      {
        lines: ['draft-sku', 'gone', 'lamp-sku'].map((name) => ({
          sku: sku(name),
          quantity: 1,
          unitPrice: 1_000,
        })),
      },
      {
        reason: 'not-for-sale',
        changes: [
          { sku: 'draft-sku', old: 1_000, new: null },
          { sku: 'gone', old: 1_000, new: null },
        ],
      },
    ],
    ['another currency', { currency: 'EUR' }, { reason: 'price-changed' }],
    [
      'sold entries',
      { tags: [tag('sold'), tag('free')] },
      { reason: 'already-sold', soldTo: orderId(9), soldTags: { sold: orderId(9) } },
    ],
    [
      'entries that were sold to a guest before',
      { user: otherUser, tags: [tag('sold')] },
      { reason: 'already-sold', soldTo: orderId(9) },
    ],
  ]
  test.each(refusals)('refuses %s', (_name, more, expected) => {
    const shop = lampShop()
    shop.place({ id: orderId(9), tags: [tag('sold')] })
    const order = orderOf(shop.place(more))
    expect(order).toMatchObject({ ...expected, status: 'refused', number: null })
    expect(order.history.map((entry) => entry.status)).toEqual(['pending', 'refused'])
    expect(shop.shop.read.soldTo(user, tag('free'))).toBeNull()
    expect(shop.shop.soldSince(0, 9).at(-1)).toMatchObject({
      order: orderId(1),
      tags: [],
      reason: expected.reason,
    })
  })

  test('refuses a total that is no exact number', () => {
    const shop = applying()
    shop.change(replace('gold', { variants: [variant('gold', 1_000_000_000)] }))
    const line = { sku: sku('gold'), quantity: 1_000_000, unitPrice: 1_000_000_000 }
    expect(orderOf(shop.place({ lines: Array.from({ length: 10 }, () => line) }))).toMatchObject({
      status: 'refused',
      reason: 'cart-changed',
      total: 0,
    })
    expect(orderOf(shop.place({ id: orderId(2), lines: [line] })).total).toBe(1e15)
  })

  test('what is kept for retries holds no personal data', () => {
    const shop = lampShop()
    const body: CommandBody = {
      kind: 'order.place',
      intent: intent({ contact: { name: 'Ada' }, note: 'Ada' }),
    }
    const first = shop.run(body, 'same')
    expect(JSON.stringify(first.result)).not.toContain('Ada')
    expect(shop.run(body, 'same').result).toEqual(first.result)
  })
})

describe('status', () => {
  test('placed → shipped by an administrator, then no more', () => {
    const shop = lampShop()
    shop.place()
    expect(orderOf(shop.run(status('shipped', 'admin')))).toMatchObject({
      status: 'shipped',
      number: 'S-000001',
    })
    for (const body of [
      status('cancelled', 'admin'),
      status('shipped', 'admin'),
      status('cancelled', 'user', { user }),
    ])
      expect(shop.run(body).result).toMatchObject({ ok: false, code: 'conflict' })
    expect(shop.shop.read.order(orderId(1))?.history.at(-1)).toMatchObject({ status: 'shipped', by: 'admin' })
    expect(shop.shop.soldSince(0, 9)).toMatchObject([{ status: 'shipped', tags: ['w.1'] }])
  })

  test('a shopper cancels a placed order, twice is fine; nobody else does', () => {
    const shop = lampShop()
    shop.place()
    expect(shop.run(status('cancelled', 'user', { user: otherUser })).result).toMatchObject({
      code: 'not-found',
    })
    expect(shop.run(status('cancelled', 'user')).result).toMatchObject({ code: 'not-found' })
    expect(shop.run(status('shipped', 'user', { user })).result).toMatchObject({ code: 'forbidden' })
    const cancelled = orderOf(shop.run(status('cancelled', 'user', { user })))
    expect(cancelled.status).toBe('cancelled')
    expect(orderOf(shop.run(status('cancelled', 'user', { user })))).toEqual(cancelled)
    expect(shop.run(status('cancelled', 'admin')).result).toMatchObject({ ok: false, code: 'conflict' })
    expect(orderOf(shop.place({ id: orderId(2) })).reason).toBe('already-sold')
  })

  test('an order cancelled before the log saw it stays cancelled', () => {
    const shop = lampShop()
    expect(shop.run(status('cancelled', 'admin')).result).toMatchObject({ code: 'not-found' })
    const cancelled = orderOf(shop.run(status('cancelled', 'user', { user })))
    expect(cancelled).toMatchObject({ status: 'cancelled', number: null, lines: [], user })
    expect(orderOf(shop.place())).toEqual(cancelled)
    expect(shop.shop.read.soldTo(user, tag('w.1'))).toBeNull()
    expect(orderOf(shop.place({ id: orderId(2) })).status).toBe('placed')
  })

  test('a refused order can’t become anything', () => {
    const shop = lampShop()
    shop.place({ lines: [] })
    expect(shop.run(status('shipped', 'admin')).result).toMatchObject({
      code: 'conflict',
      data: { status: 'refused' },
    })
    expect(shop.run(status('cancelled', 'user', { user })).result).toMatchObject({ code: 'conflict' })
  })
})

test('the orders digest is that of the rows, whatever happened', () => {
  const shop = lampShop()
  shop.place()
  shop.place({ id: orderId(2), lines: [] })
  shop.run(status('cancelled', 'user', { user }))
  shop.run({ ...(status('cancelled', 'user', { user }) as object), order: orderId(3) } as CommandBody)
  expect(shop.shop.read.ordersDigest()).toEqual(ordersDigestOf(shop.shop.orders({ limit: 100 }).items))
  expect(shop.shop.read.ordersDigest().count).toBe(3)
})

describe('accounts', () => {
  const account = { id: user, email: 'Ada@Example.com', passwordHash: 'h1', createdAt: 'now' }

  test('an e-mail is unique whatever its case', () => {
    const shop = applying()
    expect(shop.run({ kind: 'account.create', account }).result).toEqual({ ok: true, value: { user } })
    const other = { ...account, id: otherUser, email: 'ADA@example.COM' }
    expect(shop.run({ kind: 'account.create', account: other }).result).toMatchObject({ code: 'email-taken' })
    const sameId = { ...account, email: 'b@example.com' }
    expect(shop.run({ kind: 'account.create', account: sameId }).result).toMatchObject({ code: 'conflict' })
    shop.run({ kind: 'account.password', user, previousHash: 'h1', passwordHash: 'h2' })
    expect(shop.shop.read.account(user)?.passwordHash).toBe('h2')
    for (const kind of ['account.password', 'account.delete'] as const) {
      const stale = { kind, user, previousHash: 'h1', passwordHash: 'x' } as CommandBody
      expect(shop.run(stale).result).toMatchObject({ code: 'conflict' })
      expect(shop.run({ ...stale, user: otherUser } as CommandBody).result).toMatchObject({
        code: 'not-found',
      })
    }
    expect(shop.shop.read.account(user)?.passwordHash).toBe('h2')
  })

  test('deletion erases contacts, keeps orders and their digest, frees the e-mail', () => {
    const shop = lampShop()
    shop.run({ kind: 'account.create', account })
    shop.place({ contact: { name: 'Ada' }, note: 'n' })
    const digest = shop.shop.read.ordersDigest()
    const before = shop.shop.ordersIndex()
    shop.run({ kind: 'account.delete', user, previousHash: 'h1' })
    const [erased] = shop.shop.erasedSince(before, 9)
    expect(erased).toEqual({ user, index: shop.shop.ordersIndex() })
    expect(erased?.index).toBeGreaterThan(before)
    // One that was on its way is decided, and leaves nothing personal.
    shop.place({ id: orderId(2), tags: [tag('late')], contact: { name: 'Ada' }, note: 'late' })
    const late = shop.shop.read.order(orderId(2))
    expect([late?.status, late?.contact, late?.note]).toEqual(['placed', undefined, undefined])
    const order = shop.shop.read.order(orderId(1))
    expect([order?.status, order?.contact, order?.note]).toEqual(['placed', undefined, undefined])
    expect(digest.count).toBe(1)
    expect(shop.shop.read.ordersDigest()).toEqual(ordersDigestOf(shop.shop.orders({ limit: 100 }).items))
    expect(shop.run({ kind: 'account.create', account: { ...account, id: otherUser } }).result.ok).toBe(true)
  })

  test('the id of an erased account is nobody’s for ever', () => {
    const shop = applying()
    shop.run({ kind: 'account.create', account })
    shop.run({ kind: 'account.delete', user, previousHash: 'h1' })
    expect(shop.run({ kind: 'account.create', account }).result).toMatchObject({ code: 'conflict' })
    expect(shop.run({ kind: 'account.delete', user, previousHash: 'h1' }).result).toMatchObject({
      code: 'not-found',
    })
    expect(shop.shop.erasedSince(0, 9)).toHaveLength(1)
  })
})
