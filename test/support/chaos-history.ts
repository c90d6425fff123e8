/**
 * Histories of chaos runs without a cluster: a shop that keeps every promise, driven by a seed, with answers that are
 * lost now and then and nodes that die. What its checkers find in it would be a false alarm.
 */
import { cartHash } from '../../node/core/carts.ts'
import type { UserId } from '../../node/ids.ts'
import { orderIdOf } from '../../node/replica/order-intents.ts'
import type {
  Answered,
  Asked,
  Attempt,
  CartSeen,
  HistoryLine,
  Kind,
  OrderSeen,
  ProductSeen,
  View,
} from '../chaos/history.ts'
import { seededRandom } from '../sim/random.ts'
import type { SeededRandom } from '../sim/random.ts'

const nodes = ['n1', 'n2', 'n3', 'n4', 'n5']
const skus = ['A', 'B', 'C']
const serverSet = ['n1', 'n2', 'n3']
const operationsCount = 150
const clients = 3

type Shopper = { process: string; user: string; cart: Map<string, number>; orders: OrderSeen[]; keys: number }
type Doing = { kind: Kind; process: string; asked: Asked; home?: string; perform: () => Done }
type Done = { status: number; problem?: string; answered: Answered }

export class PerfectShop {
  readonly lines: HistoryLine[] = []
  readonly #random: SeededRandom
  readonly #products = new Map<string, ProductSeen>()
  readonly #orders = new Map<string, OrderSeen>()
  readonly #shoppers: Shopper[]
  #version = 0
  #term = 1
  #nowMs = 0
  #operations = 0
  #amounts = 1_000
  #seenVersion = 0

  constructor(seed: number) {
    this.#random = seededRandom(seed)
    this.#shoppers = Array.from({ length: clients }, (_, index) => ({
      process: `s${index + 1}`,
      user: `a${String(index + 1).repeat(32)}`,
      cart: new Map<string, number>(),
      orders: [],
      keys: 0,
    }))
  }

  run(): HistoryLine[] {
    this.lines.push({ type: 'run', seed: 1, nodes: 5, minutes: 1, command: '', patience: 1, atMs: 0 })
    for (const node of nodes) this.lines.push({ type: 'node', node, condition: 'live', atMs: 0 })
    this.#views()
    for (const sku of skus) this.#do(this.#put(sku), 'always')
    for (const { process, user } of this.#shoppers) {
      const answered = { user, serverSet }
      this.#do({ kind: 'guest', process, asked: {}, perform: () => ({ status: 201, answered }) }, 'always')
    }
    for (let count = 0; count < operationsCount; count += 1) this.#step()
    this.#end()
    return this.lines
  }

  #step(): void {
    const draw = this.#random.below(20)
    const shopper = this.#random.pick(this.#shoppers)
    if (draw === 0) this.#kill()
    else if (draw === 1) this.#views()
    else if (draw === 2) this.#do(this.#put(this.#random.pick(skus)), 'maybe')
    else if (draw === 3) this.#do(this.#patch(this.#random.pick(skus)), 'maybe')
    else if (draw < 6) this.#do(this.#browse(), 'always')
    else if (draw === 6) this.#do(this.#order(shopper), 'maybe')
    else if (draw === 7) this.#retryOrder(shopper)
    else if (draw < 10) this.#do(this.#look(shopper), 'maybe')
    else this.#do(this.#change(shopper), 'maybe')
  }

  // ---------------------------------------------------------------- requests

  /** An answer that got lost may have been done or not; then the same thing is asked for again, or not. */
  #do(doing: Doing, how: 'always' | 'maybe'): void {
    this.#operations += 1
    this.#nowMs += this.#random.between(1, 40)
    const draw = how === 'always' ? 9 : this.#random.below(12)
    if (draw === 0) return this.#attempt(doing, { status: 503, problem: 'no-primary', answered: {} }, 'fail')
    if (draw === 1) {
      const done = doing.perform()
      this.#attempt(doing, { status: 0, answered: {} }, 'unknown')
      return this.#attempt(doing, done)
    }
    if (draw === 2) {
      if (this.#random.chance(0.5)) doing.perform()
      return this.#attempt(doing, { status: 0, answered: {} }, 'unknown')
    }
    this.#attempt(doing, doing.perform())
  }

  #attempt(
    { kind, process, asked, home }: Doing,
    { status, problem, answered }: Done,
    outcome: Attempt['outcome'] = status < 400 ? 'ok' : 'fail',
  ): void {
    const calledMs = this.#nowMs
    this.#nowMs += this.#random.between(1, 60)
    const node = this.#random.pick(nodes)
    this.lines.push({
      type: 'attempt',
      process,
      operation: this.#operations,
      kind,
      node,
      server: status === 0 ? null : (home ?? node),
      calledMs,
      returnedMs: this.#nowMs,
      outcome,
      status: status === 0 ? null : status,
      problem: problem ?? null,
      asked,
      answered: status === 0 ? {} : { version: this.#version, ...answered },
    })
  }

  #put(sku: string): Doing {
    const handle = sku.toLowerCase()
    this.#amounts += 1
    const amount = this.#amounts
    const perform = (): Done => this.#write(handle, amount)
    return { kind: 'product.put', process: 'admin', asked: { handle, amount }, perform }
  }

  /** Sometimes of a version that is not the newest any more. */
  #patch(sku: string): Doing {
    const handle = sku.toLowerCase()
    this.#amounts += 1
    const amount = this.#amounts
    const current = this.#products.get(handle)?.version ?? 0
    const ifMatch = this.#random.chance(0.3) ? current - 1 : current
    const perform = (): Done => {
      if (this.#products.get(handle)?.version === ifMatch) return this.#write(handle, amount)
      return { status: 412, problem: 'precondition-failed', answered: {} }
    }
    return { kind: 'product.patch', process: 'admin', asked: { handle, amount, ifMatch }, perform }
  }

  #write(handle: string, amount: number): Done {
    const known = this.#products.get(handle)
    if (known?.amount === amount) return { status: 200, answered: { products: [known] } }
    this.#version += 1
    const product = { handle, version: this.#version, amount }
    this.#products.set(handle, product)
    return { status: 200, answered: { products: [product] } }
  }

  #browse(): Doing {
    const asked = this.#random.chance(0.5) ? { seenVersion: this.#seenVersion } : {}
    this.#seenVersion = this.#version
    const perform = (): Done => ({ status: 200, answered: { products: [...this.#products.values()] } })
    return { kind: 'catalog.list', process: 'reader', asked, perform }
  }

  #cartOf({ user, cart }: Shopper): CartSeen {
    const items = [...cart]
      .filter(([, quantity]) => quantity > 0)
      .map(([sku, quantity]) => ({
        sku,
        quantity,
        unitPrice: this.#products.get(sku.toLowerCase())?.amount ?? 0,
      }))
    return { user, home: 'n1', complete: true, hash: cartHash(items, 'USD'), items }
  }

  #look(shopper: Shopper): Doing {
    const { process, user } = shopper
    const perform = (): Done => ({ status: 200, answered: { cart: this.#cartOf(shopper) } })
    return { kind: 'cart.view', process, asked: { user }, home: 'n1', perform }
  }

  #change(shopper: Shopper): Doing {
    const { process, user, cart } = shopper
    shopper.keys += 1
    const sku = this.#random.pick(skus)
    const quantity = 1 + this.#random.below(4)
    const kind = this.#random.pick([
      'cart.add',
      'cart.add',
      'cart.add',
      'cart.set',
      'cart.remove',
      'cart.clear',
    ] as const)
    let isDone = false
    const perform = (): Done => {
      if (!isDone && kind === 'cart.add') cart.set(sku, (cart.get(sku) ?? 0) + quantity)
      if (!isDone && kind === 'cart.set') cart.set(sku, quantity)
      if (!isDone && kind === 'cart.remove') cart.delete(sku)
      if (!isDone && kind === 'cart.clear') cart.clear()
      isDone = true
      return { status: 200, answered: { cart: this.#cartOf(shopper), acks: 2 } }
    }
    const asked = { user, sku, quantity, key: `${process}-${shopper.keys}` }
    return { kind, process, asked, home: 'n1', perform }
  }

  #order(shopper: Shopper): Doing {
    const { process, user, cart } = shopper
    shopper.keys += 1
    const key = `${process}-order-${shopper.keys}`
    const seen = this.#cartOf(shopper)
    const id = orderIdOf(user as UserId, key)
    const perform = (): Done => {
      const isEmpty = seen.items.length === 0
      const order: OrderSeen = {
        id,
        number: isEmpty ? null : `S-${this.#orders.size + 1}`,
        user,
        status: isEmpty ? 'refused' : 'placed',
        reason: isEmpty ? 'empty-cart' : null,
        lines: seen.items,
        total: seen.items.reduce((sum, line) => sum + line.quantity * line.unitPrice, 0),
      }
      if (!this.#orders.has(id)) {
        this.#orders.set(id, order)
        if (!isEmpty) cart.clear()
        shopper.orders.push(order)
      }
      if (isEmpty) return { status: 409, problem: 'empty-cart', answered: {} }
      return { status: 201, answered: { order: this.#orders.get(id) as OrderSeen } }
    }
    const asked = { user, key, hash: seen.hash, seen: seen.items }
    return { kind: 'order.place', process, asked, home: 'n1', perform }
  }

  #retryOrder({ process, user, orders }: Shopper): void {
    const placed = orders.filter(({ number }) => number !== null)
    if (placed.length === 0) return
    const order = this.#random.pick(placed)
    const perform = (): Done => ({ status: 200, answered: { order } })
    this.#do({ kind: 'order.read', process, asked: { user, order: order.id }, perform }, 'maybe')
  }

  // ---------------------------------------------------------------- nodes

  #kill(): void {
    const node = this.#random.pick(['n4', 'n5'])
    const fault = this.#operations
    const names = { type: 'fault', fault, kind: 'kill', nodes: [node] } as const
    this.lines.push({ ...names, phase: 'begin', atMs: this.#nowMs })
    this.lines.push({ type: 'node', node, condition: 'dead', atMs: this.#nowMs })
    this.lines.push({ type: 'exit', node, code: null, signal: 'SIGKILL', expected: true, atMs: this.#nowMs })
    this.#nowMs += this.#random.between(100, 900)
    this.lines.push({ type: 'node', node, condition: 'live', atMs: this.#nowMs })
    this.lines.push({ ...names, phase: 'end', atMs: this.#nowMs })
    this.#term += 1
    this.#views()
  }

  #view(node: string): View {
    return {
      node,
      term: this.#term,
      primary: nodes[this.#term % nodes.length] ?? null,
      catalog: { version: this.#version, digest: `digest ${this.#version}` },
      orders: { count: this.#orders.size, digest: `orders ${this.#orders.size}` },
      settled: true,
      halted: null,
      members: nodes,
      voters: nodes,
      oldestMs: 0,
    }
  }

  #views(): void {
    for (const node of nodes) {
      const calledMs = this.#nowMs
      this.#nowMs += 1
      this.lines.push({ type: 'view', calledMs, atMs: this.#nowMs, ...this.#view(node) })
    }
  }

  #end(): void {
    this.#nowMs += 5_000
    const final = { type: 'final', atMs: this.#nowMs } as const
    this.lines.push({ ...final, of: 'views', views: nodes.map((node) => this.#view(node)) })
    const kept = [...this.#orders.values()]
    for (const node of nodes) {
      this.lines.push({ ...final, of: 'orders', node, orders: kept })
      this.lines.push({ ...final, of: 'products', node, products: [...this.#products.values()] })
    }
    for (const shopper of this.#shoppers) {
      const { process, user } = shopper
      const cart = this.#cartOf(shopper)
      this.lines.push({ ...final, of: 'cart', process, user, cart })
      const content = JSON.stringify(cart.items)
      this.lines.push({ ...final, of: 'replicas', user, copies: { n1: content, n2: content } })
    }
  }
}
