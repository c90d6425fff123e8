/**
 * Ten minutes of all that the cluster can take, and whether anybody lost the lease over it: `npm run bench:load`. Shoppers
 * browse, fill carts and order through random nodes without a pause, an administrator changes prices, and each node is
 * asked for its term every second. The clients share the processor with the nodes, which makes it harder.
 * `--nodes N` (default 5), `--minutes N` (default 10), `--shoppers N` at once (default 32), `--seed S`.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { prepareCluster } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { Shopper } from '../test/support/shopper.ts'
import { seededRandom } from '../test/sim/random.ts'
import { Report, quantile } from './kit.ts'

/** An election moves the term for good, so that none is missed between two looks. */
const lookEveryMs = 1_000
const lookTimeoutMs = 10_000
const changeEveryMs = 100
const pagesAVisit = 3
const additionsAVisit = 2

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '5' },
    minutes: { type: 'string', default: '10' },
    shoppers: { type: 'string', default: '32' },
    seed: { type: 'string', default: '1' },
  },
})
const nodes = Array.from({ length: Number(values.nodes) }, (_, place) => `n${place + 1}`)
const durationMs = Number(values.minutes) * 60_000
const random = seededRandom(Number(values.seed))

type Kind = 'read' | 'addition' | 'order' | 'price change'
type Sample = { readonly kind: Kind; readonly tookMs: number; readonly outcome: string }

class Load {
  readonly samples: Sample[] = []
  readonly #cluster: TestCluster
  readonly #skus: readonly string[]
  readonly #endsAtMs = performance.now() + durationMs

  constructor(cluster: TestCluster, skus: readonly string[]) {
    this.#cluster = cluster
    this.#skus = skus
  }

  get isOver(): boolean {
    return performance.now() >= this.#endsAtMs
  }

  async #timed<T extends { readonly status: number }>(kind: Kind, ask: Promise<T>): Promise<T | null> {
    const startedMs = performance.now()
    try {
      const answer = await ask
      this.samples.push({ kind, tookMs: performance.now() - startedMs, outcome: String(answer.status) })
      return answer
    } catch (error) {
      const outcome = error instanceof Error ? error.name : String(error)
      this.samples.push({ kind, tookMs: performance.now() - startedMs, outcome })
      return null
    }
  }

  #anyUrl(): string {
    return this.#cluster.url(random.pick(nodes))
  }

  /** One visit after the other, each of a new guest. */
  async shop(): Promise<void> {
    while (!this.isOver) {
      const shopper = await new Shopper(nodes.map((node) => this.#cluster.url(node))).becomeGuest()
      for (let page = 0; page < pagesAVisit; page += 1)
        await this.#timed(
          'read',
          shopper.at(this.#anyUrl(), `/api/products?limit=24&q=${random.pick(['a', 'co', 'ta', 'br'])}`),
        )
      for (let addition = 0; addition < additionsAVisit; addition += 1) {
        const json = { sku: random.pick(this.#skus), quantity: 1 }
        const ask = { method: 'POST', json, key: randomUUID() }
        await this.#timed('addition', shopper.at(this.#anyUrl(), '/api/cart/items', ask))
      }
      const ask = { method: 'POST', json: { hash: '*' }, key: randomUUID() }
      await this.#timed('order', shopper.at(this.#anyUrl(), '/api/orders', ask))
    }
  }

  async changePrices(handles: readonly string[]): Promise<void> {
    for (let number = 0; !this.isOver; number += 1) {
      const ask = fetch(`${this.#anyUrl()}/api/admin/products/${random.pick(handles)}`, {
        method: 'PATCH',
        headers: { ...this.#cluster.adminHeaders(), 'content-type': 'application/merge-patch+json' },
        body: JSON.stringify({ vendor: `vendor ${number}` }),
        signal: AbortSignal.timeout(lookTimeoutMs),
      })
      await (await this.#timed('price change', ask))?.arrayBuffer()
      await sleep(changeEveryMs)
    }
  }

  /** How often the term rose. */
  async elections(): Promise<number> {
    const first = await newestTerm(this.#cluster)
    let newest = first
    while (!this.isOver) {
      await sleep(lookEveryMs)
      newest = Math.max(newest, await newestTerm(this.#cluster))
    }
    return newest - first
  }
}

async function newestTerm(cluster: TestCluster): Promise<number> {
  const terms = await Promise.all(
    nodes.map(async (node) => {
      const response = await fetch(cluster.url(node, '/api/cluster'), {
        signal: AbortSignal.timeout(lookTimeoutMs),
      })
      return ((await response.json()) as { term: number }).term
    }),
  )
  return Math.max(...terms)
}

const { cluster, close } = await prepareCluster({ sample: true })
try {
  await cluster.verb('up', values.nodes)
  const response = await fetch(cluster.url('n1', '/api/products?limit=48'))
  const { items } = (await response.json()) as {
    items: { handle: string; variants: { sku: string | null }[] }[]
  }
  const skus = items.flatMap(({ variants }) => variants.flatMap(({ sku }) => (sku === null ? [] : [sku])))
  const report = new Report('load', `Full load for ${values.minutes} minutes, ${values.nodes} nodes`)
  const load = new Load(cluster, skus)
  const [elections] = await Promise.all([
    load.elections(),
    load.changePrices(items.map(({ handle }) => handle)),
    ...Array.from({ length: Number(values.shoppers) }, () => load.shop()),
  ])
  report.add({ what: 'elections', unit: '', runs: [elections], aim: { below: 1 } })
  for (const [kind, samples] of Map.groupBy(load.samples, (sample) => sample.kind)) {
    const tookMs = samples.map((sample) => sample.tookMs)
    const p99Ms = [quantile(tookMs, 0.99)]
    report.add({ what: kind, unit: 'a second', runs: [(samples.length / durationMs) * 1_000], p99Ms })
  }
  for (const [outcome, samples] of Map.groupBy(load.samples, ({ kind, outcome: of }) => `${kind}: ${of}`))
    report.note(`${outcome}: ${samples.length}.`)
  report.finish()
} finally {
  await close(false)
}
