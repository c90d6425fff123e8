/** DESIGN.md section 3, "Voters": one test per sentence, and random histories against the promises. */
import assert from 'node:assert/strict'
import { describe, expect, test } from 'vitest'
import { isAllowedChange } from '../../node/core/raft/config.ts'
import type { RaftConfig } from '../../node/core/raft/types.ts'
import {
  learnerPatienceMs,
  nextVoterChange,
  targetVoterCount,
  type VoterCandidate,
  type VoterDecision,
} from '../../node/core/voters.ts'
import { memberId } from '../support/raft-cluster.ts'
import { randomFrom } from '../support/raft-simulation.ts'

const replaceVoterAfterMs = 60_000
type Traits = Partial<Omit<VoterCandidate, 'id'>>

function member(name: string, traits: Traits = {}): VoterCandidate {
  return { id: memberId(name), eligible: true, alive: true, caughtUp: true, deadForMs: 0, ...traits }
}
const dead: Traits = { alive: false, caughtUp: false, deadForMs: replaceVoterAfterMs }
const away: Traits = { alive: false, caughtUp: false, deadForMs: 1000 }

function config(voters: string, learners = ''): RaftConfig {
  const ids = (names: string) => names.split(' ').filter(Boolean).map(memberId)
  return { voters: ids(voters), learners: ids(learners) }
}
function decide(members: VoterCandidate[], now: RaftConfig, self = 'n1'): VoterDecision {
  return nextVoterChange({ members, config: now, replaceVoterAfterMs, self: memberId(self) })
}
function told(decision: VoterDecision): string {
  if (decision.kind === 'none') return 'none'
  if (decision.kind === 'hand-over') return `hand over to ${decision.to}`
  return `${decision.reason}: ${decision.config.voters.join(' ')} | ${decision.config.learners.join(' ')}`
}
/** All decisions until nothing is left to do; learners catch up at once. */
function settle(
  members: VoterCandidate[],
  from: RaftConfig,
  self = 'n1',
): { steps: string[]; at: RaftConfig } {
  const steps: string[] = []
  let now = from
  let primary = self
  for (;;) {
    const decision = decide(members, now, primary)
    if (decision.kind === 'none') return { steps, at: now }
    steps.push(told(decision))
    assert(steps.length < 40, `no end: ${steps.join(', ')}`)
    if (decision.kind === 'hand-over') {
      primary = decision.to
      continue
    }
    assert(isAllowedChange(now, decision.config), `${JSON.stringify(now)} → ${told(decision)}`)
    assert(decision.config.voters.includes(memberId(primary)), 'the primary never removes itself')
    now = decision.config
  }
}

describe('DESIGN.md section 3, "Voters"', () => {
  test('the target is 1 with one or two eligible members, 3 with three or four, 5 with five or more', () => {
    expect([1, 2, 3, 4, 5, 6, 25].map(targetVoterCount)).toEqual([1, 1, 3, 3, 5, 5, 5])
  })

  test('with two of five dead, a living voter that is to go waits until one of them has gone', () => {
    const members = [
      member('n1'),
      member('n2', away),
      member('n3', away),
      member('n4', { eligible: false }),
      member('n5'),
    ]
    const { steps } = settle(members, config('n1 n2 n3 n4 n5'))
    expect(steps).toEqual(['remove: n1 n2 n4 n5 | ', 'remove: n1 n2 n5 | '])
  })

  test('1 → 3: first two learners, then both are promoted back to back', () => {
    const { steps } = settle([member('n1'), member('n2'), member('n3')], config('n1'))
    expect(steps).toEqual([
      'learner: n1 | n2',
      'learner: n1 | n2 n3',
      'promote: n1 n2 | n3',
      'promote: n1 n2 n3 | ',
    ])
  })

  test('1 → 3 starts only when two learners are caught up and alive', () => {
    const slow = member('n3', { caughtUp: false })
    expect(told(decide([member('n1'), member('n2'), slow], config('n1', 'n2 n3')))).toBe('none')
    expect(told(decide([member('n1'), member('n2'), member('n3', away)], config('n1', 'n2 n3')))).toBe('none')
    expect(told(decide([member('n1'), member('n2'), member('n3', away)], config('n1')))).toBe('none')
  })

  test('3 → 5 in the same way', () => {
    const members = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'].map((name) => member(name))
    const { steps, at } = settle(members, config('n1 n2 n3'))
    expect(steps.slice(-2)).toEqual(['promote: n1 n2 n3 n4 | n5', 'promote: n1 n2 n3 n4 n5 | '])
    expect(at.voters).toHaveLength(5)
  })

  test('it never rests at 2 or 4: with nobody to come it goes back', () => {
    const members = [member('n1'), member('n2'), member('n3', away)]
    expect(told(decide(members, config('n1 n2')))).toBe('remove: n1 | ')
    const five = [member('n1'), member('n2', away), member('n3'), member('n4'), member('n5', away)]
    expect(told(decide(five, config('n1 n2 n3 n4')))).toBe('remove: n1 n3 n4 | ')
  })

  test('never fewer because of deaths', () => {
    const members = [member('n1'), member('n2', dead), member('n3', dead)]
    expect(told(decide(members, config('n1 n2 n3')))).toBe('none')
  })

  test('a voter dead for replaceVoterAfterMs is replaced: learner, promoted, then the dead is removed', () => {
    const members = [member('n1'), member('n2', dead), member('n3'), member('n4')]
    expect(settle(members, config('n1 n2 n3')).steps).toEqual([
      'learner: n1 n2 n3 | n4',
      'promote: n1 n2 n3 n4 | ',
      'remove: n1 n3 n4 | ',
    ])
    const briefly = [member('n1'), member('n2', away), member('n3'), member('n4')]
    expect(settle(briefly, config('n1 n2 n3')).steps).toEqual([])
  })

  test('when the dead comes back after its replacement was promoted, 4 still becomes 3', () => {
    const members = ['n1', 'n2', 'n3', 'n4'].map((name) => member(name))
    expect(settle(members, config('n1 n2 n3 n4')).at.voters).toHaveLength(3)
  })

  test('it shrinks when an operator removes a member or makes it not eligible', () => {
    expect(settle([member('n1'), member('n2')], config('n1 n2 n3')).steps).toEqual([
      'remove: n1 n2 | ',
      'remove: n1 | ',
    ])
    const members = [member('n1'), member('n2'), member('n3', { eligible: false })]
    expect(settle(members, config('n1 n2 n3')).at.voters).toEqual(['n1'])
    const four = ['n1', 'n2', 'n3', 'n4'].map((name) => member(name))
    expect(settle(four, config('n1 n2 n3 n4 n5')).at.voters).toEqual(['n1', 'n2', 'n3'])
  })

  test('with replacement first where that is possible', () => {
    const members = [member('n1'), member('n2'), member('n3', { eligible: false }), member('n4')]
    expect(settle(members, config('n1 n2 n3')).steps).toEqual([
      'learner: n1 n2 n3 | n4',
      'promote: n1 n2 n3 n4 | ',
      'remove: n1 n2 n4 | ',
    ])
  })

  test('a member replaced under its name counts as removed, and its successor takes its place', () => {
    const members = [member('n1'), member('n2'), member('n3again')]
    expect(settle(members, config('n1 n2 n3')).at.voters).toEqual(['n1', 'n2', 'n3again'])
  })

  test('the primary itself not eligible: hand-over first, then the next primary removes it', () => {
    const members = [member('n1', { eligible: false }), member('n2'), member('n3'), member('n4')]
    const { steps, at } = settle(members, config('n1 n2 n3'))
    expect(steps[0]).toBe('hand over to n2')
    expect(at.voters).toEqual(['n2', 'n3', 'n4'])
    const alone = [member('n1', { eligible: false }), member('n2')]
    expect(settle(alone, config('n1')).steps).toEqual([
      'learner: n1 | n2',
      'promote: n1 n2 | ',
      'hand over to n2',
      'remove: n2 | ',
    ])
  })

  test('learners that are not needed, or dead for long, go', () => {
    const members = ['n1', 'n2', 'n3', 'n4'].map((name) => member(name))
    expect(told(decide(members, config('n1 n2 n3', 'n4')))).toBe('learner: n1 n2 n3 | ')
    const lost = member('n2', { ...away, deadForMs: learnerPatienceMs })
    const { at } = settle([member('n1'), lost, member('n3'), member('n4')], config('n1', 'n2 n3'))
    expect(at.voters).toEqual(['n1', 'n3', 'n4'])
  })

  test('nobody eligible, or no members known yet: nothing is changed', () => {
    expect(told(decide([], config('n1')))).toBe('none')
    expect(told(decide([member('n1', { eligible: false })], config('n1')))).toBe('none')
  })
})

/** Random clusters: the decisions come to an end, at an odd number, and deaths alone never shrink it. */
test.each(Array.from({ length: 20 }, (_, block) => block))('random situations, block %i', (block) => {
  for (let seed = block * 200; seed < block * 200 + 200; seed += 1) {
    const random = randomFrom(seed)
    const names = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7'].slice(0, 1 + Math.floor(random() * 7))
    const operatorActs = random() < 0.5
    const members = names
      .filter((name) => name === 'n1' || !operatorActs || random() < 0.85)
      .map((name) => {
        const fate = random()
        const life = name === 'n1' || fate < 0.6 ? {} : fate < 0.8 ? dead : away
        return member(name, { ...life, eligible: !operatorActs || random() < 0.85 })
      })
    const voters = names.slice(0, 1 + Math.floor(random() * Math.min(5, names.length)))
    const learners = names.filter((name) => !voters.includes(name) && random() < 0.3)
    const before = config(voters.join(' '), learners.join(' '))
    const { at, steps } = settle(members, before)
    const why = `seed ${seed}: ${JSON.stringify({ members, before, at, steps })}`
    const eligibleCount = members.filter(({ eligible }) => eligible).length
    if (eligibleCount > 0) assert.equal(at.voters.length % 2, 1, why)
    const isWhole = voters.length % 2 === 1 && voters.length <= targetVoterCount(names.length)
    if (!operatorActs && isWhole) assert(at.voters.length >= voters.length, why)
    if (members.every(({ alive }) => alive) && eligibleCount > 0) {
      assert.equal(at.voters.length, targetVoterCount(eligibleCount), why)
      assert.deepEqual(at.learners, [], why)
    }
  }
})
