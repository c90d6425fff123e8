/** What a shopper agreed to: prices that move, wherever the order arrives; money that is exact; entries that were sold. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { priceAmountMax, shownCartLengthMax } from '../../node/commands.ts'
import { atShownPrices, cartHash, cartTotal, readShownCart, shownCart } from '../../node/core/carts.ts'
import type { Sku, UserId } from '../../node/ids.ts'
import { OrderWorld } from '../support/order-world.ts'
import type { OrderHome } from '../support/order-world.ts'
import { product, variant } from '../support/store-world.ts'

const price = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 16_383, 16_384, priceAmountMax),
  fc.integer({ min: 0, max: priceAmountMax }),
)
const cart = fc.uniqueArray(
  fc.record({
    sku: fc.string({ minLength: 1 }),
    quantity: fc.integer({ min: 1, max: 999 }),
    unitPrice: price,
  }),
  { selector: ({ sku }) => sku, minLength: 1, maxLength: 30 },
)

describe('the name of a cart', () => {
  test('holds the prices, whatever the order of the lines, and nothing else that can be believed', () => {
    fc.assert(
      fc.property(cart, fc.integer({ min: 0, max: 29 }), price, (lines, at, other) => {
        const shown = shownCart(lines, 'USD')
        expect(shownCart(lines.toReversed(), 'USD')).toBe(shown)
        const { hash, prices } = readShownCart(shown)
        expect(hash).toBe(cartHash(lines, 'USD'))
        const unpriced = lines.map((line) => ({ ...line, unitPrice: 1 }))
        const agreed = atShownPrices(unpriced, prices) ?? []
        expect(cartHash(agreed, 'USD')).toBe(hash)
        const position = at % lines.length
        const moved = lines.map((line, index) => (index === position ? { ...line, unitPrice: other } : line))
        expect(shownCart(moved, 'USD') === shown).toBe(other === lines[position]?.unitPrice)
      }),
    )
  })

  test('is bounded, and says nothing of prices for a cart that no order can hold', () => {
    const lines = (count: number) =>
      Array.from({ length: count }, (_, index) => ({
        sku: `s${index}`,
        quantity: 1,
        unitPrice: priceAmountMax,
      }))
    expect(shownCart(lines(500), 'USD').length).toBeLessThanOrEqual(shownCartLengthMax)
    expect(shownCart(lines(501), 'USD')).toHaveLength(64)
    expect(shownCart([], 'USD')).toHaveLength(64)
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const one of readShownCart(text).prices ?? [])
          expect(Number.isInteger(one) && one >= 0 && one <= priceAmountMax).toBe(true)
      }),
    )
  })
})

/** The cart of one home, as another has it after a takeover. */
async function takeOver(world: OrderWorld, from: OrderHome, to: OrderHome, user: UserId): Promise<void> {
  const copy = from.carts.document(user).encode()
  await world.run(to.carts.mutate(user, (document) => document.merge(copy)))
}

describe('a price that moved', () => {
  test('is told with old and new at whatever home the order arrives; ordering again accepts it', async () => {
    const world = new OrderWorld(2)
    const [seen, next] = [world.home(1), world.home(2)]
    const user = world.guest()
    await seen.add(user, 'LAMP', 2)
    await seen.add(user, 'SHADE')
    const hash = await seen.hash(user)
    world.log.setPrice('lamp', 1_100)
    next.setPrice('lamp', 1_100)
    await takeOver(world, seen, next, user)
    const { order } = await next.place(user, 'key-1', { hash })
    expect(order).toMatchObject({
      reason: 'price-changed',
      changes: [{ sku: 'LAMP', old: 1_000, new: 1_100 }],
    })
    expect(next.quantities(user)).toEqual({ LAMP: 2, SHADE: 1 })
    const again = await next.place(user, 'key-2', { hash: await next.hash(user) })
    expect(again.order).toMatchObject({ status: 'placed', total: 2_450 })
  })

  test('prices that are made up change nothing: the log knows them', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    const cheap = shownCart([{ sku: 'LAMP', quantity: 1, unitPrice: 1 }], 'USD')
    expect((await home.place(user, 'key-1', { hash: cheap })).order).toMatchObject({
      reason: 'price-changed',
      changes: [{ sku: 'LAMP', old: 1, new: 1_000 }],
    })
    const [digest] = (await home.hash(user)).split('.')
    const forged = `${digest}.${cheap.split('.')[1]}`
    // The hash is of the present prices, so it is these that were agreed to.
    const { order } = await home.place(user, 'key-2', { hash: forged })
    expect(order).toMatchObject({ status: 'placed', total: 1_000 })
  })
})

describe('entries that were sold', () => {
  test('a second key for the same cart is told which order took it, also at the next home', async () => {
    const world = new OrderWorld(2)
    const [home, next] = [world.home(1), world.home(2)]
    const user = world.guest()
    await home.add(user, 'LAMP')
    const hash = await home.hash(user)
    const { order } = await home.place(user, 'key-1', { hash })
    await takeOver(world, home, next, user)
    for (const [index, one] of [home, next].entries()) {
      const second = await one.place(user, `again-${index}`, { hash })
      expect(second.order).toMatchObject({ status: 'refused', reason: 'already-sold', soldTo: order.id })
      expect(one.quantities(user)).toEqual({})
      expect((await one.place(user, `again-${index}`, { hash })).order).toEqual(second.order)
    }
    expect(world.log.orders().filter(({ status }) => status === 'placed')).toHaveLength(1)
  })

  test('two homes check out one cart at once: one order, and one refusal that names it', async () => {
    const world = new OrderWorld(2)
    const [one, two] = [world.home(1), world.home(2)]
    const user = world.guest()
    await one.add(user, 'LAMP')
    await takeOver(world, one, two, user)
    await two.add(user, 'SHADE')
    const [first, second] = await world.run(
      Promise.all([
        one.orders.place(user, { key: 'one', hash: '*' }),
        two.orders.place(user, { key: 'two', hash: '*' }),
      ]),
    )
    expect(first.order).toMatchObject({ status: 'placed', total: 1_000 })
    expect(second.order).toMatchObject({ reason: 'already-sold', soldTo: first.order.id })
    // What nobody bought is there to be ordered; what was sold is not.
    expect(two.quantities(user)).toEqual({ SHADE: 1 })
  })
})

describe('money is exact', () => {
  async function filled(price_: number, additions: number): Promise<{ home: OrderHome; user: UserId }> {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    const skus = Array.from({ length: additions }, (_, index) => `BIG-${index}` as Sku)
    const big = product('big', 3, { variants: skus.map((one) => variant(one, price_)) })
    for (const shop of [home.stores.shop, world.log.shop])
      shop.transaction((tables) => tables.putProduct(big))
    for (const one of skus) await home.edit(user, { kind: 'add', sku: one, quantity: 999 })
    return { home, user }
  }

  test('the greatest cart of greatest prices that fits is counted to the unit', async () => {
    const { home, user } = await filled(priceAmountMax - 1, 400)
    const { order } = await home.place(user, 'key-1')
    expect(order).toMatchObject({ status: 'placed', total: 400 * 999 * (priceAmountMax - 1) })
  })

  test('a price of nothing is a price', async () => {
    const { home, user } = await filled(0, 1)
    expect((await home.place(user, 'key-1')).order).toMatchObject({ status: 'placed', total: 0 })
  })

  test('a total beyond what is exact is too large; nothing is frozen', async () => {
    const { home, user } = await filled(priceAmountMax, 10)
    // Only a union of many carts gets there; a catalog with impossible prices stands for it.
    const { read } = home.stores.shop
    const sku = read.sku.bind(read)
    read.sku = (one) => {
      const info = sku(one)
      return info === null ? null : { ...info, price: 2 ** 42 }
    }
    await expect(home.place(user, 'key-1')).rejects.toMatchObject({ code: 'too-large' })
    expect(home.outbox()).toEqual([])
    expect(home.carts.peek(user)?.undecidedIntents()).toEqual([])
    expect(cartTotal([{ sku: 's', quantity: 999, unitPrice: 2 ** 50 }])).toBe(Number.MAX_SAFE_INTEGER)
  })

  test('another currency than the shop’s is refused by the catalog and by the log', () => {
    const { log } = new OrderWorld()
    const intent = {
      id: `o${'1'.repeat(32)}`,
      user: `g20454-${'1'.repeat(24)}`,
      bodyHash: 'b',
      cartHash: 'c',
      currency: 'EUR',
      lines: [{ sku: 'LAMP', quantity: 1, unitPrice: 1_000 }],
      tags: ['t'],
      dots: ['t'],
      catalogVersion: 1,
      verdict: 'agreed',
      createdAtMs: 1,
    }
    const { decided } = log.apply('c:1' as never, { kind: 'order.place', intent } as never, 1)
    expect(decided).toMatchObject({ status: 'refused', reason: 'price-changed' })
    const foreign = { ...variant('E-1', 5), price: { amount: 5, currency: 'EUR' } }
    const change = { op: 'merge', handle: 'foreign', fields: { title: 'F', variants: [foreign] } }
    const { result } = log.apply(
      'c:2' as never,
      { kind: 'catalog.change', changes: [change], by: 'x' } as never,
      1,
    )
    expect(result).toMatchObject({ ok: true, value: { outcomes: [{ outcome: 'rejected' }] } })
  })
})
