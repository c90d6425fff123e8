/**
 * `npm run sim -- --seeds N --from S` runs N worlds; `--seed S --trace` one, with all that happened in it. Exit code 1
 * when a promise was broken, or when something that must happen (coverage.ts) did not in a run of 50 or more; each failure
 * names its seed and how to see it again.
 */
import { parseArgs } from 'node:util'
import { neverHappened } from './coverage.ts'
import { Killed } from './disk.ts'
import { runWorld } from './world.ts'
import type { WorldResult } from './world.ts'

const usage = `npm run sim -- [--seeds N] [--from S] [--quiet]   runs N worlds from seed S on
npm run sim -- --seed S [--trace]               runs one, and says what happened`

/** A rejection that nobody waits for ends a real node, so it is a failure here too; a killed process says nothing. */
const unhandled: unknown[] = []
process.on('unhandledRejection', (error) => {
  if (!(error instanceof Killed)) unhandled.push(error)
})

type Totals = { [name: string]: number }

function addTo(totals: Totals, more: Totals): void {
  for (const [name, value] of Object.entries(more)) totals[name] = (totals[name] ?? 0) + value
}

function report(title: string, totals: Totals): void {
  const lines = Object.entries(totals)
    .filter(([, value]) => value > 0)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, value]) => `  ${name}: ${value}`)
  console.log([title, ...lines].join('\n'))
}

function failuresOf(result: WorldResult): string[] {
  const rejections = unhandled.splice(0).map((error) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return `P9: a rejection that nobody handles: ${text}`
  })
  return [...result.violations, ...rejections]
}

async function runSeed(seed: number, trace: boolean): Promise<{ result: WorldResult; failures: string[] }> {
  const result = await runWorld({ seed, trace })
  const failures = failuresOf(result)
  if (trace) console.log(result.events.join('\n'))
  if (failures.length > 0) {
    console.log(`seed ${seed} FAILED`)
    for (const failure of failures) console.log(`  ${failure}`)
    console.log(`  again: npm run sim -- --seed ${seed} --trace`)
  }
  return { result, failures }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '20' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    return 0
  }
  const from = Number(values.seed ?? values.from)
  const count = values.seed === undefined ? Number(values.seeds) : 1
  const [faults, tally, totals, seen]: [Totals, Totals, Totals, Totals] = [{}, {}, {}, {}]
  let faultNames: readonly string[] = []
  const failed: number[] = []
  const sums = { virtualMs: 0, operations: 0, steps: 0, messages: 0, terms: 0, committed: 0 }
  // Thousands of faults are made in a world; where they come from is of interest in a replay only.
  if (!values.trace) Error.stackTraceLimit = 3
  const startedMs = performance.now()
  for (let seed = from; seed < from + count; seed += 1) {
    const { result, failures } = await runSeed(seed, values.trace)
    if (failures.length > 0) failed.push(seed)
    addTo(faults, result.faults)
    addTo(tally, result.tally)
    addTo(totals, result.totals)
    addTo(seen, result.seen)
    faultNames = result.faultNames
    addTo(sums, pickSums(result))
    if (values.seed !== undefined) console.log(`trace of seed ${seed}: ${result.trace.toString(16)}`)
  }
  const seconds = (performance.now() - startedMs) / 1_000
  if (!values.quiet) {
    report('what went wrong', faults)
    report('what clients met', tally)
    report('what consensus, disks and machines did', seen)
    report('what nodes counted', totals)
  }
  console.log(
    `${count} seeds from ${from}: ${failed.length} failed${failed.length > 0 ? ` (${failed.join(', ')})` : ''}; ` +
      `${(sums.virtualMs / 60_000).toFixed(1)} virtual minutes, ${sums.terms} terms, ${sums.committed} entries, ` +
      `${sums.operations} operations, ${sums.messages} messages, ${sums.steps} events in ${seconds.toFixed(1)} s (${(seconds / count).toFixed(2)} s each)`,
  )
  const missing = neverHappened({ faults, tally, totals, seen }, faultNames, count)
  if (missing.length > 0) console.log(`FAILED: in ${count} worlds never happened: ${missing.join(', ')}`)
  return failed.length > 0 || missing.length > 0 ? 1 : 0
}

function pickSums({ virtualMs, operations, steps, messages, terms, committed }: WorldResult): Totals {
  return { virtualMs, operations, steps, messages, terms, committed }
}

process.exitCode = await main()
