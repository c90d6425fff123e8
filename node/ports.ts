/**
 * What the node needs from the world: types only. Production implements them in `store/`, `net/` and
 * `system.ts`; the simulator implements them with virtual time, a seeded network and SQLite in memory,
 * and runs the same replica (DESIGN.md section 10).
 */
import type {
  AccountRecord,
  CatalogHistoryEntry,
  CommandResult,
  MemberRecord,
  OrderRecord,
  OrderStatus,
  Product,
  StateMark,
} from './commands.ts'
import type { HardState, LogEntry, LogReader, RaftConfig, RaftMessage } from './core/raft/types.ts'
import type {
  CatalogVersionRecord,
  GossipMessage,
  GossipTopic,
  GossipVerdict,
  Hello,
  PeerRequestKind,
  PeerRequestOf,
  PeerResponseOf,
} from './messages.ts'
import type {
  CatalogVersion,
  ClusterId,
  CommandId,
  Digest,
  Handle,
  LogIndex,
  MemberId,
  OrderId,
  Sku,
  Tag,
  Term,
  UserId,
} from './ids.ts'
import type { LocalStore } from './ports-local.ts'

// ---------------------------------------------------------------- time, chance, words

/** Cancels a timer; calling it twice, or after the timer fired, does nothing. */
export type CancelTimer = () => void

export interface Clock {
  /** Milliseconds that never go back, also while the wall clock jumps; fractions allowed. */
  monotonicMs(): number
  /** Milliseconds since 1970: for stamps and expiry, never for safety. */
  wallMs(): number
  /** Runs `callback` once after `delayMs`. An exception in it is a bug and ends the node. */
  timer(delayMs: number, callback: () => void): CancelTimer
  /** Runs `callback` after the input that is at hand now: one turn of the event loop (setImmediate). */
  defer(callback: () => void): void
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  bytes(count: number): Uint8Array
}

/** Structured log; levels as usual. Never given a secret, a token or personal data. */
export interface Logger {
  debug(data: object, message: string): void
  info(data: object, message: string): void
  warn(data: object, message: string): void
  error(data: object, message: string): void
}

/** scrypt, off the event loop (node:crypto); the simulator has a quick stand-in. */
export interface PasswordHasher {
  hash(password: string): Promise<string>
  verify(password: string, hash: string): Promise<boolean>
}

// ---------------------------------------------------------------- network

/** `main`: consensus and short requests. `bulk`: carts in batches, catalog pulls, snapshots; never delays `main`. */
export type Lane = 'main' | 'bulk'

export type PeerInfo = { readonly id: MemberId; readonly hello: Hello }

/** How a plain TCP connect to a member's port ended; only `refused` proves that nobody listens there. */
export type ProbeResult = 'refused' | 'open' | 'unknown'

export interface TransportHandlers {
  /** A peer proved itself and its streams are open. Called again after each reconnection. */
  peerConnected(peer: PeerInfo): void
  /** The last connection to the peer closed. */
  peerDisconnected(peer: MemberId): void
  raft(from: MemberId, message: RaftMessage): void
  /** Answers a request; a thrown Fault goes back to the peer, anything else is answered as `internal` and logged. */
  request<K extends PeerRequestKind>(from: MemberId, request: PeerRequestOf<K>): Promise<PeerResponseOf<K>>
  /** `from` is the author (signed), not the forwarder. */
  gossip<T extends GossipTopic>(topic: T, message: GossipMessage<T>, from: MemberId): GossipVerdict
  /** Is this peer's hello acceptable? A Fault's message is the reason that is logged and told. */
  admit(peer: PeerInfo): void
}

/** What gossip cost this node since it started: its own messages and what it passes on, control included. */
export type GossipTraffic = { readonly sentBytes: number; readonly receivedBytes: number }

export interface Transport {
  /** Starts listening and dialling. The handlers are called from then on, never before. */
  start(handlers: TransportHandlers): Promise<void>
  stop(): Promise<void>
  /** Members to be connected to, for ever, with jittered redials. Replaces the earlier list. */
  setPeers(peers: readonly { readonly id: MemberId; readonly p2p: string }[]): void
  /** Peers that are none of us any more: cut off, dials denied. They may come back, and only ask (`request`). */
  setRemoved(removed: readonly MemberId[]): void
  /** Dials an address whose peer id is not known yet (a joiner's `--join`); resolves with the peer once hello is through. */
  dial(p2p: string, timeoutMs: number): Promise<PeerInfo>
  connected(): readonly PeerInfo[]
  /** What the next hellos say. */
  setHello(hello: Omit<Hello, 'keyId' | 'proof' | 'protocol'>): void
  /** Consensus messages: may be lost, never block, bounded per peer (dropped when the peer is slow). */
  send(to: MemberId, message: RaftMessage): void
  /** What was sent to the peer leaves now. Without it that happens at the end of this turn of the event loop. */
  flush(to: MemberId): void
  /**
   * One request, one answer. Rejects with the peer's Fault, or with Fault `outcome-unknown` when there is no
   * answer in time or the connection breaks after sending, or Fault `internal` when the peer is not connected
   * (nothing was sent; `data.notSent` is true).
   */
  request<K extends PeerRequestKind>(
    to: MemberId,
    request: PeerRequestOf<K>,
    options: { timeoutMs: number; lane?: Lane },
  ): Promise<PeerResponseOf<K>>
  /** Gossip to everybody who is connected; nothing is delivered later. */
  publish<T extends GossipTopic>(topic: T, message: GossipMessage<T>): void
  gossipTraffic(): GossipTraffic
  /** Plain TCP connect to a member's p2p port. */
  probe(p2p: string): Promise<ProbeResult>
}

// ---------------------------------------------------------------- log.db

export type Identity = {
  readonly memberId: MemberId
  /** Protobuf-encoded libp2p Ed25519 private key. */
  readonly privateKey: Uint8Array
  readonly clusterId: ClusterId | null
  /** Starts of this node including this one; incremented on disk at open. */
  readonly starts: number
}

/** `log.db`: identity, cluster id, term, vote, entries. All writes are on disk (synchronous=FULL) when they return. */
export interface LogStore extends LogReader {
  identity(): Identity
  /** Sets the cluster id, once. */
  setClusterId(clusterId: ClusterId): void
  hardState(): HardState
  /** One transaction: hard state, truncation from an index on, new entries. */
  persist(write: {
    hardState: HardState | null
    truncateFrom: LogIndex | null
    append: readonly LogEntry[]
  }): void
  /** Drops entries through `index`, which a snapshot or the applied state covers. */
  compact(index: LogIndex, term: Term, config: RaftConfig): void
  /** After an installed snapshot: no entries, the log starts after `index`; the own term is at least `term`. */
  resetTo(index: LogIndex, term: Term, config: RaftConfig): void
  /** Highest start counter seen of each peer, and the last committed (term, index) that it acknowledged. */
  peerStarts(peer: MemberId): { starts: number; lastTerm: Term; lastIndex: LogIndex } | null
  setPeerStarts(peer: MemberId, seen: { starts: number; lastTerm: Term; lastIndex: LogIndex }): void
  sizeBytes(): number
  close(): void
}

// ---------------------------------------------------------------- shop.db

export type ProductSort = 'relevance' | 'title' | 'price' | '-price' | 'newest'
export type ProductQuery = {
  /** Words to search; empty means all. */
  q?: string
  category?: string
  tag?: string
  vendor?: string
  /** Price of the cheapest variant, in minor units, both ends inclusive. */
  minPrice?: number
  maxPrice?: number
  /** Absent: every status (administrators only). */
  status?: 'active' | 'draft' | 'archived'
  sort: ProductSort
  limit: number
  cursor?: string
}
/** `items` are the stored JSON texts of products, so that the hot path parses nothing. */
export type ProductPage = { items: string[]; total: number; next: string | null }

export type FacetCount = { name: string; count: number }
/** Both ends inclusive, in minor units. */
export type PriceBand = { minPrice: number; maxPrice: number; count: number }
/**
 * Where a shopper could go from a query: each count is the `total` of the same query with that one choice in place of
 * what it says of the matter now. Most products first; the choice made now is always among them.
 */
export type ProductFacets = {
  category: FacetCount[]
  vendor: FacetCount[]
  tag: FacetCount[]
  /** Null when nothing is found at any price. */
  price: { min: number; max: number; bands: PriceBand[] } | null
}

export type SkuInfo = {
  sku: Sku
  handle: Handle
  title: string
  variantTitle: string
  image: string | null
  price: number
  status: 'active' | 'draft' | 'archived'
}

export type SoldNotice = {
  index: LogIndex
  user: UserId
  order: OrderId
  status: 'placed' | 'refused' | 'cancelled' | 'shipped'
  reason: string | null
  tags: Tag[]
}

/** An account that was erased: who holds a cart, a session or an outbox entry of it lets go of them. */
export type ErasedNotice = { index: LogIndex; user: UserId }

export type CatalogHistoryQuery = { handle?: Handle; limit: number; cursor?: string }
export type CatalogHistoryPage = { items: CatalogHistoryEntry[]; next: string | null }

export type CatalogState = { version: CatalogVersion; digest: Digest }
export type AppliedState = { index: LogIndex; term: Term; config: RaftConfig }

/** The tables that applying reads and writes, inside `ShopStore.transaction`. Deterministic: no clock, no chance. */
export interface Tables {
  currency(): string | null
  setCurrency(currency: string): void

  catalog(): CatalogState
  setCatalog(state: CatalogState): void
  product(handle: Handle): Product | null
  /** Which product owns a SKU now. */
  skuOwner(sku: Sku): Handle | null
  /** Inserts or replaces a product with its variants, tags and search row. */
  putProduct(product: Product): void
  deleteProduct(handle: Handle): void
  /** Keeps a version for broadcast and pull; drops the oldest beyond the store's bound. */
  appendVersion(record: CatalogVersionRecord): void
  /** Adds to the history of changes; drops the oldest beyond the store's bound. */
  appendHistory(entries: readonly CatalogHistoryEntry[]): void
  sku(sku: Sku): SkuInfo | null
  members(): MemberRecord[]
  membersVersion(): LogIndex
  setMembersVersion(version: LogIndex): void
  putMember(member: MemberRecord): void
  removeMember(id: MemberId): void
  removedMembers(): MemberId[]

  order(id: OrderId): OrderRecord | null
  /** The order that took an entry. Tags are unique across users: an entry of a guest keeps its tag in the account's cart. */
  soldTo(user: UserId, tag: Tag): OrderId | null
  /** The entries that an order took, as it was placed; empty when there is no such order or it took none. */
  orderTags(id: OrderId): Tag[]
  insertSold(user: UserId, tag: Tag, order: OrderId): void
  nextOrderNumber(): number
  /** Inserts a decided order; contact and note go to rows of their own. */
  insertOrder(order: OrderRecord, index: LogIndex, tags: readonly Tag[]): void
  /** Status and history change; the notice watermark moves to `index`. */
  updateOrder(order: OrderRecord, index: LogIndex): void
  ordersDigest(): { count: number; digest: Digest }
  setOrdersDigest(state: { count: number; digest: Digest }): void
  account(id: UserId): AccountRecord | null
  accountByEmail(email: string): AccountRecord | null
  putAccount(account: AccountRecord): void
  /** Remembers that this account was erased, by log index, for every node that may hold something of it. */
  deleteAccount(id: UserId, index: LogIndex): void
  isErasedAccount(id: UserId): boolean
  /** Erases contact and note of all orders of a user. */
  eraseContacts(user: UserId): void
  accountsDigest(): Digest
  setAccountsDigest(digest: Digest): void
  /** What this state came to at the newest `state.check` entries, oldest first. */
  stateMarks(): readonly StateMark[]
  setStateMarks(marks: readonly StateMark[]): void

  result(id: CommandId): CommandResult | null
  /** Keeps a result; drops the oldest beyond the store's bound (by log index, so the same everywhere). */
  putResult(id: CommandId, index: LogIndex, result: CommandResult): void
}

/** All that are given must hold. */
export type OrderFilter = {
  user?: UserId
  status?: OrderStatus
  /** The readable number, exactly. */
  number?: string
  /** Part of the number, a title or SKU, the contact or the note; upper and lower case are the same. */
  q?: string
  /** When the shopper ordered (`createdAt`), RFC 3339 UTC with milliseconds: from this moment on, before that one. */
  from?: string
  to?: string
}
/** Newest decision first; with `from` or `to`, newest `createdAt` first. A page with `q` may be short of its limit. */
export type OrderPageQuery = OrderFilter & { limit: number; cursor?: string }

/** A consistent copy, readable in chunks until it is closed. */
export interface SnapshotSource {
  readonly sizeBytes: number
  readonly applied: AppliedState
  readonly catalog: CatalogState
  readonly membersVersion: LogIndex
  read(offset: number, sizeBytesMax: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** Collects chunks, one after the other; nothing is visible before `install`, which is all or nothing. */
export interface SnapshotSink {
  write(bytes: Uint8Array): Promise<void>
  /**
   * Checks the copy (integrity, cluster id, digest) while the node works on, then, in one turn, that it is not older
   * than what the node has by then, swaps it in, and calls `swapped` before anything else can look at the new rows.
   * Rejects with Fault when it is refused (nothing is changed then), with StoreFailure when the node can't go on.
   */
  install(swapped?: () => void): Promise<void>
  abandon(): Promise<void>
}

/** `shop.db`: what applying the log produces. */
export interface ShopStore {
  /** Runs `work` in one transaction; an exception rolls all of it back. */
  transaction<T>(work: (tables: Tables) => T): T
  /** Reads outside a transaction. */
  readonly read: Tables
  clusterId(): ClusterId | null
  setClusterId(clusterId: ClusterId): void
  applied(): AppliedState
  /** Inside a transaction: records what has been applied from the log. */
  setApplied(applied: AppliedState): void
  /** Which feed the catalog follows: the log (voters, learners) or the broadcast (everybody else). */
  feed(): 'log' | 'broadcast'
  setFeed(feed: 'log' | 'broadcast'): void
  /** Follows the log from its first entry, with empty rows like everybody: what gossip brought before gives way. */
  startFromLog(): void
  /** Why these rows are wrong, as a majority of the voters found; null when they aren't. Gone with a full snapshot. */
  diverged(): string | null
  setDiverged(reason: string): void

  productJson(handle: Handle): string | null
  /** Counts up whenever rows of the catalog may have changed: what was made of them before is old then. */
  catalogGeneration(): number
  products(query: ProductQuery): ProductPage
  facets(query: ProductQuery): ProductFacets
  categories(): { name: string; count: number }[]
  /** All products in handle order, as stored JSON, for export and for recomputing the digest. */
  allProducts(): Iterable<string>
  /** Versions after `afterVersion` that are still held, oldest first, at least one if any; null when too old. */
  versionsAfter(afterVersion: CatalogVersion, sizeBytesMax: number): CatalogVersionRecord[] | null

  /** Changes of the catalog, newest first; only voters have them. */
  catalogHistory(query: CatalogHistoryQuery): CatalogHistoryPage
  orders(query: OrderPageQuery): { items: OrderRecord[]; next: string | null }
  soldSince(afterIndex: LogIndex, limit: number): SoldNotice[]
  /** Accounts erased after a log index, in log order. */
  erasedSince(afterIndex: LogIndex, limit: number): ErasedNotice[]
  /** Log index of the newest of them; 0 when there is none. */
  erasedIndex(): LogIndex
  /** Log index of the newest order decision or erased account. */
  ordersIndex(): LogIndex

  /**
   * `full`: everything, for voters and learners. `catalog`: catalog and members only, never accounts or orders. Made
   * while the node works on: the copy is of some moment between the call and the answer, and says of which.
   */
  snapshot(kind: 'full' | 'catalog'): Promise<SnapshotSource>
  receive(kind: 'full' | 'catalog'): SnapshotSink
  /** Versions after the one that `oldest` names are not dropped, within a bound: a reader of a copy goes on from there. */
  keepVersionsAfter(oldest: () => CatalogVersion | null): void
  sizeBytes(): number
  close(): void
}

export type Stores = { readonly log: LogStore; readonly shop: ShopStore; readonly local: LocalStore }

export type * from './ports-local.ts'
export type { CatalogVersionRecord, HardState, LogEntry, RaftConfig }
