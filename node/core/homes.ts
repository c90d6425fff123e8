/**
 * Where a user is served, decided from what the asked members answered. Records are ordered by (epoch, home);
 * the highest wins. Two homes at once are harmless, because carts merge (DESIGN.md section 6, "Home").
 */
import type { HomeRecord } from '../messages.ts'
import type { MemberId } from '../ids.ts'

/** Positive when `a` is newer than `b`. */
export function compareRecords(a: HomeRecord, b: HomeRecord): number {
  if (a.epoch !== b.epoch) return a.epoch - b.epoch
  return a.home < b.home ? -1 : a.home > b.home ? 1 : 0
}

export function newest(records: readonly (HomeRecord | null)[]): HomeRecord | null {
  let best: HomeRecord | null = null
  for (const record of records) {
    if (record !== null && (best === null || compareRecords(record, best) > 0)) best = record
  }
  return best
}

export type HomeAnswer = {
  readonly member: MemberId
  readonly record: HomeRecord | null
  readonly serving: boolean
}

export type HomeDecision =
  /** That member is home at this record and has just said so. */
  | { kind: 'confirmed'; record: HomeRecord }
  /** The recorded home answered, but does not know its record yet: tell it. */
  | { kind: 'inform'; record: HomeRecord }
  /** Nobody is home, or the home can't be reached: a record one epoch above `above` is to be made. */
  | { kind: 'vacant'; above: number; dead: MemberId | null }

/** What the answers (the own one included) say about a user's home. */
export function decideHome(answers: readonly HomeAnswer[]): HomeDecision {
  const record = newest(answers.map((answer) => answer.record))
  if (record === null) return { kind: 'vacant', above: 0, dead: null }
  const home = answers.find(({ member }) => member === record.home)
  if (home === undefined) return { kind: 'vacant', above: record.epoch, dead: record.home }
  const knowsIt = home.record !== null && compareRecords(home.record, record) === 0
  return knowsIt && home.serving ? { kind: 'confirmed', record } : { kind: 'inform', record }
}
