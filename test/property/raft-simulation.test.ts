/**
 * Raft's Figure 3 under random faults: Election Safety, Log Matching, Leader Completeness, State Machine
 * Safety, current reads, exclusive leases, and progress once healed. `RAFT_SEED=S` runs one seed instead.
 */
import assert from 'node:assert/strict'
import { expect, test } from 'vitest'
import type { BrokenDriver } from '../support/raft-cluster.ts'
import { simulate } from '../support/raft-simulation.ts'

const seedsPerBlock = 40
const blocks = 10
/** A broken driver that survives so many seeds would mean that the simulation looks away. */
const seedsToFind = 150

const only = process.env['RAFT_SEED']

/** What must happen at least once in the whole run, else the run proves little. */
const mustHappen = [
  'elections',
  'reads confirmed',
  'crashes',
  'transfers',
  'configuration changes asked for',
  'conflicts truncated',
  'snapshots installed',
]
const totals = new Map<string, number>()

const seedLists =
  only === undefined
    ? Array.from({ length: blocks }, (_, block) =>
        Array.from({ length: seedsPerBlock }, (__, place) => block * seedsPerBlock + place),
      )
    : [[Number(only)]]

test.each(seedLists.map((seeds) => ({ first: seeds[0], seeds })))('seeds from $first', ({ seeds }) => {
  for (const seed of seeds) {
    const counts = simulate(seed)
    assert(counts.size > 0, `seed ${seed} did nothing`)
    for (const [what, times] of counts) totals.set(what, (totals.get(what) ?? 0) + times)
  }
})

test('everything that should be exercised was', () => {
  const missing = mustHappen.filter((what) => (totals.get(what) ?? 0) === 0)
  expect(only === undefined ? missing : []).toEqual([])
})

/** The simulation is itself tested: drivers with a bug must be found. */
test.each<BrokenDriver>(['vote-not-persisted', 'sent-before-persisted'])(
  'finds a driver with the bug: %s',
  (brokenDriver) => {
    for (let seed = 0; seed < seedsToFind; seed += 1) {
      try {
        simulate(seed, { brokenDriver })
      } catch (error) {
        assert.match(String(error), /RaftViolation|InvariantError/)
        return
      }
    }
    assert.fail(`${brokenDriver} was not found in ${seedsToFind} seeds`)
  },
)
