/** From the documents of API.md to what a checker needs of them. */
import type { Answered, CartSeen, Line, OrderSeen, ProductSeen } from '../history.ts'
import type { Answer } from './http.ts'

type Money = { amount: number }
type LineDocument = { sku: string; quantity: number; unitPrice: Money }
export type CartDocument = {
  user: string
  items: LineDocument[]
  hash: string
  complete: boolean
  home: { node: string }
}
export type OrderDocument = {
  id: string
  number: string | null
  user: string
  status: string
  reason?: string
  lines: LineDocument[]
  total: Money
  stale?: boolean
}
type ProductDocument = { handle: string; catalogVersion: number; variants: { price: Money }[] }
export type SessionDocument = {
  token: string
  user: { id: string; kind: string }
  home: { node: string }
  serverSet: { node: string }[]
}

function linesOf(items: readonly LineDocument[]): Line[] {
  return items.map(({ sku, quantity, unitPrice }) => ({ sku, quantity, unitPrice: unitPrice.amount }))
}

export function cartSeen({ user, items, hash, complete, home }: CartDocument): CartSeen {
  return { user, home: home.node, complete, hash, items: linesOf(items) }
}

export function orderSeen({ id, number, user, status, reason, lines, total }: OrderDocument): OrderSeen {
  return { id, number, user, status, reason: reason ?? null, lines: linesOf(lines), total: total.amount }
}

export function productSeen({ handle, catalogVersion, variants }: ProductDocument): ProductSeen {
  return { handle, version: catalogVersion, amount: variants[0]?.price.amount ?? 0 }
}

/** How an answer of success is read. */
export type Reading = 'cart' | 'order' | 'orders' | 'product' | 'products' | 'session' | 'nothing'

function contents(json: unknown, reading: Reading): Answered {
  if (json === null) return {}
  switch (reading) {
    case 'cart':
      return { cart: cartSeen(json as CartDocument) }
    case 'order': {
      const order = json as OrderDocument
      return { order: orderSeen(order), ...(order.stale === true ? { stale: true } : {}) }
    }
    case 'orders': {
      const { items, stale } = json as { items: OrderDocument[]; stale?: boolean }
      return { orders: items.map(orderSeen), ...(stale === true ? { stale } : {}) }
    }
    case 'product':
      return { products: [productSeen(json as ProductDocument)] }
    case 'products':
      return { products: (json as { items: ProductDocument[] }).items.map(productSeen) }
    case 'session': {
      const { user, serverSet } = json as SessionDocument
      return { user: user.id, serverSet: serverSet.map(({ node }) => node) }
    }
    case 'nothing':
      return {}
    default: {
      const never: never = reading
      return never
    }
  }
}

/** What every answer says, and what this one shows. */
export function answeredOf({ status, headers, json, detail }: Answer, reading: Reading): Answered {
  if (status === null) return detail === null ? {} : { detail }
  const version = Number(headers['souk-catalog-version'] ?? Number.NaN)
  const acks = Number(String(headers['souk-cart-acks'] ?? '').split('/')[0])
  return {
    ...(Number.isFinite(version) ? { version } : {}),
    ...(acks > 0 ? { acks } : {}),
    ...(status < 300 ? contents(json, reading) : detail === null ? {} : { detail }),
  }
}
