/** Runs the long work on snapshot files in threads. */
import { Worker } from 'node:worker_threads'
import { Fault, InvariantError, StoreFailure } from '../faults.ts'
import type { FaultCode, FaultData } from '../faults.ts'
import type { ShopState } from './snapshot-copy.ts'
import type { MadeCopy, MakeJob, PrepareJob } from './snapshot-jobs.ts'

export type Job = MakeJob | PrepareJob
export type Failure =
  | {
      readonly kind: 'fault'
      readonly code: FaultCode
      readonly message: string
      readonly data: FaultData
      readonly retryAfterSeconds: number | undefined
    }
  | { readonly kind: 'store'; readonly file: string; readonly message: string }
  | { readonly kind: 'bug'; readonly message: string }
export type Outcome =
  | { readonly ok: true; readonly value: MadeCopy | ShopState }
  | { readonly ok: false; readonly failure: Failure }

/** One copy is made and one prepared at a time, and the other kind of copy may be asked for meanwhile. */
const threadsMax = 3

function errorOf(failure: Failure): Error {
  switch (failure.kind) {
    case 'fault': {
      const { code, message, data, retryAfterSeconds } = failure
      return new Fault(code, message, data, retryAfterSeconds === undefined ? {} : { retryAfterSeconds })
    }
    case 'store':
      return new StoreFailure(failure.file, failure.message)
    case 'bug':
      return new InvariantError(`the work on a snapshot failed: ${failure.message}`)
    default: {
      const never: never = failure
      return never
    }
  }
}

export class SnapshotThreads {
  readonly #running = new Set<Worker>()
  readonly #reading = new Set<Promise<unknown>>()
  #closed = false

  /** Rejects with what the job threw, or Fault `overloaded`, or Fault `internal` when the store is closed meanwhile. */
  make(job: MakeJob): Promise<MadeCopy> {
    const made = this.#run(job) as Promise<MadeCopy>
    const ended = made.then(
      () => undefined,
      () => undefined,
    )
    this.#reading.add(ended)
    return made.finally(() => this.#reading.delete(ended))
  }

  /** Resolves in a turn in which no copy is being made. */
  async whenNobodyReads(): Promise<void> {
    while (this.#reading.size > 0) await Promise.all(this.#reading)
  }

  /** As `make`. */
  prepare(job: PrepareJob): Promise<ShopState> {
    return this.#run(job) as Promise<ShopState>
  }

  /** The node ends: what is half done is left to the next start, which removes it. */
  close(): void {
    this.#closed = true
    for (const worker of this.#running) void worker.terminate()
  }

  async #run(job: Job): Promise<MadeCopy | ShopState> {
    if (this.#closed) throw new Fault('internal', 'this node is stopping')
    if (this.#running.size >= threadsMax)
      throw new Fault('overloaded', 'other snapshots are being worked on', {}, { retryAfterSeconds: 1 })
    const worker = new Worker(new URL('./snapshot-worker.ts', import.meta.url), { workerData: job })
    this.#running.add(worker)
    try {
      const outcome = await outcomeOf(worker)
      if (outcome.ok) return outcome.value
      throw errorOf(outcome.failure)
    } finally {
      this.#running.delete(worker)
    }
  }
}

function outcomeOf(worker: Worker): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    // After a message this changes nothing: a promise is settled once.
    worker.once('exit', () => reject(new Fault('internal', 'the work on a snapshot was broken off')))
  })
}
