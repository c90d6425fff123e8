/**
 * What to do next with each order that has no decision yet, or whose decision is not settled (DESIGN.md section 7,
 * step 2). Pure: entries and the time in, steps out. An entry is never given up: only a decision ends it.
 */
import type { OrderId } from '../ids.ts'

/** First wait after an attempt that brought no decision; an election takes about as long. */
export const backOffMinMs = 100
/** Longest wait: a primary that comes back is noticed at once anyway, so this only bounds idle work. */
export const backOffMaxMs = 5_000
/** Orders asked of the log at one time: enough to fill its batches, few enough for one stream. */
export const sendsUnderWayMax = 256

export type OutboxEntry = {
  readonly order: OrderId
  /**
   * - `freezing`: the cart is being frozen and brought to other disks; nothing may be sent yet
   * - `open`: waits to be sent, for the first time or again
   * - `under-way`: the log is being asked
   * - `decided`: waits for the cart to be settled and the row to be deleted
   * - `settling`: that is happening
   */
  readonly stage: 'freezing' | 'open' | 'under-way' | 'decided' | 'settling'
  /** Monotonic time before which nothing is done about it. */
  readonly dueAtMs: number
  /** A shopper is waiting for the answer. */
  readonly urgent: boolean
}

export type OutboxPlan = {
  readonly send: readonly OrderId[]
  readonly settle: readonly OrderId[]
  /** When to look again if nothing happens before; null when nothing waits for time. */
  readonly wakeAtMs: number | null
}

/** Orders somebody waits for go first, then the oldest; at most `sendsUnderWayMax` under way. */
export function planOutbox(entries: Iterable<OutboxEntry>, nowMs: number): OutboxPlan {
  const ready: OutboxEntry[] = []
  const settle: OrderId[] = []
  let underWay = 0
  let wakeAtMs: number | null = null
  for (const entry of entries) {
    switch (entry.stage) {
      case 'freezing':
      case 'settling':
        break
      case 'under-way':
        underWay += 1
        break
      case 'open':
      case 'decided':
        if (entry.dueAtMs > nowMs) wakeAtMs = Math.min(wakeAtMs ?? entry.dueAtMs, entry.dueAtMs)
        else if (entry.stage === 'open') ready.push(entry)
        else settle.push(entry.order)
        break
      default: {
        const never: never = entry.stage
        throw new Error(`unknown stage ${String(never)}`)
      }
    }
  }
  const first = [...ready.filter(({ urgent }) => urgent), ...ready.filter(({ urgent }) => !urgent)]
  const room = Math.max(0, sendsUnderWayMax - underWay)
  return { send: first.slice(0, room).map(({ order }) => order), settle, wakeAtMs }
}

/** Wait after so many failures in a row: doubles, capped; `chance` in [0, 1) spreads nodes that failed together. */
export function backOffMs(failures: number, chance: number): number {
  const doubled = backOffMinMs * 2 ** Math.min(Math.max(0, failures - 1), 10)
  return Math.min(backOffMaxMs, doubled) * (0.5 + chance / 2)
}
