/**
 * Everything that nodes say to each other, one schema per message. `net/` parses with these before
 * anything else sees a message; what does not parse is refused at the door (DESIGN.md section 8).
 * Binary values travel as base64 text: plain JSON frames were the fastest measured (LIMITS.md).
 */
import { z } from 'zod'
import {
  commandBodySchema,
  commandIdSchema,
  commandResultSchema,
  currencySchema,
  handleSchema,
  memberIdSchema,
  memberJoinSchema,
  memberRecordSchema,
  orderIdSchema,
  orderStatusSchema,
  productSchema,
  stateMarkSchema,
  tagSchema,
  userIdSchema,
} from './commands.ts'
import { faultCodes } from './faults.ts'
import type { RaftMessage } from './core/raft/types.ts'
import type { ClusterId, Digest } from './ids.ts'

/** Version of the peer protocol; a peer with another one is refused with a clear log line. */
export const peerProtocolVersion = 1
/** Greatest frame on a peer stream: a full append batch or snapshot chunk plus its envelope. */
export const frameSizeBytesMax = 8 * 1024 * 1024
/** Most carts in one sync or distribute message: bounds the frame (32 kB a cart) and the work of one turn. */
export const cartsPerMessageMax = 100
/** Earlier server sets told of one user: joins come back to back when a cluster grows. */
export const earlierSetsMax = 10
/** Versions of one answer to a pull; versions of small products are far below its bound in bytes. */
export const versionsPerPullMax = 1_000

const index = z.int().min(0)
const term = z.int().min(0)
const digestSchema = z.string().regex(/^[0-9a-f]{64}$/) as unknown as z.ZodType<Digest>
const clusterIdSchema = z.string().regex(/^[0-9a-f]{32}$/) as unknown as z.ZodType<ClusterId>
const base64 = z.string().max(6 * 1024 * 1024)
const hash = z.string().max(64)
/** The sender's wall clock; older programs don't say. Clocks may be off by any amount: it is for comparing only. */
const wallMs = z.number().optional()

const logEntrySchema = z.object({
  index: z.int().min(1),
  term,
  kind: z.enum(['command', 'config', 'noop']),
  data: z.string().max(4 * 1024 * 1024),
})
export const raftMessageSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('pre-vote'), term, lastIndex: index, lastTerm: term }),
  z.object({ kind: z.literal('pre-vote-reply'), term, granted: z.boolean() }),
  z.object({ kind: z.literal('vote'), term, lastIndex: index, lastTerm: term, transfer: z.boolean() }),
  z.object({ kind: z.literal('vote-reply'), term, granted: z.boolean() }),
  z.object({
    kind: z.literal('append'),
    term,
    previousIndex: index,
    previousTerm: term,
    entries: z.array(logEntrySchema).max(10_000),
    commitIndex: index,
    round: index,
  }),
  z.object({
    kind: z.literal('append-reply'),
    term,
    ok: z.boolean(),
    matchIndex: index,
    conflictIndex: index,
    conflictTerm: term,
    round: index,
  }),
  z.object({ kind: z.literal('heartbeat'), term, commitIndex: index, round: index }),
  z.object({ kind: z.literal('heartbeat-reply'), term, round: index, lastIndex: index }),
  z.object({ kind: z.literal('timeout-now'), term }),
]) satisfies z.ZodType<RaftMessage>

/** Which home a user has: ordered by (epoch, home). Travels with every cart message (DESIGN.md section 6). */
export const homeRecordSchema = z.object({ epoch: z.int().min(1), home: memberIdSchema })
export type HomeRecord = z.infer<typeof homeRecordSchema>

/** A cart on its way: the document's bytes (full or delta, tagged by crdt/) and the record it came under. */
export const cartItemSchema = z.object({
  user: userIdSchema,
  record: homeRecordSchema.nullable(),
  bytes: base64,
  /** Content hash of the whole document at the sender. */
  hash,
  /** Ids of intents in it that no decision is known for; the primary treats them as forwarded. */
  undecided: z.array(orderIdSchema).max(100),
})
export type CartItem = z.infer<typeof cartItemSchema>
const cartAckSchema = z.object({
  user: userIdSchema,
  member: memberIdSchema,
  hash,
  /** The receiver lacks what the delta builds on. */
  needFull: z.boolean(),
})
export type CartAck = z.infer<typeof cartAckSchema>

/** A committed catalog version as it is broadcast and pulled: whole products, so that applying can't differ. */
export const catalogVersionSchema = z.object({
  version: z.int().min(1),
  previousDigest: digestSchema,
  digest: digestSchema,
  changes: z.array(z.object({ handle: handleSchema, product: productSchema.nullable() })).max(1_000),
})
export type CatalogVersionRecord = z.infer<typeof catalogVersionSchema>

/** Reads of what only voters hold, which one answers for members that don't hold them. */
export const voterQuerySchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('order'), order: orderIdSchema }),
  z.object({
    kind: z.literal('orders'),
    user: userIdSchema.optional(),
    status: orderStatusSchema.optional(),
    number: z.string().max(40).optional(),
    q: z.string().max(200).optional(),
    from: z.string().max(40).optional(),
    to: z.string().max(40).optional(),
    limit: z.int().min(1).max(200),
    cursor: z.string().max(500).optional(),
  }),
  z.object({ kind: z.literal('account-by-email'), email: z.string().max(254) }),
  z.object({ kind: z.literal('account'), user: userIdSchema }),
  z.object({
    kind: z.literal('catalog-history'),
    handle: handleSchema.optional(),
    limit: z.int().min(1).max(200),
    cursor: z.string().max(500).optional(),
  }),
])
export type VoterQuery = z.infer<typeof voterQuerySchema>

/** Records in one message: 100 kB. */
export const homeRecordsMax = 500
const homeRecordsSchema = z
  .array(z.object({ user: userIdSchema, record: homeRecordSchema }))
  .max(homeRecordsMax)

/** Request kinds and their schemas. The answer to kind K is `peerResponseSchemas[K]`. */
export const peerRequestSchemas = {
  /** A node that is no member asks to be one; any member takes it to the primary. */
  join: z.object({ member: memberJoinSchema }),
  members: z.object({}),
  /** Run a command through the log; only the primary answers, others fault `no-primary` with `data.primary`. */
  propose: z.object({ id: commandIdSchema, body: commandBodySchema, timeoutMs: z.int().min(1).max(60_000) }),
  /** Index to which a voter must have applied before a current read (ReadIndex). */
  'read-index': z.object({}),
  'voter-query': z.object({ query: voterQuerySchema, current: z.boolean() }),
  /** What another voter's state came to at a check, and what the asker's did. */
  'state-digest': z.object({ mark: stateMarkSchema }),
  /** What a voter's catalog is at a version. */
  'catalog-digest': z.object({ version: index }),
  'hand-over': z.object({ to: memberIdSchema.nullable() }),
  'catalog-pull': z.object({
    afterVersion: index,
    sizeBytesMax: z
      .int()
      .min(1)
      .max(4 * 1024 * 1024),
  }),
  /** Opens a catalog-and-members snapshot at the sender, to be read in chunks. */
  'snapshot-open': z.object({}),
  'snapshot-read': z.object({
    snapshot: z.string().max(64),
    offset: index,
    sizeBytesMax: z
      .int()
      .min(1)
      .max(1024 * 1024),
  }),
  /** The primary tells a voter or learner to take a full snapshot (it then reads chunks); answered when installed. */
  'snapshot-take': z.object({
    snapshot: z.string().max(64),
    index,
    term,
    config: z.object({ voters: z.array(memberIdSchema), learners: z.array(memberIdSchema) }),
    catalogVersion: index,
    sizeBytes: index,
  }),
  /** A member that can't go on from the log (it lived on the broadcast, or lost shop.db) asks for a full snapshot. */
  'snapshot-want': z.object({}),
  'home-ask': z.object({ user: userIdSchema }),
  /** `isNew`: the user was made just now, and nobody can have anything of the cart. Older programs don't say. */
  'home-assume': z.object({ user: userIdSchema, record: homeRecordSchema, isNew: z.boolean().optional() }),
  'cart-push': z.object({ item: cartItemSchema, membersVersion: index }),
  'cart-pull': z.object({ user: userIdSchema, membersVersion: index }),
  /** Home to primary, periodically. */
  'cart-sync': z.object({ items: z.array(cartItemSchema).max(cartsPerMessageMax), membersVersion: index }),
  /** Primary to the members of the users' server sets. */
  'cart-distribute': z.object({
    items: z.array(cartItemSchema).max(cartsPerMessageMax),
    membersVersion: index,
  }),
  /** To the keeper of these users' carts, while their home is dead: who that is. */
  'home-records': z.object({ records: homeRecordsSchema, membersVersion: index }),
  'cart-view': z.object({ user: userIdSchema }),
  /** What the user's home knows about orders that have no decision yet. */
  'pending-orders': z.object({ user: userIdSchema }),
  /** Decided orders and erased accounts in log order, for the watermark of each set member. */
  'sold-since': z.object({ afterIndex: index, limit: z.int().min(1).max(1_000) }),
  /** Cart of a guest to be merged into an account's cart at log-on; the guest's home answers. */
  'guest-merge': z.object({ guest: userIdSchema, account: userIdSchema }),
} as const
export type PeerRequestKind = keyof typeof peerRequestSchemas
/** A schema without members infers as "no member of any name", which would forbid `kind` itself. */
type BodyOf<T> = T extends Record<string, never> ? object : T
export type PeerRequest = {
  [K in PeerRequestKind]: { kind: K } & BodyOf<z.infer<(typeof peerRequestSchemas)[K]>>
}[PeerRequestKind]
export type PeerRequestOf<K extends PeerRequestKind> = Extract<PeerRequest, { kind: K }>

const memberListSchema = z.object({
  clusterId: clusterIdSchema,
  currency: currencySchema,
  /** Log index of the newest members change in the list; the newer list wins. */
  membersVersion: index,
  members: z.array(memberRecordSchema).max(1_000),
  removed: z.array(memberIdSchema).max(10_000),
  term,
  primary: memberIdSchema.nullable(),
  /** Catalog version of the sender: a node that starts knows at once how far behind it is. */
  catalogVersion: index,
})
export type MemberList = z.infer<typeof memberListSchema>

export const peerResponseSchemas = {
  join: memberListSchema,
  members: memberListSchema,
  propose: z.object({ result: commandResultSchema, index }),
  'read-index': z.object({ index }),
  'voter-query': z.object({ value: z.unknown() }),
  /** Null: that check is not applied here yet, or forgotten, or these rows are known to be wrong. */
  'state-digest': z.object({ digest: digestSchema.nullable() }),
  /** Null: not there yet, or too long ago. `isSound`: recomputed from its rows in this life, it was the same. */
  'catalog-digest': z.object({ digest: digestSchema.nullable(), isSound: z.boolean() }),
  'hand-over': z.object({ primary: memberIdSchema, term }),
  'catalog-pull': z.object({
    versions: z.array(catalogVersionSchema).max(versionsPerPullMax),
    version: index,
    digest: digestSchema,
    /** The sender no longer has `afterVersion + 1`: take a snapshot. */
    tooOld: z.boolean(),
  }),
  'snapshot-open': z.object({
    snapshot: z.string(),
    sizeBytes: index,
    version: index,
    digest: digestSchema,
    membersVersion: index,
  }),
  'snapshot-read': z.object({ bytes: base64 }),
  'snapshot-take': z.object({ installed: z.boolean() }),
  'snapshot-want': z.object({}),
  'home-ask': z.object({
    record: homeRecordSchema.nullable(),
    /** "I am home at this record": the only answer that may be redirected to. */
    serving: z.boolean(),
    draining: z.boolean(),
    loadPercent: z.number(),
    wallMs,
  }),
  'home-assume': z.object({ record: homeRecordSchema, serving: z.boolean(), wallMs }),
  'cart-push': z.object({ ack: cartAckSchema, record: homeRecordSchema.nullable() }),
  'cart-pull': z.object({
    record: homeRecordSchema.nullable(),
    bytes: base64.nullable(),
    hash: hash.nullable(),
    /** Sets of the user before the present one; older programs don't say. */
    earlierSets: z.array(z.array(memberIdSchema).max(16)).max(earlierSetsMax).optional(),
  }),
  'cart-sync': z.object({ acks: z.array(cartAckSchema) }),
  'cart-distribute': z.object({ acks: z.array(cartAckSchema) }),
  /** Those that are higher at the keeper. */
  'home-records': z.object({ records: homeRecordsSchema }),
  'cart-view': z.object({ view: z.unknown() }),
  'pending-orders': z.object({ orders: z.array(z.unknown()) }),
  'sold-since': z.object({
    items: z.array(
      z.object({
        index,
        user: userIdSchema,
        order: orderIdSchema,
        status: z.enum(['placed', 'refused', 'cancelled', 'shipped']),
        reason: z.string().nullable(),
        tags: z.array(tagSchema),
      }),
    ),
    erased: z.array(z.object({ index, user: userIdSchema })),
    throughIndex: index,
  }),
  'guest-merge': z.object({ bytes: base64.nullable() }),
} as const satisfies { [K in PeerRequestKind]: z.ZodType }
export type PeerResponseOf<K extends PeerRequestKind> = z.infer<(typeof peerResponseSchemas)[K]>

/** A fault on its way back to the asking peer. */
export const peerFaultSchema = z.object({
  code: z.enum(faultCodes),
  message: z.string().max(2_000),
  data: z.record(z.string(), z.unknown()),
  retryAfterSeconds: z.number().optional(),
})
export type PeerFault = z.infer<typeof peerFaultSchema>

/** First frame of a peer stream, both ways: proves the secret, the cluster id and the identity. */
export const helloSchema = z.object({
  protocol: z.int(),
  /** Null: a node that belongs to no cluster yet; it may only ask to join. */
  clusterId: clusterIdSchema.nullable(),
  node: z.string().max(63),
  /** Starts of this node so far, on disk before the first hello. */
  starts: z.int().min(1),
  /** Its log's last entry, so that a member that went back in time is noticed. */
  lastTerm: term,
  lastIndex: index,
  keyId: z.string().max(64),
  /** HMAC under the hello key over protocol, cluster id, both peer ids and starts. */
  proof: z.string().max(128),
})
export type Hello = z.infer<typeof helloSchema>

/** Gossip topics `souk/CLUSTER/NAME` and what each carries. */
export const gossipSchemas = {
  lease: z.object({
    term,
    primary: memberIdSchema,
    catalogVersion: index,
    catalogDigest: digestSchema,
    membersVersion: index,
    /** Log index through which orders were decided: set members fetch sold notices up to it. */
    ordersIndex: index,
    /** Who holds the log now, so that every member knows whom to ask and which feed it follows itself. */
    voters: z.array(memberIdSchema).max(9),
    learners: z.array(memberIdSchema).max(9),
    /** Log index of that configuration. */
    configIndex: index,
  }),
  catalog: catalogVersionSchema,
  presence: z.object({
    member: memberIdSchema,
    starts: z.int().min(1),
    /** Counts up within one start; older ones are stale. */
    sequence: z.int().min(0),
    draining: z.boolean(),
    users: index,
    carts: index,
    undeliveredCarts: index,
    underReplicatedCarts: index,
    /** Ages; optional, because members of an earlier release do not say. */
    oldestUndeliveredMs: index.optional(),
    oldestUnderReplicatedMs: index.optional(),
    loadPercent: z.number().min(0),
    catalogVersion: index,
    catalogDigest: digestSchema,
    membersVersion: index,
    /** Up to which its carts are in their sets (cart-settling.ts); members of an earlier release do not say. */
    placedVersion: index.optional(),
    settledVersion: index.optional(),
    /** Sent on a clean stop: the member is leaving now. */
    stopping: z.boolean(),
  }),
  revocations: z.object({
    tokens: z.array(z.object({ id: z.string().max(64), expiresAtMs: z.number() })).max(1_000),
  }),
} as const
export type GossipTopic = keyof typeof gossipSchemas
export type GossipMessage<T extends GossipTopic> = z.infer<(typeof gossipSchemas)[T]>
/** Reject: malformed or from a removed peer (punished). Ignore: stale or not applicable (not punished). */
export type GossipVerdict = 'accept' | 'ignore' | 'reject'
export type { RaftMessage }
