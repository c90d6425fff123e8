/**
 * What the parts of one replica know of each other: settings, ports, and narrow views of the members, their
 * presence and the log. Parts get these, never each other's insides; `replica.ts` wires them.
 */
import type { CommandBody, MemberRecord } from '../commands.ts'
import { productionLogBounds } from '../core/log-truncation.ts'
import type { LogBounds } from '../core/log-truncation.ts'
import type {
  CatalogVersion,
  CommandId,
  Digest,
  LogIndex,
  MemberId,
  NodeName,
  OrderId,
  Tag,
  Term,
  UserId,
} from '../ids.ts'
import type {
  HomeRecord,
  MemberList,
  PeerRequestKind,
  PeerRequestOf,
  PeerResponseOf,
  VoterQuery,
} from '../messages.ts'
import type { Clock, Lane, Logger, PasswordHasher, Random, Stores, Transport } from '../ports.ts'
import type { CartDocument, OrderIntent } from '../../crdt/cart.ts'
import type { Assignment, NodeAddress } from '../replica-api.ts'
import type { Counters } from './counters.ts'

/** Every flag of a node that its parts read; `main.ts` fills it from the command line. */
export type Settings = {
  readonly node: NodeName
  readonly publicUrl: string
  /** libp2p address that others reach this node at, `host:port`. */
  readonly p2p: string
  /** May become a voter (only said when it joins; an operator can change it later). */
  readonly eligible: boolean
  readonly capacity: number
  /** First node of a new cluster; ignored when there is data. */
  readonly init: boolean
  readonly join: readonly string[]
  readonly currency: string
  readonly serverSetSize: number
  /** Disks (home included) that must have a cart change before it is answered. */
  readonly cartAcks: number
  readonly cartSyncIntervalMs: number
  readonly orderWaitMs: number
  readonly idleAfterMs: number
  readonly guestCartDays: number
  readonly heartbeatMs: number
  readonly electionTimeoutMinMs: number
  readonly electionTimeoutMaxMs: number
  readonly replaceVoterAfterMs: number
}

/** Bounds that a simulation makes small, so that what a long log brings about happens in a short one. */
export type Bounds = LogBounds & {
  /** A snapshot travels in pieces of this size: far below a frame's bound, and a short wait for what comes behind it. */
  readonly snapshotChunkSizeBytes: number
}

export const productionBounds: Bounds = { ...productionLogBounds, snapshotChunkSizeBytes: 512 * 1024 }

/** Members as this node knows them (the newest list by log index). */
export interface MembersView {
  version(): LogIndex
  list(): readonly MemberRecord[]
  get(id: MemberId): MemberRecord | null
  byName(node: NodeName): MemberRecord | null
  isRemoved(id: MemberId): boolean
  address(id: MemberId): NodeAddress | null
  /** This node is in the list. */
  selfIsMember(): boolean
  /** A list from a peer: taken when it is newer by log index. */
  take(list: MemberList): void
  /** Called after each change of the list. */
  onChange(listener: () => void): void
}

/** Members versions up to which a member's carts are in their sets (cart-settling.ts); 0 when it does not say. */
export type PlacementVersions = {
  readonly placedVersion: LogIndex
  readonly settledVersion: LogIndex
}

export type PresenceInfo = PlacementVersions & {
  readonly member: MemberId
  readonly draining: boolean
  readonly users: number
  readonly carts: number
  readonly undeliveredCarts: number
  readonly underReplicatedCarts: number
  readonly oldestUndeliveredMs: number
  readonly oldestUnderReplicatedMs: number
  readonly loadPercent: number
  readonly catalogVersion: CatalogVersion
  readonly catalogDigest: Digest
  /** Monotonic time at which this node last heard from it. */
  readonly heardAtMs: number
}

/** A hint, never a proof (DESIGN.md section 2). */
export interface PresenceView {
  /** Self is always alive. */
  alive(id: MemberId): boolean
  get(id: MemberId): PresenceInfo | null
  onChange(listener: (id: MemberId, alive: boolean) => void): void
}

/** The log as any node uses it, whoever is primary now. */
export interface LogClient {
  /**
   * Runs a command exactly once (by id) at the primary, through any number of changes of it until `timeoutMs`.
   * Resolves with the command's value once a majority has it; rejects with the command's own Fault, with
   * `no-primary` (it did not and will not happen) or `outcome-unknown`. `waitLocal`: also wait (bounded) until this node,
   * if it follows the log, has applied it.
   */
  run(
    id: CommandId,
    body: CommandBody,
    options?: { timeoutMs?: number; waitLocal?: boolean },
  ): Promise<unknown>
  /** Reads orders or accounts at a voter (this one if it is). `current`: confirmed by ReadIndex, else what is known. */
  query(query: VoterQuery, options?: { current?: boolean; timeoutMs?: number }): Promise<unknown>
  /** Known primary, as a hint. */
  primary(): { id: MemberId; term: Term } | null
  /** This node is primary and its lease is valid by a fresh reading of the clock. */
  isPrimary(): boolean
  /** A command id for an operation without a client's key. */
  freshCommandId(): CommandId
  /** Called on this node when it learns of another primary or term. */
  onPrimaryChange(listener: () => void): void
}

/** Sends one peer request, or answers it locally when `to` is this node. */
export interface Peers {
  ask<K extends PeerRequestKind>(
    to: MemberId,
    request: PeerRequestOf<K>,
    options: { timeoutMs: number; lane?: Lane },
  ): Promise<PeerResponseOf<K>>
}

/** What this node can answer, by request kind; each part contributes its kinds, `replica.ts` checks that all are there. */
export type RequestHandlers = {
  [K in PeerRequestKind]: (from: MemberId, request: PeerRequestOf<K>) => Promise<PeerResponseOf<K>>
}

export type Context = {
  readonly settings: Settings
  readonly selfId: MemberId
  /** Start counter of this life of the node. */
  readonly starts: number
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly hasher: PasswordHasher
  readonly transport: Transport
  readonly stores: Stores
  readonly counters: Counters
  readonly members: MembersView
  readonly presence: PresenceView
  readonly log: LogClient
  readonly peers: Peers
}

/** What orders and users need of homes and carts. */
export interface HomesView {
  /** The user's server set now, in order of preference. */
  serverSet(user: UserId): MemberId[]
  record(user: UserId): HomeRecord | null
  /**
   * Makes a live member of the set home (a new user, or at log-on) and returns where. `isNew`: the id was drawn just now,
   * so there is no cart anywhere. Fault `no-home`.
   */
  assign(user: UserId, isNew: boolean): Promise<Assignment>
  /** Finds (without changing a live one) where the user is served. Fault `no-home`. */
  locate(user: UserId): Promise<Assignment>
}

export interface CartsView {
  /**
   * Runs `work` on the user's open document at this home, one at a time per user; what it changed is persisted and
   * replicated (to --cart-acks disks) before this resolves. `complete` as in CartView.
   */
  mutate<T>(
    user: UserId,
    work: (document: CartDocument, state: { complete: boolean; writer: string }) => T,
  ): Promise<{ value: T; acks: number; wanted: number }>
  /** Reads the document this node holds of a user (any role); null when it holds none. */
  peek(user: UserId): CartDocument | null
  /** Called whenever an undecided intent is seen in a cart that this node is home or keeper of, or as primary. */
  onUndecided(listener: (intent: OrderIntent) => void): void
  /** A decision or sold notice for a cart: marks entries sold or releases them, if this node holds the cart. */
  settle(user: UserId, order: OrderId, outcome: Decision): Promise<void>
}

/** The log's outcome of an order as carts need it. */
export type Decision =
  | { status: 'placed'; tags: readonly Tag[] }
  | { status: 'refused'; reason: string; soldTags: { readonly [tag: string]: OrderId } }
  | { status: 'cancelled' }
