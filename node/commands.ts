/**
 * The replicated commands: a versioned, closed union. The primary stamps time and ids before it
 * proposes; applying is deterministic and decides (DESIGN.md section 3, "Commands"). Also the domain
 * values that travel inside them: products, members, orders, accounts.
 */
import { z } from 'zod'
import type { CommandId, Digest, Handle, MemberId, NodeName, OrderId, Sku, Tag, UserId } from './ids.ts'
import {
  parseCommandId,
  parseHandle,
  parseMemberId,
  parseNodeName,
  parseOrderId,
  parseSku,
  parseUserId,
} from './ids.ts'
import { faultCodes } from './faults.ts'

/** Runs an id parser inside a schema, so that every door uses the one definition of an id. */
export function idSchema<T>(parse: (raw: unknown) => T) {
  return z.unknown().transform((raw, context): T => {
    try {
      return parse(raw)
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not valid' })
      return z.NEVER
    }
  })
}

/** What a schema parsed may hold `undefined`; our own types know only absence. */
export function withoutAbsent<T extends object>(
  parsed: T,
): { [Name in keyof T]: Exclude<T[Name], undefined> } {
  const present = Object.entries(parsed).filter(([, value]) => value !== undefined)
  return Object.fromEntries(present) as { [Name in keyof T]: Exclude<T[Name], undefined> }
}

export const skuSchema = idSchema<Sku>(parseSku)
export const handleSchema = idSchema<Handle>(parseHandle)
export const memberIdSchema = idSchema<MemberId>(parseMemberId)
export const nodeNameSchema = idSchema<NodeName>(parseNodeName)
export const userIdSchema = idSchema<UserId>(parseUserId)
export const orderIdSchema = idSchema<OrderId>(parseOrderId)
export const commandIdSchema = idSchema<CommandId>(parseCommandId)

/** Greatest price in minor units: 999 of it times 1,000 lines still is a safe integer. */
export const priceAmountMax = 1_000_000_000
/** Greatest quantity of one SKU that an addition may ask for (API.md). */
export const quantityMax = 999
/** Greatest size of one catalog change as JSON: well under gossipsub's 4 MiB, so that it is never dropped. */
export const catalogChangeSizeBytesMax = 512 * 1024
/** Greatest number of products in one catalog change: applying them blocks a node for some 20 ms. */
export const catalogChangeItemsMax = 200

export const currencySchema = z.string().regex(/^[A-Z]{3}$/, 'an ISO 4217 code')
/** Minor units plus ISO 4217 currency (API.md). */
export const moneySchema = z.object({ amount: z.int().min(0), currency: currencySchema })
export type Money = z.infer<typeof moneySchema>

const shortText = z.string().max(500)
export const variantSchema = z.object({
  sku: skuSchema,
  title: shortText,
  options: z.record(z.string().max(255), z.string().max(255)),
  price: z.object({ amount: z.int().min(0).max(priceAmountMax), currency: currencySchema }),
})
export type Variant = z.infer<typeof variantSchema>

export const productStatusSchema = z.enum(['active', 'draft', 'archived'])
export type ProductStatus = z.infer<typeof productStatusSchema>

/** What an administrator decides about a product; the rest (version, times) is stamped by applying. */
export const productFieldsSchema = z.object({
  title: z.string().trim().min(1).max(500),
  description: z.string().max(100_000),
  vendor: z.string().max(255),
  category: z.string().max(255),
  tags: z.array(z.string().trim().min(1).max(255)).max(250),
  images: z.array(z.object({ src: z.string().max(2_000), alt: shortText })).max(250),
  status: productStatusSchema,
  options: z
    .array(z.object({ name: z.string().min(1).max(255), values: z.array(z.string().max(255)).max(500) }))
    .max(10),
  variants: z.array(variantSchema).min(1).max(500),
})
export type ProductFields = z.infer<typeof productFieldsSchema>

/** A product as clients see it (API.md, "product"). */
export type Product = ProductFields & {
  handle: Handle
  /** The catalog version that last changed this product; also its ETag. */
  catalogVersion: number
  /** RFC 3339 UTC. */
  updatedAt: string
}
export const productSchema: z.ZodType<Product> = productFieldsSchema.extend({
  handle: handleSchema,
  catalogVersion: z.int().min(1),
  updatedAt: z.string().max(40),
})

/** A variant in which absent fields keep what the variant of the same SKU has now. */
export const variantPatchSchema = z.object({
  sku: skuSchema,
  title: variantSchema.shape.title.optional(),
  options: variantSchema.shape.options.optional(),
  price: variantSchema.shape.price.optional(),
})
const productPatchSchema = productFieldsSchema
  .omit({ variants: true })
  .partial()
  .extend({ variants: z.array(variantPatchSchema).min(1).max(500).optional() })
export type ProductPatch = z.infer<typeof productPatchSchema>

/** One upsert or deletion. `ifMatch`: the catalogVersion the writer saw, `'*'` any existing, `'none'` must not exist. */
const ifMatchSchema = z.union([z.int().min(0), z.literal('*'), z.literal('none')]).optional()
export const productChangeSchema = z.discriminatedUnion('op', [
  /** Absent fields keep their values; a product that does not exist is created with defaults. */
  z.object({
    op: z.literal('merge'),
    handle: handleSchema,
    fields: productPatchSchema,
    ifMatch: ifMatchSchema,
  }),
  z.object({
    op: z.literal('replace'),
    handle: handleSchema,
    fields: productFieldsSchema,
    ifMatch: ifMatchSchema,
  }),
  z.object({ op: z.literal('delete'), handle: handleSchema, ifMatch: ifMatchSchema }),
])
export type ProductChange = z.infer<typeof productChangeSchema>

export const productOutcomeSchema = z.object({
  handle: z.string(),
  outcome: z.enum(['created', 'updated', 'unchanged', 'deleted', 'absent', 'rejected']),
  code: z.enum(faultCodes).optional(),
  reason: z.string().optional(),
})
export type ProductOutcome = z.infer<typeof productOutcomeSchema>
/** Value of a `catalog.change` result: the version afterwards and one outcome per change, in order. */
export type CatalogChangeResult = { version: number; outcomes: ProductOutcome[] }

/** Fields of one change that the history tells one by one: an import that rewrites 500 variants needs no more. */
export const fieldChangesMax = 20
/** Texts as they are read by people, shortened; null: not there. Paths like `title` or `variants.SKU.price`. */
export const fieldChangeSchema = z.object({
  field: z.string(),
  before: z.string().nullable(),
  after: z.string().nullable(),
})
export type FieldChange = z.infer<typeof fieldChangeSchema>
/** What one catalog version did to one product, by whom and when. */
export const catalogHistoryEntrySchema = z.object({
  version: z.int().min(1),
  at: z.string(),
  /** The name that the administrator gave, and the node that was asked. */
  by: z.string(),
  node: z.string().nullable(),
  handle: handleSchema,
  change: z.enum(['created', 'updated', 'deleted']),
  fields: z.array(fieldChangeSchema).max(fieldChangesMax),
})
export type CatalogHistoryEntry = z.infer<typeof catalogHistoryEntrySchema>

/** A member as the log knows it. */
export const memberRecordSchema = z.object({
  id: memberIdSchema,
  node: nodeNameSchema,
  /** Public HTTP base URL, without trailing slash. */
  url: z
    .string()
    .max(300)
    .regex(/^https?:\/\/[^\s/]+$/),
  /** libp2p `host:port`. */
  p2p: z
    .string()
    .max(300)
    .regex(/^[^\s/]+:\d{1,5}$/),
  eligible: z.boolean(),
  draining: z.boolean(),
  /** Relative weight in placement. */
  capacity: z.number().min(0).max(1_000),
  /** Log index at which it joined. */
  joinedIndex: z.int().min(0),
  /** `commandLevel` of the program it runs, as it announced it; absent: 1. */
  level: z.int().min(1).optional(),
  /** What it is asked for of its capacity, because it was overloaded (core/overload.ts); absent: all. */
  capacityShare: z.number().gt(0).lt(1).optional(),
})
export type MemberRecord = z.infer<typeof memberRecordSchema>
export const memberJoinSchema = memberRecordSchema.omit({
  joinedIndex: true,
  draining: true,
  capacityShare: true,
})
export type MemberJoin = z.infer<typeof memberJoinSchema>

export const tagSchema = z.string().min(1).max(200) as unknown as z.ZodType<Tag>
export const contactSchema = z.object({
  name: z.string().max(200).optional(),
  email: z.string().max(254).optional(),
  address: z.string().max(1_000).optional(),
})
export type Contact = z.infer<typeof contactSchema>
export const noteLengthMax = 2_000
export const orderLinesMax = 500
/** A cart as it was shown (core/carts.ts): 64 digits, a dot, and up to five bytes for each price in base64. */
export const shownCartLengthMax = 64 + 1 + Math.ceil((orderLinesMax * 5 * 4) / 3)

/** A cart frozen for ordering (DESIGN.md section 7). Travels in the outbox, in the cart document and in `order.place`. */
export const orderIntentSchema = z.object({
  id: orderIdSchema,
  user: userIdSchema,
  /** Hash of the request body: the same key with another body is refused. */
  bodyHash: z.string().max(64),
  /** Hash of the cart the shopper agreed to, as home computed it when it froze the cart. */
  cartHash: z.string().max(64),
  currency: currencySchema,
  lines: z
    .array(
      z.object({
        sku: skuSchema,
        quantity: z.int().min(1).max(1_000_000),
        unitPrice: z.int().min(0).max(priceAmountMax),
        title: z.string().max(1_100).optional(),
      }),
    )
    .max(orderLinesMax),
  tags: z.array(tagSchema).max(5_000),
  dots: z.array(z.string().max(200)).max(5_000),
  contact: contactSchema.optional(),
  note: z.string().max(noteLengthMax).optional(),
  catalogVersion: z.int().min(0),
  /** What home saw: an intent that is not `agreed` holds no entries and is refused by the log with that reason. */
  verdict: z.enum(['agreed', 'cart-changed', 'empty-cart']),
  createdAtMs: z.number().min(0),
})
export type OrderIntent = z.infer<typeof orderIntentSchema>

export const orderStatusSchema = z.enum(['pending', 'placed', 'refused', 'cancelled', 'shipped'])
export type OrderStatus = z.infer<typeof orderStatusSchema>
/** Why an order was refused; also the NAME of the problem that answers it. */
export const refusalReasonSchema = z.enum([
  'price-changed',
  'not-for-sale',
  'cart-changed',
  'empty-cart',
  'already-sold',
])
export type RefusalReason = z.infer<typeof refusalReasonSchema>

/** An order as the log decided it. Amounts are in minor units of `currency`. */
export const orderRecordSchema = z.object({
  id: orderIdSchema,
  /** Readable, consecutive; null unless it was placed once. */
  number: z.string().nullable(),
  user: userIdSchema,
  status: orderStatusSchema,
  bodyHash: z.string(),
  currency: currencySchema,
  lines: z.array(z.object({ sku: skuSchema, title: z.string(), quantity: z.int(), unitPrice: z.int() })),
  total: z.int(),
  catalogVersion: z.int(),
  createdAt: z.string(),
  placedAt: z.string().optional(),
  reason: refusalReasonSchema.optional(),
  /** price-changed, not-for-sale: old and new unit price per SKU (`new` null when not for sale). */
  changes: z.array(z.object({ sku: z.string(), old: z.int(), new: z.int().nullable() })).optional(),
  /** already-sold: which order took the entries, and which of the intent's tags it took. */
  soldTo: orderIdSchema.optional(),
  soldTags: z.record(z.string(), orderIdSchema).optional(),
  history: z.array(
    z.object({ status: orderStatusSchema, at: z.string(), by: z.enum(['system', 'user', 'admin']) }),
  ),
  contact: contactSchema.optional(),
  note: z.string().optional(),
})
export type OrderRecord = z.infer<typeof orderRecordSchema>

/** An account as voters keep it; the hash is a self-describing scrypt string. */
export const accountRecordSchema = z.object({
  id: userIdSchema,
  email: z.string().min(3).max(254),
  name: z.string().max(200).optional(),
  passwordHash: z.string().max(300),
  createdAt: z.string(),
})
export type AccountRecord = z.infer<typeof accountRecordSchema>

/** What a voter's rows came to when it had applied the log through `index` (core/apply/state.ts). */
export const stateMarkSchema = z.object({
  index: z.int().min(1),
  digest: z.string().regex(/^[0-9a-f]{64}$/) as unknown as z.ZodType<Digest>,
})
export type StateMark = z.infer<typeof stateMarkSchema>

export const commandBodySchema = z.discriminatedUnion('kind', [
  /** First command of a cluster. */
  z.object({ kind: z.literal('cluster.begin'), currency: currencySchema, member: memberJoinSchema }),
  z.object({
    kind: z.literal('catalog.change'),
    changes: z.array(productChangeSchema).min(1).max(catalogChangeItemsMax),
    by: z.string().max(100),
    /** The node that was asked. Only for the history: programs that don't know it apply the same products. */
    node: nodeNameSchema.optional(),
  }),
  z.object({ kind: z.literal('order.place'), intent: orderIntentSchema }),
  z.object({
    kind: z.literal('order.status'),
    order: orderIdSchema,
    status: z.enum(['shipped', 'cancelled']),
    by: z.enum(['user', 'admin']),
    /** Whose order it is, when a shopper asks: also lets an order be cancelled that the log has not seen yet. */
    user: userIdSchema.optional(),
  }),
  z.object({ kind: z.literal('account.create'), account: accountRecordSchema }),
  /** `previousHash`: against which the shopper's password was checked. */
  z.object({
    kind: z.literal('account.password'),
    user: userIdSchema,
    previousHash: z.string().max(300),
    passwordHash: z.string().max(300),
  }),
  z.object({ kind: z.literal('account.delete'), user: userIdSchema, previousHash: z.string().max(300) }),
  z.object({ kind: z.literal('member.join'), member: memberJoinSchema }),
  z.object({
    kind: z.literal('member.update'),
    id: memberIdSchema,
    eligible: z.boolean().optional(),
    draining: z.boolean().optional(),
    capacity: z.number().min(0).max(1_000).optional(),
    url: memberRecordSchema.shape.url.optional(),
    p2p: memberRecordSchema.shape.p2p.optional(),
    level: memberRecordSchema.shape.level,
  }),
  /** The primary asks a member for less, or for more again. */
  z.object({ kind: z.literal('member.weigh'), id: memberIdSchema, share: z.number().gt(0).max(1) }),
  z.object({ kind: z.literal('member.remove'), id: memberIdSchema }),
  /** Every voter marks its state here; `claim` is the proposer's mark of an earlier check, to be compared. */
  z.object({ kind: z.literal('state.check'), claim: stateMarkSchema.nullable() }),
])
export type CommandBody = z.infer<typeof commandBodySchema>
export type CommandKind = CommandBody['kind']

/**
 * The level of programs from which on each kind is understood. A kind is used only once every member has announced at
 * least its level: a voter that met an unknown one would have to halt (DESIGN.md section 3, "Commands").
 */
export const commandLevels = {
  'cluster.begin': 1,
  'catalog.change': 1,
  'order.place': 1,
  'order.status': 1,
  'account.create': 1,
  'account.password': 1,
  'account.delete': 1,
  'member.join': 1,
  'member.update': 1,
  'member.remove': 1,
  'state.check': 2,
  'member.weigh': 3,
} as const satisfies { [K in CommandKind]: number }

/** The level of this program: it understands every kind up to it. */
export const commandLevel = Math.max(...Object.values(commandLevels))

/** The level that all of `members` have: what may be used now. */
export function lowestLevel(members: readonly { readonly level?: number | undefined }[]): number {
  return Math.min(commandLevel, ...members.map((member) => member.level ?? 1))
}

/** Format version of commands that this program writes; it refuses to apply a higher one. */
export const commandVersion = 1

export const commandSchema = z.object({
  v: z.literal(commandVersion),
  id: commandIdSchema,
  /** Wall clock of the primary when it proposed; applying never reads a clock. */
  atMs: z.number().min(0),
  body: commandBodySchema,
})
export type Command = { v: typeof commandVersion; id: CommandId; atMs: number; body: CommandBody }

/** What applying a command decided. Kept by command id so that a retry gets the first answer. */
export const commandResultSchema = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), value: z.unknown() }),
  z.object({
    ok: z.literal(false),
    code: z.enum(faultCodes),
    message: z.string(),
    data: z.record(z.string(), z.unknown()),
  }),
])
export type CommandResult = z.infer<typeof commandResultSchema>
