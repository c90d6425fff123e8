/**
 * Requests between two nodes over one long stream: `npm run bench:streams`. One process, both ends in it.
 * `--runs N` (default 3), `--seconds N` for each measurement (default 3), `--in-flight N,…`.
 */
import { parseArgs } from 'node:util'
import { RealWorld } from '../test/contract/real-world.ts'
import { mesh } from '../test/support/transport-world.ts'
import { Report, quantile } from './kit.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    'in-flight': { type: 'string', default: '1,8,32,128,512' },
  },
})
const durationMs = Number(values.seconds) * 1_000
const requestTimeoutMs = 10_000
const world = new RealWorld()
const [one, other] = await mesh(world, 2)
if (one === undefined || other === undefined) throw new Error('two nodes')
const { transport } = one
const to = other.id
other.handlers.answer = async () => ({ bytes: 'x'.repeat(150) })

type Round = { readonly perSecond: number; readonly p99Ms: number; readonly costUs: number }

async function measure(inFlight: number): Promise<Round> {
  const latenciesMs: number[] = []
  const untilMs = performance.now() + durationMs
  const worker = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const sentAtMs = performance.now()
      const request = { kind: 'snapshot-read', snapshot: 'bench', offset: 0, sizeBytesMax: 1_024 } as const
      await transport.request(to, request, { timeoutMs: requestTimeoutMs })
      latenciesMs.push(performance.now() - sentAtMs)
    }
  }
  const beforeCpu = process.cpuUsage()
  const beforeMs = performance.now()
  await Promise.all(Array.from({ length: inFlight }, worker))
  const elapsedMs = performance.now() - beforeMs
  const { user, system } = process.cpuUsage(beforeCpu)
  return {
    perSecond: (latenciesMs.length / elapsedMs) * 1_000,
    p99Ms: quantile(latenciesMs, 0.99),
    costUs: (user + system) / latenciesMs.length,
  }
}

const report = new Report('streams', 'Requests between two nodes over one stream')
for (const inFlight of values['in-flight'].split(',').map(Number)) {
  const rounds: Round[] = []
  for (let run = 0; run < Number(values.runs); run += 1) rounds.push(await measure(inFlight))
  const p99Ms = rounds.map((round) => round.p99Ms)
  const what = `${inFlight} in flight`
  report.add({ what, unit: 'a second', runs: rounds.map((round) => round.perSecond), p99Ms })
  const runs = rounds.map((round) => round.costUs)
  report.add({ what: `${what}: processor time of both ends for one`, unit: 'µs', runs })
}
await world.close()
report.finish()
