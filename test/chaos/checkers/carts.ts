/**
 * Carts (P4, P5, P6): what was acknowledged is there, what was removed stays away, nothing is there twice. Each client's
 * operations are replayed against the model of the simulator (test/sim/cart-model.ts), which says for each view how much
 * of each SKU there must be at least and can be at most.
 */
import type { NodeName, OrderId, Sku } from '../../../node/ids.ts'
import { CartModel } from '../../sim/cart-model.ts'
import type { Stamp } from '../../sim/cart-model.ts'
import { cartChangeKinds } from '../history.ts'
import type { CartSeen, History, NodeLine, Operation, OrderSeen } from '../history.ts'
import type { Timeline } from '../timeline.ts'
import { finalOrders, orderOf, wasPlaced } from './orders.ts'
import type { Checker, Violation } from './violation.ts'

/**
 * A home that was silent for a while may go on serving until it hears that there is another one (DESIGN.md section 6: two
 * homes at once are harmless). What one of them acknowledged in that time the other learns by the next sync.
 */
const twoHomesMs = 15_000

type Removal = ReturnType<CartModel['ending']>
type Asking = { readonly id: string; readonly operation: Operation }

/** Who gave the answer: with a change it may be a home that is none any more. */
function serverOf({ answered, attempts }: Operation): string {
  return attempts.find(({ outcome }) => outcome === 'ok')?.server ?? answered.cart?.home ?? ''
}

/** One client: a guest, then perhaps an account, one thing after the other. */
class Replay {
  readonly #name: string
  readonly #timeline: Timeline
  readonly #kept: Map<string, OrderSeen>
  readonly #found: Violation[] = []
  readonly #models = new Map<string, CartModel>()
  /** Orders that were asked for and whose end was not told yet. */
  readonly #open = new Map<string, Asking>()
  /** Orders whose end was told. */
  readonly #known = new Set<string>()
  #home = ''
  /** Counts homes as they were met; the real epochs are not told with a cart. */
  #epoch = 0
  readonly #beganMs = new Map<number, number | null>()
  #lastMs = 0

  constructor(name: string, timeline: Timeline, kept: Map<string, OrderSeen>) {
    this.#name = name
    this.#timeline = timeline
    this.#kept = kept
  }

  get found(): Violation[] {
    return this.#found
  }

  run(operations: readonly Operation[], losses: readonly NodeLine[]): void {
    let lost = 0
    for (const operation of operations) {
      for (; (losses[lost]?.atMs ?? Number.POSITIVE_INFINITY) < operation.calledMs; lost += 1)
        for (const model of this.#models.values()) model.loseWeak()
      this.#take(operation)
    }
    for (; lost < losses.length; lost += 1) for (const model of this.#models.values()) model.loseWeak()
  }

  #model(user: string | undefined): CartModel {
    const known = this.#models.get(user ?? '')
    if (known !== undefined) return known
    const model = new CartModel((epoch) => this.#beganMs.get(epoch) ?? null)
    this.#models.set(user ?? '', model)
    return model
  }

  #take(operation: Operation): void {
    const { kind, outcome, asked, answered } = operation
    if ((cartChangeKinds as readonly string[]).includes(kind)) return this.#change(operation)
    switch (kind) {
      case 'cart.view':
        if (outcome === 'ok') this.#see(operation, answered.cart)
        return
      case 'order.place':
        return this.#order(operation)
      case 'register':
      case 'log-on':
        if (outcome === 'ok' && asked.guest !== undefined)
          this.#model(answered.user).absorb(this.#model(asked.guest))
        return
      case 'order.read':
      case 'order.list':
      case 'order.cancel':
        for (const order of [answered.order, ...(answered.orders ?? [])])
          if (order !== undefined && outcome === 'ok') this.#learn(order, asked.user, operation.returnedMs)
        return
      default:
        return
    }
  }

  #change(operation: Operation): void {
    const { kind, outcome, asked, answered, number } = operation
    const model = this.#model(asked.user)
    const skus = kind === 'cart.clear' ? 'all' : ((asked.sku ?? '') as Sku)
    const removal: Removal | null = kind === 'cart.add' ? null : model.ending(skus)
    const adds = (kind === 'cart.add' || kind === 'cart.set') && (asked.quantity ?? 0) > 0
    const entry =
      adds && skus !== 'all' ? model.adding(skus, asked.quantity ?? 0, asked.key ?? String(number)) : null
    if (outcome === 'fail') {
      if (entry !== null) entry.refused = true
      if (removal !== null) removal.ending.undone = true
      return
    }
    if (outcome === 'unknown') {
      // It may run as soon as a node that stood still goes on, so it is never over.
      if (removal !== null) model.linger(skus, removal.ending, () => false)
      return
    }
    const stamp = this.#stamp(operation)
    if (removal !== null) model.ended(removal, stamp, answered.cart?.complete === true && operation.isSole)
    if (entry !== null) entry.stamp = stamp
    this.#see(operation, answered.cart)
  }

  #stamp(operation: Operation): Stamp {
    const { answered, calledMs, returnedMs } = operation
    const home = answered.cart?.home ?? ''
    const strong = (answered.acks ?? 0) >= 2
    const server = serverOf(operation)
    // Made by a home that heard of another one before it answered: one of two homes at once, and not the one it names.
    if (server !== home) return { epoch: this.#epoch, node: server as NodeName, atMs: returnedMs, strong }
    if (home !== this.#home) {
      this.#epoch += 1
      const wasDisturbed = this.#timeline.wasDisturbed(this.#lastMs - twoHomesMs, returnedMs)
      this.#beganMs.set(this.#epoch, wasDisturbed ? null : calledMs)
      this.#home = home
    }
    this.#lastMs = returnedMs
    return { epoch: this.#epoch, node: home as NodeName, atMs: returnedMs, strong }
  }

  #see(operation: Operation, cart: CartSeen | undefined): void {
    if (cart === undefined) return
    const { asked, calledMs, returnedMs, number } = operation
    const { epoch, node } = this.#stamp(operation)
    const isChange = operation.kind !== 'cart.view'
    // A change is answered with what it made; a view with what was there when it was asked for.
    const view = { epoch, node, complete: cart.complete, askedAtMs: isChange ? returnedMs : calledMs }
    const what = `operation ${number} of ${this.#name}`
    if (cart.complete && node !== cart.home) {
      const text = `${what}: ${node} calls the cart complete, and names ${cart.home} as its home`
      this.#found.push({ promise: 'P5', text, atMs: returnedMs })
    }
    this.#compare(asked.user, cart, returnedMs, what, (model, sku) => model.bounds(sku, view))
  }

  #compare(
    user: string | undefined,
    cart: CartSeen,
    atMs: number,
    what: string,
    boundsOf: (model: CartModel, sku: Sku) => { least: number; most: number },
  ): void {
    const model = this.#model(user)
    const shown = new Map(cart.items.map(({ sku, quantity }) => [sku as Sku, quantity]))
    for (const sku of new Set([...model.skus(), ...shown.keys()])) {
      const quantity = shown.get(sku) ?? 0
      const { least, most } = boundsOf(model, sku)
      const where = `${what}: ${quantity} of ${sku} at ${cart.home}`
      if (quantity < least)
        this.#found.push({ promise: 'P5', text: `${where}, at least ${least} were acknowledged`, atMs })
      if (quantity > most)
        this.#found.push({ promise: 'P6', text: `${where}, at most ${most} can be there`, atMs })
    }
  }

  // ---------------------------------------------------------------- orders

  #order(operation: Operation): void {
    const { asked, answered, outcome, returnedMs } = operation
    const id = orderOf(operation)
    if (!this.#known.has(id)) {
      // Each time: a request that comes to nothing leaves it to the next one to take what is in the cart by then.
      this.#model(asked.user).ending('all', id as OrderId)
      this.#open.set(id, { id, operation })
    }
    if (outcome === 'ok' && answered.order !== undefined)
      return this.#learn(answered.order, asked.user, returnedMs)
    const { status, problem } = operation.last
    if (status === 409) this.#undone(id, problem ?? '')
  }

  #learn(order: OrderSeen, user: string | undefined, atMs: number): void {
    if (order.status === 'pending' || !this.#open.has(order.id)) return
    if (!wasPlaced(order)) return this.#undone(order.id, order.reason ?? '')
    this.#open.delete(order.id)
    this.#known.add(order.id)
    const lines = order.lines.map(({ sku, quantity }) => ({ sku: sku as Sku, quantity }))
    // The home of the answer is not told with an order: what left the cart is known for sure in the end only.
    const stamp = { epoch: Number.POSITIVE_INFINITY, node: '' as NodeName, atMs, strong: false }
    this.#model(user).orderPlaced(order.id as OrderId, lines, stamp)
  }

  #undone(id: string, reason: string): void {
    const asking = this.#open.get(id)
    if (asking === undefined) return
    this.#open.delete(id)
    this.#known.add(id)
    const held = reason !== 'cart-changed' && reason !== 'empty-cart'
    this.#model(asking.operation.asked.user).orderUndone(id as OrderId, held)
  }

  /** Everything has settled: nothing is in doubt any more but what was never answered. */
  end(user: string, cart: CartSeen, atMs: number): void {
    for (const { id, operation } of this.#open.values()) {
      const kept = this.#kept.get(id)
      if (kept === undefined || kept.status === 'pending') this.#undone(id, 'never decided')
      else this.#learn(kept, operation.asked.user, atMs)
    }
    if (!cart.complete)
      this.#found.push({ promise: 'P5', text: `in the end the cart of ${this.#name} is not complete`, atMs })
    this.#compare(user, cart, atMs, `in the end, ${this.#name}`, (model, sku) => model.bounds(sku, null))
    this.#conserve(user, cart, atMs)
  }

  /** P4: what was ordered and what is left is at most what was ever put in. */
  #conserve(user: string, cart: CartSeen, atMs: number): void {
    const sums = new Map<string, number>()
    const add = (sku: string, quantity: number): void => void sums.set(sku, (sums.get(sku) ?? 0) + quantity)
    for (const { sku, quantity } of cart.items) add(sku, quantity)
    const users = new Set([...this.#models.keys(), user])
    for (const order of this.#kept.values())
      if (users.has(order.user) && wasPlaced(order))
        for (const { sku, quantity } of order.lines) add(sku, quantity)
    // An absorbed guest's entries are in both models.
    const entries = new Set([...this.#models.values()].flatMap((model) => model.entries))
    for (const [sku, quantity] of sums) {
      const mine = [...entries].filter((entry) => entry.sku === sku && !entry.refused)
      const most = mine.reduce((sum, entry) => sum + entry.quantity, 0)
      if (quantity > most) {
        const text = `${this.#name} ordered or has ${quantity} of ${sku}, and put in ${most} at most`
        this.#found.push({ promise: 'P4', text, atMs })
      }
    }
  }
}

function check(history: History, timeline: Timeline): Violation[] {
  const kept = finalOrders(history)
  // What only one disk had may be lost with it.
  const losses = history.nodes.filter(({ condition }) => condition === 'wiped' || condition === 'removed')
  const ends = new Map(history.final('cart').map((line) => [line.process, line]))
  const found: Violation[] = []
  for (const [name, operations] of Map.groupBy(history.operations, ({ process }) => process)) {
    const replay = new Replay(name, timeline, kept)
    replay.run(operations, losses)
    const end = ends.get(name)
    if (end !== undefined) replay.end(end.user, end.cart, end.atMs)
    found.push(...replay.found)
  }
  return [...found, ...unequalReplicas(history)]
}

/** P6: every member of a set that holds a cart holds the same. */
function unequalReplicas(history: History): Violation[] {
  return history.final('replicas').flatMap(({ user, copies, atMs }) => {
    if (new Set(Object.values(copies)).size <= 1) return []
    const told = Object.entries(copies).map(([node, content]) => `${node}: ${content}`)
    return [{ promise: 'P6', text: `copies of the cart of ${user} differ: ${told.join('; ')}`, atMs }]
  })
}

export const carts: Checker = { name: 'carts', check }
