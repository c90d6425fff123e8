/** What one shopper knows of the orders that it asked for: one key, one order, one decision, for ever (P2, P3, P4, P7). */
import type { OrderRecord } from '../../node/commands.ts'
import type { NodeName, OrderId, Sku, UserId } from '../../node/ids.ts'
import type { CartView, OrderRequest } from '../../node/replica-api.ts'
import type { CartModel } from './cart-model.ts'
import type { Client } from './client.ts'
import type { Cluster } from './cluster.ts'
import type { SeededRandom } from './random.ts'
import type { Shop } from './shop.ts'

export type PlacedOrder = {
  readonly user: UserId
  readonly request: OrderRequest
  /** The cart that the shopper agreed to. */
  readonly seen: CartView
  id: OrderId | null
  /** The newest answer. */
  record: OrderRecord | null
  /** An answer said that it will end (201, 202 or 409). */
  promised: boolean
  decided: boolean
  cancelAsked: boolean
}

export type OrderBookOptions = {
  name: string
  cluster: Cluster
  client: Client
  shop: Shop
  random: SeededRandom
}

/** Placed at some time: it has a number, whatever became of it later. */
export function wasPlaced(record: OrderRecord): boolean {
  return record.number !== null
}

export class OrderBook {
  readonly #options: OrderBookOptions
  readonly all: PlacedOrder[] = []

  constructor(options: OrderBookOptions) {
    this.#options = options
  }

  async place(user: UserId, request: OrderRequest, model: CartModel, seen: CartView): Promise<PlacedOrder> {
    const order: PlacedOrder = {
      user,
      request,
      seen,
      id: null,
      record: null,
      promised: false,
      decided: false,
      cancelAsked: false,
    }
    this.all.push(order)
    await this.#ask(order, model)
    // At once and at any node, where it may not have been applied yet: what was answered must be found.
    if (order.decided && this.#options.random.chance(0.5)) await this.#read(order, model)
    return order
  }

  /** The same request again, at whatever node: nothing may change by it. */
  async retryOne(user: UserId, model: CartModel): Promise<void> {
    const mine = this.all.filter((order) => order.user === user)
    if (mine.length === 0) return
    const order = this.#options.random.pick(mine)
    if (order.id !== null && this.#options.random.chance(0.5)) await this.#read(order, model)
    else await this.#ask(order, model)
  }

  async cancelOne(user: UserId, model: CartModel): Promise<void> {
    const { client, random, cluster } = this.#options
    const mine = this.all.filter((order) => order.user === user && order.id !== null)
    if (mine.length === 0) return
    const order = random.pick(mine)
    order.cancelAsked = true
    const { outcome } = await client.anywhere((api) => api.orders.cancel(user, order.id as OrderId))
    client.count(`cancellations ${outcome.kind}`)
    cluster.note(`${order.request.key} cancelled: ${outcome.kind}`)
    if (outcome.kind === 'done') this.#heard(order, outcome.value, model, null)
  }

  /** After everything healed: every order that was promised an end has one, without anybody asking for it again. */
  async settleAll(model: CartModel): Promise<void> {
    for (const order of this.all) {
      if (order.decided) continue
      if (order.id !== null) await this.#read(order, model)
      else await this.#ask(order, model)
      if (!order.decided && order.id !== null) await this.#read(order, model)
    }
  }

  async #ask(order: PlacedOrder, model: CartModel): Promise<void> {
    const { client, cluster } = this.#options
    const { user, request } = order
    const ending = order.decided ? null : model.ending('all', request.key as OrderId)
    cluster.note(`${request.key} order ${request.hash.slice(0, 6)} …`)
    const { outcome, ended } = await client.atHome(user, (api) => api.orders.place(user, request))
    client.count(`orders ${outcome.kind}`)
    if (outcome.kind === 'done') {
      const { node, epoch, value } = outcome
      cluster.note(
        `${request.key} at ${node} epoch ${epoch}: ${value.order.status} ${value.order.reason ?? ''}`,
      )
      this.#heard(order, value.order, model, { node, epoch })
    } else {
      const why = outcome.kind === 'refused' ? outcome.fault.code : outcome.reason
      cluster.note(`${request.key}: ${outcome.kind}, ${why}`)
      if (outcome.kind === 'refused') this.#checkRefusal(order, outcome.fault.code)
    }
    if (ending !== null && !order.decided) model.linger('all', ending.ending, ended)
  }

  #checkRefusal(order: PlacedOrder, code: string): void {
    const honest = ['no-home', 'no-primary', 'overloaded', 'behind', 'disk-full']
    if (!honest.includes(code))
      this.#options.cluster.violation(
        `P4: ${order.request.key} was refused with ${code}, which is no decision`,
      )
  }

  async #read(order: PlacedOrder, model: CartModel): Promise<void> {
    const { client, cluster } = this.#options
    const { outcome } = await client.anywhere((api) => api.orders.get(order.id as OrderId))
    if (outcome.kind === 'done') this.#heard(order, outcome.value.order, model, null)
    else if (outcome.kind === 'refused' && outcome.fault.code === 'not-found' && order.promised) {
      // Nobody who could know was asked only if no majority answered; then it is another fault.
      const text = `P2: ${order.request.key} was answered ${order.record?.status}, and is not found later`
      if (order.decided) cluster.violation(text)
      else client.count('pending orders not found')
    }
  }

  /** An answer about an order, held against all that was said of it before. */
  #heard(
    order: PlacedOrder,
    record: OrderRecord,
    model: CartModel,
    served: { node: NodeName; epoch: number } | null,
  ): void {
    const { cluster, client } = this.#options
    const { key } = order.request
    const before = order.record
    if (order.id !== null && order.id !== record.id)
      cluster.violation(`P4: ${key} is two orders, ${order.id} and ${record.id}`)
    if (record.user !== order.user) cluster.violation(`P10: ${key} is an order of another user`)
    if (before !== null && order.decided) this.#checkUnchanged(key, before, record)
    const wasDecided = order.decided
    // A late answer may be older than one that was heard before.
    if (order.decided && record.status === 'pending') return
    order.id = record.id
    order.record = record
    order.promised = true
    if (record.status === 'pending') return client.count('orders answered pending')
    order.decided = true
    if (wasDecided) return
    client.count(`orders decided ${record.status} ${record.reason ?? ''}`.trim())
    const orderKey = key as OrderId
    if (!wasPlaced(record)) {
      const held = record.reason !== 'cart-changed' && record.reason !== 'empty-cart'
      model.orderUndone(orderKey, held)
      return
    }
    this.#checkPlaced(order, record)
    const stamp = { node: served?.node ?? ('none' as NodeName), epoch: served?.epoch ?? 0 }
    model.orderPlaced(orderKey, record.lines as { sku: Sku; quantity: number }[], {
      ...stamp,
      atMs: cluster.nowMs,
      strong: false,
    })
  }

  /** A decision stays: lines, number, total and reason are the same for ever. */
  #checkUnchanged(key: string, before: OrderRecord, now: OrderRecord): void {
    if (now.status === 'pending') {
      this.#options.client.count('decided orders read as pending')
      return
    }
    const facts = ({ number, lines, total, reason, placedAt }: OrderRecord): string =>
      JSON.stringify({ number, lines, total, reason, placedAt })
    if (facts(before) !== facts(now))
      this.#options.cluster.violation(`P2: ${key} changed from ${facts(before)} to ${facts(now)}`)
  }

  /** P7: what is charged is what the shopper saw. */
  #checkPlaced(order: PlacedOrder, record: OrderRecord): void {
    const { cluster, shop } = this.#options
    const { key, hash } = order.request
    for (const { sku, unitPrice } of record.lines)
      if (shop.prices.get(sku as Sku)?.has(unitPrice) !== true)
        cluster.violation(`P7: ${key} charges ${unitPrice} for ${sku}, which nobody ever asked for`)
    if (hash === '*') return
    const lines = (items: readonly { sku: string; quantity: number; unitPrice: number }[]): string =>
      JSON.stringify(
        items
          .map(({ sku, quantity, unitPrice }) => JSON.stringify([sku, quantity, unitPrice]))
          .sort((a, b) => (a < b ? -1 : 1)),
      )
    if (lines(record.lines) !== lines(order.seen.items))
      cluster.violation(`P7: ${key} is of ${lines(record.lines)}, the shopper saw ${lines(order.seen.items)}`)
  }
}
