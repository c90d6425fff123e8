/** When a cart is called complete: nothing that was acknowledged can be missing (DESIGN.md section 5, "Takeover"). */
import { afterEach, describe, expect, test } from 'vitest'
import type { Sku, UserId } from '../../node/ids.ts'
import { CartWorld } from '../support/cart-service-world.ts'
import type { CartNode } from '../support/cart-service-world.ts'

let world: CartWorld
afterEach(() => world.close())

test.each([
  ['was there before', false],
  ['was made just now', true],
])('a user who %s, two members were replaced, and one of the earlier set is down', async (_when, isNew) => {
  world = new CartWorld(4)
  const [one, second, third, last] = world.nodes as [CartNode, CartNode, CartNode, CartNode]
  second.crash()
  world.replace('n2', 'n5')
  third.crash()
  world.replace('n3', 'n6')
  last.crash()
  const isConcerned = (user: UserId): boolean =>
    one.homes.earlierSets(user).some((set) => set.includes(last.id) && !set.includes(one.id))
  let user = world.guest()
  while (!isConcerned(user)) user = world.guest()
  await world.run(one.homes.assign(user, isNew))
  const { node: home } = await world.follow(user, one)
  expect(await world.run(home.carts.view(user))).toMatchObject({ complete: isNew, total: 0 })
})

test('a change by a home that hears of another one before it answers is not called complete', async () => {
  world = new CartWorld(3)
  const user = world.guest()
  const { node } = await world.add(user, world.node('n1'))
  const others = world.nodes.filter((one) => one !== node)
  for (const other of others) {
    world.cutBothWays(node, other)
    other.sees(node, false)
  }
  await world.add(user, others[0] as CartNode, 2)
  world.heal()
  const { cart } = await world.run(node.carts.change(user, { kind: 'set', sku: 'LAMP' as Sku, quantity: 1 }))
  expect([node.homes.isHome(user), cart.complete]).toEqual([false, false])
})

describe('earlier sets', () => {
  /** Of a user whose set was n2, n3 and n4, of which the first two are replaced, one after the other. */
  async function replaced(whileDown: readonly string[]): Promise<UserId> {
    world = new CartWorld(4)
    const isConcerned = (one: UserId): boolean =>
      !world.node('n1').homes.serverSet(one).includes(world.node('n1').id)
    let user = world.guest()
    while (!isConcerned(user)) user = world.guest()
    await world.add(user, world.node('n1'))
    for (const name of whileDown) world.node(name).crash()
    for (const [gone, by] of [
      ['n2', 'n5'],
      ['n3', 'n6'],
    ] as const) {
      world.node(gone).crash()
      world.replace(gone, by)
    }
    return user
  }
  const members = (): CartNode[] => world.nodes.filter(({ name }) => name !== 'n2' && name !== 'n3')
  const areForgotten = (user: UserId): boolean =>
    members().every(({ isUp, homes }) => !isUp || homes.earlierSets(user).length === 0)

  test('do not matter once all members have brought there what they had: then nobody who died of them is missed', async () => {
    const user = await replaced([])
    expect(areForgotten(user)).toBe(false)
    expect(await world.until(() => areForgotten(user), 30_000)).toBe(true)
    const { node: home } = await world.follow(user, world.node('n1'))
    home.crash()
    const { node: next } = await world.follow(user, world.node('n1'))
    const beganAtMs = world.scheduler.nowMs
    expect(await world.run(next.carts.view(user))).toMatchObject({ complete: true, total: 1_000 })
    expect(world.scheduler.nowMs - beganAtMs).toBeLessThan(1_000)
  })

  test('matter as long as a member that was down then has not looked, and its cart is not lost', async () => {
    const user = await replaced(['n4'])
    await world.scheduler.runFor(60_000)
    expect(areForgotten(user)).toBe(false)
    const { node: home } = await world.follow(user, world.node('n1'))
    expect(await world.run(home.carts.view(user))).toMatchObject({ complete: false, total: 0 })
    world.node('n4').start()
    expect(await world.until(() => areForgotten(user), 30_000)).toBe(true)
    const { node: now } = await world.follow(user, world.node('n1'))
    expect(await world.run(now.carts.view(user))).toMatchObject({ complete: true, total: 1_000 })
  })

  test('matter as long as a cart has not left a member that is in the set no more', async () => {
    const user = await replaced([])
    const [left, ...others] = members().filter(({ stores }) => stores.local.cart(user) !== null)
    for (const other of world.nodes) if (left !== undefined && other !== left) world.cutBothWays(left, other)
    expect(others).toEqual([])
    await world.scheduler.runFor(60_000)
    expect(areForgotten(user)).toBe(false)
    world.heal()
    expect(await world.until(() => areForgotten(user), 30_000)).toBe(true)
    expect(world.quantities(user).filter((quantity) => quantity === 1).length).toBeGreaterThan(1)
  })
})
