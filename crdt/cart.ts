/**
 * The cart document (DESIGN.md section 5). Pure: no I/O, no clock, no randomness; whoever opens a
 * document passes a fresh random 32-bit `clientId`, and a `lineage` where one is drawn.
 */
import type { OrderId, Tag, UserId } from '../node/ids.ts'
import type {
  CartContents,
  CartEdit,
  Checkout,
  MergeResult,
  OrderIntent,
  OrderOutcome,
  RequestKey,
} from './types.ts'

export type {
  CartContents,
  CartEdit,
  CartLine,
  Checkout,
  IntentContact,
  IntentLine,
  MergeResult,
  OrderIntent,
  OrderOutcome,
  RequestKey,
} from './types.ts'
export { cartDocumentSizeBytesMax, cartEntriesMax, quantityMax } from './types.ts'
export { newLineage, requestKey, writerId } from './hash.ts'

function todo(): never {
  throw new Error('not there yet')
}

export class CartDocument {
  /** A new, empty cart of generation 0. */
  static create(_options: { clientId: number; lineage: string }): CartDocument {
    return todo()
  }
  /** Opens a full state, from disk or a peer. Faults: `invalid-request` (malformed, or a delta), `too-large`. */
  static load(_state: Uint8Array, _options: { clientId: number }): CartDocument {
    return todo()
  }
  get generation(): number {
    return todo()
  }
  get lineage(): string {
    return todo()
  }
  /** The full state with its header: what is stored, and what answers `need-full`. */
  encode(): Uint8Array {
    return todo()
  }
  sizeBytes(): number {
    return todo()
  }
  /**
   * Applies a shopper's edit. The update is a delta to persist and send; null when nothing changed (a
   * retry, or a removal of nothing). Faults: `key-reused`, `invalid-request`, `too-large` (cart is full).
   * After a fault nothing changed. After a failed write throw this document away, load it again and use
   * a fresh writer.
   */
  edit(_edit: CartEdit, _writer: string, _key?: RequestKey): { update: Uint8Array | null } {
    return todo()
  }
  contents(): CartContents {
    return todo()
  }
  checkout(): Checkout {
    return todo()
  }
  /** Records an intent; it holds its tags until decided. The delta is null when it was there already. */
  freeze(_intent: OrderIntent): Uint8Array | null {
    return todo()
  }
  intents(): OrderIntent[] {
    return todo()
  }
  /** Intents whose order the log has not decided, as far as this document knows. */
  undecidedIntents(): OrderIntent[] {
    return todo()
  }
  outcomeOf(_id: OrderId): OrderOutcome | null {
    return todo()
  }
  /** Records the log's decision; null when it was there already. */
  decide(_id: OrderId, _outcome: OrderOutcome): Uint8Array | null {
    return todo()
  }
  /** A sold notice from the orders table; tags may be of entries that are not here yet. */
  markSold(_order: OrderId, _tags: readonly Tag[]): Uint8Array | null {
    return todo()
  }
  /**
   * Takes a peer's delta or full state after checking it on a scratch copy. Faults: `invalid-request`,
   * `too-large`; this document is unchanged then, and when the answer is `need-full`.
   */
  merge(_incoming: Uint8Array): MergeResult {
    return todo()
  }
  /** Log-on: the guest's cart goes into this account's, tags unchanged. May be repeated when the guest's cart grew. */
  absorb(_guest: CartDocument): Uint8Array | null {
    return todo()
  }
  /** The account that this guest's cart went to; the smallest id if, by concurrent log-ons, there are several. */
  get forwardedTo(): UserId | null {
    return todo()
  }
  setForwardedTo(_account: UserId): Uint8Array | null {
    return todo()
  }
  needsRebase(): boolean {
    return todo()
  }
  /** A small document of the next generation with the same contents. `hour`: hours since 1970. */
  rebase(_options: { clientId: number; lineage: string; hour: number }): CartDocument {
    return todo()
  }
  /** Order-independent hash of the facts, 64 hex digits; equal on converged replicas. */
  contentHash(): string {
    return todo()
  }
}
