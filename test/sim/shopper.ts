/** One shopper with one device: looks, changes the cart, orders, retries, and holds every answer against the model. */
import { isFault } from '../../node/faults.ts'
import type { OrderRecord } from '../../node/commands.ts'
import type { CommandId, NodeName, Sku, UserId } from '../../node/ids.ts'
import type { CartChange, CartView, OrderRequest } from '../../node/replica-api.ts'
import { CartModel } from './cart-model.ts'
import type { Stamp, View } from './cart-model.ts'
import type { Client, Operation } from './client.ts'
import type { Cluster } from './cluster.ts'
import { OrderBook } from './order-book.ts'
import type { PlacedOrder } from './order-book.ts'
import type { SeededRandom } from './random.ts'
import type { Shop } from './shop.ts'

export type ShopperOptions = {
  name: string
  cluster: Cluster
  client: Client
  shop: Shop
  random: SeededRandom
  /** Logs on or registers now and then. */
  hasAccount: boolean
}

/** Half a second apart. */
const buyingAttemptsMax = 5
/** Half a second apart: longer than a member holds its catalog for a full copy (replica/snapshots.ts). */
const oldPricesMax = 20

export class Shopper {
  readonly name: string
  readonly #options: ShopperOptions
  user: UserId | null = null
  /** All that it ever was: a guest, then an account. */
  readonly users: UserId[] = []
  model: CartModel
  readonly orders: OrderBook
  #keys = 0
  isAccount = false

  constructor(options: ShopperOptions) {
    this.#options = options
    this.name = options.name
    this.model = this.#newModel()
    this.orders = new OrderBook(options)
  }

  #newModel(): CartModel {
    return new CartModel((epoch, node) =>
      this.user === null ? null : this.#options.cluster.recordBeganMs(this.user, epoch, node),
    )
  }

  async shop(goesOn: () => boolean): Promise<void> {
    const { cluster, random } = this.#options
    while (goesOn()) {
      await cluster.sleep(random.between(150, 2_800))
      await this.#act()
    }
  }

  async #act(): Promise<void> {
    const { random, hasAccount } = this.#options
    if (this.user === null) return await this.#arrive()
    const draw = random.next()
    if (hasAccount && !this.isAccount && draw < 0.08) return await this.#register()
    if (draw < 0.5) return await this.#change(this.#anyAddition())
    if (draw < 0.58)
      return await this.#change({ kind: 'set', sku: this.#anySku(), quantity: random.below(6) })
    if (draw < 0.66) return await this.#change({ kind: 'remove', sku: this.#anySku() })
    if (draw < 0.68) return await this.#change({ kind: 'clear' })
    if (draw < 0.8) return void (await this.look())
    if (draw < 0.86) return await this.#settleOrders()
    if (draw < 0.88) return await this.orders.cancelOne(this.user, this.model)
    if (draw < 0.92) return await this.#orderTwice(this.user)
    await this.order()
  }

  #anyAddition(): CartChange {
    return { kind: 'add', sku: this.#anySku(), quantity: this.#options.random.below(3) + 1 }
  }

  #anySku(): Sku {
    return this.#options.random.pick(this.#options.shop.skus)
  }

  #key(): string {
    this.#keys += 1
    return `${this.name}-key-${this.#keys}`
  }

  // ---------------------------------------------------------------- who

  async #arrive(): Promise<void> {
    const { client, cluster } = this.#options
    const { outcome } = await client.anywhere((api) => api.users.createGuest())
    if (outcome.kind !== 'done') return
    this.user = outcome.value.user.id
    this.users.push(this.user)
    client.count('guests')
    cluster.note(`${this.name} is ${this.user}, home ${outcome.value.assignment.home.node}`)
  }

  /** The guest becomes an account; its cart goes with it. */
  async #register(): Promise<void> {
    const { client, cluster } = this.#options
    const guest = this.user
    if (guest === null) return
    const input = { email: `${this.name}@sim.test`, password: 'correct horse', guest }
    const id = `register-${this.name}` as CommandId
    const { outcome } = await client.anywhere(async (api) => {
      try {
        return await api.users.register({ ...input, id })
      } catch (error) {
        // An earlier attempt of which nothing was heard made the account.
        if (isFault(error) && error.code === 'email-taken') return await api.users.logOn(input)
        throw error
      }
    })
    client.count(`registrations ${outcome.kind}`)
    if (outcome.kind !== 'done') return
    const before = this.model
    this.user = outcome.value.user.id
    this.users.push(this.user)
    this.isAccount = true
    this.model = this.#newModel()
    this.model.absorb(before)
    cluster.note(`${this.name} was ${guest}, is ${this.user}`)
  }

  // ---------------------------------------------------------------- carts

  async #change(change: CartChange): Promise<void> {
    const { client, cluster } = this.#options
    const user = this.user as UserId
    const key = this.#key()
    const skus = change.kind === 'clear' ? 'all' : change.sku
    const removal = change.kind === 'add' ? null : this.model.ending(skus)
    const adds = change.kind === 'add' || (change.kind === 'set' && change.quantity > 0)
    const entry = adds && skus !== 'all' ? this.model.adding(skus, change.quantity, key) : null
    const what = `${this.name} ${key} ${change.kind} ${skus} ${'quantity' in change ? change.quantity : ''}`
    cluster.note(`${what} …`)
    const operation = await client.atHome(user, (api) => api.carts.change(user, change, key))
    const { outcome } = operation
    cluster.note(`${what}: ${say(operation)}`)
    client.count(`cart changes ${outcome.kind}`)
    if (outcome.kind === 'refused') {
      this.#checkRefusal(what, outcome.fault.code)
      if (entry !== null) entry.refused = true
      if (removal !== null) removal.ending.undone = true
      return
    }
    if (outcome.kind === 'unknown') {
      if (removal !== null) this.model.linger(skus, removal.ending, operation.ended)
      return
    }
    const { acks, wanted, cart } = outcome.value
    if (acks < wanted) client.count('under-replicated answers')
    const stamp = this.#stamp(outcome, acks >= 2)
    // An earlier attempt may have done it at a home that did not see everything; then the later one only says so.
    const sawAll = cart.complete && operation.sole
    if (removal !== null) this.model.ended(removal, stamp, sawAll)
    if (entry !== null) entry.stamp = stamp
    this.#check(what, cart, { ...stamp, complete: cart.complete, askedAtMs: stamp.atMs })
  }

  #checkRefusal(what: string, code: string): void {
    const honest = [
      'not-for-sale',
      'not-found',
      'no-home',
      'no-primary',
      'overloaded',
      'behind',
      'too-large',
      'disk-full',
    ]
    if (!honest.includes(code)) this.#options.cluster.violation(`P9: ${what} was refused with ${code}`)
  }

  #stamp(served: { epoch: number; node: NodeName }, strong: boolean): Stamp {
    return { epoch: served.epoch, node: served.node, atMs: this.#options.cluster.nowMs, strong }
  }

  async look(): Promise<{ cart: CartView; epoch: number; node: NodeName } | null> {
    const { client, cluster } = this.#options
    const user = this.user as UserId
    const askedAtMs = cluster.nowMs
    const { outcome } = await client.atHome(user, (api) => api.carts.view(user))
    client.count(`looks ${outcome.kind}`)
    if (outcome.kind !== 'done') return null
    const { value: cart, epoch, node } = outcome
    if (!cart.complete) client.count('incomplete carts')
    const what = `${this.name} sees ${cart.items.map(({ sku, quantity }) => `${quantity} ${sku}`).join(', ')}`
    cluster.note(`${what} at ${node} epoch ${epoch}${cart.complete ? '' : ', incomplete'}`)
    this.#check(what, cart, { epoch, node, complete: cart.complete, askedAtMs })
    return { cart, epoch, node }
  }

  /** P5 and P6: what must be there and what must not. */
  #check(what: string, cart: CartView, view: View): void {
    const { cluster, shop } = this.#options
    const shown = new Map(cart.items.map(({ sku, quantity }) => [sku, quantity]))
    for (const { sku, unitPrice } of cart.items) {
      const isKnown = unitPrice === 0 || shop.prices.get(sku)?.has(unitPrice) === true
      if (!isKnown) cluster.violation(`P7: ${what}: ${sku} costs ${unitPrice}, which nobody ever asked for`)
    }
    for (const sku of new Set([...this.model.skus(), ...shown.keys()])) {
      const quantity = shown.get(sku) ?? 0
      const { least, most } = this.model.bounds(sku, view)
      const where = `${what}: at ${view.node} epoch ${view.epoch} ${quantity} of ${sku}`
      if (quantity < least) cluster.violation(`P5: ${where}, at least ${least} were acknowledged`)
      if (quantity > most) cluster.violation(`P6: ${where}, at most ${most} can be there`)
    }
  }

  /** Everything has settled: the model must agree without any doubt about who knows what. Says where it does not. */
  settledProblems(cart: CartView): string[] {
    const shown = new Map(cart.items.map(({ sku, quantity }) => [sku, quantity]))
    const skus = new Set([...this.model.skus(), ...shown.keys()])
    return [...skus].flatMap((sku) => {
      const quantity = shown.get(sku) ?? 0
      const { least, most } = this.model.bounds(sku, null)
      const where = `in the end ${this.name} has ${quantity} of ${sku}`
      if (quantity < least) return [`P5: ${where}, at least ${least} were acknowledged`]
      return quantity > most ? [`P6: ${where}, at most ${most} can be there`] : []
    })
  }

  // ---------------------------------------------------------------- orders

  async order(): Promise<PlacedOrder | null> {
    const { random } = this.#options
    const user = this.user as UserId
    const seen = await this.look()
    if (seen === null || (seen.cart.items.length === 0 && random.chance(0.8))) return null
    const request: OrderRequest = { key: this.#key(), hash: random.chance(0.8) ? seen.cart.hash : '*' }
    if (random.chance(0.3)) request.note = `for ${this.name}`
    // Between looking and ordering things happen.
    if (random.chance(0.1)) await this.#change(this.#anyAddition())
    return await this.orders.place(user, request, this.model, seen.cart)
  }

  /** Two devices of one shopper order the same cart at once, each with a key of its own, perhaps at two homes (P4). */
  async #orderTwice(user: UserId): Promise<void> {
    const views = await Promise.all([this.look(), this.look()])
    const placed = views.flatMap((seen) => {
      if (seen === null || seen.cart.items.length === 0) return []
      const request: OrderRequest = { key: this.#key(), hash: seen.cart.hash }
      return [this.orders.place(user, request, this.model, seen.cart)]
    })
    await Promise.all(placed)
  }

  /** Arrives, takes one thing and orders it. */
  async buySomething(): Promise<PlacedOrder | null> {
    const { cluster } = this.#options
    let oldPrices = 0
    for (let attempt = 0; attempt < buyingAttemptsMax + oldPrices; attempt += 1) {
      if (attempt > 0) await cluster.sleep(500)
      if (this.user === null) await this.#arrive()
      if (this.user === null) continue
      await this.#change(this.#anyAddition())
      const seen = await this.look()
      if (seen === null || seen.cart.items.length === 0) continue
      const request: OrderRequest = { key: this.#key(), hash: seen.cart.hash }
      const order = await this.orders.place(this.user, request, this.model, seen.cart)
      if (order.record?.status === 'pending') {
        await cluster.sleep(1_000)
        await this.orders.settleAll(this.model)
      }
      // The home may be about to take a full copy and shows the prices of before it meanwhile.
      const isOldPrice = order.record?.status === 'refused' && order.record.reason === 'price-changed'
      if (!isOldPrice || oldPrices === oldPricesMax) return order
      oldPrices += 1
    }
    return null
  }

  async #settleOrders(): Promise<void> {
    await this.orders.retryOne(this.user as UserId, this.model)
  }

  /** Asks again for each order of which nothing is known, until all are decided. */
  async settleAll(): Promise<void> {
    if (this.user === null) return
    await this.orders.settleAll(this.model)
  }
}

function say<T>({ outcome }: Operation<T>): string {
  switch (outcome.kind) {
    case 'done':
      return `done at ${outcome.node} epoch ${outcome.epoch}`
    case 'refused':
      return `refused, ${outcome.fault.code}: ${outcome.fault.message}`
    case 'unknown':
      return `unknown, ${outcome.reason}`
    default: {
      const never: never = outcome
      return String(never)
    }
  }
}

export type { OrderRecord }
