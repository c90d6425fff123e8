/** Real processes: shop through different nodes while the home and the primary are killed (issue: "a cluster you can shop at"). */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { until, withCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'
import { Shopper, quantities } from '../support/shopper.ts'
import { root } from '../support/sources.ts'

type ClusterBody = {
  catalog: { version: number; digest: string }
  orders: { count: number; digest: string } | null
  settled: boolean
  primary: { node: string } | null
  members: { node: string; voter: boolean; alive: boolean }[]
}

async function clusterAt(cluster: TestCluster, node: string): Promise<ClusterBody> {
  const response = await fetch(cluster.url(node, '/api/cluster'), { signal: AbortSignal.timeout(5_000) })
  return (await response.json()) as ClusterBody
}

async function primaryOf(cluster: TestCluster): Promise<string> {
  return until('there is a primary', async () => (await cluster.status()).primary)
}

/** Every node at one catalog version and digest, every voter with the same orders, nothing left to deliver. */
async function settled(cluster: TestCluster, nodes: readonly string[]): Promise<ClusterBody[]> {
  return until('all nodes agree and are settled', async () => {
    const views = await Promise.all(nodes.map((node) => clusterAt(cluster, node)))
    const catalogs = new Set(views.map(({ catalog }) => `${catalog.version} ${catalog.digest}`))
    const orders = new Set(
      views.flatMap(({ orders: own }) => (own === null ? [] : [`${own.count} ${own.digest}`])),
    )
    return catalogs.size === 1 && orders.size === 1 && views.every((view) => view.settled) && views
  })
}

async function localOrders(cluster: TestCluster, node: string): Promise<{ id: string; status: string }[]> {
  const response = await fetch(cluster.url(node, '/api/admin/orders?local=true&limit=200'), {
    headers: cluster.adminHeaders(),
  })
  return ((await response.json()) as { items: { id: string; status: string }[] }).items
}

async function importSample(cluster: TestCluster, node: string): Promise<void> {
  const response = await fetch(cluster.url(node, '/api/admin/import'), {
    method: 'POST',
    headers: { ...cluster.adminHeaders(), 'content-type': 'text/csv' },
    body: readFileSync(join(root, 'scripts/data/sample-catalog.csv')),
  })
  const body = (await response.json()) as { created: number; rejected: unknown[] }
  expect({ status: response.status, rejected: body.rejected }).toEqual({ status: 200, rejected: [] })
  expect(body.created).toBeGreaterThan(200)
}

async function someSkus(cluster: TestCluster, node: string): Promise<string[]> {
  const response = await fetch(cluster.url(node, '/api/products?limit=50&sort=title'))
  const { items } = (await response.json()) as { items: { variants: { sku: string }[] }[] }
  return items.map(({ variants }) => (variants[0] as { sku: string }).sku)
}

/** Import anywhere, shop through every node, kill home, kill primary, restart; nothing lost, nothing doubled. */
async function walk(cluster: TestCluster, nodes: readonly string[], together: boolean): Promise<void> {
  await importSample(cluster, nodes.at(-1) as string)
  await settled(cluster, nodes)
  const [first, second, third] = (await someSkus(cluster, 'n1')) as [string, string, string]
  const shopper = await new Shopper(nodes.map((node) => cluster.url(node))).becomeGuest()
  expect((await shopper.add(first, 2, 0)).status).toBe(200)
  const added = await shopper.add(second, 1, 1)
  expect(added.headers.get('souk-cart-acks')).toBe('2/2')
  const home = (await shopper.cart()).home.node
  const primary = await primaryOf(cluster)
  const dead = new Set(together ? [home, primary] : [home])
  await Promise.all([...dead].map((node) => cluster.verb('kill', node)))
  const cart = await shopper.cart(1)
  expect(quantities(cart)).toEqual({ [first]: 2, [second]: 1 })
  expect(dead.has(cart.home.node)).toBe(false)
  expect((await shopper.add(third, 3, 2)).status).toBe(200)
  for (const node of dead) await cluster.verb('start', node)
  if (!together) {
    const now = await primaryOf(cluster)
    await cluster.verb('kill', now)
    dead.clear()
    dead.add(now)
  }
  const agreed = await shopper.cart()
  expect(quantities(agreed)).toEqual({ [first]: 2, [second]: 1, [third]: 3 })
  const { status, order } = await shopper.order(agreed.hash, 'walk-1')
  expect({ status, state: order.status }).toEqual({ status: 201, state: 'placed' })
  const again = await shopper.order(agreed.hash, 'walk-1', 1)
  expect(again).toEqual({
    status: 201,
    order: expect.objectContaining({ id: order.id, number: order.number }),
  })
  for (const node of dead) await cluster.verb('start', node)
  expect(quantities(await shopper.cart())).toEqual({})
  const views = await settled(cluster, nodes)
  const voters = (views[0] as ClusterBody).members.filter(({ voter }) => voter).map(({ node }) => node)
  for (const voter of voters) {
    expect(await localOrders(cluster, voter)).toEqual([
      expect.objectContaining({ id: order.id, status: 'placed' }),
    ])
  }
}

/** Warnings and errors in the logs; a machine that was too busy for a node is no fault of the node. */
function complaints(cluster: TestCluster, nodes: readonly string[]): string[] {
  const lines = nodes.flatMap((node) => cluster.log(node).split('\n'))
  return lines.filter(
    (line) => /"level":"(warn|error|fatal)"/.test(line) && !line.includes('this process stood still'),
  )
}

describe('a cluster you can shop at', () => {
  test('three nodes: home killed, then the primary; the logs hold nothing to worry about', async () => {
    await withCluster({ nodes: 3 }, async (cluster) => {
      const nodes = ['n1', 'n2', 'n3']
      await walk(cluster, nodes, false)
      await cluster.verb('down')
      expect(complaints(cluster, nodes)).toEqual([])
    })
  })

  test('five nodes, three of them voters: home and primary killed at once', async () => {
    await withCluster({ nodes: 5, eligible: 3 }, async (cluster) => {
      const nodes = ['n1', 'n2', 'n3', 'n4', 'n5']
      const { members } = await clusterAt(cluster, 'n5')
      expect(members.filter(({ voter }) => voter)).toHaveLength(3)
      await walk(cluster, nodes, true)
    })
  })
})
