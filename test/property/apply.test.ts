/** The same commands give the same rows everywhere: by the log, by a snapshot in the middle, by the broadcast. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CommandBody, OrderIntent, ProductChange } from '../../node/commands.ts'
import { applyVersion } from '../../node/core/feed.ts'
import { catalogDigestOf, ordersDigestOf } from '../../node/core/digest.ts'
import type { MemberId, UserId } from '../../node/ids.ts'
import type { ShopStore } from '../../node/ports.ts'
import {
  Applying,
  copySnapshot,
  handle,
  intent,
  memberJoin,
  memoryStores,
  orderId,
  otherUser,
  sku,
  tag,
  user,
} from '../support/store-world.ts'

const name = fc.constantFrom('a', 'b', 'c', 'd')
const price = fc.record({
  amount: fc.constantFrom(100, 200),
  currency: fc.constantFrom('USD', 'USD', 'USD', 'EUR'),
})
const variants = fc.array(fc.record({ sku: name.map(sku), price }, { requiredKeys: ['sku'] }), {
  minLength: 1,
  maxLength: 3,
})
const patch = fc.record(
  {
    title: fc.constantFrom('Lamp', 'Tent', 'Été'),
    category: name,
    tags: fc.array(name, { maxLength: 3 }),
    status: fc.constantFrom('active' as const, 'draft' as const),
    variants,
  },
  { requiredKeys: [] },
)
const ifMatch = fc.option(fc.constantFrom(1, 2, '*' as const, 'none' as const), { nil: undefined, freq: 5 })
const change: fc.Arbitrary<ProductChange> = fc
  .tuple(name.map(handle), patch, ifMatch, fc.integer({ min: 0, max: 5 }))
  .map(([of, fields, condition, dice]): ProductChange => {
    const guard = condition === undefined ? {} : { ifMatch: condition }
    return dice === 0 ? { op: 'delete', handle: of, ...guard } : { op: 'merge', handle: of, fields, ...guard }
  })

const userArbitrary: fc.Arbitrary<UserId> = fc.constantFrom(user, otherUser)
const order = fc.integer({ min: 1, max: 6 }).map(orderId)
const place: fc.Arbitrary<OrderIntent> = fc
  .record({
    id: order,
    user: userArbitrary,
    lines: fc.array(
      fc.record({
        sku: name.map(sku),
        quantity: fc.constantFrom(1, 3),
        unitPrice: fc.constantFrom(100, 200),
      }),
      { maxLength: 2 },
    ),
    tags: fc.array(name.map(tag), { maxLength: 3 }),
    verdict: fc.constantFrom('agreed' as const, 'agreed' as const, 'cart-changed' as const),
    note: fc.string(),
  })
  .map(intent)
const memberId = name.map((text) => `id${text}` as MemberId)

const body: fc.Arbitrary<CommandBody> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .array(change, { minLength: 1, maxLength: 4 })
      .map((changes): CommandBody => ({ kind: 'catalog.change', changes, by: 'p' })),
  },
  { weight: 4, arbitrary: place.map((one): CommandBody => ({ kind: 'order.place', intent: one })) },
  {
    weight: 2,
    arbitrary: fc
      .record({
        order,
        status: fc.constantFrom('shipped' as const, 'cancelled' as const),
        by: fc.constantFrom('user' as const, 'admin' as const),
        user: userArbitrary,
      })
      .map((one): CommandBody => ({ kind: 'order.status', ...one })),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(userArbitrary, name).map(([id, email]): CommandBody => ({
      kind: 'account.create',
      account: { id, email: `${email}@x.y`, passwordHash: 'h', createdAt: 't' },
    })),
  },
  {
    weight: 1,
    arbitrary: userArbitrary.map((user): CommandBody => ({
      kind: 'account.delete',
      user,
      previousHash: 'h',
    })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(name, memberId)
      .map(([node, id]): CommandBody => ({ kind: 'member.join', member: memberJoin(node, id) })),
  },
  { weight: 1, arbitrary: memberId.map((id): CommandBody => ({ kind: 'member.remove', id })) },
)

/** Everything that two voters must have in common. */
function rows(shop: ShopStore): unknown {
  const { read } = shop
  return {
    catalog: read.catalog(),
    products: [...shop.allProducts()],
    lists: (['title', 'price', '-price', 'newest'] as const).map((sort) =>
      shop.products({ sort, limit: 100 }),
    ),
    search: shop.products({ q: 'lamp', sort: 'relevance', limit: 100 }).total,
    categories: shop.categories(),
    versions: shop.versionsAfter(0, 1e9),
    orders: shop.orders({ limit: 100 }),
    notices: shop.soldSince(0, 100),
    digest: read.ordersDigest(),
    members: [read.members(), read.removedMembers(), read.membersVersion()],
    accounts: [read.account(user), read.account(otherUser)],
    sold: ['a', 'b', 'c', 'd'].map((one) => read.soldTo(user, tag(one))),
    applied: shop.applied(),
  }
}

test('by the log, by a snapshot in the middle, and by the broadcast', async () => {
  const history = fc.array(fc.record({ body, retry: fc.boolean() }), { minLength: 1, maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(history, fc.double({ min: 0, max: 1, noNaN: true }), async (commands, middle) => {
      const first = new Applying(memoryStores().shop).begin()
      const second = new Applying(memoryStores().shop).begin()
      const { shop: broadcast } = memoryStores()
      const late = memoryStores().shop
      let third: Applying | null = null
      for (const [position, command] of commands.entries()) {
        if (third === null && position >= middle * commands.length) {
          await copySnapshot(first.shop, late, 'full')
          third = new Applying(late)
        }
        for (const id of command.retry ? ['twice', 'twice'] : ['once']) {
          const outcomes = [first, second, ...(third === null ? [] : [third])].map((one) =>
            one.run(command.body, `${id}-${position}`),
          )
          for (const outcome of outcomes) expect(outcome).toEqual(outcomes[0])
          const version = outcomes[0]?.version ?? null
          if (version !== null) broadcast.transaction((tables) => applyVersion(tables, version))
        }
      }
      expect(rows(second.shop)).toEqual(rows(first.shop))
      expect(rows(third === null ? second.shop : late)).toEqual(rows(first.shop))
      const { read } = first.shop
      expect(catalogDigestOf(first.shop.allProducts())).toBe(read.catalog().digest)
      expect(ordersDigestOf(first.shop.orders({ limit: 100 }).items)).toEqual(read.ordersDigest())
      expect([...broadcast.allProducts()]).toEqual([...first.shop.allProducts()])
      expect(broadcast.read.catalog()).toEqual(read.catalog())
    }),
    { numRuns: 120 },
  )
})
