/** `catalog.change`: one log entry, one catalog version, one outcome per change (DESIGN.md section 4). */
import type {
  CatalogChangeResult,
  CatalogHistoryEntry,
  CommandBody,
  Product,
  ProductChange,
  ProductFields,
  ProductOutcome,
} from '../../commands.ts'
import type { CatalogVersion, Handle } from '../../ids.ts'
import type { CatalogVersionRecord } from '../../messages.ts'
import type { Tables } from '../../ports.ts'
import { RunningDigest, canonicalProduct, productText } from '../digest.ts'
import type { ApplyOutcome } from './outcome.ts'
import { done, instantText, refused } from './outcome.ts'
import { productDiff } from './product-diff.ts'
import type { Rejection } from './product-rules.ts'
import { checkFields, mergedFields, withoutRepeatedTags } from './product-rules.ts'

/**
 * Greatest size of a version's products as JSON. A small change (500 prices) can touch large products, and the
 * broadcast carries whole products: gossipsub drops messages over 4 MiB without a word (LIMITS.md).
 */
export const catalogVersionSizeBytesMax = 2 * 1024 * 1024

type CatalogChange = Extract<CommandBody, { kind: 'catalog.change' }>

/** The batch being applied. Later changes of it see what earlier ones did. */
type Batch = {
  readonly tables: Tables
  readonly currency: string
  readonly version: CatalogVersion
  readonly updatedAt: string
  readonly digest: RunningDigest
  /** Product before the batch and now, by handle, in the order of first touch. */
  readonly touched: Map<Handle, { readonly before: Product | null; after: Product | null; sizeBytes: number }>
  sizeBytes: number
}

function rejected(handle: Handle, rejection: Rejection): ProductOutcome {
  return { handle, outcome: 'rejected', code: rejection.code, reason: rejection.reason }
}

function checkIfMatch(change: ProductChange, before: Product | null): Rejection | null {
  const wanted = change.ifMatch
  if (wanted === undefined) return null
  const failed = (reason: string): Rejection => ({ code: 'precondition-failed', reason })
  if (wanted === 'none') return before === null ? null : failed('the product exists already')
  if (before === null) return failed('the product does not exist')
  if (wanted === '*' || wanted === before.catalogVersion) return null
  return failed(`the product was changed in catalog version ${before.catalogVersion}`)
}

/** Same content, whatever the stamps say. */
function sameContent(a: Product, b: Product): boolean {
  return (
    productText({ ...a, catalogVersion: 1, updatedAt: '' }) ===
    productText({ ...b, catalogVersion: 1, updatedAt: '' })
  )
}

/** False when the version would become too large to be broadcast. */
function touch(batch: Batch, handle: Handle, before: Product | null, after: Product | null): boolean {
  const earlier = batch.touched.get(handle)
  const sizeBytes = after === null ? handle.length : Buffer.byteLength(productText(after))
  const total = batch.sizeBytes - (earlier?.sizeBytes ?? 0) + sizeBytes
  if (total > catalogVersionSizeBytesMax) return false
  batch.sizeBytes = total
  if (before !== null) batch.digest.remove(productText(before))
  if (after !== null) batch.digest.add(productText(after))
  batch.touched.set(handle, { before: earlier === undefined ? before : earlier.before, after, sizeBytes })
  return true
}

const tooLarge: Rejection = {
  code: 'too-large',
  reason: `one catalog version holds at most ${catalogVersionSizeBytesMax} bytes of products; send it in a batch of its own`,
}

function remove(batch: Batch, handle: Handle, before: Product | null): ProductOutcome {
  if (before === null) return { handle, outcome: 'absent' }
  if (!touch(batch, handle, before, null)) return rejected(handle, tooLarge)
  batch.tables.deleteProduct(handle)
  return { handle, outcome: 'deleted' }
}

function put(
  batch: Batch,
  handle: Handle,
  before: Product | null,
  given: ProductFields | Rejection,
): ProductOutcome {
  if ('reason' in given) return rejected(handle, given)
  const fields = withoutRepeatedTags(given)
  const rejection = checkFields(handle, fields, batch.currency, (sku) => batch.tables.skuOwner(sku))
  if (rejection !== null) return rejected(handle, rejection)
  const stamps = { catalogVersion: batch.version, updatedAt: batch.updatedAt }
  const after = canonicalProduct({ ...fields, handle, ...stamps })
  if (before !== null && sameContent(before, after)) return { handle, outcome: 'unchanged' }
  if (!touch(batch, handle, before, after)) return rejected(handle, tooLarge)
  batch.tables.putProduct(after)
  return { handle, outcome: before === null ? 'created' : 'updated' }
}

function applyChange(batch: Batch, change: ProductChange): ProductOutcome {
  const before = batch.tables.product(change.handle)
  const failed = checkIfMatch(change, before)
  if (failed !== null) return rejected(change.handle, failed)
  switch (change.op) {
    case 'delete':
      return remove(batch, change.handle, before)
    case 'replace':
      return put(batch, change.handle, before, change.fields)
    case 'merge':
      return put(batch, change.handle, before, mergedFields(change.fields, before))
    default: {
      const never: never = change
      throw new Error(`unknown change ${JSON.stringify(never)}`)
    }
  }
}

/** What the version did to each product, for the history: the order is that of first touch. */
function historyOf(batch: Batch, body: CatalogChange): CatalogHistoryEntry[] {
  const stamps = { version: batch.version, at: batch.updatedAt, by: body.by, node: body.node ?? null }
  return [...batch.touched].flatMap(([handle, { before, after }]): CatalogHistoryEntry[] => {
    if (after === null) return before === null ? [] : [{ ...stamps, handle, change: 'deleted', fields: [] }]
    if (before === null) return [{ ...stamps, handle, change: 'created', fields: [] }]
    return [{ ...stamps, handle, change: 'updated', fields: productDiff(before, after) }]
  })
}

/** The version record of what really changed; null when nothing did. */
function versionOf(
  batch: Batch,
  previousDigest: CatalogVersionRecord['previousDigest'],
): CatalogVersionRecord | null {
  const changes = [...batch.touched]
    .filter(([, { before, after }]) => before !== null || after !== null)
    .map(([handle, { after }]) => ({ handle, product: after }))
  if (changes.length === 0) return null
  return { version: batch.version, previousDigest, digest: batch.digest.toDigest(), changes }
}

/**
 * Applies the changes in order. A rejected change leaves its product as it was and does not hinder the others.
 * Nothing changed: no new version. Fault `conflict` before the cluster has begun.
 */
export function applyCatalogChange(tables: Tables, body: CatalogChange, atMs: number): ApplyOutcome {
  const currency = tables.currency()
  if (currency === null) return refused('conflict', 'the cluster has not begun')
  const own = tables.catalog()
  const batch: Batch = {
    tables,
    currency,
    version: own.version + 1,
    updatedAt: instantText(atMs),
    digest: new RunningDigest(own.digest),
    touched: new Map(),
    sizeBytes: 0,
  }
  const outcomes = body.changes.map((change) => applyChange(batch, change))
  const record = versionOf(batch, own.digest)
  const history = record === null ? [] : historyOf(batch, body)
  if (record !== null) {
    tables.setCatalog({ version: record.version, digest: record.digest })
    tables.appendVersion(record)
    tables.appendHistory(history)
  }
  const value: CatalogChangeResult = { version: record?.version ?? own.version, outcomes }
  return done(value, { version: record, history })
}
