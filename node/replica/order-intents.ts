/**
 * Intents: a cart frozen for ordering, what the shopper is shown of it until there is a decision, and what a decision
 * means for the cart (DESIGN.md section 7). No I/O of its own.
 */
import { hash as hashOnce } from 'node:crypto'
import type { CartDocument, CartLine, IntentLine, OrderIntent } from '../../crdt/cart.ts'
import { orderIntentSchema } from '../commands.ts'
import type { OrderIntent as ProposedIntent, OrderRecord } from '../commands.ts'
import { instantText } from '../core/apply/outcome.ts'
import { atShownPrices, cartHash, cartTotal, readShownCart } from '../core/carts.ts'
import { Fault, InvariantError } from '../faults.ts'
import type { OrderId, Tag, UserId } from '../ids.ts'
import type { Tables } from '../ports.ts'
import type { OrderRequest } from '../replica-api.ts'
import type { Decision } from './context.ts'

/** An intent that both the cart document and the log take. */
export type CheckedIntent = ProposedIntent & OrderIntent

/** What can be erased. */
type Personal = Pick<OrderRecord, 'contact' | 'note'>

/** 128 bits: keys of all shoppers never meet. */
const orderIdDigits = 32
/** Longest title that a cart document takes (crdt/). */
const titleLengthMax = 600
/** What shops call the only variant of a product; it says nothing to a shopper. */
const singleVariantTitle = 'Default Title'

function hashOf(parts: readonly unknown[]): string {
  return hashOnce('sha256', JSON.stringify(parts), 'hex')
}

/** One key of one user is one order, wherever and however often it is sent. */
export function orderIdOf(user: UserId, key: string): OrderId {
  return `o${hashOf(['order', user, key]).slice(0, orderIdDigits)}` as OrderId
}

/** Hash of what was asked: the same key with another one is `key-reused`. */
export function requestHash({ hash, contact, note }: OrderRequest): string {
  const { name, email, address } = contact ?? {}
  return hashOf(['order-request', hash, [name ?? null, email ?? null, address ?? null], note ?? null])
}

/** False for another request under the same key. An order cancelled before the log saw it knows no request. */
export function isSameRequest(bodyHash: string, request: OrderRequest): boolean {
  return bodyHash === '' || bodyHash === requestHash(request)
}

export function keyReused(): Fault {
  return new Fault('key-reused', 'this Idempotency-Key was used for another order')
}

/** What freezing needs of this node. */
export type FreezeInput = {
  readonly user: UserId
  readonly id: OrderId
  readonly request: OrderRequest
  readonly complete: boolean
  readonly catalog: Pick<Tables, 'sku' | 'currency' | 'catalog'>
  readonly currency: string
  readonly nowMs: number
}

export type Freezing =
  /** Can be frozen; `isRefusal`: the log is to refuse it, if it knows no better. */
  | { readonly kind: 'intent'; readonly intent: CheckedIntent; readonly isRefusal: boolean }
  /** Not all of the cart is known here: what differs may only be missing, so nothing can be decided. */
  | { readonly kind: 'incomplete' }

type Frozen = Pick<OrderIntent, 'cartHash' | 'lines' | 'tags' | 'dots' | 'verdict'>

/** The lines as they are called and priced now. */
function pricedNow(lines: readonly CartLine[], catalog: FreezeInput['catalog']): IntentLine[] {
  return lines.map(({ sku, quantity }) => {
    const info = catalog.sku(sku)
    const hasVariants = info !== null && info.variantTitle !== '' && info.variantTitle !== singleVariantTitle
    const title = hasVariants ? `${info.title} – ${info.variantTitle}` : (info?.title ?? sku)
    return {
      sku,
      quantity,
      unitPrice: info?.price ?? 0,
      title: title.slice(0, titleLengthMax).toWellFormed(),
    }
  })
}

/** The cart as it is now, at the prices that the shopper agreed to if nothing but prices differs from what was shown. */
function frozenNow(document: CartDocument, { request, catalog, currency }: FreezeInput): Frozen {
  const { lines, tags, dots } = document.checkout()
  const current = pricedNow(lines, catalog)
  const shown = readShownCart(request.hash)
  const atShown = atShownPrices(current, shown.prices)
  const isShown = atShown !== null && cartHash(atShown, currency) === shown.hash
  // The log decides about prices, and tells old and new ones.
  const priced = isShown ? atShown : current
  const seenHash = cartHash(priced, currency)
  if (priced.length > 0 && (request.hash === '*' || shown.hash === seenHash))
    return { cartHash: seenHash, lines: priced, tags, dots, verdict: 'agreed' }
  const verdict = priced.length === 0 ? 'empty-cart' : 'cart-changed'
  return { cartHash: seenHash, lines: priced, tags: [], dots: [], verdict }
}

/** The order that took the very cart that is asked for: sent to the log once more, it is refused with that order's name. */
function soldBefore(document: CartDocument, hash: string): OrderIntent | null {
  const intents = document.intents().filter((one) => one.cartHash === hash && one.verdict === 'agreed')
  return intents.findLast(({ id }) => document.outcomeOf(id)?.status === 'placed') ?? null
}

/** Faults: `too-large` for a cart that no order can hold. */
export function freeze(document: CartDocument, input: FreezeInput): Freezing {
  const { user, id, request, catalog, currency, nowMs } = input
  const now = frozenNow(document, input)
  const sold = now.verdict === 'agreed' ? null : soldBefore(document, readShownCart(request.hash).hash)
  if (now.verdict !== 'agreed' && sold === null && !input.complete) return { kind: 'incomplete' }
  const { cartHash: seenHash, lines, tags, dots, verdict } = sold ?? now
  if (verdict === 'agreed' && cartTotal(lines) === Number.MAX_SAFE_INTEGER)
    throw new Fault('too-large', 'the total of this cart is more than can be counted exactly')
  const intent = orderIntentSchema.safeParse({
    id,
    user,
    bodyHash: requestHash(request),
    cartHash: seenHash,
    currency,
    lines,
    tags,
    dots,
    ...(request.contact === undefined ? {} : { contact: request.contact }),
    ...(request.note === undefined ? {} : { note: request.note }),
    catalogVersion: catalog.catalog().version,
    verdict,
    createdAtMs: Math.floor(nowMs),
  })
  // What does not parse would stop every voter at its log entry; it must not get there.
  if (!intent.success) throw new Fault('too-large', 'this cart is too large for one order')
  return { kind: 'intent', intent: intent.data as CheckedIntent, isRefusal: now.verdict !== 'agreed' }
}

/** An intent found in a cart, checked before it may go to the log; null when no log entry may hold it. */
export function checkedIntent(intent: OrderIntent | ProposedIntent): CheckedIntent | null {
  const parsed = orderIntentSchema.safeParse(intent)
  return parsed.success ? (parsed.data as CheckedIntent) : null
}

/** The order as its shopper sees it while nothing is decided. */
export function pendingOrder(intent: CheckedIntent): OrderRecord {
  const createdAt = instantText(intent.createdAtMs)
  const lines = intent.lines.map(({ sku, title, quantity, unitPrice }) => ({
    sku,
    title: title ?? sku,
    quantity,
    unitPrice,
  }))
  const total = lines.reduce((sum, line) => sum + line.quantity * line.unitPrice, 0)
  return {
    id: intent.id,
    number: null,
    user: intent.user,
    status: 'pending',
    bodyHash: intent.bodyHash,
    currency: intent.currency,
    lines,
    total: Number.isSafeInteger(total) ? total : 0,
    catalogVersion: intent.catalogVersion,
    createdAt,
    history: [{ status: 'pending', at: createdAt, by: 'user' }],
    ...contactOf(intent),
  }
}

/** The log's answers leave out what can be erased; who asked knows it. */
export function withContact(order: OrderRecord, known: Personal): OrderRecord {
  return { ...contactOf(known), ...order }
}

function contactOf({ contact, note }: Personal): Pick<OrderRecord, 'contact' | 'note'> {
  return { ...(contact === undefined ? {} : { contact }), ...(note === undefined ? {} : { note }) }
}

/**
 * What the log's decision means for the carts. `tags`: the entries that the order took, which may be those of another
 * intent than the one that was sent; two homes may have frozen different ones under one key.
 */
export function decisionOf(order: OrderRecord, tags: readonly Tag[]): Decision {
  switch (order.status) {
    case 'placed':
    case 'shipped':
      return { status: 'placed', tags }
    case 'cancelled':
      // Only an order without a number was never placed; the entries of any other stay sold.
      return order.number === null ? { status: 'cancelled' } : { status: 'placed', tags }
    case 'refused':
      return { status: 'refused', reason: order.reason ?? 'cart-changed', soldTags: order.soldTags ?? {} }
    case 'pending':
      throw new InvariantError('the log answers only with what it decided')
    default: {
      const never: never = order.status
      throw new Error(`unknown status ${String(never)}`)
    }
  }
}
