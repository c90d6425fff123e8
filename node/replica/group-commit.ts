/**
 * Group commit on `local.db`: writes that arrive in one turn of the event loop become one transaction, which makes
 * synchronous=FULL affordable (LIMITS.md, "SQLite"). Promises: a write that resolved is on disk; writes happen in the
 * order in which they were asked for; when the transaction fails, every one of them rejects and none happened.
 */
import { StoreFailure } from '../faults.ts'
import type { Clock, LocalStore } from '../ports.ts'

type Waiting = { work: () => void; resolve: () => void; reject: (error: unknown) => void }

export class GroupCommit {
  readonly #clock: Clock
  readonly #local: LocalStore
  #waiting: Waiting[] = []
  #failures = 0

  constructor(clock: Clock, local: LocalStore) {
    this.#clock = clock
    this.#local = local
  }

  /** Transactions that failed so far: what was numbered before one must not be numbered again (CART.md, "Dot"). */
  get failures(): number {
    return this.#failures
  }

  /** Runs `work` (synchronous writes to the store) inside the next transaction; resolves when that is on disk. */
  write(work: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject })
      if (this.#waiting.length === 1) this.#clock.defer(() => this.#flush())
    })
  }

  #flush(): void {
    const batch = this.#waiting
    this.#waiting = []
    try {
      this.#local.transaction(() => {
        for (const { work } of batch) work()
      })
    } catch (error) {
      this.#failures += 1
      for (const { reject } of batch) reject(error)
      // A disk that can't be trusted ends the node (DESIGN.md section 2); a full one does not.
      if (error instanceof StoreFailure) throw error
      return
    }
    for (const { resolve } of batch) resolve()
  }
}
