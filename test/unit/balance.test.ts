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
      await forEach(users, (user) => anyNode().homes.assign(user, false))
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

describe('a member that was drained and is back', () => {
  /** What the cluster test has: three homes, 79 users, of whom four go on shopping. */
  const usersCount = 79
  const shoppersCount = 4
  const namesOf = (user: UserId): string =>
    world.nodes.find((node) => node.homes.isHome(user))?.name ?? 'nobody'
  const usersOf = (name: string): number => world.node(name).stores.local.sessionCount(world.node(name).id)

  async function arriveAndDrain(seed: number): Promise<UserId[]> {
    world = new CartWorld(3, { seed, gossipMs: 1_000, settings: { idleAfterMs: 1_000 } })
    const users = Array.from({ length: usersCount }, () => world.guest())
    for (const user of users) await world.run(anyNode().homes.assign(user, false))
    world.setDraining('n1', true)
    expect(await world.until(() => world.node('n1').homes.drained())).toBe(true)
    return users
  }

  test.each([
    ['as busy as the others', 40],
    // One step of load above the two others, as whoever has just started and serves nobody yet easily is.
    ['a little busier', 55],
  ])('gets its share though it is %s', async (_how, loadPercent) => {
    await arriveAndDrain(1)
    for (const name of ['n2', 'n3']) world.loadPercents.set(name, 45)
    world.loadPercents.set('n1', loadPercent)
    world.setDraining('n1', false)
    await world.scheduler.runFor(20_000)
    const counts = ['n1', 'n2', 'n3'].map(usersOf)
    expect(Math.max(...counts) - Math.min(...counts), `users: ${counts.join(', ')}`).toBeLessThan(4)
  })

  test('gets nobody while it is so busy that it gives idle users away', async () => {
    await arriveAndDrain(1)
    world.loadPercents.set('n1', 60)
    world.setDraining('n1', false)
    await world.scheduler.runFor(20_000)
    expect(usersOf('n1')).toBe(0)
    world.loadPercents.set('n1', 40)
    await world.scheduler.runFor(20_000)
    expect(usersOf('n1')).toBeGreaterThan(20)
  })

  test('gets some of those who shop and some who are idle', async () => {
    let moved = 0
    for (let seed = 1; seed <= 10; seed += 1) {
      const shoppers = (await arriveAndDrain(seed)).slice(0, shoppersCount)
      world.setDraining('n1', false)
      for (let second = 0; second < 10; second += 1) {
        await Promise.all(shoppers.map((user) => world.run(request(user))))
        await world.scheduler.runFor(1_000)
      }
      expect(usersOf('n1')).toBeGreaterThan(20)
      moved += shoppers.filter((user) => namesOf(user) === 'n1').length
      if (seed < 10) world.close()
    }
    // A third is its share; all of them would have it serve everybody who shops.
    expect(moved / (10 * shoppersCount)).toBeGreaterThan(0.1)
    expect(moved / (10 * shoppersCount)).toBeLessThan(0.6)
  })
})
