/**
 * Worlds in several processes side by side, each on one core. Reports come in the order of the seeds, so that two runs
 * print the same whatever was quicker.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { runSeed } from './run-seed.ts'
import type { SeedReport } from './run-seed.ts'

const program = fileURLToPath(new URL('job.ts', import.meta.url))

/** Rejects when the process ends without an answer: a crash of the runtime itself is a failure as well. */
function ask(child: ChildProcess, seed: number): Promise<SeedReport> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null, signal: string | null): void =>
      reject(new Error(`the process that ran seed ${seed} ended with ${signal ?? code}`))
    child.once('exit', ended)
    child.once('message', (report) => {
      child.off('exit', ended)
      resolve(report as SeedReport)
    })
    child.send(seed)
  })
}

/** All seeds from `from` on, in `jobs` processes; in this one if that is one. */
export async function* runSeeds(from: number, count: number, jobs: number): AsyncGenerator<SeedReport> {
  const seeds = Array.from({ length: count }, (_, index) => from + index)
  if (jobs === 1) {
    for (const seed of seeds) yield await runSeed(seed, false)
    return
  }
  const children = Array.from({ length: Math.min(jobs, count) }, () => fork(program))
  const idle = [...children]
  const waiting: ((child: ChildProcess) => void)[] = []
  const free = (): Promise<ChildProcess> =>
    new Promise((resolve) => {
      const child = idle.pop()
      if (child === undefined) waiting.push(resolve)
      else resolve(child)
    })
  const reports = seeds.map(async (seed) => {
    const child = await free()
    const report = await ask(child, seed)
    const next = waiting.shift()
    if (next === undefined) idle.push(child)
    else next(child)
    return report
  })
  // Each is waited for below; until then a rejection must not count as one that nobody handles.
  for (const report of reports) report.catch(() => undefined)
  try {
    for (const report of reports) yield await report
  } finally {
    for (const child of children) child.kill()
  }
}
