/**
 * Additions from other servers that a merge brought into a cart, until its shopper was told (API.md, "cart": `merged`).
 * Promises: they are in the first answer and in all that follow within a few seconds, because that answer may have been
 * lost on its way and asked for again; bounded memory. A home that dies takes its notices along, the cart stays right.
 */
import type { CartLine } from '../../crdt/cart.ts'
import type { Sku, UserId } from '../ids.ts'
import type { Clock } from '../ports.ts'
import { LruMap } from './cart-lru.ts'

/** Carts whose additions wait to be shown. */
const cartsMax = 10_000
/** A client that lost the answer has asked again by then; a shopper who looks again has seen it. */
const shownForMs = 10_000

type Notice = { readonly lines: Map<Sku, number>; firstShownAtMs: number | null }

export class MergedNotices {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #notices = new LruMap<UserId, Notice>(cartsMax)

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  add(user: UserId, additions: readonly CartLine[]): void {
    if (additions.length === 0) return
    const { lines } = this.#current(user) ?? { lines: new Map<Sku, number>() }
    for (const { sku, quantity } of additions) lines.set(sku, (lines.get(sku) ?? 0) + quantity)
    this.#notices.set(user, { lines, firstShownAtMs: null })
  }

  /** `isShown`: this is an answer to the shopper. */
  read(user: UserId, isShown: boolean): { sku: Sku; quantity: number }[] {
    const notice = this.#current(user)
    if (notice === null) return []
    if (isShown) notice.firstShownAtMs ??= this.#clock.monotonicMs()
    return [...notice.lines].map(([sku, quantity]) => ({ sku, quantity }))
  }

  delete(user: UserId): void {
    this.#notices.delete(user)
  }

  #current(user: UserId): Notice | null {
    const notice = this.#notices.peek(user)
    if (notice === undefined) return null
    const { firstShownAtMs } = notice
    if (firstShownAtMs === null || this.#clock.monotonicMs() - firstShownAtMs < shownForMs) return notice
    this.#notices.delete(user)
    return null
  }
}
