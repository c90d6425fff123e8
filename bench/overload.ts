/**
 * What a node does when it is asked for several times what it can do: `npm run bench:overload`. First, what it can: more
 * and more connections with one request at a time each (a closed loop) on a mix of reads and additions to carts. Then so
 * many times that, whether it answers or not (an open loop): it must still do 80 % of its best, and answer the rest with
 * 503 and Retry-After; health and the view of the cluster are answered whatever happens. One node, which is all that a
 * refusal concerns; the clients take the other core.
 * `--times N` (default 5), `--seconds N` for each run (default 10), `--runs N` (default 5), `--connections N,…`,
 * `--shoppers N` (default 2,000), `--profile DIR` writes a CPU profile of the node.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { prepareCluster } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { Shopper } from '../test/support/shopper.ts'
import { get, getJson } from './get.ts'
import { Report, median, quantile } from './kit.ts'
import { closedLoop, openLoop } from './loops.ts'
import type { LoopResult, Request } from './loops.ts'
import type { Answer, PostConnection } from './posts.ts'

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '10' },
    runs: { type: 'string', default: '5' },
    connections: { type: 'string', default: '8,16,32,64,128,256' },
    shoppers: { type: 'string', default: '2000' },
    profile: { type: 'string' },
  },
})
const times = Number(values.times)
const durationMs = Number(values.seconds) * 1_000
/** Shoppers made at one time. */
const arrivalsAtOnce = 16
/** A share of its best work that a node must still do. */
const workShareLeast = 0.8
/** Clients on a busy machine may not manage to ask for all that they should. */
const offeredShareLeast = 0.9
/** A pause of the machine may cost a few requests. */
const refusedShareMax = 0.01
const watchEveryMs = 50
/** Who waits longer for what is done has gone, and it was done in vain. */
const waitAim = { below: 1_000 } as const
const healthAim = { below: 1_000 } as const

/** Searches are for what is cheaper than this, which is everything, and no two are the same. */
const priceFar = 10_000_000

type Kind = 'page' | 'search' | 'addition'
/** Pages that many ask for cost little more than a refusal; what takes a node's time is told by itself. */
const kinds: readonly Kind[] = ['page', 'search', 'addition']

/** What shoppers ask for: 3 of 8 a page that many ask for, 3 of 8 a search of their own, 2 of 8 put something into the cart. */
class Mix {
  readonly #authorizations: readonly string[]
  readonly #handles: readonly string[]
  readonly #skus: readonly string[]
  #number = 0

  constructor(authorizations: readonly string[], handles: readonly string[], skus: readonly string[]) {
    this.#authorizations = authorizations
    this.#handles = handles
    this.#skus = skus
  }

  /** The kind of the next request, and the request. */
  next(): { kind: Kind; send: (connection: PostConnection) => Promise<Answer> } {
    this.#number += 1
    const number = this.#number
    if (number % 4 === 0) return { kind: 'addition', send: (connection) => this.#add(connection, number) }
    if (number % 8 < 4) {
      const path = `/api/products/${this.#handles[number % this.#handles.length]}`
      return { kind: 'page', send: (connection) => connection.get(path) }
    }
    const path = `/api/products?limit=24&q=${'aeiot'[number % 5]}&maxPrice=${priceFar + number}`
    return { kind: 'search', send: (connection) => connection.get(path) }
  }

  #add(connection: PostConnection, number: number): Promise<Answer> {
    const authorization = this.#authorizations[number % this.#authorizations.length] as string
    return connection.post({
      path: '/api/cart/items',
      headers: { authorization, 'idempotency-key': `overload-${number}` },
      body: JSON.stringify({ sku: this.#skus[number % this.#skus.length], quantity: 1 }),
    })
  }
}

async function mixFor(cluster: TestCluster): Promise<Mix> {
  const { items } = await getJson<{ items: { handle: string; variants: { sku: string | null }[] }[] }>(
    cluster.url('n1', '/api/products?limit=200'),
  )
  const skus = items.flatMap(({ variants }) => variants.flatMap(({ sku }) => (sku === null ? [] : [sku])))
  const authorizations: string[] = []
  let left = Number(values.shoppers)
  const arrive = async (): Promise<void> => {
    for (; left > 0;) {
      left -= 1
      authorizations.push(`Bearer ${(await new Shopper([cluster.url('n1')]).becomeGuest()).token}`)
    }
  }
  await Promise.all(Array.from({ length: arrivalsAtOnce }, arrive))
  return new Mix(
    authorizations,
    items.map(({ handle }) => handle),
    skus,
  )
}

const served = ({ samples }: LoopResult, kind?: string): number =>
  samples.filter((sample) => sample.status === 200 && (kind === undefined || sample.kind === kind)).length

const perSecond = (result: LoopResult, kind?: string): number =>
  served(result, kind) / (result.tookMs / 1_000)

function latencyMs({ samples }: LoopResult, share: number): number {
  return quantile(
    samples.filter(({ status }) => status === 200).map(({ tookMs }) => tookMs),
    share,
  )
}

const medianPerSecond = (results: readonly LoopResult[], kind?: string): number =>
  median(results.map((result) => perSecond(result, kind)))

/** Of each kind by itself, or a node could do nothing but what is cheap; `best` gives the aims. */
function addKinds(report: Report, results: readonly LoopResult[], best?: readonly LoopResult[]): void {
  for (const kind of kinds) {
    const runs = results.map((result) => perSecond(result, kind))
    const aim = best === undefined ? {} : { aim: { least: workShareLeast * medianPerSecond(best, kind) } }
    report.add({ what: `of it: ${kind}`, unit: 'a second', runs, ...aim })
  }
}

function addBest(report: Report, best: readonly LoopResult[], connections: number): void {
  const p99Ms = best.map((result) => latencyMs(result, 0.99))
  const runs = best.map((result) => perSecond(result))
  report.add({ what: `best work, at ${connections} connections`, unit: 'a second', runs, p99Ms })
  addKinds(report, best)
}

function addOverload(report: Report, loaded: readonly LoopResult[], best: readonly LoopResult[]): void {
  const bestPerSecond = medianPerSecond(best)
  const offered = loaded.map(({ samples, tookMs }) => samples.length / (tookMs / 1_000))
  const aim = { least: offeredShareLeast * times * bestPerSecond }
  report.add({ what: `asked for, at ${times} times that`, unit: 'a second', runs: offered, aim })
  const p99Ms = loaded.map((result) => latencyMs(result, 0.99))
  report.add({
    what: 'work done meanwhile',
    unit: 'a second',
    runs: loaded.map((result) => perSecond(result)),
    p99Ms,
    aim: { least: workShareLeast * bestPerSecond },
  })
  addKinds(report, loaded, best)
  report.add({ what: 'wait for what is done, 99th percentile', unit: 'ms', runs: p99Ms, aim: waitAim })
  const refused = loaded.map(({ samples }) => samples.filter(({ isRefusal }) => isRefusal))
  report.add({
    what: 'refused: 503 with Retry-After',
    unit: 'a second',
    runs: refused.map((samples, run) => samples.length / ((loaded[run] as LoopResult).tookMs / 1_000)),
    p99Ms: refused.map((samples) =>
      quantile(
        samples.map(({ tookMs }) => tookMs),
        0.99,
      ),
    ),
  })
  const others = loaded.map(
    ({ samples }) => samples.filter(({ status, isRefusal }) => status !== 200 && !isRefusal).length,
  )
  report.add({ what: 'answered in another way, or not at all', unit: '', runs: others, aim: { below: 1 } })
}

/** Asks for health and the cluster, one after the other, until it is stopped. */
function watch(cluster: TestCluster): () => Promise<number[]> {
  const tookMs: number[] = []
  let isOver = false
  const run = (async () => {
    for (let number = 0; !isOver; number += 1) {
      const startedMs = performance.now()
      const path = number % 2 === 0 ? '/healthz' : '/api/cluster'
      // A new connection each time, as those come who look after a node.
      const response = await get(cluster.url('n1', path), { connection: 'close' })
      await response.arrayBuffer()
      if (response.status !== 200) throw new Error(`${path} answered ${response.status}`)
      tookMs.push(performance.now() - startedMs)
      await sleep(watchEveryMs)
    }
  })()
  return async () => {
    isOver = true
    await run
    return tookMs
  }
}

/** The number of connections at which most is done and as good as nothing refused: that is what the node can take. */
async function bestConnections(base: string, next: () => Request, report: Report): Promise<number> {
  const tried: { connections: number; perSecond: number; refusedShare: number }[] = []
  // The first of them warms up.
  const steps = values.connections.split(',').map(Number)
  for (const connections of [steps[0] as number, ...steps]) {
    const result = await closedLoop([base], { connections, durationMs }, next)
    const refused = result.samples.filter(({ isRefusal }) => isRefusal).length
    const refusedShare = refused / result.samples.length
    tried.push({ connections, perSecond: perSecond(result), refusedShare })
  }
  tried.shift()
  const told = tried.map(
    (one) =>
      `${one.connections} connections ${Math.round(one.perSecond)} a second (${(100 * one.refusedShare).toFixed(1)} % refused)`,
  )
  report.note(`Tried: ${told.join(', ')}.`)
  const able = tried.filter(({ refusedShare }) => refusedShare <= refusedShareMax)
  const best = able.toSorted((one, other) => other.perSecond - one.perSecond)[0]
  if (best === undefined) throw new Error(`the node refuses at ${steps.join(', ')} connections: try fewer`)
  return best.connections
}

async function bench(cluster: TestCluster, report: Report): Promise<void> {
  const mix = await mixFor(cluster)
  const base = cluster.url('n1')
  const next = () => mix.next()
  const connections = await bestConnections(base, next, report)
  const best: LoopResult[] = []
  const loaded: LoopResult[] = []
  const healthMs: number[][] = []
  for (let run = 0; run < Number(values.runs); run += 1) {
    best.push(await closedLoop([base], { connections, durationMs }, next))
    const bestPerSecond = medianPerSecond(best)
    const stop = watch(cluster)
    loaded.push(await openLoop(base, { perSecond: times * bestPerSecond, durationMs }, next))
    healthMs.push(await stop())
  }
  addBest(report, best, connections)
  addOverload(report, loaded, best)
  report.add({
    what: 'health and the view of the cluster meanwhile, longest wait',
    unit: 'ms',
    runs: healthMs.map((one) => Math.max(...one)),
    p99Ms: healthMs.map((one) => quantile(one, 0.99)),
    aim: healthAim,
  })
}

const profiled =
  values.profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${values.profile}` }
const { cluster, close } = await prepareCluster({ sample: true, env: profiled })
try {
  await cluster.verb('up', '1')
  const report = new Report('overload', `One node, asked for ${times} times what it can do`)
  await bench(cluster, report)
  // A clean stop, which writes the profile.
  if (values.profile !== undefined) await cluster.verb('down')
  report.finish()
} finally {
  await close(false)
}
