/**
 * A short run of chaos with real processes, as `npm run chaos` makes long ones: shoppers, administrators and intruders are
 * busy while nodes are killed, paused, stopped, cut off and wiped, and all of the history is held against P1 to P10.
 */
import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { runChaos } from './run.ts'
import { markdownOf } from './summary.ts'

const seed = 7
const nodes = 5
/** Twelve seconds: with start, healing and reckoning a minute on a machine of two slow cores. */
const minutes = 0.2
const shoppers = 6
/** The machine of a test run has two cores and other work. What is asked of an idle one is asked by `npm run chaos`. */
const patience = 4
/** Some of each: a start and a leave alone take as long as ten of these. */
const kinds = ['kill the primary', 'kill home and primary', 'pause', 'clean stop', 'kill all', 'hand-over']
const more = [
  'full partition',
  'one-way partition',
  'partial partition',
  'full disk',
  'failing fsync',
  'clock jump',
]
const operationsMin = 60
const faultsMin = 1

test('twelve seconds of chaos are clean', async () => {
  const { directory, summary, violations } = await runChaos({
    seed,
    nodes,
    minutes,
    shoppers,
    patience,
    only: [...kinds, ...more],
    abilities: () => true,
    command: `npm run chaos -- --nodes ${nodes} --minutes ${minutes} --seed ${seed}`,
    say: () => undefined,
  })
  if (violations.length > 0) console.error(`${markdownOf(summary)}\nhistory and logs are in ${directory}`)
  expect(violations).toEqual([])
  expect(summary.operations).toBeGreaterThan(operationsMin)
  expect(summary.faults).toBeGreaterThan(faultsMin)
  rmSync(directory, { recursive: true, force: true })
})
