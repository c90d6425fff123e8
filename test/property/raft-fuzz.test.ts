/** Whatever well-formed messages arrive, in whatever order: no crash but for a broken promise of another member. */
import assert from 'node:assert/strict'
import { test } from 'vitest'
import type { RaftInput, RaftMessage } from '../../node/core/raft/types.ts'
import { InvariantError } from '../../node/faults.ts'
import { memberId } from '../support/raft-cluster.ts'
import { randomFrom } from '../support/raft-simulation.ts'
import { configOf, Solo } from '../support/raft-solo.ts'

const seeds = 3000
const stepsPerSeed = 60
/** Random peers do break these: two primaries in a term, a primary without a committed entry. */
const brokenPromise = /Election Safety|Leader Completeness/

function anyMessage(random: () => number): RaftMessage {
  const upTo = (most: number) => Math.floor(random() * (most + 1))
  const [term, round, previousIndex, commitIndex] = [upTo(4), upTo(20), upTo(6), upTo(8)]
  const granted = random() < 0.5
  const previousTerm = Math.min(term, upTo(3))
  const entries = Array.from({ length: upTo(3) }, (_, place) => {
    const index = previousIndex + 1 + place
    return { index, term: Math.max(previousTerm, 1), kind: 'command', data: '' } as const
  })
  const messages: RaftMessage[] = [
    { kind: 'pre-vote', term, lastIndex: upTo(6), lastTerm: upTo(4) },
    { kind: 'pre-vote-reply', term, granted },
    { kind: 'vote', term, lastIndex: upTo(6), lastTerm: upTo(4), transfer: random() < 0.3 },
    { kind: 'vote-reply', term, granted },
    { kind: 'append', term, previousIndex, previousTerm, entries, commitIndex, round },
    {
      kind: 'append-reply',
      term,
      ok: granted,
      matchIndex: upTo(8),
      conflictIndex: upTo(8),
      conflictTerm: upTo(4),
      round,
    },
    { kind: 'heartbeat', term, commitIndex, round },
    { kind: 'heartbeat-reply', term, round, lastIndex: upTo(8) },
    { kind: 'timeout-now', term },
  ]
  const message = messages[upTo(messages.length - 1)]
  assert(message !== undefined)
  return message
}

function anyInput(random: () => number): RaftInput {
  const member = memberId(`n${1 + Math.floor(random() * 4)}`)
  const kind = random()
  if (kind < 0.6) return { kind: 'message', from: member, message: anyMessage(random) }
  if (kind < 0.75) return { kind: 'tick' }
  if (kind < 0.8) return { kind: 'propose', ref: 1, data: '1' }
  if (kind < 0.84) return { kind: 'read', ref: 1 }
  if (kind < 0.87) return { kind: 'transfer', ref: 1, to: random() < 0.5 ? null : member }
  if (kind < 0.9) return { kind: 'peer-gone', member }
  if (kind < 0.93)
    return { kind: 'snapshot-sent', to: member, ok: random() < 0.5, index: Math.floor(random() * 9) }
  return { kind: random() < 0.5 ? 'peer-connected' : 'peer-disconnected', member }
}

test('any inputs in any order', () => {
  let calm = 0
  for (let seed = 0; seed < seeds; seed += 1) {
    const random = randomFrom(seed)
    const timing = { electionTicksMin: 3, electionTicksMax: 4, random }
    const solo = new Solo({
      config: configOf(random() < 0.5 ? 'n1 n2 n3' : 'n1 n2', 'n4'),
      terms: [1, 1],
      timing,
    })
    try {
      for (let step = 0; step < stepsPerSeed; step += 1) solo.step(anyInput(random), anyInput(random))
      calm += 1
    } catch (error) {
      assert(
        error instanceof InvariantError && brokenPromise.test(error.message),
        `seed ${seed}: ${String(error)}`,
      )
    }
  }
  assert(calm > seeds / 20, `only ${calm} runs went to their end`)
})
