/** The doors through which peers bring carts: whatever comes, nothing that was recorded is lost and no node breaks (P9). */
import { strict as assert } from 'node:assert'
import { afterEach, expect, test } from 'vitest'
import { CartDocument } from '../../crdt/cart.ts'
import type { UserId } from '../../node/ids.ts'
import type { CartAck, CartItem, PeerRequest } from '../../node/messages.ts'
import { framesOf, generator, mutate, sampleCart } from '../support/cart-fuzz.ts'
import { CartWorld } from '../support/cart-service-world.ts'
import type { CartNode } from '../support/cart-service-world.ts'

const seed = Number(process.env['SOUK_FUZZ_SEED'] ?? 1)
const replay = `replay: SOUK_FUZZ_SEED=${seed} scripts/with-node npx vitest run test/unit/cart-doors.test.ts`
const updates = 3_000
const kinds = ['cart-push', 'cart-sync', 'cart-distribute'] as const

let world: CartWorld
afterEach(() => world.close())

function itemOf(user: UserId, bytes: Uint8Array, hash: string): CartItem {
  return { user, record: null, bytes: Buffer.from(bytes).toString('base64'), hash, undecided: [] }
}

function requestOf(kind: (typeof kinds)[number], items: CartItem[]): PeerRequest {
  const [item] = items as [CartItem]
  return kind === 'cart-push' ? { kind, item, membersVersion: 1 } : { kind, items, membersVersion: 1 }
}

/** The stored bytes: what matters after a crash. */
const stored = (node: CartNode, user: UserId): Buffer =>
  Buffer.from(node.stores.local.cart(user)?.state ?? [])

test(`${updates} malformed carts from members`, { timeout: 120_000 }, async () => {
  world = new CartWorld(3, { seed })
  const draw = generator(seed)
  const user = world.guest()
  const [node, peer] = world.nodes as [CartNode, CartNode]
  const { doc, next } = sampleCart(user)
  const whole = itemOf(user, doc.encode(), doc.contentHash())
  await world.run(world.ask(peer, node.id, requestOf('cart-push', [whole]), 1_000))
  const frames = framesOf(next)
  const counts = { refused: 0, unchanged: 0, taken: 0 }
  for (let round = 0; round < updates; round += 1) {
    const where = `round ${round}. ${replay}`
    const kind = kinds[draw(kinds.length)] as (typeof kinds)[number]
    const bytes = mutate(frames[draw(frames.length)] as (typeof frames)[number], draw)
    const before = stored(node, user)
    const refusals = node.context.counters.value('cart_updates_refused_total')
    const request = requestOf(kind, [itemOf(user, bytes, draw(2) === 0 ? doc.contentHash() : 'no hash')])
    await world.run(world.ask(peer, node.id, request, 1_000).catch(() => null))
    const isRefused = node.context.counters.value('cart_updates_refused_total') > refusals
    const after = stored(node, user)
    if (after.equals(before)) counts[isRefused ? 'refused' : 'unchanged'] += 1
    else {
      counts.taken += 1
      assert.equal(isRefused, false, `refused and changed, ${where}`)
      const opened = CartDocument.load(after, { clientId: 1 })
      assert.deepEqual(opened.intents(), doc.intents(), where)
    }
  }
  assert.deepEqual(world.bugs, [], replay)
  const found = `${JSON.stringify(counts)}. ${replay}`
  assert.ok(counts.refused > updates / 2, found)
  assert.ok(counts.unchanged > 0 && counts.taken > 0, found)
  expect((await world.add(user, node)).acks).toBeGreaterThanOrEqual(2)
})

test('one that is refused costs only itself, never its batch', async () => {
  world = new CartWorld(3)
  const [node, peer] = world.nodes as [CartNode, CartNode]
  const users = [world.guest(), world.guest(), world.guest()] as const
  const items = users.map((user) => {
    const { doc } = sampleCart(user)
    return itemOf(user, doc.encode(), doc.contentHash())
  })
  items[1] = itemOf(users[1], Buffer.from('no cart'), 'no hash')
  for (const kind of ['cart-distribute', 'cart-sync'] as const) {
    const asked = world.ask<{ acks: CartAck[] }>(peer, node.id, requestOf(kind, items), 5_000)
    const { acks } = await world.run(asked)
    const own = acks.filter(({ member }) => member === node.id).map(({ user }) => user)
    assert.deepEqual(own, [users[0], users[2]], kind)
  }
  expect(users.map((user) => node.stores.local.cart(user) !== null)).toEqual([true, false, true])
})

test('a batch that comes again, in any order, changes nothing and is acknowledged again', async () => {
  world = new CartWorld(3)
  const [node, peer] = world.nodes as [CartNode, CartNode]
  const users = Array.from({ length: 5 }, () => world.guest())
  const items = users.map((user) => {
    const { doc } = sampleCart(user)
    return itemOf(user, doc.encode(), doc.contentHash())
  })
  const send = async (batch: CartItem[]): Promise<CartAck[]> =>
    (
      await world.run(
        world.ask<{ acks: CartAck[] }>(peer, node.id, requestOf('cart-distribute', batch), 5_000),
      )
    ).acks
  const first = await send(items)
  const before = users.map((user) => stored(node, user))
  expect(await send(items.toReversed())).toEqual(first.toReversed())
  expect(users.map((user) => stored(node, user))).toEqual(before)
})

test('records of homes are taken from members of the user’s set alone, and only higher ones', async () => {
  world = new CartWorld(5)
  const user = world.guestOf('n1', 'n2')
  const { node } = await world.add(user, world.node('n1'))
  const set = node.homes.serverSet(user)
  const keeper = world.nodes.find(({ id }) => set.includes(id) && id !== node.id) as CartNode
  const [outside, other] = world.nodes.filter(({ id }) => !set.includes(id)) as [CartNode, CartNode]
  await world.until(() => keeper.homes.record(user)?.home === node.id)
  const record = keeper.homes.record(user)
  const tell = (from: CartNode, to: CartNode, epoch: number, home: CartNode) => {
    const records = [{ user, record: { epoch, home: home.id } }]
    const request: PeerRequest = { kind: 'home-records', records, membersVersion: 1 }
    return world.run(world.ask<{ records: unknown[] }>(from, to.id, request, 1_000))
  }
  expect((await tell(outside, keeper, 9, outside)).records).toEqual([])
  expect((await tell(node, outside, 9, other)).records).toEqual([])
  expect([keeper.homes.record(user), outside.homes.record(user)]).toEqual([record, null])
  expect((await tell(node, keeper, 9, node)).records).toEqual([])
  expect(keeper.homes.record(user)).toEqual({ epoch: 9, home: node.id })
  // A lower one is answered with what is known better.
  expect((await tell(node, keeper, 3, keeper)).records).toEqual([
    { user, record: { epoch: 9, home: node.id } },
  ])
})
