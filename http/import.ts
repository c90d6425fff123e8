/** Imports: a whole file becomes bounded catalog changes, one log entry each, in order (API.md, "CSV"). */
import { createHash, randomUUID } from 'node:crypto'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import type { CatalogChangeResult, Product, ProductChange } from '../node/commands.ts'
import { catalogChangeItemsMax, catalogChangeSizeBytesMax, productChangeSchema } from '../node/commands.ts'
import { Fault, isFault } from '../node/faults.ts'
import { parseCommandId } from '../node/ids.ts'
import type { CurrentProduct, LineChange, Rejected } from './csv/products.ts'
import { productsOf } from './csv/products.ts'
import { currencyDigits } from './csv/price.ts'
import { readCsv } from './csv/records.ts'
import { decodeText, parseJson } from './input.ts'
import { importRetryMs, importRetryPauseMs, rejectedLinesMax } from './limits.ts'
import { mergeOf } from './products.ts'
import { handleField, productPatchBody } from './schemas.ts'
import type { Shop } from './shop.ts'

export type ImportType = 'text/csv' | 'application/jsonl'
export type ImportAnswer = {
  created: number
  updated: number
  unchanged: number
  rejected: Rejected[]
  catalogVersion: number
}

type Batch = { readonly items: LineChange[]; sizeBytes: number }

/** Room in a change for what surrounds the products. */
const envelopeSizeBytes = 4_096
const batchSizeBytesMax = catalogChangeSizeBytesMax - envelopeSizeBytes
/** Products checked before others have a turn. */
const productsPerTurn = 200

/** Changes of a file in order. What is wrong goes into `rejected`. Fault `invalid-request` for an unreadable file. */
async function* changesOf(
  shop: Shop,
  type: ImportType,
  bytes: Buffer,
  rejected: Rejected[],
): AsyncGenerator<LineChange> {
  if (type === 'application/jsonl') return yield* jsonLines(decodeText(bytes, 'the file'), rejected)
  const currency = shop.replica.catalog.currency()
  const current: CurrentProduct = (handle) => {
    const text = shop.replica.catalog.productJson(handle)
    return text === null ? null : (JSON.parse(text) as Product)
  }
  const file = await readCsv(bytes)
  yield* productsOf(file, { currency, digits: currencyDigits(currency), current }, rejected)
}

const lineSchema = productPatchBody.extend({ handle: handleField })

function* jsonLines(text: string, rejected: Rejected[]): Generator<LineChange> {
  const seen = new Set<string>()
  let line = 0
  for (const raw of text.replace(/^\uFEFF/, '').split('\n')) {
    line += 1
    if (raw.trim() === '') continue
    const read = jsonLine(raw, line)
    if ('reason' in read) rejected.push(read)
    else if (seen.has(read.change.handle))
      rejected.push({ line, reason: 'the handle occurs twice in the file' })
    else {
      seen.add(read.change.handle)
      yield read
    }
  }
}

function jsonLine(raw: string, line: number): LineChange | Rejected {
  try {
    const parsed = lineSchema.safeParse(parseJson(raw, 'the line'))
    if (!parsed.success) return { line, reason: issueText(parsed.error) }
    const { handle, ...patch } = parsed.data
    return { change: { op: 'merge', handle, fields: mergeOf(patch) }, line }
  } catch (error) {
    if (isFault(error)) return { line, reason: error.message }
    throw error
  }
}

function issueText(error: z.ZodError): string {
  const issue = error.issues[0]
  const path = issue?.path.map(String).join('.') ?? ''
  return `${path === '' ? '' : `${path}: `}${issue?.message ?? 'not valid'}`
}

/** Gathers changes into batches that a catalog change may hold; what does not fit the schema is rejected. */
async function batchesOf(changes: AsyncIterable<LineChange>, rejected: Rejected[]): Promise<Batch[]> {
  const batches: Batch[] = []
  let batch: Batch = { items: [], sizeBytes: 0 }
  let count = 0
  for await (const item of changes) {
    count += 1
    if (count % productsPerTurn === 0) await setImmediate()
    const checked = productChangeSchema.safeParse(item.change)
    const sizeBytes = Buffer.byteLength(JSON.stringify(item.change)) + 1
    if (!checked.success || sizeBytes > batchSizeBytesMax) {
      const reason = checked.success ? 'the product is too large' : issueText(checked.error)
      rejected.push({ line: item.line, reason })
      continue
    }
    if (batch.items.length >= catalogChangeItemsMax || batch.sizeBytes + sizeBytes > batchSizeBytesMax) {
      batches.push(batch)
      batch = { items: [], sizeBytes: 0 }
    }
    batch.items.push({ change: checked.data as ProductChange, line: item.line })
    batch.sizeBytes += sizeBytes
  }
  return batch.items.length === 0 ? batches : [...batches, batch]
}

type Run = (changes: readonly ProductChange[], number: number) => Promise<CatalogChangeResult>

/** Runs the batches one after the other and adds up what became of the products. */
async function runAll(batches: readonly Batch[], run: Run, answer: ImportAnswer): Promise<void> {
  const queue = [...batches]
  for (let number = 0; number < queue.length; number += 1) {
    const { items } = queue[number] as Batch
    const result = await run(
      items.map(({ change }) => change),
      number,
    )
    answer.catalogVersion = result.version
    result.outcomes.forEach((outcome, index) => {
      const item = items[index] as LineChange
      // Small changes of large products may outgrow one version together; each for itself does not.
      if (outcome.code === 'too-large' && items.length > 1) queue.push({ items: [item], sizeBytes: 0 })
      else if (outcome.outcome === 'rejected')
        answer.rejected.push({ line: item.line, reason: outcome.reason ?? 'rejected' })
      else if (outcome.outcome === 'created') answer.created += 1
      else if (outcome.outcome === 'updated') answer.updated += 1
      else answer.unchanged += 1
    })
  }
}

/** Faults after which the same batch, under the same command id, may be sent again. */
const passing = new Set(['no-primary', 'overloaded', 'outcome-unknown', 'behind'])

/**
 * Sends batches to the log. The first may fail as it likes. Once one is in, the import is half done: a 503
 * would say that nothing happened (API.md, outcome rule), so later ones are tried again through an election,
 * and if that fails the outcome is told as unknown.
 */
function logRun(shop: Shop, keyHash: string, by: string): Run {
  return async (changes, number) => {
    const id = parseCommandId(`import:${keyHash}:${number}`)
    const endMs = shop.now() + importRetryMs
    for (;;) {
      try {
        return await shop.replica.catalog.change(changes, by, id)
      } catch (error) {
        if (number === 0 || !isFault(error)) throw error
        if (!passing.has(error.code) || shop.now() > endMs)
          throw new Fault(
            'outcome-unknown',
            `${number} batches of the import are in, the next failed: ${error.message}; repeat the request`,
            { batchesDone: number },
            { cause: error },
          )
        await setTimeout(importRetryPauseMs)
      }
    }
  }
}

/**
 * Imports a file. With an Idempotency-Key the repeated request goes on where the first one stopped, because
 * the ids of the batches come from key and content. Without one, the ids are fresh: the same file sent again
 * later must undo what happened in between.
 */
export async function importProducts(
  shop: Shop,
  type: ImportType,
  bytes: Buffer,
  options: { dryRun: boolean; key: string | undefined; by: string },
): Promise<ImportAnswer> {
  const answer: ImportAnswer = {
    created: 0,
    updated: 0,
    unchanged: 0,
    rejected: [],
    catalogVersion: shop.replica.catalog.version(),
  }
  const batches = await batchesOf(changesOf(shop, type, bytes, answer.rejected), answer.rejected)
  const keyHash = createHash('sha256')
    .update(options.key ?? randomUUID())
    .update('\0')
    .update(bytes)
    .digest('hex')
  const preview: Run = async (changes) => await Promise.resolve(shop.replica.catalog.preview(changes))
  await runAll(batches, options.dryRun ? preview : logRun(shop, keyHash, options.by), answer)
  answer.rejected = answer.rejected.toSorted((a, b) => a.line - b.line).slice(0, rejectedLinesMax)
  return answer
}
