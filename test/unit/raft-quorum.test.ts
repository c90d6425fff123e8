/** Model test: majorities against their obvious versions. */
import assert from 'node:assert/strict'
import { test } from 'vitest'
import { committedIndex, isMajority, majorityOf, voteResult } from '../../node/core/quorum.ts'
import type { MemberId } from '../../node/ids.ts'
import { memberId } from '../support/raft-cluster.ts'
import { randomFrom } from '../support/raft-simulation.ts'

const seeds = 2000

function votersOf(count: number): MemberId[] {
  return Array.from({ length: count }, (_, place) => memberId(`n${place}`))
}

test('two majorities of the same voters always share one', () => {
  for (let count = 1; count <= 9; count += 1)
    assert(2 * majorityOf(count) > count && 2 * (majorityOf(count) - 1) <= count)
})

test('committedIndex is the largest index that more than half of the voters hold', () => {
  for (let seed = 0; seed < seeds; seed += 1) {
    const random = randomFrom(seed)
    const voters = votersOf(1 + Math.floor(random() * 7))
    const held = new Map(voters.map((voter) => [voter, Math.floor(random() * 6)]))
    let expected = 0
    for (let index = 0; index <= 6; index += 1) {
      if (voters.filter((voter) => (held.get(voter) ?? 0) >= index).length * 2 > voters.length)
        expected = index
    }
    assert.equal(
      committedIndex(voters, (voter) => held.get(voter) ?? 0),
      expected,
      `seed ${seed}`,
    )
  }
  assert.equal(
    committedIndex([], () => 7),
    0,
  )
})

test('a vote is won or lost as soon as, and only when, no missing answer can change it', () => {
  for (let seed = 0; seed < seeds; seed += 1) {
    const random = randomFrom(seed)
    const voters = votersOf(1 + Math.floor(random() * 6))
    const votes = new Map<MemberId, boolean>([[memberId('stranger'), true]])
    for (const voter of voters) if (random() < 0.6) votes.set(voter, random() < 0.5)
    const canWin = (missing: boolean) => isMajority(voters, (voter) => votes.get(voter) ?? missing)
    const expected = canWin(false) ? 'won' : canWin(true) ? 'pending' : 'lost'
    assert.equal(voteResult(voters, votes), expected, `seed ${seed}`)
  }
})
