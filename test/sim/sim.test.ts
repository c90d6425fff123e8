/**
 * The whole cluster under seeded faults (DESIGN.md section 9): worlds of at least a virtual minute each, in plain Node
 * processes, because a rejection that nobody handles must end a run as it would end a node.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { runWorld } from './world.ts'

const programOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
/** Two and a half minutes of two cores; before a release 2,000 are run (README, "Tests"). */
const seeds = 100
const timeLimitMs = 1_200_000

type Run = { exitCode: number | null; output: string }

function run(program: string, ...args: string[]): Promise<Run> {
  const node = process.env['SOUK_TEST_NODE'] ?? process.execPath
  const child = spawn(node, [programOf(program), ...args])
  let output = ''
  child.stdout.on('data', (text: Buffer) => (output += text.toString()))
  child.stderr.on('data', (text: Buffer) => (output += text.toString()))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (exitCode) => resolve({ exitCode, output }))
  })
}

describe('the whole cluster under faults', () => {
  test(
    `keeps its promises in ${seeds} worlds`,
    async () => {
      const { exitCode, output } = await run('main.ts', '--seeds', `${seeds}`, '--quiet')
      // The output names each seed that failed, and the command that runs it again.
      expect(exitCode === 0 ? '' : output).toBe('')
    },
    timeLimitMs,
  )

  test(
    'an order survives a crash of home, primary or both after each event and each write of it',
    async () => {
      const { exitCode, output } = await run('order-steps.ts')
      // As above; and every step of the protocol was met by a crash of each victim.
      expect(exitCode === 0 ? '' : output).toBe('')
    },
    timeLimitMs,
  )

  test('is the same every time for one seed', async () => {
    const [one, other] = [await runWorld({ seed: 7, trace: true }), await runWorld({ seed: 7, trace: true })]
    expect(one.events.length).toBeGreaterThan(50)
    expect(other.events).toEqual(one.events)
    expect(other.trace).toBe(one.trace)
  })
})
