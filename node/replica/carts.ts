/**
 * The carts of this node (DESIGN.md section 5). Promises: one operation at a time per user; a change is on the own disk
 * before it is sent, and on --cart-acks disks before it is answered, or the answer says on how many; a cart is served
 * only after it was fetched from the others; whatever this node is responsible for reaches the whole server set.
 */
import { requestKey } from '../../crdt/cart.ts'
import type { CartDocument, CartEdit, CartLine, OrderIntent } from '../../crdt/cart.ts'
import { checkForSale, disksWith } from '../core/carts.ts'
import { Fault } from '../faults.ts'
import type { LogIndex, MemberId, OrderId, UserId } from '../ids.ts'
import type { SoldNotice } from '../ports.ts'
import type { CartChange, CartChangeResult, Carts, CartView, Route } from '../replica-api.ts'
import { DirtyCarts } from './cart-dirty.ts'
import type { DirtyCounts } from './cart-dirty.ts'
import { Guests } from './cart-guests.ts'
import { ServedCarts } from './cart-homes.ts'
import { MergedNotices } from './cart-merged.ts'
import { CartPrimary } from './cart-primary.ts'
import { Replication } from './cart-replication.ts'
import type { Change } from './cart-replication.ts'
import { settleDocument } from './cart-settle.ts'
import { CartShelf } from './cart-shelf.ts'
import { SoldNotices } from './cart-sold.ts'
import { CartSync } from './cart-sync.ts'
import { CartViews, completeAt } from './cart-view.ts'
import type { CartsView, Context, Decision, PlacementVersions, RequestHandlers } from './context.ts'
import type { Homes } from './homes.ts'
import { Keeper } from './keeper.ts'
import { Takeover } from './takeover.ts'

/** The home fetches and builds the view; it may have to open the cart first. */
const viewTimeoutMs = 3_000
/** How often carts that are incomplete are asked for again. */
const completeIntervalMs = 1_000

type CartEventListener = (user: UserId, view: () => CartView) => void
type HandledKinds =
  | 'cart-push'
  | 'cart-pull'
  | 'cart-sync'
  | 'cart-distribute'
  | 'home-records'
  | 'cart-view'
  | 'sold-since'
  | 'guest-merge'

function notHome(): Fault {
  return new Fault('no-home', 'another node is home of this user now', {}, { retryAfterSeconds: 1 })
}

export class CartService implements Carts, CartsView {
  readonly #context: Context
  readonly #homes: Homes
  readonly #shelf: CartShelf
  readonly #views: CartViews
  readonly #replication: Replication
  readonly #served: ServedCarts
  readonly #takeover: Takeover
  readonly #dirty: DirtyCarts
  readonly #sync: CartSync
  readonly #primary: CartPrimary
  readonly #sold: SoldNotices
  readonly #guests: Guests
  readonly #undecidedListeners: ((intent: OrderIntent) => void)[] = []
  readonly #cartListeners: CartEventListener[] = []
  readonly #noticeListeners: ((notices: readonly SoldNotice[]) => void)[] = []
  readonly #merged: MergedNotices
  /** Carts in which an undecided intent was seen: an absorbed cart holds intents of its guest. */
  readonly #intentCarts = new Map<OrderId, Set<UserId>>()
  #cancelTimer: () => void = () => undefined
  #stopped = false

  constructor(context: Context, homes: Homes) {
    this.#context = context
    this.#homes = homes
    this.#shelf = new CartShelf(context, homes.commit)
    this.#merged = new MergedNotices(context.clock)
    this.#views = new CartViews(context, homes)
    const keeper = new Keeper(context, homes)
    this.#dirty = new DirtyCarts(context, homes, this.#shelf, keeper, (cart) => this.#guests.lookedAt(cart))
    this.#replication = new Replication(context, homes, this.#shelf, {
      merged: (user, additions) => this.#mergedFromPeer(user, additions),
      differs: (user, member) => this.#sync.differs(user, member),
      delivered: (user) => this.#dirty.look(user),
    })
    this.#takeover = new Takeover(context, homes, {
      pullFrom: (user, member, timeoutMs) =>
        this.#replication.pullFrom(user, member, { timeoutMs, purpose: 'takeover' }),
      deliveredTo: (user) => this.#shelf.get(user)?.delivered ?? {},
    })
    this.#served = new ServedCarts(context, homes, this.#takeover, (user) => this.#opened(user))
    this.#sync = new CartSync(context, homes, this.#shelf, this.#dirty, this.#replication, (user) =>
      this.#reportUndecided(user),
    )
    this.#primary = new CartPrimary(context, homes, this.#replication, this.#sync, {
      reportUndecided: (user) => this.#reportUndecided(user),
    })
    this.#sold = new SoldNotices(context, this, (notices) => {
      for (const listener of this.#noticeListeners) listener(notices)
    })
    this.#guests = new Guests(context, homes, this.#shelf, keeper, {
      mutate: (user, work) => this.mutate(user, work),
      open: (user) => this.#served.open(user),
      changedHere: (user) => this.#changedHere(user),
    })
    homes.attach({
      open: (user) => this.#served.open(user),
      begin: (user) => this.#served.begin(user),
      close: (user) => this.#closed(user),
      deliver: (user, to) => this.#deliver(user, to),
    })
  }

  start(): void {
    this.#sync.start()
    this.#guests.start()
    this.#completeLater()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer()
    this.#sync.stop()
    this.#guests.stop()
    this.#sold.stop()
    this.#takeover.stop()
  }

  handlers(): Pick<RequestHandlers, HandledKinds> {
    return {
      ...this.#replication.handlers(),
      ...this.#primary.handlers(),
      ...this.#sync.handlers(),
      ...this.#sold.handlers(),
      ...this.#guests.handlers(),
      'cart-view': async (_from, request) => ({ view: await this.view(request.user) }),
    }
  }

  /** Carts on the own disk, and of those that this node looks after: not everywhere yet, on too few disks, since when. */
  counts(): DirtyCounts & PlacementVersions & { held: number } {
    const counts = this.#dirty.counts()
    // Also what another member has and this one is about to fetch, and what has not followed a guest to its account.
    const undelivered = counts.undelivered + this.#sync.differing + this.#guests.waiting
    const held = this.#context.stores.local.cartCount()
    return { ...counts, ...this.#sync.settling.versions(), undelivered, held }
  }

  /** Called after each change of a cart at its home. */
  onCart(listener: CartEventListener): void {
    this.#cartListeners.push(listener)
  }

  onUndecided(listener: (intent: OrderIntent) => void): void {
    this.#undecidedListeners.push(listener)
  }

  /** Called with what was decided, wherever; after the carts held here were settled. */
  onNotices(listener: (notices: readonly SoldNotice[]) => void): void {
    this.#noticeListeners.push(listener)
  }

  /** Orders were decided through this log index: carts held here are settled up to it. */
  noticeOrders(ordersIndex: LogIndex): void {
    this.#sold.noticeOrders(ordersIndex)
  }

  /** At log-on: the guest's cart merges into the account's, wherever their homes are. */
  async absorbGuest(guest: UserId, account: UserId): Promise<void> {
    await this.#guests.absorb(guest, account)
  }

  // ---------------------------------------------------------------- reading

  async route(user: UserId, hops: number): Promise<Route> {
    return await this.#homes.route(user, hops)
  }

  async view(user: UserId): Promise<CartView> {
    await this.#served.open(user)
    if (!this.#homes.isHome(user)) throw notHome()
    return await this.#shelf.exclusively(user, () => {
      // While this waited for its turn, the cart may have been handed to another home and forgotten.
      if (!this.#homes.isHome(user)) throw notHome()
      return this.#homeViewNow(user, true)
    })
  }

  #homeViewNow(user: UserId, isShown: boolean): CartView {
    const merged = this.#merged.read(user, isShown)
    return this.#views.build(user, this.peek(user), { complete: this.#isComplete(user), merged })
  }

  localView(user: UserId): CartView | null {
    const document = this.peek(user)
    if (document === null) return null
    return this.#views.build(user, document, { complete: this.#isComplete(user), merged: [] })
  }

  /** Nothing acknowledged is missing, and no guest's cart is on its way to this one. */
  #isComplete(user: UserId): boolean {
    return this.#served.isComplete(user) && !this.#guests.isAwaited(user)
  }

  async homeView(user: UserId): Promise<CartView> {
    const { home } = await this.#homes.find(user)
    if (home === this.#context.selfId) return await this.view(user)
    const request = { kind: 'cart-view', user } as const
    return (await this.#context.peers.ask(home, request, { timeoutMs: viewTimeoutMs })).view as CartView
  }

  peek(user: UserId): CartDocument | null {
    return this.#shelf.get(user)?.document ?? null
  }

  // ---------------------------------------------------------------- changing

  async change(user: UserId, change: CartChange, key?: string): Promise<CartChangeResult> {
    const edit: CartEdit = change
    const request = key === undefined ? undefined : requestKey(user, key, edit)
    let edited: { document: CartDocument; complete: boolean } | null = null
    const { acks, wanted } = await this.#mutate(user, (document, { writer, complete }) => {
      edited = { document, complete }
      const before = this.#quantityOf(document, edit)
      const { update } = document.edit(edit, writer, request)
      // After the edit, because a retry of what was done already must not fail; a fault undoes the edit.
      if (update !== null) this.#checkForSale(edit, before)
      return { value: undefined, delta: update }
    })
    this.#context.counters.add('cart_changes_total')
    // It is done, whoever is home by now: to answer 503 would say that it is not (API.md, "Outcome rule").
    const cart = await this.#shelf.exclusively(user, () => {
      if (edited === null) return this.#homeViewNow(user, true)
      // What came since was not there to be changed: a cart that was cleared may hold something again.
      if (this.#homes.isHome(user)) return completeAt(edited.complete, this.#homeViewNow(user, true))
      // Another home was heard of meanwhile; it may have been one before this edit, and have acknowledged what is not here.
      const document = this.peek(user) ?? edited.document
      return this.#views.build(user, document, { complete: false, merged: [] })
    })
    return { cart, acks, wanted }
  }

  #quantityOf(document: CartDocument, edit: CartEdit): number {
    if (edit.kind !== 'set') return 0
    return document.contents().lines.find((line) => line.sku === edit.sku)?.quantity ?? 0
  }

  #checkForSale(edit: CartEdit, before: number): void {
    if (edit.kind !== 'add' && edit.kind !== 'set') return
    const raises = edit.kind === 'add' || edit.quantity > before
    checkForSale({ sku: edit.sku, raises, info: this.#context.stores.shop.read.sku(edit.sku) })
  }

  async mutate<T>(
    user: UserId,
    work: (document: CartDocument, state: { complete: boolean; writer: string }) => T,
  ): Promise<{ value: T; acks: number; wanted: number }> {
    return await this.#mutate(user, (document, state) => ({ value: work(document, state), delta: null }))
  }

  /** `delta`: the update that brings the document from before to after, if `work` knows it. */
  async #mutate<T>(
    user: UserId,
    work: (
      document: CartDocument,
      state: { complete: boolean; writer: string },
    ) => { value: T; delta: Uint8Array | null },
  ): Promise<{ value: T; acks: number; wanted: number }> {
    await this.#served.open(user)
    const { value, changed, before, after, rebased } = await this.#shelf.update(
      user,
      ({ document, writer }) => {
        if (!this.#homes.isHome(user)) throw notHome()
        return work(document, { complete: this.#isComplete(user), writer })
      },
      { held: 'set', mayRebase: true },
    )
    const wanted = this.#context.settings.cartAcks
    if (changed) this.#changedHere(user)
    const change = { delta: rebased ? null : value.delta, before, after }
    const acks = await this.#replicate(user, changed, change, wanted)
    if (acks < wanted) this.#context.counters.add('cart_changes_under_replicated_total')
    return { value: value.value, acks, wanted }
  }

  /** Disks that have the cart: a retry of a change that reached too few is brought to more. */
  async #replicate(user: UserId, changed: boolean, change: Change, wanted: number): Promise<number> {
    const cart = this.#shelf.get(user)
    // Nothing was ever in it: there is nothing to lose.
    if (cart === null) return wanted
    if (!changed) {
      const set = this.#homes.serverSet(user)
      const disks = disksWith(this.#context.selfId, set, cart.delivered, cart.hash)
      if (disks >= wanted) return disks
    }
    return await this.#replication.push(user, change, wanted)
  }

  #changedHere(user: UserId): void {
    this.#dirty.hurry(user)
    const document = this.peek(user)
    if (document === null || !this.#homes.isHome(user)) return
    for (const listener of this.#cartListeners) listener(user, () => this.#homeViewNow(user, false))
  }

  // ---------------------------------------------------------------- what comes from elsewhere

  #mergedFromPeer(user: UserId, additions: readonly CartLine[]): void {
    if (this.#homes.isHome(user)) {
      this.#context.counters.add('cart_merges_total')
      // Before it is served for the first time, everything comes from elsewhere.
      if (this.#served.isOpen(user)) this.#merged.add(user, additions)
    }
    this.#changedHere(user)
  }

  async settle(user: UserId, order: OrderId, outcome: Decision): Promise<void> {
    const forwardedTo = this.peek(user)?.forwardedTo ?? null
    const concerned = new Set([user, ...(this.#intentCarts.get(order) ?? [])])
    if (forwardedTo !== null) concerned.add(forwardedTo)
    this.#intentCarts.delete(order)
    await Promise.all([...concerned].map((holder) => this.#settleOne(holder, order, outcome)))
  }

  async erase(user: UserId): Promise<void> {
    await this.#shelf.erase(user)
    await this.#homes.sessions.forget(user)
    this.#closed(user)
  }

  async #settleOne(user: UserId, order: OrderId, outcome: Decision): Promise<void> {
    if (this.#shelf.get(user) === null) return
    const { changed, before, after } = await this.#shelf.update(
      user,
      ({ document }) => settleDocument(document, order, outcome),
      { mayRebase: this.#homes.isHome(user) },
    )
    if (!changed) return
    this.#changedHere(user)
    if (this.#homes.isHome(user)) this.#pushSoon(user, { delta: null, before, after })
  }

  /** Brings a change to the set without anybody waiting; what does not arrive is sent with the next sync. */
  #pushSoon(user: UserId, change: Change): void {
    this.#replication.push(user, change, Number.POSITIVE_INFINITY).catch((error: unknown) => {
      this.#context.logger.warn({ reason: String(error) }, 'a cart could not be pushed')
    })
  }

  #reportUndecided(user: UserId): void {
    const intents = this.peek(user)?.undecidedIntents() ?? []
    for (const intent of intents) {
      this.#intentCarts.set(intent.id, (this.#intentCarts.get(intent.id) ?? new Set()).add(user))
      for (const listener of this.#undecidedListeners) listener(intent)
    }
  }

  // ---------------------------------------------------------------- becoming and ceasing to be home

  /** What was pulled goes to the live members like a change of the own (DESIGN.md section 5, "Takeover"). */
  #opened(user: UserId): void {
    this.#dirty.hurry(user)
    const cart = this.#shelf.get(user)
    if (cart === null) return
    this.#reportUndecided(user)
    // Also when everybody has this content: the record travels with it, and ends another home that has not heard of it.
    this.#pushSoon(user, { delta: null, before: cart.hash, after: cart.hash })
  }

  #closed(user: UserId): void {
    this.#served.close(user)
    this.#merged.delete(user)
    // The record is taken in this very turn; who looks after the cart is decided after it.
    this.#context.clock.defer(() => this.#dirty.look(user))
  }

  async #deliver(user: UserId, to: MemberId): Promise<boolean> {
    const cart = this.#shelf.get(user)
    if (cart === null || cart.delivered[to] === cart.hash) return true
    return await this.#replication.sendTo(user, to, null)
  }

  #completeLater(): void {
    if (this.#stopped) return
    this.#cancelTimer = this.#context.clock.timer(completeIntervalMs, () => {
      this.#served.completeSome().then(
        () => this.#completeLater(),
        (error: unknown) => {
          if (this.#stopped) return
          this.#context.logger.error(
            { error: String(error) },
            'incomplete carts could not be completed; again soon',
          )
          this.#completeLater()
        },
      )
    })
  }
}
