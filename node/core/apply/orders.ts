/**
 * `order.place` and `order.status`: applying decides, once per order id, for ever (DESIGN.md section 7). A refusal is
 * a decision like any other. What is kept as a command's result leaves out contact and note, so that erasing them
 * from their rows erases them (DESIGN.md section 8).
 */
import type { CommandBody, OrderIntent, OrderRecord, RefusalReason } from '../../commands.ts'
import type { LogIndex, OrderId, Tag } from '../../ids.ts'
import type { Tables } from '../../ports.ts'
import { RunningDigest, orderText } from '../digest.ts'
import type { ApplyOutcome } from './outcome.ts'
import { done, instantText, refused } from './outcome.ts'

type StatusChange = Extract<CommandBody, { kind: 'order.status' }>
type PriceChange = NonNullable<OrderRecord['changes']>[number]
type Refusal = { readonly reason: RefusalReason } & Pick<OrderRecord, 'changes' | 'soldTo' | 'soldTags'>

/** Digits of a readable number; longer ones just grow. */
const orderNumberDigits = 6

/** The order without what can be erased. */
function withoutContact(order: OrderRecord): OrderRecord {
  const { contact: _contact, note: _note, ...core } = order
  return core
}

/** Value of `order.status`: the OrderRecord without contact and note. */
function answer(order: OrderRecord, decided: OrderRecord | null): ApplyOutcome {
  return done(withoutContact(order), { decided })
}

/** Value of `order.place`: the same with the tags that the order took, which may be another intent's than the sender's. */
function placing(order: OrderRecord, decided: OrderRecord | null, tags: readonly Tag[]): ApplyOutcome {
  return done({ ...withoutContact(order), tags }, { decided })
}

/** Entries that other orders took. An entry is sold once, whoever asks, however often. */
function alreadySold(tables: Tables, intent: OrderIntent): Refusal | null {
  const sold = new Map<string, OrderId>()
  for (const tag of intent.tags) {
    const order = tables.soldTo(intent.user, tag)
    if (order !== null) sold.set(tag, order)
  }
  const soldTo = sold.values().next().value
  if (soldTo === undefined) return null
  return { reason: 'already-sold', soldTo, soldTags: Object.fromEntries(sold) }
}

/** Lines whose SKU is not for sale now or has another price than the shopper saw. */
function priceChanges(tables: Tables, intent: OrderIntent): Refusal | null {
  const sameCurrency = tables.currency() === intent.currency
  const changes: PriceChange[] = []
  for (const line of intent.lines) {
    const sku = tables.sku(line.sku)
    const price = sku !== null && sku.status === 'active' ? sku.price : null
    if (price !== line.unitPrice || !sameCurrency)
      changes.push({ sku: line.sku, old: line.unitPrice, new: price })
  }
  if (changes.length === 0) return null
  const gone = changes.some((change) => change.new === null)
  return { reason: gone ? 'not-for-sale' : 'price-changed', changes }
}

function totalOf(intent: OrderIntent): number {
  return intent.lines.reduce((total, line) => total + line.quantity * line.unitPrice, 0)
}

/** Null: the order is placed. */
function refusalOf(tables: Tables, intent: OrderIntent): Refusal | null {
  if (intent.verdict !== 'agreed') return { reason: intent.verdict }
  if (intent.lines.length === 0 || intent.tags.length === 0) return { reason: 'empty-cart' }
  const refusal = alreadySold(tables, intent) ?? priceChanges(tables, intent)
  if (refusal !== null) return refusal
  // A sum that is not exact can't be what the shopper agreed to; home never freezes such a cart.
  return Number.isSafeInteger(totalOf(intent)) ? null : { reason: 'cart-changed' }
}

function countInDigest(tables: Tables, before: OrderRecord | null, after: OrderRecord): void {
  const own = tables.ordersDigest()
  const digest = new RunningDigest(own.digest)
  if (before !== null) digest.remove(orderText(before))
  digest.add(orderText(after))
  tables.setOrdersDigest({ count: own.count + (before === null ? 1 : 0), digest: digest.toDigest() })
}

function insert(tables: Tables, order: OrderRecord, index: LogIndex, tags: readonly Tag[]): ApplyOutcome {
  tables.insertOrder(order, index, tags)
  countInDigest(tables, null, order)
  return placing(order, order, tags)
}

/** Title of a line: the product, and the variant where there is a choice. */
function lineTitle(tables: Tables, line: OrderIntent['lines'][number]): string {
  const sku = tables.sku(line.sku)
  if (sku === null) return line.title ?? line.sku
  const plain =
    sku.variantTitle === '' || sku.variantTitle === 'Default Title' || sku.variantTitle === sku.title
  return plain ? sku.title : `${sku.title} – ${sku.variantTitle}`
}

function baseRecord(
  tables: Tables,
  intent: OrderIntent,
): Omit<OrderRecord, 'status' | 'number' | 'history' | 'total'> {
  return {
    id: intent.id,
    user: intent.user,
    bodyHash: intent.bodyHash,
    currency: intent.currency,
    lines: intent.lines.map((line) => ({
      sku: line.sku,
      title: lineTitle(tables, line),
      quantity: line.quantity,
      unitPrice: line.unitPrice,
    })),
    catalogVersion: tables.catalog().version,
    createdAt: instantText(intent.createdAtMs),
    ...erasablesOf(tables, intent),
  }
}

/** Contact and note, unless the account was erased while its order was on the way. */
function erasablesOf(
  tables: Tables,
  { user, contact, note }: OrderIntent,
): Pick<OrderRecord, 'contact' | 'note'> {
  if (tables.isErasedAccount(user)) return {}
  return { ...(contact === undefined ? {} : { contact }), ...(note === undefined ? {} : { note }) }
}

/** Places or refuses; an id that has a decision (also one cancelled before it was seen) gets that decision again. */
export function applyOrderPlace(
  tables: Tables,
  intent: OrderIntent,
  atMs: number,
  index: LogIndex,
): ApplyOutcome {
  const existing = tables.order(intent.id)
  if (existing !== null) return placing(existing, null, tables.orderTags(intent.id))
  const at = instantText(atMs)
  const refusal = refusalOf(tables, intent)
  const base = baseRecord(tables, intent)
  const pending = { status: 'pending', at: base.createdAt, by: 'user' } as const
  if (refusal !== null) {
    const total = totalOf(intent)
    const history: OrderRecord['history'] = [pending, { status: 'refused', at, by: 'system' }]
    const order: OrderRecord = {
      ...base,
      number: null,
      status: 'refused',
      total: Number.isSafeInteger(total) ? total : 0,
      ...refusal,
      history,
    }
    return insert(tables, order, index, [])
  }
  const order: OrderRecord = {
    ...base,
    number: `S-${String(tables.nextOrderNumber()).padStart(orderNumberDigits, '0')}`,
    status: 'placed',
    total: totalOf(intent),
    placedAt: at,
    history: [pending, { status: 'placed', at, by: 'system' }],
  }
  const tags = [...new Set(intent.tags)]
  for (const tag of tags) tables.insertSold(intent.user, tag, intent.id)
  return insert(tables, order, index, tags)
}

/** A shopper cancels before the log saw the order: recorded, so that a later `order.place` of the id finds it. */
function cancelUnseen(tables: Tables, change: StatusChange, atMs: number, index: LogIndex): ApplyOutcome {
  if (change.by !== 'user' || change.user === undefined || change.status !== 'cancelled')
    return refused('not-found', 'no such order')
  const at = instantText(atMs)
  const order: OrderRecord = {
    id: change.order,
    number: null,
    user: change.user,
    status: 'cancelled',
    bodyHash: '',
    currency: tables.currency() ?? 'USD',
    lines: [],
    total: 0,
    catalogVersion: tables.catalog().version,
    createdAt: at,
    history: [{ status: 'cancelled', at, by: 'user' }],
  }
  insert(tables, order, index, [])
  return answer(order, order)
}

/** placed → shipped (administrators) or cancelled; anything else is a conflict. Value as in `applyOrderPlace`. */
export function applyOrderStatus(
  tables: Tables,
  change: StatusChange,
  atMs: number,
  index: LogIndex,
): ApplyOutcome {
  const before = tables.order(change.order)
  if (before === null) return cancelUnseen(tables, change, atMs, index)
  if (change.by === 'user') {
    if (change.user !== before.user) return refused('not-found', 'no such order')
    if (change.status !== 'cancelled') return refused('forbidden', 'only an administrator ships orders')
    if (before.status === 'cancelled') return answer(before, null)
  }
  if (before.status !== 'placed')
    return refused('conflict', `an order that is ${before.status} can't become ${change.status}`, {
      status: before.status,
    })
  const entry = { status: change.status, at: instantText(atMs), by: change.by }
  const after: OrderRecord = { ...before, status: change.status, history: [...before.history, entry] }
  tables.updateOrder(after, index)
  countInDigest(tables, before, after)
  return answer(after, after)
}
