/** Somebody who sends nonsense, and somebody who tries to get at what is not his (P9, P10). */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../sim/random.ts'
import type { Client } from './client.ts'
import type { Request } from './http.ts'

const thinkMinMs = 300
const thinkMaxMs = 1_200
const timeoutMs = 4_000

type Try = { readonly what: string; readonly path: string; readonly request: Request }

/** A stranger's user id of the right form. */
const nobody = `a${'9'.repeat(32)}`
const product = { title: 'x', variants: [{ sku: 'LAMP-1', price: { amount: 1, currency: 'USD' } }] }

function intrusions(token: string, order: string): Try[] {
  const json = product
  return [
    {
      what: 'a change of the catalog without a token',
      path: '/api/admin/products/lamp-1',
      request: { method: 'PUT', json },
    },
    {
      what: 'a change of the catalog by a shopper',
      path: '/api/admin/products/lamp-1',
      request: { method: 'PUT', json, token },
    },
    {
      what: 'a delete with a wrong token',
      path: '/api/admin/products/lamp-1',
      request: { method: 'DELETE', token: 'x'.repeat(43) },
    },
    { what: 'the orders of all by a shopper', path: '/api/admin/orders', request: { token } },
    { what: 'the cart of another', path: `/api/admin/carts/${nobody}`, request: { token } },
    { what: 'an order of another', path: `/api/orders/${order}`, request: { token } },
    { what: 'a cart without a session', path: '/api/cart', request: {} },
    {
      what: 'a cart with a forged session',
      path: '/api/cart',
      request: { token: `${token.slice(0, -6)}AAAAAA` },
    },
    { what: 'a cart with a forged ticket', path: '/api/cart?souk_ticket=t1.e30.AAAA', request: {} },
    {
      what: 'a hand-over by a shopper',
      path: '/api/admin/cluster/primary',
      request: { method: 'POST', json: {}, token },
    },
    {
      what: 'the removal of a member by nobody',
      path: '/api/admin/cluster/members/n1',
      request: { method: 'DELETE' },
    },
  ]
}

function nonsense(token: string, adminToken: string): Try[] {
  const headers = { 'content-type': 'application/json' }
  const cart = { method: 'POST', token }
  return [
    {
      what: 'half a document',
      path: '/api/accounts',
      request: { method: 'POST', raw: '{"email":', headers },
    },
    {
      what: 'a quantity below zero',
      path: '/api/cart/items',
      request: { ...cart, json: { sku: 'LAMP-1', quantity: -1 } },
    },
    {
      what: 'a quantity that is no number',
      path: '/api/cart/items',
      request: { ...cart, json: { sku: 'LAMP-1', quantity: '9' } },
    },
    { what: 'an order without a key', path: '/api/orders', request: { ...cart, json: { hash: '*' } } },
    { what: 'a list of a million', path: '/api/products?limit=1000000', request: {} },
    { what: 'a cursor that nobody gave', path: '/api/products?cursor=%00%ff', request: {} },
    {
      what: 'an absurd catalog version',
      path: '/api/products',
      request: { headers: { 'souk-catalog-version': '9'.repeat(30) } },
    },
    {
      what: 'a product without a price',
      path: '/api/admin/products/junk',
      request: { method: 'PUT', token: adminToken, json: { title: 'junk', variants: [{ sku: 'J' }] } },
    },
    {
      what: 'a price of half a cent',
      path: '/api/admin/products/junk',
      request: {
        method: 'PUT',
        token: adminToken,
        json: { ...product, variants: [{ sku: 'J', price: { amount: 0.5, currency: 'USD' } }] },
      },
    },
    {
      what: 'a handle that is a path',
      path: '/api/admin/products/..%2f..%2fetc',
      request: { method: 'DELETE', token: adminToken },
    },
    {
      what: 'a CSV without handles',
      path: '/api/admin/import',
      request: {
        method: 'POST',
        token: adminToken,
        raw: 'a,b\n1,2\n',
        headers: { 'content-type': 'text/csv' },
      },
    },
  ]
}

export type IntruderOptions = {
  readonly client: Client
  readonly random: SeededRandom
  readonly adminToken: string
  readonly patience: number
  readonly isOver: () => boolean
  /** A session that is good, of somebody else's. */
  readonly token: () => string | null
}

export async function intrude({
  client,
  random,
  adminToken,
  patience,
  isOver,
  token,
}: IntruderOptions): Promise<void> {
  while (!isOver()) {
    await sleep(random.between(thinkMinMs, thinkMaxMs))
    const session = token()
    if (session === null) continue
    const isIntrusion = random.chance(0.5)
    const strangersOrder = `o${'0'.repeat(32)}`
    const tries = isIntrusion ? intrusions(session, strangersOrder) : nonsense(session, adminToken)
    const { what, path, request } = random.pick(tries)
    await client.operate({
      process: 'intruder',
      kind: isIntrusion ? 'intrusion' : 'malformed',
      path,
      request: { ...request, timeoutMs: timeoutMs * patience },
      asked: { what },
      reading: 'nothing',
      insists: false,
    })
  }
}
