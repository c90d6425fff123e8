/**
 * Real processes: the primary dies in the middle of an import, and then the node that was reading the file. The import
 * goes on by itself or by the same request at another node, and each product is there once, everywhere.
 */
import { expect, test } from 'vitest'
import { until, withCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'

const nodes = ['n1', 'n2', 'n3']
/** Some dozen log entries: enough to die in the middle of. */
const productsCount = 6_000
const timeLimitMs = 300_000
const patienceMs = 120_000

const handles = Array.from({ length: productsCount }, (_, number) => `thing-${number}`)

function file(price: number): string {
  const filling = 'of wool, by hand, '.repeat(40)
  const rows = handles.map(
    (handle) => `${handle},${handle},"${filling}",SKU-${handle},${price}.00,TRUE,active`,
  )
  return ['Handle,Title,Body (HTML),Variant SKU,Variant Price,Published,Status', ...rows, ''].join('\n')
}

type View = { catalog: { version: number; digest: string } }
type Answer = { status: number; created?: number; updated?: number; unchanged?: number }

async function view(cluster: TestCluster, node: string): Promise<View | null> {
  const signal = AbortSignal.timeout(5_000)
  return await fetch(cluster.url(node, '/api/cluster'), { signal })
    .then(async (response) => (await response.json()) as View)
    .catch(() => null)
}

async function primaryOf(cluster: TestCluster): Promise<string> {
  return await until('there is a primary', async () => (await cluster.status()).primary, patienceMs)
}

/** Resolves with status 0 when the node died over it. */
async function send(cluster: TestCluster, node: string, key: string, body: string): Promise<Answer> {
  const headers = { ...cluster.adminHeaders(), 'content-type': 'text/csv', 'idempotency-key': key }
  try {
    const response = await fetch(cluster.url(node, '/api/admin/import'), { method: 'POST', headers, body })
    return { ...((await response.json()) as object), status: response.status }
  } catch {
    return { status: 0 }
  }
}

/** The same request again, at any node that lives, until it is done: what an administrator's script does. */
async function sendUntilDone(
  cluster: TestCluster,
  at: readonly string[],
  key: string,
  body: string,
): Promise<Answer> {
  let turn = 0
  return await until(
    'the import is done',
    async () => {
      const answer = await send(cluster, at[turn++ % at.length] as string, key, body)
      return answer.status === 200 ? answer : null
    },
    patienceMs,
  )
}

async function isUnderWay(cluster: TestCluster, node: string, from: number): Promise<void> {
  await until(
    'some of it is in the catalog',
    async () => ((await view(cluster, node))?.catalog.version ?? 0) >= from + 2 || null,
    patienceMs,
  )
}

/** Everybody has the same, and it is the whole file. */
async function expectAll(cluster: TestCluster, price: number): Promise<void> {
  await until(
    'all nodes have one catalog',
    async () => {
      const views = await Promise.all(nodes.map((node) => view(cluster, node)))
      const states = new Set(views.map((one) => JSON.stringify(one?.catalog ?? null)))
      return states.size === 1 && !states.has('null') ? true : null
    },
    patienceMs,
  )
  const path = '/api/admin/export?format=jsonl'
  const exported = await fetch(cluster.url('n1', path), { headers: cluster.adminHeaders() })
  const products = (await exported.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { handle: string; variants: { price: { amount: number } }[] })
  expect(products.map(({ handle }) => handle).sort()).toEqual([...handles].sort())
  expect(new Set(products.map(({ variants }) => variants[0]?.price.amount))).toEqual(new Set([price * 100]))
}

test(
  'an import outlives the primary, and the node that it was sent to',
  async () => {
    await withCluster({ nodes: 3 }, async (cluster) => {
      const primary = await primaryOf(cluster)
      const asked = nodes.find((node) => node !== primary) as string
      const before = (await view(cluster, asked))?.catalog.version ?? 0
      const sending = send(cluster, asked, 'first', file(10))
      await isUnderWay(cluster, asked, before)
      await cluster.crash(primary)
      const first = await sending
      // It waits for the next primary, or says that it can't know; the same again then finishes it.
      expect([200, 503, 500, 504]).toContain(first.status)
      const living = nodes.filter((node) => node !== primary)
      const done = first.status === 200 ? first : await sendUntilDone(cluster, living, 'first', file(10))
      expect([done.created, done.updated, done.unchanged]).toEqual([productsCount, 0, 0])
      await cluster.restart(primary)
      await expectAll(cluster, 10)

      const next = await primaryOf(cluster)
      const reading = nodes.find((node) => node !== next) as string
      const between = (await view(cluster, next))?.catalog.version ?? 0
      const dying = send(cluster, reading, 'second', file(20))
      await isUnderWay(cluster, next, between)
      await cluster.crash(reading)
      expect((await dying).status).toBe(0)
      const left = nodes.filter((node) => node !== reading)
      const { created, updated, unchanged } = await sendUntilDone(cluster, left, 'second', file(20))
      expect([created, updated, unchanged]).toEqual([0, productsCount, 0])
      await cluster.restart(reading)
      await expectAll(cluster, 20)
    })
  },
  timeLimitMs,
)
