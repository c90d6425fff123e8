/**
 * Orders placed from filled carts: `npm run bench:orders`. Three nodes, each order on two of three disks; 32 connections,
 * each at the home of its shoppers. Carts are filled first, then only `POST /api/orders` is measured. The clients share the
 * processor with the nodes, so the figure is one of the whole machine.
 * The processor time of the nodes per order is told too: it hardly depends on what else the machine does.
 * `--runs N` (default 3), `--orders N` a run (default 4,000), `--connections N`, `--profile DIR` writes CPU profiles.
 */
import { request, Agent } from 'node:http'
import { parseArgs } from 'node:util'
import { prepareCluster } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { Shopper } from '../test/support/shopper.ts'
import { Report, quantile } from './kit.ts'
import { usedMs } from './posts.ts'

const aim = { least: 2_000 } as const
const p99Aim = { below: 60 } as const
const nodes = ['n1', 'n2', 'n3']
const sku = 'LAMP'
/** Shoppers made and carts filled at one time. */
const fillersAtOnce = 16

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    orders: { type: 'string', default: '4000' },
    connections: { type: 'string', default: '32' },
    profile: { type: 'string' },
  },
})

type Buyer = { readonly token: string; readonly home: URL; readonly key: string }

async function stock(cluster: TestCluster): Promise<void> {
  const response = await fetch(cluster.url('n1', '/api/admin/products/lamp'), {
    method: 'PUT',
    headers: { ...cluster.adminHeaders(), 'content-type': 'application/json' },
    body: JSON.stringify({
      title: 'Lamp',
      variants: [{ sku, price: { amount: 1_000, currency: 'USD' } }],
    }),
  })
  if (response.status !== 200) throw new Error(`no product: ${response.status} ${await response.text()}`)
}

/** A guest at each node in turn, with one lamp in the cart. */
async function filled(cluster: TestCluster, number: number): Promise<Buyer> {
  const shopper = await new Shopper([cluster.url(nodes[number % nodes.length] as string)]).becomeGuest()
  const { status, body } = await shopper.add(sku, 1)
  if (status !== 200) throw new Error(`no cart: ${status}`)
  const { url } = body['home'] as { url: string }
  return { token: shopper.token, home: new URL('/api/orders', url), key: `bench-${number}` }
}

async function fill(cluster: TestCluster, first: number, count: number): Promise<Buyer[]> {
  const buyers: Buyer[] = []
  let next = first
  const work = async (): Promise<void> => {
    while (next < first + count) {
      next += 1
      buyers.push(await filled(cluster, next))
    }
  }
  await Promise.all(Array.from({ length: fillersAtOnce }, work))
  return buyers
}

const body = JSON.stringify({ hash: '*', contact: { name: 'Ada' }, note: 'ring twice' })

type Placed = { readonly tookMs: number; readonly status: number; readonly location: string | undefined }

function place({ token, home, key }: Buyer, agent: Agent): Promise<Placed> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now()
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'idempotency-key': key,
    }
    const sent = request(home, { method: 'POST', agent, headers }, (response) => {
      response.on('end', () =>
        resolve({
          tookMs: performance.now() - startedMs,
          status: response.statusCode ?? 0,
          location: response.headers.location,
        }),
      )
      response.resume()
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Each connection takes the next buyer of its node, so that all of them are busy to the end. */
async function measure(buyers: readonly Buyer[]): Promise<{ perSecond: number; p99Ms: number }> {
  const connections = Number(values.connections)
  const homes = [...Map.groupBy(buyers, ({ home }) => home.origin).values()]
  const tookMs: number[] = []
  const startedMs = performance.now()
  const client = async (number: number): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (;;) {
      // Its own node first; when that one's shoppers are served, it helps at the next.
      const queue =
        homes[number % homes.length]?.length === 0
          ? homes.find((one) => one.length > 0)
          : homes[number % homes.length]
      const buyer = queue?.pop()
      if (buyer === undefined) break
      const { tookMs: took, status, location } = await place(buyer, agent)
      if (status === 307 && location !== undefined) {
        // Nodes even out their users meanwhile, as they do in a shop; the order at the new home is the one that counts.
        queue?.push({ ...buyer, home: new URL('/api/orders', location) })
        continue
      }
      if (status !== 201) throw new Error(`an order was answered ${status}`)
      tookMs.push(took)
    }
    agent.destroy()
  }
  await Promise.all(Array.from({ length: connections }, (_, number) => client(number)))
  const seconds = (performance.now() - startedMs) / 1_000
  return { perSecond: tookMs.length / seconds, p99Ms: quantile(tookMs, 0.99) }
}

const profiled =
  values.profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${values.profile}` }
const report = new Report('orders', 'Orders from filled carts, 3 nodes, 2 of 3 disks')
const { cluster, close } = await prepareCluster({ env: profiled })
try {
  await cluster.verb('up', '3', '--no-sample')
  await stock(cluster)
  const perRun = Number(values.orders)
  const runs: { perSecond: number; p99Ms: number }[] = []
  const costsMs: number[] = []
  // One more to warm up.
  for (let run = 0; run <= Number(values.runs); run += 1) {
    const count = run === 0 ? Math.ceil(perRun / 4) : perRun
    const buyers = await fill(cluster, run * perRun, count)
    const beforeMs = await usedMs(cluster)
    const figures = await measure(buyers)
    const afterMs = await usedMs(cluster)
    if (run === 0) continue
    runs.push(figures)
    costsMs.push((afterMs - beforeMs) / count)
  }
  const p99Ms = runs.map((run) => run.p99Ms)
  const what = `orders, ${values.connections} connections`
  report.add({ what, unit: 'a second', runs: runs.map((run) => run.perSecond), p99Ms, aim })
  report.add({ what: 'their 99th percentile', unit: 'ms', runs: p99Ms, aim: p99Aim })
  report.add({ what: 'processor time of all nodes for one', unit: 'ms', runs: costsMs })
  report.finish()
  // A clean stop, which writes the profiles.
  if (values.profile !== undefined) await cluster.verb('down')
} finally {
  await close(false)
}
