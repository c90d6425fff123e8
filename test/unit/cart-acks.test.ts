/** Each number of disks that may be asked for: what is promised, what is said when it can't be kept, what a takeover needs. */
import { afterEach, describe, expect, test } from 'vitest'
import { CartWorld } from '../support/cart-service-world.ts'
import type { CartNode } from '../support/cart-service-world.ts'

let world: CartWorld
afterEach(() => world.close())

const settled = (): boolean =>
  world.nodes.every((node) => {
    const { undelivered, underReplicated } = node.carts.counts()
    return !node.isUp || undelivered + underReplicated === 0
  })

describe('acknowledgement', () => {
  test('a change is on two disks before it is answered, and on all three soon', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node, acks } = await world.add(user, world.node('n1'))
    expect(acks).toBeGreaterThanOrEqual(2)
    expect(world.quantities(user).filter((quantity) => quantity === 1).length).toBeGreaterThanOrEqual(2)
    expect(
      await world.until(() => world.quantities(user).every((quantity) => quantity === 1) && settled()),
    ).toBe(true)
    const hashes = world.nodes.map((one) => one.stores.local.cart(user)?.hash)
    expect(new Set(hashes).size).toBe(1)
    expect(node.context.counters.value('cart_changes_total')).toBe(1)
  })

  test('says so when nobody else is up, and makes up for it when somebody is', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    const others = world.nodes.filter((other) => other !== node)
    for (const other of others) other.crash()
    const { acks } = await world.add(user, node)
    expect(acks).toBe(1)
    expect(node.context.counters.value('cart_changes_under_replicated_total')).toBe(1)
    expect(node.carts.counts()).toMatchObject({ undelivered: 1, underReplicated: 1 })
    await world.scheduler.runFor(30_000)
    const { oldestUndeliveredMs, oldestUnderReplicatedMs } = node.carts.counts()
    // Ages are measured once a second.
    expect(oldestUndeliveredMs).toBeGreaterThanOrEqual(29_000)
    expect(oldestUnderReplicatedMs).toBeGreaterThanOrEqual(29_000)
    // The first one that is back is enough for two disks, and it need not wait for a turn of the back-off.
    const [first, second] = others as [CartNode, CartNode]
    first.start()
    const backAtMs = world.scheduler.nowMs
    expect(await world.until(() => node.carts.counts().underReplicated === 0)).toBe(true)
    expect(world.scheduler.nowMs - backAtMs).toBeLessThan(2_500)
    expect(node.carts.counts()).toMatchObject({ undelivered: 1, oldestUnderReplicatedMs: 0 })
    second.start()
    expect(await world.until(settled)).toBe(true)
    expect(node.carts.counts()).toMatchObject({ oldestUndeliveredMs: 0, oldestUnderReplicatedMs: 0 })
    expect(world.quantities(user)).toEqual([2, 2, 2])
  })

  test('a silent member costs nothing while another one answers, and a bounded wait when none does', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    const [first, second] = world.nodes.filter((other) => other !== node) as [CartNode, CartNode]
    first.isSilent = true
    const beganAtMs = world.scheduler.nowMs
    expect((await world.add(user, node)).acks).toBe(2)
    expect(world.scheduler.nowMs - beganAtMs).toBeLessThan(50)
    second.isSilent = true
    const againAtMs = world.scheduler.nowMs
    expect((await world.add(user, node)).acks).toBe(1)
    expect(world.scheduler.nowMs - againAtMs).toBeLessThan(1_100)
  })

  test('a single node wants no more disks than there are', async () => {
    world = new CartWorld(1)
    const user = world.guest()
    const { node, acks } = await world.add(user, world.node('n1'))
    expect(acks).toBe(1)
    expect(await world.until(() => node.carts.counts().undelivered === 0 && settled())).toBe(true)
  })
})

describe.each([1, 2, 3])('--cart-acks %i', (cartAcks) => {
  const othersOf = (node: CartNode): CartNode[] => world.nodes.filter((other) => other !== node)

  test('waits for so many disks, and says on how many it is when there are fewer', async () => {
    world = new CartWorld(3, { settings: { cartAcks } })
    const user = world.guest()
    const { node, acks } = await world.add(user, world.node('n1'))
    expect(acks).toBeGreaterThanOrEqual(cartAcks)
    expect(world.quantities(user).filter((quantity) => quantity === 1).length).toBeGreaterThanOrEqual(
      cartAcks,
    )
    await world.until(settled)
    const others = othersOf(node) as [CartNode, CartNode]
    for (const [dead, other] of others.entries()) {
      other.crash()
      const left = 2 - dead
      const answer = await world.add(user, node)
      expect(answer.acks).toBe(Math.min(left, cartAcks))
      expect(node.carts.counts().underReplicated).toBe(left < cartAcks ? 1 : 0)
    }
    expect(node.context.counters.value('cart_changes_under_replicated_total')).toBe(cartAcks - 1)
    for (const other of others) other.start()
    expect(await world.until(settled)).toBe(true)
    expect(world.quantities(user)).toEqual([3, 3, 3])
  })

  test('a takeover is complete with S − W + 1 answers, and has what was acknowledged', async () => {
    world = new CartWorld(3, { settings: { cartAcks } })
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    await world.until(settled)
    // Whoever is home next did not get the last change, unless all three had to have it.
    const [next, third] = othersOf(node) as [CartNode, CartNode]
    if (cartAcks < 3) next.isSilent = true
    if (cartAcks < 2) third.isSilent = true
    expect((await world.add(user, node)).acks).toBe(cartAcks)
    // What was sent without waiting for it is lost as well.
    await world.scheduler.runFor(20)
    node.crash()
    next.isSilent = third.isSilent = false
    if (cartAcks === 3) third.crash()
    const { node: serving } = await world.follow(user, next)
    const view = await world.run(serving.carts.view(user))
    expect(view.complete).toBe(cartAcks > 1)
    expect(view.total).toBe(cartAcks > 1 ? 2_000 : 1_000)
    for (const one of world.nodes) if (!one.isUp) one.start()
    expect(
      await world.until(() => settled() && world.quantities(user).every((quantity) => quantity === 2)),
    ).toBe(true)
    const { node: last } = await world.follow(user, next)
    expect((await world.run(last.carts.view(user))).complete).toBe(true)
  })
})

test('a home that saw the cluster grow is not needed by its successor, whoever heard of those times meanwhile', async () => {
  world = new CartWorld(1)
  for (const name of ['n2', 'n3']) world.join(name)
  const [first, second, third] = world.nodes as [CartNode, CartNode, CartNode]
  const user = world.guest()
  await world.run(second.homes.take(user, { epoch: 1, home: second.id }))
  await world.add(user, second)
  await world.until(settled)
  // n2 dies with a change that nobody else has, comes back, opens the cart, and hears that it is not home any more.
  first.isSilent = third.isSilent = true
  expect((await world.add(user, second)).acks).toBe(1)
  await world.scheduler.runFor(20)
  second.crash()
  first.isSilent = third.isSilent = false
  await world.run(first.homes.take(user, { epoch: 2, home: first.id }))
  await world.add(user, first)
  second.start()
  expect((await world.follow(user, second)).node).toBe(first)
  expect(
    await world.until(() => settled() && world.quantities(user).every((quantity) => quantity === 3)),
  ).toBe(true)
  await world.scheduler.runFor(10_000)
  first.crash()
  for (const asked of [second, third]) {
    const { node } = await world.follow(user, asked)
    expect(await world.run(node.carts.view(user))).toMatchObject({ total: 3_000, complete: true })
  }
})
