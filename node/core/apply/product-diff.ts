/** What differs between two states of a product, field by field: for the history of changes and for previews. Pure. */
import type { FieldChange, ProductFields, Variant } from '../../commands.ts'
import { fieldChangesMax } from '../../commands.ts'

/** Longer texts are told by their beginning: the history says what was changed, the export keeps what is. */
const textLengthMax = 200

const textFields = ['title', 'description', 'vendor', 'category', 'status'] as const
const listFields = ['tags', 'images', 'options'] as const

function shortened(text: string): string {
  return text.length <= textLengthMax ? text : `${text.slice(0, textLengthMax - 1).toWellFormed()}…`
}

function fieldChange(field: string, before: string | null, after: string | null): FieldChange {
  return {
    field: shortened(field),
    before: before === null ? null : shortened(before),
    after: after === null ? null : shortened(after),
  }
}

/** Members of a variant as texts; the order is that in which they are told. */
function variantTexts(variant: Variant): { [name: string]: string } {
  const { amount, currency } = variant.price
  return { title: variant.title, options: JSON.stringify(variant.options), price: `${amount} ${currency}` }
}

function* variantChanges(before: ProductFields, after: ProductFields): Generator<FieldChange> {
  const old = new Map(before.variants.map((variant) => [variant.sku, variant]))
  const now = new Map(after.variants.map((variant) => [variant.sku, variant]))
  for (const [sku, variant] of old)
    if (!now.has(sku)) yield fieldChange(`variants.${sku}`, JSON.stringify(variantTexts(variant)), null)
  for (const [sku, variant] of now) {
    const earlier = old.get(sku)
    const texts = variantTexts(variant)
    if (earlier === undefined) {
      yield fieldChange(`variants.${sku}`, null, JSON.stringify(texts))
      continue
    }
    const earlierTexts = variantTexts(earlier)
    for (const [name, text] of Object.entries(texts)) {
      const was = earlierTexts[name] ?? ''
      if (was !== text) yield fieldChange(`variants.${sku}.${name}`, was, text)
    }
  }
  const kept = [...old.keys()].filter((sku) => now.has(sku))
  const order = [...now.keys()].filter((sku) => old.has(sku))
  if (kept.join('\0') !== order.join('\0'))
    yield fieldChange('variants', JSON.stringify(kept), JSON.stringify(order))
}

function* changes(before: ProductFields, after: ProductFields): Generator<FieldChange> {
  for (const field of textFields)
    if (before[field] !== after[field]) yield fieldChange(field, before[field], after[field])
  for (const field of listFields) {
    const [was, is] = [JSON.stringify(before[field]), JSON.stringify(after[field])]
    if (was !== is) yield fieldChange(field, was, is)
  }
  yield* variantChanges(before, after)
}

/** At most `fieldChangesMax`; of more the last one says that there are more. Both products in canonical form. */
export function productDiff(before: ProductFields, after: ProductFields): FieldChange[] {
  const found: FieldChange[] = []
  for (const change of changes(before, after)) {
    if (found.length === fieldChangesMax) {
      found[fieldChangesMax - 1] = { field: '…', before: null, after: null }
      break
    }
    found.push(change)
  }
  return found
}
