/** Waiting for conditions of other processes, always with a bound. */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

/** How often a condition is looked at: a person can't tell 50 ms from at once, and 25 nodes cost little. */
const pollIntervalMs = 50

/** Asks until the answer is not null, or the time is over: then null. Asks at least once. */
export async function poll<T>(ask: () => Promise<T | null> | T | null, timeoutMs: number): Promise<T | null> {
  const deadlineMs = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (answer !== null) return answer
    if (performance.now() >= deadlineMs) return null
    await sleep(pollIntervalMs)
  }
}

/** Runs the task for each item, at most `limit` at once; the results keep the order of the items. */
export async function mapBounded<T, R>(
  items: readonly T[],
  limit: number,
  task: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++
      results[index] = await task(items[index] as T)
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  return results
}
