/** A process that runs the seeds it is sent, one at a time, until its parent has no more. */
import { runSeed } from './run-seed.ts'

process.on('message', (seed: number) => {
  void runSeed(seed, false).then((report) => process.send?.(report))
})
