/** The back office: orders, found by what an administrator knows of them, shipped, cancelled and exported. */
import type { Context } from 'hono'
import { html, raw } from 'hono/html'
import { z } from 'zod'
import type { OrderRecord } from '../../node/commands.ts'
import { orderStatusSchema, withoutAbsent } from '../../node/commands.ts'
import { isFault } from '../../node/faults.ts'
import { parseOrderId } from '../../node/ids.ts'
import { check, checkQuery, pathId } from '../input.ts'
import { exportOrders } from '../order-export.ts'
import { orderFilterOf } from '../routes/admin-orders.ts'
import { adminOrdersQuery, orderExportQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { staleHeaders } from '../views.ts'
import { moneyText, queryText, timeText } from './format.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { filled, frame, guarded } from './office.ts'
import { historyList, linesTable, staleNotice, statusBadge } from './orders.ts'
import { readForm, seeOther } from './visitors.ts'

type Filled = { readonly [name: string]: string }
const filterNames = ['number', 'q', 'user', 'status', 'from', 'to'] as const

function filterForm(given: Filled): Html {
  const field = (name: (typeof filterNames)[number], label: string, type = 'search'): Html =>
    html`<input
      type="${type}"
      name="${name}"
      value="${given[name] ?? ''}"
      placeholder="${label}"
      title="${label}"
      aria-label="${label}"
    />`
  return html`<form class="filters" method="get" action="/admin/orders">
    ${field('q', 'Name, e-mail, product, note')} ${field('number', 'Number')} ${field('user', 'User id')}
    ${field('from', 'From this day on', 'date')} ${field('to', 'Before this day', 'date')}
    <select name="status" aria-label="Status">
      ${['', ...orderStatusSchema.options].map(
        (status) =>
          html`<option value="${status}" ${status === (given['status'] ?? '') ? raw('selected') : ''}>
            ${status === '' ? 'every status' : status}
          </option>`,
      )}
    </select>
    <button class="secondary">Show</button>
  </form>`
}

function orderCard(order: OrderRecord): Html {
  const button = (status: string, label: string): Html =>
    html`<form method="post" action="/admin/orders/${order.id}">
      <input type="hidden" name="status" value="${status}" /><button class="secondary">${label}</button>
    </form>`
  return html`<details class="order">
    <summary>
      <strong>${order.number ?? '–'}</strong> ${statusBadge(order)} ${moneyText(order.total, order.currency)}
      <small>${timeText(order.createdAt)}</small>
    </summary>
    ${linesTable(order)}
    <p>${[order.contact?.name, order.contact?.email, order.contact?.address].filter(Boolean).join(' · ')}</p>
    <p>${order.note ?? ''}</p>
    ${historyList(order)}
    <p><small>${order.id} of ${order.user}</small></p>
    ${
      order.status === 'placed'
        ? html`<div class="toolbar">${button('shipped', 'Ship')} ${button('cancelled', 'Cancel')}</div>`
        : ''
    }
  </details>`
}

function listHtml(items: readonly OrderRecord[], next: string | null, filter: Filled): Html {
  // A search looks at so many orders at a time: nothing found here says nothing about older ones.
  const nothing = next === null ? 'None.' : 'None among the newest of these.'
  return html`${items.length === 0 ? html`<p>${nothing}</p>` : items.map(orderCard)}
  ${
    next === null
      ? ''
      : html`<a role="button" href="/admin/orders${queryText({ ...filter, cursor: next })}">Older</a>`
  }`
}

async function ordersPage(shop: Shop, context: Context): Promise<Response> {
  const given = filled(context)
  const { limit, cursor, local: _local, ...filters } = checkQuery(given, adminOrdersQuery)
  const query = { ...orderFilterOf(filters), ...withoutAbsent({ limit, cursor }) }
  const found = await shop.replica.orders.list(query)
  const filter = Object.fromEntries(Object.entries(given).filter(([name]) => isFilter(name)))
  const exportLink = (format: string, label: string): Html =>
    html`<a
      role="button"
      class="secondary outline"
      href="/admin/orders/export${queryText({ ...filter, format })}"
      >${label}</a
    >`
  const body = html`<h1>Orders</h1>
    ${staleNotice(found)}
    <div class="toolbar">
      ${filterForm(given)} ${exportLink('csv', 'Export CSV')} ${exportLink('jsonl', 'Export JSON Lines')}
    </div>
    ${listHtml(found.items, found.next, filter)}`
  return shop.answers.html(await page(shop, { title: 'Orders', body: frame(body) }), 200, staleHeaders(found))
}

function isFilter(name: string): boolean {
  return (filterNames as readonly string[]).includes(name)
}

const statusForm = z.object({ status: z.enum(['shipped', 'cancelled']) })

export function adminOrderPages(shop: Shop): void {
  pageRoute(
    shop,
    'get',
    '/admin/orders',
    guarded(shop, async (context) => await ordersPage(shop, context)),
  )
  pageRoute(
    shop,
    'get',
    '/admin/orders/export',
    guarded(shop, async (context) => {
      const { format, ...filters } = checkQuery(filled(context), orderExportQuery)
      return await exportOrders(shop, context, format, orderFilterOf(filters))
    }),
  )
  pageRoute(
    shop,
    'post',
    '/admin/orders/:id',
    guarded(shop, async (context) => {
      const id = pathId(context, 'id', parseOrderId, 'order')
      const { status } = check(statusForm, await readForm(context), 'form')
      try {
        await shop.replica.orders.setStatus(id, status)
      } catch (error) {
        // Somebody else was faster: the list shows what the order is now.
        if (!isFault(error) || error.code !== 'conflict') throw error
      }
      return seeOther(shop, '/admin/orders')
    }),
  )
}
