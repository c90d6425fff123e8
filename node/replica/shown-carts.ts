/**
 * Carts that shoppers were shown, by their hash. A hash alone does not say at which prices a shopper agreed; with the
 * lines behind it an order whose prices moved meanwhile is refused as `price-changed`, with old and new price, instead
 * of as a cart that is somehow another one (API.md, "Errors"). A hint only: forgotten at a restart and unknown at
 * another home, where the answer is `cart-changed`.
 */
import type { HashedLine } from '../core/carts.ts'
import { LruMap } from './cart-lru.ts'

/** Far more carts than are being looked at on one node at a time; each is a few lines. */
const shownCartsMax = 10_000
/** Lines of a cart that is remembered; greater ones are rare, and 10,000 of them would weigh too much. */
const shownLinesMax = 100

export class ShownCarts {
  readonly #carts = new LruMap<string, readonly HashedLine[]>(shownCartsMax)

  remember(hash: string, lines: readonly HashedLine[]): void {
    if (lines.length === 0 || lines.length > shownLinesMax) return
    if (this.#carts.get(hash) !== undefined) return
    this.#carts.set(
      hash,
      lines.map(({ sku, quantity, unitPrice }) => ({ sku, quantity, unitPrice })),
    )
  }

  find(hash: string): readonly HashedLine[] | null {
    return this.#carts.get(hash) ?? null
  }
}
