/** Product documents of PUT, PATCH and JSON Lines as catalog changes. */
import type { ProductChange, ProductFields, Variant } from '../node/commands.ts'
import type { Handle } from '../node/ids.ts'
import { invalidRequest } from './input.ts'
import type { ProductBody, ProductPatchBody } from './schemas.ts'

type BodyVariant = ProductBody['variants'][number]

/** What a variant is called when nobody named it: its option values, or Shopify's words for the only one. */
export function variantTitle(options: { readonly [name: string]: string }): string {
  const values = Object.values(options)
  return values.length === 0 ? 'Default Title' : values.join(' / ').slice(0, 500)
}

function variantsOf(variants: readonly BodyVariant[]): Variant[] {
  return variants.map(({ sku, title, options, price }) => ({
    sku,
    title: title ?? variantTitle(options),
    options,
    price,
  }))
}

/** Names and values in the order in which the variants use them. */
export function optionsOf(
  variants: readonly { options: { [name: string]: string } }[],
): ProductFields['options'] {
  const values = new Map<string, Set<string>>()
  for (const { options } of variants) {
    for (const [name, value] of Object.entries(options)) {
      const known = values.get(name) ?? new Set()
      values.set(name, known.add(value))
    }
  }
  return [...values].map(([name, known]) => ({ name, values: [...known] }))
}

/** Fault `invalid-request` when the document names another handle than the address. */
export function requireHandle(handle: Handle, given: Handle | undefined): void {
  if (given === undefined || given === handle) return
  throw invalidRequest('handle: not that of the address', [
    { path: 'handle', message: 'not that of the address' },
  ])
}

export function fieldsOf(body: ProductBody): ProductFields {
  const { handle: _handle, options, variants, ...rest } = body
  return { ...rest, options: options ?? optionsOf(variants), variants: variantsOf(variants) }
}

type Merge = Extract<ProductChange, { op: 'merge' }>['fields']

/** RFC 7396: absent keeps, `null` resets to the default, arrays are replaced whole. */
export function mergeOf(patch: ProductPatchBody): Merge {
  const { title, description, vendor, category, tags, images, status, options, variants } = patch
  const merge: Merge = {}
  if (title !== undefined) merge.title = title
  if (description !== undefined) merge.description = description ?? ''
  if (vendor !== undefined) merge.vendor = vendor ?? ''
  if (category !== undefined) merge.category = category ?? ''
  if (tags !== undefined) merge.tags = tags ?? []
  if (images !== undefined) merge.images = images ?? []
  if (status !== undefined) merge.status = status ?? 'active'
  if (options !== undefined) merge.options = options ?? []
  if (variants !== undefined) {
    merge.variants = variantsOf(variants)
    if (options === undefined) merge.options = optionsOf(variants)
  }
  return merge
}
