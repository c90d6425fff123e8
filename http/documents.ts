/** What goes out, for the OpenAPI document (API.md, the block at its end). */
import { z } from '@hono/zod-openapi'
import { faultCodes } from '../node/faults.ts'
import { orderStatusSchema, productStatusSchema, refusalReasonSchema } from '../node/commands.ts'

const time = z.string().openapi({ format: 'date-time' })
export const moneyDocument = z
  .object({ amount: z.int().openapi({ description: 'Minor units' }), currency: z.string() })
  .openapi('Money')
const node = z.object({ node: z.string(), url: z.string() }).openapi('Node')

export function listOf(item: z.ZodType, more: z.ZodRawShape = {}): z.ZodObject {
  return z.object({ items: z.array(item), next: z.string().nullable(), ...more })
}

export const productDocument = z
  .object({
    handle: z.string(),
    title: z.string(),
    description: z.string(),
    vendor: z.string(),
    category: z.string(),
    tags: z.array(z.string()),
    images: z.array(z.object({ src: z.string(), alt: z.string() })),
    status: z.enum(productStatusSchema.options),
    options: z.array(z.object({ name: z.string(), values: z.array(z.string()) })),
    variants: z.array(
      z.object({
        sku: z.string(),
        title: z.string(),
        options: z.record(z.string(), z.string()),
        price: moneyDocument,
      }),
    ),
    catalogVersion: z.int(),
    updatedAt: time,
  })
  .openapi('Product')

const facetDocument = z.array(z.object({ name: z.string(), count: z.int() }))
const amount = z.int().openapi({ description: 'Minor units' })
/** Named like the parameters that choose. */
export const facetsDocument = z
  .object({
    category: facetDocument,
    vendor: facetDocument,
    tag: facetDocument,
    price: z
      .object({
        min: amount,
        max: amount,
        bands: z.array(z.object({ minPrice: amount, maxPrice: amount, count: z.int() })),
      })
      .nullable(),
  })
  .openapi('Facets', { description: 'With `facets=true` only' })

export const categoriesDocument = z
  .object({ items: z.array(z.object({ name: z.string(), count: z.int() })) })
  .openapi('Categories')

export const sessionDocument = z
  .object({
    token: z.string(),
    user: z.object({
      id: z.string(),
      kind: z.enum(['guest', 'account']),
      email: z.string().optional(),
      name: z.string().optional(),
    }),
    home: node,
    epoch: z.int(),
    serverSet: z.array(node),
  })
  .openapi('Session')

export const cartDocument = z
  .object({
    user: z.string(),
    items: z.array(
      z.object({
        sku: z.string(),
        handle: z.string(),
        title: z.string(),
        image: z.string().nullable(),
        quantity: z.int(),
        unitPrice: moneyDocument,
        lineTotal: moneyDocument,
        forSale: z.boolean(),
        previousPrice: moneyDocument.optional().openapi({
          description:
            'Unit price that was agreed to in an order that was refused because of the present one',
        }),
      }),
    ),
    total: moneyDocument,
    hash: z.string().openapi({ description: 'Names this cart at these prices; for `POST /api/orders`' }),
    complete: z.boolean(),
    ordering: z.array(
      z.object({
        order: z.string(),
        items: z.array(z.object({ sku: z.string(), quantity: z.int() })),
      }),
    ),
    merged: z.array(z.object({ sku: z.string(), quantity: z.int() })),
    home: node,
    catalogVersion: z.int(),
  })
  .openapi('Cart')

export const orderDocument = z
  .object({
    id: z.string(),
    number: z.string().nullable(),
    user: z.string(),
    status: z.enum(orderStatusSchema.options),
    reason: z.enum(refusalReasonSchema.options).optional(),
    contact: z
      .object({ name: z.string().optional(), email: z.string().optional(), address: z.string().optional() })
      .optional(),
    note: z.string().optional(),
    lines: z.array(
      z.object({
        sku: z.string(),
        title: z.string(),
        quantity: z.int(),
        unitPrice: moneyDocument,
        lineTotal: moneyDocument,
      }),
    ),
    total: moneyDocument,
    catalogVersion: z.int(),
    createdAt: time,
    placedAt: time.optional(),
    history: z.array(z.object({ status: z.string(), at: time, by: z.enum(['system', 'user', 'admin']) })),
  })
  .openapi('Order')

const staleField = z.literal(true).optional().openapi({
  description:
    'No majority of the voters could be reached: the newest that is known, and something newer may be',
})
/** An order as it is read. */
export const orderFoundDocument = orderDocument.extend({ stale: staleField }).openapi('OrderFound')
export const orderList = listOf(orderDocument, { stale: staleField })
/** On answers whose body says `stale`. */
export const staleHeader = z.object({
  'Souk-Stale': z
    .literal('true')
    .optional()
    .openapi({ description: 'Only there when the body is marked as `stale`' }),
})

export const memberDocument = z
  .object({
    node: z.string(),
    peerId: z.string(),
    url: z.string(),
    eligible: z.boolean(),
    voter: z.boolean(),
    alive: z.boolean(),
    primary: z.boolean(),
    draining: z.boolean(),
    capacity: z.number(),
    capacityInUse: z.number(),
    catalogVersion: z.int(),
    catalogDigest: z.string(),
    users: z.int(),
    carts: z.int(),
    undeliveredCarts: z.int(),
    underReplicatedCarts: z.int(),
    oldestUndeliveredMs: z.int(),
    oldestUnderReplicatedMs: z.int(),
    loadPercent: z.number(),
    lastSeenMs: z.number(),
  })
  .openapi('Member')

export const clusterDocument = z
  .object({
    node: z.string(),
    term: z.int(),
    primary: node.nullable(),
    leaseRemainingMs: z.number(),
    commitIndex: z.int(),
    appliedIndex: z.int(),
    catalog: z.object({ version: z.int(), digest: z.string() }),
    orders: z.object({ count: z.int(), digest: z.string() }).nullable(),
    settled: z.boolean(),
    homes: z.object({ takeovers: z.int(), migrations: z.int(), merges: z.int() }),
    halted: z.string().nullable(),
    members: z.array(memberDocument),
  })
  .openapi('Cluster')

export const handOverDocument = z.object({ node: z.string(), term: z.int() }).openapi('Primary')

export const fieldChangeDocument = z
  .object({
    field: z.string().openapi({ description: 'Like `title` or `variants.SKU.price`' }),
    before: z.string().nullable(),
    after: z.string().nullable(),
  })
  .openapi('FieldChange')

export const catalogHistoryDocument = z
  .object({
    version: z.int().openapi({ description: 'The catalog version that the change made' }),
    at: time,
    by: z.string().openapi({ description: 'The name given in `Souk-Admin`, or entered in the back office' }),
    node: z.string().nullable().openapi({ description: 'The node that was asked' }),
    handle: z.string(),
    change: z.enum(['created', 'updated', 'deleted']),
    fields: z.array(fieldChangeDocument).openapi({ description: 'Texts are shortened to 200 characters' }),
  })
  .openapi('CatalogHistoryEntry')

export const importDocument = z
  .object({
    created: z.int(),
    updated: z.int(),
    unchanged: z.int(),
    rejected: z.array(z.object({ line: z.int(), reason: z.string() })),
    catalogVersion: z.int(),
    diff: z
      .array(
        z.object({
          handle: z.string(),
          line: z.int(),
          change: z.enum(['created', 'updated']),
          fields: z.array(fieldChangeDocument),
        }),
      )
      .optional()
      .openapi({ description: 'Of a dry run: what would change, the first 1,000 products' }),
  })
  .openapi('ImportAnswer')

export const bulkDocument = importDocument
  .omit({ rejected: true })
  .extend({
    matched: z.int().openapi({ description: 'Products that the filter or the list names' }),
    rejected: z.array(z.object({ handle: z.string(), reason: z.string() })),
  })
  .openapi('BulkAnswer')

export const importJobDocument = z
  .object({
    id: z.string(),
    state: z.enum(['reading', 'changing', 'done', 'failed']),
    read: z.int().openapi({ description: 'Products read so far' }),
    products: z.int().openapi({ description: 'Products of the file; 0 until it has been read whole' }),
    done: z.int(),
    created: z.int(),
    updated: z.int(),
    unchanged: z.int(),
    rejectedLines: z.int(),
    dryRun: z.boolean(),
    by: z.string(),
    type: z.enum(['text/csv', 'application/jsonl']),
    startedAt: time,
    endedAt: time.nullable(),
    answer: importDocument.nullable(),
    problem: z.looseObject({}).nullable(),
  })
  .openapi('Import')

/** RFC 9457, with the members that some problems bring along (API.md, "Errors"). */
export const problemDocument = z
  .looseObject({
    type: z.enum(faultCodes.map((code) => `/problems/${code}` as const)),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .openapi({ description: 'invalid-request: what is wrong, field by field' }),
    changes: z
      .array(z.object({ sku: z.string(), old: moneyDocument.nullable(), new: moneyDocument.nullable() }))
      .optional()
      .openapi({ description: 'price-changed, not-for-sale' }),
    cart: cartDocument.optional().openapi({ description: 'cart-changed: the cart as it is' }),
    order: z
      .union([z.string(), orderDocument])
      .optional()
      .openapi({ description: 'already-sold: id of the order that took the entries; conflict: the order' }),
  })
  .openapi('Problem')

/** What every answer carries. */
export const answerHeaders = z.object({
  'Souk-Node': z.string().openapi({ description: 'Name of the node that answered' }),
  'Souk-Catalog-Version': z.int().openapi({ description: 'Catalog version of the node' }),
})
/** What every request may carry. */
export const requestHeaders = z.object({
  'Souk-Catalog-Version': z
    .string()
    .regex(/^\d+$/)
    .optional()
    .openapi({ description: 'The answer is from this catalog version or a later one, or 503 `behind`' }),
})
