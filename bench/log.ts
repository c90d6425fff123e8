/**
 * How many commands a second go through the log: `npm run bench:log`. Three processes, each with its own log.db at
 * synchronous=FULL; a command of 600 bytes counts when a majority has it on disk and the primary handed it to applying
 * ("committed": tables that hold nothing), and for information when it is in shop.db too ("applied").
 * `--runs N` (default 5), `--seconds N` for each measurement (default 3), `--in-flight N,…`,
 * `--shop none|real`, `--profile DIR` writes CPU profiles.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { freePort, secret } from '../test/contract/real-world.ts'
import { Report, median } from './kit.ts'
import type { Aim } from './kit.ts'
import type { FromNode, RoundResult, ShopKind, ToNode } from './log-node.ts'

const nodes = 3
/** V8 compiles what ran some thousand times: a node that has just started takes twice as long for a command. */
const warmUps = [
  { inFlight: 128, durationMs: 3_000 },
  { inFlight: 1, durationMs: 3_000 },
]
const aims: { readonly [inFlight: number]: Aim } = { 32: { least: 20_000 }, 128: { least: 30_000 } }
const latencyAim: Aim = { below: 1 }

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    profile: { type: 'string' },
    shop: { type: 'string' },
    'in-flight': { type: 'string', default: '1,8,32,128' },
  },
})

const inFlights = values['in-flight'].split(',').map(Number)

class Child {
  readonly #process: ChildProcess
  readonly #heard: FromNode[] = []
  #wake: () => void = () => undefined

  constructor() {
    const execArgv = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]
    this.#process = fork(fileURLToPath(new URL('log-node.ts', import.meta.url)), { execArgv })
    this.#process.on('message', (message: FromNode) => {
      this.#heard.push(message)
      this.#wake()
    })
    this.#process.on('exit', (code) => {
      if (code !== 0) throw new Error(`a node ended with ${code}`)
    })
  }

  tell(message: ToNode): void {
    this.#process.send(message)
  }

  /** The next message of the kind; those before it are dropped. */
  async hears<Kind extends FromNode['kind']>(kind: Kind): Promise<Extract<FromNode, { kind: Kind }>> {
    for (;;) {
      const message = this.#heard.shift()
      if (message?.kind === kind) return message as Extract<FromNode, { kind: Kind }>
      if (message === undefined) await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#process.once('exit', () => resolve())
      this.tell({ kind: 'stop' })
    })
  }
}

/** One fresh cluster; all measurements of one run. */
async function run(shop: ShopKind): Promise<RoundResult[]> {
  const directory = mkdtempSync(join(tmpdir(), 'souk-bench-log-'))
  const children = Array.from({ length: nodes }, () => new Child())
  try {
    const key = secret()
    const members = await Promise.all(
      children.map(async (child, place) => {
        const p2p = `127.0.0.1:${await freePort()}`
        child.tell({
          kind: 'open',
          opening: { directory: join(directory, `n${place}`), p2p, secret: key, shop },
        })
        return { id: (await child.hears('opened')).id, p2p }
      }),
    )
    for (const child of children) child.tell({ kind: 'start', members })
    const primary = await Promise.race(children.map(async (child) => (await child.hears('primary'), child)))
    const measure = async (inFlight: number, durationMs: number): Promise<RoundResult> => {
      primary.tell({ kind: 'run', round: { inFlight, durationMs } })
      return (await primary.hears('result')).result
    }
    for (const { inFlight, durationMs } of warmUps) await measure(inFlight, durationMs)
    const results: RoundResult[] = []
    for (const inFlight of inFlights) results.push(await measure(inFlight, Number(values.seconds) * 1_000))
    return results
  } finally {
    await Promise.all(children.map((child) => child.stop()))
    rmSync(directory, { recursive: true, force: true })
  }
}

async function bench(report: Report, shop: ShopKind): Promise<void> {
  const runs: RoundResult[][] = []
  for (let number = 0; number < Number(values.runs); number += 1) runs.push(await run(shop))
  const what = shop === 'none' ? 'committed' : 'committed and applied'
  for (const [place, inFlight] of inFlights.entries()) {
    const of = (pick: (result: RoundResult) => number): number[] =>
      runs.map((results) => pick(results[place] as RoundResult))
    const isAim = shop === 'none'
    const aim = isAim ? aims[inFlight] : undefined
    const p99Ms = of(({ p99Ms: value }) => value)
    report.add({
      what: `${what}, ${inFlight} in flight`,
      unit: 'commands/s',
      runs: of(({ perSecond }) => perSecond),
      p99Ms,
      ...(aim === undefined ? {} : { aim }),
    })
    report.add({
      what: `${what}, ${inFlight} in flight, p50`,
      unit: 'ms',
      runs: of(({ p50Ms }) => p50Ms),
      p99Ms,
      ...(isAim && inFlight === 1 ? { aim: latencyAim } : {}),
    })
    const cpu = Math.round(median(of(({ cpuMicros }) => cpuMicros)))
    const batch = median(of(({ entriesPerFlush }) => entriesPerFlush)).toFixed(1)
    report.note(
      `${what}, ${inFlight} in flight: ${cpu} µs CPU a command at the primary, ${batch} entries a transaction.`,
    )
  }
}

const report = new Report('log', 'Commands through the log: three processes, 600 bytes, synchronous=FULL')
for (const shop of ['none', 'real'] as const)
  if (values.shop === undefined || values.shop === shop) await bench(report, shop)
report.finish()
