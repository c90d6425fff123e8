/**
 * The obvious cart: a plain set of facts, merged by union, never made smaller. The document in crdt/ must
 * show the same as this after every step, whatever it folded away (CART.md). Written from the rules,
 * sharing no code with crdt/; slow on purpose.
 */
import type { OrderId, Sku, Tag } from '../../node/ids.ts'

export type ModelFact =
  | { is: 'entry'; dot: string; set: boolean; sku: Sku; quantity: number; tag: string }
  | { is: 'removed'; name: string }
  | { is: 'sold'; tag: string; order: OrderId }
  | { is: 'intent'; order: OrderId; holds: boolean; tags: readonly string[]; lines: readonly ModelLine[] }
  | { is: 'decided'; order: OrderId }
export type ModelLine = { sku: Sku; quantity: number }
export type ModelEdit = { kind: 'add' | 'set' | 'remove' | 'clear'; sku: Sku; quantity: number }
type EntryFact = Extract<ModelFact, { is: 'entry' }>

export class CartModel {
  private readonly facts = new Map<string, ModelFact>()

  constructor(facts: readonly ModelFact[] = []) {
    this.learn(facts)
  }

  learn(facts: readonly ModelFact[]): void {
    for (const fact of facts) this.facts.set(JSON.stringify(fact), fact)
  }

  all(): ModelFact[] {
    return [...this.facts.values()]
  }

  private of<Is extends ModelFact['is']>(is: Is): Extract<ModelFact, { is: Is }>[] {
    return this.all().filter((fact): fact is Extract<ModelFact, { is: Is }> => fact.is === is)
  }

  isGone(name: string): boolean {
    return (
      this.of('removed').some((fact) => fact.name === name) ||
      this.of('sold').some((fact) => fact.tag === name)
    )
  }

  live(): EntryFact[] {
    return this.of('entry').filter((entry) => !this.isGone(entry.dot) && !this.isGone(entry.tag))
  }

  undecided(): Extract<ModelFact, { is: 'intent' }>[] {
    const decided = new Set(this.of('decided').map((fact) => fact.order))
    return this.of('intent').filter((intent) => !decided.has(intent.order))
  }

  visible(): EntryFact[] {
    const held = new Set(this.undecided().flatMap((intent) => (intent.holds ? intent.tags : [])))
    return this.live().filter((entry) => !held.has(entry.tag))
  }

  lines(): ModelLine[] {
    const visible = this.visible()
    const skus = [...new Set(visible.map((entry) => entry.sku))].sort()
    return skus.map((sku) => {
      const byTag = new Map(visible.filter((entry) => entry.sku === sku).map((entry) => [entry.tag, entry]))
      const settings = [...byTag.values()].filter((entry) => entry.set).map((entry) => entry.quantity)
      const additions = [...byTag.values()].filter((entry) => !entry.set).map((entry) => entry.quantity)
      return {
        sku,
        quantity: Math.max(0, ...settings) + additions.reduce((sum, quantity) => sum + quantity, 0),
      }
    })
  }

  tags(): Tag[] {
    return [...new Set(this.visible().map((entry) => entry.tag as Tag))].sort()
  }

  dots(): string[] {
    return this.visible()
      .map((entry) => entry.dot)
      .sort()
  }

  knowsTag(tag: string): boolean {
    return this.isGone(tag) || this.of('entry').some((entry) => entry.tag === tag)
  }

  private nextDot(writer: string): string {
    const names = [
      ...this.of('entry').map((entry) => entry.dot),
      ...this.of('removed').map((fact) => fact.name),
    ]
    const counts = names
      .filter((name) => name.startsWith(`${writer}.`))
      .map((name) => Number(name.split('.')[1]))
    return `${writer}.${Math.max(0, ...counts) + 1}`
  }

  /** The facts that an edit adds; none for a retry. */
  edit(edit: ModelEdit, writer: string, tag: string | null): ModelFact[] {
    if (tag !== null && this.knowsTag(tag)) return []
    const seen =
      edit.kind === 'add'
        ? []
        : this.live().filter((entry) => edit.kind === 'clear' || entry.sku === edit.sku)
    const facts: ModelFact[] = seen.flatMap((entry) => [
      { is: 'removed', name: entry.dot },
      { is: 'removed', name: entry.tag },
    ])
    if (edit.kind === 'add' || (edit.kind === 'set' && edit.quantity > 0)) {
      const dot = this.nextDot(writer)
      facts.push({
        is: 'entry',
        dot,
        set: edit.kind === 'set',
        sku: edit.sku,
        quantity: edit.quantity,
        tag: tag ?? dot,
      })
    } else if (tag !== null) {
      facts.push({ is: 'removed', name: tag })
    }
    this.learn(facts)
    return facts
  }
}
