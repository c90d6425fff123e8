/**
 * How long until a new or a wiped node has a large catalog and is ready, and how long event loops stand still for it:
 * `npm run bench:snapshot`. `--products N` (default 100,000), `--rounds N` (default 5).
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { prepareCluster, until } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { seedCatalog } from '../test/support/large-catalog.ts'
import { Report } from './kit.ts'

const { values } = parseArgs({
  options: {
    products: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '5' },
  },
})
const askEveryMs = 20
/** Connections, caches and voters come to rest between two rounds. */
const restMs = 2_000
/** Shoppers at the other nodes meanwhile: each asks for a list so often. */
const readEveryMs = 50

type View = {
  term: number
  catalog: { version: number; digest: string }
  members: { voter: boolean; node: string }[]
}

const loopDirectory = mkdtempSync(join(tmpdir(), 'souk-loop-'))
const monitor = new URL('loop-monitor.mjs', import.meta.url).href
const { cluster, close } = await prepareCluster({
  env: { NODE_OPTIONS: `--import=${monitor}`, SOUK_LOOP_DIRECTORY: loopDirectory },
})

async function viewAt(node: string): Promise<View | null> {
  const response = await fetch(cluster.url(node, '/api/cluster')).catch(() => null)
  return response?.ok === true ? ((await response.json()) as View) : null
}

/** The longest stall of each node since `fromMs`, by name. */
function stalls(fromMs: number): { [node: string]: number } {
  const entries = readdirSync(loopDirectory).map((node) => {
    const lines = readFileSync(join(loopDirectory, node), 'utf8').trim().split('\n')
    const since = lines
      .map((line) => line.split(' ').map(Number) as [number, number])
      .filter(([atMs]) => atMs >= fromMs)
    return [node, Math.max(0, ...since.map(([, maxMs]) => maxMs))] as const
  })
  return Object.fromEntries(entries)
}

/** Reads lists at a node until it is stopped; counts, and keeps the longest wait. */
function shopper(node: string): () => { reads: number; longestMs: number } {
  const seen = { reads: 0, longestMs: 0, ended: false }
  const run = async (): Promise<void> => {
    for (let number = 0; !seen.ended; number += 1) {
      const startedMs = performance.now()
      const path = `/api/products?limit=24&category=Category%20${number % 50}`
      const response = await fetch(cluster.url(node, path))
      await response.arrayBuffer()
      seen.reads += 1
      seen.longestMs = Math.max(seen.longestMs, performance.now() - startedMs)
      await sleep(readEveryMs)
    }
  }
  void run()
  return () => {
    seen.ended = true
    return { reads: seen.reads, longestMs: Math.round(seen.longestMs) }
  }
}

/** Runs the launcher's verb; resolves with the time until each of the nodes is ready and has the catalog. */
async function timeToReady(nodes: readonly string[], start: () => Promise<unknown>): Promise<number> {
  const wanted = (await viewAt('n1'))?.catalog
  const startedMs = performance.now()
  const started = start()
  for (const node of nodes) {
    for (;;) {
      const response = await fetch(cluster.url(node, '/readyz')).catch(() => null)
      await response?.arrayBuffer()
      if (response?.status === 200) {
        const own = (await viewAt(node))?.catalog
        if (own?.version === wanted?.version && own?.digest === wanted?.digest) break
      }
      await sleep(askEveryMs)
    }
  }
  const tookMs = performance.now() - startedMs
  await started
  return tookMs
}

type Round = {
  readonly readyS: number
  readonly longestStallMs: number
  readonly longestListMs: number
  readonly elections: number
}

async function round(
  nodes: readonly string[],
  readers: readonly string[],
  start: () => Promise<unknown>,
): Promise<Round> {
  await sleep(restMs)
  const before = await viewAt('n1')
  const shoppers = readers.map(shopper)
  const fromMs = Date.now()
  const tookMs = await timeToReady(nodes, start)
  await until(
    'three voters',
    async () => (await viewAt('n1'))?.members.filter(({ voter }) => voter).length === 3,
  )
  await sleep(restMs)
  const after = await viewAt('n1')
  return {
    readyS: tookMs / 1_000,
    longestStallMs: Math.max(...Object.values(stalls(fromMs))),
    longestListMs: Math.max(...shoppers.map((end) => end().longestMs)),
    elections: (after?.term ?? 0) - (before?.term ?? 0),
  }
}

function add(report: Report, what: string, rounds: readonly Round[]): void {
  report.add({ what: `${what}: ready after`, unit: 's', runs: rounds.map(({ readyS }) => readyS) })
  const stallsMs = rounds.map(({ longestStallMs }) => longestStallMs)
  report.add({ what: `${what}: longest stall of an event loop`, unit: 'ms', runs: stallsMs })
  const listsMs = rounds.map(({ longestListMs }) => longestListMs)
  report.add({ what: `${what}: longest wait for a list elsewhere`, unit: 'ms', runs: listsMs })
  const elections = rounds.map((one) => one.elections)
  report.add({ what: `${what}: elections`, unit: '', runs: elections, aim: { below: 1 } })
}

async function seeded(): Promise<void> {
  await cluster.verb('up', '1', '--no-sample')
  await cluster.verb('stop', 'n1')
  seedCatalog(join(cluster.directory, 'n1'), Number(values.products))
  await cluster.verb('start', 'n1')
}

async function wipe(node: string): Promise<() => Promise<unknown>> {
  await cluster.verb('wipe', node)
  return () => cluster.verb('start', node)
}

async function secondaryOf(of: TestCluster): Promise<string> {
  const { nodes, primary } = await of.status()
  const last = nodes.map(({ node }) => node).findLast((node) => node !== primary && node !== 'n1')
  if (last === undefined) throw new Error('there is no secondary')
  return last
}

try {
  const report = new Report('snapshot', `A catalog of ${values.products} products for a new or a wiped node`)
  await seeded()
  const two = await round(['n2', 'n3'], ['n1'], () => cluster.verb('up', '3'))
  add(report, 'two new nodes at once', [two])
  const fourth = await round(['n4'], ['n1', 'n2', 'n3'], () => cluster.verb('add'))
  add(report, 'a fourth node', [fourth])
  await cluster.verb('remove', 'n4')
  const wiped: Round[] = []
  for (let index = 0; index < Number(values.rounds); index += 1) {
    const node = await secondaryOf(cluster)
    const others = ['n1', 'n2', 'n3'].filter((other) => other !== node)
    wiped.push(await round([node], others, await wipe(node)))
  }
  add(report, 'a wiped voter', wiped)
  report.finish()
} finally {
  await close(false)
  rmSync(loopDirectory, { recursive: true, force: true })
}
