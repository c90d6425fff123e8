/**
 * What more nodes bring and cost: `npm run bench:scaling`. For each size of the cluster, all on this machine: from the
 * launcher's start until all nodes are ready and settled with the sample catalog; processor time and memory of a node that
 * does nothing (the idle cost of a cluster); from the acknowledgement of a change until all nodes show it; bytes of gossip
 * for a change; and reads a second in total, by as many connections whatever the size. The nodes share the processor with
 * each other and with the clients: from some nodes on reads tell of the machine, and the others of what a node costs it.
 * `--nodes N,…` (default `1,3,5,10,25`), `--runs N`, each with a new cluster (default 3), `--seconds N` for idling and for
 * reading (default 10), `--changes N` (default 100).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { prepareCluster, until } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { Changes } from './changes.ts'
import { get, getJson } from './get.ts'
import { Report, median, quantile } from './kit.ts'
import { closedLoop } from './loops.ts'
import type { Request } from './loops.ts'
import { valueOf } from './metrics.ts'
import { pidsOf, processorMs, residentMib } from './processes.ts'

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '1,3,5,10,25' },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    changes: { type: 'string', default: '100' },
  },
})
const durationMs = Number(values.seconds) * 1_000
const connections = 50
/** After a start connections, caches and the compiler come to rest. */
const restMs = 10_000
const settledWithinMs = 120_000
const changePauseMs = 50
const warmUpChanges = 10

type Idle = {
  readonly processorPercent: number
  readonly residentMib: number
  readonly gossipPerSecond: number
}
type Round = {
  readonly startS: number
  readonly idle: Idle
  readonly changesMs: readonly number[]
  readonly gossipPerChange: number
  readonly reads: { readonly perSecond: number; readonly p99Ms: number }
}

async function areSettled(cluster: TestCluster, nodes: readonly string[]): Promise<boolean> {
  const answers = nodes.map(async (node) => {
    const ready = await get(cluster.url(node, '/readyz'))
    await ready.arrayBuffer()
    return ready.ok && (await getJson<{ settled: boolean }>(cluster.url(node, '/api/cluster'))).settled
  })
  return (await Promise.all(answers)).every((settled) => settled)
}

/** Sent by all nodes since they started, with what they pass on. */
async function gossipBytes(cluster: TestCluster, nodes: readonly string[]): Promise<number> {
  const sent = nodes.map((node) => valueOf(cluster.url(node), 'souk_gossip_sent_bytes_total'))
  return (await Promise.all(sent)).reduce((sum, one) => sum + one, 0)
}

async function idling(cluster: TestCluster, pids: ReadonlyMap<string, number>): Promise<Idle> {
  const nodes = [...pids.keys()]
  const used = (): number => [...pids.values()].reduce((sum, pid) => sum + processorMs(pid), 0)
  const beforeBytes = await gossipBytes(cluster, nodes)
  const startedMs = performance.now()
  const beforeMs = used()
  await sleep(durationMs)
  const usedMs = used() - beforeMs
  const tookMs = performance.now() - startedMs
  const resident = [...pids.values()].map(residentMib)
  return {
    processorPercent: (100 * usedMs) / tookMs / nodes.length,
    residentMib: resident.reduce((sum, one) => sum + one, 0) / nodes.length,
    gossipPerSecond: ((await gossipBytes(cluster, nodes)) - beforeBytes) / (tookMs / 1_000),
  }
}

/** Milliseconds of each, and what one adds to the gossip of an idle cluster. */
async function changing(
  cluster: TestCluster,
  nodes: readonly string[],
  idle: Idle,
): Promise<Pick<Round, 'changesMs' | 'gossipPerChange'>> {
  const { primary } = await cluster.status()
  if (primary === null) throw new Error('there is no primary')
  const changes = new Changes(
    cluster,
    primary,
    nodes.filter((node) => node !== primary),
  )
  const one = async (): Promise<number> => {
    const tookMs = await changes.once()
    await sleep(changePauseMs)
    return tookMs
  }
  for (let left = warmUpChanges; left > 0; left -= 1) await one()
  const changesMs: number[] = []
  const beforeBytes = await gossipBytes(cluster, nodes)
  const startedMs = performance.now()
  while (changesMs.length < Number(values.changes)) changesMs.push(await one())
  const tookS = (performance.now() - startedMs) / 1_000
  changes.close()
  const bytes = (await gossipBytes(cluster, nodes)) - beforeBytes - tookS * idle.gossipPerSecond
  return { changesMs, gossipPerChange: bytes / changesMs.length }
}

/** Products and lists by category in turn, as many shoppers ask for them. */
async function readsOf(cluster: TestCluster): Promise<() => Request> {
  const { items } = await getJson<{ items: { handle: string }[] }>(
    cluster.url('n1', '/api/products?limit=200'),
  )
  const categories = await getJson<{ items: { name: string }[] }>(cluster.url('n1', '/api/categories'))
  const names = categories.items.map(({ name }) => name)
  const paths = items.flatMap(({ handle }, place) => {
    const category = encodeURIComponent(names[place % names.length] ?? '')
    return [`/api/products/${handle}`, `/api/products?limit=24&category=${category}`]
  })
  let number = 0
  return () => {
    number += 1
    const path = paths[number % paths.length] as string
    return { kind: 'read', send: (connection) => connection.get(path) }
  }
}

async function reading(cluster: TestCluster, nodes: readonly string[]): Promise<Round['reads']> {
  const next = await readsOf(cluster)
  const bases = nodes.map((node) => cluster.url(node))
  await closedLoop(bases, { connections, durationMs: durationMs / 5 }, next)
  const { samples, tookMs } = await closedLoop(bases, { connections, durationMs }, next)
  const failed = samples.find(({ status }) => status !== 200)
  if (failed !== undefined) throw new Error(`a read was answered ${failed.status}`)
  const p99Ms = quantile(
    samples.map((sample) => sample.tookMs),
    0.99,
  )
  return { perSecond: samples.length / (tookMs / 1_000), p99Ms }
}

async function round(count: number): Promise<Round> {
  const { cluster, close } = await prepareCluster({ sample: true })
  try {
    const startedMs = performance.now()
    await cluster.verb('up', String(count))
    const pids = await pidsOf(cluster)
    const nodes = [...pids.keys()]
    await until('all nodes are settled', () => areSettled(cluster, nodes), settledWithinMs)
    const startS = (performance.now() - startedMs) / 1_000
    await sleep(restMs)
    const idle = await idling(cluster, pids)
    const changed = await changing(cluster, nodes, idle)
    return { startS, idle, ...changed, reads: await reading(cluster, nodes) }
  } finally {
    await close(false)
  }
}

function add(report: Report, count: number, rounds: readonly Round[]): void {
  const of = count === 1 ? '1 node' : `${count} nodes`
  const figures = (what: string, unit: string, runs: readonly number[], p99Ms?: readonly number[]): void =>
    report.add({ what: `${of}: ${what}`, unit, runs, ...(p99Ms === undefined ? {} : { p99Ms }) })
  figures(
    'from nothing to ready and settled',
    's',
    rounds.map(({ startS }) => startS),
  )
  figures(
    'processor of an idle node',
    '% of a core',
    rounds.map(({ idle }) => idle.processorPercent),
  )
  figures(
    'resident memory of an idle node',
    'MiB',
    rounds.map(({ idle }) => idle.residentMib),
  )
  figures(
    'gossip of an idle cluster',
    'kB a second',
    rounds.map(({ idle }) => idle.gossipPerSecond / 1_000),
  )
  if (count > 1) {
    figures(
      'a change, acknowledged, until all show it',
      'ms',
      rounds.map(({ changesMs }) => median(changesMs)),
      rounds.map(({ changesMs }) => quantile(changesMs, 0.99)),
    )
    figures(
      'gossip for a change',
      'kB',
      rounds.map(({ gossipPerChange }) => gossipPerChange / 1_000),
    )
  }
  figures(
    'reads in total',
    'a second',
    rounds.map(({ reads }) => reads.perSecond),
    rounds.map(({ reads }) => reads.p99Ms),
  )
}

const report = new Report('scaling', 'More nodes: what they bring and cost')
report.note(
  `${connections} connections for the reads, ${values.changes} changes one after the other. Gossip is what all nodes send, repetitions included; that of a change is beyond what the idle cluster sends.`,
)
for (const count of values.nodes.split(',').map(Number)) {
  const rounds: Round[] = []
  for (let run = 0; run < Number(values.runs); run += 1) rounds.push(await round(count))
  add(report, count, rounds)
}
report.finish()
