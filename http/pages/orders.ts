/** Orders of the shopper, readable at any node. */
import type { Context } from 'hono'
import { html, raw } from 'hono/html'
import type { OrderRecord } from '../../node/commands.ts'
import { parseOrderId } from '../../node/ids.ts'
import type { OrderFound } from '../../node/replica-api.ts'
import { checkQuery, pathId } from '../input.ts'
import { orderOf } from '../routes/orders.ts'
import { ordersQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { staleHeaders } from '../views.ts'
import { moneyText, queryText, timeText } from './format.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { frameOf, seeOther, shopperOf } from './visitors.ts'

const statusWords = {
  pending: 'on its way to the books',
  placed: 'placed',
  refused: 'refused',
  cancelled: 'cancelled',
  shipped: 'shipped',
} as const satisfies { [status in OrderRecord['status']]: string }

const reasonWords = {
  'price-changed': 'a price had changed',
  'not-for-sale': 'something was not for sale any more',
  'cart-changed': 'the cart had changed',
  'empty-cart': 'the cart was empty',
  'already-sold': 'the items were in another order',
} as const satisfies { [reason in NonNullable<OrderRecord['reason']>]: string }

export function statusBadge(order: OrderRecord): Html {
  return html`<span class="badge ${order.status}">${statusWords[order.status]}</span>`
}

export function linesTable(order: OrderRecord): Html {
  return html`<table>
    <tbody>
      ${order.lines.map(
        (line) =>
          html`<tr>
            <td>${line.title}<br /><small>${line.sku}</small></td>
            <td>${line.quantity} × ${moneyText(line.unitPrice, order.currency)}</td>
            <td class="sum">${moneyText(line.unitPrice * line.quantity, order.currency)}</td>
          </tr>`,
      )}
    </tbody>
    <tfoot>
      <tr>
        <td colspan="2">Total</td>
        <td class="sum">${moneyText(order.total, order.currency)}</td>
      </tr>
    </tfoot>
  </table>`
}

/** Said wherever the books could not be asked. */
export function staleNotice({ stale }: { readonly stale: boolean }): Html {
  if (!stale) return html``
  return html`<p class="notice" role="status">
    The servers that keep the books can’t agree just now. This is what is known here; something newer may have
    been decided.
  </p>`
}

export function historyList(order: OrderRecord): Html {
  return html`<ul class="history">
    ${order.history.map(({ status, at }) => html`<li>${statusWords[status]} <small>${timeText(at)}</small></li>`)}
  </ul>`
}

function contactHtml({ contact, note }: OrderRecord): Html {
  const lines = [contact?.name, contact?.email, contact?.address].filter((line) => line !== undefined)
  return html`${lines.length === 0 ? '' : html`<p>For: ${lines.join(' · ')}</p>`}
  ${note === undefined ? '' : html`<p>Note: ${note}</p>`}`
}

/** Asks again by itself while the order is undecided. */
function orderHtml({ order, stale }: OrderFound): Html {
  // Without these a click anywhere in a decided order would fetch it again.
  const again = order.status === 'pending' ? raw(`hx-get="/orders/${order.id}" hx-trigger="every 2s"`) : ''
  const cancellable = order.status === 'pending' || order.status === 'placed'
  return html`<section
    id="order"
    data-status="${order.status}"
    ${again}
    hx-select="#order"
    hx-swap="outerHTML"
  >
    ${staleNotice({ stale })}
    <h1>${order.number === null ? 'Your order' : `Order ${order.number}`} ${statusBadge(order)}</h1>
    ${
      order.reason === undefined
        ? ''
        : html`<p class="notice">
            It was refused because ${reasonWords[order.reason]}. The items are back in your cart.
          </p>`
    }
    ${linesTable(order)} ${contactHtml(order)} ${historyList(order)}
    ${
      cancellable
        ? html`<form method="post" action="/orders/${order.id}/cancel">
            <button class="secondary outline">Cancel the order</button>
          </form>`
        : ''
    }
    <p><a href="/orders">All your orders</a></p>
  </section>`
}

async function listPage(shop: Shop, context: Context): Promise<Response> {
  const shopper = shopperOf(shop, context)
  if (shopper === null) return seeOther(shop, `/log-on${queryText({ next: '/orders' })}`)
  const { limit, cursor } = checkQuery(context.req.query(), ordersQuery)
  const query = { user: shopper.claims.user, limit, ...(cursor === undefined ? {} : { cursor }) }
  const found = await shop.replica.orders.list(query)
  const { items, next } = found
  const rows = items.map(
    (order) =>
      html`<tr>
        <td><a href="/orders/${order.id}">${order.number ?? order.id.slice(0, 8)}</a></td>
        <td>${timeText(order.createdAt)}</td>
        <td>${statusBadge(order)}</td>
        <td class="sum">${moneyText(order.total, order.currency)}</td>
      </tr>`,
  )
  const body = html`<h1>Your orders</h1>
    ${staleNotice(found)}
    ${
      items.length === 0
        ? html`<p>No orders yet. <a href="/">Look around the bazaar</a>.</p>`
        : html`<table>
            <tbody>
              ${rows}
            </tbody>
          </table>`
    }
    ${next === null ? '' : html`<a role="button" href="/orders${queryText({ cursor: next })}">More</a>`}`
  const text = await page(shop, { ...(await frameOf(shop, context)), title: 'Orders', body })
  return shop.answers.html(text, 200, staleHeaders(found))
}

export function orderPages(shop: Shop): void {
  pageRoute(shop, 'get', '/orders', async (context) => await listPage(shop, context))
  pageRoute(shop, 'get', '/orders/:id', async (context) => {
    const id = pathId(context, 'id', parseOrderId, 'order')
    const shopper = shopperOf(shop, context)
    if (shopper === null) return seeOther(shop, `/log-on${queryText({ next: `/orders/${id}` })}`)
    const found = await orderOf(shop, shopper.claims.user, id)
    const frame = await frameOf(shop, context)
    const title = `Order ${found.order.number ?? ''}`
    return shop.answers.html(
      await page(shop, { ...frame, title, body: orderHtml(found) }),
      200,
      staleHeaders(found),
    )
  })
  pageRoute(shop, 'post', '/orders/:id/cancel', async (context) => {
    shop.gate.requireSameOrigin(context)
    const id = pathId(context, 'id', parseOrderId, 'order')
    const { user } = shop.gate.shopper(context).claims
    await shop.replica.orders.cancel(user, id)
    return seeOther(shop, `/orders/${id}`)
  })
}
