/** What a checker found, and what a checker is. */
import type { History } from '../history.ts'
import type { Timeline } from '../timeline.ts'

export type Violation = {
  /** P1 to P10 of DESIGN.md section 9, or `progress`. */
  readonly promise: string
  readonly text: string
  readonly atMs: number
}

export type Checker = {
  readonly name: string
  readonly check: (history: History, timeline: Timeline) => Violation[]
}
