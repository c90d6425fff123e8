/**
 * The replica's public type: all that `http/` may know of a node. Types only. Every method that can
 * fail rejects (or throws) a Fault; anything else is a bug.
 */
import type {
  CatalogChangeResult,
  CatalogHistoryEntry,
  Contact,
  OrderRecord,
  Product,
  ProductChange,
} from './commands.ts'
import type { CommandId, Handle, NodeName, OrderId, Sku, UserId } from './ids.ts'
import type {
  CatalogHistoryPage,
  CatalogHistoryQuery,
  FacetCount,
  Logger,
  OrderFilter,
  OrderPageQuery,
  ProductFacets,
  ProductPage,
  ProductQuery,
} from './ports.ts'

export type NodeAddress = { readonly node: NodeName; readonly url: string }

export type UserInfo = { id: UserId; kind: 'guest' | 'account'; email?: string; name?: string }

/** Where a user is served, with the epoch of that assignment. */
export type Assignment = { home: NodeAddress; epoch: number; serverSet: NodeAddress[] }

/** What to do with a request that belongs to the user's home. */
export type Route =
  /** This node is home (it may just have become it, with the cart pulled). */
  | { kind: 'here'; epoch: number }
  /**
   * That node confirmed that it is home. `clockAheadMs`: by how much its wall clock is ahead of this node's, negative when
   * it is behind; absent when they agree.
   */
  | { kind: 'redirect'; home: NodeAddress; epoch: number; clockAheadMs?: number }

export type CartItemView = {
  sku: Sku
  handle: Handle
  title: string
  image: string | null
  quantity: number
  /** Minor units; the current price of the catalog at this node. Zero when the SKU is gone. */
  unitPrice: number
  lineTotal: number
  forSale: boolean
  /** Unit price that the shopper agreed to in an order that was refused because it is another one now. */
  previousPrice?: number
}

export type CartView = {
  user: UserId
  items: CartItemView[]
  total: number
  currency: string
  hash: string
  /** False while a takeover could not reach enough members to be sure that nothing is missing. */
  complete: boolean
  ordering: { order: OrderId; items: { sku: Sku; quantity: number }[] }[]
  /** Additions that came from another server with a merge and have not been shown before. */
  merged: { sku: Sku; quantity: number }[]
  home: NodeAddress
  catalogVersion: number
}

/** A change's answer; `acks` counts disks (this one included), `wanted` is --cart-acks. */
export type CartChangeResult = { cart: CartView; acks: number; wanted: number }

export type CartChange =
  | { kind: 'add'; sku: Sku; quantity: number }
  | { kind: 'set'; sku: Sku; quantity: number }
  | { kind: 'remove'; sku: Sku }
  | { kind: 'clear' }

export type OrderRequest = {
  key: string
  /** Hash of the cart answer that the shopper agreed to, or `*`. */
  hash: string
  contact?: Contact
  note?: string
}

/**
 * How `POST /api/orders` ends. A refusal is a decision too: the caller turns `order.reason` into the 409
 * problem with `changes`, `cart` or `order` (API.md). `pending`: no decision within --order-wait.
 */
export type OrderAnswer = { order: OrderRecord; cart?: CartView }

/**
 * `stale`: no majority of the voters could confirm it. It is the newest that is known within reach, and something newer
 * may have been decided.
 */
export type OrderFound = { order: OrderRecord; stale: boolean }
export type OrderPage = { items: OrderRecord[]; next: string | null; stale: boolean }

export type MemberView = {
  node: NodeName
  peerId: string
  url: string
  eligible: boolean
  voter: boolean
  alive: boolean
  primary: boolean
  draining: boolean
  capacity: number
  /** Less than `capacity` while the primary spares the member, because it was overloaded for minutes. */
  capacityInUse: number
  catalogVersion: number
  catalogDigest: string
  users: number
  carts: number
  undeliveredCarts: number
  underReplicatedCarts: number
  /** How long the oldest of them have been waiting; 0 when there is none. */
  oldestUndeliveredMs: number
  oldestUnderReplicatedMs: number
  loadPercent: number
  lastSeenMs: number
}

export type ClusterView = {
  node: NodeName
  term: number
  primary: NodeAddress | null
  leaseRemainingMs: number
  commitIndex: number
  appliedIndex: number
  catalog: { version: number; digest: string }
  orders: { count: number; digest: string } | null
  settled: boolean
  /** What this node has done since it started. */
  homes: { takeovers: number; migrations: number; merges: number }
  /** Why this node's copy is not to be relied on, or applies nothing more (also the reason of /readyz); else null. */
  halted: string | null
  members: MemberView[]
}

/** Events for shoppers (`/api/events`). */
export type UserEvent = { kind: 'cart'; data: CartView } | { kind: 'order'; data: OrderRecord }

/** Events for operators (`/api/cluster/events`). */
export type ClusterEvent =
  | { kind: 'primary'; data: { term: number; primary: NodeAddress | null } }
  | { kind: 'member'; data: { node: NodeName; change: 'joined' | 'updated' | 'removed' | 'alive' | 'dead' } }
  | { kind: 'catalog'; data: { version: number; digest: string } }
  | { kind: 'carts'; data: { undeliveredCarts: number; underReplicatedCarts: number } }

export type Unsubscribe = () => void

/** Reads of the own catalog copy: synchronous, no network. Strings are stored product JSON (API.md, "product"). */
export interface CatalogReads {
  version(): number
  digest(): string
  /** Counts up whenever an answer to what follows may have become another. */
  generation(): number
  currency(): string
  productJson(handle: Handle): string | null
  /** The product as this version left it; null if the version did not change it, deleted it, or is not here (any more). */
  productAt(handle: Handle, version: number): string | null
  products(query: ProductQuery): ProductPage
  facets(query: ProductQuery): ProductFacets
  categories(): { name: string; count: number }[]
  /** Every product as JSON in handle order, for export. */
  allProducts(): Iterable<string>
  /** Resolves true when this node reached the version, false after the bounded wait; Fault `invalid-request` for an absurd one. */
  waitForVersion(version: number): Promise<boolean>
}

/** What changes would do: their result, and the differences product by product. */
export type CatalogPreview = CatalogChangeResult & { readonly history: readonly CatalogHistoryEntry[] }

export interface CatalogWrites {
  /**
   * Runs the changes as one catalog version each batch through the log (forwarded to the primary) and resolves once
   * they are applied at this node too, or at least those through `ownVersion`. `id` makes a retry return the first result.
   */
  change(
    changes: readonly ProductChange[],
    by: string,
    id?: CommandId,
    options?: { readonly ownVersion?: number },
  ): Promise<CatalogChangeResult>
  /** What the changes would do now, at this node's copy; nothing is changed. */
  preview(changes: readonly ProductChange[]): CatalogPreview
  /** Who changed what, newest first, as a voter knows it. Faults `no-primary`, `invalid-request`. */
  history(query: CatalogHistoryQuery): Promise<CatalogHistoryPage>
}

export interface Users {
  /** A guest whose set has a live member; assigns the home. */
  createGuest(): Promise<{ user: UserInfo; assignment: Assignment }>
  /** Fault `email-taken`. `id` from the client's Idempotency-Key, if any. */
  register(input: {
    email: string
    password: string
    name?: string
    guest?: UserId
    id?: CommandId
  }): Promise<{
    user: UserInfo
    assignment: Assignment
  }>
  /** Fault `unauthorized` for a wrong e-mail or password (one message for both). `guest`: its cart is merged. */
  logOn(input: {
    email: string
    password: string
    guest?: UserId
  }): Promise<{ user: UserInfo; assignment: Assignment }>
  /** The user with its present assignment (`GET /api/session`). */
  describe(user: UserId): Promise<{ user: UserInfo; assignment: Assignment }>
  /** Refused at this node at once, at connected nodes within a second. */
  revoke(tokenId: string, expiresAtMs: number): void
  /** Ends every session of the user whose token expires by then. */
  revokeAll(user: UserId, untilMs: number): void
  /** Tokens of the user that expire by then are refused; 0 when no such end is known. */
  revokedAllUntilMs(user: UserId): number
  /** Logged off (alone or with all of its user's), or its account was erased. */
  isOver(session: { id: string; user: UserId; expiresAtMs: number }): boolean
  /** Faults: `forbidden` for a wrong current password, `unauthorized` when the account is gone, `conflict`. */
  changePassword(input: { user: UserId; current: string; password: string }): Promise<void>
  /** Erases the account, its cart, and contact and note of its orders, at every node. Faults as `changePassword`. */
  deleteAccount(input: { user: UserId; password: string }): Promise<void>
  /** Drops a guest id that is older than --guest-cart-days. */
  isExpired(user: UserId): boolean
}

export interface Carts {
  /**
   * Decides where a request of this user is served. `hops` is how many redirects it has met (0–2); at 2 it is
   * served here or fails. Fault `no-home` when no member of the set can be reached.
   */
  route(user: UserId, hops: number): Promise<Route>
  /** All of these only at the home (after `route` said `here`). */
  view(user: UserId): Promise<CartView>
  change(user: UserId, change: CartChange, key?: string): Promise<CartChangeResult>
  /** This node's own rows, whatever its role; null when it holds none. */
  localView(user: UserId): CartView | null
  /** The home's view, fetched there. */
  homeView(user: UserId): Promise<CartView>
}

export interface Orders {
  /** At the home. Fault `key-reused` for another body under the same key; `no-home`/`no-primary` as API.md says. */
  place(user: UserId, request: OrderRequest): Promise<OrderAnswer>
  /** Fault `not-found`. With `user` an order that waits for its decision is found too, at that user's home. */
  get(id: OrderId, user?: UserId): Promise<OrderFound>
  /** Orders without a decision come first, when a user is named and nothing else but a status is asked for. */
  list(query: OrderPageQuery): Promise<OrderPage>
  /** The rows of this node, whatever its role (empty at a member that is not a voter). */
  listLocal(query: OrderPageQuery): { items: OrderRecord[]; next: string | null }
  /** By its user; also while pending. Fault `not-found` when it is not theirs, `conflict` when shipped. */
  cancel(user: UserId, id: OrderId): Promise<OrderRecord>
  setStatus(id: OrderId, status: 'shipped' | 'cancelled'): Promise<OrderRecord>
}

export interface ClusterControl {
  view(): ClusterView
  ready(): { ready: boolean; reason: string }
  handOver(to: NodeName | null): Promise<{ node: NodeName; term: number }>
  patchMember(
    node: NodeName,
    patch: { eligible?: boolean; draining?: boolean; capacity?: number },
  ): Promise<MemberView>
  removeMember(node: NodeName): Promise<void>
}

/** Counters and gauges by name; `http/metrics.ts` turns them into Prometheus text. */
export interface MetricsReads {
  counters(): { name: string; help: string; value: number; labels?: Record<string, string> }[]
  gauges(): { name: string; help: string; value: number; labels?: Record<string, string> }[]
}

export interface Replica {
  readonly self: NodeAddress
  readonly catalog: CatalogReads & CatalogWrites
  readonly users: Users
  readonly carts: Carts
  readonly orders: Orders
  readonly cluster: ClusterControl
  readonly metrics: MetricsReads
  onUserEvent(user: UserId, listener: (event: UserEvent) => void): Unsubscribe
  onClusterEvent(listener: (event: ClusterEvent) => void): Unsubscribe
}

export type {
  CatalogHistoryPage,
  FacetCount,
  Logger,
  OrderFilter,
  OrderPageQuery,
  OrderRecord,
  Product,
  ProductFacets,
  ProductPage,
  ProductQuery,
}
