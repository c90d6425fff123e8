/** From the replica's records to the documents of API.md: money gets its currency, internals stay inside. */
import { z } from 'zod'
import type { Money, OrderRecord } from '../node/commands.ts'
import type { Assignment, CartView, OrderFound, OrderPage, UserInfo } from '../node/replica-api.ts'

function money(amount: number, currency: string): Money {
  return { amount, currency }
}

export function cartDocumentOf(cart: CartView): object {
  const { user, items, total, currency, hash, complete, ordering, merged, home, catalogVersion } = cart
  return {
    user,
    items: items.map((item) => ({
      sku: item.sku,
      handle: item.handle,
      title: item.title,
      image: item.image,
      quantity: item.quantity,
      unitPrice: money(item.unitPrice, currency),
      lineTotal: money(item.lineTotal, currency),
      forSale: item.forSale,
      ...(item.previousPrice === undefined ? {} : { previousPrice: money(item.previousPrice, currency) }),
    })),
    total: money(total, currency),
    hash,
    complete,
    ordering,
    merged,
    home,
    catalogVersion,
  }
}

/** What an answer carries that no majority of the voters could confirm: something newer may have been decided. */
export function staleHeaders({ stale }: { readonly stale: boolean }): { [name: string]: string } {
  return stale ? { 'Souk-Stale': 'true' } : {}
}

/** An order as it was read; marked when it may be out of date. */
export function orderFoundDocumentOf({ order, stale }: OrderFound): object {
  return { ...orderDocumentOf(order), ...(stale ? { stale } : {}) }
}

export function orderPageDocumentOf({ items, next, stale }: OrderPage): object {
  return { items: items.map(orderDocumentOf), next, ...(stale ? { stale } : {}) }
}

export function orderDocumentOf(order: OrderRecord): object {
  const { currency } = order
  return {
    id: order.id,
    number: order.number,
    user: order.user,
    status: order.status,
    ...(order.reason === undefined ? {} : { reason: order.reason }),
    ...(order.contact === undefined ? {} : { contact: order.contact }),
    ...(order.note === undefined ? {} : { note: order.note }),
    lines: order.lines.map((line) => ({
      sku: line.sku,
      title: line.title,
      quantity: line.quantity,
      unitPrice: money(line.unitPrice, currency),
      lineTotal: money(line.unitPrice * line.quantity, currency),
    })),
    total: money(order.total, currency),
    catalogVersion: order.catalogVersion,
    createdAt: order.createdAt,
    ...(order.placedAt === undefined ? {} : { placedAt: order.placedAt }),
    history: order.history,
  }
}

/** `changes` of a refused order (API.md, "Errors"). */
export function changesOf(order: OrderRecord): object[] {
  return (order.changes ?? []).map((change) => ({
    sku: change.sku,
    old: money(change.old, order.currency),
    new: change.new === null ? null : money(change.new, order.currency),
  }))
}

const refusedChanges = z.array(
  z.object({ sku: z.string(), old: z.number().nullable(), new: z.number().nullable() }),
)

/** `changes` of a cart change that was refused: amounts get their currency here too. */
export function changesOfRefusal(raw: unknown, sku: string, currency: string): object[] {
  const parsed = refusedChanges.safeParse(raw)
  const changes = parsed.success ? parsed.data : [{ sku, old: null, new: null }]
  const moneyOf = (amount: number | null): Money | null => (amount === null ? null : money(amount, currency))
  return changes.map((change) => ({ sku: change.sku, old: moneyOf(change.old), new: moneyOf(change.new) }))
}

export function sessionDocumentOf(token: string, user: UserInfo, assignment: Assignment): object {
  const { home, epoch, serverSet } = assignment
  return { token, user, home, epoch, serverSet }
}
