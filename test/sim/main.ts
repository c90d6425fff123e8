/**
 * `npm run sim -- --seeds N --from S` runs N worlds, on all cores; `--seed S --trace` one, with all that happened in it. Exit code 1
 * when a promise was broken, or when something that must happen (coverage.ts) did not in a run of 50 or more; each failure
 * names its seed and how to see it again.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { neverHappened } from './coverage.ts'
import { runSeeds } from './jobs.ts'
import { runSeed } from './run-seed.ts'
import type { SeedReport } from './run-seed.ts'
import type { WorldResult } from './world.ts'

const usage = `npm run sim -- [--seeds N] [--from S] [--jobs J] [--quiet]   runs N worlds from seed S on, J at a time
npm run sim -- --seed S [--trace]                         runs one, and says what happened`

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

function say({ seed, result, failures }: SeedReport, trace: boolean): void {
  if (trace) console.log(result.events.join('\n'))
  if (failures.length === 0) return
  console.log(`seed ${seed} FAILED`)
  for (const failure of failures) console.log(`  ${failure}`)
  console.log(`  again: npm run sim -- --seed ${seed} --trace`)
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '20' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      jobs: { type: 'string', default: `${availableParallelism()}` },
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
  const startedMs = performance.now()
  const take = (reported: SeedReport): void => {
    const { seed, result, failures } = reported
    say(reported, values.trace)
    if (failures.length > 0) failed.push(seed)
    addTo(faults, result.faults)
    addTo(tally, result.tally)
    addTo(totals, result.totals)
    addTo(seen, result.seen)
    faultNames = result.faultNames
    addTo(sums, pickSums(result))
    if (values.seed !== undefined) console.log(`trace of seed ${seed}: ${result.trace.toString(16)}`)
  }
  if (values.seed === undefined)
    for await (const reported of runSeeds(from, count, Number(values.jobs))) take(reported)
  else take(await runSeed(from, values.trace))
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
