/** Who serves a user: the pure decision, and nodes that ask each other. */
import { afterEach, describe, expect, test } from 'vitest'
import {
  compareRecords,
  decideHome,
  higherRecord,
  isTakeoverComplete,
  keeperOf,
} from '../../node/core/homes.ts'
import type { HomeAnswer, HomeBelief } from '../../node/core/homes.ts'
import type { MemberId } from '../../node/ids.ts'
import { CartWorld } from '../support/cart-service-world.ts'
import type { CartNode } from '../support/cart-service-world.ts'

const [a, b, c, d] = ['a', 'b', 'c', 'd'] as unknown as [MemberId, MemberId, MemberId, MemberId]
const record = (epoch: number, home: MemberId): { epoch: number; home: MemberId } => ({ epoch, home })

function belief(more: Partial<HomeBelief>): HomeBelief {
  return {
    self: d,
    isSelfDraining: false,
    set: [a, b, c],
    record: null,
    hops: 0,
    answers: new Map(),
    unwilling: new Set(),
    loadOf: () => ({ users: 0, loadPercent: 0, capacity: 1 }),
    ...more,
  }
}
const answer = (own: HomeAnswer['record'], serving: boolean, draining = false): HomeAnswer => ({
  record: own,
  serving,
  draining,
})

describe('records', () => {
  test('are ordered by epoch, then home', () => {
    expect(compareRecords(record(2, a), record(1, b))).toBeGreaterThan(0)
    expect(compareRecords(record(1, a), record(1, b))).toBeLessThan(0)
    expect(compareRecords(record(1, a), record(1, a))).toBe(0)
    expect(higherRecord(record(1, b), record(1, a))).toEqual(record(1, b))
    expect(higherRecord(null, record(1, a))).toEqual(record(1, a))
  })
})

describe('the decision', () => {
  test('serves at the recorded home', () => {
    expect(decideHome(belief({ self: a, record: record(3, a) }))).toEqual({
      kind: 'serve',
      record: record(3, a),
    })
  })

  test('redirects to a home that confirmed, not to one that is only recorded', () => {
    const answers = new Map([[a, answer(record(3, a), true)]])
    expect(decideHome(belief({ record: record(3, a), answers }))).toEqual({
      kind: 'redirect',
      record: record(3, a),
    })
    expect(decideHome(belief({ self: b, record: record(3, a) }))).toEqual({
      kind: 'assume',
      record: record(4, b),
    })
  })

  test('does not trust a home that does not know of a higher record', () => {
    const answers = new Map([
      [a, answer(record(3, a), true)],
      [c, answer(record(5, b), false)],
    ])
    expect(decideHome(belief({ answers }))).toEqual({ kind: 'assume', record: record(6, a) })
  })

  test('raises the record at the least loaded live member that is not draining', () => {
    const answers = new Map([
      [a, answer(null, false)],
      [b, answer(null, false, true)],
      [c, answer(null, false)],
    ])
    const loadOf: HomeBelief['loadOf'] = (member) => ({
      users: member === c ? 1 : member === a ? 9 : 0,
      loadPercent: 0,
      capacity: 1,
    })
    expect(decideHome(belief({ answers, loadOf }))).toEqual({ kind: 'assume', record: record(1, c) })
    const onlyB = new Map([[b, answer(null, false, true)]])
    expect(decideHome(belief({ answers: onlyB }))).toEqual({ kind: 'assume', record: record(1, b) })
    const unwilling = new Set([b])
    expect(decideHome(belief({ answers: onlyB, unwilling }))).toEqual({ kind: 'unreachable' })
  })

  test('after two redirects a member of the set serves, anybody else gives up', () => {
    const answers = new Map([[a, answer(record(3, a), true)]])
    expect(decideHome(belief({ self: b, record: record(3, a), hops: 2, answers }))).toEqual({
      kind: 'assume',
      record: record(4, b),
    })
    expect(decideHome(belief({ record: record(3, a), hops: 2, answers }))).toEqual({ kind: 'unreachable' })
  })

  test('a home that left the set is replaced', () => {
    const answers = new Map([
      [d, answer(record(3, d), false)],
      [a, answer(null, false)],
    ])
    expect(decideHome(belief({ self: b, answers }))).toMatchObject({ kind: 'assume', record: { epoch: 4 } })
  })
})

describe('a takeover is complete', () => {
  const complete = (groups: MemberId[][], answered: MemberId[], members = [a, b, c, d]): boolean =>
    isTakeoverComplete(groups, new Set(answered), 2, (member) => members.includes(member))

  test('with S − W + 1 answers of each set', () => {
    expect(complete([[a, b, c]], [a])).toBe(false)
    expect(complete([[a, b, c]], [a, b])).toBe(true)
    expect(complete([[a, b]], [a])).toBe(true)
    expect(complete([[a, b, c], [d]], [a, b])).toBe(false)
    expect(complete([[a, b, c], [d]], [a, b, d])).toBe(true)
  })

  test('with all that are left, when others were removed for good', () => {
    expect(complete([[a, b, c]], [c], [c])).toBe(true)
    expect(complete([[a, b, c]], [c], [b, c])).toBe(false)
  })
})

test('the keeper is the first live member while the home is dead', () => {
  const alive =
    (...members: MemberId[]) =>
    (member: MemberId): boolean =>
      members.includes(member)
  expect(keeperOf([a, b, c], record(1, a), alive(a, b, c))).toBe(null)
  expect(keeperOf([a, b, c], record(1, a), alive(b, c))).toBe(b)
  expect(keeperOf([a, b, c], record(1, b), alive(a, c))).toBe(a)
  expect(keeperOf([a, b, c], record(1, d), alive(b, d))).toBe(b)
  expect(keeperOf([a, b, c], null, alive())).toBe(null)
})

describe('nodes', () => {
  let world: CartWorld
  afterEach(() => world.close())
  const outside = (user: Parameters<CartNode['homes']['serverSet']>[0]): CartNode[] =>
    world.nodes.filter((node) => !node.homes.serverSet(user).includes(node.id))

  test('agree on one home, wherever the user asks, and ask rarely', async () => {
    world = new CartWorld(5)
    const user = world.guest()
    const { node: home } = await world.follow(user, world.node('n1'))
    for (const node of world.nodes) expect((await world.follow(user, node)).node).toBe(home)
    world.sent.length = 0
    for (let count = 0; count < 10; count += 1) await world.follow(user, outside(user)[0] as CartNode)
    expect(world.sent.length).toBeLessThan(5)
  })

  test('a dead home costs far less than 300 ms, a silent one about 250 ms', async () => {
    world = new CartWorld(5)
    const user = world.guest()
    const at = outside(user)[0] as CartNode
    const { node: home } = await world.follow(user, at)
    home.crash()
    let beganAtMs = world.scheduler.nowMs
    const { node: next } = await world.follow(user, at)
    expect(next).not.toBe(home)
    expect(world.scheduler.nowMs - beganAtMs).toBeLessThan(150)
    expect(next.homes.record(user)?.epoch).toBe(2)
    next.isSilent = true
    await world.until(() => false, 2_000)
    beganAtMs = world.scheduler.nowMs
    home.start()
    const { node: last } = await world.follow(user, at)
    expect(last).not.toBe(next)
    expect(world.scheduler.nowMs - beganAtMs).toBeLessThan(600)
  })

  test('a home that was away hears of its successor before it serves', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node: home } = await world.add(user, world.node('n1'))
    home.crash()
    const other = world.nodes.find((node) => node !== home) as CartNode
    const { node: next } = await world.add(user, other, 5)
    home.start()
    const { node, hops } = await world.follow(user, home)
    expect(node).toBe(next)
    expect(hops).toBe(1)
    expect(home.homes.isHome(user)).toBe(false)
    expect(home.homes.record(user)).toEqual(next.homes.record(user))
  })

  test.each([3_600_000, -7_200_000])('tells that the clock of the home is off by %d ms', async (byMs) => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node: home } = await world.add(user, world.node('n1'))
    const other = world.nodes.find((node) => node !== home) as CartNode
    await world.until(() => false, 5_000)
    expect(await world.run(other.carts.route(user, 0))).not.toHaveProperty('clockAheadMs')
    home.clock.jumpWall(byMs)
    await world.until(() => false, 5_000)
    const route = await world.run(other.carts.route(user, 0))
    expect(route).toMatchObject({ kind: 'redirect' })
    const aheadMs = 'clockAheadMs' in route ? route.clockAheadMs : 0
    expect(Math.abs((aheadMs ?? 0) - byMs)).toBeLessThan(100)
  })

  test('a higher record that arrives with a cart ends serving', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node: home } = await world.add(user, world.node('n1'))
    const next = world.nodes.find((node) => node !== home) as CartNode
    await world.run(next.homes.take(user, { epoch: 9, home: next.id }))
    await world.add(user, next)
    expect(home.homes.isHome(user)).toBe(false)
    await expect(world.run(home.carts.view(user))).rejects.toMatchObject({ code: 'no-home' })
    expect((await world.follow(user, home)).node).toBe(next)
  })

  test('a user without a live member of the set gets no-home elsewhere, and is served when one is back', async () => {
    world = new CartWorld(5)
    const user = world.guest()
    const at = outside(user)[0] as CartNode
    const { node } = await world.add(user, at)
    await world.until(() => false, 5_000)
    const set = world.nodes.filter((one) => one.homes.serverSet(user).includes(one.id))
    for (const one of set) one.crash()
    await expect(world.run(at.carts.route(user, 0))).rejects.toMatchObject({
      code: 'no-home',
      retryAfterSeconds: 1,
    })
    node.start()
    expect((await world.run(node.carts.view((await world.follow(user, at)) && user))).total).toBe(1_000)
  })

  test('draining members become home only when there is no other', async () => {
    world = new CartWorld(3)
    for (const record of world.records.slice(0, 2)) Object.assign(record, { draining: true })
    for (let count = 0; count < 10; count += 1)
      expect((await world.follow(world.guest(), world.node('n1'))).node.name).toBe('n3')
    world.node('n3').crash()
    const { node } = await world.follow(world.guest(), world.node('n1'))
    expect(['n1', 'n2']).toContain(node.name)
  })

  test('many new users at once are spread over the members', async () => {
    world = new CartWorld(5)
    const users = Array.from({ length: 100 }, () => world.guest())
    await world.run(Promise.all(users.map((user) => world.node('n1').homes.assign(user, false))))
    for (const node of world.nodes) expect(node.stores.local.sessionCount(node.id)).toBeGreaterThan(8)
  })
})
