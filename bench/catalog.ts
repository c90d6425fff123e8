/**
 * Reads of the catalog by one node, beside a bare server that answers with the same bytes from one indexed query
 * (`baseline.ts`): `npm run bench:catalog`. `--products N` (default 2,465 and 100,000), `--seconds N` for each run
 * (default 3), `--rounds N` (default 5). Server and client each have a core; both servers take turns in every round.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { prepareCluster } from '../test/support/cluster.ts'
import { seedCatalog } from '../test/support/large-catalog.ts'
import { Report, median, quantile } from './kit.ts'

const { values } = parseArgs({
  options: {
    products: { type: 'string', default: '2465,100000' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
  },
})
const durationMs = Number(values.seconds) * 1_000
const rounds = Number(values.rounds)
const connections = 32
/** What many shoppers ask for at once. */
const hotAddresses = 1_000
const categories = 50
const listSize = 24

type Run = { readonly perSecond: number; readonly p99Ms: number }

/** Keep-alive connections, each with one request at a time; every answer is read to its end and must be 200. */
async function measure(base: string, addresses: (number: number) => string): Promise<Run> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const latenciesMs: number[] = []
  const untilMs = performance.now() + durationMs
  let number = 0
  const get = (path: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const asking = request(base + path, { agent }, (answer) => {
        if (answer.statusCode !== 200) reject(new Error(`${path}: ${answer.statusCode}`))
        answer.resume().on('end', resolve)
      })
      asking.on('error', reject).end()
    })
  const worker = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const startedMs = performance.now()
      await get(addresses(number++))
      latenciesMs.push(performance.now() - startedMs)
    }
  }
  const startedMs = performance.now()
  await Promise.all(Array.from({ length: connections }, worker))
  const perSecond = (latenciesMs.length / (performance.now() - startedMs)) * 1_000
  agent.destroy()
  return { perSecond, p99Ms: quantile(latenciesMs, 0.99) }
}

async function startBaseline(database: string): Promise<{ base: string; process: ChildProcess }> {
  const path = fileURLToPath(new URL('baseline.ts', import.meta.url))
  const child = spawn(process.execPath, [path, database], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { base: `http://127.0.0.1:${line.toString().trim()}`, process: child }
}

/** Where the pages of a list begin: cursors of the program's own, for both servers. */
async function pagesOf(base: string, products: number): Promise<string[]> {
  const pages: string[] = []
  const wanted = Math.min(4 * hotAddresses, Math.floor((products / listSize) * 2))
  for (let category = 0; category < categories && pages.length < wanted; category += 1) {
    for (const sort of ['title', 'price', 'newest']) {
      let cursor = ''
      for (let page = 0; page < 40 && pages.length < wanted; page += 1) {
        const query = `category=Category%20${category}&sort=${sort}&limit=${listSize}`
        const path = `/api/products?${query}${cursor === '' ? '' : `&cursor=${cursor}`}`
        const { items, next } = (await (await fetch(base + path)).json()) as {
          items: unknown[]
          next: string | null
        }
        if (items.length === listSize) pages.push(path)
        if (next === null) break
        cursor = next
      }
    }
  }
  return pages
}

async function bench(report: Report, products: number): Promise<void> {
  const { cluster, close } = await prepareCluster({})
  let baseline: ChildProcess | null = null
  try {
    await cluster.verb('up', '1', '--no-sample')
    await cluster.verb('stop', 'n1')
    seedCatalog(join(cluster.directory, 'n1'), products)
    const bare = await startBaseline(join(cluster.directory, 'n1', 'shop.db'))
    baseline = bare.process
    await cluster.verb('start', 'n1')
    const own = cluster.url('n1')
    const pages = await pagesOf(own, products)
    // An unknown parameter makes an address that nobody asked for before, and changes no answer.
    const cases: [string, number, (number: number) => string][] = [
      ['detail, distinct', 0.85, (number) => `/api/products/product-${(number * 7_919) % products}`],
      ['list of 24, distinct', 0.85, (number) => `${pages[number % pages.length]}&n=${number}`],
      [
        'detail, hottest thousand',
        1.3,
        (number) => `/api/products/product-${(number * 31) % Math.min(products, hotAddresses)}`,
      ],
      [
        'list of 24, hottest thousand',
        1.3,
        (number) => pages[number % Math.min(pages.length, hotAddresses)] as string,
      ],
    ]
    for (const [what, share, addresses] of cases) {
      const runs: { own: Run; bare: Run }[] = []
      for (let round = 0; round <= rounds; round += 1) {
        const both = { own: await measure(own, addresses), bare: await measure(bare.base, addresses) }
        // The first warms both up.
        if (round > 0) runs.push(both)
      }
      const base = median(runs.map((run) => run.bare.perSecond))
      report.add({
        what: `${what}, ${products.toLocaleString('en')} products`,
        unit: 'requests/s',
        runs: runs.map((run) => run.own.perSecond),
        p99Ms: runs.map((run) => run.own.p99Ms),
        aim: { least: share * base },
        baseline: base,
      })
    }
  } finally {
    baseline?.kill()
    await close(false)
  }
}

const report = new Report('catalog', 'Reads of the catalog by one node')
report.note(
  `${connections} connections, ${rounds} runs of ${values.seconds} s each; the client is Node’s own, on the other core.`,
)
for (const products of values.products.split(',').map(Number)) await bench(report, products)
report.finish()
