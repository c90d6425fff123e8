/** The redialler alone, on virtual time: who dials, when, and for ever. */
import { expect, test } from 'vitest'
import { parseMemberId } from '../../node/ids.ts'
import type { MemberId } from '../../node/ids.ts'
import { Redialer } from '../../node/net/redial.ts'
import { seededRandom } from '../sim/random.ts'
import { Scheduler, SimClock } from '../sim/scheduler.ts'
import { collectingLogger } from '../support/transport-world.ts'

const [low, high] = [parseMemberId('aaa'), parseMemberId('bbb')]

function world(selfId: MemberId): {
  scheduler: Scheduler
  redialer: Redialer
  dialsAtMs: number[]
  connected: Set<MemberId>
  answers: { accepts: boolean }
} {
  const scheduler = new Scheduler()
  const dialsAtMs: number[] = []
  const connected = new Set<MemberId>()
  const answers = { accepts: false }
  const redialer = new Redialer({
    selfId,
    clock: new SimClock(scheduler),
    random: seededRandom(5),
    logger: collectingLogger([]),
    dial: async (peer) => {
      dialsAtMs.push(scheduler.nowMs)
      if (!answers.accepts) throw new Error('refused')
      connected.add(peer.id)
    },
    hasConnection: (peer) => connected.has(peer),
  })
  redialer.setPeers([
    { id: low, p2p: 'low:1' },
    { id: high, p2p: 'high:1' },
  ])
  redialer.start()
  return { scheduler, redialer, dialsAtMs, connected, answers }
}

test('a node that has just started dials at once, whichever id is lower', async () => {
  for (const selfId of [low, high]) {
    const { scheduler, dialsAtMs } = world(selfId)
    await scheduler.runFor(100)
    expect(dialsAtMs.length).toBeGreaterThan(0)
  }
})

test('a peer that is down is dialled for ever, at capped intervals', async () => {
  const { scheduler, dialsAtMs } = world(low)
  await scheduler.runFor(3_600_000)
  const gapsMs = dialsAtMs.slice(1).map((atMs, index) => atMs - (dialsAtMs[index] ?? 0))
  expect(dialsAtMs.length).toBeGreaterThan(1_000)
  expect(Math.max(...gapsMs)).toBeLessThanOrEqual(3_000)
  expect(Math.min(...gapsMs.slice(6))).toBeGreaterThanOrEqual(900)
})

test('after a break the lower id dials soon, the higher one only when nobody came', async () => {
  for (const [selfId, other, soonestMs] of [
    [low, high, 0],
    [high, low, 1_500],
  ] as const) {
    const { scheduler, redialer, dialsAtMs, connected, answers } = world(selfId)
    answers.accepts = true
    await scheduler.runFor(1_000)
    redialer.opened(other)
    dialsAtMs.length = 0
    connected.delete(other)
    const brokeAtMs = scheduler.nowMs
    redialer.closed(other, false)
    await scheduler.runFor(10_000)
    const delayMs = (dialsAtMs[0] ?? Number.NaN) - brokeAtMs
    expect(delayMs).toBeGreaterThanOrEqual(soonestMs)
    expect(delayMs).toBeLessThan(soonestMs + 3_500)
    expect(dialsAtMs).toHaveLength(1)
  }
})

test('a peer that came by itself is not dialled, and one that left the list never again', async () => {
  const { scheduler, redialer, dialsAtMs, connected } = world(low)
  connected.add(high)
  await scheduler.runFor(60_000)
  expect(dialsAtMs).toEqual([])
  connected.delete(high)
  redialer.setPeers([])
  redialer.closed(high, false)
  await scheduler.runFor(60_000)
  expect(dialsAtMs).toEqual([])
})
