/** Orders through crashes between any two steps, lost answers, and other nodes' carts (DESIGN.md section 7, P3, P4). */
import { describe, expect, test } from 'vitest'
import type { OrderIntent } from '../../node/commands.ts'
import type { UserId } from '../../node/ids.ts'
import { OrderWorld } from '../support/order-world.ts'
import type { OrderHome } from '../support/order-world.ts'

/** A home that froze a cart of one lamp and could not reach a primary. */
async function pending(): Promise<{ world: OrderWorld; home: OrderHome; user: UserId }> {
  const world = new OrderWorld()
  const home = world.home()
  const user = world.guest()
  await home.add(user, 'LAMP')
  world.setPrimary(false)
  const { order } = await home.place(user, 'key-1')
  expect(order).toMatchObject({ status: 'pending', number: null, total: 1_000 })
  expect(home.counters.value('orders_pending_total')).toBe(1)
  return { world, home, user }
}

async function expectOneOrder(world: OrderWorld, home: OrderHome, user: UserId): Promise<void> {
  expect(await world.until(() => home.outbox().length === 0)).toBe(true)
  expect(world.log.orders()).toMatchObject([{ status: 'placed', total: 1_000 }])
  expect(home.quantities(user)).toEqual({})
  expect(home.carts.peek(user)?.undecidedIntents()).toEqual([])
}

describe('a crash', () => {
  test('with the outbox on disk, but the cart not frozen: it is frozen, then ordered', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    const before = home.stores.local.cart(user)!
    world.setPrimary(false)
    await home.place(user, 'key-1')
    home.stores.local.putCart(before)
    home.crash().start()
    expect(await world.until(() => home.carts.peek(user)!.undecidedIntents().length === 1)).toBe(true)
    expect(home.quantities(user)).toEqual({})
    world.setPrimary(true)
    await expectOneOrder(world, home, user)
  })

  test('with the cart frozen, but nothing sent', async () => {
    const { world, home, user } = await pending()
    home.crash()
    world.setPrimary(true)
    home.start()
    await expectOneOrder(world, home, user)
  })

  test('before the decision was heard: the same order, once', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    world.log.answersLost = Number.POSITIVE_INFINITY
    expect((await home.place(user, 'key-1')).order.status).toBe('pending')
    expect(world.log.orders()).toHaveLength(1)
    home.crash()
    world.log.answersLost = 0
    home.start()
    const { order } = await home.place(user, 'key-1')
    expect(order).toMatchObject({ status: 'placed', number: 'S-000001' })
    await expectOneOrder(world, home, user)
  })

  test('with the decision heard, but the cart not settled', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    home.carts.settle = () => new Promise(() => undefined)
    void home.orders.place(user, { key: 'key-1', hash: '*' })
    expect(await world.until(() => world.log.orders().length === 1)).toBe(true)
    expect(home.outbox()).toHaveLength(1)
    home.crash().start()
    await expectOneOrder(world, home, user)
  })

  test('of a home whose cart another home has: the keeper finishes it from the cart alone', async () => {
    const world = new OrderWorld(2)
    const [home, keeper] = [world.home(1), world.home(2)]
    const user = world.guest()
    await home.add(user, 'LAMP')
    world.setPrimary(false)
    await home.place(user, 'key-1')
    const copy = home.carts.document(user).encode()
    await world.run(keeper.carts.mutate(user, (document) => document.merge(copy)))
    home.clock.stop()
    keeper.reportUndecided(user)
    keeper.reportUndecided(user)
    world.setPrimary(true)
    expect(await world.until(() => keeper.carts.peek(user)!.undecidedIntents().length === 0)).toBe(true)
    expect(world.log.orders()).toHaveLength(1)
    expect(keeper.quantities(user)).toEqual({})
    const again = await keeper.place(user, 'key-1')
    expect(again.order).toMatchObject({ status: 'placed', number: 'S-000001' })
  })
})

describe('forwarding', () => {
  test('goes on through many failures, and at once when there is a primary again', async () => {
    const { world, home, user } = await pending()
    await world.scheduler.runFor(60_000)
    const { attempts } = world.log
    // Capped back-off: neither given up nor hammering.
    expect(attempts).toBeGreaterThan(10)
    expect(attempts).toBeLessThan(60)
    const beforeMs = world.scheduler.nowMs
    world.setPrimary(true)
    expect(await world.until(() => home.outbox().length === 0)).toBe(true)
    expect(world.scheduler.nowMs - beforeMs).toBeLessThan(100)
    await expectOneOrder(world, home, user)
  })

  test('a decision that this node applies itself ends it', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    world.log.answersLost = Number.POSITIVE_INFINITY
    const placing = home.orders.place(user, { key: 'key-1', hash: '*' })
    expect(await world.until(() => world.log.applied.length > 0)).toBe(true)
    const { outcome, body } = world.log.applied[0]!
    const intent = (body as { intent: OrderIntent }).intent
    // The rows of this node, as the applier left them.
    home.stores.shop.transaction((tables) => tables.insertOrder(outcome.decided!, 1, intent.tags))
    home.orders.applied([{ index: 1, term: 1, command: null, outcome }])
    expect((await world.run(placing)).order.status).toBe('placed')
    expect(home.quantities(user)).toEqual({})
  })

  test('an intent that a merge brings back is asked about again', async () => {
    const { world, home, user } = await pending()
    const stale = home.carts.document(user).encode()
    world.setPrimary(true)
    await expectOneOrder(world, home, user)
    home.stores.local.deleteCart(user)
    home.crash().start()
    await world.run(home.carts.mutate(user, (document) => document.merge(stale)))
    expect(home.carts.peek(user)?.undecidedIntents()).toHaveLength(1)
    home.reportUndecided(user)
    expect(await world.until(() => home.carts.peek(user)!.undecidedIntents().length === 0)).toBe(true)
    expect(home.quantities(user)).toEqual({})
    expect(world.log.orders()).toHaveLength(1)
  })

  test('settling that fails is tried again; the shopper has the decision meanwhile', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    const settle = home.carts.settle.bind(home.carts)
    let failures = 3
    home.carts.settle = async (...decision) => {
      failures -= 1
      if (failures >= 0) throw new Error('settling fails')
      await settle(...decision)
    }
    expect((await home.place(user, 'key-1')).order.status).toBe('placed')
    expect(home.outbox()).toHaveLength(1)
    await expectOneOrder(world, home, user)
  })
})
