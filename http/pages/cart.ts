/** The cart and ordering, at the shopper's home. */
import { createHash, randomUUID } from 'node:crypto'
import type { Context } from 'hono'
import { html } from 'hono/html'
import { z } from 'zod'
import { quantityMax, shownCartLengthMax, skuSchema } from '../../node/commands.ts'
import { Fault, isFault } from '../../node/faults.ts'
import type { CartItemView, CartView } from '../../node/replica-api.ts'
import type { Visitor } from '../home.ts'
import { check, isCleanText } from '../input.ts'
import { changeCart } from '../routes/cart.ts'
import { acceptedOrder, orderRequestOf } from '../routes/orders.ts'
import { orderBody } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { moneyText, picture } from './format.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { frameOf, homeForm, homePage, readForm, seeOther } from './visitors.ts'

const text = z.string().refine(isCleanText, 'not a text')
const keyField = z.string().regex(/^[\x21-\x7e]{1,200}$/)
const amount = z
  .string()
  .regex(/^\d{1,3}$/)
  .transform(Number)
const addForm = z.object({
  key: keyField,
  sku: skuSchema,
  quantity: amount.pipe(z.int().min(1).max(quantityMax)),
})
const setForm = z.object({ key: keyField, sku: skuSchema, quantity: amount })
const orderForm = z.object({
  key: keyField,
  hash: text.min(1).max(shownCartLengthMax),
  name: text.max(200).optional(),
  email: text.max(254).optional(),
  address: text.max(1_000).optional(),
  note: text.max(2_000).optional(),
})

function itemRow(item: CartItemView, currency: string): Html {
  const change = (content: Html): Html =>
    html`<form
      method="post"
      action="/cart/change"
      hx-post="/cart/change"
      hx-trigger="change, submit"
      hx-target="#cart"
      hx-select="#cart"
      hx-swap="outerHTML"
    >
      <input type="hidden" name="key" value="${randomUUID()}" />
      <input type="hidden" name="sku" value="${item.sku}" />
      ${content}
    </form>`
  return html`<tr class="${item.forSale ? '' : 'gone'}">
    <td class="thumb">${picture(item.image, item.title, '')}</td>
    <td class="what">
      <a href="/products/${encodeURIComponent(item.handle)}">${item.title}</a>
      ${item.forSale ? '' : html`<br /><small class="remark">not for sale any more</small>`}
      ${
        item.previousPrice === undefined || !item.forSale
          ? ''
          : html`<br /><small class="remark"
                >the price was ${moneyText(item.previousPrice, currency)} when you ordered</small
              >`
      }
    </td>
    <td class="each">${moneyText(item.unitPrice, currency)}</td>
    <td class="quantity">
      ${change(
        html`<input
            type="number"
            name="quantity"
            value="${item.quantity}"
            min="0"
            max="999"
            aria-label="Quantity of ${item.title}"
          />
          <noscript><button>Change</button></noscript>`,
      )}
    </td>
    <td class="sum">${moneyText(item.lineTotal, currency)}</td>
    <td class="away">
      ${change(
        html`<input type="hidden" name="quantity" value="0" />
          <button class="link" aria-label="Remove ${item.title}">Remove</button>`,
      )}
    </td>
  </tr>`
}

function checkout(cart: CartView): Html {
  return html`<form class="checkout" method="post" action="/cart/order">
    <h2>Check out</h2>
    <input type="hidden" name="key" value="${randomUUID()}" />
    <input type="hidden" name="hash" value="${cart.hash}" />
    <div class="grid">
      <label>Name <input name="name" maxlength="200" autocomplete="name" /></label>
      <label>E-mail <input name="email" type="email" maxlength="254" autocomplete="email" /></label>
    </div>
    <label
      >Address <textarea name="address" maxlength="1000" rows="2" autocomplete="street-address"></textarea>
    </label>
    <label>Note <textarea name="note" maxlength="2000" rows="2"></textarea></label>
    <button id="order">Order for ${moneyText(cart.total, cart.currency)}</button>
  </form>`
}

function notices(cart: CartView, message: Html | string | null): Html {
  return html`${message === null ? '' : html`<p class="notice" role="alert">${message}</p>`}
  ${
    cart.complete
      ? ''
      : html`<p class="notice">
          A server with a part of this cart can’t be reached just now; what it has will appear when it is
          back.
        </p>`
  }
  ${cart.merged.map(
    ({ sku, quantity }) =>
      html`<p class="notice">${quantity} × ${sku} came from another server and is in your cart.</p>`,
  )}
  ${cart.ordering.map(
    ({ order, items }) =>
      html`<p class="notice">
        An order is on its way (${items.map(({ sku, quantity }) => `${quantity} × ${sku}`).join(', ')}):
        <a href="/orders/${order}">see how it stands</a>.
      </p>`,
  )}`
}

function cartHtml(cart: CartView, message: Html | string | null): Html {
  const { items, total, currency } = cart
  const content =
    items.length === 0
      ? html`<p>Your cart is empty. <a href="/">Look around the bazaar</a>.</p>`
      : html`<table class="cart">
            <thead>
              <tr>
                <th scope="col" colspan="2">Product</th>
                <th scope="col">Price</th>
                <th scope="col">Quantity</th>
                <th scope="col" class="sum">Together</th>
                <td></td>
              </tr>
            </thead>
            <tbody>
              ${items.map((item) => itemRow(item, currency))}
            </tbody>
            <tfoot>
              <tr>
                <td colspan="4">Total</td>
                <td class="sum" id="total">${moneyText(total, currency)}</td>
                <td></td>
              </tr>
            </tfoot>
          </table>
          ${checkout(cart)}`
  return html`<section id="cart">
    <h1>Your cart</h1>
    ${notices(cart, message)} ${content}
  </section>`
}

async function cartPage(
  shop: Shop,
  context: Context,
  visitor: Visitor,
  message: Html | string | null = null,
): Promise<string> {
  const cart = await shop.replica.carts.view(visitor.shopper.claims.user)
  const frame = { ...(await frameOf(shop, context, visitor)), home: shop.replica.self.node }
  return await page(shop, { ...frame, title: 'Cart', body: cartHtml(cart, message) })
}

/** Says on the cart page why a change or an order did not go through; its status stays the problem's. */
async function refusedPage(shop: Shop, context: Context, visitor: Visitor, fault: Fault): Promise<Response> {
  const messages: { [code: string]: string } = {
    'price-changed':
      'A price has changed since you saw it. Nothing was ordered. Order again if the new price is fine.',
    'cart-changed': 'The cart has changed since you saw it. Please look again; nothing was ordered.',
    'not-for-sale': 'Something is not for sale any more. Remove it to order the rest.',
    'already-sold': 'These items are in another order of yours already.',
    'empty-cart': 'There was nothing to order.',
  }
  const message = messages[fault.code]
  if (message === undefined) throw fault
  const { order } = fault.data
  const words =
    fault.code === 'already-sold' && typeof order === 'string'
      ? html`${message} <a href="/orders/${order}">Look at that order</a>.`
      : message
  const status = context.req.header('hx-request') === 'true' ? 200 : 409
  return shop.answers.html(await cartPage(shop, context, visitor, words), status)
}

async function orFault(
  work: () => Promise<Response>,
  refused: (fault: Fault) => Promise<Response>,
): Promise<Response> {
  try {
    return await work()
  } catch (error) {
    if (isFault(error)) return await refused(error)
    throw error
  }
}

function changeForms(shop: Shop): void {
  pageRoute(
    shop,
    'post',
    '/cart/items',
    homeForm(shop, async (context, visitor) => {
      const { key, sku, quantity } = check(addForm, await readForm(context), 'form')
      return await orFault(
        async () => {
          await changeCart(shop, visitor, { kind: 'add', sku, quantity }, key)
          return seeOther(shop, '/cart')
        },
        async (fault) => await refusedPage(shop, context, visitor, fault),
      )
    }),
  )
  pageRoute(
    shop,
    'post',
    '/cart/change',
    homeForm(shop, async (context, visitor) => {
      const { sku, quantity, key: drawn } = check(setForm, await readForm(context), 'form')
      // The form is sent again for each number typed, so the number is part of the key.
      const key = createHash('sha256').update(`${drawn} ${quantity}`).digest('hex')
      return await orFault(
        async () => {
          const change =
            quantity === 0 ? ({ kind: 'remove', sku } as const) : ({ kind: 'set', sku, quantity } as const)
          await changeCart(shop, visitor, change, key)
          return seeOther(shop, '/cart')
        },
        async (fault) => await refusedPage(shop, context, visitor, fault),
      )
    }),
  )
}

function orderFormRoute(shop: Shop): void {
  pageRoute(
    shop,
    'post',
    '/cart/order',
    homeForm(shop, async (context, visitor) => {
      const { user } = visitor.shopper.claims
      const { key, hash, note, name, email, address } = check(orderForm, await readForm(context), 'form')
      const filled = Object.entries({ name, email, address }).filter(
        ([, value]) => (value ?? '').trim() !== '',
      )
      const body = check(
        orderBody,
        {
          hash,
          ...(filled.length === 0 ? {} : { contact: Object.fromEntries(filled) }),
          ...((note ?? '').trim() === '' ? {} : { note }),
        },
        'form',
      )
      return await orFault(
        async () => {
          const answer = await shop.replica.orders.place(user, orderRequestOf(key, body))
          const order = await acceptedOrder(shop, user, answer)
          return seeOther(shop, `/orders/${order.id}`)
        },
        async (fault) => await refusedPage(shop, context, visitor, fault),
      )
    }),
  )
}

export function cartPages(shop: Shop): void {
  pageRoute(
    shop,
    'get',
    '/cart',
    homePage(
      shop,
      async (context, visitor) => await cartPage(shop, context, visitor),
      async () => {
        const body = html`<h1>Your cart</h1>
          <p>Your cart is empty. <a href="/">Look around the bazaar</a>.</p>`
        return await page(shop, { title: 'Cart', body, who: null, home: null })
      },
    ),
  )
  changeForms(shop)
  orderFormRoute(shop)
}
