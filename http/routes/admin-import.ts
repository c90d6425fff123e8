/** Import and export of the catalog. */
import { setImmediate } from 'node:timers/promises'
import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Product } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import { optionColumnsMin } from '../csv/columns.ts'
import { headerText, productText } from '../csv/export.ts'
import { currencyDigits } from '../csv/price.ts'
import { importDocument } from '../documents.ts'
import { importProducts } from '../import.ts'
import type { ImportAnswer, ImportType } from '../import.ts'
import { idempotencyKey, readBytes, readQuery, requireBody, requireType } from '../input.ts'
import { importSizeBytesMax, importsAtOnceMax } from '../limits.ts'
import { adminNameField, exportQuery, importQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { define } from '../shop.ts'

const importTypes: readonly ImportType[] = ['text/csv', 'application/jsonl']

/** Lets at most so many imports in at a time; each holds its file in memory. Fault `overloaded`. */
export class ImportGate {
  #running = 0

  async run(work: () => Promise<ImportAnswer>): Promise<ImportAnswer> {
    if (this.#running >= importsAtOnceMax) throw new Fault('overloaded', 'other imports are running')
    this.#running += 1
    try {
      return await work()
    } finally {
      this.#running -= 1
    }
  }
}

function importRoute(shop: Shop, gate: ImportGate): void {
  define(
    shop,
    {
      method: 'post',
      path: '/api/admin/import',
      summary: 'Imports products: Shopify CSV, or one JSON product a line',
      tag: 'administration',
      auth: 'administrator',
      query: importQuery,
      headers: z.object({
        'Souk-Admin': adminNameField,
        'Idempotency-Key': z.string().min(1).max(200).optional(),
      }),
      body: { media: { 'text/csv': z.string(), 'application/jsonl': z.string() }, required: true },
      answers: { 200: importDocument },
      problems: ['no-primary', 'outcome-unknown', 'overloaded', 'disk-full'],
    },
    async (context) => {
      shop.gate.admin(context)
      const { dryRun } = readQuery(context, importQuery)
      await requireBody(context)
      const type = requireType(context, importTypes)
      const key = idempotencyKey(context)
      const by = shop.gate.adminName(context)
      const answer = await gate.run(async () => {
        const bytes = await readBytes(context, importSizeBytesMax)
        return await importProducts(shop, type, bytes, { dryRun: dryRun === true, key, by })
      })
      return shop.answers.json(answer)
    },
  )
}

/** Products written before others have a turn. */
const productsPerTurn = 50

/** Lines of the export, in turns: a large catalog takes seconds, and the node has a lease to keep. */
async function* texts(shop: Shop, format: 'csv' | 'jsonl'): AsyncGenerator<string> {
  const { catalog } = shop.replica
  let count = 0
  const turn = async (): Promise<void> => {
    count += 1
    if (count % productsPerTurn === 0) await setImmediate()
  }
  if (format === 'jsonl') {
    for (const text of catalog.allProducts()) {
      yield `${text}\n`
      await turn()
    }
    return
  }
  let columns = optionColumnsMin
  for (const text of catalog.allProducts()) {
    columns = Math.max(columns, (JSON.parse(text) as Product).options.length)
    await turn()
  }
  const digits = currencyDigits(catalog.currency())
  yield headerText(columns)
  for (const text of catalog.allProducts()) {
    yield productText(JSON.parse(text) as Product, columns, digits)
    await turn()
  }
}

/** Pulled by the client's pace; a client that goes away ends the reading. */
function streamOf(lines: AsyncGenerator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      let text = ''
      let ended = false
      for (let count = 0; count < productsPerTurn && !ended; count += 1) {
        const next = await lines.next()
        if (next.done === true) ended = true
        else text += next.value
      }
      if (text !== '') controller.enqueue(encoder.encode(text))
      if (ended) controller.close()
    },
    async cancel() {
      await lines.return(undefined)
    },
  })
}

const exportTypes = { csv: 'text/csv; charset=utf-8', jsonl: 'application/jsonl' }

export function exportAnswer(shop: Shop, context: Context, format: 'csv' | 'jsonl'): Response {
  const headers = {
    'Content-Type': exportTypes[format],
    'Content-Disposition': `attachment; filename="catalog.${format}"`,
    'Cache-Control': 'no-store',
  }
  if (context.req.method === 'HEAD') return shop.answers.raw(null, 200, headers)
  return shop.answers.raw(streamOf(texts(shop, format)), 200, headers)
}

function exportRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/export',
      summary: 'The whole catalog, streamed',
      tag: 'administration',
      auth: 'administrator',
      query: exportQuery,
      answers: { 200: { 'text/csv': z.string(), 'application/jsonl': z.string() } },
    },
    (context) => {
      shop.gate.admin(context)
      return exportAnswer(shop, context, readQuery(context, exportQuery).format)
    },
  )
}

export function importRoutes(shop: Shop, gate: ImportGate): void {
  importRoute(shop, gate)
  exportRoute(shop)
}
