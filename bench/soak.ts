/**
 * A shop that is used for half an hour, and whether anything grows that should not: `npm run bench:soak`. On three nodes
 * shoppers read, add and order with pauses, and an administrator changes products. Every minute memory, file sizes and
 * latencies are written down (`bench/results/soak-NODES.jsonl`); in the end lines are fitted through what came after the
 * warm-up, in which caches fill and the log reaches the length from which on it is cut.
 * What orders and carts leave on the disk is theirs: those files must grow by as much for one order at the end as at the
 * beginning.
 * `--minutes N` (default 30), `--every N` seconds (default 60), `--nodes N` (default 3), `--shoppers N` at once
 * (default 12), `--seed S`.
 */
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Database from 'better-sqlite3'
import { prepareCluster } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { seededRandom } from '../test/sim/random.ts'
import { Report, quantile } from './kit.ts'
import { valueOf } from './metrics.ts'
import { pidsOf, residentMib } from './processes.ts'
import { trendOf } from './trend.ts'
import type { Point } from './trend.ts'
import { Visits } from './visits.ts'
import type { Kind } from './visits.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    every: { type: 'string', default: '60' },
    nodes: { type: 'string', default: '3' },
    shoppers: { type: 'string', default: '12' },
    seed: { type: 'string', default: '1' },
  },
})
const nodes = Array.from({ length: Number(values.nodes) }, (_, place) => `n${place + 1}`)
const durationMs = Number(values.minutes) * 60_000
const everyMs = Number(values.every) * 1_000
/** Load, but no overload: what is flat under a queue says nothing. */
const pauseMs = 50
/** A third of half an hour is enough for 20,000 log entries at 40 commands a second. */
const warmUpShare = 1 / 3
/** What counts as flat: less than the runtime's own ups and downs between two collections. */
const growthAim = { below: 10 } as const
/** The heap is seen at any moment between two collections, and latencies depend on what else the machine does. */
const noisyGrowthAim = { below: 25 } as const
/** A minute has some hundred requests of a kind; its 99th percentile is that of a handful. */
const tailGrowthAim = { below: 50 } as const
/** Visits differ: so much two halves of a run may, without anything that piles up. */
const ratioAim = { below: 1.15 } as const
const databases = ['shop.db', 'log.db', 'local.db'] as const
const walFiles = databases.map((name) => `${name}-wal`)
/** Grow with orders, products and shoppers; all others have a bound. */
const growing: readonly string[] = ['shop.db', 'local.db']
const kinds: readonly Kind[] = ['read', 'addition', 'order', 'price change']

type NodeSample = {
  readonly node: string
  readonly residentMib: number
  readonly heapMib: number
  readonly orders: number
  readonly sizesMib: { readonly [file: string]: number }
}
type Latency = { readonly kind: Kind; readonly count: number; readonly p50Ms: number; readonly p99Ms: number }
type Moment = {
  readonly minutes: number
  readonly nodes: readonly NodeSample[]
  readonly latencies: readonly Latency[]
}

/** With the pages that are still in the WAL: the file itself grows in steps, at checkpoints. */
function databaseMib(path: string): number {
  const database = new Database(path, { readonly: true })
  try {
    const pages = Number(database.pragma('page_count', { simple: true }))
    return (pages * Number(database.pragma('page_size', { simple: true }))) / 2 ** 20
  } finally {
    database.close()
  }
}

async function sampleOf(cluster: TestCluster, node: string, pid: number): Promise<NodeSample> {
  const base = cluster.url(node)
  const pathOf = (file: string): string => join(cluster.directory, node, file)
  const sizes = [
    ...databases.map((file) => [file, databaseMib(pathOf(file))] as const),
    ...walFiles.map((file) => [file, statSync(pathOf(file)).size / 2 ** 20] as const),
  ]
  return {
    node,
    residentMib: residentMib(pid),
    heapMib: (await valueOf(base, 'nodejs_heap_size_used_bytes')) / 2 ** 20,
    orders: await valueOf(base, 'souk_orders_placed_total'),
    sizesMib: Object.fromEntries(sizes),
  }
}

/** Takes what was asked since the last time; the list must not grow for half an hour either. */
function latenciesOf(visits: Visits, outcomes: Map<string, number>): Latency[] {
  const samples = visits.samples.splice(0)
  for (const { kind, outcome } of samples) {
    const name = `${kind}: ${outcome}`
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1)
  }
  return kinds.map((kind) => {
    const tookMs = samples.filter((sample) => sample.kind === kind).map((sample) => sample.tookMs)
    return { kind, count: tookMs.length, p50Ms: quantile(tookMs, 0.5), p99Ms: quantile(tookMs, 0.99) }
  })
}

async function watch(cluster: TestCluster, visits: Visits, outcomes: Map<string, number>): Promise<Moment[]> {
  const pids = await pidsOf(cluster)
  const moments: Moment[] = []
  const startedMs = performance.now()
  for (let dueMs = startedMs + everyMs; dueMs <= startedMs + durationMs; dueMs += everyMs) {
    await sleep(Math.max(0, dueMs - performance.now()))
    const moment = {
      minutes: (performance.now() - startedMs) / 60_000,
      nodes: await Promise.all([...pids].map(([node, pid]) => sampleOf(cluster, node, pid))),
      latencies: latenciesOf(visits, outcomes),
    }
    moments.push(moment)
    const [first] = moment.nodes
    console.error(
      `${moment.minutes.toFixed(1)} min: ${first?.orders} orders, ${first?.residentMib.toFixed(0)} MiB at ${first?.node}`,
    )
  }
  return moments
}

function pointsAt(
  moments: readonly Moment[],
  node: string,
  y: (sample: NodeSample) => number,
  x?: (sample: NodeSample) => number,
): Point[] {
  return moments.flatMap((moment) => {
    const sample = moment.nodes.find((one) => one.node === node)
    if (sample === undefined) return []
    return [{ x: x === undefined ? moment.minutes / 60 : x(sample), y: y(sample) }]
  })
}

/** The line of each node: how much is there, how fast it grows, and whether that is flat. */
function addGrowth(
  report: Report,
  moments: readonly Moment[],
  what: string,
  y: (sample: NodeSample) => number,
  aim: { readonly below: number },
): void {
  const trends = nodes.map((node) => trendOf(pointsAt(moments, node, y)))
  report.add({ what: `${what}, mean`, unit: 'MiB', runs: trends.map(({ mean }) => mean) })
  report.add({ what: `${what}: growth`, unit: 'MiB an hour', runs: trends.map(({ slope }) => slope) })
  const runs = [Math.max(...trends.map(({ growthPercent }) => growthPercent))]
  report.add({ what: `${what}: growth in this time, at the most`, unit: '%', runs, aim })
}

/** Bytes for an order (with the carts, sessions and products that were changed meanwhile), and whether they become more. */
function addBytesPerOrder(report: Report, moments: readonly Moment[], file: string): void {
  const bytesIn = (part: readonly Moment[], node: string): number =>
    trendOf(
      pointsAt(
        part,
        node,
        ({ sizesMib }) => (sizesMib[file] ?? 0) * 2 ** 20,
        ({ orders }) => orders,
      ),
    ).slope
  const middle = Math.floor(moments.length / 2)
  const runs = nodes.map((node) => bytesIn(moments, node))
  report.add({ what: `${file}: growth with each order`, unit: 'bytes', runs })
  const ratios = nodes.map(
    (node) => bytesIn(moments.slice(middle), node) / bytesIn(moments.slice(0, middle + 1), node),
  )
  const what = `${file}: growth with each order, second half against the first`
  report.add({ what, unit: 'times', runs: [Math.max(...ratios)], aim: ratioAim })
}

function addLatencies(report: Report, moments: readonly Moment[]): void {
  for (const kind of kinds) {
    const of = moments.flatMap(({ minutes, latencies }) =>
      latencies
        .filter((latency) => latency.kind === kind && latency.count > 0)
        .map((latency) => ({ x: minutes / 60, latency })),
    )
    const [p50Ms, p99Ms] = [of.map(({ latency }) => latency.p50Ms), of.map(({ latency }) => latency.p99Ms)]
    report.add({ what: `${kind}, each minute's median`, unit: 'ms', runs: p50Ms, p99Ms })
    const growth = (y: (latency: Latency) => number): number[] => [
      trendOf(of.map(({ x, latency }) => ({ x, y: y(latency) }))).growthPercent,
    ]
    const median = growth((latency) => latency.p50Ms)
    report.add({ what: `${kind}, median: growth in this time`, unit: '%', runs: median, aim: noisyGrowthAim })
    const most = growth((latency) => latency.p99Ms)
    report.add({ what: `${kind}, p99: growth in this time`, unit: '%', runs: most, aim: tailGrowthAim })
  }
}

function record(moments: readonly Moment[]): void {
  const directory = fileURLToPath(new URL('results', import.meta.url))
  mkdirSync(directory, { recursive: true })
  const lines = moments.map((moment) => `${JSON.stringify(moment)}\n`)
  writeFileSync(join(directory, `soak-${nodes.length}.jsonl`), lines.join(''))
}

const { cluster, close } = await prepareCluster({ sample: true })
try {
  await cluster.verb('up', values.nodes)
  const report = new Report('soak', `${values.minutes} minutes of a shop on ${values.nodes} nodes`)
  const random = seededRandom(Number(values.seed))
  const visits = new Visits({ cluster, nodes, durationMs, pick: (from) => random.pick(from), pauseMs })
  const outcomes = new Map<string, number>()
  await visits.begin()
  const [moments] = await Promise.all([
    watch(cluster, visits, outcomes),
    visits.changeProducts(),
    ...Array.from({ length: Number(values.shoppers) }, () => visits.shop()),
  ])
  record(moments)
  const rest = moments.slice(Math.floor(moments.length * warmUpShare))
  addGrowth(report, rest, 'resident memory', (sample) => sample.residentMib, growthAim)
  addGrowth(report, rest, 'heap in use', (sample) => sample.heapMib, noisyGrowthAim)
  for (const file of [...databases, ...walFiles].filter((name) => !growing.includes(name)))
    addGrowth(report, rest, file, ({ sizesMib }) => sizesMib[file] ?? 0, growthAim)
  for (const file of growing) addBytesPerOrder(report, rest, file)
  addLatencies(report, rest)
  const counts = [...outcomes].map(([outcome, count]) => `${outcome} ${count}`)
  report.note(
    `${values.shoppers} shoppers at once. Runs are the nodes, or the minutes of a latency, after the first third of the time.`,
  )
  report.note(`Answers: ${counts.join(', ')}.`)
  report.finish()
} finally {
  await close(false)
}
