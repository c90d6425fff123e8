/** Pure rules about carts that are not about the document itself: what a shopper agrees to, and what a takeover needs. */
import { createHash } from 'node:crypto'
import type { MemberId, Sku } from '../ids.ts'

export type PricedLine = { readonly sku: Sku; readonly quantity: number; readonly unitPrice: number }

/** What a shopper agrees to when ordering: SKUs, quantities, unit prices, currency (API.md, "orders"). 32 hex digits. */
export function cartHash(lines: readonly PricedLine[], currency: string): string {
  const sorted = [...lines].sort((a, b) => (a.sku < b.sku ? -1 : 1))
  const facts = sorted.map(({ sku, quantity, unitPrice }) => [sku, quantity, unitPrice])
  return createHash('sha256')
    .update(JSON.stringify([currency, facts]))
    .digest('hex')
    .slice(0, 32)
}

/**
 * Members of a set that must have answered, the asking one included, so that at least one of them has every change
 * that was acknowledged on `acks` disks: S − W + 1 (DESIGN.md section 5, "Takeover").
 */
export function answersNeeded(setSize: number, acks: number): number {
  return Math.max(1, setSize - Math.min(acks, setSize) + 1)
}

/** True when what was pulled from `answered` can't miss an acknowledged change of a cart kept by any of the sets. */
export function isPullComplete(
  sets: readonly (readonly MemberId[])[],
  answered: ReadonlySet<MemberId>,
  acks: number,
): boolean {
  return sets.every((set) => {
    const count = set.filter((member) => answered.has(member)).length
    return set.length === 0 || count >= answersNeeded(set.length, acks)
  })
}
