/** What goes in: one schema per message, also the source of the OpenAPI document (DESIGN.md section 8). */
import { z } from '@hono/zod-openapi'
import {
  currencySchema,
  idSchema,
  noteLengthMax,
  orderStatusSchema,
  priceAmountMax,
  productFieldsSchema,
  productStatusSchema,
  quantityMax,
  shownCartLengthMax,
} from '../node/commands.ts'
import type { Handle, Sku } from '../node/ids.ts'
import { parseHandle, parseSku } from '../node/ids.ts'
import { cursorLengthMax, listLimitDefault, listLimitMax, queryTextLengthMax } from './limits.ts'

const text = { type: 'string' } as const
/** Made anew: only schemas made after the OpenAPI extension was loaded know `openapi`. */
export const skuField = idSchema<Sku>(parseSku).openapi({ ...text, description: 'Stock keeping unit' })
export const handleField = idSchema<Handle>(parseHandle).openapi({
  ...text,
  description: 'Name of a product in addresses',
})

/** Header `Souk-Admin`. */
export const adminNameField = z.string().min(1).max(60).optional().openapi({
  description: 'Who changes the catalog, for its history (percent-encoded UTF-8); default `admin`',
})

// ---------------------------------------------------------------- query

const flagSchema = z
  .enum(['true', 'false', '1', '0', ''])
  .transform((value) => value === 'true' || value === '1' || value === '')
  .openapi({ type: 'boolean' })

const limitSchema = z
  .string()
  .regex(/^\d{1,4}$/, `a whole number from 1 to ${listLimitMax}`)
  .transform(Number)
  .pipe(z.int().min(1).max(listLimitMax))
  .default(listLimitDefault)
  .openapi({ type: 'integer', minimum: 1, maximum: listLimitMax, default: listLimitDefault })

export const pageQuery = z.object({
  limit: limitSchema,
  cursor: z.string().min(1).max(cursorLengthMax).optional(),
})

/** Minor units, as in `price.amount`. */
const amountSchema = z
  .string()
  .regex(/^\d{1,10}$/, `minor units, a whole number up to ${priceAmountMax}`)
  .transform(Number)
  .pipe(z.int().min(0).max(priceAmountMax))
  .optional()

const filterText = z.string().max(queryTextLengthMax).optional()
export const productsQuery = pageQuery.extend({
  q: filterText.openapi({
    description:
      'Words to search for: all must occur, accents and case don’t matter, words of three letters and the last one are beginnings',
  }),
  category: filterText,
  tag: filterText,
  vendor: filterText,
  minPrice: amountSchema.openapi({
    type: 'integer',
    minimum: 0,
    maximum: priceAmountMax,
    description: 'Minor units; the price of the cheapest variant is this or more',
  }),
  maxPrice: amountSchema.openapi({
    type: 'integer',
    minimum: 0,
    maximum: priceAmountMax,
    description: 'Minor units; the price of the cheapest variant is this or less',
  }),
  facets: flagSchema.optional().openapi({
    description:
      'Adds `facets`: categories, vendors, tags and price bands to choose from, each with the `total` that this query ' +
      'would have with that choice',
  }),
  sort: z
    .enum(['relevance', 'title', 'price', '-price', 'newest'])
    .optional()
    .openapi({ description: 'Default: relevance with `q`, else title. Prices: the lowest variant' }),
})
export const adminProductsQuery = productsQuery.extend({ status: productStatusSchema.optional() })
export const ordersQuery = pageQuery.extend({ status: orderStatusSchema.optional() })
/** A day (its beginning in UTC) or a moment; kept as the instants of the log are written. */
const momentSchema = z
  .union([z.iso.date(), z.iso.datetime({ offset: true })])
  .transform((text) => new Date(text).toISOString())
  .openapi({ type: 'string', description: 'RFC 3339: a day (UTC) or a moment with its offset' })
/** Filters of orders; all that are given must hold. */
export const orderFilterQuery = z.object({
  status: orderStatusSchema.optional(),
  user: z.string().optional(),
  number: z.string().min(1).max(40).optional().openapi({ description: 'The readable number, exactly' }),
  q: z.string().min(1).max(queryTextLengthMax).optional().openapi({
    description:
      'Part of number, title, SKU, contact or note. A page looks at 5,000 orders, so it may hold fewer than `limit` and still have a `next`',
  }),
  from: momentSchema.optional(),
  to: momentSchema.optional(),
})
export const adminOrdersQuery = pageQuery
  .extend(orderFilterQuery.shape)
  .extend({ local: flagSchema.optional() })
export const localQuery = z.object({ local: flagSchema.optional() })
export const historyQuery = pageQuery.extend({
  handle: z.string().max(255).optional().openapi({ description: 'Only changes of this product' }),
})
export const importQuery = z.object({ dryRun: flagSchema.optional() })
export const orderExportQuery = orderFilterQuery.extend({ format: z.enum(['csv', 'jsonl']).default('csv') })
export const exportQuery = z.object({ format: z.enum(['csv', 'jsonl']).default('csv') })

// ---------------------------------------------------------------- bodies

const email = z
  .string()
  .trim()
  .max(254)
  .pipe(z.email('not an e-mail address'))
  .openapi({ type: 'string', format: 'email' })

export const accountBody = z
  .object({
    email,
    password: z.string().min(8, 'at least 8 characters').max(200, 'at most 200 characters'),
    name: z.string().trim().min(1).max(200).optional(),
  })
  .openapi('NewAccount')

export const logOnBody = z
  .object({ email: z.string().min(1).max(254), password: z.string().min(1).max(200) })
  .openapi('LogOn')

const newPassword = accountBody.shape.password
export const passwordBody = z
  .object({ current: z.string().min(1).max(200), password: newPassword })
  .openapi('NewPassword')
export const deleteAccountBody = z.object({ password: z.string().min(1).max(200) }).openapi('DeleteAccount')
export const logOffQuery = z.object({
  everywhere: flagSchema.optional().openapi({ description: 'All sessions of this user, on every device' }),
})

export const addItemBody = z
  .object({ sku: skuField, quantity: z.int().min(1).max(quantityMax) })
  .openapi('AddItem')
export const setItemBody = z.object({ quantity: z.int().min(0).max(quantityMax) }).openapi('SetItem')

const contact = z
  .object({
    name: z.string().max(200).optional(),
    email: z.string().max(254).optional(),
    address: z.string().max(1_000).optional(),
  })
  .openapi('Contact')

export const orderBody = z
  .object({
    hash: z
      .string()
      .min(1)
      .max(shownCartLengthMax)
      .openapi({ description: 'The `hash` of the cart answer agreed to, as it is, or `*`' }),
    contact: contact.optional(),
    note: z.string().max(noteLengthMax).optional(),
  })
  .openapi('NewOrder')

/** Any status is understood; only shipped and cancelled can be reached (API.md: anything else is a conflict). */
export const orderStatusBody = z.object({ status: orderStatusSchema }).openapi('OrderStatus')
export const handOverBody = z.object({ node: z.string().min(1).max(63).optional() }).openapi('HandOver')
export const memberBody = z
  .object({
    eligible: z.boolean().optional(),
    draining: z.boolean().optional(),
    capacity: z.number().min(0).max(1_000).optional(),
  })
  .refine((patch) => Object.keys(patch).length > 0, 'eligible, draining or capacity')
  .openapi('MemberPatch')

// ---------------------------------------------------------------- products

/** Trimmed, as the CSV reader trims: what was exported must read back the same. */
const trimmed = z.string().trim().max(255)
const name = trimmed.min(1)
const fields = productFieldsSchema.shape
const variantBody = z.object({
  sku: skuField,
  title: z.string().max(500).optional(),
  options: z.record(name, name).default({}),
  price: z.object({ amount: z.int().min(0).max(priceAmountMax), currency: currencySchema }),
})
/** CSV separates tags by commas (API.md, "CSV"), so a tag with one could not be exported. */
const tagsField = z
  .array(
    z
      .string()
      .trim()
      .min(1)
      .max(255)
      .regex(/^[^,]*$/, 'a tag has no comma'),
  )
  .max(250)
const imagesField = z
  .array(z.object({ src: z.string().trim().min(1).max(2_000), alt: z.string().max(500).default('') }))
  .max(250)

const bodyFields = {
  handle: handleField.optional(),
  title: fields.title,
  description: fields.description,
  vendor: trimmed,
  category: trimmed,
  tags: tagsField,
  images: imagesField,
  status: fields.status,
  options: z.array(z.object({ name, values: z.array(name).max(500) })).max(10),
  variants: z.array(variantBody).min(1).max(500),
}
/** PUT: what is absent gets its default. `handle`, when given, must be that of the address. */
export const productBody = z
  .object({
    ...bodyFields,
    description: bodyFields.description.default(''),
    vendor: bodyFields.vendor.default(''),
    category: bodyFields.category.default(''),
    tags: tagsField.default([]),
    images: imagesField.default([]),
    status: bodyFields.status.default('active'),
    options: bodyFields.options.optional(),
  })
  .openapi('ProductBody')
export type ProductBody = z.output<typeof productBody>

/** PATCH: RFC 7396. `null` stands for the default; title and variants have none. */
export const productPatchBody = z
  .object({
    handle: bodyFields.handle,
    title: bodyFields.title.optional(),
    description: bodyFields.description.nullable().optional(),
    vendor: bodyFields.vendor.nullable().optional(),
    category: bodyFields.category.nullable().optional(),
    tags: tagsField.nullable().optional(),
    images: imagesField.nullable().optional(),
    status: bodyFields.status.nullable().optional(),
    options: bodyFields.options.nullable().optional(),
    variants: bodyFields.variants.optional(),
  })
  .openapi('ProductPatch')
export type ProductPatchBody = z.output<typeof productPatchBody>
// ---------------------------------------------------------------- many products at once

/** Hundredths of a percent are exact; finer ones would be rounded before the price is. */
const percent = z
  .number()
  .min(-100)
  .max(1_000)
  .refine(
    (value) => Math.abs(value * 100 - Math.round(value * 100)) < 1e-6,
    'at most two digits after the point',
  )
const signedAmount = z.int().min(-priceAmountMax).max(priceAmountMax)

export const bulkBody = z
  .object({
    handles: z.array(handleField).min(1).max(10_000).optional(),
    filter: z
      .strictObject({
        q: filterText,
        category: filterText,
        tag: filterText,
        vendor: filterText,
        minPrice: z.int().min(0).max(priceAmountMax).optional(),
        maxPrice: z.int().min(0).max(priceAmountMax).optional(),
        status: productStatusSchema.optional(),
      })
      .optional()
      .openapi({ description: 'As in the list of products; `{}` finds all' }),
    change: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('status'), status: productStatusSchema }),
      z.object({
        kind: z.literal('price-percent'),
        percent: percent.openapi({
          description: 'Of every variant’s price, rounded half up to a whole minor unit',
        }),
      }),
      z.object({
        kind: z.literal('price-add'),
        amount: signedAmount.openapi({ description: 'Minor units' }),
      }),
      z.object({ kind: z.literal('price-set'), amount: z.int().min(0).max(priceAmountMax) }),
    ]),
    catalogVersion: z.int().min(0).optional().openapi({
      description:
        'The version that was looked at: a product that was changed since is left as it is. Required for prices, except in a dry run',
    }),
  })
  .refine(
    ({ handles, filter }) => (handles === undefined) !== (filter === undefined),
    'either handles or filter',
  )
  .openapi('BulkChange')
export type BulkBody = z.output<typeof bulkBody>

/** One line of a JSON Lines import; `handle` is required there. */
export const productLine = productBody.extend({ handle: handleField })
