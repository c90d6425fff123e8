/** `local.db`: what a node needs of it. Types only; part of `ports.ts`. */
import type { OrderIntent } from './commands.ts'
import type { ClusterId, LogIndex, MemberId, OrderId, UserId } from './ids.ts'
import type { HomeRecord } from './messages.ts'

export type CartRow = {
  user: UserId
  /** Full document state as crdt/ encodes it. */
  state: Uint8Array
  /** Content hash of `state`. */
  hash: string
  /** Content hash through which each member of the set is known to have it. */
  delivered: { readonly [member: string]: string }
  /** Content hash that the primary took and distributed last; null never. */
  syncedHash: string | null
  /** `set`: this node is in the user's server set. `passing`: kept as primary until the set has it. */
  held: 'set' | 'passing'
  updatedAtMs: number
}

export type SessionRow = {
  user: UserId
  record: HomeRecord
  /** The set and home before the newest change of either: where an older copy may still be. */
  previousMembers: MemberId[]
  lastActiveAtMs: number
}

/** By what users are placed on a member: how much of its capacity is in use. */
export type Placement = { readonly id: MemberId; readonly capacity: number }

export type OutboxRow = {
  order: OrderId
  user: UserId
  intent: OrderIntent
  createdAtMs: number
}

/** `local.db`: carts, session records, revoked tokens, the order outbox. On disk when a write returns. */
export interface LocalStore {
  /** Runs `work` in one transaction: the group commit of many shoppers' writes. */
  transaction<T>(work: () => T): T
  clusterId(): ClusterId | null
  setClusterId(clusterId: ClusterId): void

  cart(user: UserId): CartRow | null
  putCart(row: CartRow): void
  /** Only the bookkeeping of who has it. */
  setDelivery(user: UserId, delivered: { readonly [member: string]: string }, syncedHash: string | null): void
  deleteCart(user: UserId): void
  /** Users of all carts held, after `after`, in user order: pages for start-up and clean-up. */
  cartUsers(after: UserId | null, limit: number): UserId[]
  cartCount(): number

  session(user: UserId): SessionRow | null
  putSession(row: SessionRow): void
  deleteSession(user: UserId): void
  sessions(after: UserId | null, limit: number): SessionRow[]
  /** Sessions whose record names this home. */
  sessionCount(home: MemberId): number

  outbox(): OutboxRow[]
  outboxEntry(order: OrderId): OutboxRow | null
  putOutbox(row: OutboxRow): void
  deleteOutbox(order: OrderId): void

  /** Deletes cart and session of an erased account, strips its outbox entries, and remembers for ever that it is gone. */
  eraseUser(user: UserId): void
  isErased(user: UserId): boolean
  /** The token was logged off, or all of its user's that end so early were, or the user's account was erased. */
  isSessionOver(session: { id: string; user: UserId; expiresAtMs: number }): boolean

  /** Until when this id is revoked; 0 when it is not. */
  revokedUntilMs(id: string): number
  /** A known id keeps the later end. */
  revoke(tokenId: string, expiresAtMs: number): void
  revokedAfter(nowMs: number, limit: number): { id: string; expiresAtMs: number }[]
  dropRevokedBefore(expiresAtMs: number): void

  /** Log index of the newest sold notice taken in. */
  soldWatermark(): LogIndex
  setSoldWatermark(index: LogIndex): void

  /** The members by which users are placed, and the lists before that, newest first; empty until they are set. */
  placements(): readonly (readonly Placement[])[]
  setPlacements(lists: readonly (readonly Placement[])[]): void
  close(): void
}
