/**
 * A network of simulated nodes: the Transport port over virtual time, with delay, loss, duplication, reordering,
 * one-way cuts, partitions, pauses and crashes. Frames, hellos, links and redialling are the production code of
 * node/net; only the wire is simulated, and every message crosses it as JSON text.
 */
import type { MemberId } from '../../node/ids.ts'
import type { Logger } from '../../node/ports.ts'
import type { HelloSigner } from '../../node/net/hello.ts'
import type { SeededRandom } from './random.ts'
import type { Scheduler, SimClock } from './scheduler.ts'
import { SimTransport } from './transport.ts'
import { SimWire } from './wire.ts'

export type NetworkSettings = {
  /** One way, uniform. */
  delayMinMs: number
  delayMaxMs: number
  /** Chance that a consensus message or a hop of gossip is lost. */
  loss: number
  /** Chance that a consensus message arrives twice. */
  duplication: number
  /** Chance that a request or an answer is lost while the connection stays. */
  requestLoss: number
  /** Consensus messages may overtake each other. */
  reorder: boolean
}

export const calmNetwork: NetworkSettings = {
  delayMinMs: 0.2,
  delayMaxMs: 2,
  loss: 0,
  duplication: 0,
  requestLoss: 0,
  reorder: false,
}

/** After this long a cut or paused peer's connections are closed, as libp2p's pings do (LIMITS.md: 12.6 s). */
export const silentCloseMs = 12_000

export type SimNodeOptions = {
  id: MemberId
  p2p: string
  clock: SimClock
  random: SeededRandom
  logger: Logger
  /** Proves the secret; by default all nodes hold the same one. */
  signer?: HelloSigner
}

/** Every simulated node holds the same secret; a real keyring would only cost time. */
const simSigner: HelloSigner = {
  sign: () => ({ keyId: 'sim', signature: 'sim' }),
  verify: (_label, keyId, _payload, signature) => keyId === 'sim' && signature === 'sim',
}

export class SimNetwork {
  readonly scheduler: Scheduler
  readonly random: SeededRandom
  settings: NetworkSettings
  /** Changes with every delivery: two runs with equal traces did the same. */
  trace = 0
  delivered = 0
  readonly #nodes = new Map<MemberId, SimTransport>()
  readonly #wires = new Set<SimWire>()
  /** Directed cuts, `from>to`. */
  readonly #blocked = new Set<string>()
  /** Addresses whose machine is gone: nothing there answers, not even with a refusal. */
  readonly #dark = new Set<string>()

  constructor(scheduler: Scheduler, random: SeededRandom, settings: Partial<NetworkSettings> = {}) {
    this.scheduler = scheduler
    this.random = random
    this.settings = { ...calmNetwork, ...settings }
  }

  /** The transport of one life of a node; a later one with the same id replaces it. */
  transport(options: SimNodeOptions): SimTransport {
    const transport = new SimTransport(this, { signer: simSigner, ...options })
    this.#nodes.set(options.id, transport)
    this.#dark.delete(options.p2p)
    return transport
  }

  // ---------------------------------------------------------------- faults

  /** Cuts one direction. */
  block(from: MemberId, to: MemberId): void {
    this.#blocked.add(`${from}>${to}`)
    this.#closeIfStillSilent()
  }

  unblock(from: MemberId, to: MemberId): void {
    this.#blocked.delete(`${from}>${to}`)
  }

  /** Only members of one group reach each other; who is in no group is alone. */
  partition(groups: readonly (readonly MemberId[])[]): void {
    this.#blocked.clear()
    const groupOf = new Map(groups.flatMap((group, index) => group.map((id) => [id, index] as const)))
    for (const from of this.#nodes.keys())
      for (const to of this.#nodes.keys())
        if (from !== to && (!groupOf.has(from) || groupOf.get(from) !== groupOf.get(to)))
          this.#blocked.add(`${from}>${to}`)
    this.#closeIfStillSilent()
  }

  heal(): void {
    this.#blocked.clear()
  }

  /** kill -9: nothing of this life runs again, its connections close. `dark`: the machine is gone, so nothing refuses. */
  crash(id: MemberId, options: { dark?: boolean } = {}): void {
    const node = this.#nodes.get(id)
    if (node === undefined) return
    node.clock.stop()
    node.listening = false
    if (options.dark === true) this.#dark.add(node.p2p)
    for (const wire of this.wiresOf(id)) wire.died(id, options.dark === true)
  }

  /** SIGSTOP: what arrives waits; the kernel still accepts connections. */
  pause(id: MemberId): void {
    this.#nodes.get(id)?.clock.pause()
    this.#closeIfStillSilent()
  }

  resume(id: MemberId): void {
    this.#nodes.get(id)?.clock.resume()
  }

  // ---------------------------------------------------------------- what wires and transports ask

  isBlocked(from: MemberId, to: MemberId): boolean {
    return this.#blocked.size > 0 && this.#blocked.has(`${from}>${to}`)
  }

  isPaused(id: MemberId): boolean {
    return this.#nodes.get(id)?.clock.paused ?? false
  }

  isDark(p2p: string): boolean {
    return this.#dark.has(p2p)
  }

  delayMs(): number {
    return this.random.between(this.settings.delayMinMs, this.settings.delayMaxMs)
  }

  node(id: MemberId): SimTransport | undefined {
    return this.#nodes.get(id)
  }

  nodeAt(p2p: string): SimTransport | undefined {
    for (const node of this.#nodes.values()) if (node.p2p === p2p && node.listening) return node
    return undefined
  }

  wiresOf(id: MemberId): SimWire[] {
    return [...this.#wires].filter((wire) => wire.joins(id))
  }

  addWire(wire: SimWire): void {
    this.#wires.add(wire)
  }

  removeWire(wire: SimWire): void {
    this.#wires.delete(wire)
  }

  /** Notes a delivery in the trace (FNV-1a over time, ends, and size). */
  note(from: MemberId, to: MemberId, what: string, sizeBytes: number): void {
    this.delivered += 1
    let hash = this.trace
    const text = `${this.scheduler.nowMs.toFixed(6)} ${from} ${to} ${what} ${sizeBytes}`
    for (let index = 0; index < text.length; index += 1)
      hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
    this.trace = hash >>> 0
  }

  #closeIfStillSilent(): void {
    for (const wire of this.#wires) {
      if (!wire.isSilent()) continue
      this.scheduler.after(silentCloseMs * this.random.between(0.8, 1.2), () => {
        if (wire.isSilent()) wire.timeOut()
      })
    }
  }
}
