/** First half of an import: a file becomes checked changes, one a line of a spool, before anything is changed. */
import { setImmediate } from 'node:timers/promises'
import type { z } from 'zod'
import type { Product, ProductChange } from '../node/commands.ts'
import { productChangeSchema } from '../node/commands.ts'
import { Fault, isFault } from '../node/faults.ts'
import { batchSizeBytesMax } from './catalog-batches.ts'
import type { Rejections } from './catalog-batches.ts'
import { currencyDigits } from './csv/price.ts'
import type { CurrentProduct, LineChange, Rejected } from './csv/products.ts'
import { productsOf } from './csv/products.ts'
import { readCsv } from './csv/records.ts'
import { parseJson } from './input.ts'
import { importProductsMax } from './limits.ts'
import { mergeOf } from './products.ts'
import { handleField, productPatchBody } from './schemas.ts'
import type { Shop } from './shop.ts'
import { Spool, linesOf } from './spool.ts'

export type ImportType = 'text/csv' | 'application/jsonl'

/** Products checked before others have a turn. */
const productsPerTurn = 100
/** A product has at most 512 KiB; a longer line is no product. */
const lineLengthMax = 2_000_000

/** Changes of a file in order. What is wrong goes into `rejections`. Fault `invalid-request` for an unreadable file. */
async function* changesOf(
  shop: Shop,
  type: ImportType,
  file: Spool,
  rejections: Rejections,
): AsyncGenerator<LineChange> {
  if (type === 'application/jsonl')
    return yield* jsonLines(linesOf(file.chunks(), 'the file', lineLengthMax), rejections)
  const currency = shop.replica.catalog.currency()
  const current: CurrentProduct = (handle) => {
    const text = shop.replica.catalog.productJson(handle)
    return text === null ? null : (JSON.parse(text) as Product)
  }
  const rows = await Spool.open()
  try {
    const reading = { currency, digits: currencyDigits(currency), current }
    yield* productsOf(await readCsv(file.chunks()), rows, reading, rejections)
  } finally {
    await rows.close()
  }
}

const lineSchema = productPatchBody.extend({ handle: handleField })

async function* jsonLines(lines: AsyncIterable<string>, rejections: Rejections): AsyncGenerator<LineChange> {
  const seen = new Set<string>()
  let line = 0
  for await (const raw of lines) {
    line += 1
    const text = line === 1 ? raw.replace(/^\uFEFF/, '') : raw
    if (text.trim() === '') continue
    const read = jsonLine(text, line)
    if ('reason' in read) rejections.push(read)
    else if (seen.has(read.change.handle))
      rejections.push({ line, reason: 'the handle occurs twice in the file' })
    else {
      if (seen.size >= importProductsMax)
        throw new Fault('too-large', `an import has at most ${importProductsMax} products`)
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

/** Writes every change of the file that fits the schema into `changes`, and tells how many there are so far. */
export async function spoolChanges(
  shop: Shop,
  source: { readonly type: ImportType; readonly file: Spool },
  changes: Spool,
  rejections: Rejections,
  told: (count: number) => void,
): Promise<void> {
  let count = 0
  for await (const item of changesOf(shop, source.type, source.file, rejections)) {
    const checked = productChangeSchema.safeParse(item.change)
    if (!checked.success) {
      rejections.push({ line: item.line, reason: issueText(checked.error) })
      continue
    }
    const text = JSON.stringify([item.line, checked.data as ProductChange])
    if (Buffer.byteLength(text) > batchSizeBytesMax) {
      rejections.push({ line: item.line, reason: 'the product is too large' })
      continue
    }
    await changes.appendLine(text)
    count += 1
    if (count % productsPerTurn !== 0) continue
    told(count)
    await setImmediate()
  }
  told(count)
}
