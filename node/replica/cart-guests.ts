/**
 * A guest's cart at log-on (DESIGN.md section 6), and guests that are too old. Promises: the account's document absorbs
 * the guest's with its tags unchanged, so however often that happens nothing is doubled; the guest's cart records where
 * it went, and what is added to it later follows; carts of expired guests leave the disk, a bounded number at a time.
 */
import { isExpiredGuest } from '../core/carts.ts'
import { Fault, isFault } from '../faults.ts'
import { isGuest } from '../ids.ts'
import type { UserId } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { CancelTimer } from '../ports.ts'
import { LruMap } from './cart-lru.ts'
import type { CartShelf, OpenCart } from './cart-shelf.ts'
import type { CartsView, Context, RequestHandlers } from './context.ts'
import type { Homes } from './homes.ts'
import type { Keeper } from './keeper.ts'

/** Log-on waits at most this long for the guest's home. */
const mergeTimeoutMs = 3_000
/** Late additions are rare, and are not lost meanwhile. */
const lateIntervalMs = 2_000
/** Guests' carts that are waiting to be absorbed again; the others wait for their next change. */
const lateGuestsMax = 10_000
/** Accounts that wait for a guest's cart: log-ons while the guest's set could not be reached. */
const awaitingAccountsMax = 10_000
/** So long an account's cart counts as incomplete for a guest's that is out of reach; it follows later as well. */
const awaitedLifeMs = 600_000
/** Homes that may change while a guest's cart is fetched. */
const fetchRoundsMax = 3
/** Sweeps for expired guests: carts live for days, so this often, and so many at once. */
const sweepIntervalMs = 60_000
const sweptMax = 500

/** What guests need of the carts. */
export type GuestCarts = Pick<CartsView, 'mutate'> & {
  open(user: UserId): Promise<void>
  /** A cart was changed here by somebody who is not its home. */
  changedHere(user: UserId): void
}

export class Guests {
  readonly #context: Context
  readonly #homes: Homes
  readonly #shelf: CartShelf
  readonly #keeper: Keeper
  readonly #carts: GuestCarts
  /** Guests whose carts have gone to an account, and have something since then that may not have followed. */
  readonly #late = new Set<UserId>()
  /** Content of guests' carts that has followed to the account. */
  readonly #followed = new LruMap<UserId, string>(lateGuestsMax)
  /** Guests whose carts an account that has its home here is waiting for, and until when. */
  readonly #awaited = new Map<UserId, Map<UserId, number>>()
  readonly #timers = new Map<'late' | 'sweep', CancelTimer>()
  #sweepAfter: UserId | null = null
  #stopped = false

  constructor(context: Context, homes: Homes, shelf: CartShelf, keeper: Keeper, carts: GuestCarts) {
    this.#context = context
    this.#homes = homes
    this.#shelf = shelf
    this.#keeper = keeper
    this.#carts = carts
  }

  start(): void {
    this.#every('late', lateIntervalMs, async () => {
      await this.#followLate()
      await this.#fetchAwaited()
    })
    this.#every('sweep', sweepIntervalMs, () => this.#sweep())
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#timers.values()) cancel()
  }

  #every(name: 'late' | 'sweep', intervalMs: number, work: () => Promise<void>): void {
    if (this.#stopped) return
    const cancel = this.#context.clock.timer(intervalMs, () => {
      work().then(
        () => this.#every(name, intervalMs, work),
        (error: unknown) => {
          if (this.#stopped) return
          this.#context.logger.error({ error: String(error) }, 'work on guests’ carts failed; again later')
          this.#every(name, intervalMs, work)
        },
      )
    })
    this.#timers.set(name, cancel)
  }

  handlers(): Pick<RequestHandlers, 'guest-merge'> {
    return { 'guest-merge': (_from, request) => this.#answer(request) }
  }

  /** Guests whose carts have not followed to their accounts yet. */
  get waiting(): number {
    return this.#late.size + this.#awaited.size
  }

  /** A guest's cart belongs into this account's cart and has not been reached yet. */
  isAwaited(account: UserId): boolean {
    return this.#awaited.has(account)
  }

  /**
   * Brings the guest's cart into the account's, wherever both have their homes. Fault `no-home` when one can't be
   * reached; it may be repeated. Once this has rejected, it will happen nevertheless, though this node dies: where the
   * cart goes is noted on disk here, travels to the guest's server set like any cart, and whoever looks after the
   * guest's cart there lets it follow.
   */
  async absorb(guest: UserId, account: UserId): Promise<void> {
    try {
      await this.#absorb(guest, account)
    } catch (error) {
      if (isFault(error)) await this.#note(guest, account)
      throw error
    }
  }

  async #note(guest: UserId, account: UserId): Promise<void> {
    const held = this.#homes.isInSet(guest) ? 'set' : 'passing'
    const { changed } = await this.#shelf.update(guest, (cart) => cart.document.setForwardedTo(account), {
      held,
    })
    if (changed) this.#carts.changedHere(guest)
  }

  async #absorb(guest: UserId, account: UserId): Promise<void> {
    const home = await this.#homes.find(account)
    if (home.home !== this.#context.selfId) {
      await this.#ask(home.home, guest, account)
      return
    }
    this.#await(guest, account)
    const bytes = await this.#fetch(guest, account)
    if (bytes !== null) {
      const document = this.#shelf.load(bytes)
      await this.#carts.open(account)
      await this.#carts.mutate(account, (cart) => cart.absorb(document))
    }
    this.#arrived(guest, account)
  }

  #await(guest: UserId, account: UserId): void {
    if (!this.#awaited.has(account) && this.#awaited.size >= awaitingAccountsMax) return
    const guests = this.#awaited.get(account) ?? new Map<UserId, number>()
    if (!guests.has(guest)) guests.set(guest, this.#context.clock.monotonicMs() + awaitedLifeMs)
    this.#awaited.set(account, guests)
  }

  #arrived(guest: UserId, account: UserId): void {
    const guests = this.#awaited.get(account)
    guests?.delete(guest)
    if (guests?.size === 0) this.#awaited.delete(account)
  }

  /** At the account's home: asks again for what was not reached at log-on. */
  async #fetchAwaited(): Promise<void> {
    const nowMs = this.#context.clock.monotonicMs()
    const pairs = [...this.#awaited].flatMap(([account, guests]) =>
      [...guests].map(([guest, untilMs]) => ({ account, guest, untilMs })),
    )
    for (const { account, guest, untilMs } of pairs) {
      if (this.#stopped) return
      if (untilMs < nowMs || !this.#homes.isHome(account)) this.#arrived(guest, account)
      else await this.#attempt(guest, account)
    }
  }

  /** True when the guest's cart is in the account's. */
  async #attempt(guest: UserId, account: UserId): Promise<boolean> {
    try {
      await this.#absorb(guest, account)
      return true
    } catch (error) {
      if (!isFault(error)) throw error
      this.#context.logger.debug({ code: error.code }, 'a guest’s cart could not follow yet; again soon')
      return false
    }
  }

  async #ask(
    member: Parameters<Context['peers']['ask']>[0],
    guest: UserId,
    account: UserId,
  ): Promise<Uint8Array | null> {
    const request = { kind: 'guest-merge', guest, account } as const
    const { bytes } = await this.#context.peers.ask(member, request, { timeoutMs: mergeTimeoutMs })
    return bytes === null ? null : Buffer.from(bytes, 'base64')
  }

  async #fetch(guest: UserId, account: UserId): Promise<Uint8Array | null> {
    for (let round = 0; round < fetchRoundsMax; round += 1) {
      const home = await this.#homes.find(guest)
      if (home.home !== this.#context.selfId) return await this.#ask(home.home, guest, account)
      await this.#carts.open(guest)
      // Opening asks others, and may have heard of another home.
      if (this.#homes.isHome(guest)) return await this.#giveAway(guest, account)
    }
    throw new Fault('no-home', 'the home of this guest is changing', {}, { retryAfterSeconds: 1 })
  }

  /**
   * At the guest's home: the cart, after recording where it goes. At the account's home (asked by the guest's home,
   * when something was added late, or by the node of the log-on): fetches and absorbs it.
   */
  async #answer({ guest, account }: PeerRequestOf<'guest-merge'>): Promise<PeerResponseOf<'guest-merge'>> {
    if (!isGuest(guest) || isGuest(account)) throw new Fault('invalid-request', 'a guest and an account')
    if (this.#homes.isHome(account)) {
      await this.#absorb(guest, account)
      return { bytes: null }
    }
    if (!this.#homes.isHome(guest)) {
      throw new Fault('no-home', 'this node is home of neither', {}, { retryAfterSeconds: 1 })
    }
    return { bytes: Buffer.from(await this.#giveAway(guest, account)).toString('base64') }
  }

  /** Records where the cart goes even if it is empty here: another member may have what this one has not heard of. */
  async #giveAway(guest: UserId, account: UserId): Promise<Uint8Array> {
    const { value } = await this.#carts.mutate(guest, (cart) => {
      cart.setForwardedTo(account)
      return cart.encode()
    })
    return value
  }

  /** This node looks after the cart. If it is a guest's that has gone to an account, what is new in it must follow. */
  lookedAt({ user, document, hash }: Pick<OpenCart, 'user' | 'document' | 'hash'>): void {
    if (!isGuest(user) || document.forwardedTo === null || this.#followed.peek(user) === hash) return
    if (this.#late.size < lateGuestsMax) this.#late.add(user)
  }

  async #followLate(): Promise<void> {
    const guests = Array.from(this.#late)
    for (const guest of guests) {
      if (this.#stopped) return
      const cart = this.#shelf.get(guest)
      const account = cart?.document.forwardedTo ?? null
      const role = this.#keeper.roleOf(guest)
      this.#late.delete(guest)
      if (cart === null || account === null || (role !== 'home' && role !== 'keeper')) continue
      const { hash } = cart
      if (!(await this.#attempt(guest, account))) {
        this.#late.add(guest)
        continue
      }
      this.#followed.set(guest, hash)
      if (this.#shelf.get(guest)?.hash === hash) this.#late.delete(guest)
    }
  }

  async #sweep(): Promise<void> {
    const { stores, clock, settings } = this.#context
    const users = stores.local.cartUsers(this.#sweepAfter, sweptMax)
    this.#sweepAfter = users.length < sweptMax ? null : (users.at(-1) ?? null)
    const expired = users.filter((user) => isExpiredGuest(user, clock.wallMs(), settings.guestCartDays))
    for (const user of expired) {
      const hash = this.#shelf.get(user)?.hash
      if (hash !== undefined && (await this.#shelf.forget(user, hash)))
        await this.#homes.sessions.forget(user)
    }
  }
}
