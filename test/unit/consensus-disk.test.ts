/**
 * The driver of the consensus core when the disk under log.db or shop.db fills or fails (DESIGN.md sections 2 and 3):
 * nothing leaves a node that its disk has not got, but for a primary's appends, and nothing acknowledged is lost.
 */
import { describe, expect, test } from 'vitest'
import { StoreFailure } from '../../node/faults.ts'
import { ConsensusWorld } from '../support/consensus-world.ts'
import type { ConsensusNode } from '../support/consensus-world.ts'

const seeds = [1, 2, 3, 4, 5]

/** Nobody holds an entry at an index that differs from another's (Raft, Log Matching, of what is committed here). */
function expectOneHistory(nodes: readonly ConsensusNode[]): void {
  const [first, ...others] = nodes
  for (const other of others) expect(other.entries()).toEqual(first?.entries())
}

describe('the disk under the primary’s log is full', () => {
  test.each(seeds)(
    'another voter takes over; what was sent ends as unknown, what was refused never happens (seed %i)',
    async (seed) => {
      const world = new ConsensusWorld(3, seed)
      const first = await world.elected()
      expect(await world.propose(first, 'before')).toMatch(/^\d+ \d+$/)
      first.log = 'full'
      const sentBefore = first.sent.length
      const fullAtMs = world.scheduler.nowMs
      // The others got it before the own disk said no (dissertation, section 10.2.1).
      expect(await world.propose(first, 'sent')).toBe('outcome-unknown')
      // At once: nobody had to wait for an election timeout.
      const second = await world.elected(400, first)
      expect(world.scheduler.nowMs - fullAtMs).toBeLessThan(400)
      expect(first.consensus.leaseRemainingMs()).toBe(0)
      expect(await world.propose(first, 'refused')).toBe('disk-full')
      expect(await world.propose(second, 'after')).toMatch(/^\d+ \d+$/)
      await world.scheduler.runFor(10_000)
      // It took no part: no votes, no acknowledgement of an entry, no campaign; and nothing that it refused was sent.
      const lastIndex = first.stores.log.lastIndex()
      const sent = first.sent.slice(sentBefore).map(({ message }) => message)
      const kinds = new Set(sent.map(({ kind }) => kind))
      expect([...kinds].filter((kind) => /vote|append-reply/.test(kind))).toEqual([])
      expect(JSON.stringify(sent)).not.toContain('refused')
      const claimed = sent.flatMap((message) =>
        message.kind === 'heartbeat-reply' ? [message.lastIndex] : [],
      )
      expect(Math.max(0, ...claimed)).toBeLessThanOrEqual(lastIndex)
      expect(world.primary()).toBe(second)
      expect(second.consensus.raft.term).toBe(first.consensus.raft.term + 1)
      // The disk is asked again and again, but not all the time.
      expect(first.refusals).toBeGreaterThan(2)
      expect(first.refusals).toBeLessThan(12)
      first.log = 'fine'
      await world.until('the log caught up', () => first.commands().length === 3)
      expectOneHistory(world.nodes)
      expect(first.commands()).toEqual(['before', 'sent', 'after'])
      expect(first.failure).toBeNull()
    },
  )

  test('its reads and hand-overs end, and its commands get one outcome each', async () => {
    const world = new ConsensusWorld(3)
    const first = await world.elected()
    first.log = 'full'
    const read = first.consensus.readIndex().then(
      () => 'read',
      (error: { code: string }) => error.code,
    )
    const proposals = ['a', 'b', 'c'].map((id) => world.propose(first, id))
    expect(await Promise.all(proposals)).toEqual(Array(3).fill('outcome-unknown'))
    expect(await world.scheduler.settle(read, 2_000)).toBe('no-primary')
    expect(await world.scheduler.settle(first.consensus.transfer(null), 2_000)).toBe(false)
  })

  test('what had not left yet is refused, and never happens', async () => {
    const world = new ConsensusWorld(3)
    const first = await world.elected()
    for (const { id } of world.nodes.filter((node) => node !== first))
      first.consensus.input({ kind: 'peer-disconnected', member: id })
    first.log = 'full'
    expect(await world.propose(first, 'refused')).toBe('disk-full')
    expect(JSON.stringify(first.sent)).not.toContain('refused')
    await world.elected(5_000, first)
    first.log = 'fine'
    await world.scheduler.runFor(10_000)
    expectOneHistory(world.nodes)
    expect(first.commands()).toEqual([])
  })

  test('the only voter refuses, and goes on when there is space', async () => {
    const world = new ConsensusWorld(1)
    const [only] = world.nodes as [ConsensusNode]
    await world.elected()
    await world.propose(only, 'before')
    only.log = 'full'
    for (const id of ['x', 'y']) expect(await world.propose(only, id)).toBe('disk-full')
    await world.scheduler.runFor(20_000)
    expect(only.isPrimary).toBe(false)
    expect(only.consensus.diskFull?.code).toBe('disk-full')
    only.log = 'fine'
    await world.elected(7_000)
    expect(await world.propose(only, 'after')).toMatch(/^\d+ \d+$/)
    await world.until('all is applied', () => only.consensus.appliedIndex === only.stores.log.lastIndex())
    expect(only.commands()).toEqual(['before', 'after'])
    expect(only.counters.value('log_disk_full_total')).toBe(1)
  })
})

describe('the disk under a follower’s log is full', () => {
  test.each(seeds)('it acknowledges nothing and disturbs nobody (seed %i)', async (seed) => {
    const world = new ConsensusWorld(3, seed)
    const primary = await world.elected()
    const { term } = primary.consensus.raft
    const follower = world.nodes.find((node) => node !== primary) as ConsensusNode
    follower.log = 'full'
    const lastIndex = follower.stores.log.lastIndex()
    const sentBefore = follower.sent.length
    for (let n = 0; n < 30; n += 1) {
      expect(await world.propose(primary, `c${n}`)).toMatch(/^\d+ \d+$/)
      await world.scheduler.runFor(300)
    }
    const kinds = new Set(follower.sent.slice(sentBefore).map(({ message }) => message.kind))
    // It still confirms the lease and reads of the primary that it knows.
    expect([...kinds].sort()).toEqual(['heartbeat-reply'])
    expect(follower.stores.log.lastIndex()).toBe(lastIndex)
    expect([world.primary(), primary.consensus.raft.term]).toEqual([primary, term])
    follower.log = 'fine'
    await world.until('the log caught up', () => follower.commands().length === 30)
    expect(primary.consensus.raft.term).toBe(term)
    expectOneHistory(world.nodes)
  })

  test('two of three: nothing is committed, reads are confirmed, and it goes on when one has space', async () => {
    const world = new ConsensusWorld(3)
    const primary = await world.elected()
    const [one, two] = world.nodes.filter((node) => node !== primary) as [ConsensusNode, ConsensusNode]
    one.log = 'full'
    two.log = 'full'
    const committed = primary.consensus.raft.commitIndex
    expect(await world.propose(primary, 'waits')).toMatch(/^\d+ \d+$/)
    await world.scheduler.runFor(5_000)
    expect([primary.isPrimary, primary.consensus.raft.commitIndex]).toEqual([true, committed])
    expect(await world.scheduler.settle(primary.consensus.readIndex(), 1_000)).toBe(committed)
    two.log = 'fine'
    await world.until('it is committed', () => primary.consensus.raft.commitIndex === committed + 1)
    expect(two.commands()).toEqual(['waits'])
  })

  test.each(seeds)('it does not vote and does not campaign when the primary dies (seed %i)', async (seed) => {
    const world = new ConsensusWorld(3, seed)
    const primary = await world.elected()
    const [full, other] = world.nodes.filter((node) => node !== primary) as [ConsensusNode, ConsensusNode]
    full.log = 'full'
    await world.propose(primary, 'one')
    await world.scheduler.runFor(200)
    primary.isCut = true
    const before = full.consensus.raft.term
    await world.scheduler.runFor(8_000)
    expect([full.consensus.raft.term, full.stores.log.hardState().term]).toEqual([before, before])
    expect(world.primary()).toBeNull()
    // Nor do the others raise their terms while they can't win.
    expect(other.consensus.raft.term).toBe(before)
    full.log = 'fine'
    expect(await world.elected(8_000)).toBe(other)
    await world.until('the log caught up', () => full.commands().length === 1)
  })
})

describe('the disk under shop.db is full', () => {
  test('what is committed is applied when there is space, each entry once', async () => {
    const world = new ConsensusWorld(1)
    const [only] = world.nodes as [ConsensusNode]
    await world.elected()
    only.shop = 'full'
    for (const id of ['a', 'b']) expect(await world.propose(only, id)).toMatch(/^\d+ \d+$/)
    await world.scheduler.runFor(3_000)
    expect(only.consensus.appliedIndex).toBeLessThan(only.consensus.raft.commitIndex)
    expect(only.isPrimary).toBe(true)
    // Each attempt applies a batch and rolls it back: now and then, not in each of the hundred turns.
    expect(only.refusals).toBeGreaterThan(4)
    expect(only.refusals).toBeLessThan(9)
    only.shop = 'fine'
    await world.until('all is applied', () => only.consensus.appliedIndex === only.stores.log.lastIndex())
    expect(only.counters.value('commands_applied_total')).toBe(only.stores.log.lastIndex())
    expect(only.failure).toBeNull()
  })
})

describe('an I/O error on the log', () => {
  test.each(['primary', 'follower'])(
    'ends the %s: no vote, no acknowledgement, no message after it',
    async (which) => {
      const world = new ConsensusWorld(3)
      const primary = await world.elected()
      const node =
        which === 'primary' ? primary : (world.nodes.find((other) => other !== primary) as ConsensusNode)
      node.log = 'failing'
      const sentBefore = node.sent.length
      const outcome = await world.propose(primary, 'c')
      await world.until('it said so', () => node.failure !== null)
      expect(node.failure).toBeInstanceOf(StoreFailure)
      // Heartbeats went on until it failed, and a primary's appends leave before its own write.
      const harmless = ['heartbeat', 'heartbeat-reply', ...(which === 'primary' ? ['append'] : [])]
      const kinds = node.sent.slice(sentBefore).map(({ message }) => message.kind)
      expect(kinds.filter((kind) => !harmless.includes(kind))).toEqual([])
      const sentUntilThen = node.sent.length
      // Sent to the log, and nobody knows; at a follower the others have it.
      expect(outcome).toMatch(which === 'primary' ? /^outcome-unknown$/ : /^\d+ \d+$/)
      await world.scheduler.runFor(5_000)
      expect(node.sent.length).toBe(sentUntilThen)
      expect(node.consensus.leaseRemainingMs()).toBe(0)
    },
  )
})
