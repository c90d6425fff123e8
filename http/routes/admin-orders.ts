/** Administration of orders, and carts as the operator may look at them. */
import { z } from '@hono/zod-openapi'
import { userIdSchema, withoutAbsent } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import { parseOrderId, parseUserId } from '../../node/ids.ts'
import type { OrderFilter } from '../../node/replica-api.ts'
import { check, pathId, readJson, readQuery } from '../input.ts'
import { cartDocument, orderDocument, orderFoundDocument, orderList, staleHeader } from '../documents.ts'
import { exportOrders } from '../order-export.ts'
import {
  adminOrdersQuery,
  localQuery,
  orderExportQuery,
  orderFilterQuery,
  orderStatusBody,
} from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { define } from '../shop.ts'
import {
  cartDocumentOf,
  orderDocumentOf,
  orderFoundDocumentOf,
  orderPageDocumentOf,
  staleHeaders,
} from '../views.ts'

const idParams = z.object({ id: z.string() })

/** The filters as the replica takes them. */
export function orderFilterOf(query: z.output<typeof orderFilterQuery>): OrderFilter {
  const { user, status, number, q, from, to } = query
  const checked = user === undefined ? undefined : check(userIdSchema, user, 'query: user')
  return withoutAbsent({ user: checked, status, number, q, from, to })
}

function listRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/orders',
      summary: 'Orders of all users; local=true: the rows of this node',
      tag: 'administration',
      auth: 'administrator',
      query: adminOrdersQuery,
      answers: { 200: orderList },
      headersOut: staleHeader,
      problems: ['no-primary'],
    },
    async (context) => {
      shop.gate.admin(context)
      const { limit, cursor, local, ...filters } = readQuery(context, adminOrdersQuery)
      const query = { ...orderFilterOf(filters), ...withoutAbsent({ limit, cursor }) }
      const { orders } = shop.replica
      // Who asks for this node's rows knows what they are.
      const page = local === true ? { ...orders.listLocal(query), stale: false } : await orders.list(query)
      return shop.answers.json(orderPageDocumentOf(page), 200, staleHeaders(page))
    },
  )
}

function exportRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/orders/export',
      summary: 'Orders as CSV (a row for each line) or JSON Lines, streamed, newest first',
      tag: 'administration',
      auth: 'administrator',
      query: orderExportQuery,
      answers: { 200: { 'text/csv': z.string(), 'application/jsonl': z.string() } },
      headersOut: staleHeader,
      problems: ['no-primary'],
    },
    async (context) => {
      shop.gate.admin(context)
      const { format, ...filters } = readQuery(context, orderExportQuery)
      return await exportOrders(shop, context, format, orderFilterOf(filters))
    },
  )
}

function changeRoutes(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/orders/{id}',
      summary: 'One order',
      tag: 'administration',
      auth: 'administrator',
      params: idParams,
      answers: { 200: orderFoundDocument },
      headersOut: staleHeader,
      problems: ['not-found', 'no-primary'],
    },
    async (context) => {
      shop.gate.admin(context)
      const id = pathId(context, 'id', parseOrderId, 'order')
      const found = await shop.replica.orders.get(id)
      return shop.answers.json(orderFoundDocumentOf(found), 200, staleHeaders(found))
    },
  )
  define(
    shop,
    {
      method: 'patch',
      path: '/api/admin/orders/{id}',
      summary: 'A placed order becomes shipped or cancelled',
      tag: 'administration',
      auth: 'administrator',
      params: idParams,
      body: { media: { 'application/json': orderStatusBody }, required: true },
      answers: { 200: orderDocument },
      problems: ['not-found', 'conflict', 'no-primary', 'outcome-unknown'],
    },
    async (context) => {
      shop.gate.admin(context)
      const id = pathId(context, 'id', parseOrderId, 'order')
      const { status } = await readJson(context, orderStatusBody)
      if (status !== 'shipped' && status !== 'cancelled') {
        const { order } = await shop.replica.orders.get(id)
        const { status: before } = order
        throw new Fault('conflict', `an order that is ${before} can't become ${status}`, { status: before })
      }
      return shop.answers.json(orderDocumentOf(await shop.replica.orders.setStatus(id, status)))
    },
  )
}

function cartRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/carts/{user}',
      summary: 'A cart as its home has it; local=true: as this node has it',
      tag: 'administration',
      auth: 'administrator',
      params: z.object({ user: z.string() }),
      query: localQuery,
      answers: { 200: cartDocument },
      problems: ['not-found', 'no-home'],
    },
    async (context) => {
      shop.gate.admin(context)
      const user = pathId(context, 'user', parseUserId, 'user')
      const { local } = readQuery(context, localQuery)
      const { carts } = shop.replica
      const cart = local === true ? carts.localView(user) : await carts.homeView(user)
      if (cart === null) throw new Fault('not-found', 'this node holds no cart of the user')
      return shop.answers.json(cartDocumentOf(cart))
    },
  )
}

export function adminOrderRoutes(shop: Shop): void {
  listRoute(shop)
  // Before the route of one order, whose ids never look like it.
  exportRoute(shop)
  changeRoutes(shop)
  cartRoute(shop)
}
