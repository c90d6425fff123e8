/** What must hold when everything has healed: progress, equal copies everywhere, nothing lost and nothing twice. */
import type { OrderRecord } from '../../node/commands.ts'
import type { OrderId, Sku, UserId } from '../../node/ids.ts'
import type { Cluster } from './cluster.ts'
import type { Host, Life } from './host.ts'
import { wasPlaced } from './order-book.ts'
import type { Shopper } from './shopper.ts'

type Up = { host: Host; life: Life }

/** Greatest page of a list that the stores give. */
const pageSize = 200

/** Why the cluster is not settled yet; null when it is: nothing undelivered, all copies of the same version. */
export function unsettled(cluster: Cluster): string | null {
  const lives = cluster.lives()
  if (lives.length < cluster.inService.length) return 'not all nodes are up'
  const names = cluster.inService.map(({ name }) => name).sort()
  const first = lives[0] as Up
  const catalog = first.life.stores.shop.read.catalog()
  for (const { host, life } of lives) {
    const { version, digest } = life.stores.shop.read.catalog()
    if (version !== catalog.version || digest !== catalog.digest)
      return `${host.name} has catalog version ${version}, ${first.host.name} ${catalog.version}`
    const outbox = life.stores.local.outbox().length
    if (outbox > 0) return `${host.name} has ${outbox} orders in its outbox`
    const { undelivered, underReplicated } = life.replica.parts.carts.counts()
    if (undelivered + underReplicated > 0)
      return `${host.name} has ${undelivered} undelivered and ${underReplicated} under-replicated carts`
    const view = life.api.cluster.view()
    const listed = view.members.map(({ node }) => node).sort()
    if (listed.join() !== names.join()) return `${host.name} lists the members ${listed.join()}`
    if (!view.settled) return `${host.name} says that it is not settled`
  }
  const nobody = withoutPrimary(cluster)
  if (nobody !== null) return nobody
  return unequalVoters(voters(lives))
}

export function withoutPrimary(cluster: Cluster): string | null {
  const count = primaries(cluster.lives()).length
  return count === 1 ? null : `${count} nodes are primary`
}

function primaries(lives: readonly Up[]): Up[] {
  return lives.filter(({ life }) => life.replica.parts.consensus.isPrimary())
}

/** Those that vote, by the primary's configuration. */
export function voters(lives: readonly Up[]): Up[] {
  const config = primaries(lives)[0]?.life.replica.parts.consensus.raft.config
  return lives.filter(({ host }) => config?.voters.includes(host.id) === true)
}

function unequalVoters(all: readonly Up[]): string | null {
  const states = all.map(({ host, life }) => {
    const { count, digest } = life.stores.shop.read.ordersDigest()
    return { name: host.name, index: life.replica.appliedIndex(), orders: `${count} ${digest}` }
  })
  const first = states[0]
  if (first === undefined) return 'nobody votes'
  const other = states.find(({ index, orders }) => index !== first.index || orders !== first.orders)
  return other === undefined
    ? null
    : `${first.name} applied ${first.index} (orders ${first.orders}), ${other.name} ${other.index} (${other.orders})`
}

/** Undecided intents must not outlive the trouble (P3). */
export function undecided(cluster: Cluster, users: readonly UserId[]): string | null {
  for (const { host, life } of cluster.lives())
    for (const user of users) {
      const intents = life.replica.parts.carts.peek(user)?.undecidedIntents() ?? []
      if (intents.length > 0) return `${host.name} has an undecided intent of ${user} (${intents[0]?.id})`
    }
  return null
}

/** P6: every member of a set has the same content of a cart. */
export function unequalCarts(cluster: Cluster, users: readonly UserId[]): string | null {
  for (const user of users) {
    const first = cluster.lives()[0] as Up
    const set = first.life.replica.parts.homes.serverSet(user)
    const copies = cluster.lives().flatMap(({ host, life }) => {
      if (!set.includes(host.id)) return []
      const document = life.replica.parts.carts.peek(user)
      return [{ name: host.name, hash: document?.contentHash() ?? 'nothing' }]
    })
    if (new Set(copies.map(({ hash }) => hash)).size > 1)
      return `copies of the cart of ${user} differ: ${copies.map(({ name, hash }) => `${name} ${hash.slice(0, 8)}`).join(', ')}`
  }
  return null
}

/** P2 and P4: every voter has the same orders, among them all that were answered, and none that nobody asked for. */
export function checkOrders(cluster: Cluster, shoppers: readonly Shopper[]): void {
  const all = voters(cluster.lives())
  const tables = all.map(({ host, life }) => ({ host, orders: allOrders(life) }))
  const reference = tables[0]?.orders ?? new Map<OrderId, OrderRecord>()
  for (const { host, orders } of tables)
    for (const id of new Set([...orders.keys(), ...reference.keys()]))
      if (JSON.stringify(orders.get(id)) !== JSON.stringify(reference.get(id)))
        cluster.violation(`P2: order ${id} at ${host.name} differs from the one at ${tables[0]?.host.name}`)
  checkSoldOnce(cluster, all[0]?.life ?? null, [...reference.keys()])
  const numbers = new Map<string, OrderId>()
  for (const { id, number } of reference.values()) {
    if (number === null) continue
    if (numbers.has(number))
      cluster.violation(`P2: orders ${id} and ${numbers.get(number)} have number ${number}`)
    numbers.set(number, id)
  }
  for (const shopper of shoppers)
    for (const { id, record, decided, promised, request } of shopper.orders.all) {
      if (!promised || id === null || record === null) continue
      const kept = reference.get(id)
      if (!decided) cluster.violation(`P3: ${request.key} was answered 202 and is still ${record.status}`)
      else if (kept === undefined)
        cluster.violation(`P2: ${request.key} (${id}) was answered ${record.status} and is lost`)
      else if (wasPlaced(record) !== wasPlaced(kept))
        cluster.violation(`P2: ${request.key} was answered ${record.status}, the log has ${kept.status}`)
    }
}

/** P4: every entry of a cart is in one order at most. */
function checkSoldOnce(cluster: Cluster, life: Life | null, orders: readonly OrderId[]): void {
  const takers = new Map<string, OrderId>()
  for (const order of orders)
    for (const tag of life?.stores.shop.read.orderTags(order) ?? []) {
      const other = takers.get(tag)
      if (other !== undefined) cluster.violation(`P4: entry ${tag} was sold to ${other} and to ${order}`)
      takers.set(tag, order)
    }
}

export function allOrders(life: Life): Map<OrderId, OrderRecord> {
  const found = new Map<OrderId, OrderRecord>()
  let cursor: string | undefined
  do {
    const page = life.stores.shop.orders({ limit: pageSize, ...(cursor === undefined ? {} : { cursor }) })
    for (const order of page.items) found.set(order.id, order)
    cursor = page.next ?? undefined
  } while (cursor !== undefined)
  return found
}

/**
 * Nothing is made out of nothing: what a shopper ordered and what is left in the cart is at most what was ever put in.
 * Holds whatever is known of the answers.
 */
export function checkConservation(
  cluster: Cluster,
  shopper: Shopper,
  left: readonly { sku: Sku; quantity: number }[],
): void {
  const first = voters(cluster.lives())[0]
  if (first === undefined) return
  const sums = new Map<Sku, number>()
  const add = (sku: Sku, quantity: number): void => void sums.set(sku, (sums.get(sku) ?? 0) + quantity)
  for (const { sku, quantity } of left) add(sku, quantity)
  const users = new Set(shopper.users)
  for (const order of allOrders(first.life).values())
    if (users.has(order.user) && wasPlaced(order))
      for (const { sku, quantity } of order.lines) add(sku as Sku, quantity)
  for (const [sku, quantity] of sums) {
    const most = shopper.model.entries
      .filter((entry) => entry.sku === sku && !entry.refused)
      .reduce((sum, entry) => sum + entry.quantity, 0)
    if (quantity > most)
      cluster.violation(
        `P4: ${shopper.name} ordered or has ${quantity} of ${sku}, and put in ${most} at most`,
      )
  }
}
