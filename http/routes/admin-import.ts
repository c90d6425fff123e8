/** Import and export of the catalog. */
import { setImmediate } from 'node:timers/promises'
import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Product } from '../../node/commands.ts'
import { optionColumnsMin } from '../csv/columns.ts'
import { headerText, productText } from '../csv/export.ts'
import { currencyDigits } from '../csv/price.ts'
import { importDocument, importJobDocument, listOf } from '../documents.ts'
import type { ImportType } from '../import.ts'
import type { ImportJobs } from '../import-jobs.ts'
import { receiveFile } from '../import-jobs.ts'
import { idempotencyKey, readQuery, requireBody, requireType } from '../input.ts'
import { adminNameField, exportQuery, importQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { define } from '../shop.ts'
import type { Channels } from '../sse.ts'
import { streamAnswer } from './events.ts'

const importTypes: readonly ImportType[] = ['text/csv', 'application/jsonl']

/** RFC 7240, section 4.1: the client does not want to wait for the end. */
function wantsAsync(context: Context): boolean {
  const preferences = (context.req.header('prefer') ?? '').toLowerCase().split(',')
  return preferences.some((preference) => preference.trim().split(';')[0]?.trim() === 'respond-async')
}

function importRoute(shop: Shop, jobs: ImportJobs): void {
  define(
    shop,
    {
      method: 'post',
      path: '/api/admin/import',
      summary:
        'Imports products: Shopify CSV, or one JSON product a line. A repeat with the same Idempotency-Key goes on where the first stopped',
      tag: 'administration',
      auth: 'administrator',
      query: importQuery,
      headers: z.object({
        'Souk-Admin': adminNameField,
        'Idempotency-Key': z.string().min(1).max(200).optional(),
        Prefer: z.string().optional().openapi({
          description:
            '`respond-async`: 202 as soon as the file is here, with the import’s address in Location',
        }),
      }),
      body: { media: { 'text/csv': z.string(), 'application/jsonl': z.string() }, required: true },
      answers: { 200: importDocument, 202: importJobDocument },
      problems: ['no-primary', 'outcome-unknown', 'overloaded', 'disk-full'],
    },
    async (context) => {
      shop.gate.admin(context)
      const { dryRun } = readQuery(context, importQuery)
      await requireBody(context)
      const type = requireType(context, importTypes)
      const key = idempotencyKey(context)
      const options = { dryRun: dryRun === true, key, by: shop.gate.adminName(context) }
      const { id, ended } = await jobs.start(shop, async () => ({
        source: await receiveFile(context, type),
        options,
      }))
      if (!wantsAsync(context)) return shop.answers.json(await ended)
      const headers = { Location: `/api/admin/imports/${id}`, 'Preference-Applied': 'respond-async' }
      return shop.answers.json(jobs.get(id), 202, headers)
    },
  )
}

const jobParams = z.object({ id: z.string() })

function jobRoutes(shop: Shop, jobs: ImportJobs): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/imports',
      summary: 'Imports that this node runs or ran lately, the newest first',
      tag: 'administration',
      auth: 'administrator',
      answers: { 200: listOf(importJobDocument) },
    },
    (context) => {
      shop.gate.admin(context)
      return shop.answers.json({ items: jobs.newestFirst(), next: null })
    },
  )
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/imports/{id}',
      summary: 'How far an import is; its answer or problem once it is over. At the node that runs it',
      tag: 'administration',
      auth: 'administrator',
      params: jobParams,
      answers: { 200: importJobDocument },
      problems: ['not-found'],
    },
    (context) => {
      shop.gate.admin(context)
      return shop.answers.json(jobs.get(context.req.param('id') ?? ''))
    },
  )
}

function jobEvents(shop: Shop, jobs: ImportJobs, channels: Channels): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/imports/{id}/events',
      summary: 'Server-sent events of an import: progress. The first is the import as it is',
      tag: 'administration',
      auth: 'administrator',
      params: jobParams,
      headers: z.object({ 'Last-Event-ID': z.string().optional() }),
      answers: { 200: { 'text/event-stream': z.string() } },
      problems: ['not-found', 'overloaded'],
    },
    async (context) => {
      shop.gate.admin(context)
      const { id } = jobs.get(context.req.param('id') ?? '')
      return await streamAnswer(shop, context, channels, {
        subject: `import ${id}`,
        stillGood: null,
        subscribe: (channel) => jobs.onChange(id, (job) => channel.publish('progress', JSON.stringify(job))),
        snapshot: async () =>
          await Promise.resolve([{ event: 'progress', data: JSON.stringify(jobs.get(id)) }]),
      })
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

export function importRoutes(shop: Shop, jobs: ImportJobs, channels: Channels): void {
  importRoute(shop, jobs)
  jobRoutes(shop, jobs)
  jobEvents(shop, jobs, channels)
  exportRoute(shop)
}
