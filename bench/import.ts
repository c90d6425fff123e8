/**
 * Import of a large CSV into three nodes, and how long reads wait meanwhile: `npm run bench:import`.
 * `--products N` (default 100,000), `--nodes N` (default 3), `--seed N`.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { prepareCluster } from '../test/support/cluster.ts'
import { Report, quantile } from './kit.ts'
import { pidsOf, residentMib } from './processes.ts'

const { values } = parseArgs({
  options: {
    products: { type: 'string', default: '100000' },
    nodes: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
  },
})
const products = Number(values.products)
const nodes = Array.from({ length: Number(values.nodes) }, (_, index) => `n${index + 1}`)
/** Each node is read from this often meanwhile. */
const readEveryMs = 25
const askEveryMs = 20
const sampleEveryMs = 500

/** mulberry32: the same file from the same seed. */
function generator(seed: number): (bound: number) => number {
  let state = seed
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }
}

const words =
  'amber brass cedar denim ember fleece glass hazel ivory jute khaki linen maple nylon olive pearl quartz rattan slate teak umber velvet walnut yarn zinc'.split(
    ' ',
  )

/** Two variants and some 600 bytes a product, as shops have them. */
function file(count: number, seed: number): string {
  const draw = generator(seed)
  const word = (): string => words[draw(words.length)] as string
  const lines = [
    'Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src,Status',
  ]
  for (let number = 0; number < count; number += 1) {
    const body = Array.from({ length: 40 }, word).join(' ')
    const price = `${5 + draw(200)}.${String(draw(100)).padStart(2, '0')}`
    lines.push(
      `product-${number},${word()} ${word()} ${number},"<p>${body}</p>",Vendor ${draw(200)},Category ${draw(50)},"${word()}, ${word()}",TRUE,Size,S,SKU-${number}-S,${price},https://example.com/${number}.jpg,active`,
      `product-${number},,,,,,,,L,SKU-${number}-L,${price},,`,
    )
  }
  return `${lines.join('\n')}\n`
}

const { cluster, close } = await prepareCluster({})

async function catalogAt(node: string): Promise<{ version: number; digest: string }> {
  const response = await fetch(cluster.url(node, '/api/cluster'))
  return ((await response.json()) as { catalog: { version: number; digest: string } }).catalog
}

/** Reads a list or a product at a node until it is stopped. */
function reader(node: string): () => number[] {
  const tookMs: number[] = []
  let isOver = false
  const run = async (): Promise<void> => {
    for (let number = 0; !isOver; number += 1) {
      const path =
        number % 2 === 0
          ? `/api/products?limit=24&category=Category%20${number % 50}`
          : '/api/products/product-0'
      const startedMs = performance.now()
      await (await fetch(cluster.url(node, path))).arrayBuffer()
      tookMs.push(performance.now() - startedMs)
      await sleep(readEveryMs)
    }
  }
  void run()
  return () => {
    isOver = true
    return tookMs
  }
}

/** Resident memory of each node's process, in MiB (Linux). */
async function residents(): Promise<number[]> {
  return [...(await pidsOf(cluster)).values()].map(residentMib)
}

try {
  const body = file(products, Number(values.seed))
  const { adminTokenFile } = await cluster.verb('up', values.nodes)
  const authorization = `Bearer ${readFileSync(adminTokenFile, 'utf8').trim()}`
  const readers = nodes.map(reader)
  let mostMib = 0
  let isOver = false
  const sampler = (async () => {
    for (; !isOver; await sleep(sampleEveryMs)) mostMib = Math.max(mostMib, ...(await residents()))
  })()
  const startedMs = performance.now()
  const response = await fetch(cluster.url('n2', '/api/admin/import'), {
    method: 'POST',
    headers: { authorization, 'content-type': 'text/csv' },
    body,
  })
  const answer = (await response.json()) as { created: number; catalogVersion: number }
  const answeredMs = performance.now() - startedMs
  if (answer.created !== products) throw new Error(`not imported: ${JSON.stringify(answer).slice(0, 500)}`)
  for (const node of nodes)
    while ((await catalogAt(node)).version < answer.catalogVersion) await sleep(askEveryMs)
  const tookMs = performance.now() - startedMs
  isOver = true
  await sampler
  const waits = readers.flatMap((stop) => stop())
  const digests = new Set(await Promise.all(nodes.map(async (node) => (await catalogAt(node)).digest)))
  if (digests.size !== 1) throw new Error('the nodes have different catalogs')
  const report = new Report('import', `Import of ${products} products on ${nodes.length} nodes`)
  report.add({
    what: 'products a second, until every node has them',
    unit: '/s',
    runs: [products / (tookMs / 1000)],
    aim: { least: 3_000 },
  })
  report.add({ what: 'until it was answered', unit: 's', runs: [answeredMs / 1000] })
  report.add({ what: 'reads meanwhile, p50', unit: 'ms', runs: [quantile(waits, 0.5)] })
  report.add({ what: 'reads meanwhile, p99', unit: 'ms', runs: [quantile(waits, 0.99)], aim: { below: 50 } })
  report.add({ what: 'resident memory of a node, at the most', unit: 'MiB', runs: [mostMib] })
  report.note(`The file has ${(body.length / 2 ** 20).toFixed(0)} MiB; ${waits.length} reads.`)
  report.finish()
} finally {
  await close(false)
}
