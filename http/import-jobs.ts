/** Imports at this node: how many run at once, how far each one is, and how the last ones ended. */
import { createHash, randomUUID } from 'node:crypto'
import type { Context } from 'hono'
import { Fault, isFault } from '../node/faults.ts'
import type { ImportAnswer, ImportFile, ImportOptions, ImportProgress, ImportType } from './import.ts'
import { importProducts } from './import.ts'
import { bodyChunks } from './input.ts'
import { importJobsKept, importSizeBytesMax, importsAtOnceMax } from './limits.ts'
import { internalProblem, problemOf } from './problems.ts'
import type { Shop } from './shop.ts'
import { Spool } from './spool.ts'

export type ImportJob = Omit<ImportProgress, 'state'> & {
  readonly id: string
  readonly state: ImportProgress['state'] | 'done' | 'failed'
  readonly dryRun: boolean
  readonly by: string
  readonly type: ImportType
  readonly startedAt: string
  readonly endedAt: string | null
  /** When it is done. */
  readonly answer: ImportAnswer | null
  /** When it failed. */
  readonly problem: object | null
}

type Received = { readonly source: ImportFile; readonly options: ImportOptions }
type Started = { readonly id: string; readonly ended: Promise<ImportAnswer> }

const nothingYet = { read: 0, products: 0, done: 0, created: 0, updated: 0, unchanged: 0, rejectedLines: 0 }

/** The body on disk. Faults `too-large`, `unsupported-type`, `disk-full`, and `invalid-request` when it is cut off. */
export async function receiveFile(context: Context, type: ImportType): Promise<ImportFile> {
  return await spooled(type, bodyChunks(context, importSizeBytesMax))
}

export async function spooled(
  type: ImportType,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<ImportFile> {
  const file = await Spool.open()
  const hash = createHash('sha256')
  try {
    for await (const chunk of chunks) {
      hash.update(chunk)
      await file.append(chunk)
    }
  } catch (error) {
    await file.close()
    throw error
  }
  return { type, file, hash: hash.digest('hex') }
}

export class ImportJobs {
  /** The newest last. */
  readonly #jobs = new Map<string, ImportJob>()
  readonly #listeners = new Map<string, Set<(job: ImportJob) => void>>()
  #running = 0

  /** Fault `not-found`: another node knows it, or it was long ago. */
  get(id: string): ImportJob {
    const job = this.#jobs.get(id)
    if (job !== undefined) return job
    throw new Fault(
      'not-found',
      'this node does not know such an import (any more); ask the node that runs it',
    )
  }

  newestFirst(): ImportJob[] {
    return [...this.#jobs.values()].reverse()
  }

  onChange(id: string, listener: (job: ImportJob) => void): () => void {
    const listeners = this.#listeners.get(id) ?? new Set()
    this.#listeners.set(id, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0) this.#listeners.delete(id)
    }
  }

  /**
   * Takes the file in with `receive` and starts to import it. Resolves when it was received; `ended` when all is done.
   * Fault `overloaded` when others run. Whoever does not wait for `ended` reads the failure in the job.
   */
  async start(shop: Shop, receive: () => Promise<Received>): Promise<Started> {
    if (this.#running >= importsAtOnceMax) throw new Fault('overloaded', 'other imports are running')
    this.#running += 1
    let received: Received
    try {
      received = await receive()
    } catch (error) {
      this.#running -= 1
      throw error
    }
    const { source, options } = received
    const id = randomUUID()
    this.#set({
      id,
      state: 'reading',
      ...nothingYet,
      dryRun: options.dryRun,
      by: options.by,
      type: source.type,
      startedAt: new Date(shop.now()).toISOString(),
      endedAt: null,
      answer: null,
      problem: null,
    })
    const ended = this.#run(shop, id, source, options)
    // Its failure is kept in the job, for those who did not wait.
    ended.catch(() => undefined)
    return { id, ended }
  }

  async #run(shop: Shop, id: string, source: ImportFile, options: ImportOptions): Promise<ImportAnswer> {
    try {
      const answer = await importProducts(shop, source, options, (progress) =>
        this.#set({ ...this.get(id), ...progress }),
      )
      this.#set({ ...this.get(id), state: 'done', answer, endedAt: new Date(shop.now()).toISOString() })
      return answer
    } catch (error) {
      this.#set({
        ...this.get(id),
        state: 'failed',
        problem: this.#problem(shop, error),
        endedAt: new Date(shop.now()).toISOString(),
      })
      throw error
    } finally {
      this.#running -= 1
      await source.file.close()
    }
  }

  #problem(shop: Shop, error: unknown): object {
    if (isFault(error) && error.code !== 'internal') return problemOf(error).body
    const requestId = randomUUID()
    shop.logger.error({ requestId, err: error }, 'an import failed in an unexpected way')
    return internalProblem(requestId).body
  }

  #set(job: ImportJob): void {
    this.#jobs.set(job.id, job)
    const finished = [...this.#jobs.values()].filter(({ endedAt }) => endedAt !== null)
    for (const { id } of finished.slice(0, Math.max(0, this.#jobs.size - importJobsKept)))
      this.#jobs.delete(id)
    for (const listener of this.#listeners.get(job.id) ?? []) listener(job)
  }
}
