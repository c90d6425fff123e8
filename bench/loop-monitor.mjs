/**
 * Loaded into every process of a measured cluster (NODE_OPTIONS): a node writes how long its event loop stood still, a
 * line every 100 ms, into SOUK_LOOP_DIRECTORY/NAME. JavaScript, because the launcher's Node may know nothing else.
 */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

const everyMs = 100
const directory = process.env.SOUK_LOOP_DIRECTORY
const name = process.argv[process.argv.indexOf('--name') + 1]

if (isMainThread && directory !== undefined && process.argv[1]?.endsWith('node/main.ts')) {
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  setInterval(() => {
    appendFileSync(join(directory, name), `${Date.now()} ${Math.round(delay.max / 1e6)}\n`)
    delay.reset()
  }, everyMs).unref()
}
