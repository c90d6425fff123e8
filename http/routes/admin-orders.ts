/** Administration of orders, and carts as the operator may look at them. */
import { z } from '@hono/zod-openapi'
import { Fault } from '../../node/faults.ts'
import type { UserId } from '../../node/ids.ts'
import { parseOrderId, parseUserId } from '../../node/ids.ts'
import { check, pathId, readJson, readQuery } from '../input.ts'
import { cartDocument, listOf, orderDocument } from '../documents.ts'
import { adminOrdersQuery, localQuery, orderStatusBody } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { define } from '../shop.ts'
import { cartDocumentOf, orderDocumentOf } from '../views.ts'
import { userIdSchema } from '../../node/commands.ts'

const idParams = z.object({ id: z.string() })

function userOf(raw: string | undefined): { user?: UserId } {
  return raw === undefined ? {} : { user: check(userIdSchema, raw, 'query: user') }
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
      answers: { 200: listOf(orderDocument) },
      problems: ['no-primary'],
    },
    async (context) => {
      shop.gate.admin(context)
      const { limit, cursor, status, user, local } = readQuery(context, adminOrdersQuery)
      const query = {
        limit,
        ...userOf(user),
        ...(cursor === undefined ? {} : { cursor }),
        ...(status === undefined ? {} : { status }),
      }
      const { orders } = shop.replica
      const { items, next } = local === true ? orders.listLocal(query) : await orders.list(query)
      return shop.answers.json({ items: items.map(orderDocumentOf), next })
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
      answers: { 200: orderDocument },
      problems: ['not-found', 'no-primary'],
    },
    async (context) => {
      shop.gate.admin(context)
      const id = pathId(context, 'id', parseOrderId, 'order')
      return shop.answers.json(orderDocumentOf(await shop.replica.orders.get(id)))
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
        const { status: before } = await shop.replica.orders.get(id)
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
  changeRoutes(shop)
  cartRoute(shop)
}
