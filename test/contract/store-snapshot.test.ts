/** Snapshots: full and catalog only, all or nothing, over files and memory (DESIGN.md sections 3 and 4). */
import { describe, expect, test } from 'vitest'
import { stateDigest } from '../../node/core/apply/state.ts'
import { catalogDigestOf } from '../../node/core/digest.ts'
import { Fault } from '../../node/faults.ts'
import type { SnapshotSource } from '../../node/ports.ts'
import type { OpenedStores } from '../../node/store/index.ts'
import { blocksOf, pack, readerOf, unpack } from '../../node/store/snapshot-format.ts'
import {
  Applying,
  copySnapshot,
  fileWorld,
  memberJoin,
  memoryWorld,
  merge,
  orderId,
  otherClusterId,
  remove,
  replace,
  setCluster,
  tag,
  user,
  variant,
} from '../support/store-world.ts'
import type { World } from '../support/store-world.ts'

const pairs: [string, () => World, () => World][] = [
  ['file to file', fileWorld, fileWorld],
  ['memory to memory', memoryWorld, memoryWorld],
  ['file to memory', fileWorld, memoryWorld],
  ['memory to file', memoryWorld, fileWorld],
]

/** A shop with products, an account and an order that carries personal data. */
function busyShop(world: World): { stores: OpenedStores; applying: Applying } {
  const stores = world.open()
  setCluster(stores)
  const applying = new Applying(stores.shop).begin()
  applying.change(replace('lamp', { category: 'lights', tags: ['new'] }), replace('chair'))
  applying.change(merge('lamp', { title: 'Lamp' }))
  const account = { id: user, email: 'secret@example.com', passwordHash: 'hash', createdAt: 'now' }
  applying.run({ kind: 'account.create', account })
  applying.place({ contact: { name: 'Secret Name' }, note: 'secret note' })
  return { stores, applying }
}

async function bytesOf(making: Promise<SnapshotSource>): Promise<Buffer> {
  const source = await making
  const bytes = Buffer.from(await source.read(0, source.sizeBytes))
  await source.close()
  return bytes
}

describe.each(pairs)('a snapshot, %s', (_name, makeFrom, makeTo) => {
  test('full: everything, and the log goes on from there', async () => {
    const from = busyShop(makeFrom())
    const toWorld = makeTo()
    let to = toWorld.open()
    setCluster(to)
    await copySnapshot(from.stores.shop, to.shop, 'full')
    to = toWorld.reopen(to)
    expect(to.shop.applied()).toEqual(from.stores.shop.applied())
    expect([to.shop.feed(), to.shop.clusterId()]).toEqual(['log', from.stores.shop.clusterId()])
    const next = new Applying(to.shop)
    for (const one of [from.applying, next]) {
      one.change(replace('table'), remove('chair'))
      one.place({ id: orderId(2), tags: [tag('w.2')] })
      one.place({ id: orderId(3), tags: [tag('w.1')] })
    }
    expect(to.shop.read.catalog()).toEqual(from.stores.shop.read.catalog())
    expect(to.shop.read.ordersDigest()).toEqual(from.stores.shop.read.ordersDigest())
    expect(to.shop.read.order(orderId(3))?.reason).toBe('already-sold')
    expect([...to.shop.allProducts()]).toEqual([...from.stores.shop.allProducts()])
    expect(to.shop.products({ q: 'lam', sort: 'relevance', limit: 5 }).total).toBe(1)
  })

  test('catalog: products and members, no trace of orders and accounts', async () => {
    const from = busyShop(makeFrom())
    const source = await from.stores.shop.snapshot('catalog')
    expect([source.catalog, source.membersVersion]).toEqual([from.stores.shop.read.catalog(), 1])
    expect(source.applied.index).toBe(0)
    const bytes = await bytesOf(Promise.resolve(source))
    for (const secret of ['secret', 'Secret', user, orderId(1)])
      expect(bytes.includes(secret), `${secret}`).toBe(false)
    const to = makeTo().open()
    setCluster(to)
    await copySnapshot(from.stores.shop, to.shop, 'catalog')
    expect(to.shop.read.catalog()).toEqual(from.stores.shop.read.catalog())
    expect(to.shop.read.members()).toEqual(from.stores.shop.read.members())
    expect([to.shop.feed(), to.shop.applied().index, to.shop.orders({ limit: 5 }).items]).toEqual([
      'broadcast',
      0,
      [],
    ])
    expect([to.shop.read.currency(), to.shop.read.ordersDigest().count]).toEqual(['USD', 0])
    expect(to.shop.products({ category: 'lights', sort: 'title', limit: 5 }).total).toBe(1)
  })

  test('is a moment: what happens while it is read is not in it', async () => {
    const from = busyShop(makeFrom())
    const source = await from.stores.shop.snapshot('full')
    const sink = (() => {
      const to = makeTo().open()
      setCluster(to)
      return { to, sink: to.shop.receive('full') }
    })()
    for (let offset = 0; offset < source.sizeBytes; offset += 4_096) {
      await sink.sink.write(await source.read(offset, 4_096))
      if (offset === 8_192) from.applying.change(replace('later'))
    }
    await source.close()
    await sink.sink.install()
    expect(sink.to.shop.applied()).toEqual(source.applied)
    expect(sink.to.shop.read.catalog()).toEqual(source.catalog)
    expect(catalogDigestOf(sink.to.shop.allProducts())).toBe(source.catalog.digest)
  })

  test('nothing is taken that is torn, foreign, older or wrong', async () => {
    const from = busyShop(makeFrom())
    const good = await bytesOf(from.stores.shop.snapshot('full'))
    const toWorld = makeTo()
    let to = toWorld.open()
    setCluster(to)
    const own = new Applying(to.shop).begin()
    own.change(replace('own'))
    const before = [...to.shop.allProducts()]
    const install = async (bytes: Uint8Array, kind: 'full' | 'catalog' = 'full'): Promise<void> => {
      const sink = to.shop.receive(kind)
      await sink.write(bytes)
      await sink.install()
    }
    const flipped = Buffer.concat([...unpack(readerOf(good))])
    flipped.write('X', flipped.indexOf('"handle":"lamp"') + 12)
    const rotten = Buffer.from(good)
    rotten[good.length >> 1] = (rotten[good.length >> 1] ?? 0) ^ 0x40
    const bad: [string, Uint8Array][] = [
      ['empty', new Uint8Array(0)],
      ['torn', good.subarray(0, good.length - 4_096)],
      ['no database', Buffer.from('x'.repeat(8_192))],
      ['a changed product', Buffer.concat([...pack(blocksOf(flipped))])],
      ['a changed bit on the way', rotten],
    ]
    for (const [name, bytes] of bad) await expect(install(bytes), `${name}`).rejects.toThrow(Fault)
    for (let n = 1; n < 9; n += 1) own.change(replace(`own-${n}`))
    await expect(install(good)).rejects.toThrow('older')
    await expect(install(good, 'catalog')).rejects.toThrow('older')
    const stranger = makeFrom().open()
    setCluster(stranger, otherClusterId)
    await expect(install(await bytesOf(stranger.shop.snapshot('full')))).rejects.toThrow('another cluster')
    const abandoned = to.shop.receive('full')
    await abandoned.write(good)
    await abandoned.abandon()
    to = toWorld.reopen(to)
    expect([...to.shop.allProducts()].slice(0, before.length)).toEqual(before)
    expect(to.shop.feed()).toBe('log')
  })

  test('the node works on while a copy is checked; what it did meanwhile counts', async () => {
    const from = busyShop(makeFrom())
    const good = await bytesOf(from.stores.shop.snapshot('catalog'))
    const to = makeTo().open()
    setCluster(to)
    const sink = to.shop.receive('catalog')
    await sink.write(good)
    let swapped = 0
    const installing = sink.install(() => {
      expect(to.shop.read.catalog()).toEqual(from.stores.shop.read.catalog())
      expect(to.shop.read.currency()).toBe('USD')
      swapped += 1
    })
    // In memory the swap has happened by now; with files the thread has just been started.
    to.shop.transaction((tables) => tables.setMembersVersion(99))
    await installing
    expect(swapped).toBe(1)
    expect(to.shop.read.membersVersion()).toBe(99)
  })

  test('a follower of the log does not go back, and newer members stay', async () => {
    const from = busyShop(makeFrom())
    const to = makeTo().open()
    setCluster(to)
    await copySnapshot(from.stores.shop, to.shop, 'full')
    const ahead = new Applying(to.shop)
    ahead.run({ kind: 'member.update', id: 'idn1' as never, capacity: 7 })
    await expect(copySnapshot(from.stores.shop, to.shop, 'full')).rejects.toThrow('before')
    await copySnapshot(from.stores.shop, to.shop, 'catalog')
    expect(to.shop.read.members()[0]?.capacity).toBe(7)
    expect(to.shop.read.membersVersion()).toBe(ahead.index)
    expect(from.stores.shop.read.sku(variant('lamp-sku').sku)?.price).toBe(1_000)
  })

  test('full: whoever goes on from it by the log has exactly its rows, not the newer members that gossip brought', async () => {
    const from = busyShop(makeFrom())
    const to = makeTo().open()
    setCluster(to)
    to.shop.transaction((tables) => {
      tables.putMember({ ...memberJoin('n7'), draining: false, joinedIndex: 30 })
      tables.setMembersVersion(30)
    })
    await copySnapshot(from.stores.shop, to.shop, 'full')
    expect(to.shop.transaction(stateDigest)).toBe(from.stores.shop.transaction(stateDigest))
    expect(to.shop.read.membersVersion()).toBe(1)
  })

  test('rows that a majority found wrong give way to any copy that is not before them', async () => {
    const from = busyShop(makeFrom())
    const to = makeTo().open()
    setCluster(to)
    await copySnapshot(from.stores.shop, to.shop, 'full')
    to.shop.transaction((tables) => tables.setCatalog({ ...tables.catalog(), version: 99 }))
    await expect(copySnapshot(from.stores.shop, to.shop, 'full')).rejects.toThrow('older')
    to.shop.setDiverged('for the test')
    await copySnapshot(from.stores.shop, to.shop, 'full')
    expect([to.shop.diverged(), to.shop.read.catalog()]).toEqual([null, from.stores.shop.read.catalog()])
  })
})
