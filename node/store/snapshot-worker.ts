/** The thread that `snapshot-thread.ts` starts for one job. */
import { constants, setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { Fault, StoreFailure, assert } from '../faults.ts'
import { makeCopy, prepareCopy } from './snapshot-jobs.ts'
import type { Failure, Job, Outcome } from './snapshot-thread.ts'

function failureOf(error: unknown): Failure {
  if (error instanceof Fault) {
    const { code, message, data, retryAfterSeconds } = error
    return { kind: 'fault', code, message, data, retryAfterSeconds }
  }
  if (error instanceof StoreFailure)
    return { kind: 'store', file: error.file, message: error.message.slice(error.file.length + 2) }
  return { kind: 'bug', message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}

function perform(job: Job): Outcome {
  try {
    return { ok: true, value: job.kind === 'make' ? makeCopy(job) : prepareCopy(job) }
  } catch (error) {
    return { ok: false, failure: failureOf(error) }
  }
}

// Linux gives each thread its own: on a busy machine shoppers and votes go first. Elsewhere it would be the whole node's.
if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_BELOW_NORMAL)
assert(parentPort !== null, 'this file is started as a thread')
parentPort.postMessage(perform(workerData as Job))
