/** Members that were away when they were removed, with whole nodes in virtual time (DESIGN.md sections 4, 5 and 8). */
import { expect, test } from 'vitest'
import { Fault } from '../../node/faults.ts'
import type { CommandId, NodeName, Sku, UserId } from '../../node/ids.ts'
import type { Cluster } from '../sim/cluster.ts'
import type { Host } from '../sim/host.ts'
import { soleCopies } from '../sim/losses.ts'
import { finish, lifeOf, primaryOf, until, votersOf, withSimCluster } from '../support/sim-cluster.ts'

/** The connections of a removed member are closed by then. */
const farewellMs = 3_000

const knowsItsRemoval = (host: Host): boolean => lifeOf(host).replica.parts.membership.isRemoved(host.id)

async function remove(cluster: Cluster, asked: Host, host: Host): Promise<void> {
  host.isRemoved = true
  await finish(cluster, `${host.name} is removed`, lifeOf(asked).api.cluster.removeMember(host.name))
}

/** One piece more, asked of the member itself; the number of disks that it says have it. */
async function addAt(cluster: Cluster, host: Host, user: UserId, sku: Sku): Promise<number> {
  const { carts } = lifeOf(host).api
  expect(await finish(cluster, 'the home is found', carts.route(user, 0))).toMatchObject({ kind: 'here' })
  const change = { kind: 'add', sku, quantity: 1 } as const
  return (await finish(cluster, 'a change', carts.change(user, change))).acks
}

/** What whoever is home shows, found through `asked`; null while there is no home or something may be missing. */
async function shownThrough(cluster: Cluster, asked: Host, user: UserId): Promise<number | null> {
  try {
    const route = await finish(cluster, 'a home', lifeOf(asked).api.carts.route(user, 0))
    const home = route.kind === 'here' ? asked : cluster.host(route.home.node)
    // The home learns by this that it is.
    await finish(cluster, 'the home serves', lifeOf(home).api.carts.route(user, 1))
    const view = await finish(cluster, 'a view', lifeOf(home).api.carts.view(user))
    return view.complete ? view.items.reduce((sum, { quantity }) => sum + quantity, 0) : null
  } catch (error) {
    if (error instanceof Fault) return null
    throw error
  }
}

async function skuOf(cluster: Cluster): Promise<Sku> {
  const change = {
    op: 'merge',
    handle: 'lamp',
    fields: {
      title: 'Lamp',
      variants: [{ sku: 'LAMP', title: '', options: {}, price: { amount: 100, currency: 'USD' } }],
    },
  } as const
  const { catalog } = lifeOf(primaryOf(cluster) as Host).api
  const id = 'test-lamp' as CommandId
  await finish(cluster, 'a product', catalog.change([change] as never, 'test', id))
  const sku = 'LAMP' as Sku
  await until(cluster, 'everybody has it', () =>
    cluster.lives().every(({ life }) => life.stores.shop.read.sku(sku) !== null),
  )
  return sku
}

async function guestWithPair(
  cluster: Cluster,
): Promise<{ user: UserId; pair: [Host, Host]; others: [Host, ...Host[]] }> {
  const asked = primaryOf(cluster) as Host
  const guest = await finish(cluster, 'a guest', lifeOf(asked).api.users.createGuest())
  const { home, serverSet } = guest.assignment
  const second = serverSet.find(({ node }) => node !== home.node)?.node as NodeName
  const pair: [Host, Host] = [cluster.host(home.node), cluster.host(second)]
  const others = cluster.hosts.filter((host) => !pair.includes(host)) as [Host, ...Host[]]
  return { user: guest.user.id, pair, others }
}

test('two that were removed while they were cut off together bring what they had promised', async () => {
  await withSimCluster({ nodes: 5 }, async (cluster) => {
    await until(cluster, 'five voters', () => votersOf(cluster).length === 5)
    const sku = await skuOf(cluster)
    const { user, pair, others } = await guestWithPair(cluster)
    const [home, second] = pair
    cluster.network.partition([pair.map(({ id }) => id), others.map(({ id }) => id)])
    await until(cluster, 'a primary', () => others.includes(primaryOf(cluster) as Host))
    // Nobody in the pair can know, so both serve on, and acknowledge on two disks (P8).
    for (const host of pair) await remove(cluster, others[0], host)
    await cluster.runFor(farewellMs)
    expect(await addAt(cluster, home, user, sku)).toBe(2)
    expect(soleCopies(cluster, home, [user])).toEqual([user])
    cluster.network.heal()
    await until(cluster, 'both know', () => knowsItsRemoval(home) && knowsItsRemoval(second))
    await until(cluster, 'their carts are in the set', () => {
      const undelivered = pair.map((host) => lifeOf(host).replica.parts.carts.counts().undelivered)
      return undelivered.every((count) => count === 0)
    })
    for (const host of pair) {
      expect(soleCopies(cluster, host, [user])).toEqual([])
      host.kill({ dark: true })
    }
    expect(await shownThrough(cluster, others[0], user)).toBe(1)
    expect(cluster.violations).toEqual([])
  })
})

test('one that was down when it was removed hears of it when it starts, and serves nobody', async () => {
  await withSimCluster({ nodes: 5 }, async (cluster) => {
    await until(cluster, 'five voters', () => votersOf(cluster).length === 5)
    const sku = await skuOf(cluster)
    const { user, pair, others } = await guestWithPair(cluster)
    const [home, second] = pair
    expect(await addAt(cluster, home, user, sku)).toBeGreaterThanOrEqual(2)
    for (const host of pair) host.kill()
    await until(cluster, 'a primary', () => others.includes(primaryOf(cluster) as Host))
    for (const host of pair) await remove(cluster, others[0], host)
    await cluster.runFor(farewellMs)
    for (const host of pair) host.start()
    await until(cluster, 'both know', () => knowsItsRemoval(home) && knowsItsRemoval(second))
    const route = lifeOf(home).api.carts.route(user, 0)
    await expect(finish(cluster, 'an answer', route)).rejects.toMatchObject({ code: 'no-home' })
    const { presence, membership } = lifeOf(others[0]).replica.parts
    expect(membership.list().map(({ id }) => id)).not.toContain(home.id)
    await cluster.runFor(farewellMs)
    // It may ask who the members are and hand its carts over; it is not one of them.
    expect(presence.alive(home.id)).toBe(false)
    const transport = cluster.network.node(others[0].id)
    expect(transport?.connected().map(({ id }) => id)).not.toContain(home.id)
    await until(cluster, 'the cart is in the set', () => soleCopies(cluster, home, [user]).length === 0)
    expect(await shownThrough(cluster, others[0], user)).toBe(1)
  })
})
