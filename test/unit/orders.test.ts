/** Placing orders: one order per key, whatever is repeated, lost or killed on the way (DESIGN.md section 7). */
import { describe, expect, test } from 'vitest'
import { shownCart } from '../../node/core/carts.ts'
import { Fault } from '../../node/faults.ts'
import type { Sku } from '../../node/ids.ts'
import { OrderWorld } from '../support/order-world.ts'

describe('placing', () => {
  test('the cart that was agreed to becomes an order, and is empty afterwards', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP', 2)
    await home.add(user, 'SHADE')
    const contact = { name: 'Ada', email: 'ada@example.test' }
    const hash = await home.hash(user)
    const { order } = await home.place(user, 'key-1', { hash, contact, note: 'ring twice' })
    expect(order).toMatchObject({ status: 'placed', number: 'S-000001', user, total: 2_250, currency: 'USD' })
    expect(order).toMatchObject({ contact, note: 'ring twice' })
    expect(order.lines).toEqual([
      { sku: 'LAMP', title: 'Lamp', quantity: 2, unitPrice: 1_000 },
      { sku: 'SHADE', title: 'Shade – Red', quantity: 1, unitPrice: 250 },
    ])
    expect(home.quantities(user)).toEqual({})
    expect(home.carts.peek(user)?.undecidedIntents()).toEqual([])
    await world.until(() => home.outbox().length === 0)
    expect(home.outbox()).toEqual([])
  })

  test('it is told once, with contact', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    const told = home.listen(user)
    await home.add(user, 'LAMP')
    const { order } = await home.place(user, 'key-1', { note: 'n' })
    await world.until(() => told.length > 0)
    const decided = { index: 9, term: 1, command: null, outcome: world.log.applied[0]!.outcome }
    home.orders.applied([decided])
    expect(told).toEqual([{ kind: 'order', data: order }])
    expect(home.counters.value('orders_placed_total')).toBe(1)
  })

  test('what is added after the freezing stays in the cart', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    world.setPrimary(false)
    expect((await home.place(user, 'key-1')).order.status).toBe('pending')
    await home.add(user, 'SHADE', 3)
    world.setPrimary(true)
    await world.until(() => home.outbox().length === 0)
    expect(home.quantities(user)).toEqual({ SHADE: 3 })
    expect(world.log.orders()).toMatchObject([{ status: 'placed', total: 1_000 }])
  })
})

describe('refusals are decisions of the log', () => {
  test('empty cart', async () => {
    const world = new OrderWorld()
    const user = world.guest()
    const { order } = await world.home().place(user, 'key-1')
    expect(order).toMatchObject({ status: 'refused', reason: 'empty-cart' })
    await world.home().add(user, 'LAMP')
    expect((await world.home().place(user, 'key-1')).order).toMatchObject({ reason: 'empty-cart' })
    expect(world.log.orders()).toHaveLength(1)
  })

  test('cart changed: the answer shows the cart, and the cart is as before', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    const hash = await home.hash(user)
    await home.add(user, 'SHADE')
    const { order, cart } = await home.place(user, 'key-1', { hash })
    expect(order).toMatchObject({ status: 'refused', reason: 'cart-changed' })
    expect(cart?.hash).toBe(await home.hash(user))
    expect(home.quantities(user)).toEqual({ LAMP: 1, SHADE: 1 })
  })

  test('price changed: the entries are back in the cart', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    world.log.setPrice('lamp', 1_100)
    const { order } = await home.place(user, 'key-1', { hash: await home.hash(user) })
    expect(order).toMatchObject({
      status: 'refused',
      reason: 'price-changed',
      changes: [{ sku: 'LAMP', old: 1_000, new: 1_100 }],
    })
    expect(home.quantities(user)).toEqual({ LAMP: 1 })
    await world.until(() => home.outbox().length === 0)
  })

  test('price changed at home as well: the hash that was shown stands for the old prices', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    const hash = shownCart([{ sku: 'LAMP', quantity: 1, unitPrice: 900 }], 'USD')
    const { order } = await home.place(user, 'key-1', { hash })
    expect(order).toMatchObject({
      status: 'refused',
      reason: 'price-changed',
      changes: [{ sku: 'LAMP', old: 900, new: 1_000 }],
    })
    await home.add(user, 'LAMP')
    expect((await home.place(user, 'key-2', { hash })).order.reason).toBe('cart-changed')
    expect((await home.place(user, 'key-3', { hash: await home.hash(user) })).order.status).toBe('placed')
  })

  test('an incomplete cart that differs is not decided about', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    home.carts.complete = false
    await expect(home.place(user, 'key-1')).rejects.toMatchObject({ code: 'no-home', retryAfterSeconds: 1 })
    await home.add(user, 'LAMP')
    await expect(home.place(user, 'key-1', { hash: 'other' })).rejects.toMatchObject({ code: 'no-home' })
    expect(world.log.applied).toEqual([])
    expect((await home.place(user, 'key-1', { hash: await home.hash(user) })).order.status).toBe('placed')
  })

  test('without a primary a cart that differs is not decided about either', async () => {
    const world = new OrderWorld()
    const user = world.guest()
    world.setPrimary(false)
    await expect(world.home().place(user, 'key-1')).rejects.toMatchObject({ code: 'no-primary' })
    expect(world.home().outbox()).toEqual([])
    world.setPrimary(true)
    await world.home().add(user, 'LAMP')
    expect((await world.home().place(user, 'key-1')).order.status).toBe('placed')
  })
})

describe('one key, one order', () => {
  test('a retry gets the first answer, whatever is in the cart by then', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    const hash = await home.hash(user)
    const first = await home.place(user, 'key-1', { hash })
    expect(await home.place(user, 'key-1', { hash })).toEqual(first)
    await home.add(user, 'LAMP')
    const third = await home.place(user, 'key-1', { hash })
    expect(third.order.number).toBe(first.order.number)
    await world.until(() => home.outbox().length === 0)
    // What looked like the same cart was held for a moment, and is back.
    expect(home.quantities(user)).toEqual({ LAMP: 1 })
    expect(world.log.orders()).toHaveLength(1)
  })

  test('many at once are one order, and all get it', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    const answers = await world.run(
      Promise.all(Array.from({ length: 10 }, () => home.orders.place(user, { key: 'key-1', hash: '*' }))),
    )
    expect(new Set(answers.map(({ order }) => `${order.status} ${order.number}`))).toEqual(
      new Set(['placed S-000001']),
    )
    expect(world.log.orders()).toHaveLength(1)
  })

  test('two keys at once: one order has the entries, the other finds an empty cart', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    const place = (key: string) => home.orders.place(user, { key, hash: '*' })
    const answers = await world.run(Promise.all([place('one'), place('two')]))
    expect(answers.map(({ order }) => order.reason ?? order.status)).toEqual(['placed', 'empty-cart'])
  })

  test.each(['while it is decided', 'afterwards', 'while it is pending'])(
    'another body under the key is refused: %s',
    async (when) => {
      const world = new OrderWorld()
      const home = world.home()
      const user = world.guest()
      await home.add(user, 'LAMP', 2)
      if (when === 'while it is pending') world.setPrimary(false)
      const first = home.orders.place(user, { key: 'key-1', hash: '*' })
      if (when !== 'while it is decided') await world.run(first)
      await expect(home.place(user, 'key-1', { note: 'another' })).rejects.toMatchObject({
        code: 'key-reused',
      })
      world.setPrimary(true)
      await world.run(first)
      await world.until(() => home.outbox().length === 0)
      expect(world.log.orders()).toMatchObject([{ status: 'placed' }])
    },
  )

  test('two homes freeze different carts under one key: one order, each cart loses only what was sold', async () => {
    const world = new OrderWorld(2)
    const [one, two] = [world.home(1), world.home(2)]
    const user = world.guest()
    await one.add(user, 'LAMP')
    const shared = one.carts.document(user).encode()
    await world.run(two.carts.mutate(user, (document) => document.merge(shared)))
    await two.add(user, 'SHADE')
    const place = (home: typeof one) => home.orders.place(user, { key: 'key-1', hash: '*' })
    const answers = await world.run(Promise.all([place(one), place(two)]))
    expect(new Set(answers.map(({ order }) => order.number))).toEqual(new Set(['S-000001']))
    expect(answers[1].order.total).toBe(1_000)
    expect(one.quantities(user)).toEqual({})
    expect(two.quantities(user)).toEqual({ SHADE: 1 })
    expect(world.log.orders()).toHaveLength(1)
  })

  test('two homes, one key, two bodies: the log’s first wins, the other is told so', async () => {
    const world = new OrderWorld(2)
    const user = world.guest()
    for (const home of world.homes) await home.add(user, 'LAMP')
    const place = (number: number, note: string) =>
      world.home(number).orders.place(user, { key: 'key-1', hash: '*', note })
    const [first, second] = await world.run(Promise.allSettled([place(1, 'a'), place(2, 'b')]))
    expect(first).toMatchObject({ status: 'fulfilled', value: { order: { status: 'placed' } } })
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'key-reused' } })
    expect(world.home(2).quantities(user)).toEqual({ LAMP: 1 })
  })
})

describe('faults mean that nothing was ordered', () => {
  test('a cart that can’t be stored leaves no trace', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    home.cartFault = new Fault('disk-full', 'no space left')
    await expect(home.place(user, 'key-1')).rejects.toMatchObject({ code: 'disk-full' })
    expect(home.outbox()).toEqual([])
    home.cartFault = null
    expect(home.quantities(user)).toEqual({ LAMP: 1 })
    expect((await home.place(user, 'key-1')).order.status).toBe('placed')
  })

  test('a retry that waits while the first one fails gets its fault', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    home.cartFault = new Fault('disk-full', 'no space left')
    const both = [
      home.orders.place(user, { key: 'k', hash: '*' }),
      home.orders.place(user, { key: 'k', hash: '*' }),
    ]
    const ended = await world.run(Promise.allSettled(both))
    expect(ended.map((one) => (one.status === 'rejected' ? one.reason.code : one.value))).toEqual([
      'disk-full',
      'disk-full',
    ])
  })

  test('a cart with more lines than an order takes', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    for (let number = 0; number <= 500; number += 1)
      await home.edit(user, { kind: 'add', sku: `SKU-${number}` as Sku, quantity: 1 })
    await expect(home.place(user, 'key-1')).rejects.toMatchObject({ code: 'too-large' })
    expect(world.log.applied).toEqual([])
    expect(home.outbox()).toEqual([])
  })
})
