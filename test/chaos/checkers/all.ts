/** All checkers; `checkHistory` runs them over what happened in a run. */
import type { History } from '../history.ts'
import { Timeline } from '../timeline.ts'
import { availability } from './availability.ts'
import { carts } from './carts.ts'
import { catalog } from './catalog.ts'
import { doors } from './doors.ts'
import { nodes } from './nodes.ts'
import { orders } from './orders.ts'
import type { Checker, Violation } from './violation.ts'

export const checkers: readonly Checker[] = [nodes, catalog, orders, carts, doors, availability]

/** Everything that was found, in the order in which it happened. */
export function checkHistory(history: History): Violation[] {
  const timeline = new Timeline(history)
  return checkers.flatMap(({ check }) => check(history, timeline)).sort((a, b) => a.atMs - b.atMs)
}
