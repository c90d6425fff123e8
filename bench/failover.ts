/**
 * From the death of the primary to the first order acknowledged through another node: `npm run bench:failover`.
 * A client asks every 20 ms with a limit of 500 ms. `--rounds N` (default 10), `--signal SIGKILL|SIGSTOP`.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { prepareCluster } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { Shopper } from '../test/support/shopper.ts'

const askEveryMs = 20
const askTimeoutMs = 500
const giveUpMs = 20_000

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    signal: { type: 'string', default: 'SIGKILL' },
    nodes: { type: 'string', default: '3' },
  },
})

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** Tries to place the order at one node until it answers 201; resolves with the time that took. */
async function timeToOrder(shopper: Shopper, url: string): Promise<number> {
  const startedMs = performance.now()
  const key = randomUUID()
  while (performance.now() - startedMs < giveUpMs) {
    const answer = await Promise.race([
      shopper.at(url, '/api/orders', { method: 'POST', json: { hash: '*' }, key }).catch(() => null),
      sleep(askTimeoutMs, null),
    ])
    if (answer?.status === 201) return performance.now() - startedMs
    await sleep(askEveryMs)
  }
  throw new Error(`no order within ${giveUpMs} ms`)
}

/** A shopper with something in the cart, whose home is not the primary: only the failover is measured. */
async function shopperAwayFrom(cluster: TestCluster, primary: string, sku: string): Promise<Shopper> {
  const { nodes } = await cluster.status()
  const urls = nodes.filter(({ node }) => node !== primary).map(({ url }) => url)
  for (;;) {
    const shopper = await new Shopper(urls).becomeGuest()
    if ((await shopper.cart()).home.node === primary) continue
    await shopper.add(sku, 1)
    return shopper
  }
}

async function round(cluster: TestCluster, sku: string): Promise<number> {
  const { primary } = await cluster.status()
  if (primary === null) throw new Error('there is no primary')
  const shopper = await shopperAwayFrom(cluster, primary, sku)
  const { pid } = await cluster.node(primary)
  process.kill(pid as number, values.signal as NodeJS.Signals)
  const tookMs = await timeToOrder(shopper, shopper.urls[0] as string)
  await cluster.verb(values.signal === 'SIGSTOP' ? 'resume' : 'start', primary)
  return tookMs
}

const { cluster, close } = await prepareCluster({ sample: true })
try {
  await cluster.verb('up', values.nodes)
  const response = await fetch(cluster.url('n1', '/api/products?limit=1'))
  const { items } = (await response.json()) as { items: { variants: { sku: string }[] }[] }
  const sku = items[0]?.variants[0]?.sku as string
  const tookMs: number[] = []
  for (let index = 0; index < Number(values.rounds); index += 1) tookMs.push(await round(cluster, sku))
  const sorted = [...tookMs].sort((a, b) => a - b).map(Math.round)
  const [median, worst] = [percentile(sorted, 0.5), sorted.at(-1)]
  console.log(
    `${values.signal}, ${values.nodes} nodes, ${sorted.length} rounds: median ${median} ms, worst ${worst} ms`,
  )
  console.log(`all: ${sorted.join(' ')} ms`)
} finally {
  await close(false)
}
