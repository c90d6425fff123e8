/** The cart, at the user's home. */
import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { Fault, isFault } from '../../node/faults.ts'
import type { Sku } from '../../node/ids.ts'
import { parseSku } from '../../node/ids.ts'
import type { CartChange, CartChangeResult } from '../../node/replica-api.ts'
import { cartDocument } from '../documents.ts'
import type { Visitor } from '../home.ts'
import { atHome } from '../home.ts'
import { idempotencyKey, readBytes, readJson } from '../input.ts'
import { jsonSizeBytesMax } from '../limits.ts'
import { addItemBody, setItemBody } from '../schemas.ts'
import type { Endpoint, Shop } from '../shop.ts'
import { define } from '../shop.ts'
import { cartDocumentOf, changesOfRefusal } from '../views.ts'

const problems = ['not-home', 'no-home', 'key-reused', 'overloaded', 'disk-full'] as const
const keyHeader = z.object({ 'Idempotency-Key': z.string().min(1).max(200).optional() })
const skuParams = z.object({ sku: z.string() })

/** Runs the change at the home; `not-for-sale` gets the `changes` that API.md promises. */
export async function changeCart(
  shop: Shop,
  visitor: Visitor,
  change: CartChange,
  key: string | undefined,
): Promise<CartChangeResult> {
  try {
    return await shop.replica.carts.change(visitor.shopper.claims.user, change, key)
  } catch (error) {
    if (!isFault(error) || error.code !== 'not-for-sale' || !('sku' in change)) throw error
    const changes = changesOfRefusal(error.data['changes'], change.sku, shop.replica.catalog.currency())
    throw new Fault(error.code, error.message, { ...error.data, changes }, { cause: error })
  }
}

async function changed(
  shop: Shop,
  context: Context,
  visitor: Visitor,
  change: CartChange,
): Promise<Response> {
  const result = await changeCart(shop, visitor, change, idempotencyKey(context))
  const acks = { 'Souk-Cart-Acks': `${result.acks}/${result.wanted}` }
  return shop.answers.json(cartDocumentOf(result.cart), 200, acks)
}

function skuOf(context: Context): Sku {
  return parseSku(context.req.param('sku'))
}

/** A body where none is expected is read away (bounded) and ignored. */
async function withoutBody(context: Context): Promise<void> {
  await readBytes(context, jsonSizeBytesMax)
}

function readRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/cart',
      summary: 'The cart',
      tag: 'cart',
      auth: 'shopper',
      answers: { 200: cartDocument },
      problems: ['not-home', 'no-home'],
    },
    atHome(shop, async (_context, visitor) => {
      const cart = await shop.replica.carts.view(visitor.shopper.claims.user)
      return shop.answers.json(cartDocumentOf(cart))
    }),
  )
}

function endpointOf(method: Endpoint['method'], path: string, summary: string): Endpoint {
  return {
    method,
    path,
    summary,
    tag: 'cart',
    auth: 'shopper',
    headers: keyHeader,
    answers: { 200: cartDocument },
    problems,
  }
}

function changeRoutes(shop: Shop): void {
  define(
    shop,
    {
      ...endpointOf('post', '/api/cart/items', 'Adds to the cart'),
      body: { media: { 'application/json': addItemBody }, required: true },
      problems: [...problems, 'not-found', 'not-for-sale'],
    },
    atHome(shop, async (context, visitor) => {
      const { sku, quantity } = await readJson(context, addItemBody)
      return await changed(shop, context, visitor, { kind: 'add', sku, quantity })
    }),
  )
  define(
    shop,
    {
      ...endpointOf('put', '/api/cart/items/{sku}', 'Sets the quantity of one SKU; 0 removes it'),
      params: skuParams,
      body: { media: { 'application/json': setItemBody }, required: true },
      problems: [...problems, 'not-found', 'not-for-sale'],
    },
    atHome(shop, async (context, visitor) => {
      const sku = skuOf(context)
      const { quantity } = await readJson(context, setItemBody)
      const change: CartChange = quantity === 0 ? { kind: 'remove', sku } : { kind: 'set', sku, quantity }
      return await changed(shop, context, visitor, change)
    }),
  )
  define(
    shop,
    {
      ...endpointOf('delete', '/api/cart/items/{sku}', 'Removes a SKU, also when it is not there'),
      params: skuParams,
    },
    atHome(shop, async (context, visitor) => {
      await withoutBody(context)
      return await changed(shop, context, visitor, { kind: 'remove', sku: skuOf(context) })
    }),
  )
  define(
    shop,
    endpointOf('delete', '/api/cart', 'Empties the cart'),
    atHome(shop, async (context, visitor) => {
      await withoutBody(context)
      return await changed(shop, context, visitor, { kind: 'clear' })
    }),
  )
}

export function cartRoutes(shop: Shop): void {
  readRoute(shop)
  changeRoutes(shop)
}
