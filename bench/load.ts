/**
 * Ten minutes of all that the cluster can take, and whether anybody lost the lease over it: `npm run bench:load`. Shoppers
 * browse, fill carts and order through random nodes without a pause, an administrator changes prices, and each node is
 * asked for its term every second. The clients share the processor with the nodes, which makes it harder.
 * `--nodes N` (default 5), `--minutes N` (default 10), `--shoppers N` at once (default 32), `--seed S`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { prepareCluster } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { seededRandom } from '../test/sim/random.ts'
import { Report, quantile } from './kit.ts'
import { Visits } from './visits.ts'

/** An election moves the term for good, so that none is missed between two looks. */
const lookEveryMs = 1_000
const lookTimeoutMs = 10_000

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

/** How often the term rose until the load is over. */
async function elections(cluster: TestCluster, visits: Visits): Promise<number> {
  const first = await newestTerm(cluster)
  let newest = first
  while (!visits.isOver) {
    await sleep(lookEveryMs)
    newest = Math.max(newest, await newestTerm(cluster))
  }
  return newest - first
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
  const report = new Report('load', `Full load for ${values.minutes} minutes, ${values.nodes} nodes`)
  const visits = new Visits({ cluster, nodes, durationMs, pick: (from) => random.pick(from), pauseMs: 0 })
  await visits.begin()
  const [risen] = await Promise.all([
    elections(cluster, visits),
    visits.changeProducts(),
    ...Array.from({ length: Number(values.shoppers) }, () => visits.shop()),
  ])
  report.add({ what: 'elections', unit: '', runs: [risen], aim: { below: 1 } })
  for (const [kind, samples] of Map.groupBy(visits.samples, (sample) => sample.kind)) {
    const tookMs = samples.map((sample) => sample.tookMs)
    const p99Ms = [quantile(tookMs, 0.99)]
    report.add({ what: kind, unit: 'a second', runs: [(samples.length / durationMs) * 1_000], p99Ms })
  }
  for (const [outcome, samples] of Map.groupBy(visits.samples, ({ kind, outcome: of }) => `${kind}: ${of}`))
    report.note(`${outcome}: ${samples.length}.`)
  report.finish()
} finally {
  await close(false)
}
