/** What a replica knows: its facts, and what follows from them (CART.md, "Gone" and "View"). Grows only. */
import type { OrderId, Sku, Tag, UserId } from '../node/ids.ts'
import type { Base } from './bases.ts'
import { baseSaysGone } from './bases.ts'
import { mapNames } from './facts.ts'
import type { Entry, Fact, FactValue, MapName } from './facts.ts'
import { sha256Hex } from './hash.ts'
import type { RecordedOutcome } from './intents.ts'
import { isKeyedTag, splitDot, splitKeyedTag } from './names.ts'
import type { CartContents, CartLine, Checkout, OrderIntent } from './types.ts'

/** Two outcomes for one order are a bug of the log; what was sold then stays sold. */
const outcomeRank = { placed: 0, refused: 1, cancelled: 2 } as const satisfies Record<
  RecordedOutcome['status'],
  number
>

function bySmallest<Item>(key: (item: Item) => string): (a: Item, b: Item) => number {
  return (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0)
}

/** Where the line belongs among sorted ones (binary search). */
function placeOf(lines: readonly string[], line: string): number {
  let [low, high] = [0, lines.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((lines[middle] as string) < line) low = middle + 1
    else high = middle
  }
  return low
}

export class Knowledge {
  readonly entries = new Map<string, Entry>()
  readonly removed = new Set<string>()
  readonly sold = new Map<Tag, Set<OrderId>>()
  readonly bases = new Map<string, Base>()
  readonly forwarded = new Set<UserId>()
  private readonly facts = new Map<MapName, Map<string, Fact>>(mapNames.map((name) => [name, new Map()]))
  private readonly intentsByOrder = new Map<OrderId, OrderIntent[]>()
  private readonly outcomes = new Map<OrderId, RecordedOutcome[]>()
  /** Operations seen under each request key. */
  private readonly operations = new Map<string, Set<string>>()
  private readonly highest = new Map<string, number>()
  private liveCache: Entry[] | null = null
  private hashCache: string | null = null
  /** What is hashed, sorted: an edit adds one or two lines, and making all of them anew took longer than the edit. */
  private readonly lines: string[] = []

  /** False when the fact was known. The caller has made sure that a known key has the same value. */
  add(fact: Fact): boolean {
    const map = this.mapOf(fact.map)
    if (map.has(fact.key)) return false
    map.set(fact.key, fact)
    const line = JSON.stringify([fact.map, fact.key, fact.value])
    this.lines.splice(placeOf(this.lines, line), 0, line)
    this.liveCache = null
    this.hashCache = null
    this.index(fact)
    return true
  }

  private mapOf(name: MapName): Map<string, Fact> {
    return this.facts.get(name) as Map<string, Fact>
  }

  private index(fact: Fact): void {
    switch (fact.map) {
      case 'e':
        this.entries.set(fact.entry.dot, fact.entry)
        this.note(fact.entry.dot)
        this.note(fact.entry.tag)
        return
      case 'x':
        this.removed.add(fact.name)
        this.note(fact.name)
        return
      case 's':
        this.sold.set(fact.tag, (this.sold.get(fact.tag) ?? new Set()).add(fact.order))
        this.note(fact.tag)
        return
      case 'i':
        this.intentsByOrder.set(
          fact.intent.id,
          [...(this.intentsByOrder.get(fact.intent.id) ?? []), fact.intent].sort(bySmallest(JSON.stringify)),
        )
        return
      case 'd':
        this.outcomes.set(fact.order, [...(this.outcomes.get(fact.order) ?? []), fact.outcome])
        return
      case 'b':
        this.bases.set(fact.lineage, fact.base)
        for (const name of [...fact.base.live, ...fact.base.goneDots, ...fact.base.goneTags.keys()])
          this.note(name)
        for (const [writer, n] of fact.base.seen) this.note(`${writer}.${n}`)
        return
      case 'f':
        this.forwarded.add(fact.account)
        return
      default: {
        const never: never = fact
        throw new Error(`unknown fact ${String(never)}`)
      }
    }
  }

  /** Remembers that a dot or keyed tag was met, for numbering dots and for recognising retries. */
  private note(name: string): void {
    if (isKeyedTag(name)) {
      const { keyHash, operationHash } = splitKeyedTag(name)
      this.operations.set(keyHash, (this.operations.get(keyHash) ?? new Set()).add(operationHash))
      return
    }
    const { writer, n } = splitDot(name)
    if (n > (this.highest.get(writer) ?? 0)) this.highest.set(writer, n)
  }

  get size(): number {
    return mapNames.reduce((sum, name) => sum + this.mapOf(name).size, 0)
  }

  all(name: MapName): Iterable<Fact> {
    return this.mapOf(name).values()
  }

  *everything(): Iterable<Fact> {
    for (const name of mapNames) yield* this.mapOf(name).values()
  }

  /** Dots and tags of all entries here, gone ones too. */
  known(): Set<string> {
    return new Set([...this.entries.values()].flatMap((entry) => [entry.dot, entry.tag]))
  }

  valueOf(name: MapName, key: string): FactValue | undefined {
    return this.mapOf(name).get(key)?.value
  }

  operationsOf(keyHash: string): ReadonlySet<string> {
    return this.operations.get(keyHash) ?? new Set()
  }

  nextDot(writer: string): string {
    return `${writer}.${(this.highest.get(writer) ?? 0) + 1}`
  }

  /** Every writer met so far. */
  writers(): Iterable<[string, number]> {
    return this.highest
  }

  isGoneDot(dot: string): boolean {
    if (this.removed.has(dot) || this.sold.has(dot as Tag)) return true
    for (const base of this.bases.values()) if (baseSaysGone(base, dot)) return true
    return false
  }

  isGoneTag(tag: Tag): boolean {
    if (this.removed.has(tag) || this.sold.has(tag)) return true
    for (const base of this.bases.values()) if (base.goneTags.has(tag)) return true
    return false
  }

  isGone(entry: Entry): boolean {
    return this.isGoneDot(entry.dot) || (entry.tag !== entry.dot && this.isGoneTag(entry.tag))
  }

  /** Entries that are not gone, held ones too, in the order of their dots. */
  live(): readonly Entry[] {
    this.liveCache ??= [...this.entries.values()]
      .filter((entry) => !this.isGone(entry))
      .sort(bySmallest((entry) => entry.dot))
    return this.liveCache
  }

  intents(): OrderIntent[] {
    return [...this.intentsByOrder].sort(bySmallest(([order]) => order)).flatMap(([, intents]) => intents)
  }

  undecidedIntents(): OrderIntent[] {
    return this.intents().filter((intent) => !this.outcomes.has(intent.id))
  }

  intentsOf(order: OrderId): readonly OrderIntent[] {
    return this.intentsByOrder.get(order) ?? []
  }

  outcomeOf(order: OrderId): RecordedOutcome | null {
    const ranked = (this.outcomes.get(order) ?? []).toSorted(
      (a, b) => outcomeRank[a.status] - outcomeRank[b.status] || bySmallest(JSON.stringify)(a, b),
    )
    return ranked[0] ?? null
  }

  tagsSoldTo(order: OrderId): Tag[] {
    return [...this.sold]
      .filter(([, orders]) => orders.has(order))
      .map(([tag]) => tag)
      .sort()
  }

  /** Only an intent that the shopper agreed to holds its entries; the others will be refused. */
  private heldTags(): Set<Tag> {
    const agreed = this.undecidedIntents().filter((intent) => intent.verdict === 'agreed')
    return new Set(agreed.flatMap((intent) => intent.tags))
  }

  /** Live entries that no intent holds, duplicates of one tag included. */
  visible(): Entry[] {
    const held = this.heldTags()
    return this.live().filter((entry) => !held.has(entry.tag))
  }

  checkout(): Checkout {
    const visible = this.visible()
    return {
      lines: linesOf(visible),
      tags: [...new Set(visible.map((entry) => entry.tag))].sort(),
      dots: visible.map((entry) => entry.dot),
    }
  }

  contents(): CartContents {
    const ordering = new Map<OrderId, CartLine[]>()
    for (const intent of this.undecidedIntents()) {
      if (intent.verdict !== 'agreed' || ordering.has(intent.id)) continue
      const lines = intent.lines.map(({ sku, quantity }) => ({ sku, quantity }))
      ordering.set(intent.id, lines.sort(bySmallest((line) => line.sku)))
    }
    return {
      lines: linesOf(this.visible()),
      ordering: [...ordering].map(([order, lines]) => ({ order, lines })),
    }
  }

  contentHash(): string {
    this.hashCache ??= sha256Hex(this.lines.join('\n'))
    return this.hashCache
  }
}

/** One entry per tag; per SKU the largest setting plus all additions (CART.md, "View"), sorted by SKU. */
export function linesOf(entries: readonly Entry[]): CartLine[] {
  const tags = new Set<Tag>()
  const bySku = new Map<Sku, { largestSet: number; added: number }>()
  for (const entry of entries) {
    if (tags.has(entry.tag)) continue
    tags.add(entry.tag)
    const sum = bySku.get(entry.sku) ?? { largestSet: 0, added: 0 }
    if (entry.kind === 'a') sum.added += entry.quantity
    else sum.largestSet = Math.max(sum.largestSet, entry.quantity)
    bySku.set(entry.sku, sum)
  }
  const lines = [...bySku].map(([sku, sum]) => ({ sku, quantity: sum.largestSet + sum.added }))
  return lines.sort(bySmallest((line) => line.sku))
}
