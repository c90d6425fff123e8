/** One seed with everything that counts as its failure: in the process of whoever asked, or in one of several (jobs.ts). */
import { Killed } from './disk.ts'
import { runWorld } from './world.ts'
import type { WorldResult } from './world.ts'

export type SeedReport = { readonly seed: number; readonly result: WorldResult; readonly failures: string[] }

/** A rejection that nobody waits for ends a real node, so it is a failure here too; a killed process says nothing. */
const unhandled: unknown[] = []
process.on('unhandledRejection', (error) => {
  if (!(error instanceof Killed)) unhandled.push(error)
})

/** Thousands of faults are made in a world; where they come from is of interest in a replay only. */
const stackTraceFramesMax = 3

export async function runSeed(seed: number, trace: boolean): Promise<SeedReport> {
  if (!trace) Error.stackTraceLimit = stackTraceFramesMax
  const result = await runWorld({ seed, trace })
  const rejections = unhandled.splice(0).map((error) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return `P9: a rejection that nobody handles: ${text}`
  })
  return { seed, result, failures: [...result.violations, ...rejections] }
}
