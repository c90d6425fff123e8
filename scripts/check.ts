/**
 * `npm run check`: types, lint, format, then all tests (the import rule and the file sizes are the tests
 * in test/unit/layout.test.ts). Stops at the first step that fails, names it, and exits with 1.
 */
import { spawnSync } from 'node:child_process'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'

type Step = { readonly name: string; readonly command: string; readonly arguments: readonly string[] }

const root = fileURLToPath(new URL('..', import.meta.url))

/** Cheapest first, so that a slip costs seconds. Run under scripts/with-node, which has the tools on the PATH. */
const steps: readonly Step[] = [
  { name: 'types', command: 'tsc', arguments: ['--noEmit'] },
  { name: 'lint', command: 'oxlint', arguments: ['--type-aware', '--deny-warnings', '.'] },
  { name: 'format', command: 'prettier', arguments: ['--check', '.'] },
  { name: 'tests', command: 'vitest', arguments: ['run'] },
]

/** Why the step failed, or null. Its output goes to ours as it is. */
function run(step: Step): string | null {
  const result = spawnSync(step.command, step.arguments, { cwd: root, stdio: 'inherit' })
  if (result.error !== undefined) return result.error.message
  if (result.signal !== null) return `ended by ${result.signal}`
  return result.status === 0 ? null : `exit code ${result.status}`
}

for (const step of steps) {
  console.error(`check: ${step.name}: ${[step.command, ...step.arguments].join(' ')}`)
  const startedMs = performance.now()
  const failure = run(step)
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  if (failure !== null) {
    console.error(`check: ${step.name} FAILED (${failure}) after ${seconds} s`)
    process.exit(1)
  }
  console.error(`check: ${step.name} passed in ${seconds} s`)
}
console.error('check: everything passed')
