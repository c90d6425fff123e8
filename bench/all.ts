/**
 * All benchmarks, one after the other, each alone in a process of its own: `npm run bench`. Prints what each of them
 * prints, and writes one table, one JSON file and one chart of all, and of a whole run the most telling rows into the
 * README. Give it an idle machine for about two hours.
 * `--only NAME,…` runs some, `--quick` runs them for seconds (to see that they work), `--out DIR` (default `docs/bench`, or
 * `bench/results/part` with one of the others, which make no table to show). `--continue` goes on with the table in DIR, of
 * a run that was cut off: what it has is kept, and what is missing is run; with `--only`, those are run and replaced.
 * A benchmark that fails or takes far too long is named in the table, and the others go on. Exit code 1 when one failed,
 * or missed an aim.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { placesOf, readRecord } from '../scripts/cluster/directory.ts'
import { killNode } from '../scripts/cluster/process.ts'
import { withHeadlines } from './headlines.ts'
import { busyVariable, resultsVariable } from './kit.ts'
import type { Result } from './kit.ts'
import { plan } from './plan.ts'
import type { Benchmark } from './plan.ts'
import { chartOf, markdownOf, withNew } from './summary.ts'
import type { Failure, Run } from './summary.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    out: { type: 'string' },
    continue: { type: 'boolean', default: false },
  },
})

/** Long enough to see a neighbour at work. */
const busyLookMs = 3_000

const isWhole = (values.only === undefined || values.continue) && !values.quick
const outDefault = isWhole ? '../docs/bench' : 'results/part'

function chosen(only: string | undefined, done: readonly Result[]): readonly Benchmark[] {
  if (only === undefined) return plan.filter(({ name }) => !done.some(({ entry }) => entry === name))
  const names = only.split(',')
  const unknown = names.filter((name) => !plan.some((benchmark) => benchmark.name === name))
  const known = plan.map(({ name }) => name).join(', ')
  if (unknown.length > 0) throw new Error(`no benchmark ${unknown.join(', ')}; there are ${known}`)
  return plan.filter(({ name }) => names.includes(name))
}

/** The exit code, or null when it took too long and was killed. */
async function ended(child: ChildProcess, timeoutMs: number): Promise<number | null> {
  const { promise, resolve: end, reject } = Promise.withResolvers<number | null>()
  const timer = setTimeout(() => {
    child.kill('SIGKILL')
    end(null)
  }, timeoutMs)
  child.on('error', reject)
  child.on('exit', (code) => end(code ?? 1))
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}

/** Nodes outlive who started them; none may be left to disturb the next benchmark. */
async function clearAway(directory: string): Promise<void> {
  for (const name of readdirSync(directory)) {
    const cluster = join(directory, name)
    if (!existsSync(join(cluster, 'cluster.json'))) continue
    const record = readRecord(cluster)
    if (record !== null) await Promise.all(placesOf(cluster, record).map(killNode))
  }
  rmSync(directory, { recursive: true, force: true })
}

function resultsIn(file: string, entry: string): Result[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  return lines.map((line) => ({ ...(JSON.parse(line) as Result), entry }))
}

/** What an earlier run left in the directory, without what failed in it. */
function earlierIn(directory: string): Pick<Run, 'date' | 'results'> {
  const run = JSON.parse(readFileSync(join(directory, 'bench.json'), 'utf8')) as Run
  if (run.isQuick) throw new Error(`the table in ${directory} is of a quick pass`)
  const failed = new Set(run.failures.map(({ bench }) => bench))
  return {
    date: run.date,
    results: run.results.filter(({ entry }) => entry !== undefined && !failed.has(entry)),
  }
}

type Outcome = { readonly results: readonly Result[]; readonly failure: Failure | null }

/** Cores that others keep busy now. */
async function busyCores(): Promise<number> {
  const before = cpus()
  await sleep(busyLookMs)
  const busyMs = cpus().map(({ times }, core) => {
    const { user, nice, sys, irq } = before[core]?.times ?? times
    return times.user - user + times.nice - nice + times.sys - sys + times.irq - irq
  })
  return busyMs.reduce((sum, each) => sum + each, 0) / busyLookMs
}

async function run({ name, file, args, quick, timeoutMinutes }: Benchmark): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), 'souk-bench-'))
  const resultsFile = join(directory, 'results.jsonl')
  const path = fileURLToPath(new URL(file, import.meta.url))
  console.error(`--- ${name}`)
  const busy = (await busyCores()).toFixed(2)
  try {
    const child = spawn(process.execPath, [path, ...args, ...(values.quick ? quick : [])], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, TMPDIR: directory, [resultsVariable]: resultsFile, [busyVariable]: busy },
    })
    const code = await ended(child, timeoutMinutes * 60_000)
    const results = resultsIn(resultsFile, name)
    // Code 1 is also that of an aim that was missed, which is no failure of the benchmark.
    const isMissed = results.some(({ measures }) => measures.some(({ met }) => met === false))
    const isDone = results.length > 0 && (code === 0 || (code === 1 && isMissed))
    if (isDone) return { results, failure: null }
    const reason = code === null ? `not done after ${timeoutMinutes} minutes` : `ended with ${code}`
    return { results, failure: { bench: name, reason } }
  } finally {
    await clearAway(directory)
  }
}

if (values.continue && values.quick) throw new Error('a quick pass makes no table to go on with')
const out = resolve(values.out ?? fileURLToPath(new URL(outDefault, import.meta.url)))
const readme = fileURLToPath(new URL('../README.md', import.meta.url))
const { date, results: done } = values.continue
  ? earlierIn(out)
  : { date: new Date().toISOString(), results: [] }
const benchmarks = chosen(values.only, done)
mkdirSync(out, { recursive: true })
let results: readonly Result[] = done
const failures: Failure[] = []
for (const benchmark of benchmarks) {
  const outcome = await run(benchmark)
  results = withNew(results, benchmark.name, outcome.results)
  if (outcome.failure !== null) failures.push(outcome.failure)
  // After each, so that a run that is cut off leaves what it has.
  const all: Run = { date, isQuick: values.quick, results, failures }
  writeFileSync(join(out, 'bench.md'), markdownOf(all))
  writeFileSync(join(out, 'bench.json'), `${JSON.stringify(all, null, 2)}\n`)
  writeFileSync(join(out, 'bench.svg'), chartOf(all))
  if (isWhole && values.out === undefined)
    writeFileSync(readme, withHeadlines(readFileSync(readme, 'utf8'), results))
}
console.log(readFileSync(join(out, 'bench.md'), 'utf8'))
console.error(`written to ${out}`)
const missed = results.flatMap(({ measures }) => measures).some(({ met }) => met === false)
if (failures.length > 0 || (missed && !values.quick)) process.exitCode = 1
