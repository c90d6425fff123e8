/** Elections, one test per claim. What takes several members is in test/golden. */
import assert from 'node:assert/strict'
import { describe, expect, test } from 'vitest'
import type { RaftMessage } from '../../node/core/raft/types.ts'
import { memberId } from '../support/raft-cluster.ts'
import { configOf, Solo } from '../support/raft-solo.ts'

const three = configOf('n1 n2 n3')

function vote(term: number, lastIndex: number, lastTerm: number, transfer = false): RaftMessage {
  return { kind: 'vote', term, lastIndex, lastTerm, transfer }
}
function heartbeat(term: number, round = 1): RaftMessage {
  return { kind: 'heartbeat', term, commitIndex: 0, round }
}

describe('who campaigns', () => {
  test('a single voter is primary at its first tick, with a lease, and commits when its disk has the entry', () => {
    const solo = new Solo({ config: configOf('n1') })
    const effects = solo.tick()
    expect(effects.hardState).toEqual({ term: 1, vote: 'n1' })
    expect(solo.raft.role).toBe('primary')
    expect(solo.raft.commitIndex).toBe(1)
    expect(solo.step({ kind: 'read', ref: 7 }).reads).toEqual([{ ref: 7, index: 1 }])
    solo.nowMs = 100
    solo.tick(2)
    expect(solo.raft.leaseUntilMs).toBe(500)
  })

  test.each([
    ['no configuration at all', configOf('')],
    ['a learner', configOf('n2', 'n1')],
    ['not in the configuration', configOf('n2 n3 n4')],
  ])('never: %s', (_, config) => {
    const solo = new Solo({ config })
    solo.tick(200)
    expect(solo.raft.role).toBe('follower')
    expect(solo.raft.term).toBe(0)
  })

  test('section 9.6: asking beforehand moves no term, neither the own one nor another', () => {
    const solo = new Solo({ config: three, terms: [1] })
    solo.tick(10)
    expect(solo.kinds()).toEqual(['pre-vote', 'pre-vote'])
    expect(solo.raft.term).toBe(1)
    const other = new Solo({ config: three, terms: [1] })
    const effects = other.receive('n2', { kind: 'pre-vote', term: 9, lastIndex: 1, lastTerm: 1 })
    expect(effects.hardState).toBeNull()
    expect(other.to('n2')).toEqual([{ kind: 'pre-vote-reply', term: 9, granted: true }])
  })

  test('section 3.4: term and vote are handed to the disk in the step that asks for votes', () => {
    const solo = new Solo({ config: three })
    solo.tick(10)
    const effects = solo.receive('n2', { kind: 'pre-vote-reply', term: 1, granted: true })
    expect(effects.hardState).toEqual({ term: 1, vote: 'n1' })
    expect(effects.messages.map(({ message }) => message.kind)).toEqual(['vote', 'vote'])
  })
})

describe('who gets the vote', () => {
  test('section 5.2: one vote per term; the same candidate gets it again when it asks again', () => {
    const solo = new Solo({ config: three })
    expect(solo.receive('n2', vote(1, 0, 0)).hardState).toEqual({ term: 1, vote: 'n2' })
    solo.receive('n3', vote(1, 0, 0))
    expect(solo.to('n3')).toEqual([{ kind: 'vote-reply', term: 1, granted: false }])
    solo.receive('n2', vote(1, 0, 0))
    expect(solo.to('n2')).toEqual([{ kind: 'vote-reply', term: 1, granted: true }])
  })

  test.each([
    ['an earlier last term, however long', 9, 1, false],
    ['the same last term, shorter', 1, 2, false],
    ['the same log', 2, 2, true],
    ['the same last term, longer', 3, 2, true],
    ['a later last term, however short', 1, 3, true],
  ])('section 5.4.1: %s', (_, lastIndex, lastTerm, granted) => {
    const solo = new Solo({ config: three, terms: [1, 2], term: 3 })
    solo.receive('n2', vote(4, lastIndex, lastTerm))
    expect(solo.to('n2')).toEqual([{ kind: 'vote-reply', term: 4, granted }])
  })

  test('section 4.2.3: nobody who heard from a primary lately votes, or takes up the term', () => {
    const solo = new Solo({ config: three })
    solo.receive('n2', heartbeat(1))
    solo.tick(9)
    expect(solo.receive('n3', vote(5, 9, 9)).messages).toEqual([])
    expect(solo.raft.term).toBe(1)
  })

  test('section 3.10: unless the primary itself asked for the election', () => {
    const solo = new Solo({ config: three })
    solo.receive('n2', heartbeat(1))
    solo.receive('n3', vote(2, 9, 9, true))
    expect(solo.to('n3')).toEqual([{ kind: 'vote-reply', term: 2, granted: true }])
  })

  test('section 4.1: a stranger with a good log gets the vote; one with an old log does not even move the term', () => {
    const solo = new Solo({ config: three, terms: [2, 2] })
    expect(solo.receive('n9', vote(7, 1, 2)).hardState).toBeNull()
    solo.receive('n9', vote(7, 2, 2))
    expect(solo.to('n9')).toEqual([{ kind: 'vote-reply', term: 7, granted: true }])
  })

  test('votes of learners and strangers are not counted', () => {
    const solo = new Solo({ config: configOf('n1 n2 n3', 'n4') })
    solo.tick(10)
    for (const from of ['n4', 'n9']) solo.receive(from, { kind: 'pre-vote-reply', term: 1, granted: true })
    expect(solo.raft.role).toBe('pre-candidate')
  })
})

describe('terms', () => {
  test('section 5.1: messages of a lower term are answered, so that a stale member learns', () => {
    const solo = new Solo({ config: three, term: 5 })
    const append = { previousIndex: 3, previousTerm: 1, entries: [], commitIndex: 0, round: 4 }
    const requests: RaftMessage[] = [
      { kind: 'pre-vote', term: 2, lastIndex: 9, lastTerm: 9 },
      vote(2, 9, 9),
      { kind: 'append', term: 2, ...append },
      heartbeat(2),
    ]
    for (const message of requests) {
      solo.receive('n2', message)
      expect(solo.to('n2').map(({ kind, term }) => [kind, term])).toEqual([[`${message.kind}-reply`, 5]])
    }
  })

  test('a primary that hears of a later term from a voter steps down, and fails its reads', () => {
    const solo = new Solo({ config: three })
    solo.becomePrimary('n2')
    solo.step({ kind: 'read', ref: 1 })
    const effects = solo.receive('n2', { kind: 'heartbeat-reply', term: 8, round: 0, lastIndex: 0 })
    expect(solo.raft.role).toBe('follower')
    expect(effects.readsFailed).toEqual([1])
    expect(solo.raft.leaseUntilMs).toBe(-Infinity)
  })

  test("a removed member's late answers don't depose a primary", () => {
    const solo = new Solo({ config: three })
    solo.becomePrimary('n2')
    solo.receive('n9', { kind: 'heartbeat-reply', term: 8, round: 0, lastIndex: 0 })
    expect(solo.raft.role).toBe('primary')
  })

  test('two primaries in one term are a broken promise, not an input', () => {
    const solo = new Solo({ config: three })
    solo.receive('n2', heartbeat(1))
    assert.throws(() => solo.receive('n3', heartbeat(1)), /one primary in a term/)
  })
})

describe('contact', () => {
  test('section 6.2: a primary steps down when no majority answered for an election timeout', () => {
    const solo = new Solo({ config: three })
    solo.becomePrimary('n2')
    solo.tick(19)
    expect(solo.raft.role).toBe('primary')
    solo.tick()
    expect(solo.raft.role).toBe('follower')
    expect(solo.raft.primary).toBeNull()
  })

  test('one answering follower of two keeps it', () => {
    const solo = new Solo({ config: three })
    solo.becomePrimary('n2')
    for (let round = 2; round < 50; round += 1) {
      solo.tick(2)
      solo.receive('n3', { kind: 'heartbeat-reply', term: 1, round, lastIndex: 0 })
    }
    expect(solo.raft.role).toBe('primary')
  })

  test('an echo of a round that was never sent gives no lease and confirms no read', () => {
    const solo = new Solo({ config: three })
    solo.becomePrimary('n2')
    solo.step({ kind: 'read', ref: 1 })
    const effects = solo.receive('n2', { kind: 'heartbeat-reply', term: 1, round: 999, lastIndex: 1 })
    expect(effects.reads).toEqual([])
  })
})

describe('DESIGN.md section 3, "Fast failover"', () => {
  const gone = (name: string) => ({ kind: 'peer-gone', member: memberId(name) }) as const

  test('a gone primary is not waited for', () => {
    const solo = new Solo({ config: three })
    solo.receive('n2', heartbeat(1))
    solo.step(gone('n2'))
    expect(solo.kinds()).toEqual(['pre-vote', 'pre-vote'])
  })

  test('somebody else who is gone changes nothing', () => {
    const solo = new Solo({ config: three })
    solo.receive('n2', heartbeat(1))
    for (const name of ['n3', 'n9']) expect(solo.step(gone(name)).messages).toEqual([])
    expect(solo.raft.primary).toBe('n2')
  })

  test('the reports of a flapping link bring ever fewer campaigns', () => {
    const solo = new Solo({ config: three })
    const waits: number[] = []
    for (let time = 0; time < 6; time += 1) {
      solo.receive('n2', heartbeat(1, time + 1))
      solo.step(gone('n2'))
      let ticks = 0
      while (!solo.kinds().includes('pre-vote')) {
        solo.tick()
        ticks += 1
      }
      waits.push(ticks)
    }
    expect(waits).toEqual([0, 4, 8, 16, 20, 20])
  })

  test('a learner is told too, and does not campaign', () => {
    const solo = new Solo({ config: configOf('n2', 'n1') })
    solo.receive('n2', heartbeat(1))
    expect(solo.step(gone('n2')).messages).toEqual([])
  })

  test('of two that ask at once, the one with the lower id goes first', () => {
    const higher = new Solo({ config: configOf('n0 n1 n2') })
    higher.tick(10)
    higher.receive('n0', { kind: 'pre-vote', term: 1, lastIndex: 0, lastTerm: 0 })
    expect(higher.raft.role).toBe('follower')
    const lower = new Solo({ config: three })
    lower.tick(10)
    lower.receive('n2', { kind: 'pre-vote', term: 1, lastIndex: 0, lastTerm: 0 })
    expect(lower.raft.role).toBe('pre-candidate')
    expect(lower.to('n2')).toEqual([{ kind: 'pre-vote-reply', term: 1, granted: true }])
  })
})
