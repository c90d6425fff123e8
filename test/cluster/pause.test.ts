/**
 * A primary that stands still (SIGSTOP) with requests on their way to it and others arriving meanwhile: when it goes on, it
 * answers none of them as if it were primary still (DESIGN.md section 3: state, then the clock, then the answer; P1, P4).
 */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { ApiClient, outcome } from '../support/api-client.ts'
import type { ApiAnswer } from '../support/api-client.ts'
import { until, withCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'

const nodes = ['n1', 'n2', 'n3']
/** Pauses, each of whoever is primary then. */
const pauses = 2
/** Requests of each kind that a paused node finds when it goes on. */
const asked = 8

type View = { primary: { node: string } | null; catalog: { version: number; digest: string } }

async function viewAt(cluster: TestCluster, node: string): Promise<View> {
  const response = await fetch(cluster.url(node, '/api/cluster'), { signal: AbortSignal.timeout(5_000) })
  return (await response.json()) as View
}

/** Broken connections and limits of time are answers too, of which nothing is known. */
async function outcomesOf(answers: readonly Promise<ApiAnswer>[]): Promise<string[]> {
  const told = await Promise.allSettled(answers)
  return told.map((one) => (one.status === 'fulfilled' ? outcome(one.value) : 'unknown'))
}

async function agreedPrimary(cluster: TestCluster, among: readonly string[], not = ''): Promise<string> {
  return await until('there is a primary', async () => {
    const views = await Promise.all(among.map((node) => viewAt(cluster, node)))
    const named = [...new Set(views.map(({ primary }) => primary?.node ?? null))]
    return named.length === 1 && named[0] !== not && named[0]
  })
}

test('a primary that was paused with requests in flight answers none of them from its past', async () => {
  await withCluster({ nodes: 3 }, async (cluster) => {
    const api = new ApiClient(cluster, nodes)
    const token = api.admin
    for (let pause = 1; pause <= pauses; pause += 1) {
      const primary = await agreedPrimary(cluster, nodes)
      const other = nodes.find((node) => node !== primary) as string
      const product = `/api/admin/products/lamp-${pause}`
      const sku = `LAMP-${pause}`
      const json = {
        title: 'Lamp',
        status: 'active',
        variants: [{ sku, price: { amount: 100, currency: 'USD' } }],
      }
      const made = await api.ask(primary, product, { method: 'PUT', token, json })
      expect(made.status).toBe(200)
      const etag = made.headers.get('etag') as string
      const guest = await api.guest(other)
      expect((await api.add(guest.home, guest.token, sku)).status).toBe(200)
      const placed = await api.order(guest.home, guest.token, randomUUID(), { hash: '*' })
      expect(placed.status).toBe(201)
      const order = `/api/admin/orders/${String(placed.json['id'])}`

      // Under way when it stops, wherever they are then.
      const underWay = Array.from({ length: asked }, (_, number) => {
        const handle = `/api/admin/products/new-${pause}-${number}`
        const variants = [{ sku: `NEW-${pause}-${number}`, price: { amount: 100, currency: 'USD' } }]
        return {
          handle,
          // Heard at once: whatever becomes of it, it is an answer.
          told: outcomesOf([api.ask(primary, handle, { method: 'PUT', token, json: { ...json, variants } })]),
        }
      })
      await cluster.verb('pause', primary)
      const next = await agreedPrimary(
        cluster,
        nodes.filter((node) => node !== primary),
        primary,
      )
      const change = { method: 'PATCH', token, type: 'application/merge-patch+json' }
      const changed = await api.ask(next, product, { ...change, body: JSON.stringify({ vendor: 'next' }) })
      expect(changed.status).toBe(200)
      const cancelled = await api.ask(next, order, { method: 'PATCH', token, json: { status: 'cancelled' } })
      expect(cancelled.status).toBe(200)

      // These begin after the change and the cancellation were acknowledged.
      const stale = { ...change, headers: { 'if-match': etag }, body: JSON.stringify({ vendor: 'past' }) }
      const all = Array.from({ length: asked }, (_, number) => number)
      const reads = all.map(() => api.ask(primary, `/api/admin/orders?user=${guest.user}`, { token }))
      const changes = all.map(() => api.ask(primary, product, stale))
      const shipments = all.map(() =>
        api.ask(primary, order, { method: 'PATCH', token, json: { status: 'shipped' } }),
      )
      await cluster.verb('resume', primary)
      const seen = (await Promise.allSettled(reads)).flatMap((read) =>
        read.status === 'fulfilled' && read.value.status === 200 ? [read.value.json['items']] : [],
      )
      for (const items of seen) expect(items).toMatchObject([{ status: 'cancelled' }])
      for (const told of await outcomesOf(changes))
        expect(['412 precondition-failed', '503 no-primary', '504 outcome-unknown', 'unknown']).toContain(
          told,
        )
      for (const told of await outcomesOf(shipments))
        expect(['409 conflict', '503 no-primary', '504 outcome-unknown', 'unknown']).toContain(told)
      const lost: string[] = []
      for (const { handle, told } of underWay) {
        const { status } = await api.ask(next, handle, { token })
        if ((await told).includes('200') && status !== 200) lost.push(handle)
      }
      expect(lost).toEqual([])
      await until('all nodes agree', async () => {
        const views = await Promise.all(nodes.map((node) => viewAt(cluster, node)))
        return new Set(views.map(({ catalog }) => `${catalog.version} ${catalog.digest}`)).size === 1
      })
    }
  })
})
