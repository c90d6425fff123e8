/**
 * Gathers the writes of one turn of the event loop into one transaction: synchronous=FULL costs an fsync a commit,
 * and many shoppers share it (LIMITS.md, "SQLite": 10 rows a commit are 9 times as fast).
 */
import type { Clock } from '../ports.ts'

/** Writes in one transaction: more would only make the first of them wait. */
const writesMax = 500

type Pending = { write: () => void; resolve: () => void; reject: (error: unknown) => void }

export class GroupCommit {
  readonly #clock: Clock
  readonly #transaction: (work: () => void) => void
  #pending: Pending[] = []
  #scheduled = false

  constructor(clock: Clock, transaction: (work: () => void) => void) {
    this.#clock = clock
    this.#transaction = transaction
  }

  /** Resolves once the write is on disk; rejects, with all writes of the same transaction, when it could not be made. */
  run(write: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ write, resolve, reject })
      if (this.#scheduled) return
      this.#scheduled = true
      this.#clock.defer(() => {
        this.#scheduled = false
        while (this.#pending.length > 0) this.#flush()
      })
    })
  }

  #flush(): void {
    const batch = this.#pending.splice(0, writesMax)
    try {
      this.#transaction(() => {
        for (const { write } of batch) write()
      })
    } catch (error) {
      for (const { reject } of batch) reject(error)
      return
    }
    for (const { resolve } of batch) resolve()
  }
}
