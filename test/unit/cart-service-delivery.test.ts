/** How carts get through the primary, to new members, away from old ones, and from guests to accounts. */
import { afterEach, describe, expect, test } from 'vitest'
import { accountId, dayMs } from '../../node/ids.ts'
import type { Sku, UserId } from '../../node/ids.ts'
import { cartsPerMessageMax } from '../../node/messages.ts'
import { CartWorld } from '../support/cart-service-world.ts'
import type { CartNode } from '../support/cart-service-world.ts'

let world: CartWorld
afterEach(() => world.close())

const settled = (): boolean =>
  world.nodes.every((node) => {
    const { undelivered, underReplicated } = node.carts.counts()
    return !node.isUp || undelivered + underReplicated === 0
  })
const holders = (user: UserId): string[] =>
  world.nodes.filter((node) => node.stores.local.cart(user) !== null).map(({ name }) => name)
const setOf = (user: UserId): string[] =>
  (world.nodes[0] as CartNode).homes
    .serverSet(user)
    .map((id) => world.node(id).name)
    .sort()

describe('sync', () => {
  test('the primary brings a change to a member that home can not reach', async () => {
    world = new CartWorld(5, { primary: 'n5' })
    const user = world.guestOf('n1', 'n2', 'n3')
    const { node } = await world.add(user, world.node('n1'))
    await world.until(settled)
    const [, other] = ['n1', 'n2', 'n3']
      .filter((name) => name !== node.name)
      .map((name) => world.node(name)) as [CartNode, CartNode]
    world.cutBothWays(node, other)
    await world.add(user, node)
    expect(node.carts.counts().undelivered).toBe(1)
    expect(await world.until(() => other.carts.localView(user)?.total === 2_000, 10_000)).toBe(true)
    expect(await world.until(settled, 10_000)).toBe(true)
  })

  test('one message a destination brings what changed in many carts', async () => {
    // By its capacity nearly all these users are its share.
    world = new CartWorld(5, { primary: 'n5', capacities: [100, 1, 1, 1, 1] })
    const cartsCount = cartsPerMessageMax
    const home = world.node('n1')
    const users = Array.from({ length: cartsCount }, () => world.guestOf('n1'))
    for (const user of users) await world.run(home.homes.take(user, { epoch: 1, home: home.id }))
    for (const user of users) await world.add(user, home)
    await world.until(settled)
    await world.scheduler.runFor(10_000)
    world.sent.length = 0
    // A member that home does not reach, so that the primary has something to bring.
    const far = world.node('n2')
    world.cutBothWays(home, far)
    await Promise.all(users.map(async (user) => await world.add(user, home)))
    await world.scheduler.runFor(1.5 * world.settings('n1').cartSyncIntervalMs)
    const syncs = world.sent.filter(({ request, from }) => request.kind === 'cart-sync' && from === home.id)
    const brought = new Set(
      syncs
        .flatMap(({ request }) => (request.kind === 'cart-sync' ? request.items : []))
        .map(({ user }) => user),
    )
    // One of them may have got another home before.
    expect(brought.size).toBe(users.filter((user) => home.homes.isHome(user)).length)
    expect(brought.size).toBeGreaterThan(0.9 * cartsCount)
    // A turn may come while the changes are being made; each turn sends one message for up to a hundred carts.
    expect(syncs.length).toBeLessThanOrEqual(2)
    const count = (kind: string, to: CartNode): number =>
      world.sent.filter(({ request, to: target }) => request.kind === kind && target === to.id).length
    const all = count('cart-sync', world.node('n5'))
    const distributed = world.nodes.map((member) => count('cart-distribute', member))
    expect(Math.max(...distributed)).toBeLessThanOrEqual(all)
    expect(count('cart-distribute', far)).toBeGreaterThan(0)
  })

  test('a primary outside the set forgets the cart once the set has it', async () => {
    world = new CartWorld(5, { primary: 'n5' })
    const user = world.guestOf('n1', 'n2', 'n3')
    await world.add(user, world.node('n4'))
    await world.until(() => world.sent.some(({ request }) => request.kind === 'cart-sync'), 10_000)
    expect(await world.until(() => settled() && holders(user).length === 3, 20_000)).toBe(true)
    expect(holders(user)).toEqual(['n1', 'n2', 'n3'])
  })

  test('goes to a new primary, and without one directly', async () => {
    world = new CartWorld(4, { primary: null })
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    const set = setOf(user)
    const lagging = world.node(set.find((name) => name !== node.name) as string)
    lagging.crash()
    await world.add(user, node)
    lagging.start()
    expect(await world.until(() => lagging.carts.localView(user)?.total === 2_000, 10_000)).toBe(true)
    expect(node.stores.local.cart(user)?.syncedHash).toBe(null)
    world.movePrimary('n2')
    const isSynced = (): boolean =>
      node.stores.local.cart(user)?.syncedHash === node.stores.local.cart(user)?.hash
    expect(await world.until(isSynced, 10_000)).toBe(true)
  })

  test('is silent when nothing changes, also while a member is dead', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    const other = world.nodes.find((one) => one !== node && one.name !== 'n1') as CartNode
    other.crash()
    await world.add(user, node)
    await world.until(() => false, 20_000)
    world.sent.length = 0
    await world.until(() => false, 600_000)
    expect(world.sent.length).toBeLessThan(5)
    expect(node.carts.counts().undelivered).toBe(1)
  })

  test('the keeper delivers what a dead home could not', async () => {
    world = new CartWorld(5, { primary: 'n5' })
    const user = world.guestOf('n1', 'n2', 'n3')
    const { node } = await world.add(user, world.node('n1'))
    await world.until(settled)
    const [near, far] = ['n1', 'n2', 'n3']
      .filter((name) => name !== node.name)
      .map((name) => world.node(name)) as [CartNode, CartNode]
    far.crash()
    await world.add(user, node)
    node.crash()
    far.start()
    expect(await world.until(() => far.carts.localView(user)?.total === 2_000, 30_000)).toBe(true)
    expect(near.carts.localView(user)?.total).toBe(2_000)
  })
})

describe('members', () => {
  test('a newcomer that looks after the carts of a removed home gets them, though their users stay away', async () => {
    world = new CartWorld(3)
    const gone = world.node('n2')
    const users: UserId[] = []
    for (let count = 0; count < 24; count += 1) {
      const user = world.guest()
      users.push(user)
      await world.add(user, world.node('n1'))
    }
    await world.until(settled)
    const served = users.filter((user) => gone.homes.record(user)?.home === gone.id)
    gone.crash()
    world.changeMembers(() => {
      world.records.splice(
        world.records.findIndex(({ id }) => id === gone.id),
        1,
      )
    })
    const newcomer = world.join('n4')
    // First in the set, so the keeper while there is no home; and it has nothing.
    const kept = served.filter((user) => newcomer.homes.serverSet(user)[0] === newcomer.id)
    expect(kept.length).toBeGreaterThan(0)
    const isThere = (user: UserId): boolean => newcomer.stores.local.cart(user) !== null
    expect(await world.until(() => kept.every(isThere), 60_000)).toBe(true)
  })

  test('a keeper that was away when the user moved is told whose home is gone', async () => {
    world = new CartWorld(3)
    const user = world.guestOf('n1')
    world.loadPercents.set('n1', 90)
    const { node: home } = await world.add(user, world.node('n2'))
    const [away, other] = [world.node('n1'), world.node(home.name === 'n2' ? 'n3' : 'n2')]
    await world.until(settled)
    home.crash()
    expect((await world.follow(user, other)).node).toBe(other)
    home.start()
    expect(await world.until(settled)).toBe(true)
    away.crash()
    other.crash()
    // Home again, and it knows that everybody has the cart: nothing travels.
    expect((await world.follow(user, home)).node).toBe(home)
    other.start()
    expect((await world.follow(user, other)).node).toBe(home)
    expect(await world.until(settled)).toBe(true)
    away.start()
    // It takes the other one, which lives, for the home.
    expect(away.homes.record(user)?.home).toBe(other.id)
    home.crash()
    const newcomer = world.replace(home.name, 'n4')
    expect(await world.until(() => newcomer.carts.localView(user) !== null)).toBe(true)
    expect(world.sent.some(({ to, request }) => to === away.id && request.kind === 'home-records')).toBe(true)
  })

  test('new members get carts, and those that left the set forget them only after that', async () => {
    world = new CartWorld(3)
    const users: UserId[] = []
    for (let count = 0; count < 12; count += 1) {
      const user = world.guest()
      users.push(user)
      await world.add(user, world.node('n1'))
    }
    await world.until(settled)
    for (const name of ['n4', 'n5']) world.join(name)
    const isMoved = (): boolean => users.every((user) => String(holders(user)) === String(setOf(user)))
    expect(await world.until(() => settled() && isMoved(), 120_000)).toBe(true)
    expect(users.some((user) => setOf(user).includes('n4'))).toBe(true)
    for (const user of users) {
      const { node } = await world.follow(user, world.node('n4'))
      expect(setOf(user)).toContain(node.name)
      expect(await world.run(node.carts.view(user))).toMatchObject({ total: 1_000, complete: true })
    }
  })

  test('a cart of a set that this node is not in is refused', async () => {
    world = new CartWorld(5)
    const user = world.guestOf('n1', 'n2', 'n3')
    const { node } = await world.add(user, world.node('n1'))
    const row = node.stores.local.cart(user)
    const item = {
      user,
      record: null,
      bytes: Buffer.from(row?.state ?? []).toString('base64'),
      hash: row?.hash ?? '',
      undecided: [],
    }
    const push = world.ask(node, world.node('n4').id, { kind: 'cart-push', item, membersVersion: 1 }, 1_000)
    await expect(world.run(push)).rejects.toMatchObject({ code: 'conflict', data: { membersVersion: 1 } })
    const pull = world.ask(world.node('n5'), node.id, { kind: 'cart-pull', user, membersVersion: 1 }, 1_000)
    await expect(world.run(pull)).rejects.toMatchObject({ code: 'conflict' })
  })

  test('bytes that are no cart are refused, counted, and change nothing', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    const other = world.nodes.find((one) => one !== node) as CartNode
    const before = node.stores.local.cart(user)?.hash
    for (const bytes of ['', 'AAAA', Buffer.from('hello world, this is no cart').toString('base64')]) {
      const item = { user, record: null, bytes, hash: 'x', undecided: [] }
      const push = world.ask(other, node.id, { kind: 'cart-push', item, membersVersion: 1 }, 1_000)
      await expect(world.run(push)).rejects.toMatchObject({ code: 'invalid-request' })
    }
    expect(node.context.counters.value('cart_updates_refused_total')).toBe(3)
    expect(node.stores.local.cart(user)?.hash).toBe(before)
    expect((await world.add(user, node)).acks).toBeGreaterThanOrEqual(2)
  })

  test('a draining node gives all its users away and loses nothing', async () => {
    world = new CartWorld(3)
    const users: UserId[] = []
    for (let count = 0; count < 10; count += 1) {
      const user = world.guest()
      users.push(user)
      await world.add(user, world.node('n1'))
    }
    const leaving = world.node('n2')
    expect(leaving.stores.local.sessionCount(leaving.id)).toBeGreaterThan(0)
    world.setDraining('n2', true)
    expect(await world.until(() => leaving.homes.drained(), 20_000)).toBe(true)
    leaving.crash()
    for (const user of users) {
      const { node } = await world.follow(user, world.node('n1'))
      expect((await world.run(node.carts.view(user))).total).toBe(1_000)
    }
  })

  test('idle users leave a node that is clearly more loaded, and don’t come back', async () => {
    world = new CartWorld(2, { settings: { idleAfterMs: 5_000 } })
    const [busy, idle] = world.nodes as [CartNode, CartNode]
    idle.crash()
    for (let count = 0; count < 60; count += 1) await world.add(world.guest(), busy)
    idle.start()
    await world.until(() => false, 60_000)
    const moved = idle.stores.local.sessionCount(idle.id)
    expect(moved).toBeGreaterThan(10)
    expect(moved).toBeLessThan(31)
    expect(busy.context.counters.value('migrations_total')).toBe(moved)
    await world.until(() => false, 60_000)
    expect(idle.stores.local.sessionCount(idle.id)).toBe(moved)
  })
})

describe('guests', () => {
  test('the cart merges into the account’s, repeatedly without doubling, and late additions follow', async () => {
    world = new CartWorld(5)
    const guest = world.guestOf('n1', 'n2')
    const account = accountId(world.random.bytes(16))
    const { node: guestHome } = await world.add(guest, world.node('n3'), 2)
    await world.add(account, world.node('n4'), 1)
    await world.run(world.node('n5').carts.absorbGuest(guest, account))
    await world.run(world.node('n2').carts.absorbGuest(guest, account))
    const { node: home } = await world.follow(account, world.node('n1'))
    expect((await world.run(home.carts.view(account))).total).toBe(3_000)
    expect(guestHome.carts.peek(guest)?.forwardedTo).toBe(account)
    await world.run(guestHome.carts.change(guest, { kind: 'add', sku: 'SHADE' as Sku, quantity: 1 }))
    expect(await world.until(() => home.carts.localView(account)?.total === 3_250, 20_000)).toBe(true)
  })

  test('a log-on while nobody of the guest’s set can be reached is made up for, though its node dies', async () => {
    world = new CartWorld(6, { settings: { serverSetSize: 2 } })
    const guest = world.guestOf('n1', 'n2')
    await world.add(guest, world.node('n1'), 2)
    await world.until(settled)
    let account = accountId(world.random.bytes(16))
    while (setOf(account).some((name) => ['n1', 'n2', 'n5'].includes(name)))
      account = accountId(world.random.bytes(16))
    await world.add(account, world.node('n3'), 1)
    for (const name of ['n1', 'n2']) world.node(name).crash()
    const merging = world.run(world.node('n5').carts.absorbGuest(guest, account))
    await expect(merging).rejects.toMatchObject({ code: 'no-home' })
    const { node: home } = await world.follow(account, world.node('n6'))
    // The account's home knows that something is missing.
    expect((await world.run(home.carts.view(account))).complete).toBe(false)
    for (const node of [world.node('n5'), home]) node.crash()
    for (const node of world.nodes) if (!node.isUp) node.start()
    const hasArrived = (): boolean =>
      world.nodes.some((node) => {
        const view = node.homes.isHome(account) ? node.carts.localView(account) : null
        return view?.total === 3_000 && view.complete
      })
    expect(await world.until(hasArrived, 60_000)).toBe(true)
    const { node: next } = await world.follow(account, world.node('n6'))
    expect(await world.run(next.carts.view(account))).toMatchObject({ total: 3_000, complete: true })
    expect(await world.until(() => settled() && holders(guest).length === 2, 60_000)).toBe(true)
  })

  test('what an older home of the guest held alone follows as well', async () => {
    world = new CartWorld(3)
    const guest = world.guest()
    const { node: first } = await world.add(guest, world.node('n1'))
    await world.until(settled)
    const others = world.nodes.filter((node) => node !== first)
    for (const other of others) other.crash()
    await world.add(guest, first)
    first.crash()
    for (const other of others) other.start()
    const account = accountId(world.random.bytes(16))
    const at = others[0] as CartNode
    await world.run(at.carts.absorbGuest(guest, account))
    first.start()
    const total = (): number => {
      const views = world.nodes.flatMap((node) =>
        node.homes.isHome(account) ? [node.carts.localView(account)] : [],
      )
      return Math.max(...views.map((view) => view?.total ?? 0))
    }
    expect(await world.until(() => total() === 2_000, 60_000)).toBe(true)
  })

  test('carts of expired guests leave the disk', async () => {
    world = new CartWorld(3)
    const guest = world.guest()
    const account = accountId(world.random.bytes(16))
    await world.add(guest, world.node('n1'))
    await world.add(account, world.node('n1'))
    await world.until(settled)
    for (const node of world.nodes) node.clock.jumpWall(32 * dayMs)
    expect(await world.until(() => holders(guest).length === 0, 120_000)).toBe(true)
    expect(holders(account)).toHaveLength(3)
  })
})
