/**
 * From the acknowledgement of one catalog change to the moment when a node shows it: `npm run bench:broadcast`.
 * `--nodes` (default `3,10`), `--changes N` (default 100). Each node is asked at once for the new version
 * (`Souk-Catalog-Version`) and answers when it has it, so that nothing is missed between two questions.
 */
import { parseArgs } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'node:http'
import { prepareCluster, until } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { Report, quantile } from './kit.ts'

const { values } = parseArgs({
  options: { nodes: { type: 'string', default: '3,10' }, changes: { type: 'string', default: '100' } },
})
const changes = Number(values.changes)
const pauseMs = 50
/** Milliseconds for the median and for 99 of 100 changes, by the size of the cluster. */
const aims: { readonly [nodes: number]: readonly [number, number] } = { 3: [15, 60], 10: [40, 200] }
const agent = new Agent({ keepAlive: true })

type Answer = { status: number; version: number; text: string }

function ask(
  url: string,
  init: { method?: string; headers?: { [name: string]: string }; body?: string },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request(
      url,
      { agent, method: init.method ?? 'GET', headers: init.headers ?? {} },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        answer.on('end', () => {
          const version = Number(answer.headers['souk-catalog-version'])
          resolve({ status: answer.statusCode ?? 0, version, text })
        })
      },
    )
    asking.on('error', reject).end(init.body)
  })
}

/** Milliseconds from the acknowledgement to the last of the other nodes. */
async function change(
  cluster: TestCluster,
  primary: string,
  others: string[],
  amount: number,
): Promise<number> {
  const body = JSON.stringify({
    title: 'Lamp',
    variants: [{ sku: 'LAMP', price: { amount, currency: 'USD' } }],
  })
  const headers = { ...cluster.adminHeaders(), 'content-type': 'application/json' }
  const changed = await ask(cluster.url(primary, '/api/admin/products/lamp'), {
    method: 'PUT',
    headers,
    body,
  })
  if (changed.status !== 200) throw new Error(changed.text)
  const startedMs = performance.now()
  await Promise.all(
    others.map(async (node) => {
      const seen = await ask(cluster.url(node, '/api/products/lamp'), {
        headers: { 'souk-catalog-version': String(changed.version) },
      })
      if (seen.status !== 200 || !seen.text.includes(`"amount":${amount},`))
        throw new Error(`${node}: ${seen.text}`)
    }),
  )
  return performance.now() - startedMs
}

async function bench(report: Report, nodes: number): Promise<void> {
  const { cluster, close } = await prepareCluster({})
  try {
    await cluster.verb('up', String(nodes), '--no-sample')
    const status = await until('there is a primary', async () => {
      const info = await cluster.status()
      return info.primary !== null && info
    })
    const primary = status.primary as string
    const others = status.nodes.map(({ node }) => node).filter((node) => node !== primary)
    const tookMs: number[] = []
    for (let number = -10; number < changes; number += 1) {
      const ms = await change(cluster, primary, others, 1_000 + number)
      if (number >= 0) tookMs.push(ms)
      await sleep(pauseMs)
    }
    const [half, most] = aims[nodes] ?? [Infinity, Infinity]
    const what = `one change on all of ${nodes} nodes after its acknowledgement`
    report.add({ what: `${what}, p50`, unit: 'ms', runs: [quantile(tookMs, 0.5)], aim: { below: half } })
    report.add({ what: `${what}, p99`, unit: 'ms', runs: [quantile(tookMs, 0.99)], aim: { below: most } })
  } finally {
    await close(false)
  }
}

const report = new Report('broadcast', 'One change, seen on every node')
report.note(`${changes} changes, one after the other; the time until the last node shows it.`)
for (const nodes of values.nodes.split(',').map(Number)) await bench(report, nodes)
report.finish()
agent.destroy()
