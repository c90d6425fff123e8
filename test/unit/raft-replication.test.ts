/** Replication, commit, reads, hand-over, membership and snapshots, one test per claim. */
import assert from 'node:assert/strict'
import { describe, expect, test } from 'vitest'
import { encodeConfig } from '../../node/core/raft/config.ts'
import { inflightBytesMax, inflightEntriesMax } from '../../node/core/raft/progress.ts'
import { uncommittedEntriesMax } from '../../node/core/raft/proposals.ts'
import { readsWaitingMax } from '../../node/core/raft/read-index.ts'
import { appendBytesMax } from '../../node/core/raft/replication.ts'
import type { RaftInput, RaftMessage } from '../../node/core/raft/types.ts'
import { logOfTerms, memberId } from '../support/raft-cluster.ts'
import { configOf, Solo } from '../support/raft-solo.ts'

const three = configOf('n1 n2 n3')
type Append = Extract<RaftMessage, { kind: 'append' }>

function propose(data = '1'): RaftInput {
  return { kind: 'propose', ref: 1, data }
}
function primaryOfThree(): Solo {
  const solo = new Solo({ config: three })
  solo.becomePrimary('n2', 'n3')
  return solo
}
function appendsTo(solo: Solo, name: string): Append[] {
  return solo.to(name).filter((message) => message.kind === 'append')
}
function append(
  term: number,
  previousIndex: number,
  previousTerm: number,
  terms: number[],
  commitIndex = 0,
): Append {
  const entries = terms.map((entryTerm, place) => {
    const index = previousIndex + 1 + place
    return { index, term: entryTerm, kind: 'command', data: `"${index}@${entryTerm}"` } as const
  })
  return { kind: 'append', term, previousIndex, previousTerm, entries, commitIndex, round: 1 }
}

describe('the primary', () => {
  test('many proposals of one step travel in one append, and are pipelined before any answer', () => {
    const solo = primaryOfThree()
    solo.step(...Array.from({ length: 50 }, () => propose()))
    expect(appendsTo(solo, 'n2').map(({ entries }) => entries.length)).toEqual([50])
    solo.step(propose(), propose())
    expect(appendsTo(solo, 'n2').map(({ entries }) => entries.length)).toEqual([2])
  })

  test('a member that does not answer gets no more than its window, and does not hold up the others', () => {
    const solo = primaryOfThree()
    let toSilent = 0
    for (let step = 0; step < inflightEntriesMax / 100 + 20; step += 1) {
      solo.step(...Array.from({ length: 100 }, () => propose()))
      toSilent += appendsTo(solo, 'n3').reduce((sum, { entries }) => sum + entries.length, 0)
      solo.acknowledge('n2')
    }
    expect(solo.raft.commitIndex).toBe(solo.raft.lastIndex)
    expect(toSilent).toBeGreaterThanOrEqual(inflightEntriesMax)
    expect(toSilent).toBeLessThan(inflightEntriesMax + 200)
  })

  test('the window is bounded in bytes too', () => {
    const solo = primaryOfThree()
    const big = ' '.repeat(appendBytesMax)
    let sizeBytes = 0
    for (let step = 0; step < 2 * (inflightBytesMax / appendBytesMax); step += 1) {
      solo.step(propose(big))
      sizeBytes += appendsTo(solo, 'n3').reduce((sum, { entries }) => sum + entries.length * big.length, 0)
      solo.acknowledge('n2')
    }
    expect(sizeBytes).toBeLessThanOrEqual(inflightBytesMax + appendBytesMax)
  })

  test('what is not committed is bounded', () => {
    const solo = new Solo({ config: three })
    solo.becomePrimary('n2')
    const effects = solo.step(...Array.from({ length: uncommittedEntriesMax + 5 }, () => propose()))
    expect(effects.proposals.filter(({ accepted }) => !accepted)).toHaveLength(5)
    solo.acknowledge('n2')
    expect(solo.step(propose()).proposals[0]?.accepted).toBe(true)
  })

  test('own entries count only once the own disk has them', () => {
    const solo = primaryOfThree()
    const before = solo.raft.lastIndex
    solo.raft.step([propose()], 0)
    const reply = { ok: true, matchIndex: before + 1, conflictIndex: 0, conflictTerm: 0, round: 1 }
    const answer = {
      kind: 'message',
      from: memberId('n2'),
      message: { kind: 'append-reply', term: 1, ...reply },
    } as const
    expect(solo.raft.step([answer], 0).commitIndex).toBe(before)
    expect(solo.raft.step([{ kind: 'persisted', index: before + 1, term: 1 }], 0).commitIndex).toBe(
      before + 1,
    )
  })

  test('learners receive the log and are not counted', () => {
    const solo = new Solo({ config: configOf('n1 n2', 'n3') })
    solo.becomePrimary('n2')
    solo.step(propose())
    const { commitIndex } = solo.raft
    solo.acknowledge('n3')
    expect(solo.raft.commitIndex).toBe(commitIndex)
    expect(solo.raft.progress().get(memberId('n3'))?.matchIndex).toBe(solo.raft.lastIndex)
  })

  test('heartbeats carry min(commit, match)', () => {
    const solo = new Solo({ config: three })
    solo.becomePrimary('n2')
    solo.tick(2)
    const commits = solo.messages.map(({ to, message }) => [
      to,
      message.kind === 'heartbeat' && message.commitIndex,
    ])
    expect(commits).toEqual([
      ['n2', 1],
      ['n3', 0],
    ])
  })

  test('stale, repeated and absurd answers change nothing', () => {
    const solo = primaryOfThree()
    solo.step(propose(), propose())
    solo.acknowledge('n2')
    const before = JSON.stringify([...solo.raft.progress()])
    solo.acknowledge('n2', 1)
    solo.acknowledge('n2')
    solo.acknowledge('n2', 10_000)
    const refusal = { ok: false, matchIndex: 1, conflictIndex: 0, conflictTerm: 0, round: 1 }
    for (const from of ['n2', 'n9']) solo.receive(from, { kind: 'append-reply', term: 1, ...refusal })
    solo.receive('n3', { kind: 'vote-reply', term: 1, granted: true })
    expect(JSON.stringify([...solo.raft.progress()])).toBe(before)
  })

  test('a broken connection restarts with a probe, a new one probes at once', () => {
    const solo = primaryOfThree()
    solo.step(propose())
    solo.step({ kind: 'peer-disconnected', member: memberId('n2') })
    solo.step(propose())
    expect(appendsTo(solo, 'n2')).toEqual([])
    solo.step({ kind: 'peer-connected', member: memberId('n2') })
    expect(appendsTo(solo, 'n2').map(({ previousIndex }) => previousIndex)).toEqual([1])
  })
})

describe('the follower', () => {
  test('acknowledges after its disk: entries and answer leave in one step', () => {
    const solo = new Solo({ config: three })
    const effects = solo.receive('n2', append(1, 0, 0, [1, 1]))
    expect(effects.append).toHaveLength(2)
    expect(solo.to('n2')).toMatchObject([{ kind: 'append-reply', ok: true, matchIndex: 2 }])
  })

  test('section 5.3: only what conflicts is deleted; a delayed append cuts nothing off', () => {
    const solo = new Solo({ config: three, terms: [1, 1, 1] })
    expect(solo.receive('n2', append(2, 1, 1, [1])).truncateFrom).toBeNull()
    expect(solo.raft.lastIndex).toBe(3)
    const effects = solo.receive('n2', append(2, 1, 1, [1, 2]))
    expect(effects.truncateFrom).toBe(3)
    expect(solo.log.termAt(3)).toBe(2)
  })

  test('takes as committed only what the message proves to be equal', () => {
    const solo = new Solo({ config: three, terms: [1, 1, 1] })
    expect(solo.receive('n2', append(2, 1, 1, [], 3)).commitIndex).toBe(1)
    const beyond: RaftMessage = { kind: 'heartbeat', term: 2, commitIndex: 99, round: 1 }
    expect(solo.receive('n2', beyond).commitIndex).toBe(1)
  })

  test('an append from before the commit index is answered, and its new part taken', () => {
    const solo = new Solo({ config: three })
    solo.receive('n2', append(1, 0, 0, [1, 1, 1], 3))
    solo.receive('n2', append(1, 1, 1, [1, 1, 1, 1]))
    expect(solo.to('n2')).toMatchObject([{ ok: true, matchIndex: 5 }])
    solo.receive('n2', append(1, 0, 0, [1]))
    expect(solo.to('n2')).toMatchObject([{ ok: true, matchIndex: 3 }])
  })

  test('a primary that lacks a committed entry is a broken promise, not an input', () => {
    const solo = new Solo({ config: three })
    solo.receive('n2', append(1, 0, 0, [1, 1], 2))
    assert.throws(() => solo.receive('n3', append(2, 1, 1, [2])), /Leader Completeness/)
  })

  test('unsound appends are dropped', () => {
    const solo = new Solo({ config: three })
    const [entry] = logOfTerms([1])
    assert(entry !== undefined)
    const sound = append(1, 0, 0, [1])
    const bad: Append[] = [
      { ...sound, entries: [{ ...entry, index: 5 }] },
      { ...sound, entries: [{ ...entry, term: 2 }] },
      { ...sound, entries: [{ ...entry, kind: 'config', data: 'nonsense' }] },
      { ...sound, previousIndex: -1 },
    ]
    for (const message of bad) expect(solo.receive('n2', message).messages).toEqual([])
    expect(solo.raft.lastIndex).toBe(0)
  })

  test('section 4.1: a configuration holds when appended and reverts when it is cut off', () => {
    const solo = new Solo({ config: three })
    const data = encodeConfig(configOf('n1 n2 n3', 'n4'))
    const change = append(1, 0, 0, [1])
    solo.receive('n2', { ...change, entries: [{ index: 1, term: 1, kind: 'config', data }] })
    expect(solo.raft.config.learners).toEqual(['n4'])
    expect(solo.raft.pendingConfigIndex).toBe(1)
    solo.receive('n3', append(2, 0, 0, [2]))
    expect(solo.raft.config.learners).toEqual([])
    expect(solo.raft.pendingConfigIndex).toBe(0)
  })

  test('refuses proposals and reads', () => {
    const solo = new Solo({ config: three })
    const effects = solo.step(propose(), { kind: 'read', ref: 4 }, { kind: 'transfer', ref: 5, to: null })
    expect(effects.proposals).toEqual([{ ref: 1, accepted: false, reason: 'not-primary' }])
    expect(effects.readsFailed).toEqual([4])
    expect(effects.transfers).toEqual([{ ref: 5, ok: false }])
  })
})

describe('reads', () => {
  test('the reads that wait are bounded', () => {
    const solo = primaryOfThree()
    const reads = Array.from({ length: readsWaitingMax + 3 }, (_, ref) => ({ kind: 'read', ref }) as const)
    expect(solo.step(...reads).readsFailed).toHaveLength(3)
  })
})

describe('membership', () => {
  const change = (voters: string, learners = ''): RaftInput => {
    return { kind: 'change-config', ref: 2, config: configOf(voters, learners) }
  }

  test('one change at a time', () => {
    const solo = primaryOfThree()
    expect(solo.step(change('n1 n2 n3', 'n4')).proposals[0]?.accepted).toBe(true)
    const pending = { ref: 2, accepted: false, reason: 'change-pending' }
    expect(solo.step(change('n1 n2 n3', 'n4 n5')).proposals).toEqual([pending])
    solo.acknowledge('n2')
    expect(solo.step(change('n1 n2 n3', 'n4 n5')).proposals[0]?.accepted).toBe(true)
  })

  test('anything but a single-server change is refused', () => {
    const invalid = { ref: 2, accepted: false, reason: 'invalid-change' }
    expect(primaryOfThree().step(change('n1')).proposals).toEqual([invalid])
  })

  test('section 4.2.2: a primary that removes itself does not count itself, and steps down once it is committed', () => {
    const solo = primaryOfThree()
    solo.step(change('n2 n3'))
    solo.acknowledge('n2')
    expect(solo.raft.role).toBe('primary')
    solo.acknowledge('n3')
    expect(solo.raft.role).toBe('follower')
    expect(solo.kinds()).toContain('timeout-now')
    solo.tick(100)
    expect(solo.raft.role).toBe('follower')
  })
})

describe('snapshots', () => {
  /** n3 answers but lacks everything; the primary's log begins after 3. */
  function behind(): Solo {
    const solo = new Solo({ config: three, terms: [1, 1, 1, 1] })
    solo.becomePrimary('n2')
    solo.log.compact(3)
    const refusal = { ok: false, matchIndex: 4, conflictIndex: 0, conflictTerm: 0, round: 1 }
    const effects = solo.receive('n3', { kind: 'append-reply', term: 2, ...refusal })
    expect(effects.snapshotsWanted).toEqual(['n3'])
    return solo
  }

  test('a member that lacks what the log no longer holds gets a snapshot, and nothing else until it ended', () => {
    const solo = behind()
    expect(solo.step(propose()).snapshotsWanted).toEqual([])
    expect(appendsTo(solo, 'n3')).toEqual([])
    solo.step({ kind: 'snapshot-sent', to: memberId('n3'), ok: true, index: 3 })
    expect(appendsTo(solo, 'n3').map(({ previousIndex }) => previousIndex)).toEqual([3])
  })

  test('a failed one is tried again at the next heartbeat, not in a loop', () => {
    const solo = behind()
    const failed = { kind: 'snapshot-sent', to: memberId('n3'), ok: false, index: 3 } as const
    expect(solo.step(failed).snapshotsWanted).toEqual([])
    const answer: RaftMessage = { kind: 'heartbeat-reply', term: 2, round: 1, lastIndex: 0 }
    expect(solo.receive('n3', answer).snapshotsWanted).toEqual(['n3'])
  })

  test('installed: the log and the configuration begin there', () => {
    const solo = new Solo({ config: configOf(''), term: 3 })
    expect(solo.raft.wantsSnapshot(7, 3)).toBe(true)
    solo.log.install(7, 3, three)
    const effects = solo.step({ kind: 'snapshot-installed', index: 7, term: 3, config: three })
    expect(effects.commitIndex).toBe(7)
    expect(solo.raft.config).toEqual(three)
    expect(solo.raft.wantsSnapshot(7, 3)).toBe(false)
    solo.receive('n2', append(3, 7, 3, [3]))
    expect(solo.to('n2')).toMatchObject([{ ok: true, matchIndex: 8 }])
  })

  test('installed from a primary of a later term: the term is adopted, without a vote', () => {
    const solo = new Solo({ config: three, terms: [1], term: 2 })
    solo.log.install(7, 3, three)
    const effects = solo.step({ kind: 'snapshot-installed', index: 7, term: 3, config: three })
    expect(effects.hardState).toEqual({ term: 3, vote: null })
    expect(solo.raft.role).toBe('follower')
    solo.receive('n2', append(3, 7, 3, [3]))
    expect(solo.to('n2')).toMatchObject([{ ok: true, matchIndex: 8 }])
  })

  test('installed while other inputs were waiting: the disk counts, and the late report changes nothing', () => {
    const solo = new Solo({ config: three, terms: [1, 1], term: 3 })
    solo.log.install(7, 3, three)
    solo.receive('n2', append(3, 7, 3, [3], 8))
    expect(solo.to('n2')).toMatchObject([{ ok: true, matchIndex: 8 }])
    const effects = solo.step({ kind: 'snapshot-installed', index: 7, term: 3, config: three })
    expect(effects.commitIndex).toBe(8)
    expect(solo.raft.lastIndex).toBe(8)
  })

  test('installed, and more of the log came before the report of it, in one step: all of it stays', () => {
    const solo = new Solo({ config: three, terms: [1, 1], term: 3 })
    solo.log.install(7, 3, three)
    const effects = solo.step(
      { kind: 'message', from: memberId('n2'), message: append(3, 7, 3, [3, 3], 9) },
      { kind: 'snapshot-installed', index: 7, term: 3, config: three },
    )
    expect([effects.append.map(({ index }) => index), effects.commitIndex]).toEqual([[8, 9], 9])
    expect(solo.to('n2')).toMatchObject([{ ok: true, matchIndex: 9 }])
  })
})
