/**
 * Sold notices (DESIGN.md section 5): every node follows the orders table by a watermark and settles the carts it
 * holds, so decisions arrive even if the home died a moment after the order. Erased accounts travel the same way. Promises: the watermark moves on only
 * after everything up to it is on this disk; one pull at a time; nothing is asked when nothing is new.
 */
import { isFault } from '../faults.ts'
import type { LogIndex, MemberId } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { CancelTimer, SoldNotice } from '../ports.ts'
import type { CartSettler } from './cart-types.ts'
import type { Context, Decision, RequestHandlers } from './context.ts'

/** Notices of one answer. */
const noticesPerPageMax = 500
const pullTimeoutMs = 2_000
/** After nobody could answer. */
const againDelayMs = 1_000

/** A cancelled order that was placed before keeps its entries sold. */
export function decisionOf(notice: Pick<SoldNotice, 'status' | 'reason' | 'tags'>): Decision {
  switch (notice.status) {
    case 'placed':
    case 'shipped':
      return { status: 'placed', tags: notice.tags }
    case 'cancelled':
      return notice.tags.length > 0 ? { status: 'placed', tags: notice.tags } : { status: 'cancelled' }
    case 'refused':
      return { status: 'refused', reason: notice.reason ?? 'cart-changed', soldTags: {} }
    default: {
      const never: never = notice.status
      throw new Error(`unknown status ${String(never)}`)
    }
  }
}

export class SoldNotices {
  readonly #context: Context
  readonly #carts: CartSettler
  readonly #noticed: (notices: readonly SoldNotice[]) => void
  #target: LogIndex = 0
  #isPulling = false
  #stopped = false
  #cancel: CancelTimer = () => undefined

  /** `noticed` is called once the carts are settled. */
  constructor(context: Context, carts: CartSettler, noticed: (notices: readonly SoldNotice[]) => void) {
    this.#context = context
    this.#carts = carts
    this.#noticed = noticed
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** Orders were decided through `ordersIndex`, as far as anybody knows. */
  noticeOrders(ordersIndex: LogIndex): void {
    this.#target = Math.max(this.#target, ordersIndex)
    if (this.#isPulling || this.#stopped || this.#target <= this.#context.stores.local.soldWatermark()) return
    this.#isPulling = true
    this.#cancel()
    this.#pull().then(
      (isDone) => {
        this.#isPulling = false
        if (!isDone) this.#againLater()
        // More may have been decided meanwhile.
        else if (!this.#stopped) this.#context.clock.defer(() => this.noticeOrders(0))
      },
      (error: unknown) => {
        this.#isPulling = false
        this.#context.logger.warn({ reason: String(error) }, 'sold notices could not be taken in; again soon')
        this.#againLater()
      },
    )
  }

  #againLater(): void {
    if (!this.#stopped) this.#cancel = this.#context.clock.timer(againDelayMs, () => this.noticeOrders(0))
  }

  /** False when nobody could bring this node to the target. */
  async #pull(): Promise<boolean> {
    const { local } = this.#context.stores
    while (!this.#stopped && local.soldWatermark() < this.#target) {
      const page = await this.#page(local.soldWatermark())
      if (page === null) return false
      await Promise.all([
        ...page.items.map((notice) => this.#carts.settle(notice.user, notice.order, decisionOf(notice))),
        ...page.erased.map(({ user }) => this.#carts.erase(user)),
      ])
      if (this.#stopped) return true
      local.setSoldWatermark(page.throughIndex)
      this.#noticed(page.items as SoldNotice[])
    }
    return true
  }

  /** From the own store if it is far enough, else from the primary, else from any member that has more. */
  async #page(afterIndex: LogIndex): Promise<PeerResponseOf<'sold-since'> | null> {
    const own = this.#ownPage(afterIndex, noticesPerPageMax)
    if (own.throughIndex > afterIndex) return own
    const request = { kind: 'sold-since', afterIndex, limit: noticesPerPageMax } as const
    for (const member of this.#sources()) {
      try {
        const page = await this.#context.peers.ask(member, request, {
          timeoutMs: pullTimeoutMs,
          lane: 'bulk',
        })
        if (page.throughIndex > afterIndex) return page
      } catch (error) {
        if (!isFault(error)) throw error
        this.#context.counters.add('peer_requests_failed_total')
        this.#context.logger.debug({ member, code: error.code }, 'a peer gave no sold notices')
      }
    }
    return null
  }

  /** The primary, then the others in turn, so that load spreads and no dead one is asked for ever. */
  #sources(): MemberId[] {
    const { log, members, presence, selfId, random } = this.#context
    const primary = log.primary()?.id
    const others = members
      .list()
      .filter(({ id, eligible }) => eligible && id !== selfId && id !== primary && presence.alive(id))
      .map(({ id }) => id)
    const first = Math.floor(random.next() * Math.max(1, others.length))
    const turned = [...others.slice(first), ...others.slice(0, first)]
    return primary === undefined || primary === selfId ? turned : [primary, ...turned]
  }

  /** Rows are in log order; a page that is full ends at its last row, any other at the newest decision. */
  #ownPage(afterIndex: LogIndex, limit: number): PeerResponseOf<'sold-since'> {
    const { shop } = this.#context.stores
    const newest = shop.ordersIndex()
    const items = shop.soldSince(afterIndex, limit)
    const erased = shop.erasedSince(afterIndex, limit)
    const endOf = (rows: readonly { index: LogIndex }[]): LogIndex =>
      rows.length >= limit ? (rows.at(-1)?.index ?? newest) : newest
    return { items, erased, throughIndex: Math.min(endOf(items), endOf(erased)) }
  }

  handlers(): Pick<RequestHandlers, 'sold-since'> {
    return { 'sold-since': (_from, request) => this.#answer(request) }
  }

  async #answer({ afterIndex, limit }: PeerRequestOf<'sold-since'>): Promise<PeerResponseOf<'sold-since'>> {
    return this.#ownPage(afterIndex, limit)
  }
}
