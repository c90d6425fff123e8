/** LogStore and LocalStore: one suite over files and memory (DESIGN.md section 2). */
import { describe, expect, test } from 'vitest'
import { Fault, InvariantError } from '../../node/faults.ts'
import { accountId } from '../../node/ids.ts'
import type { MemberId, UserId } from '../../node/ids.ts'
import type { CartRow, LocalStore, LogEntry, OutboxRow } from '../../node/ports.ts'
import type { OpenedStores } from '../../node/store/index.ts'
import { seededRandom } from '../sim/random.ts'
import {
  clusterId,
  intent,
  orderId,
  otherClusterId,
  setCluster,
  user,
  worlds,
} from '../support/store-world.ts'

function entry(index: number, term: number, data = `{"n":${index}}`): LogEntry {
  return { index, term, kind: 'command', data }
}

const noWrite = { hardState: null, truncateFrom: null, append: [] }
const config = { voters: ['m1' as MemberId], learners: ['m2' as MemberId] }

describe.each(worlds)('LogStore in %s', (_kind, makeWorld) => {
  test('keeps identity and counts starts', () => {
    const world = makeWorld()
    const first = world.open()
    const identity = first.log.identity()
    expect(identity).toMatchObject({ clusterId: null, starts: 1 })
    setCluster(first)
    const second = world.reopen(first)
    expect(second.log.identity()).toEqual({ ...identity, clusterId, starts: 2 })
    expect(second.shop.clusterId()).toBe(clusterId)
    expect(second.local.clusterId()).toBe(clusterId)
    expect(() => second.log.setClusterId(otherClusterId)).toThrow(InvariantError)
    second.close()
  })

  test('persists hard state, entries and truncation together', () => {
    const world = makeWorld()
    const stores = world.open()
    expect(stores.log.hardState()).toEqual({ term: 0, vote: null })
    stores.log.persist({ ...noWrite, hardState: { term: 3, vote: 'm1' as MemberId } })
    stores.log.persist({ ...noWrite, append: [entry(1, 1), entry(2, 1), entry(3, 2)] })
    stores.log.persist({ ...noWrite, truncateFrom: 2, append: [entry(2, 3), entry(3, 3, 'é'), entry(4, 3)] })
    for (const log of [stores.log, world.reopen(stores).log]) {
      expect(log.hardState()).toEqual({ term: 3, vote: 'm1' })
      expect(log.lastIndex()).toBe(4)
      expect([0, 1, 2, 4, 5].map((index) => log.termAt(index))).toEqual([0, 1, 3, 3, undefined])
      expect(log.entries(1, 9, 1_000_000)).toEqual([entry(1, 1), entry(2, 3), entry(3, 3, 'é'), entry(4, 3)])
    }
  })

  test('cuts entries off by size, but gives at least one', () => {
    const stores = makeWorld().open()
    stores.log.persist({ ...noWrite, append: [1, 2, 3, 4].map((index) => entry(index, 1, 'x'.repeat(100))) })
    expect(stores.log.entries(2, 4, 250).map((one) => one.index)).toEqual([2, 3])
    expect(stores.log.entries(2, 4, 1).map((one) => one.index)).toEqual([2])
    expect(stores.log.entries(5, 4, 1)).toEqual([])
    stores.close()
  })

  test('refuses gaps, doubled entries and a term that goes back', () => {
    const stores = makeWorld().open()
    stores.log.persist({ ...noWrite, hardState: { term: 2, vote: null }, append: [entry(1, 2)] })
    for (const append of [[entry(3, 2)], [entry(1, 2)], [entry(2, 2), entry(2, 2)]])
      expect(() => stores.log.persist({ ...noWrite, append })).toThrow(InvariantError)
    expect(() => stores.log.persist({ ...noWrite, hardState: { term: 1, vote: null } })).toThrow(
      InvariantError,
    )
    expect(stores.log.lastIndex()).toBe(1)
    stores.close()
  })

  test('compacts, and starts anew after a snapshot', () => {
    const world = makeWorld()
    let stores = world.open()
    stores.log.persist({ ...noWrite, append: [entry(1, 1), entry(2, 1), entry(3, 2), entry(4, 2)] })
    stores.log.compact(2, 1, config)
    for (let life = 1; life <= 2; life += 1) {
      const { log } = stores
      expect([log.snapshotIndex(), log.snapshotTerm(), log.lastIndex()]).toEqual([2, 1, 4])
      expect(log.snapshotConfig()).toEqual(config)
      expect([1, 2, 3].map((index) => log.termAt(index))).toEqual([undefined, 1, 2])
      expect(log.entries(1, 4, 1_000).map((one) => one.index)).toEqual([3, 4])
      if (life === 1) stores = world.reopen(stores)
    }
    stores.log.compact(1, 1, config)
    expect(stores.log.snapshotIndex()).toBe(2)
    expect(() => stores.log.persist({ ...noWrite, truncateFrom: 2 })).toThrow(InvariantError)
    stores.log.resetTo(9, 4, config)
    stores = world.reopen(stores)
    expect([stores.log.snapshotIndex(), stores.log.lastIndex(), stores.log.termAt(9)]).toEqual([9, 9, 4])
    // No message of term 4 came before the snapshot: it is the first that this node hears of it, and it has no vote there.
    expect(stores.log.hardState()).toEqual({ term: 4, vote: null })
    stores.log.persist({ ...noWrite, append: [entry(10, 4)] })
    expect(stores.log.entries(1, 10, 1_000)).toEqual([entry(10, 4)])
    stores.close()
  })

  test('serves entries that are no longer in memory', () => {
    const stores = makeWorld().open()
    const data = 'x'.repeat(1024 * 1024)
    for (let index = 1; index <= 20; index += 1)
      stores.log.persist({ ...noWrite, append: [entry(index, index, data)] })
    expect(stores.log.termAt(1)).toBe(1)
    expect(stores.log.entries(1, 20, 3 * 1024 * 1024).map((one) => one.index)).toEqual([1, 2, 3])
    expect(stores.log.sizeBytes()).toBeGreaterThan(20 * 1024 * 1024)
    stores.log.persist({ ...noWrite, truncateFrom: 2, append: [entry(2, 30)] })
    expect(stores.log.entries(1, 20, 1e9).map((one) => one.term)).toEqual([1, 30])
    stores.close()
  })

  test('remembers the starts of peers', () => {
    const stores = makeWorld().open()
    const peer = 'peer1' as MemberId
    expect(stores.log.peerStarts(peer)).toBeNull()
    for (const starts of [1, 2]) stores.log.setPeerStarts(peer, { starts, lastTerm: 4, lastIndex: 7 })
    expect(stores.log.peerStarts(peer)).toEqual({ starts: 2, lastTerm: 4, lastIndex: 7 })
    stores.close()
  })
})

function cartRow(of: UserId, more: Partial<CartRow> = {}): CartRow {
  const row: CartRow = {
    user: of,
    state: new Uint8Array([1, 2, 255]),
    hash: 'h1',
    delivered: { m1: 'h1' },
    syncedHash: null,
    held: 'set',
    updatedAtMs: 5,
  }
  return { ...row, ...more }
}

const users = ['1', '2', '3'].map((digit) => `a${digit.repeat(32)}` as UserId)

describe.each(worlds)('LocalStore in %s', (_kind, makeWorld) => {
  test('keeps carts', () => {
    const world = makeWorld()
    const first = world.open()
    for (const one of users) first.local.putCart(cartRow(one))
    first.local.putCart(cartRow(user, { hash: 'h2', held: 'passing', state: new Uint8Array(0) }))
    first.local.setDelivery(user, { m2: 'h2' }, 'h2')
    first.local.setDelivery('a' as UserId, {}, null)
    const { local } = world.reopen(first)
    const expected = cartRow(user, { hash: 'h2', held: 'passing', delivered: { m2: 'h2' }, syncedHash: 'h2' })
    expect(local.cart(user)).toEqual({ ...expected, state: new Uint8Array(0) })
    expect(local.cartUsers(null, 2)).toEqual(users.slice(0, 2))
    expect(local.cartUsers(users[1] ?? null, 2)).toEqual(users.slice(2))
    local.deleteCart(user)
    expect([local.cart(user), local.cartCount()]).toEqual([null, 2])
  })

  test('counts what is there, also after a transaction that was taken back', () => {
    const { local } = makeWorld().open()
    const home = 'm1' as MemberId
    const session = { record: { epoch: 1, home }, previousMembers: [], lastActiveAtMs: 7 }
    const counts = (): number[] => [local.cartCount(), local.sessionCount(home)]
    const write = (of: UserId): void => {
      local.putCart(cartRow(of))
      local.putSession({ ...session, user: of })
    }
    expect(counts()).toEqual([0, 0])
    write(user)
    expect(counts()).toEqual([1, 1])
    const attempt = (): void =>
      local.transaction(() => {
        write(users[1] ?? user)
        expect(counts()).toEqual([2, 2])
        throw new Error('no')
      })
    expect(attempt).toThrow('no')
    expect(counts()).toEqual([1, 1])
    local.putSession({ ...session, user, record: { epoch: 2, home: 'm2' as MemberId } })
    expect(counts()).toEqual([1, 0])
    local.eraseUser(user)
    expect(counts()).toEqual([0, 0])
  })

  test('keeps sessions', () => {
    const { local } = makeWorld().open()
    const row = (of: UserId, epoch: number, home: string) => ({
      user: of,
      record: { epoch, home: home as MemberId },
      previousMembers: ['m1' as MemberId],
      lastActiveAtMs: 7,
    })
    local.putSession(row(user, 1, 'm1'))
    local.putSession(row(user, 2, 'm2'))
    local.putSession(row(users[1] ?? user, 1, 'm2'))
    expect(local.session(user)).toEqual(row(user, 2, 'm2'))
    expect([local.sessionCount('m1' as MemberId), local.sessionCount('m2' as MemberId)]).toEqual([0, 2])
    expect(local.sessions(user, 10).map((session) => session.user)).toEqual([users[1]])
    local.deleteSession(user)
    expect(local.session(user)).toBeNull()
  })

  test('counts carts and the sessions of each home exactly, whatever is written, undone or erased', () => {
    const world = makeWorld()
    const stores = world.open()
    const homes = ['m1', 'm2', 'm3'] as MemberId[]
    const random = seededRandom(7)
    const all = Array.from({ length: 12 }, (_, number) => accountId(new Uint8Array(16).fill(number)))
    const write = (local: LocalStore): void => {
      const one = random.pick(all)
      const record = { epoch: 1, home: random.pick(homes) }
      const dice = random.below(6)
      if (dice < 2) local.putSession({ user: one, record, previousMembers: [], lastActiveAtMs: 7 })
      else if (dice === 2) local.deleteSession(one)
      else if (dice === 3) local.putCart(cartRow(one))
      else if (dice === 4) local.deleteCart(one)
      else local.eraseUser(one)
    }
    const counted = ({ local }: OpenedStores): number[] => [
      local.cartCount(),
      ...homes.map((home) => local.sessionCount(home)),
    ]
    const there = ({ local }: OpenedStores): number[] => {
      const sessions = local.sessions(null, all.length)
      const at = (home: MemberId): number => sessions.filter(({ record }) => record.home === home).length
      return [local.cartUsers(null, all.length).length, ...homes.map(at)]
    }
    const several = (isUndone: boolean): void => {
      for (let number = 0; number < 3; number += 1) write(stores.local)
      if (isUndone) throw new Error('undone')
    }
    for (let step = 0; step < 100; step += 1) {
      for (let number = 0; number < 3; number += 1) stores.local.transaction(() => several(false))
      expect(() => stores.local.transaction(() => several(true))).toThrow('undone')
      expect(counted(stores)).toEqual(there(stores))
    }
    const reopened = world.reopen(stores)
    expect(counted(reopened)).toEqual(there(reopened))
  })

  test('keeps the outbox, revoked tokens and the watermark', () => {
    const world = makeWorld()
    const first = world.open()
    const row: OutboxRow = { order: orderId(1), user, intent: intent(), createdAtMs: 2 }
    first.local.putOutbox(row)
    first.local.putOutbox({ ...row, order: orderId(2), createdAtMs: 1 })
    first.local.revoke('t1', 10)
    first.local.revoke('t2', 20)
    first.local.setSoldWatermark(12)
    const lists = [[{ id: 'one' as MemberId, capacity: 2 }], []]
    first.local.setPlacements(lists)
    const { local } = world.reopen(first)
    expect(local.placements()).toEqual(lists)
    expect(local.outbox().map((one) => one.order)).toEqual([orderId(2), orderId(1)])
    expect(local.outboxEntry(orderId(1))).toEqual(row)
    local.deleteOutbox(orderId(1))
    expect(local.outboxEntry(orderId(1))).toBeNull()
    expect(local.revokedAfter(10, 5)).toEqual([{ id: 't2', expiresAtMs: 20 }])
    local.dropRevokedBefore(15)
    expect([local.revokedUntilMs('t1'), local.revokedUntilMs('t2'), local.soldWatermark()]).toEqual([
      0, 20, 12,
    ])
  })

  test('rolls a failed transaction back, cached values included', () => {
    const { local } = makeWorld().open()
    local.setSoldWatermark(1)
    const failing = (): void =>
      local.transaction(() => {
        local.putCart(cartRow(user))
        local.setSoldWatermark(2)
        throw new Fault('conflict', 'no')
      })
    expect(failing).toThrow('no')
    expect([local.cart(user), local.soldWatermark()]).toEqual([null, 1])
    local.transaction(() => {
      local.putCart(cartRow(user))
      expect(() => local.transaction(() => failing())).toThrow('no')
    })
    expect([local.cart(user), local.soldWatermark()]).toEqual([cartRow(user), 1])
  })
})
