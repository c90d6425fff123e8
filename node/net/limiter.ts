/** Log lines that a peer can cause at will are written once a while per cause (DESIGN.md, P9). */
import type { Clock } from '../ports.ts'

/** The same cause is logged so often at most. */
const quietMs = 60_000
/** Causes remembered; beyond it the oldest is forgotten, so that made-up names don't fill the memory. */
const causesMax = 1_000

export class LogLimiter {
  readonly #clock: Clock
  readonly #lastMs = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** True when a line about `cause` should be written now. */
  allows(cause: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    const lastMs = this.#lastMs.get(cause)
    if (lastMs !== undefined && nowMs - lastMs < quietMs) return false
    this.#lastMs.delete(cause)
    this.#lastMs.set(cause, nowMs)
    if (this.#lastMs.size > causesMax) {
      const [oldest] = this.#lastMs.keys()
      this.#lastMs.delete(oldest as string)
    }
    return true
  }
}
