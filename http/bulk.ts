/**
 * One change to many products: publish, archive, new prices. Every product is changed only as it was when the
 * administrator looked (`catalogVersion`), which the log decides; so nobody's change is overwritten unseen, and a
 * repeated request can't raise a price twice, whatever its key and its node: what it changed is newer than what was seen.
 */
import { createHash, randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Product, ProductChange } from '../node/commands.ts'
import { priceAmountMax } from '../node/commands.ts'
import { Fault, InvariantError } from '../node/faults.ts'
import type { Handle } from '../node/ids.ts'
import type { ChangeCounts } from './catalog-batches.ts'
import { Rejections, Tally, logRun, previewRun, runAll } from './catalog-batches.ts'
import { invalidRequest } from './input.ts'
import { importProductsMax, listLimitMax } from './limits.ts'
import { productQueryOf } from './routes/catalog.ts'
import type { BulkBody } from './schemas.ts'
import type { Shop } from './shop.ts'

export type BulkAnswer = ChangeCounts & {
  /** Products that the filter or the list names. */
  matched: number
  rejected: { handle: string; reason: string }[]
}

/** Products looked at before others have a turn. */
const productsPerTurn = 50

/**
 * The new amount in minor units. A percentage is exact in hundredths of a percent and rounds half up to a whole minor
 * unit; amounts are not negative, so that is half away from zero. Null: not a price.
 */
export function newAmount(amount: number, change: BulkBody['change']): number | null {
  const wanted = wantedAmount(amount, change)
  return wanted >= 0 && wanted <= priceAmountMax ? wanted : null
}

function wantedAmount(amount: number, change: BulkBody['change']): number {
  switch (change.kind) {
    case 'price-percent': {
      // At most 10^9 times 10^6: a safe integer.
      const scaled = amount * (10_000 + Math.round(change.percent * 100))
      return Math.floor((scaled + 5_000) / 10_000)
    }
    case 'price-add':
      return amount + change.amount
    case 'price-set':
      return change.amount
    case 'status':
      throw new InvariantError('a status is no price')
    default: {
      const never: never = change
      throw new Error(`unknown change ${JSON.stringify(never)}`)
    }
  }
}

/** The change of one product, or why there is none. */
function changeOf(product: Product, change: BulkBody['change']): ProductChange | string {
  const ifMatch = product.catalogVersion
  const { handle } = product
  if (change.kind === 'status') return { op: 'merge', handle, fields: { status: change.status }, ifMatch }
  const variants = []
  for (const { sku, price } of product.variants) {
    const amount = newAmount(price.amount, change)
    if (amount === null) return `the new price of ${sku} is below zero or too high`
    variants.push({ sku, price: { amount, currency: price.currency } })
  }
  return { op: 'merge', handle, fields: { variants }, ifMatch }
}

/** All handles first: the catalog changes under a cursor, and the request itself changes it. */
async function matchedHandles(shop: Shop, body: BulkBody): Promise<Handle[]> {
  if (body.handles !== undefined) return [...new Set(body.handles)]
  const handles = new Set<Handle>()
  for (let cursor: string | undefined; ;) {
    const query = { ...body.filter, sort: 'title' as const, limit: listLimitMax }
    const page = shop.replica.catalog.products(
      productQueryOf({ ...query, ...(cursor === undefined ? {} : { cursor }) }, body.filter?.status),
    )
    for (const text of page.items) handles.add((JSON.parse(text) as Product).handle)
    if (handles.size > importProductsMax)
      throw new Fault('too-large', `one request changes at most ${importProductsMax} products`)
    if (page.next === null) return [...handles]
    cursor = page.next
    await setImmediate()
  }
}

/** `[place, change]` as JSON, in order; what can't be changed goes into `rejections`. */
async function* changeLines(
  shop: Shop,
  body: BulkBody,
  seen: number,
  handles: readonly Handle[],
  rejections: Rejections,
): AsyncGenerator<string> {
  for (const [line, handle] of handles.entries()) {
    if (line % productsPerTurn === 0) await setImmediate()
    const text = shop.replica.catalog.productJson(handle)
    const product = text === null ? null : (JSON.parse(text) as Product)
    if (product === null) rejections.push({ line, reason: 'there is no such product' })
    else if (product.catalogVersion > seen)
      rejections.push({ line, reason: `it was changed in catalog version ${product.catalogVersion}` })
    else {
      const change = changeOf(product, body.change)
      if (typeof change === 'string') rejections.push({ line, reason: change })
      else yield JSON.stringify([line, change])
    }
  }
}

/** Faults `invalid-request` for a price change of what nobody looked at, `behind`, and what changing the catalog gives. */
export async function changeMany(
  shop: Shop,
  body: BulkBody,
  options: { dryRun: boolean; key: string | undefined; by: string },
): Promise<BulkAnswer> {
  const { catalog } = shop.replica
  if (body.catalogVersion === undefined && body.change.kind !== 'status' && !options.dryRun)
    throw invalidRequest('catalogVersion: say which version you looked at (a dry run tells it)', [
      { path: 'catalogVersion', message: 'missing' },
    ])
  const seen = body.catalogVersion ?? catalog.version()
  if (!(await catalog.waitForVersion(seen)))
    throw new Fault('behind', `this node is at catalog version ${catalog.version()}, not at ${seen}`)
  const handles = await matchedHandles(shop, body)
  const rejections = new Rejections()
  const counts: ChangeCounts = { created: 0, updated: 0, unchanged: 0, catalogVersion: seen }
  if (options.dryRun) counts.diff = []
  const tally = new Tally(counts, rejections)
  const keyHash = createHash('sha256')
    .update(JSON.stringify([options.key ?? randomUUID(), body]))
    .digest('hex')
  const run = options.dryRun ? previewRun(shop) : logRun(shop, keyHash, options.by)
  await runAll(changeLines(shop, body, seen, handles, rejections), run, tally, () => undefined)
  const rejected = rejections.inOrder().map(({ line, reason }) => ({ handle: handles[line] ?? '', reason }))
  // A preview is of what was seen, and is agreed to by sending that version back.
  return { ...counts, ...(options.dryRun ? { catalogVersion: seen } : {}), matched: handles.length, rejected }
}
