/** Copies for others: shared, pinned, given only to whom they were opened for, and forgotten when nobody reads. */
import { expect, test } from 'vitest'
import { Fault } from '../../node/faults.ts'
import type { MemberId } from '../../node/ids.ts'
import type { Clock, Random, SnapshotSource } from '../../node/ports.ts'
import { SnapshotShelf } from '../../node/replica/snapshot-shelf.ts'
import { Applying, memoryStores, replace } from '../support/store-world.ts'

const [a, b, c] = ['a', 'b', 'c'] as MemberId[] as [MemberId, MemberId, MemberId]

/** A shelf over a real store in memory, with a clock that a test moves. */
function shelfWorld() {
  const { shop } = memoryStores()
  const applying = new Applying(shop).begin()
  applying.change(replace('lamp'))
  let nowMs = 0
  const timers = new Set<{ atMs: number; callback: () => void }>()
  const clock: Clock = {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    timer: (delayMs, callback) => {
      const timer = { atMs: nowMs + delayMs, callback }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    defer: (callback) => callback(),
  }
  let drawn = 0
  const random: Random = { next: () => 0.5, bytes: (count) => new Uint8Array(count).fill((drawn += 1)) }
  const made: SnapshotSource[] = []
  const closed: SnapshotSource[] = []
  const counting: typeof shop = Object.assign(Object.create(shop) as typeof shop, {
    snapshot: async (kind: 'full' | 'catalog') => {
      const source = await shop.snapshot(kind)
      const close = source.close.bind(source)
      source.close = async () => {
        closed.push(source)
        await close()
      }
      made.push(source)
      return source
    },
  })
  const ignore = (): void => undefined
  const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore }
  const shelf = new SnapshotShelf({ clock, random, logger, shop: counting })
  const pass = (ms: number): void => {
    nowMs += ms
    for (const timer of timers) {
      if (timer.atMs > nowMs) continue
      timers.delete(timer)
      timer.callback()
    }
  }
  return { shelf, applying, made, closed, pass }
}

test('those who ask at once share one copy, which goes with its last reader', async () => {
  const { shelf, made, closed } = shelfWorld()
  const [first, second] = await Promise.all([shelf.open('full', a), shelf.open('full', b)])
  const third = await shelf.open('full', c)
  expect([made.length, new Set([first.id, second.id, third.id]).size]).toEqual([1, 3])
  await shelf.open('catalog', a)
  expect(made).toHaveLength(2)
  for (const { id } of [first, second]) shelf.close(id)
  expect(closed).toEqual([])
  shelf.close(third.id)
  expect(closed).toEqual([first.source])
})

test('a copy is read only by the member that it was opened for', async () => {
  const { shelf } = shelfWorld()
  const { id, source } = await shelf.open('full', a)
  expect(await shelf.read(a, id, 0, 8)).toEqual(await source.read(0, 8))
  await expect(shelf.read(b, id, 0, 8)).rejects.toThrow(Fault)
  shelf.close(id)
  await expect(shelf.read(a, id, 0, 8)).rejects.toThrow('no such snapshot')
})

test('what follows a copy is pinned while it is read, and a while after the last word of a reader', async () => {
  const { shelf, applying, pass } = shelfWorld()
  const { id } = await shelf.open('full', a)
  const index = applying.index
  applying.change(replace('chair'))
  pass(10_000)
  await shelf.open('catalog', b)
  expect([shelf.pinnedIndex(), shelf.pinnedVersion()]).toEqual([index, 1])
  pass(25_000)
  expect([shelf.pinnedIndex(), shelf.pinnedVersion()]).toEqual([null, 2])
  await expect(shelf.read(a, id, 0, 8)).rejects.toThrow('no such snapshot')
  pass(10_000)
  expect(shelf.pinnedVersion()).toBeNull()
})

test('who comes back for a full copy goes on with it; one that was refused is given to nobody', async () => {
  const { shelf, applying, made, pass } = shelfWorld()
  const first = await shelf.open('full', a)
  pass(20_000)
  expect((await shelf.open('full', a)).id).toBe(first.id)
  applying.change(replace('chair'))
  shelf.refused(first.id)
  const second = await shelf.open('full', a)
  expect([made.length, second.source.catalog.version]).toEqual([2, 2])
})

test('a copy that is old by now is not shared, and there are not many', async () => {
  const { shelf, made, pass } = shelfWorld()
  for (const member of ['1', '2', '3', '4'] as MemberId[]) {
    await shelf.open('full', member)
    pass(11_000)
    for (const reader of ['1', '2', '3', '4'] as MemberId[])
      await shelf.open('full', reader).catch(() => undefined)
  }
  expect(made.length).toBeLessThanOrEqual(4)
  shelf.stop()
  expect(shelf.pinnedIndex()).toBeNull()
})
