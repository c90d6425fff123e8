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
import type { CartDocument } from '../../crdt/cart.ts'
import type { CartShelf } from './cart-shelf.ts'
import type { CartsView, Context, RequestHandlers } from './context.ts'
import type { Homes } from './homes.ts'

/** Log-on waits at most this long for the guest's home. */
const mergeTimeoutMs = 3_000
/** Late additions are rare, and are not lost meanwhile. */
const lateIntervalMs = 2_000
/** Guests' carts that are waiting to be absorbed again; the others wait for their next change. */
const lateGuestsMax = 10_000
/** Sweeps for expired guests: carts live for days, so this often, and so many at once. */
const sweepIntervalMs = 60_000
const sweptMax = 500

export class Guests {
  readonly #context: Context
  readonly #homes: Homes
  readonly #shelf: CartShelf
  readonly #carts: Pick<CartsView, 'mutate'>
  readonly #open: (user: UserId) => Promise<void>
  /** Guests whose carts changed after they had gone to an account. */
  readonly #late = new Set<UserId>()
  readonly #timers = new Map<'late' | 'sweep', CancelTimer>()
  #sweepAfter: UserId | null = null
  #stopped = false

  constructor(
    context: Context,
    homes: Homes,
    shelf: CartShelf,
    carts: Pick<CartsView, 'mutate'>,
    open: (user: UserId) => Promise<void>,
  ) {
    this.#context = context
    this.#homes = homes
    this.#shelf = shelf
    this.#carts = carts
    this.#open = open
  }

  start(): void {
    this.#every('late', lateIntervalMs, () => this.#followLate())
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

  /**
   * Brings the guest's cart into the account's, wherever both have their homes. Fault `no-home` when one can't be
   * reached; it may be repeated.
   */
  async absorb(guest: UserId, account: UserId): Promise<void> {
    const home = await this.#homes.find(account)
    if (home.home !== this.#context.selfId) {
      await this.#ask(home.home, guest, account)
      return
    }
    const bytes = await this.#fetch(guest, account)
    if (bytes === null) return
    const document = this.#shelf.load(bytes)
    await this.#open(account)
    await this.#carts.mutate(account, (cart) => cart.absorb(document))
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
    const home = await this.#homes.find(guest)
    if (home.home === this.#context.selfId) return await this.#giveAway(guest, account)
    return await this.#ask(home.home, guest, account)
  }

  /**
   * At the guest's home: the cart, after recording where it goes. At the account's home (asked by the guest's home,
   * when something was added late, or by the node of the log-on): fetches and absorbs it.
   */
  async #answer({ guest, account }: PeerRequestOf<'guest-merge'>): Promise<PeerResponseOf<'guest-merge'>> {
    if (!isGuest(guest) || isGuest(account)) throw new Fault('invalid-request', 'a guest and an account')
    if (this.#homes.isHome(account)) {
      await this.absorb(guest, account)
      return { bytes: null }
    }
    if (!this.#homes.isHome(guest)) {
      throw new Fault('no-home', 'this node is home of neither', {}, { retryAfterSeconds: 1 })
    }
    const bytes = await this.#giveAway(guest, account)
    return { bytes: bytes === null ? null : Buffer.from(bytes).toString('base64') }
  }

  async #giveAway(guest: UserId, account: UserId): Promise<Uint8Array | null> {
    await this.#open(guest)
    if (this.#shelf.get(guest) === null) return null
    const { value } = await this.#carts.mutate(guest, (cart) => {
      cart.setForwardedTo(account)
      return cart.encode()
    })
    return value
  }

  /** A guest's cart changed at its home; if it has gone to an account, the change follows. */
  changed(guest: UserId, document: CartDocument): void {
    if (isGuest(guest) && document.forwardedTo !== null && this.#late.size < lateGuestsMax)
      this.#late.add(guest)
  }

  async #followLate(): Promise<void> {
    const guests = Array.from(this.#late)
    for (const guest of guests) {
      const account = this.#shelf.get(guest)?.document.forwardedTo ?? null
      this.#late.delete(guest)
      if (account === null || !this.#homes.isHome(guest)) continue
      try {
        await this.absorb(guest, account)
        // Fetching it recorded nothing new.
        this.#late.delete(guest)
      } catch (error) {
        if (!isFault(error)) throw error
        this.#context.logger.debug(
          { code: error.code },
          'late additions of a guest could not follow; again soon',
        )
        this.#late.add(guest)
      }
      if (this.#stopped) return
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
