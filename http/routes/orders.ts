/** Orders of a shopper. Placing is at the home; reading and cancelling at any node. */
import { z } from '@hono/zod-openapi'
import type { OrderRecord } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import { parseOrderId } from '../../node/ids.ts'
import type { UserId } from '../../node/ids.ts'
import type { OrderAnswer, OrderFound } from '../../node/replica-api.ts'
import { orderDocument, orderFoundDocument, orderList, staleHeader } from '../documents.ts'
import { atHome } from '../home.ts'
import { idempotencyKey, invalidRequest, pathId, readJson, readOptionalJson, readQuery } from '../input.ts'
import { orderBody, ordersQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { define } from '../shop.ts'
import {
  cartDocumentOf,
  changesOf,
  orderDocumentOf,
  orderFoundDocumentOf,
  orderPageDocumentOf,
  staleHeaders,
} from '../views.ts'

export type NewOrder = z.output<typeof orderBody>
const idParams = z.object({ id: z.string() })

/** A refusal as the fault that answers it: by its reason, with what the shopper must be shown. */
export async function refusalOf(shop: Shop, user: UserId, answer: OrderAnswer): Promise<Fault> {
  const { order } = answer
  switch (order.reason) {
    case 'price-changed':
      return new Fault('price-changed', 'prices are not those agreed to', { changes: changesOf(order) })
    case 'not-for-sale':
      return new Fault('not-for-sale', 'not everything is for sale', { changes: changesOf(order) })
    case 'cart-changed': {
      const cart = answer.cart ?? (await shop.replica.carts.view(user))
      return new Fault('cart-changed', 'the cart is not the one agreed to', { cart: cartDocumentOf(cart) })
    }
    case 'already-sold': {
      const taker = order.soldTo ?? Object.values(order.soldTags ?? {})[0] ?? null
      return new Fault('already-sold', 'entries of the cart were taken by another order', { order: taker })
    }
    case 'empty-cart':
      return new Fault('empty-cart', 'there was nothing to order')
    case undefined:
      return new Fault('conflict', 'the order was cancelled before it was placed', {
        order: orderDocumentOf(order),
      })
    default: {
      const never: never = order.reason
      throw new Error(`unknown reason ${String(never)}`)
    }
  }
}

/** The order, when it was placed (also when it was shipped or cancelled since); a refusal becomes its fault. */
export async function acceptedOrder(shop: Shop, user: UserId, answer: OrderAnswer): Promise<OrderRecord> {
  const { order } = answer
  const refused = order.status === 'refused' || (order.status === 'cancelled' && order.number === null)
  if (refused) throw await refusalOf(shop, user, answer)
  return order
}

/** Fault `not-found` when the order is not this user's: who guesses ids learns nothing. */
export async function orderOf(shop: Shop, user: UserId | null, id: OrderRecord['id']): Promise<OrderFound> {
  const found = await shop.replica.orders.get(id, user ?? undefined)
  if (user !== null && found.order.user !== user) throw new Fault('not-found', 'there is no such order')
  return found
}

function placeRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'post',
      path: '/api/orders',
      summary: 'Orders the cart, once for each Idempotency-Key',
      tag: 'orders',
      auth: 'shopper',
      headers: z.object({ 'Idempotency-Key': z.string().min(1).max(200) }),
      body: { media: { 'application/json': orderBody }, required: true },
      answers: { 201: orderDocument, 202: orderDocument },
      problems: [
        'not-home',
        'no-home',
        'no-primary',
        'price-changed',
        'not-for-sale',
        'cart-changed',
        'already-sold',
        'empty-cart',
        'conflict',
        'key-reused',
        'overloaded',
        'disk-full',
      ],
    },
    atHome(shop, async (context, visitor) => {
      const { user } = visitor.shopper.claims
      const key = idempotencyKey(context)
      if (key === undefined)
        throw invalidRequest('an order needs an Idempotency-Key', [
          { path: 'Idempotency-Key', message: 'missing' },
        ])
      const body = await readJson(context, orderBody)
      const answer = await shop.replica.orders.place(user, orderRequestOf(key, body))
      const order = await acceptedOrder(shop, user, answer)
      const status = order.status === 'pending' ? 202 : 201
      return shop.answers.json(orderDocumentOf(order), status, { Location: `/api/orders/${order.id}` })
    }),
  )
}

export function orderRequestOf(
  key: string,
  { hash, contact, note }: NewOrder,
): Parameters<Shop['replica']['orders']['place']>[1] {
  return {
    key,
    hash,
    ...(contact === undefined
      ? {}
      : { contact: Object.fromEntries(Object.entries(contact).filter(([, value]) => value !== undefined)) }),
    ...(note === undefined ? {} : { note }),
  }
}

function readRoutes(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/orders',
      summary: 'Orders of the user, newest first',
      tag: 'orders',
      auth: 'shopper',
      query: ordersQuery,
      answers: { 200: orderList },
      headersOut: staleHeader,
      problems: ['no-primary', 'no-home'],
    },
    async (context) => {
      const { user } = shop.gate.shopper(context).claims
      const { limit, cursor, status } = readQuery(context, ordersQuery)
      const query = {
        user,
        limit,
        ...(cursor === undefined ? {} : { cursor }),
        ...(status === undefined ? {} : { status }),
      }
      const page = await shop.replica.orders.list(query)
      return shop.answers.json(orderPageDocumentOf(page), 200, staleHeaders(page))
    },
  )
  define(
    shop,
    {
      method: 'get',
      path: '/api/orders/{id}',
      summary: 'One order of the user; any for the administrator',
      tag: 'orders',
      auth: 'either',
      params: idParams,
      answers: { 200: orderFoundDocument },
      headersOut: staleHeader,
      problems: ['not-found', 'no-primary', 'no-home'],
    },
    async (context) => {
      const given = shop.gate.credentials(context)
      const user = given.kind === 'admin' ? null : shop.gate.shopper(context).claims.user
      const id = pathId(context, 'id', parseOrderId, 'order')
      const found = await orderOf(shop, user, id)
      return shop.answers.json(orderFoundDocumentOf(found), 200, staleHeaders(found))
    },
  )
}

function cancelRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'post',
      path: '/api/orders/{id}/cancel',
      summary: 'Cancels an order that is not shipped',
      tag: 'orders',
      auth: 'shopper',
      params: idParams,
      answers: { 200: orderDocument },
      problems: ['not-found', 'conflict', 'no-primary', 'outcome-unknown'],
    },
    async (context) => {
      const { user } = shop.gate.shopper(context).claims
      const id = pathId(context, 'id', parseOrderId, 'order')
      await readOptionalJson(context, z.unknown())
      return shop.answers.json(orderDocumentOf(await shop.replica.orders.cancel(user, id)))
    },
  )
}

export function orderRoutes(shop: Shop): void {
  placeRoute(shop)
  readRoutes(shop)
  cancelRoute(shop)
}
