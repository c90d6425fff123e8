/** What a command that could not be run means for its caller (API.md, "Outcome rule"). */
import { describe, expect, test } from 'vitest'
import type { CommandBody } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import type { CommandId, MemberId, OrderId, Term } from '../../node/ids.ts'
import { Counters } from '../../node/replica/counters.ts'
import { ReplicaLogClient } from '../../node/replica/log-client.ts'
import type { LogClientOptions } from '../../node/replica/log-client.ts'
import { Scheduler, SimClock } from '../sim/scheduler.ts'

const id = 'c:1' as CommandId
const body = { kind: 'catalog.change', changes: [], by: 'test' } as unknown as CommandBody

/** A node that is no voter; each attempt at the primary fails with the next of `faults`, the last one for ever. */
function client(faults: readonly Fault[], hasPrimary = true, voters = ['other', 'third', 'fourth']) {
  const scheduler = new Scheduler()
  const clock = new SimClock(scheduler)
  let attempts = 0
  const transport = {
    request: async () => {
      attempts += 1
      await Promise.resolve()
      throw faults[Math.min(attempts, faults.length) - 1] as Fault
    },
  }
  const options = {
    selfId: 'me' as MemberId,
    clock,
    transport,
    counters: new Counters(),
    primaryHint: () => (hasPrimary ? { id: 'other' as MemberId, term: 1 as Term } : null),
    voters: () => voters,
    presence: { alive: () => true },
    random: { next: () => 0 },
    followsLog: () => false,
  } as unknown as LogClientOptions
  const log = new ReplicaLogClient(options)
  const code = async (timeoutMs: number): Promise<{ code: unknown; tookMs: number }> => {
    let ended: unknown = null
    log.run(id, body, { timeoutMs }).then(
      () => (ended = 'done'),
      (error: unknown) => (ended = error instanceof Fault ? error.code : error),
    )
    await scheduler.runUntil(() => ended !== null, 120_000)
    return { code: ended, tookMs: scheduler.nowMs }
  }
  return { code, log, clock }
}

describe('a command that was not run', () => {
  test('without a primary: that is told after a few seconds, however long the command itself may take', async () => {
    const { code, tookMs } = await client([], false).code(60_000)
    expect(code).toBe('no-primary')
    expect(tookMs).toBeLessThan(6_000)
  })

  test('refused by the first primary that heard of it: it did not happen', async () => {
    expect((await client([new Fault('overloaded', 'busy')]).code(3_000)).code).toBe('overloaded')
  })

  test('refused by a second primary after the first one fell silent: nobody knows', async () => {
    const faults = [new Fault('outcome-unknown', 'silent'), new Fault('overloaded', 'busy')]
    expect((await client(faults).code(3_000)).code).toBe('outcome-unknown')
  })

  test('a full disk at the primary: tried on until another voter took over, and said in the end', async () => {
    const full = new Fault('disk-full', 'full')
    const { code, tookMs } = await client([full]).code(3_000)
    expect([code, tookMs >= 3_000]).toEqual(['disk-full', true])
    const later = await client([full, full, new Fault('too-large', 'from another primary')]).code(3_000)
    expect([later.code, later.tookMs < 1_000]).toEqual(['too-large', true])
  })

  test('a full disk at the only voter: said at once, but not of what may be in the log already', async () => {
    const full = new Fault('disk-full', 'full')
    expect(await client([full], true, ['other']).code(3_000)).toMatchObject({ code: 'disk-full', tookMs: 0 })
    const faults = [new Fault('outcome-unknown', 'silent'), full]
    expect((await client(faults, true, ['other']).code(3_000)).code).toBe('outcome-unknown')
  })

  test('a command that can’t be right is refused for good, whoever was silent before', async () => {
    const faults = [new Fault('outcome-unknown', 'silent'), new Fault('too-large', 'large')]
    expect((await client(faults).code(3_000)).code).toBe('too-large')
  })
})

test('a query that no voter can answer is refused at once, as what it is', async () => {
  const { log, clock } = client([new Fault('invalid-request', 'a cursor of another list')])
  await expect(log.query({ kind: 'orders', limit: 1, cursor: 'zzz' })).rejects.toMatchObject({
    code: 'invalid-request',
  })
  expect(clock.monotonicMs()).toBeLessThan(100)
})

test('a read does not wait for a silent primary once there is another, and asks that one', async () => {
  const scheduler = new Scheduler()
  const clock = new SimClock(scheduler)
  let primary = 'silent'
  const asked: string[] = []
  const request = (to: string, _request: unknown, { timeoutMs }: { timeoutMs: number }): Promise<unknown> => {
    asked.push(to)
    if (to === 'new') return Promise.resolve({ value: 'the order' })
    return new Promise((_resolve, reject) => {
      clock.timer(timeoutMs, () => reject(new Fault('internal', 'no answer')))
    })
  }
  const options = {
    selfId: 'me' as MemberId,
    clock,
    transport: { request },
    consensus: () => ({ raft: { role: 'follower' }, halted: null }),
    primaryHint: () => ({ id: primary, term: 1 }),
    voters: () => ['me', 'silent', 'new'],
    presence: { alive: () => true },
    random: { next: () => 0.5 },
    followsLog: () => true,
  } as unknown as LogClientOptions
  const log = new ReplicaLogClient(options)
  const reading = log.query({ kind: 'order', order: 'o1' as OrderId })
  clock.timer(200, () => {
    primary = 'new'
    log.primaryChanged()
  })
  expect(await scheduler.settle(reading, 5_000)).toBe('the order')
  expect(asked).toEqual(['silent', 'new'])
  expect(scheduler.nowMs).toBeLessThan(300)
})
