/**
 * What a shopper may see in a cart, given what the cluster answered. Every addition is an entry; every removal and
 * order may end entries. From an answer follows what must be there (P5) and what must not (P6) at any later home
 * that has to know of it; what is not known for sure only widens the bounds.
 */
import type { NodeName, OrderId, Sku } from '../../node/ids.ts'

/** Who served. `began` tells when a disk first held the record of a home. */
export type Served = { epoch: number; node: NodeName }
export type Stamp = Served & { atMs: number; /** On enough disks to survive the home. */ strong: boolean }

type Ending = {
  /** Known to have happened; null while nobody knows. */
  stamp: Stamp | null
  /** The home that did it had the entry before it, for sure. */
  sawIt: boolean
  order: OrderId | null
  /** By an order that took it for sure. */
  sold: boolean
  /** Turned out not to have happened. */
  undone: boolean
}

export type Entry = {
  sku: Sku
  quantity: number
  key: string
  /** Known to have happened; null while nobody knows. */
  stamp: Stamp | null
  endings: Ending[]
  /** It did not happen and never will. */
  refused: boolean
  /** Was held by an order that was refused: it is back, but not everybody knows. */
  wasHeld: boolean
}

/** A change of which nobody knows whether it happened, while it may still be running somewhere. */
type Lingering = { skus: Sku | 'all'; ending: Ending; ended: () => boolean }

export type Bounds = { least: number; most: number }
/** `askedAtMs`: what was answered after that, to another request of the shopper, the view need not know of. */
export type View = Served & { complete: boolean; askedAtMs: number }

export type RecordBegan = (epoch: number, node: NodeName) => number | null

export class CartModel {
  readonly entries: Entry[] = []
  readonly #began: RecordBegan
  #lingering: Lingering[] = []

  constructor(began: RecordBegan) {
    this.#began = began
  }

  /** An addition is about to be asked for. */
  adding(sku: Sku, quantity: number, key: string): Entry {
    this.#lingering = this.#lingering.filter(({ ended }) => !ended())
    const endings = this.#lingering
      .filter(({ skus }) => skus === 'all' || skus === sku)
      .map(({ ending }) => ending)
    const entry: Entry = { sku, quantity, key, stamp: null, endings, refused: false, wasHeld: false }
    this.entries.push(entry)
    return entry
  }

  /** A removal (or a set, or an order) is about to be asked for: it may end every entry that there is of these SKUs. */
  ending(skus: Sku | 'all', order: OrderId | null = null): { entries: Entry[]; ending: Ending } {
    const ending: Ending = { stamp: null, sawIt: false, order, sold: false, undone: false }
    const entries = this.entries.filter((entry) => skus === 'all' || entry.sku === skus)
    for (const entry of entries) entry.endings.push(ending)
    return { entries, ending }
  }

  /** It was answered by this home: what that home had to know of, it has ended for sure. */
  ended({ entries, ending }: { entries: Entry[]; ending: Ending }, stamp: Stamp, sawAll: boolean): void {
    ending.stamp = stamp
    if (!sawAll) return
    for (const entry of entries) {
      if (entry.stamp === null || !this.#mustKnow(stamp, entry.stamp)) continue
      const index = entry.endings.indexOf(ending)
      entry.endings[index] = { ...ending, sawIt: true }
    }
  }

  linger(skus: Sku | 'all', ending: Ending, ended: () => boolean): void {
    this.#lingering.push({ skus, ending, ended })
  }

  /** The log placed the order and these quantities left the cart. */
  orderPlaced(order: OrderId, lines: readonly { sku: Sku; quantity: number }[], stamp: Stamp): void {
    for (const { sku, quantity } of lines) {
      const held = this.entries.filter(
        (entry) =>
          entry.sku === sku && !entry.refused && entry.endings.some((ending) => ending.order === order),
      )
      // Also what was removed before: the home that froze the cart may not have heard of that (CART.md: check out, set).
      const open = held.filter((entry) => !entry.endings.some((ending) => ending.sold))
      const isAll = sum(open) === quantity
      for (const entry of held)
        entry.endings = entry.endings.map((ending) =>
          ending.order === order
            ? { ...ending, stamp, sawIt: isAll && open.includes(entry), sold: isAll && open.includes(entry) }
            : ending,
        )
    }
  }

  /** The order was refused or cancelled before it was placed: its entries are back. */
  orderUndone(order: OrderId, heldEntries: boolean): void {
    for (const entry of this.entries) {
      const mine = entry.endings.filter((ending) => ending.order === order)
      for (const ending of mine) ending.undone = true
      if (mine.length === 0) continue
      entry.endings = entry.endings.filter((ending) => ending.order !== order)
      entry.wasHeld ||= heldEntries
    }
  }

  /** Takes over the entries of a guest: they are there for sure when everything has settled. */
  absorb(guest: CartModel): void {
    const elsewhere = (stamp: Stamp | null): Stamp | null =>
      stamp === null
        ? null
        : { epoch: Number.POSITIVE_INFINITY, node: stamp.node, atMs: stamp.atMs, strong: false }
    for (const entry of guest.entries) {
      entry.stamp = elsewhere(entry.stamp)
      entry.endings = entry.endings.map((ending) => ({ ...ending, stamp: elsewhere(ending.stamp) }))
      this.entries.push(entry)
    }
  }

  /** What only one disk had may be lost with it (P5 is about two): additions, and removals too. */
  loseWeak(): void {
    for (const entry of this.entries) {
      if (entry.stamp?.strong === false) entry.stamp = null
      entry.endings = entry.endings.map((ending) =>
        ending.stamp?.strong === false && !ending.sold ? { ...ending, sawIt: false } : ending,
      )
    }
  }

  skus(): Sku[] {
    return [...new Set(this.entries.map(({ sku }) => sku))]
  }

  /** What a view may show of a SKU. `view` null: everything has settled, so everything answered must be known. */
  bounds(sku: Sku, view: View | null): Bounds {
    const known = (stamp: Stamp | null): boolean =>
      stamp !== null &&
      (view === null || (view.complete && stamp.atMs <= view.askedAtMs && this.#mustKnow(view, stamp)))
    const bounds: Bounds = { least: 0, most: 0 }
    for (const entry of this.entries) {
      if (entry.sku !== sku || entry.refused) continue
      const isGone = entry.endings.some(({ sawIt, undone, stamp }) => sawIt && !undone && known(stamp))
      if (isGone) continue
      bounds.most += entry.quantity
      const mayBeGone = entry.endings.some(({ undone }) => !undone)
      if (mayBeGone || (entry.wasHeld && view !== null)) continue
      if (known(entry.stamp)) bounds.least += entry.quantity
    }
    return bounds
  }

  /** Must whoever serves at `view` know of what `stamp` answered? The same home, or one that became it later. */
  #mustKnow(view: Served, stamp: Stamp): boolean {
    if (view.epoch === stamp.epoch && view.node === stamp.node) return true
    if (!stamp.strong || view.epoch <= stamp.epoch) return false
    const beganMs = this.#began(view.epoch, view.node)
    return beganMs !== null && beganMs > stamp.atMs
  }
}

function sum(entries: readonly Entry[]): number {
  return entries.reduce((total, { quantity }) => total + quantity, 0)
}
