/** Carts and orders of a fake node. */
import { createHash } from 'node:crypto'
import type { OrderRecord } from '../../node/commands.ts'

import { Fault } from '../../node/faults.ts'
import type { Handle, OrderId, Sku, UserId } from '../../node/ids.ts'

import type {
  CartChange,
  CartChangeResult,
  CartView,
  NodeAddress,
  OrderAnswer,
  OrderFound,
  OrderRequest,
  Replica,
} from '../../node/replica-api.ts'

import type { FakeWorld } from './fake-world.ts'

export class FakeCarts {
  readonly #world: FakeWorld
  readonly #self: NodeAddress
  constructor(world: FakeWorld, self: NodeAddress) {
    this.#world = world
    this.#self = self
  }
  route: Replica['carts']['route'] = async (user, hops) => {
    await Promise.resolve()
    const known = this.#world.users.get(user)
    if (known === undefined) throw new Fault('no-home', 'no member of the set can be reached')
    const { home, epoch } = known
    if (home.node === this.#self.node || hops >= 2) return { kind: 'here', epoch }
    return { kind: 'redirect', home, epoch }
  }
  viewOf(user: UserId): CartView {
    const items = [...(this.#world.carts.get(user) ?? [])].map(([sku, quantity]) => {
      const found = this.#world.product(sku)
      const unitPrice = found?.variant.price.amount ?? 0
      return {
        sku,
        handle: found?.product.handle ?? ('gone' as Handle),
        title: found === null ? sku : found.product.title,
        image: found?.product.images[0]?.src ?? null,
        quantity,
        unitPrice,
        lineTotal: unitPrice * quantity,
        forSale: found?.product.status === 'active',
        ...(this.#world.agreed.has(sku) ? { previousPrice: this.#world.agreed.get(sku) ?? 0 } : {}),
      }
    })
    const lines = items.map(({ sku, quantity, unitPrice }) => [sku, quantity, unitPrice])
    return {
      user,
      items,
      total: items.reduce((sum, item) => sum + item.lineTotal, 0),
      currency: this.#world.currency,
      hash: createHash('sha256').update(JSON.stringify(lines)).digest('hex').slice(0, 32),
      complete: true,
      ordering: [...this.#world.orders.values()]
        .filter((one) => one.user === user && one.status === 'pending')
        .map((one) => ({ order: one.id, items: one.lines.map(({ sku, quantity }) => ({ sku, quantity })) })),
      merged: this.#world.merged,
      home: this.#world.users.get(user)?.home ?? this.#self,
      catalogVersion: this.#world.version,
    }
  }
  async view(user: UserId): Promise<CartView> {
    return await Promise.resolve(this.viewOf(user))
  }
  localView(user: UserId): CartView | null {
    return this.#world.carts.has(user) ? this.viewOf(user) : null
  }
  async homeView(user: UserId): Promise<CartView> {
    return await Promise.resolve(this.viewOf(user))
  }
  async change(user: UserId, change: CartChange, key?: string): Promise<CartChangeResult> {
    await Promise.resolve()
    const cart = this.#world.carts.get(user) ?? new Map<Sku, number>()
    this.#world.carts.set(user, cart)
    const operation = JSON.stringify(change)
    const known = key === undefined ? undefined : this.#world.keys.get(`${user} ${key}`)
    if (known !== undefined && known !== operation)
      throw new Fault('key-reused', 'the key came with another change')
    if (known === undefined) this.#apply(cart, change)
    if (key !== undefined) this.#world.keys.set(`${user} ${key}`, operation)
    const view = this.viewOf(user)
    this.#world.tell(user, { kind: 'cart', data: view })
    return { cart: view, acks: 2, wanted: 2 }
  }
  #apply(cart: Map<Sku, number>, change: CartChange): void {
    if (change.kind === 'clear') return cart.clear()
    if (change.kind === 'remove') return void cart.delete(change.sku)
    const found = this.#world.product(change.sku)
    if (found === null) throw new Fault('not-found', 'there is no such SKU')
    if (found.product.status !== 'active') {
      const changes = [{ sku: change.sku, old: found.variant.price.amount, new: null }]
      throw new Fault('not-for-sale', 'this is not for sale', { changes })
    }
    const before = change.kind === 'add' ? (cart.get(change.sku) ?? 0) : 0
    cart.set(change.sku, before + change.quantity)
  }
}

export class FakeOrders {
  readonly #world: FakeWorld
  readonly #carts: FakeCarts
  constructor(world: FakeWorld, carts: FakeCarts) {
    this.#world = world
    this.#carts = carts
  }
  async place(user: UserId, request: OrderRequest): Promise<OrderAnswer> {
    await Promise.resolve()
    if (this.#world.failure !== null) throw this.#world.failure
    const id =
      `o${createHash('sha256').update(`${user} ${request.key}`).digest('hex').slice(0, 32)}` as OrderId
    const bodyHash = JSON.stringify([request.hash, request.contact ?? null, request.note ?? null])
    const known = this.#world.orders.get(id)
    const cart = this.#carts.viewOf(user)
    if (known !== undefined) {
      if (known.bodyHash !== bodyHash) throw new Fault('key-reused', 'the key came with another order')
      return { order: known, cart }
    }
    const order = { ...this.#decided(cart, request), id, user, bodyHash }
    this.#world.orders.set(id, order)
    if (order.status !== 'refused') this.#world.carts.delete(user)
    this.#world.tell(user, { kind: 'order', data: order })
    return { order, cart }
  }
  #decided(cart: CartView, request: OrderRequest): Omit<OrderRecord, 'id' | 'user' | 'bodyHash'> {
    const gone = cart.items.filter(({ forSale }) => !forSale)
    const changes = gone.map(({ sku, unitPrice }) => ({ sku, old: unitPrice, new: null }))
    const changed = request.hash !== '*' && request.hash !== cart.hash
    const reason =
      cart.items.length === 0
        ? 'empty-cart'
        : changed
          ? 'cart-changed'
          : gone.length > 0
            ? 'not-for-sale'
            : undefined
    const status = reason !== undefined ? 'refused' : this.#world.slow ? 'pending' : 'placed'
    const at = new Date(this.#world.nowMs).toISOString()
    return {
      number: status === 'placed' ? String(1000 + this.#world.orders.size) : null,
      status,
      currency: cart.currency,
      lines: cart.items.map(({ sku, title, quantity, unitPrice }) => ({ sku, title, quantity, unitPrice })),
      total: cart.total,
      catalogVersion: cart.catalogVersion,
      createdAt: at,
      ...(status === 'placed' ? { placedAt: at } : {}),
      ...(reason === undefined ? {} : { reason }),
      ...(changes.length === 0 ? {} : { changes }),
      history: [{ status, at, by: 'system' }],
      ...(request.contact === undefined ? {} : { contact: request.contact }),
      ...(request.note === undefined ? {} : { note: request.note }),
    }
  }
  async get(id: OrderId): Promise<OrderFound> {
    const order = this.#world.orders.get(id)
    if (order === undefined) throw new Fault('not-found', 'there is no such order')
    return await Promise.resolve({ order, stale: this.#world.stale })
  }
  listLocal: Replica['orders']['listLocal'] = ({ user, status, number, q, from, to, limit, cursor }) => {
    const offset = cursor === undefined ? 0 : Number(cursor)
    if (!Number.isSafeInteger(offset)) throw new Fault('invalid-request', 'not a cursor')
    const all = [...this.#world.orders.values()].filter(
      (one) =>
        (user === undefined || one.user === user) &&
        (status === undefined || one.status === status) &&
        (number === undefined || one.number === number) &&
        (q === undefined || (one.note ?? '').includes(q)) &&
        (from === undefined || one.createdAt >= from) &&
        (to === undefined || one.createdAt < to),
    )
    const end = offset + limit
    return { items: all.slice(offset, end), next: end < all.length ? String(end) : null }
  }
  list: Replica['orders']['list'] = async (query) =>
    await Promise.resolve({ ...this.listLocal(query), stale: this.#world.stale })
  async cancel(user: UserId, id: OrderId): Promise<OrderRecord> {
    const { order } = await this.get(id)
    if (order.user !== user) throw new Fault('not-found', 'there is no such order')
    return this.#become(order, 'cancelled', 'user')
  }
  setStatus: Replica['orders']['setStatus'] = async (id, status) =>
    this.#become((await this.get(id)).order, status, 'admin')
  #become(before: OrderRecord, status: 'shipped' | 'cancelled', by: 'user' | 'admin'): OrderRecord {
    if (before.status !== 'placed' && before.status !== 'pending')
      throw new Fault('conflict', `the order is ${before.status}`)
    const at = new Date(this.#world.nowMs).toISOString()
    const after: OrderRecord = { ...before, status, history: [...before.history, { status, at, by }] }
    this.#world.orders.set(after.id, after)
    this.#world.tell(after.user, { kind: 'order', data: after })
    return after
  }
}
