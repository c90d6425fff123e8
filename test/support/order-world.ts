/**
 * Order and user services of a few homes in one process: real outbox, cart documents and applying; virtual time; a log
 * and a network that the test decides about.
 */
import { CartDocument, newLineage, writerId } from '../../crdt/cart.ts'
import type { CartEdit, OrderIntent } from '../../crdt/cart.ts'
import type { MemberRecord } from '../../node/commands.ts'
import { shownCart } from '../../node/core/carts.ts'
import { Fault } from '../../node/faults.ts'
import { guestId } from '../../node/ids.ts'
import type { CommandId, MemberId, NodeName, OrderId, Sku, UserId } from '../../node/ids.ts'
import { gossipSchemas } from '../../node/messages.ts'
import type { GossipMessage } from '../../node/messages.ts'
import type { Logger, Stores } from '../../node/ports.ts'
import type { Assignment, CartView, OrderAnswer, OrderRequest, UserEvent } from '../../node/replica-api.ts'
import { settleDocument } from '../../node/replica/cart-settle.ts'
import type { CartsView, Context, Decision, PresenceInfo } from '../../node/replica/context.ts'
import { Counters } from '../../node/replica/counters.ts'
import { Events } from '../../node/replica/events.ts'
import { GroupCommit } from '../../node/replica/group-commit.ts'
import { OrderService } from '../../node/replica/orders.ts'
import type { OrderCarts } from '../../node/replica/orders.ts'
import { UserService } from '../../node/replica/users.ts'
import { seededRandom } from '../sim/random.ts'
import { Scheduler, SimClock } from '../sim/scheduler.ts'
import { FakeLog, shopProducts } from './order-log.ts'
import { memoryWorld, product, setCluster, variant } from './store-world.ts'
import type { World } from './store-world.ts'

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const orderWaitMs = 1_000

/** Cart documents of one home, on its disk after each mutation as the real ones are. */
class FakeHomeCarts implements CartsView {
  readonly #home: OrderHome
  readonly #open = new Map<UserId, CartDocument>()
  readonly listeners: ((intent: OrderIntent) => void)[] = []
  readonly settled: { order: OrderId; outcome: Decision }[] = []
  complete = true
  #count = 0

  constructor(home: OrderHome) {
    this.#home = home
  }

  #fresh(): number {
    return this.#home.world.random.between(1, 2 ** 31)
  }

  document(user: UserId): CartDocument {
    const open = this.#open.get(user)
    if (open !== undefined) return open
    const row = this.#home.stores.local.cart(user)
    const document =
      row === null
        ? CartDocument.create({
            clientId: this.#fresh(),
            lineage: newLineage(this.#home.world.random.bytes(12)),
          })
        : CartDocument.load(row.state, { clientId: this.#fresh() })
    this.#open.set(user, document)
    return document
  }

  peek(user: UserId): CartDocument | null {
    return this.#open.has(user) || this.#home.stores.local.cart(user) !== null ? this.document(user) : null
  }

  async #store(user: UserId): Promise<void> {
    const document = this.document(user)
    const row = {
      user,
      state: document.encode(),
      hash: document.contentHash(),
      delivered: {},
      syncedHash: null,
      held: 'set' as const,
      updatedAtMs: 0,
    }
    await this.#home.commit.write(() => {
      if (this.#home.cartFault !== null) throw this.#home.cartFault
      this.#home.stores.local.putCart(row)
    })
  }

  mutate: CartsView['mutate'] = async (user, work) => {
    this.#count += 1
    const writer = writerId(user, this.#home.id, this.#home.starts, this.#count)
    try {
      const value = work(this.document(user), { complete: this.complete, writer })
      await this.#store(user)
      return { value, acks: 2, wanted: 2 }
    } catch (error) {
      this.#open.delete(user)
      throw error
    }
  }

  onUndecided(listener: (intent: OrderIntent) => void): void {
    this.listeners.push(listener)
  }

  async settle(user: UserId, order: OrderId, outcome: Decision): Promise<void> {
    this.settled.push({ order, outcome })
    if (this.peek(user) === null) return
    settleDocument(this.document(user), order, outcome)
    await this.#store(user)
  }

  readonly noticeListeners: Parameters<OrderCarts['onNotices']>[0][] = []
  onNotices: OrderCarts['onNotices'] = (listener) => void this.noticeListeners.push(listener)

  view = async (user: UserId): Promise<CartView> => {
    const items = this.document(user)
      .contents()
      .lines.map((line) => ({ ...line, unitPrice: this.#home.stores.shop.read.sku(line.sku)?.price ?? 0 }))
    return { user, items, hash: shownCart(items, 'USD') } as unknown as CartView
  }

  absorbs: { guest: UserId; account: UserId }[] = []
  absorbFault: Fault | null = null
  absorbGuest = async (guest: UserId, account: UserId): Promise<void> => {
    if (this.absorbFault !== null) throw this.absorbFault
    this.absorbs.push({ guest, account })
  }
}

/** One node: its disk outlives its lives. */
export class OrderHome {
  readonly world: OrderWorld
  readonly name: string
  readonly id: MemberId
  readonly #disk: World = memoryWorld()
  stores: ReturnType<World['open']>
  starts = 0
  clock!: SimClock
  commit!: GroupCommit
  carts!: FakeHomeCarts
  orders!: OrderService
  users!: UserService
  events!: Events
  readonly counters = new Counters()
  /** Writing a cart fails with this, and so does everything in its transaction. */
  cartFault: Fault | null = null
  readonly told: UserEvent[] = []
  readonly primaryListeners: (() => void)[] = []
  readonly published: GossipMessage<'revocations'>[] = []

  constructor(world: OrderWorld, name: string) {
    this.world = world
    this.name = name
    this.id = `member${name}` as MemberId
    this.stores = this.#disk.open()
    setCluster(this.stores)
    this.stores.shop.transaction((tables) => {
      tables.setCurrency('USD')
      for (const one of shopProducts()) tables.putProduct(one)
    })
    this.#begin()
  }

  #begin(): void {
    this.starts += 1
    this.clock = new SimClock(this.world.scheduler)
    this.commit = new GroupCommit(this.clock, this.stores.local)
    this.carts = new FakeHomeCarts(this)
    this.events = new Events()
    this.primaryListeners.length = 0
    const homes = { ...this.#homesView(), commit: this.commit }
    const context = this.#context()
    this.orders = new OrderService(context, this.carts, homes, this.events)
    this.users = new UserService(context, homes, this.carts)
  }

  start(): this {
    this.orders.start()
    this.users.start()
    return this
  }

  /** kill -9: what is not on disk is gone. */
  crash(): this {
    this.clock.stop()
    this.stores = this.#disk.reopen(this.stores)
    this.#begin()
    return this
  }

  listen(user: UserId): UserEvent[] {
    this.events.onUser(user, (event) => this.told.push(event))
    return this.told
  }

  /** A shopper's change, as the cart service makes it. */
  async edit(user: UserId, edit: CartEdit): Promise<void> {
    await this.world.run(this.carts.mutate(user, (document, { writer }) => document.edit(edit, writer)))
  }

  async add(user: UserId, sku: 'LAMP' | 'SHADE', quantity = 1): Promise<void> {
    await this.edit(user, { kind: 'add', sku: sku as Sku, quantity })
  }

  async hash(user: UserId): Promise<string> {
    return (await this.world.run(this.carts.view(user))).hash
  }

  async place(user: UserId, key: string, more: Partial<OrderRequest> = {}): Promise<OrderAnswer> {
    const request = { key, hash: '*', ...more }
    return await this.world.run(this.orders.place(user, request))
  }

  /** The catalog of this node moves. */
  setPrice(name: 'lamp', amount: number): void {
    this.stores.shop.transaction((tables) =>
      tables.putProduct(product(name, 2, { variants: [variant('LAMP', amount)] })),
    )
  }

  quantities(user: UserId): { [sku: string]: number } {
    const lines = this.carts.peek(user)?.contents().lines ?? []
    return Object.fromEntries(lines.map(({ sku, quantity }) => [sku, quantity]))
  }

  outbox(): OrderId[] {
    return this.stores.local.outbox().map(({ order }) => order)
  }

  reportUndecided(user: UserId): void {
    for (const intent of this.carts.peek(user)?.undecidedIntents() ?? [])
      for (const listener of this.carts.listeners) listener(intent)
  }

  #homesView(): Omit<ConstructorParameters<typeof OrderService>[2], 'commit'> {
    const { world } = this
    const assignment = async (user: UserId): Promise<Assignment> => {
      if (world.homeFault !== null) throw world.homeFault
      const home = world.addressOf(world.setOf(user)[0] as MemberId)
      return { home, epoch: 1, serverSet: world.setOf(user).map((member) => world.addressOf(member)) }
    }
    return {
      serverSet: (user) => world.setOf(user),
      record: (user) => ({ epoch: 1, home: world.setOf(user)[0] as MemberId }),
      assign: assignment,
      locate: assignment,
    }
  }

  #context(): Context {
    const { world } = this
    const random = world.random.fork(`${this.name} ${this.starts}`)
    return {
      settings: { orderWaitMs, currency: 'USD', guestCartDays: 30 } as Context['settings'],
      selfId: this.id,
      starts: this.starts,
      clock: this.clock,
      random,
      logger: silent,
      hasher: world.hasher,
      transport: {
        publish: (_topic: string, message: GossipMessage<'revocations'>) => {
          this.published.push(gossipSchemas.revocations.parse(message))
        },
      } as unknown as Context['transport'],
      stores: this.stores as Stores,
      counters: this.counters,
      members: { get: () => ({ draining: false }) as MemberRecord } as unknown as Context['members'],
      presence: {
        alive: (id) => id === this.id || !world.dead.has(id),
        get: () => null as PresenceInfo | null,
        onChange: () => undefined,
      },
      log: world.logClient(this),
      peers: {
        ask: async (to, request) => {
          const peer = world.homes.find(({ id }) => id === to)
          if (peer === undefined || world.dead.has(to) || request.kind !== 'pending-orders')
            throw new Fault('internal', 'not connected', { notSent: true })
          return (await peer.orders.handlers()['pending-orders'](this.id, request as never)) as never
        },
      },
    }
  }
}

export class OrderWorld {
  readonly scheduler = new Scheduler()
  readonly random = seededRandom(7)
  readonly log = new FakeLog()
  readonly homes: OrderHome[] = []
  readonly dead = new Set<MemberId>()
  homeFault: Fault | null = null
  /** Passwords verified, with the hash that each was compared with. */
  readonly verified: string[] = []
  #commands = 0

  constructor(count = 1) {
    for (let number = 1; number <= count; number += 1) this.homes.push(new OrderHome(this, `n${number}`))
    for (const home of this.homes) home.start()
  }

  readonly hasher: Context['hasher'] = {
    hash: async (password) => `hash of ${password}`,
    verify: async (password, hash) => {
      this.verified.push(hash)
      return hash === `hash of ${password}`
    },
  }

  home(number = 1): OrderHome {
    const found = this.homes[number - 1]
    if (found === undefined) throw new Error(`no home ${number}`)
    return found
  }

  guest(): UserId {
    return guestId(this.home().clock.wallMs(), this.random.bytes(12))
  }

  setOf(_user: UserId): MemberId[] {
    return this.homes.map(({ id }) => id)
  }

  addressOf(member: MemberId): { node: NodeName; url: string } {
    const { name } = this.homes.find(({ id }) => id === member) as OrderHome
    return { node: name as NodeName, url: `http://${name}.test` }
  }

  /** Waits for a promise in virtual time. */
  async run<T>(promise: Promise<T>): Promise<T> {
    return await this.scheduler.settle(promise, 60_000)
  }

  async until(condition: () => boolean): Promise<boolean> {
    return await this.scheduler.runUntil(condition, 60_000)
  }

  setPrimary(isThere: boolean): void {
    this.log.isDown = !isThere
    for (const home of this.homes) for (const listener of home.primaryListeners) listener()
  }

  logClient(home: OrderHome): Context['log'] {
    const { log } = this
    const noPrimary = (): Fault => new Fault('no-primary', 'there is no primary')
    const delay = (ms: number): Promise<void> => new Promise((resolve) => home.clock.timer(ms, resolve))
    return {
      run: async (id, body) => {
        log.attempts += 1
        await delay(5)
        if (log.isDown || log.isStuck) throw noPrimary()
        const { result } = log.apply(id, structuredClone(body), home.clock.wallMs())
        await delay(5)
        if (log.answersLost > 0) {
          log.answersLost -= 1
          throw new Fault('outcome-unknown', 'no answer in time')
        }
        if (!result.ok) throw new Fault(result.code, result.message, result.data)
        return structuredClone(result.value)
      },
      query: async (query, { current = true } = {}) => {
        log.readsNow += 1
        log.readsAtOnce = Math.max(log.readsAtOnce, log.readsNow)
        await delay(5)
        log.readsNow -= 1
        if (log.isDown && current) throw noPrimary()
        log.reads += 1
        if (log.isDown && log.knownOrder !== null) return structuredClone(log.knownOrder)
        return structuredClone(log.answer(query))
      },
      primary: () => null,
      isPrimary: () => false,
      freshCommandId: () => `fresh:${(this.#commands += 1)}` as CommandId,
      onPrimaryChange: (listener) => void home.primaryListeners.push(listener),
    }
  }
}
