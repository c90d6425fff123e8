/**
 * Orders as files. Promises: read page by page as the client takes them, so memory is bounded; an export that is cut
 * short ends as a broken connection, never as a file that looks whole; all of it is confirmed by a majority of the
 * voters, or none of it is and its header says so.
 */
import { stringify } from 'csv-stringify/sync'
import type { Context } from 'hono'
import { Fault } from '../node/faults.ts'
import type { OrderFilter, OrderPage, OrderRecord } from '../node/replica-api.ts'
import { currencyDigits, formatPrice } from './csv/price.ts'
import { orderExportPageMax } from './limits.ts'
import type { Shop } from './shop.ts'
import { orderDocumentOf, staleHeaders } from './views.ts'

export type OrderFormat = 'csv' | 'jsonl'

const contentTypes = { csv: 'text/csv; charset=utf-8', jsonl: 'application/jsonl' } as const

/** A row for each line of an order; what is of the order is on each of them, so that rows can be filtered and summed. */
export const orderColumns = [
  'Number',
  'Id',
  'User',
  'Status',
  'Reason',
  'Created at',
  'Placed at',
  'Changed at',
  'Currency',
  'Total',
  'Line SKU',
  'Line title',
  'Line quantity',
  'Line price',
  'Line total',
  'Contact name',
  'Contact e-mail',
  'Contact address',
  'Note',
] as const

/** Spreadsheets run what begins with =, +, - or @; shoppers write names and notes, so those get an apostrophe. */
function csvText(rows: readonly (readonly string[])[]): string {
  return stringify(
    rows.map((row) => [...row]),
    { escape_formulas: true },
  )
}

function rowsOf(order: OrderRecord): string[][] {
  const digits = currencyDigits(order.currency)
  const price = (amount: number): string => formatPrice(amount, digits)
  const { contact, note, lines } = order
  const before = [
    order.number ?? '',
    order.id,
    order.user,
    order.status,
    order.reason ?? '',
    order.createdAt,
    order.placedAt ?? '',
    order.history.at(-1)?.at ?? '',
    order.currency,
    price(order.total),
  ]
  const after = [contact?.name ?? '', contact?.email ?? '', contact?.address ?? '', note ?? '']
  // An order that was cancelled before the log saw it has no lines, but it is an order.
  if (lines.length === 0) return [[...before, '', '', '', '', '', ...after]]
  return lines.map(({ sku, title, quantity, unitPrice }) => {
    const line = [sku, title, String(quantity), price(unitPrice), price(unitPrice * quantity)]
    return [...before, ...line, ...after]
  })
}

export function orderText(order: OrderRecord, format: OrderFormat): string {
  return format === 'csv' ? csvText(rowsOf(order)) : `${JSON.stringify(orderDocumentOf(order))}\n`
}

async function* texts(
  shop: Shop,
  format: OrderFormat,
  filter: OrderFilter,
  first: OrderPage,
): AsyncGenerator<string> {
  if (format === 'csv') yield csvText([orderColumns])
  let page = first
  for (;;) {
    yield page.items.map((order) => orderText(order, format)).join('')
    if (page.next === null) return
    page = await shop.replica.orders.list({ ...filter, limit: orderExportPageMax, cursor: page.next })
    // The header went out long ago.
    if (page.stale && !first.stale)
      throw new Fault('no-primary', 'the majority of the voters went away in the middle of the export')
  }
}

function streamOf(parts: AsyncGenerator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      for (;;) {
        const next = await parts.next()
        if (next.done === true) return controller.close()
        // A page of a search may have found nothing.
        if (next.value !== '') return controller.enqueue(encoder.encode(next.value))
      }
    },
    async cancel() {
      await parts.return(undefined)
    },
  })
}

/** The first page is read before the answer begins, so that who can't be served gets a problem. */
export async function exportOrders(
  shop: Shop,
  context: Context,
  format: OrderFormat,
  filter: OrderFilter,
): Promise<Response> {
  const first = await shop.replica.orders.list({ ...filter, limit: orderExportPageMax })
  const headers = {
    'Content-Type': contentTypes[format],
    'Content-Disposition': `attachment; filename="orders.${format}"`,
    'Cache-Control': 'no-store',
    ...staleHeaders(first),
  }
  if (context.req.method === 'HEAD') return shop.answers.raw(null, 200, headers)
  return shop.answers.raw(streamOf(texts(shop, format, filter, first)), 200, headers)
}
