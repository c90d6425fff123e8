/**
 * What all benchmarks share: medians of several runs with the 99th percentile beside them, the machine and the versions
 * they ran on, aims that are met or not, and a report in Markdown (standard output) and JSON (`bench/results/`, and for
 * who runs several of them the file that SOUK_BENCH_RESULTS names, a line each).
 */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const resultsDirectory = fileURLToPath(new URL('results', import.meta.url))
/** Above this share of each core somebody else was at work, and the figures say little. */
const idleLoadMax = 0.25

/** Nearest rank: the smallest value that at least `share` of all values don't exceed. NaN when there are none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export type Aim = { readonly least: number } | { readonly below: number }

/** One measured thing. `runs` has one figure per run; what is reported is their median. */
export type Measure = {
  readonly what: string
  readonly unit: string
  readonly runs: readonly number[]
  /** The 99th percentile of each run's latencies, in milliseconds. */
  readonly p99Ms?: readonly number[]
  readonly aim?: Aim
  /** Figure of the bare server in the same session; its ratio is reported. */
  readonly baseline?: number
}

export type Machine = {
  readonly processor: string
  readonly cores: number
  readonly memoryGib: number
  readonly system: string
  readonly versions: { readonly [name: string]: string }
  /** Cores that others kept busy just before, if that was measured, or the one-minute load. */
  readonly load: number
}

/** What a benchmark found, as it is written. A figure that there is none of (NaN) becomes null in JSON. */
export type Result = {
  readonly bench: string
  /** Its name in `plan.ts`, for who ran it from there. */
  readonly entry?: string
  readonly title: string
  /** When it ended, RFC 3339. */
  readonly date: string
  readonly machine: Machine
  readonly measures: readonly (Measure & { readonly median: number | null; readonly met?: boolean })[]
  readonly notes: readonly string[]
}

/** Says how many cores were busy just before: after another benchmark the one-minute load still tells of that. */
export const busyVariable = 'SOUK_BENCH_BUSY_CORES'
/** Names the file that results go to as well, for a program that runs benchmarks. */
export const resultsVariable = 'SOUK_BENCH_RESULTS'

function packageVersion(name: string): string {
  const path = new URL(`../node_modules/${name}/package.json`, import.meta.url)
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}

export function machine(): Machine {
  const packages = ['better-sqlite3', 'hono', 'libp2p', 'yjs']
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()}`,
    versions: {
      node: process.versions.node,
      ...Object.fromEntries(packages.map((name) => [name, packageVersion(name)])),
    },
    load: Number(process.env[busyVariable] ?? loadavg()[0]),
  }
}

/** undefined when there is no aim. */
export function isMet({ aim, runs }: Pick<Measure, 'aim' | 'runs'>): boolean | undefined {
  if (aim === undefined) return undefined
  const value = median(runs)
  return 'least' in aim ? value >= aim.least : value < aim.below
}

export function figure(value: number | null): string {
  if (value === null || Number.isNaN(value)) return '—'
  if (value === 0) return '0'
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2)
}

/** Machine and versions in a line, and a warning when somebody else was at work. */
export function machineLines({ processor, cores, memoryGib, system, versions, load }: Machine): string[] {
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  const line = `${processor}, ${cores} cores, ${memoryGib} GiB, ${system}; ${named.join(', ')}.`
  if (load / cores <= idleLoadMax) return [line]
  const warning = `**The machine was not idle when this began (load ${load.toFixed(1)}): don't quote these figures.**`
  return [line, '', warning]
}

export const columns = ['what', 'median', 'p99', 'runs', 'aim', 'met', 'to the bare server']

/** The cells of a row, in the order of `columns`. */
export function cellsOf(measure: Measure): string[] {
  const { what, unit, runs, p99Ms, aim, baseline } = measure
  const wanted = aim === undefined ? '' : 'least' in aim ? `≥ ${figure(aim.least)}` : `< ${figure(aim.below)}`
  const verdict = isMet(measure)
  return [
    what,
    `${figure(median(runs))} ${unit}`.trimEnd(),
    p99Ms === undefined ? '' : `${figure(median(p99Ms))} ms`,
    `${figure(Math.min(...runs))} – ${figure(Math.max(...runs))}`,
    wanted,
    verdict === undefined ? '' : verdict ? 'yes' : '**no**',
    baseline === undefined ? '' : `${(median(runs) / baseline).toFixed(2)} ×`,
  ]
}

export function rowOf(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [rowOf(head), `|${head.map(() => '---|').join('')}`, ...rows.map(rowOf)]
}

export class Report {
  readonly #name: string
  readonly #title: string
  readonly #machine = machine()
  readonly #measures: Measure[] = []
  readonly #notes: string[] = []

  /** `name` becomes the file `bench/results/NAME.json`. */
  constructor(name: string, title: string) {
    this.#name = name
    this.#title = title
  }

  add(measure: Measure): void {
    this.#measures.push(measure)
  }

  note(text: string): void {
    this.#notes.push(text)
  }

  markdown(): string {
    return [
      `## ${this.#title}`,
      '',
      ...machineLines(this.#machine),
      '',
      ...tableOf(columns, this.#measures.map(cellsOf)),
      ...(this.#notes.length === 0 ? [] : ['', ...this.#notes]),
      '',
    ].join('\n')
  }

  #result(): Result {
    const measures = this.#measures.map((measure) => {
      const met = isMet(measure)
      return { ...measure, median: median(measure.runs), ...(met === undefined ? {} : { met }) }
    })
    return {
      bench: this.#name,
      title: this.#title,
      date: new Date().toISOString(),
      machine: this.#machine,
      measures,
      notes: this.#notes,
    }
  }

  /** Prints the Markdown and writes the JSON; the process will exit with 1 when an aim was missed. */
  finish(): void {
    console.log(this.markdown())
    const result = this.#result()
    mkdirSync(resultsDirectory, { recursive: true })
    writeFileSync(join(resultsDirectory, `${this.#name}.json`), `${JSON.stringify(result, null, 2)}\n`)
    const shared = process.env[resultsVariable]
    if (shared !== undefined) appendFileSync(shared, `${JSON.stringify(result)}\n`)
    if (result.measures.some(({ met }) => met === false)) process.exitCode = 1
  }
}
