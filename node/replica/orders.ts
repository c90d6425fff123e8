/**
 * Orders (DESIGN.md section 7). Promises: one order per key, wherever and however often it is sent; an order that was
 * frozen ends with a decision of the log, also if its home dies; a fault other than `outcome-unknown` means that nothing
 * was ordered and nothing will be.
 */
import type { CartDocument, OrderIntent } from '../../crdt/cart.ts'
import { orderRecordSchema } from '../commands.ts'
import type { OrderRecord } from '../commands.ts'
import { Fault, assert, isFault } from '../faults.ts'
import type { CommandId, OrderId, UserId } from '../ids.ts'
import type { CartView, OrderAnswer, OrderFound, OrderPage, OrderRequest, Orders } from '../replica-api.ts'
import type { OrderPageQuery, SoldNotice } from '../ports.ts'
import type { Applied } from './applier.ts'
import { LruMap } from './cart-lru.ts'
import type { CartsView, Context, HomesView, RequestHandlers } from './context.ts'
import type { Events } from './events.ts'
import type { GroupCommit } from './group-commit.ts'
import { OrderForwarder } from './order-forwarder.ts'
import {
  checkedIntent,
  freeze,
  isSameRequest,
  keyReused,
  orderIdOf,
  pendingOrder,
  withContact,
} from './order-intents.ts'
import type { CheckedIntent } from './order-intents.ts'
import { OrderNews } from './order-news.ts'
import { OrderReads } from './order-reads.ts'

/** Orders whose newest event is remembered, so that one that is heard of twice is told once. */
const toldOrdersMax = 10_000

/**
 * What orders need of carts: with `view`, a refused shopper is shown the cart as it is now; `onNotices` tells what was
 * decided elsewhere.
 */
export type OrderCarts = CartsView & {
  view(user: UserId): Promise<CartView>
  onNotices(listener: (notices: readonly SoldNotice[]) => void): void
}
/** What orders need of homes: with the shared commit, an outbox row is on disk with its cart, never after it. */
export type OrderHomes = HomesView & { readonly commit: Pick<GroupCommit, 'write'> }

type OrderEvents = Pick<Events, 'user' | 'hasListener'>

/** What one look at the cart came to. */
type Look =
  | { readonly kind: 'frozen'; readonly intent: CheckedIntent; readonly stored: Promise<void> }
  /** The same key was frozen before, here or elsewhere, and is not known to be decided. */
  | { readonly kind: 'undecided'; readonly intents: readonly OrderIntent[] }
  /** The log may know this key, and it must be asked before anything is decided here. */
  | { readonly kind: 'ask' }

export class OrderService implements Orders {
  readonly #context: Context
  readonly #carts: OrderCarts
  readonly #homes: OrderHomes
  readonly #events: OrderEvents
  readonly #forwarder: OrderForwarder
  readonly #reads: OrderReads
  readonly #news: OrderNews
  readonly #told = new LruMap<OrderId, number>(toldOrdersMax)

  constructor(context: Context, carts: OrderCarts, homes: OrderHomes, events: OrderEvents) {
    this.#context = context
    this.#carts = carts
    this.#homes = homes
    this.#events = events
    this.#forwarder = new OrderForwarder(context, carts, homes.commit, {
      settled: (order) => this.#tell(order),
    })
    this.#reads = new OrderReads(context, homes, (user) => this.#undecided(user))
    this.#news = new OrderNews(context, this.#reads, events, (order) => this.#tell(order))
    carts.onUndecided((intent) => this.#seen(intent))
    carts.onNotices((notices) => this.#news.heard(notices))
  }

  start(): void {
    this.#forwarder.start()
  }

  stop(): void {
    this.#news.stop()
    this.#forwarder.stop()
  }

  handlers(): Pick<RequestHandlers, 'pending-orders'> {
    return { 'pending-orders': (_from, request) => this.#reads.answerPending(request) }
  }

  /** Entries were applied at this node: orders that they decided are counted, told, and known to whoever waits. */
  applied(batch: readonly Applied[]): void {
    for (const { outcome } of batch) {
      const order = outcome?.decided ?? null
      if (order === null) continue
      this.#count(order)
      this.#forwarder.applied(order)
      this.#tell(order)
    }
  }

  #count(order: OrderRecord): void {
    const { counters } = this.#context
    if (order.status === 'placed') counters.add('orders_placed_total')
    else if (order.status === 'refused') counters.add('orders_refused_total')
    else if (order.status === 'cancelled') counters.add('orders_cancelled_total')
  }

  /** Each status of an order is told once, however often it is heard of. */
  #tell(order: OrderRecord): void {
    // An answer that was kept since an earlier status must not be told after a later one.
    if ((this.#told.get(order.id) ?? 0) >= order.history.length) return
    this.#told.set(order.id, order.history.length)
    this.#events.user(order.user, { kind: 'order', data: order })
  }

  #seen(intent: OrderIntent): void {
    const checked = checkedIntent(intent)
    if (checked === null) {
      this.#context.logger.warn(
        { order: intent.id },
        'an intent in a cart can’t be an order; it is left alone',
      )
      return
    }
    this.#forwarder.see(checked)
  }

  /** One intent per order: those on their way, and those of the cart that nobody has reported yet. */
  #undecided(user: UserId): CheckedIntent[] {
    // A cart that absorbed a guest's holds the guest's intents too; those orders are the guest's.
    const inCart = (this.#carts.peek(user)?.undecidedIntents() ?? [])
      .flatMap(toChecked)
      .filter((intent) => intent.user === user)
    return [...new Map([...inCart, ...this.#forwarder.undecided(user)].map((one) => [one.id, one])).values()]
  }

  // ---------------------------------------------------------------- placing

  async place(user: UserId, request: OrderRequest): Promise<OrderAnswer> {
    const id = orderIdOf(user, request.key)
    const order = await this.#placed(user, id, request)
    if (!isSameRequest(order.bodyHash, request)) throw keyReused()
    if (order.status === 'pending') this.#context.counters.add('orders_pending_total')
    if (order.reason !== 'cart-changed') return { order }
    return { order, cart: await this.#carts.view(user) }
  }

  async #placed(user: UserId, id: OrderId, request: OrderRequest): Promise<OrderRecord> {
    const followed = this.#forwarder.intentsOf(id)
    if (followed !== null) return await this.#answer(id, followed, request)
    this.#forwarder.reserve(id, user)
    try {
      const look = await this.#look(user, id, request, false)
      if (look.kind !== 'ask') return await this.#follow(id, look, request)
      const decided = await this.#reads.decided(id)
      if (decided !== null) {
        this.#forwarder.finish(decided)
        return decided
      }
      const second = await this.#look(user, id, request, true)
      assert(second.kind !== 'ask', 'the log has been asked')
      return await this.#follow(id, second, request)
    } catch (error) {
      this.#forwarder.abandon(id, error)
      throw error
    }
  }

  async #follow(
    id: OrderId,
    look: Exclude<Look, { kind: 'ask' }>,
    request: OrderRequest,
  ): Promise<OrderRecord> {
    const intents = look.kind === 'frozen' ? [look.intent] : look.intents.flatMap(toChecked)
    if (intents.length === 0) throw new Fault('internal', 'the intent in this cart can’t be an order')
    for (const intent of intents) this.#forwarder.begin(intent, look.kind === 'frozen')
    return await this.#answer(id, intents, request)
  }

  /** The decision, or the order as pending when there is none in time. */
  async #answer(id: OrderId, intents: readonly CheckedIntent[], request: OrderRequest): Promise<OrderRecord> {
    const isOther = intents.length > 0 && !intents.some(({ bodyHash }) => isSameRequest(bodyHash, request))
    if (isOther) throw keyReused()
    const decided = await this.#forwarder.wait(id, this.#context.settings.orderWaitMs)
    if (decided !== null) return withContact(decided, request)
    const intent = (this.#forwarder.intentsOf(id) ?? intents)[0]
    // Another request is still freezing the cart: it is not known yet whether there will be an order.
    if (intent === undefined) throw new Fault('outcome-unknown', 'the same order is being sent already')
    return pendingOrder(intent)
  }

  /**
   * Looks at the cart, and freezes it if that can be decided. Resolves once the intent is on --cart-acks disks, or on
   * those that could be reached. Faults: `no-home`, `too-large`, `disk-full`: nothing was frozen.
   */
  async #look(user: UserId, id: OrderId, request: OrderRequest, isAsked: boolean): Promise<Look> {
    let stored: Promise<void> | null = null
    try {
      const { value } = await this.#carts.mutate(user, (document, { complete }) => {
        const look = this.#lookAt(document, { user, id, request, complete, isAsked })
        if (look.kind === 'frozen') stored = look.stored
        return look
      })
      if (stored !== null) await (stored as Promise<void>)
      return value
    } catch (error) {
      if (stored !== null) await this.#undo(user, id, stored, error)
      throw error
    }
  }

  #lookAt(
    document: CartDocument,
    asked: { user: UserId; id: OrderId; request: OrderRequest; complete: boolean; isAsked: boolean },
  ): Look {
    const { user, id, request, complete, isAsked } = asked
    const known = document.intents().filter((intent) => intent.id === id)
    if (known.length > 0) {
      if (document.outcomeOf(id) === null) return { kind: 'undecided', intents: known }
      if (!isAsked) return { kind: 'ask' }
    }
    const { shop, local } = this.#context.stores
    const frozen = freeze(document, {
      user,
      id,
      request,
      complete,
      catalog: shop.read,
      currency: shop.read.currency() ?? this.#context.settings.currency,
      nowMs: this.#context.clock.wallMs(),
    })
    // A retry of what was placed long ago finds another cart: the log knows, and is asked first.
    if (!isAsked && (frozen.kind === 'incomplete' || frozen.isRefusal)) return { kind: 'ask' }
    if (frozen.kind === 'incomplete') {
      const why = 'not all of the cart is known at this node yet; nothing was ordered'
      throw new Fault('no-home', why, {}, { retryAfterSeconds: 1 })
    }
    const { intent } = frozen
    document.freeze(intent)
    // Asked for before the cart's own write, so it is on disk with it or before it (group-commit.ts).
    const stored = this.#homes.commit.write(() =>
      local.putOutbox({ order: id, user, intent, createdAtMs: intent.createdAtMs }),
    )
    // Whoever awaits it later sees the failure; until then it must not count as unhandled.
    stored.catch(() => undefined)
    return { kind: 'frozen', intent, stored }
  }

  /**
   * The cart was not stored. A fault promises that nothing was ordered, so the row must go; if that is not certain,
   * neither is the outcome.
   */
  async #undo(user: UserId, id: OrderId, stored: Promise<void>, cause: unknown): Promise<void> {
    try {
      await stored
    } catch {
      // Neither the row nor the cart is on disk: the cause says why.
      return
    }
    const isFrozen =
      this.#carts
        .peek(user)
        ?.intents()
        .some((intent) => intent.id === id) ?? false
    if (isFrozen) throw new Fault('outcome-unknown', 'the order may still be taken', {}, { cause })
    try {
      await this.#homes.commit.write(() => this.#context.stores.local.deleteOutbox(id))
    } catch (error) {
      if (!isFault(error)) throw error
      throw new Fault('outcome-unknown', 'the order may be taken after a restart', {}, { cause })
    }
  }

  // ---------------------------------------------------------------- reading and changing

  /** Fault `not-found`. With `user`, an order that waits for its decision is found too, at that user's home. */
  async get(id: OrderId, user?: UserId): Promise<OrderFound> {
    const order = await this.#reads.find(id, user ?? this.#userOf(id))
    if (order === null) throw new Fault('not-found', 'there is no such order')
    return order
  }

  /** Who asked for it, if it is on its way from here. */
  #userOf(id: OrderId): UserId | undefined {
    return this.#forwarder.intentsOf(id)?.[0]?.user
  }

  async list(query: OrderPageQuery): Promise<OrderPage> {
    return await this.#reads.list(query)
  }

  listLocal(query: OrderPageQuery): ReturnType<Orders['listLocal']> {
    return this.#reads.listLocal(query)
  }

  async cancel(user: UserId, id: OrderId): Promise<OrderRecord> {
    const { order: before } = await this.get(id, user)
    if (before.user !== user) throw new Fault('not-found', 'there is no such order')
    // One id for all retries: what it comes to the first time holds for ever.
    const command = `order-cancel:${id}:${user}` as CommandId
    const body = { kind: 'order.status', order: id, status: 'cancelled', by: 'user', user } as const
    const after = orderRecordSchema.parse(await this.#context.log.run(command, body)) as OrderRecord
    this.#forwarder.hurry(id)
    return withContact(after, before)
  }

  async setStatus(id: OrderId, status: 'shipped' | 'cancelled'): Promise<OrderRecord> {
    const { log } = this.#context
    const body = { kind: 'order.status', order: id, status, by: 'admin' } as const
    const after = orderRecordSchema.parse(await log.run(log.freshCommandId(), body)) as OrderRecord
    // The log's answers leave out contact and note; the rows have them. What was decided stands without them too.
    try {
      return withContact(after, (await this.#reads.decided(id)) ?? {})
    } catch (error) {
      if (!isFault(error)) throw error
      return after
    }
  }
}

function toChecked(intent: OrderIntent): CheckedIntent[] {
  const checked = checkedIntent(intent)
  return checked === null ? [] : [checked]
}
