/** Pure decisions about carts: the hash that a shopper agrees to, and what the catalog allows. */
import { hash as hashOnce } from 'node:crypto'
import { orderLinesMax, priceAmountMax } from '../commands.ts'
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
  const sorted = inOrder(lines).map(({ sku, quantity, unitPrice }) => [sku, quantity, unitPrice])
  return hashOnce('sha256', JSON.stringify(['cart', currency, sorted]), 'hex')
}

function inOrder<Line extends HashedLine>(lines: readonly Line[]): Line[] {
  return lines.toSorted((one, other) => (one.sku < other.sku ? -1 : one.sku > other.sku ? 1 : 0))
}

/**
 * The text that names a cart to its shopper: its hash and the unit prices that it was shown at, in the order of SKUs.
 * A hash alone does not say at which prices a shopper agreed; with them every node can tell a price that moved from a
 * cart that is another one, also after a takeover or a restart. Nobody has to trust it: the prices only count when they
 * give the hash, and the log compares them with the catalog.
 */
export function shownCart(lines: readonly HashedLine[], currency: string): string {
  const hash = cartHash(lines, currency)
  if (lines.length === 0 || lines.length > orderLinesMax) return hash
  const bytes = inOrder(lines).flatMap(({ unitPrice }) => varint(unitPrice))
  return `${hash}.${Buffer.from(bytes).toString('base64url')}`
}

/** `prices`: those that the shopper saw, in the order of SKUs; null when the text is another or says nothing of them. */
export function readShownCart(shown: string): { hash: string; prices: readonly number[] | null } {
  const [hash = '', encoded = ''] = shown.split('.', 2)
  if (encoded === '') return { hash, prices: null }
  const prices: number[] = []
  let value = 0
  let weight = 1
  for (const byte of Buffer.from(encoded, 'base64url')) {
    value += (byte & 0x7f) * weight
    if (value > priceAmountMax) return { hash, prices: null }
    if (byte < 0x80) {
      prices.push(value)
      value = 0
      weight = 1
    } else weight *= 128
  }
  return { hash, prices }
}

/** Seven bits a byte, the lowest first: prices of shops are two or three bytes. */
function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80)
  return [...bytes, rest]
}

/** The lines at the prices that the shopper saw; null when those are of another number of lines. */
export function atShownPrices<Line extends HashedLine>(
  lines: readonly Line[],
  prices: readonly number[] | null,
): Line[] | null {
  if (prices?.length !== lines.length) return null
  return inOrder(lines).map((line, position) => ({ ...line, unitPrice: prices[position] ?? line.unitPrice }))
}

/**
 * The sum of a cart. A cart can be filled beyond what a number counts exactly; it shows the greatest one that is, and
 * can't be ordered.
 */
export function cartTotal(lines: readonly HashedLine[]): number {
  const sum = lines.reduce((total, { quantity, unitPrice }) => total + quantity * unitPrice, 0)
  return Math.min(sum, Number.MAX_SAFE_INTEGER)
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
