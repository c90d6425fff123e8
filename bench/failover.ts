/**
 * From the death of the primary to the first order acknowledged through another node: `npm run bench:failover`.
 * A client asks every 20 ms with a limit of 500 ms. `--rounds N` (default 30), `--signal SIGKILL|SIGSTOP`.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { prepareCluster } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { Shopper } from '../test/support/shopper.ts'
import { Report } from './kit.ts'

const askEveryMs = 20
const askTimeoutMs = 500
const giveUpMs = 20_000

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '30' },
    signal: { type: 'string', default: 'SIGKILL' },
    nodes: { type: 'string', default: '3' },
  },
})

type Signal = 'SIGKILL' | 'SIGSTOP'
/** A killed primary is proved gone by its port; a stopped one only by its silence. */
const aims: { readonly [S in Signal]: { readonly medianBelowMs: number; readonly worstBelowMs: number } } = {
  SIGKILL: { medianBelowMs: 150, worstBelowMs: 500 },
  SIGSTOP: { medianBelowMs: 1_300, worstBelowMs: 2_000 },
}
const signal = ((): Signal => {
  if (values.signal === 'SIGKILL' || values.signal === 'SIGSTOP') return values.signal
  throw new Error('--signal SIGKILL or SIGSTOP')
})()

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
  process.kill(pid as number, signal)
  const tookMs = await timeToOrder(shopper, shopper.urls[0] as string)
  await cluster.verb(signal === 'SIGSTOP' ? 'resume' : 'start', primary)
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
  const { medianBelowMs, worstBelowMs } = aims[signal]
  const report = new Report(
    `failover-${signal}`,
    `From ${signal} of the primary to the next order: ${values.nodes} nodes`,
  )
  report.add({ what: `median of ${tookMs.length}`, unit: 'ms', runs: tookMs, aim: { below: medianBelowMs } })
  report.add({ what: 'longest', unit: 'ms', runs: [Math.max(...tookMs)], aim: { below: worstBelowMs } })
  report.finish()
} finally {
  await close(false)
}
