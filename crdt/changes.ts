/** Decides which facts a change adds. Each function is pure: knowledge in, facts out. */
import { Fault, assert } from '../node/faults.ts'
import { parseSku } from '../node/ids.ts'
import type { OrderId, Tag } from '../node/ids.ts'
import { decisionFact, entryFact, removedFact, soldFact } from './facts.ts'
import type { Fact } from './facts.ts'
import { operationHash } from './hash.ts'
import type { Knowledge } from './knowledge.ts'
import { writerPattern } from './names.ts'
import { cartEntriesMax, quantityMax } from './types.ts'
import type { CartEdit, OrderOutcome, RequestKey } from './types.ts'

function checkEdit(edit: CartEdit): void {
  if (edit.kind === 'clear') return
  parseSku(edit.sku)
  if (edit.kind === 'remove') return
  const smallest = edit.kind === 'add' ? 1 : 0
  if (!Number.isInteger(edit.quantity) || edit.quantity < smallest || edit.quantity > quantityMax) {
    throw new Fault('invalid-request', `quantity must be a whole number from ${smallest} to ${quantityMax}`)
  }
}

/** Null when this request was seen already. One key stands for one operation (CART.md, "Tag"). */
function newTag(knowledge: Knowledge, edit: CartEdit, key: RequestKey): Tag | null {
  assert(key.operationHash === operationHash(edit), 'a request key must have been made from its own edit')
  const seen = knowledge.operationsOf(key.keyHash)
  if (seen.has(key.operationHash)) return null
  if (seen.size > 0)
    throw new Fault('key-reused', 'this Idempotency-Key was used for another change of the cart')
  return `k:${key.keyHash}${key.operationHash}` as Tag
}

/** Dots and keyed tags of the entries seen, held ones too; both, because a retry elsewhere has another dot. */
function removals(knowledge: Knowledge, edit: CartEdit): Fact[] {
  if (edit.kind === 'add') return []
  const seen = knowledge.live().filter((entry) => edit.kind === 'clear' || entry.sku === edit.sku)
  return [...new Set(seen.flatMap((entry) => [entry.dot, entry.tag]))].map(removedFact)
}

/** Facts of a shopper's edit; none when it is a retry or changes nothing. Faults as `CartDocument.edit`. */
export function editFacts(
  knowledge: Knowledge,
  edit: CartEdit,
  writer: string,
  key: RequestKey | undefined,
): Fact[] {
  assert(writerPattern.test(writer), 'a writer is made by writerId')
  checkEdit(edit)
  const tag = key === undefined ? undefined : newTag(knowledge, edit, key)
  if (tag === null) return []
  const facts = removals(knowledge, edit)
  if (edit.kind === 'add' || (edit.kind === 'set' && edit.quantity > 0)) {
    if (knowledge.live().length >= cartEntriesMax) throw new Fault('too-large', 'the cart is full')
    const dot = knowledge.nextDot(writer)
    const kind = edit.kind === 'add' ? 'a' : 's'
    facts.push(entryFact({ dot, kind, sku: edit.sku, quantity: edit.quantity, tag: tag ?? (dot as Tag) }))
  } else if (tag !== undefined) {
    facts.push(removedFact(tag))
  }
  return facts
}

/**
 * Facts of the log's decision. Placed: the order's tags are sold, and every dot known to carry one is
 * removed. Refused: what the log named as sold already is sold; the rest reappears by itself.
 */
export function decisionFacts(knowledge: Knowledge, order: OrderId, outcome: OrderOutcome): Fact[] {
  const decision = decisionFact(order, outcome)
  switch (outcome.status) {
    case 'placed': {
      const tags = new Set(outcome.tags)
      const frozen = knowledge.intentsOf(order).filter((intent) => intent.tags.every((tag) => tags.has(tag)))
      const carried = [...knowledge.entries.values()].filter((entry) => tags.has(entry.tag))
      const dots = new Set([...carried.map((entry) => entry.dot), ...frozen.flatMap((intent) => intent.dots)])
      return [decision, ...[...tags].map((tag) => soldFact(tag, order)), ...[...dots].map(removedFact)]
    }
    case 'refused': {
      const sold = Object.entries(outcome.soldTags ?? {}) as [Tag, OrderId][]
      return [decision, ...sold.map(([tag, by]) => soldFact(tag, by))]
    }
    case 'cancelled':
      return [decision]
    default: {
      const never: never = outcome
      throw new Error(`unknown outcome ${String(never)}`)
    }
  }
}

/** A sold notice. What a base folded away is left out: notices are repeated, and must not grow the cart. */
export function soldFacts(knowledge: Knowledge, order: OrderId, tags: readonly Tag[]): Fact[] {
  const folded = (tag: Tag): boolean =>
    !knowledge.removed.has(tag) &&
    !knowledge.sold.has(tag) &&
    (knowledge.isGoneTag(tag) || isFoldedDot(knowledge, tag))
  return tags.filter((tag) => !folded(tag)).map((tag) => soldFact(tag, order))
}

function isFoldedDot(knowledge: Knowledge, tag: Tag): boolean {
  return !tag.startsWith('k:') && knowledge.isGoneDot(tag)
}
