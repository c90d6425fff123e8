/** Reading, cancelling and shipping orders, decided or not. */
import { describe, expect, test } from 'vitest'
import type { OrderId } from '../../node/ids.ts'
import { OrderWorld } from '../support/order-world.ts'
import { orderId } from '../support/store-world.ts'

describe('reading', () => {
  test('a decided order, with contact, at any node', async () => {
    const world = new OrderWorld(2)
    const user = world.guest()
    await world.home(1).add(user, 'LAMP')
    const { order } = await world.home(1).place(user, 'key-1', { contact: { name: 'Ada' } })
    const other = world.home(2).orders
    expect(await world.run(other.get(order.id))).toEqual({ order, stale: false })
    const page = { items: [order], next: null, stale: false }
    expect(await world.run(other.list({ user, limit: 10 }))).toEqual(page)
    await expect(world.run(other.get(orderId(9)))).rejects.toMatchObject({ code: 'not-found' })
    const none = await world.run(other.list({ user: world.guest(), limit: 10 }))
    expect(none).toEqual({ items: [], next: null, stale: false })
  })

  test('an undecided order at another node: its home is asked', async () => {
    const world = new OrderWorld(3)
    const [home, other] = [world.home(1), world.home(3)]
    const user = world.guest()
    await home.add(user, 'LAMP')
    const placed = (await home.place(user, 'key-0')).order
    await home.add(user, 'SHADE')
    world.setPrimary(false)
    const { order } = await home.place(user, 'key-1', { note: 'later' })
    expect(order).toMatchObject({ status: 'pending', note: 'later' })
    for (const up of [false, true]) {
      world.log.isStuck = true
      world.log.isDown = !up
      const found = { order, stale: !up }
      expect(await world.run(other.orders.get(order.id, user))).toEqual(found)
      expect(await world.run(home.orders.get(order.id))).toEqual(found)
      const { items, stale } = await world.run(other.orders.list({ user, limit: 10 }))
      expect(items.map(({ id, status }) => [id, status])).toEqual([
        [order.id, 'pending'],
        [placed.id, 'placed'],
      ])
      expect(stale).toBe(!up)
      const open = await world.run(other.orders.list({ user, status: 'pending', limit: 10 }))
      expect(open).toEqual({ items: [order], next: null, stale: !up })
    }
    await expect(world.run(other.orders.get(order.id, world.guest()))).rejects.toMatchObject({
      code: 'not-found',
    })
  })

  test('what the log decided outranks what a home believes', async () => {
    const world = new OrderWorld(2)
    const [home, other] = [world.home(1), world.home(2)]
    const user = world.guest()
    await home.add(user, 'LAMP')
    world.log.answersLost = Number.POSITIVE_INFINITY
    const { order } = await home.place(user, 'key-1')
    expect(order.status).toBe('pending')
    const found = await world.run(other.orders.get(order.id, user))
    expect(found).toMatchObject({ order: { status: 'placed' }, stale: false })
    const { items } = await world.run(other.orders.list({ user, limit: 10 }))
    expect(items.map(({ status }) => status)).toEqual(['placed'])
    expect((await world.run(other.orders.list({ user, status: 'pending', limit: 10 }))).items).toEqual([])
  })

  test('a dead home leaves a list shorter, not broken', async () => {
    const world = new OrderWorld(2)
    const user = world.guest()
    await world.home(1).add(user, 'LAMP')
    world.setPrimary(false)
    await world.home(1).place(user, 'key-1')
    world.home(1).clock.stop()
    world.dead.add(world.home(1).id)
    world.log.isDown = false
    const list = await world.run(world.home(2).orders.list({ user, limit: 10 }))
    expect(list).toEqual({ items: [], next: null, stale: false })
  })

  test('without a majority what is known is read and marked; what is not known is not denied', async () => {
    const world = new OrderWorld(2)
    const user = world.guest()
    await world.home(1).add(user, 'LAMP')
    const { order } = await world.home(1).place(user, 'key-1')
    world.setPrimary(false)
    const { orders } = world.home(2)
    expect(await world.run(orders.get(order.id))).toEqual({ order, stale: true })
    const filters = [{}, { user }, { number: 'S-000001' }, { q: 'LAM' }, { from: '2020-01-01T00:00:00.000Z' }]
    for (const filter of filters)
      expect(await world.run(orders.list({ ...filter, limit: 10 }))).toEqual({
        items: [order],
        next: null,
        stale: true,
      })
    await expect(world.run(orders.get(orderId(9)))).rejects.toMatchObject({ code: 'no-primary' })
  })
})

describe('cancelling', () => {
  test('a placed order stays sold in the cart', async () => {
    const world = new OrderWorld(2)
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    const { order } = await home.place(user, 'key-1', { contact: { name: 'Ada' } })
    const cancelled = await world.run(world.home(2).orders.cancel(user, order.id))
    expect(cancelled).toMatchObject({
      status: 'cancelled',
      number: order.number,
      contact: { name: 'Ada' },
    })
    expect(home.quantities(user)).toEqual({})
    expect(await world.run(home.orders.cancel(user, order.id))).toEqual(cancelled)
    // The key has its order for ever.
    expect((await home.place(user, 'key-1', { contact: { name: 'Ada' } })).order.number).toBe(order.number)
    expect(home.quantities(user)).toEqual({})
  })

  test('a pending order: the entries return to the cart, and it is never placed', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    await home.add(user, 'LAMP')
    world.setPrimary(false)
    const { order } = await home.place(user, 'key-1')
    const cancelling = home.orders.cancel(user, order.id)
    // The primary is back for the cancellation first: the outbox waits out its back-off.
    world.log.isDown = false
    expect(await world.run(cancelling)).toMatchObject({ status: 'cancelled', number: null })
    expect(await world.until(() => home.outbox().length === 0)).toBe(true)
    expect(home.quantities(user)).toEqual({ LAMP: 1 })
    expect((await home.place(user, 'key-1')).order).toMatchObject({ status: 'cancelled' })
    expect(home.quantities(user)).toEqual({ LAMP: 1 })
    expect((await home.place(user, 'key-2')).order.status).toBe('placed')
  })

  test('nobody else’s, none that does not exist, none that was refused or shipped', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    const cancel = (who: typeof user, id: OrderId) => world.run(home.orders.cancel(who, id))
    const refused = (await home.place(user, 'empty')).order
    await home.add(user, 'LAMP')
    const { order } = await home.place(user, 'key-1')
    await expect(cancel(world.guest(), order.id)).rejects.toMatchObject({ code: 'not-found' })
    await expect(cancel(user, orderId(9))).rejects.toMatchObject({ code: 'not-found' })
    await expect(cancel(user, refused.id)).rejects.toMatchObject({ code: 'conflict' })
    expect(await world.run(home.orders.setStatus(order.id, 'shipped'))).toMatchObject({ status: 'shipped' })
    await expect(cancel(user, order.id)).rejects.toMatchObject({ code: 'conflict' })
    expect(world.log.orders()).toHaveLength(2)
  })

  test('an administrator ships with the contact in the answer; not twice, and nothing unknown', async () => {
    const world = new OrderWorld()
    const home = world.home()
    const user = world.guest()
    const told = home.listen(user)
    await home.add(user, 'LAMP')
    const { order } = await home.place(user, 'key-1', { contact: { address: 'Lane 1' } })
    const shipped = await world.run(home.orders.setStatus(order.id, 'shipped'))
    expect(shipped).toMatchObject({ status: 'shipped', contact: { address: 'Lane 1' } })
    await expect(world.run(home.orders.setStatus(order.id, 'shipped'))).rejects.toMatchObject({
      code: 'conflict',
    })
    await expect(world.run(home.orders.setStatus(orderId(9), 'cancelled'))).rejects.toMatchObject({
      code: 'not-found',
    })
    for (const { outcome } of world.log.applied)
      home.orders.applied([{ index: 1, term: 1, command: null, outcome }])
    expect(told.map(({ data }) => ('status' in data ? data.status : ''))).toEqual(['placed', 'shipped'])
  })
})
