/**
 * Carts that this node has to bring somewhere, in memory; rebuilt from disk at start. Promises: what is not delivered
 * or not synced is in here, if this node looks after it; counting is cheap; carts that wait for a dead member cost
 * nothing but their place.
 */
import type { CartRole } from '../core/carts.ts'
import { disksWith, missingAt } from '../core/carts.ts'
import type { MemberId, UserId } from '../ids.ts'
import type { CartShelf, OpenCart } from './cart-shelf.ts'
import type { Context } from './context.ts'
import type { Homes } from './homes.ts'
import type { Keeper } from './keeper.ts'
import { KeeperNews } from './keeper-news.ts'

/** A cart that can't be delivered is tried again at least this often: presence is only a hint. */
const againDelayMaxMs = 60_000
/** A hundred thousand carts that wait for a dead member take a few milliseconds to look at. */
const agesLifeMs = 1_000
/** Doublings of the delay, so that the power can't overflow. */
const attemptsCountedMax = 10

export type DirtyCart = {
  readonly user: UserId
  /** A bystander is here for as long as it has something that home, or the keeper, is not known to have. */
  role: CartRole
  /** Monotonic time since which it is so, as far as this life of the node knows; null while it is not. */
  undeliveredSinceMs: number | null
  underReplicatedSinceMs: number | null
  /** What is in it is not yet where it must be for the present set alone to answer for it (cart-settling.ts). */
  waitingSinceMs: number | null
  attempts: number
  nextAtMs: number
}

/** Numbers of carts, and the age of the oldest of each kind; 0 when there is none. */
export type DirtyCounts = {
  readonly undelivered: number
  readonly underReplicated: number
  readonly oldestUndeliveredMs: number
  readonly oldestUnderReplicatedMs: number
}

export class DirtyCarts {
  readonly #context: Context
  readonly #homes: Homes
  readonly #shelf: CartShelf
  readonly #keeper: Keeper
  readonly #onMine: (cart: OpenCart) => void
  readonly keeperNews: KeeperNews
  readonly #carts = new Map<UserId, DirtyCart>()
  /** Carts this node looks after that have intents without a decision. */
  readonly undecided = new Set<UserId>()
  #undelivered = 0
  #underReplicated = 0
  #ages = { measuredAtMs: Number.NEGATIVE_INFINITY, undeliveredMs: 0, underReplicatedMs: 0 }

  /** `onMine`: called for each cart that is looked at and that this node looks after as home or keeper. */
  constructor(
    context: Context,
    homes: Homes,
    shelf: CartShelf,
    keeper: Keeper,
    onMine: (cart: OpenCart) => void,
  ) {
    this.#onMine = onMine
    this.#context = context
    this.#homes = homes
    this.#shelf = shelf
    this.#keeper = keeper
    this.keeperNews = new KeeperNews(context, homes, keeper)
  }

  counts(): DirtyCounts {
    this.#measureAges()
    return {
      undelivered: this.#undelivered,
      underReplicated: this.#underReplicated,
      oldestUndeliveredMs: this.#undelivered === 0 ? 0 : this.#ages.undeliveredMs,
      oldestUnderReplicatedMs: this.#underReplicated === 0 ? 0 : this.#ages.underReplicatedMs,
    }
  }

  /** Counting is cheap and often asked for; the ages take a look at each cart that waits, so they may be a second old. */
  #measureAges(): void {
    const nowMs = this.#context.clock.monotonicMs()
    if (nowMs - this.#ages.measuredAtMs < agesLifeMs) return
    let [undelivered, underReplicated] = [nowMs, nowMs]
    for (const { undeliveredSinceMs, underReplicatedSinceMs } of this.#carts.values()) {
      undelivered = Math.min(undelivered, undeliveredSinceMs ?? nowMs)
      underReplicated = Math.min(underReplicated, underReplicatedSinceMs ?? nowMs)
    }
    this.#ages = {
      measuredAtMs: nowMs,
      undeliveredMs: Math.round(nowMs - undelivered),
      underReplicatedMs: Math.round(nowMs - underReplicated),
    }
  }

  /** Some cart has been waiting all the time since then. */
  hasWaitedSince(atMs: number): boolean {
    return this.#carts
      .values()
      .some(({ waitingSinceMs }) => waitingSinceMs !== null && waitingSinceMs <= atMs)
  }

  get(user: UserId): DirtyCart | undefined {
    return this.#carts.get(user)
  }

  /** Looks at a cart afresh: what changed, who has it, who looks after it. */
  look(user: UserId): void {
    const cart = this.#shelf.get(user)
    const role = cart === null ? 'bystander' : this.#keeper.roleOf(user)
    const isMine = role === 'home' || role === 'keeper'
    if (cart !== null && isMine && cart.document.undecidedIntents().length > 0) this.undecided.add(user)
    else this.undecided.delete(user)
    if (cart === null) return this.#replace(user, null)
    if (isMine) this.#onMine(cart)
    this.keeperNews.look(user)
    const { selfId, settings } = this.#context
    const set = this.#homes.serverSet(user)
    // Who left the set forgets the cart once the set has it, and has nothing when it is in the set again.
    if (Object.keys(cart.delivered).some((member) => !set.includes(member as MemberId)))
      this.#shelf.forgetDelivery(user, set)
    const missing = missingAt(selfId, set, cart.delivered, cart.hash)
    // Whoever was home before, or heard what the present home did not, brings it there: nobody else knows of it.
    const owesLooker = role === 'bystander' && this.lacking(user).length > 0
    if (role === 'bystander' && !owesLooker) return this.#replace(user, null)
    if (isMine && missing.length === 0 && cart.syncedHash === cart.hash) return this.#replace(user, null)
    const wanted = Math.min(settings.cartAcks, set.length)
    const before = this.#carts.get(user)
    const nowMs = this.#context.clock.monotonicMs()
    // Who was removed goes for good when its carts are in their sets: it must say how many are not yet.
    const isLeaving = this.#context.members.isRemoved(selfId)
    const isUndelivered = owesLooker || ((isMine || isLeaving) && missing.length > 0)
    const isUnderReplicated = isMine && disksWith(selfId, set, cart.delivered, cart.hash) < wanted
    const isWaiting = isMine ? isUnderReplicated : owesLooker || role === 'foreign'
    this.#replace(user, {
      user,
      role,
      undeliveredSinceMs: isUndelivered ? (before?.undeliveredSinceMs ?? nowMs) : null,
      underReplicatedSinceMs: isUnderReplicated ? (before?.underReplicatedSinceMs ?? nowMs) : null,
      waitingSinceMs: isWaiting ? (before?.waitingSinceMs ?? nowMs) : null,
      attempts: before?.attempts ?? 0,
      nextAtMs: before?.nextAtMs ?? nowMs,
    })
  }

  /** Those that look after the cart, or should, and are not known to have what this node has of it. */
  lacking(user: UserId): MemberId[] {
    const cart = this.#shelf.get(user)
    if (cart === null) return []
    const missing = missingAt(this.#context.selfId, this.#homes.serverSet(user), cart.delivered, cart.hash)
    return this.#keeper.lookersAfter(user).filter((member) => missing.includes(member))
  }

  #replace(user: UserId, cart: DirtyCart | null): void {
    const before = this.#carts.get(user)
    const is = (sinceMs: number | null | undefined): number => (typeof sinceMs === 'number' ? 1 : 0)
    this.#undelivered += is(cart?.undeliveredSinceMs) - is(before?.undeliveredSinceMs)
    this.#underReplicated += is(cart?.underReplicatedSinceMs) - is(before?.underReplicatedSinceMs)
    if (cart === null) this.#carts.delete(user)
    else this.#carts.set(user, cart)
  }

  /** The cart itself changed, or somebody who lacks it may be back: it is due at once. */
  hurry(user: UserId): void {
    this.look(user)
    const cart = this.#carts.get(user)
    if (cart === undefined) return
    cart.attempts = 0
    cart.nextAtMs = this.#context.clock.monotonicMs()
  }

  /** A member is alive or dead, or there is another primary: everything that it concerns is looked at again. */
  hurryAll(concerns: (user: UserId) => boolean): void {
    for (const user of this.#carts.keys()) if (concerns(user)) this.hurry(user)
  }

  hurryMember(member: MemberId): void {
    this.hurryAll((user) => this.#homes.serverSet(user).includes(member))
  }

  due(limit: number): DirtyCart[] {
    const nowMs = this.#context.clock.monotonicMs()
    const due: DirtyCart[] = []
    for (const cart of this.#carts.values()) {
      if (due.length >= limit) break
      if (cart.nextAtMs <= nowMs) due.push(cart)
    }
    return due
  }

  /** It was tried: if it is still here, the next attempt comes later and later. */
  tried(user: UserId): void {
    this.look(user)
    const cart = this.#carts.get(user)
    if (cart === undefined) return
    const { settings, random, clock } = this.#context
    cart.attempts = Math.min(cart.attempts + 1, attemptsCountedMax)
    const delayMs = Math.min(settings.cartSyncIntervalMs * 2 ** (cart.attempts - 1), againDelayMaxMs)
    cart.nextAtMs = clock.monotonicMs() + delayMs * (0.75 + random.next() / 4)
  }
}
