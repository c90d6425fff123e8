/** What a product must be to be taken, and how a change becomes a product. Pure; all answers are deterministic. */
import type { FaultCode } from '../../faults.ts'
import type { ProductFields, ProductPatch, Variant } from '../../commands.ts'
import type { Handle, Sku } from '../../ids.ts'

/** Why a change is not taken; goes into its outcome. */
export type Rejection = { readonly code: FaultCode; readonly reason: string }

/** New products without these fields get the defaults; a product without title or variants is none. */
const creationDefaults = {
  description: '',
  vendor: '',
  category: '',
  tags: [],
  images: [],
  status: 'active',
  options: [],
} as const

type PatchVariant = NonNullable<ProductPatch['variants']>[number]

function invalid(reason: string): Rejection {
  return { code: 'invalid-request', reason }
}

/** A variant with the absent fields taken from the variant of the same SKU. */
function mergeVariant(patch: PatchVariant, before: Variant | undefined): Variant | Rejection {
  const price = patch.price ?? before?.price
  if (price === undefined) return invalid(`variant ${patch.sku} is new and has no price`)
  return {
    sku: patch.sku,
    title: patch.title ?? before?.title ?? '',
    options: patch.options ?? before?.options ?? {},
    price,
  }
}

/** Options as they are, completed by names and values that the variants use. */
function completedOptions(
  options: ProductFields['options'],
  variants: readonly Variant[],
): ProductFields['options'] {
  const values = new Map(options.map((option) => [option.name, [...option.values]]))
  for (const variant of variants) {
    for (const [name, value] of Object.entries(variant.options)) {
      const known = values.get(name) ?? []
      if (!known.includes(value)) known.push(value)
      values.set(name, known)
    }
  }
  return [...values].map(([name, list]) => ({ name, values: list }))
}

/**
 * Fields after a merge. `variants`, when given, is the whole new list (RFC 7396 replaces arrays), in which each
 * variant keeps what it does not say from the variant of the same SKU. When `options` is not given, it grows by
 * what new variants use; when it is given it must fit (see `checkFields`).
 */
export function mergedFields(patch: ProductPatch, before: ProductFields | null): ProductFields | Rejection {
  const title = patch.title ?? before?.title
  if (title === undefined) return invalid('a new product needs a title')
  if (patch.variants === undefined && before === null) return invalid('a new product needs variants')
  const variants: Variant[] = []
  const variantsBefore = new Map((before?.variants ?? []).map((variant) => [variant.sku, variant]))
  for (const variantPatch of patch.variants ?? before?.variants ?? []) {
    const variant = mergeVariant(variantPatch, variantsBefore.get(variantPatch.sku))
    if ('reason' in variant) return variant
    variants.push(variant)
  }
  const base = before ?? creationDefaults
  return {
    title,
    description: patch.description ?? base.description,
    vendor: patch.vendor ?? base.vendor,
    category: patch.category ?? base.category,
    tags: [...(patch.tags ?? base.tags)],
    images: [...(patch.images ?? base.images)],
    status: patch.status ?? base.status,
    options: patch.options ?? completedOptions([...base.options], variants),
    variants,
  }
}

function checkOptions(fields: ProductFields): Rejection | null {
  const values = new Map(fields.options.map((option) => [option.name, new Set(option.values)]))
  if (values.size < fields.options.length) return invalid('two options have the same name')
  for (const variant of fields.variants) {
    for (const [name, value] of Object.entries(variant.options)) {
      const known = values.get(name)
      if (known === undefined) return invalid(`variant ${variant.sku} has an unknown option ${name}`)
      if (!known.has(value))
        return invalid(`option ${name} of variant ${variant.sku} has an unknown value ${value}`)
    }
  }
  return null
}

/** Null when the product may be taken. `ownerOf` tells which product has a SKU now. */
export function checkFields(
  handle: Handle,
  fields: ProductFields,
  currency: string,
  ownerOf: (sku: Sku) => Handle | null,
): Rejection | null {
  const seen = new Set<Sku>()
  for (const variant of fields.variants) {
    if (seen.has(variant.sku)) return invalid(`SKU ${variant.sku} occurs twice in the product`)
    seen.add(variant.sku)
    if (variant.price.currency !== currency)
      return invalid(
        `the price of ${variant.sku} is in ${variant.price.currency}, the shop's currency is ${currency}`,
      )
    const owner = ownerOf(variant.sku)
    if (owner !== null && owner !== handle)
      return { code: 'conflict', reason: `SKU ${variant.sku} belongs to product ${owner}` }
  }
  return checkOptions(fields)
}

/** A tag twice is the tag once. */
export function withoutRepeatedTags(fields: ProductFields): ProductFields {
  return { ...fields, tags: [...new Set(fields.tags)] }
}
