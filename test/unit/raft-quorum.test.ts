/** Model test: majorities against their obvious versions, for any voters and any answers (etcd-io/raft, `quorum/quick_test.go`). */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'vitest'
import {
  committedIndex,
  isMajority,
  majorityOf,
  reachedByMajority,
  voteResult,
} from '../../node/core/quorum.ts'
import type { MemberId } from '../../node/ids.ts'
import { memberId } from '../support/raft-cluster.ts'

const runs = { numRuns: 2_000 }
const indexMax = 6
const member = fc.integer({ min: 1, max: 9 }).map((number) => memberId(`n${number}`))
const voterList = fc.uniqueArray(member, { maxLength: 7 })
/** What each member has reached; of some nothing is known, and some are no voters. */
const reached = fc.dictionary(member, fc.nat({ max: indexMax }))
const answers = fc.dictionary(member, fc.boolean())

function votesOf(given: { [member: string]: boolean }): Map<MemberId, boolean> {
  return new Map(Object.entries(given).map(([name, vote]) => [memberId(name), vote]))
}

/** All groups of voters, the obvious way. */
function groupsOf(voters: readonly MemberId[]): MemberId[][] {
  return voters.reduce<MemberId[][]>(
    (groups, voter) => [...groups, ...groups.map((group) => [...group, voter])],
    [[]],
  )
}

test('any two majorities of the same voters share one, and no smaller group is needed', () => {
  fc.assert(
    fc.property(fc.uniqueArray(member, { minLength: 1, maxLength: 5 }), (voters) => {
      const majorities = groupsOf(voters).filter((group) =>
        isMajority(voters, (voter) => group.includes(voter)),
      )
      for (const one of majorities)
        for (const other of majorities) assert(one.some((voter) => other.includes(voter)))
      assert.equal(Math.min(...majorities.map((group) => group.length)), majorityOf(voters.length))
      // One voter fewer, and there would be two groups that don't meet.
      assert(2 * (majorityOf(voters.length) - 1) <= voters.length)
    }),
    { numRuns: 200 },
  )
})

test('the index that a majority reached is the largest that more than half of the voters hold', () => {
  fc.assert(
    fc.property(voterList, reached, (voters, given) => {
      const of = (voter: MemberId): number => given[voter] ?? 0
      let expected = 0
      for (let index = 1; index <= indexMax; index += 1)
        if (voters.filter((voter) => of(voter) >= index).length * 2 > voters.length) expected = index
      assert.equal(reachedByMajority(voters, of), expected)
      assert.equal(committedIndex(voters, of), expected)
    }),
    runs,
  )
})

test('a vote is won or lost as soon as, and only when, no missing answer can change it', () => {
  fc.assert(
    fc.property(fc.uniqueArray(member, { minLength: 1, maxLength: 7 }), answers, (voters, given) => {
      const votes = votesOf(given)
      const granted = (missing: boolean): number =>
        voters.filter((voter) => votes.get(voter) ?? missing).length
      const wins = (count: number): boolean => count * 2 > voters.length
      const expected = wins(granted(false)) ? 'won' : wins(granted(true)) ? 'pending' : 'lost'
      assert.equal(voteResult(voters, votes), expected)
    }),
    runs,
  )
})

test('without voters nobody agrees to anything', () => {
  assert.equal(
    committedIndex([], () => 7),
    0,
  )
  assert.notEqual(voteResult([], new Map([[memberId('n1'), true]])), 'won')
  assert.equal(
    isMajority([], () => true),
    false,
  )
})
