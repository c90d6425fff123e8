/**
 * From the death of a user's home to the cart served elsewhere: `npm run bench:takeover`. A client asks the two other
 * nodes in turn every 20 ms, whatever became of what it asked before. `--rounds N` (default 30),
 * `--signal SIGKILL|SIGSTOP`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { prepareCluster, until } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { Shopper } from '../test/support/shopper.ts'
import type { Answer, CartAnswer } from '../test/support/shopper.ts'
import { Report, quantile } from './kit.ts'

const askEveryMs = 20
const giveUpMs = 20_000
const quantity = 3

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '30' },
    signal: { type: 'string', default: 'SIGKILL' },
  },
})

type Signal = 'SIGKILL' | 'SIGSTOP'
/** A killed home is proved gone by its port; a stopped one only by its silence. */
const aims: { readonly [S in Signal]: { readonly medianBelowMs?: number; readonly p99BelowMs: number } } = {
  SIGKILL: { medianBelowMs: 100, p99BelowMs: 300 },
  SIGSTOP: { p99BelowMs: 1_500 },
}
const signal = ((): Signal => {
  if (values.signal === 'SIGKILL' || values.signal === 'SIGSTOP') return values.signal
  throw new Error('--signal SIGKILL or SIGSTOP')
})()

function isServedElsewhere(answer: Answer | null, before: string): boolean {
  if (answer?.status !== 200) return false
  const { home, items, complete } = answer.body as unknown as CartAnswer
  if (home.node === before) return false
  if (items[0]?.quantity !== quantity) throw new Error(`served without what was acknowledged: ${complete}`)
  return true
}

/** Milliseconds from now to the first answer with the cart from another home than `before`. */
async function timeToCart(shopper: Shopper, urls: readonly string[], before: string): Promise<number> {
  const startedMs = performance.now()
  return await new Promise((resolve, reject) => {
    let asked = 0
    const end = (): void => clearInterval(timer)
    const ask = (): void => {
      const url = urls[asked % urls.length] as string
      asked += 1
      if (performance.now() - startedMs > giveUpMs) {
        end()
        reject(new Error(`no cart within ${giveUpMs} ms`))
        return
      }
      shopper
        .at(url, '/api/cart')
        // A redirect to the home that is gone, or silent.
        .catch(() => null)
        .then((answer) => {
          if (!isServedElsewhere(answer, before)) return
          end()
          resolve(performance.now() - startedMs)
        })
        .catch((error: unknown) => {
          end()
          reject(error as Error)
        })
    }
    const timer = setInterval(ask, askEveryMs)
    ask()
  })
}

type Row = { node: string; alive: boolean }

/** Every other node hears of it again: the next round must find a whole cluster. */
async function allAlive(cluster: TestCluster, nodes: readonly { node: string }[]): Promise<boolean> {
  const views = await Promise.all(
    nodes.map(async ({ node }) => {
      const response = await fetch(cluster.url(node, '/api/cluster'))
      return ((await response.json()) as { members: Row[] }).members
    }),
  )
  return views.flat().every(({ alive }) => alive)
}

async function round(cluster: TestCluster, sku: string): Promise<number> {
  const { nodes } = await cluster.status()
  await until('all nodes know each other', () => allAlive(cluster, nodes))
  const shopper = await new Shopper(nodes.map(({ url }) => url)).becomeGuest()
  await shopper.add(sku, quantity)
  const home = (await shopper.cart()).home.node
  const { pid } = await cluster.node(home)
  const urls = nodes.filter(({ node }) => node !== home).map(({ url }) => url)
  process.kill(pid as number, signal)
  const tookMs = await timeToCart(shopper, urls, home)
  await cluster.verb(signal === 'SIGSTOP' ? 'resume' : 'start', home)
  // What was asked of a stopped node is answered now; it is not to meet the next round.
  await sleep(askEveryMs)
  return tookMs
}

const { cluster, close } = await prepareCluster({ sample: true })
try {
  await cluster.verb('up', '3')
  const response = await fetch(cluster.url('n1', '/api/products?limit=1'))
  const { items } = (await response.json()) as { items: { variants: { sku: string }[] }[] }
  const sku = items[0]?.variants[0]?.sku as string
  const tookMs: number[] = []
  for (let index = 0; index < Number(values.rounds); index += 1) tookMs.push(await round(cluster, sku))
  const { medianBelowMs, p99BelowMs } = aims[signal]
  const report = new Report(`takeover-${signal}`, `From ${signal} of the home to the cart served elsewhere`)
  report.add({
    what: `median of ${tookMs.length}`,
    unit: 'ms',
    runs: tookMs,
    ...(medianBelowMs === undefined ? {} : { aim: { below: medianBelowMs } }),
  })
  report.add({
    what: '99th percentile',
    unit: 'ms',
    runs: [quantile(tookMs, 0.99)],
    aim: { below: p99BelowMs },
  })
  report.finish()
} finally {
  await close(false)
}
