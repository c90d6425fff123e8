/** When a cart is called complete: nothing that was acknowledged can be missing (DESIGN.md section 5, "Takeover"). */
import { afterEach, expect, test } from 'vitest'
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
