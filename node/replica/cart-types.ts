/** Narrow views that the parts of the cart service have of each other. */
import type { MemberId, OrderId, UserId } from '../ids.ts'
import type { CartAck, CartItem } from '../messages.ts'
import type { CartRow } from '../ports.ts'
import type { Decision } from './context.ts'

/** Copies of a cart at other members. */
export interface CartReplicas {
  /** Fetches a member's copy and merges it; false when it gave no valid answer. */
  pullFrom(user: UserId, member: MemberId, timeoutMs: number): Promise<boolean>
  /** Which content each member is known to have. */
  deliveredTo(user: UserId): { readonly [member: string]: string }
}

/** Takes carts from peers. */
export interface CartReceiver {
  /** The acknowledgement says that the cart is on this disk. Faults: whatever crdt/ refuses. */
  receive(from: MemberId, item: CartItem, held: CartRow['held']): Promise<CartAck>
  learnMembers(from: MemberId, version: unknown): Promise<void>
}

export interface UndecidedReports {
  /** Tells the orders about every undecided intent in the cart that this node holds of the user. */
  reportUndecided(user: UserId): void
}

/** Takes decisions of the log. */
export interface CartSettler {
  settle(user: UserId, order: OrderId, outcome: Decision): Promise<void>
  /** The account was erased: whatever this node holds of it goes, for ever. */
  erase(user: UserId): Promise<void>
}
