/** When everything has healed: waits until the cluster has settled, and records what each node has. */
import type { ChaosCluster } from './harness/cluster.ts'
import { until } from './harness/cluster.ts'
import type { Host } from './harness/host.ts'
import type { CartSeen, OrderSeen, View } from './history.ts'
import { cartSeen, orderSeen, productSeen } from './workload/answers.ts'
import type { CartDocument, OrderDocument, SessionDocument } from './workload/answers.ts'
import { ask } from './workload/http.ts'
import type { Shopper } from './workload/shopper.ts'

/** Carts travel every two seconds; anything that is undecided is decided as soon as there is a primary. */
const settleTimeoutMs = 60_000
const pageSize = 200
const cartTimeoutMs = 30_000

/** Why they do not agree; null when they do. */
function disagreement(cluster: ChaosCluster, views: readonly (View | null)[]): string | null {
  const missing = cluster.hosts.find((_, index) => !views[index])
  if (missing !== undefined) return `${missing.name} does not answer`
  const all = views.filter((view) => view !== null)
  const restless = all.filter(({ settled }) => !settled).map(({ node }) => node)
  if (restless.length > 0) return `${restless.join()} not settled`
  const catalogs = all.map(({ node, catalog }) => `${node} ${catalog.version}`)
  if (new Set(all.map(({ catalog }) => `${catalog.version} ${catalog.digest}`)).size > 1)
    return `catalogs of ${catalogs.join(', ')}`
  const books = all.flatMap(({ node, orders }) => (orders === null ? [] : [{ node, ...orders }]))
  if (new Set(books.map(({ count, digest }) => `${count} ${digest}`)).size > 1)
    return `orders of ${books.map(({ node, count }) => `${node} ${count}`).join(', ')}`
  return null
}

/** Everything there is on pages, by the same path at one node. */
async function allPages<T>(cluster: ChaosCluster, host: Host, path: string): Promise<T[]> {
  const found: T[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const more: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const answer = await ask(`${host.url}${path}&limit=${pageSize}${more}`, { token: cluster.adminToken })
    if (answer.status !== 200) throw new Error(`${path} at ${host.name} came to ${answer.status}`)
    const page = answer.json as { items: T[]; next: string | null }
    found.push(...page.items)
    cursor = page.next
  }
  return found
}

async function recordCatalogAndOrders(cluster: ChaosCluster, views: readonly View[]): Promise<void> {
  const { recorder } = cluster
  const voters = new Set(views.flatMap((view) => view.voters))
  for (const host of cluster.hosts) {
    const final = { type: 'final', node: host.name } as const
    const documents = await allPages<Parameters<typeof productSeen>[0]>(cluster, host, '/api/admin/products?')
    const products = documents.map(productSeen)
    recorder.add({ ...final, of: 'products', products, atMs: recorder.nowMs() })
    if (!voters.has(host.name)) continue
    const rows = await allPages<OrderDocument>(cluster, host, '/api/admin/orders?local=true')
    const orders: OrderSeen[] = rows.map(orderSeen)
    recorder.add({ ...final, of: 'orders', orders, atMs: recorder.nowMs() })
  }
}

/** The cart of a session, when it says that it is complete. */
async function completeCart(cluster: ChaosCluster, token: string): Promise<CartSeen | null> {
  let cart: CartSeen | null = null
  let turn = 0
  const look = async (): Promise<string | null> => {
    const host = cluster.hosts[turn % cluster.hosts.length] as Host
    turn += 1
    let answer = await ask(`${host.url}/api/cart`, { token })
    for (let hops = 0; answer.status === 307 && hops < 2; hops += 1)
      answer = await ask(String(answer.headers['location']), {})
    if (answer.status !== 200) return `${answer.status} ${answer.problem} at ${host.name}`
    cart = cartSeen(answer.json as CartDocument)
    return cart.complete ? null : `incomplete at ${cart.home}`
  }
  await until('the cart is complete', look, cartTimeoutMs)
  return cart
}

async function recordCart(
  cluster: ChaosCluster,
  { process, user, token }: { process: string; user: string; token: string },
): Promise<void> {
  const { recorder, hosts, adminToken } = cluster
  const cart = await completeCart(cluster, token)
  if (cart === null) return
  recorder.add({ type: 'final', of: 'cart', process, user, cart, atMs: recorder.nowMs() })
  const session = await ask(`${(hosts[0] as Host).url}/api/session`, { token })
  const set = session.status === 200 ? (session.json as SessionDocument).serverSet : []
  const copies: { [node: string]: string } = {}
  for (const { node } of set) {
    const path = `/api/admin/carts/${user}?local=true`
    const answer = await ask(`${cluster.host(node).url}${path}`, { token: adminToken })
    const document = answer.json as (CartDocument & { ordering: unknown[] }) | null
    const items = (document?.items ?? []).map(({ sku, quantity }) => `${quantity} ${sku}`).sort()
    copies[node] = [...items, ...(document?.ordering ?? []).map((one) => JSON.stringify(one))].join(', ')
  }
  recorder.add({ type: 'final', of: 'replicas', user, copies, atMs: recorder.nowMs() })
}

async function noteStuck(cluster: ChaosCluster, work: () => Promise<void>): Promise<boolean> {
  const { recorder } = cluster
  try {
    await work()
    return true
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    recorder.add({ type: 'final', of: 'stuck', why, atMs: recorder.nowMs() })
    return false
  }
}

/** What does not come to rest is recorded as stuck, and what can be told is told nevertheless. */
export async function recordEnd(cluster: ChaosCluster, shoppers: readonly Shopper[]): Promise<void> {
  const { recorder } = cluster
  await noteStuck(cluster, () => cluster.whole())
  await noteStuck(cluster, () =>
    until(
      'all nodes agree and are settled',
      async () => disagreement(cluster, await cluster.views()),
      settleTimeoutMs,
    ),
  )
  const views = (await cluster.views()).filter((view) => view !== null)
  recorder.add({ type: 'final', of: 'views', views, atMs: recorder.nowMs() })
  await noteStuck(cluster, () => recordCatalogAndOrders(cluster, views))
  for (const identity of shoppers.flatMap((shopper) => shopper.identities()))
    await noteStuck(cluster, () => recordCart(cluster, identity))
}
