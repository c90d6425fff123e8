import { parseMemberId, parseNodeName } from '../../node/ids.ts'
import { SimNetwork } from '../sim/network.ts'
import type { NetworkSettings } from '../sim/network.ts'
import { seededRandom } from '../sim/random.ts'
import { Scheduler, SimClock } from '../sim/scheduler.ts'
import { RecordingHandlers, clusterA, collectingLogger } from '../support/transport-world.ts'
import type { LogLine, NodeRequest, TestNode, TransportWorld } from '../support/transport-world.ts'

/** Virtual time that a condition may take. */
const limitMs = 60_000

export class SimulatedWorld implements TransportWorld {
  readonly scheduler = new Scheduler()
  readonly network: SimNetwork
  readonly clocks = new Map<string, SimClock>()
  #count = 0

  constructor(seed: number, settings: Partial<NetworkSettings> = {}) {
    this.network = new SimNetwork(this.scheduler, seededRandom(seed), settings)
  }

  async node(options: NodeRequest = {}): Promise<TestNode> {
    const number = ++this.#count
    const name = options.like?.name ?? parseNodeName(`n${number}`)
    const id = options.like?.id ?? parseMemberId(`sim${String(number).padStart(3, '0')}`)
    const p2p = options.like?.p2p ?? `sim:${number}`
    const clock = new SimClock(this.scheduler)
    this.clocks.set(id, clock)
    const log: LogLine[] = []
    const random = this.network.random.fork(`${id} ${options.starts ?? 1}`)
    const transport = this.network.transport({ id, p2p, clock, random, logger: collectingLogger(log) })
    const handlers = new RecordingHandlers()
    const clusterId = options.cluster === undefined ? clusterA : options.cluster
    transport.setHello({ clusterId, node: name, starts: options.starts ?? 1, lastTerm: 0, lastIndex: 0 })
    await transport.start(handlers)
    return { id, name, p2p, transport, handlers, log }
  }

  async kill(node: TestNode): Promise<void> {
    this.network.crash(node.id)
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.scheduler.settle(promise, limitMs)
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    if (!(await this.scheduler.runUntil(condition, limitMs))) throw new Error(`never happened: ${what}`)
  }

  async close(): Promise<void> {
    // Nothing runs unless the scheduler is driven.
  }
}
