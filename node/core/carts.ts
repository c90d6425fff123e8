/** Pure decisions about carts: the hash that a shopper agrees to, and what the catalog allows. */
import { createHash } from 'node:crypto'
import { Fault } from '../faults.ts'
import type { HomeRecord } from '../messages.ts'
import type { MemberId, Sku, UserId } from '../ids.ts'
import { dayMs, guestDay, isGuest } from '../ids.ts'
import type { SkuInfo } from '../ports.ts'

export type HashedLine = { readonly sku: string; readonly quantity: number; readonly unitPrice: number }

/**
 * Hash of what the shopper sees: SKUs, quantities, unit prices and currency (API.md, `POST /api/orders`). The order of
 * the lines does not matter. 64 lower-case hex digits.
 */
export function cartHash(lines: readonly HashedLine[], currency: string): string {
  const sorted = lines
    .map(({ sku, quantity, unitPrice }) => [sku, quantity, unitPrice] as const)
    .sort((one, other) => (one[0] < other[0] ? -1 : one[0] > other[0] ? 1 : 0))
  return createHash('sha256')
    .update(JSON.stringify(['cart', currency, sorted]))
    .digest('hex')
}

/** What an edit asks of one SKU; `before` is the quantity that the cart had of it. */
export type CatalogQuestion = { readonly sku: Sku; readonly raises: boolean; readonly info: SkuInfo | null }

/** Fault `not-found` for an unknown SKU, `not-for-sale` for one that is not active; only for edits that add. */
export function checkForSale({ sku, raises, info }: CatalogQuestion): void {
  if (!raises) return
  if (info === null) throw new Fault('not-found', `no variant has the SKU ${sku}`)
  if (info.status === 'active') return
  throw new Fault('not-for-sale', `${info.title} is not for sale`, {
    changes: [{ sku, old: info.price, new: null }],
  })
}

/** A guest id holds its creation day; older ones than `guestCartDays` are refused everywhere (DESIGN.md section 6). */
export function isExpiredGuest(user: UserId, wallMs: number, guestCartDays: number): boolean {
  return isGuest(user) && Math.floor(wallMs / dayMs) - guestDay(user) > guestCartDays
}

/**
 * Why a node looks after a cart that it holds, if it does.
 * - `home`, `keeper`: brings it to the whole set, through the primary.
 * - `foreign`: is not in the set (it was primary, or left the set): hands it over, then forgets it.
 * - `bystander`: somebody else looks after it; only makes sure that home has what it has.
 */
export type CartRole = 'home' | 'keeper' | 'foreign' | 'bystander'

export function cartRole(input: {
  readonly self: MemberId
  readonly set: readonly MemberId[]
  readonly record: HomeRecord | null
  readonly keeper: MemberId | null
}): CartRole {
  const { self, set, record, keeper } = input
  if (!set.includes(self)) return 'foreign'
  if (record?.home === self) return 'home'
  return keeper === self ? 'keeper' : 'bystander'
}

/** Members of the set, without this one, that are not known to have this content. */
export function missingAt(
  self: MemberId,
  set: readonly MemberId[],
  delivered: { readonly [member: string]: string },
  hash: string,
): MemberId[] {
  return set.filter((member) => member !== self && delivered[member] !== hash)
}

/** Disks of the set that have this content, this one included if it is in the set. */
export function disksWith(
  self: MemberId,
  set: readonly MemberId[],
  delivered: { readonly [member: string]: string },
  hash: string,
): number {
  return set.length - missingAt(self, set, delivered, hash).length
}
