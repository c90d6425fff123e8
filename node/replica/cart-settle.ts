/** What a decision of the log means for one cart document. Idempotent; never decides anything itself. */
import type { CartDocument } from '../../crdt/cart.ts'
import type { OrderId } from '../ids.ts'
import type { Decision } from './context.ts'

/** A refusal that names who took the entries is recorded even if a bare one is known: it takes them out of view. */
export function settleDocument(document: CartDocument, order: OrderId, outcome: Decision): void {
  const isConcerned = document.intents().some((intent) => intent.id === order)
  switch (outcome.status) {
    case 'placed':
      if (isConcerned && document.outcomeOf(order)?.status !== 'placed') document.decide(order, outcome)
      // Also when it is decided here already: an earlier word may have named only some of the entries.
      else document.markSold(order, outcome.tags)
      return
    case 'refused': {
      const namesSold = Object.keys(outcome.soldTags).length > 0
      if (isConcerned && (document.outcomeOf(order) === null || namesSold)) document.decide(order, outcome)
      return
    }
    case 'cancelled':
      if (isConcerned && document.outcomeOf(order) === null) document.decide(order, outcome)
      return
    default: {
      const never: never = outcome
      throw new Error(`unknown outcome ${String(never)}`)
    }
  }
}
