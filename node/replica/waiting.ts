/** Bounded waits and the two faults that end them. */
import { Fault } from '../faults.ts'
import type { CancelTimer, Clock } from '../ports.ts'

/** Rejects with a fault after `timeoutMs`; the work itself goes on. */
export async function withTimeout<T>(
  clock: Clock,
  work: Promise<T>,
  timeoutMs: number,
  fault: () => Fault,
): Promise<T> {
  let cancel: CancelTimer = () => undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    cancel = clock.timer(timeoutMs, () => reject(fault()))
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    cancel()
  }
}

/** It is not in the log and won't be because of this attempt. */
export function noPrimary(why: string): Fault {
  return new Fault('no-primary', why, {}, { retryAfterSeconds: 1 })
}

/** It may have happened: only a retry with the same id can tell. */
export function outcomeUnknown(): Fault {
  return new Fault('outcome-unknown', 'the change was sent to the log, but was not decided in time')
}
