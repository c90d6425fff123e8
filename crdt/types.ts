/** The public types of the cart document, and the bounds that keep it from being used as a weapon. */
import type { OrderId, Sku, Tag, UserId } from '../node/ids.ts'

/** What a shopper does to a cart. `set` with quantity 0 removes. Quantities are integers up to `quantityMax`. */
export type CartEdit =
  | { readonly kind: 'add'; readonly sku: Sku; readonly quantity: number }
  | { readonly kind: 'set'; readonly sku: Sku; readonly quantity: number }
  | { readonly kind: 'remove'; readonly sku: Sku }
  | { readonly kind: 'clear' }

/** hash(user, key) and hash(operation, SKU, quantity), both made by `requestKey`. */
export type RequestKey = { readonly keyHash: string; readonly operationHash: string }

export type CartLine = { readonly sku: Sku; readonly quantity: number }

/** `unitPrice` is in minor units of the intent's currency. */
export type IntentLine = {
  readonly sku: Sku
  readonly quantity: number
  readonly unitPrice: number
  readonly title?: string
}

export type IntentContact = { readonly name?: string; readonly email?: string; readonly address?: string }

/** A cart frozen for ordering (DESIGN.md section 7). Tags and dots are those that `checkout()` returned. */
export type OrderIntent = {
  readonly id: OrderId
  readonly user: UserId
  readonly bodyHash: string
  /** Hash of the cart that the shopper agreed to. */
  readonly cartHash: string
  readonly currency: string
  readonly lines: readonly IntentLine[]
  readonly tags: readonly Tag[]
  readonly dots: readonly string[]
  readonly contact?: IntentContact
  readonly note?: string
  readonly catalogVersion: number
  /** What home saw. Any other than `agreed` will be refused by the log, and holds nothing meanwhile. */
  readonly verdict: 'agreed' | 'cart-changed' | 'empty-cart'
  readonly createdAtMs: number
}

/**
 * What the log decided. `tags` are those of the *order*, never an intent's: two homes may have frozen
 * different intents for one order id, and only the first applied one was sold (DESIGN.md section 7).
 * An order that was placed and cancelled later stays `placed` here, because its entries stay sold.
 */
export type OrderOutcome =
  | { readonly status: 'placed'; readonly tags: readonly Tag[] }
  | {
      readonly status: 'refused'
      readonly reason: string
      readonly soldTags?: Readonly<Record<Tag, OrderId>>
    }
  | { readonly status: 'cancelled' }

/** `lines` are sorted by SKU and leave out what is being ordered. */
export type CartContents = {
  readonly lines: readonly CartLine[]
  readonly ordering: readonly { readonly order: OrderId; readonly lines: readonly CartLine[] }[]
}

/** Everything that is visible now; tags and dots include shadowed sets and duplicates (CART.md, "Checkout"). */
export type Checkout = {
  readonly lines: readonly CartLine[]
  readonly tags: readonly Tag[]
  readonly dots: readonly string[]
}

/**
 * `changed`: this document differs from before, so it must be persisted (and, when `lineageChanged`,
 * as a whole: deltas made before no longer apply). `additions`: what the update's own entries put into
 * view, per SKU. `need-full`: a delta of another lineage or with a gap; ask the sender for its full state.
 */
export type MergeResult =
  | {
      readonly kind: 'merged'
      readonly changed: boolean
      readonly lineageChanged: boolean
      readonly additions: readonly CartLine[]
    }
  | { readonly kind: 'need-full' }

/** Largest encoded cart taken from disk or a peer: 1,000 entries with the longest SKUs and an intent of them fit. */
export const cartDocumentSizeBytesMax = 1_048_576
/** Adding stops here, so that the union of several replicas of a cart still fits the bound above. */
export const cartEditSizeBytesMax = 262_144
/** Live entries at which adding stops; a page of a thousand additions is no longer a shopper's cart. */
export const cartEntriesMax = 1_000
/** Largest quantity of one edit (API.md). */
export const quantityMax = 999
/** Below this size a rebase gains nothing worth a new lineage (CART.md). */
export const rebaseSizeBytesMin = 8_192
/** Growth since the last rebase that makes another one worthwhile (CART.md). */
export const rebaseGrowthFactor = 3
/** Full hours for which a dead request key is remembered across rebases: the retry window of API.md. */
export const requestKeyHours = 24
/** Documents that a base names as folded; a replica that missed more rebases than this merges fact by fact. */
export const foldedDocumentsMax = 24
/**
 * Dead request keys remembered across a rebase, so that a busy script can't fill the document. The last 200 are
 * promised; those that die between two rebases (about 50) are folded at once, in no order among themselves.
 */
export const requestKeysKeptMax = 320
