/** No loop, ever: whatever nodes believe about homes, a request meets at most two redirects (DESIGN.md section 6). */
import { expect, test } from 'vitest'
import { isFault } from '../../node/faults.ts'
import { CartWorld } from '../support/cart-service-world.ts'
import type { CartNode } from '../support/cart-service-world.ts'
import { seededRandom } from '../sim/random.ts'

const seeds = 40

/** Random records at random epochs, nodes that are dead, silent or cut off, presence that is wrong. */
async function confuse(world: CartWorld, seed: number): Promise<Parameters<CartNode['homes']['record']>[0]> {
  const random = seededRandom(seed)
  const user = world.guest()
  for (const node of world.nodes) {
    if (random.chance(0.7)) {
      const home = random.pick(world.nodes).id
      await world.run(node.homes.take(user, { epoch: 1 + random.below(4), home }))
    }
    for (const other of world.nodes) {
      if (other === node) continue
      if (random.chance(0.2)) node.sees(other, false)
      if (random.chance(0.1)) world.cut.add(`${node.name} ${other.name}`)
    }
  }
  for (const node of world.nodes) {
    if (random.chance(0.15)) node.isSilent = true
    else if (random.chance(0.1)) node.crash()
  }
  return user
}

test('two redirects at most, with contradictory beliefs', { timeout: 120_000 }, async () => {
  const ends = new Map<string, number>()
  for (let seed = 1; seed <= seeds; seed += 1) {
    const world = new CartWorld(5, { seed })
    const user = await confuse(world, seed)
    for (const at of world.nodes.filter((node) => node.isUp)) {
      let end: string
      try {
        const { node, hops } = await world.follow(user, at)
        end = `served after ${hops}`
        expect(hops, `seed ${seed}`).toBeLessThanOrEqual(2)
        expect(node.homes.serverSet(user), `seed ${seed}`).toContain(node.id)
      } catch (error) {
        if (!isFault(error)) throw new Error(`seed ${seed} at ${at.name}`, { cause: error })
        end = error.code
      }
      ends.set(end, (ends.get(end) ?? 0) + 1)
    }
    world.close()
  }
  // The confusion is real: all ends occur.
  expect([...ends.keys()].sort()).toEqual(['no-home', 'served after 0', 'served after 1', 'served after 2'])
})

test('when everything works again, everybody is led to one home', { timeout: 120_000 }, async () => {
  for (let seed = 1; seed <= seeds; seed += 1) {
    const world = new CartWorld(5, { seed })
    const user = await confuse(world, seed)
    world.heal()
    for (const node of world.nodes) {
      node.isSilent = false
      if (!node.isUp) node.start()
      for (const other of world.nodes) if (other !== node) node.sees(other, true)
    }
    await world.add(user, world.node('n1'))
    await world.until(() => false, 5_000)
    // Whoever holds a record that nobody else has heard of says so when it asks.
    for (const node of world.nodes) await world.follow(user, node)
    await world.until(() => false, 2_000)
    const homes = new Set<string>()
    for (const node of world.nodes) homes.add((await world.follow(user, node)).node.name)
    expect([...homes], `seed ${seed}`).toHaveLength(1)
    world.close()
  }
})
