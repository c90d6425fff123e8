/** Homes are where capacity is (DESIGN.md section 6): after many arrivals, and after a node was killed and replaced. */
import { afterEach, describe, expect, test } from 'vitest'
import { higherRecord } from '../../node/core/homes.ts'
import type { UserId } from '../../node/ids.ts'
import type { HomeRecord } from '../../node/messages.ts'
import { CartWorld } from '../support/cart-service-world.ts'
import type { CartNode } from '../support/cart-service-world.ts'

const guests = Number(process.env['SOUK_GUESTS'] ?? 10_000)
/** Requests that are under way at once, and the pause after them: about 500 a second. */
const togetherMax = 50
const pauseMs = 100
const differenceMax = 0.1

let world: CartWorld
afterEach(() => world.close())

const anyNode = (): CartNode => world.random.pick(world.nodes.filter((node) => node.isUp))

async function forEach(users: readonly UserId[], work: (user: UserId) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < users.length; from += togetherMax) {
    await world.run(Promise.all(users.slice(from, from + togetherMax).map(work)))
    await world.scheduler.runFor(pauseMs)
  }
}

/** As HTTP does it: a redirect is followed to the node that it names. */
async function request(user: UserId): Promise<void> {
  let node = anyNode()
  for (let hops = 0; hops <= 2; hops += 1) {
    const route = await node.carts.route(user, hops)
    if (route.kind === 'here') return
    node = world.node(route.home.node)
  }
  throw new Error(`${user} met more than two redirects`)
}

/** How far the number of homes of each member is from its share, as a part of the share. */
function differences(users: readonly UserId[]): Record<string, number> {
  const counts = new Map<string, number>()
  for (const user of users) {
    let best: HomeRecord | null = null
    for (const node of world.nodes) if (node.isUp) best = higherRecord(best, node.homes.record(user))
    const home = best === null ? 'none' : world.node(best.home).name
    counts.set(home, (counts.get(home) ?? 0) + 1)
  }
  const total = world.records.reduce((sum, { capacity }) => sum + capacity, 0)
  return Object.fromEntries(
    world.records.map(({ node, capacity }) => {
      const share = (users.length * capacity) / total
      return [node, Number((((counts.get(node) ?? 0) - share) / share).toFixed(3))]
    }),
  )
}

function expectEven(users: readonly UserId[], when: string): void {
  const found = differences(users)
  const worst = Math.max(...Object.values(found).map(Math.abs))
  expect(worst, `${when}: ${JSON.stringify(found)}`).toBeLessThan(differenceMax)
}

describe.each([
  ['equal', [1, 1, 1, 1, 1]],
  ['unequal', [2, 1, 1, 3, 1]],
])('with %s capacities', (_name, capacities) => {
  test(
    `${guests} guests come through random nodes; a node is killed and replaced`,
    { timeout: 300_000 },
    async () => {
      world = new CartWorld(5, { capacities, gossipMs: 1_000 })
      const users = Array.from({ length: guests }, () => world.guest())
      await forEach(users, (user) => anyNode().homes.assign(user))
      expectEven(users, 'after they came')
      const dead = world.node('n3')
      dead.crash()
      world.replace('n3', 'n6')
      await forEach(world.random.shuffle(users), request)
      await world.scheduler.runFor(3_000)
      expectEven(users, 'after one request of each')
      const moves = world.nodes.reduce(
        (sum, { context }) => sum + context.counters.value('migrations_total'),
        0,
      )
      // Only what the newcomer lacks is moved, and nobody back and forth.
      expect(moves).toBeLessThan(guests / 5)
      expect(world.bugs).toEqual([])
    },
  )
})
