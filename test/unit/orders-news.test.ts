/** Shoppers are told of what happens to their orders elsewhere, at homes that don't apply the log too. */
import { describe, expect, test } from 'vitest'
import type { UserId } from '../../node/ids.ts'
import { OrderWorld } from '../support/order-world.ts'
import type { OrderHome } from '../support/order-world.ts'

/** Sold notices reach a home, as its watermark brings them. */
function notice(world: OrderWorld, home: OrderHome, afterIndex = 0): void {
  for (const listener of home.carts.noticeListeners) listener(world.log.shop.soldSince(afterIndex, 500))
}

const statuses = (home: OrderHome): string[] =>
  home.told.map(({ data }) => ('status' in data ? data.status : 'cart'))

async function placedElsewhere(): Promise<{ world: OrderWorld; listening: OrderHome; user: UserId }> {
  const world = new OrderWorld(2)
  const user = world.guest()
  const listening = world.home(2)
  listening.listen(user)
  await world.home(1).add(user, 'LAMP')
  await world.home(1).place(user, 'key-1', { note: 'ring' })
  return { world, listening, user }
}

describe('news of orders', () => {
  test('each status is told once, with the order as the log has it', async () => {
    const { world, listening } = await placedElsewhere()
    notice(world, listening)
    expect(await world.until(() => listening.told.length === 1)).toBe(true)
    expect(listening.told[0]).toMatchObject({ kind: 'order', data: { status: 'placed', note: 'ring' } })
    const [order] = world.log.orders()
    await world.run(world.home(1).orders.setStatus(order!.id, 'shipped'))
    notice(world, listening)
    notice(world, listening)
    expect(await world.until(() => listening.told.length === 2)).toBe(true)
    await world.scheduler.runFor(5_000)
    expect(statuses(listening)).toEqual(['placed', 'shipped'])
  })

  test('nothing is read for who is not here', async () => {
    const { world } = await placedElsewhere()
    const reads = world.log.reads
    notice(world, world.home(1))
    await world.scheduler.runFor(5_000)
    expect(world.log.reads).toBe(reads)
  })

  test('while no majority answers it is tried again, and nothing older than the notice is told', async () => {
    const { world, listening, user } = await placedElsewhere()
    notice(world, listening)
    await world.until(() => listening.told.length === 1)
    const [order] = world.log.orders()
    await world.run(world.home(1).orders.cancel(user, order!.id))
    const notices = world.log.shop.soldSince(0, 500)
    world.setPrimary(false)
    world.log.knownOrder = order!
    for (const listener of listening.carts.noticeListeners) listener(notices)
    await world.scheduler.runFor(10_000)
    expect(statuses(listening)).toEqual(['placed'])
    world.setPrimary(true)
    expect(await world.until(() => listening.told.length === 2)).toBe(true)
    expect(statuses(listening)).toEqual(['placed', 'cancelled'])
  })

  test('many at once are read a few at a time, and all are told', async () => {
    const world = new OrderWorld(2)
    const listening = world.home(2)
    const users = Array.from({ length: 40 }, () => world.guest())
    for (const user of users) {
      await world.home(1).add(user, 'LAMP')
      await world.home(1).place(user, 'key-1')
      listening.listen(user)
    }
    world.log.readsAtOnce = 0
    notice(world, listening)
    expect(await world.until(() => listening.told.length === users.length)).toBe(true)
    expect(world.log.readsAtOnce).toBeLessThanOrEqual(8)
  })
})
