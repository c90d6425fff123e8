/**
 * How fast are requests between two nodes, and how soon is a broken connection noticed?
 * `scripts/with-node node bench/streams.ts [SECONDS]`, one process, both ends in it.
 */
import { RealWorld } from '../test/contract/real-world.ts'
import { mesh } from '../test/support/transport-world.ts'

const durationMs = Number(process.argv[2] ?? 3) * 1_000
const world = new RealWorld()
const [one, other] = await mesh(world, 2)
if (one === undefined || other === undefined) throw new Error('two nodes')
other.handlers.answer = async () => ({ bytes: 'x'.repeat(150) })

async function measure(inFlight: number): Promise<void> {
  if (one === undefined || other === undefined) return
  const latenciesMs: number[] = []
  const untilMs = performance.now() + durationMs
  const worker = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const sentAtMs = performance.now()
      const request = { kind: 'snapshot-read', snapshot: 'bench', offset: 0, sizeBytesMax: 1_024 } as const
      await one.transport.request(other.id, request, { timeoutMs: 10_000 })
      latenciesMs.push(performance.now() - sentAtMs)
    }
  }
  const beforeCpu = process.cpuUsage()
  const beforeMs = performance.now()
  await Promise.all(Array.from({ length: inFlight }, worker))
  const elapsedMs = performance.now() - beforeMs
  const { user, system } = process.cpuUsage(beforeCpu)
  latenciesMs.sort((a, b) => a - b)
  const p = (share: number): string => (latenciesMs[Math.floor(latenciesMs.length * share)] ?? 0).toFixed(2)
  console.log(
    `${String(inFlight).padStart(4)} in flight: ${Math.round((latenciesMs.length / elapsedMs) * 1_000)} requests/s, ` +
      `p50 ${p(0.5)} ms, p99 ${p(0.99)} ms, ${((user + system) / latenciesMs.length).toFixed(0)} µs CPU each, both ends`,
  )
}

for (const inFlight of [1, 8, 32, 128, 512]) await measure(inFlight)
await world.close()
