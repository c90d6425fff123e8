/**
 * Real processes: home and primary killed together again and again while orders are being placed (P2, P3, P4). Every 201 and
 * 202 is accounted for exactly once afterwards, at every voter, and what was put into the carts was sold or is still there.
 */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import type { UserId } from '../../node/ids.ts'
import { orderIdOf } from '../../node/replica/order-intents.ts'
import { until, withCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'
import { Shopper, quantities } from '../support/shopper.ts'

/** In the normal run, which should not take a quarter of an hour; SOUK_KILLS=20 for the long one. */
const killsWanted = Number(process.env['SOUK_KILLS'] ?? 6)
/** Twenty rounds of some four seconds, on a machine that may be ten times as busy. */
const timeLimitMs = 900_000
const patienceMs = 180_000
const nodes = ['n1', 'n2', 'n3', 'n4', 'n5']
const shoppersCount = 4
const sku = 'LAMP'

type Ordered = {
  key: string
  shopper: Shopper
  hash: string
  status: number
  id: string
  number: string | null
}
type Order = { id: string; number: string | null; status: string; lines: { sku: string; quantity: number }[] }
type View = {
  primary: { node: string } | null
  settled: boolean
  orders: { count: number; digest: string } | null
  members: { node: string; voter: boolean; alive: boolean }[]
}

/** What shoppers were told. */
class Ledger {
  readonly orders: Ordered[] = []
  /** Keys whose outcome nobody was told. */
  readonly unknown: { key: string; shopper: Shopper }[] = []
  readonly acknowledged = new Map<Shopper, number>()
  /** Additions of which nothing was heard: done, or not. */
  readonly doubtful = new Map<Shopper, number>()
  placed = 0
  goesOn = true

  /** One lamp into the cart, and an order of it, again and again. */
  async shop(shopper: Shopper): Promise<void> {
    for (let turn = 0; this.goesOn; turn += 1) {
      if (!(await this.#add(shopper, turn))) continue
      const key = randomUUID()
      try {
        const { hash } = await shopper.cart(turn + 1)
        const { status, order } = await shopper.order(hash, key, turn + 2)
        this.orders.push({ key, shopper, hash, status, id: order.id, number: order.number })
        if (status === 201) this.placed += 1
      } catch {
        this.unknown.push({ key, shopper })
      }
    }
  }

  async #add(shopper: Shopper, turn: number): Promise<boolean> {
    const count = (counts: Map<Shopper, number>): void =>
      void counts.set(shopper, (counts.get(shopper) ?? 0) + 1)
    try {
      const { status } = await shopper.add(sku, 1, turn)
      if (status === 200) count(this.acknowledged)
      return status === 200
    } catch {
      count(this.doubtful)
      return false
    }
  }
}

async function ask(cluster: TestCluster, node: string, path: string): Promise<unknown> {
  const signal = AbortSignal.timeout(5_000)
  const response = await fetch(cluster.url(node, path), { headers: cluster.adminHeaders(), signal })
  return response.ok ? await response.json() : null
}

async function view(cluster: TestCluster, node: string): Promise<View | null> {
  return (await ask(cluster, node, '/api/cluster').catch(() => null)) as View | null
}

async function primaryOf(cluster: TestCluster): Promise<string> {
  return await until('there is a primary', async () => {
    const views = await Promise.all(nodes.map((node) => view(cluster, node)))
    const named = new Set(views.map((one) => one?.primary?.node))
    return named.size === 1 && views[0]?.primary?.node
  })
}

/** kill -9 of both in one moment; then orders go on, then both are back. */
async function killTogether(cluster: TestCluster, ledger: Ledger, shopper: Shopper): Promise<void> {
  const primary = await primaryOf(cluster)
  const home = (await shopper.cart()).home.node
  const { nodes: states } = await cluster.status()
  const dying = new Set([home, primary])
  for (const { node, pid } of states) if (dying.has(node) && pid !== null) process.kill(pid, 'SIGKILL')
  const before = ledger.placed
  await until('orders are placed without them', () => ledger.placed >= before + 2, patienceMs)
  // On a busy machine a node may need longer than the launcher waits: what counts is that it is there.
  await Promise.all([...dying].map((node) => cluster.run('start', node)))
  await until(
    'both are back',
    async () => (await Promise.all([...dying].map((node) => view(cluster, node)))).every(Boolean),
    patienceMs,
  )
}

async function localOrders(cluster: TestCluster, node: string): Promise<Map<string, Order>> {
  const found = new Map<string, Order>()
  let cursor: string | null = null
  do {
    const more: string = cursor === null ? '' : `&cursor=${cursor}`
    const page = (await ask(cluster, node, `/api/admin/orders?local=true&limit=200${more}`)) as {
      items: Order[]
      next: string | null
    }
    for (const order of page.items) {
      expect(found.has(order.id)).toBe(false)
      found.set(order.id, order)
    }
    cursor = page.next
  } while (cursor !== null)
  return found
}

async function settled(cluster: TestCluster): Promise<View[]> {
  return await until('all nodes are settled and all voters agree', async () => {
    const views = await Promise.all(nodes.map((node) => view(cluster, node)))
    const books = new Set(views.flatMap((one) => (one?.orders ? [JSON.stringify(one.orders)] : [])))
    return books.size === 1 && views.every((one): one is View => one?.settled === true) && views
  })
}

/** What was told and what is kept, where they differ. */
function differences(ledger: Ledger, kept: Map<string, Order>): string[] {
  const askedFor = (one: { key: string; shopper: Shopper }): string =>
    orderIdOf(one.shopper.user as UserId, one.key)
  const asked = new Set([...ledger.unknown, ...ledger.orders].map(askedFor))
  // A refusal names its reason, not the order.
  const promised = ledger.orders.filter(({ status }) => status === 201 || status === 202)
  const lost = promised.flatMap((told) => {
    const order = kept.get(told.id)
    const ends = told.status === 201 ? ['placed'] : ['placed', 'refused', 'cancelled']
    const isKept =
      told.id === askedFor(told) &&
      ends.includes(order?.status ?? 'lost') &&
      (told.status === 202 || order?.number === told.number)
    return isKept ? [] : [`${told.status} ${told.id} ${told.number}: ${JSON.stringify(order)}`]
  })
  const strangers = [...kept.keys()].filter((id) => !asked.has(id)).map((id) => `nobody asked for ${id}`)
  const numbers = [...kept.values()].flatMap(({ number }) => (number === null ? [] : [number]))
  const twice = numbers.filter((number, index) => numbers.indexOf(number) !== index)
  return [...lost, ...strangers, ...twice.map((number) => `${number} is of two orders`)]
}

/** Sold once or still in the cart: nothing lost, nothing doubled. */
async function checkConservation(ledger: Ledger, shopper: Shopper, kept: Map<string, Order>): Promise<void> {
  const mine = [...kept.values()].filter(
    (order) => (order as Order & { user: string }).user === shopper.user && order.status === 'placed',
  )
  const sold = mine.flatMap(({ lines }) => lines).reduce((sum, { quantity }) => sum + quantity, 0)
  const left = quantities(await shopper.cart())[sku] ?? 0
  const acknowledged = ledger.acknowledged.get(shopper) ?? 0
  expect(sold + left).toBeGreaterThanOrEqual(acknowledged)
  expect(sold + left).toBeLessThanOrEqual(acknowledged + (ledger.doubtful.get(shopper) ?? 0))
}

test(
  'home and primary killed together twenty times: every 201 and 202 is there exactly once',
  async () => {
    await withCluster({ nodes: 5 }, async (cluster) => {
      const product = { title: 'Lamp', variants: [{ sku, price: { amount: 1_000, currency: 'USD' } }] }
      const made = await fetch(cluster.url('n1', '/api/admin/products/lamp'), {
        method: 'PUT',
        headers: { ...cluster.adminHeaders(), 'content-type': 'application/json' },
        body: JSON.stringify(product),
      })
      expect(made.status).toBe(200)
      const ledger = new Ledger()
      const shoppers: Shopper[] = []
      for (let count = 0; count < shoppersCount; count += 1)
        shoppers.push(await new Shopper(nodes.map((node) => cluster.url(node))).becomeGuest())
      const shopping = shoppers.map((shopper) => ledger.shop(shopper))
      for (let kill = 0; kill < killsWanted; kill += 1)
        await killTogether(cluster, ledger, shoppers[kill % shoppersCount] as Shopper)
      ledger.goesOn = false
      await Promise.all(shopping)
      const views = await settled(cluster)
      const voters = (views[0] as View).members.filter(({ voter }) => voter).map(({ node }) => node)
      expect(voters).toHaveLength(5)
      const books = await Promise.all(voters.map((voter) => localOrders(cluster, voter)))
      const kept = books[0] as Map<string, Order>
      for (const book of books) expect(book).toEqual(kept)
      expect(differences(ledger, kept)).toEqual([])
      for (const shopper of shoppers) await checkConservation(ledger, shopper, kept)
      // The same key again, anywhere: the same order.
      const some = ledger.orders.filter(({ status }, index) => status === 201 && index % 10 === 0)
      for (const [index, { key, shopper, hash, number }] of some.entries()) {
        const again = await shopper.order(hash, key, index)
        expect([again.status, again.order.number]).toEqual([201, number])
      }
      expect(ledger.placed).toBeGreaterThanOrEqual(killsWanted * 2)
    })
  },
  timeLimitMs,
)
