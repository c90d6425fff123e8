/** The Transport port of one simulated node: production's table of peers and redialler over simulated wires. */
import { Fault, assert } from '../../node/faults.ts'
import type { MemberId } from '../../node/ids.ts'
import type {
  GossipMessage,
  GossipTopic,
  Hello,
  PeerRequestKind,
  PeerRequestOf,
  PeerResponseOf,
} from '../../node/messages.ts'
import type { HelloSigner } from '../../node/net/hello.ts'
import { PeerTable } from '../../node/net/peer-table.ts'
import type { PeerConnection } from '../../node/net/peer-table.ts'
import { Redialer } from '../../node/net/redial.ts'
import type { Peer } from '../../node/net/redial.ts'
import { gossipSizeBytesMax, gossipValidators } from '../../node/net/topics.ts'
import type { RaftMessage } from '../../node/core/raft/types.ts'
import type {
  GossipTraffic,
  Lane,
  PeerInfo,
  ProbeResult,
  Transport,
  TransportHandlers,
} from '../../node/ports.ts'
import type { SimNetwork, SimNodeOptions } from './network.ts'
import type { SimClock } from './scheduler.ts'
import { SimWire } from './wire.ts'

/** As production. */
const dialTimeoutMs = 3_000
const probeTimeoutMs = 500
/** A receiver hands a message on to so many others; its author sends it to all. */
const forwardPeers = 2
/** Message ids remembered so that each is handled once, as gossipsub's seen cache. */
const seenMessagesMax = 20_000

export class SimTransport implements Transport {
  readonly id: MemberId
  readonly p2p: string
  readonly clock: SimClock
  readonly table: PeerTable
  listening = false
  readonly #network: SimNetwork
  readonly #redialer: Redialer
  readonly #validators: ReturnType<typeof gossipValidators>
  readonly #seen = new Set<string>()
  #handlers: TransportHandlers | null = null
  #sequence = 0
  #gossipSentBytes = 0
  #gossipReceivedBytes = 0

  constructor(network: SimNetwork, options: SimNodeOptions & { signer: HelloSigner }) {
    this.#network = network
    this.id = options.id
    this.p2p = options.p2p
    this.clock = options.clock
    const { clock, logger, random, signer } = options
    this.table = new PeerTable({
      selfId: this.id,
      signer,
      clock,
      logger,
      onReady: (connection) => this.#redialer.opened(connection.peer),
      onGone: (peer, refused) => this.#redialer.closed(peer, refused),
    })
    this.#redialer = new Redialer({
      selfId: this.id,
      clock,
      random,
      logger,
      dial: async (peer) => void (await this.#connect(peer.p2p, peer.id, dialTimeoutMs)),
      hasConnection: (peer) => this.table.hasConnection(peer),
    })
    this.#validators = gossipValidators({
      logger,
      limiter: this.table.limiter,
      handlers: () => this.#handlers,
      isRemoved: (peer) => this.table.isRemoved(peer),
    })
  }

  async start(handlers: TransportHandlers): Promise<void> {
    this.table.start(handlers)
    this.#handlers = handlers
    this.listening = true
    this.#redialer.start()
  }

  async stop(): Promise<void> {
    this.listening = false
    this.#handlers = null
    this.#redialer.stop()
    this.table.stop()
  }

  setPeers(peers: readonly Peer[]): void {
    this.#redialer.setPeers(peers)
  }

  setRemoved(removed: readonly MemberId[]): void {
    this.table.setRemoved(removed)
  }

  setHello(hello: Omit<Hello, 'keyId' | 'proof' | 'protocol'>): void {
    this.table.setHello(hello)
  }

  connected(): readonly PeerInfo[] {
    return this.table.connected()
  }

  send(to: MemberId, message: RaftMessage): void {
    this.table.send(to, message)
  }

  flush(to: MemberId): void {
    this.table.flush(to)
  }

  request<K extends PeerRequestKind>(
    to: MemberId,
    request: PeerRequestOf<K>,
    options: { timeoutMs: number; lane?: Lane },
  ): Promise<PeerResponseOf<K>> {
    return this.table.ask(to, request, options)
  }

  async dial(p2p: string, timeoutMs: number): Promise<PeerInfo> {
    const known = this.table.readyAt(p2p)
    if (known !== null) return known
    const connection = await this.#connect(p2p, null, timeoutMs)
    return withTimeout(this.clock, connection.settled, timeoutMs, `no hello from ${p2p}`)
  }

  async probe(p2p: string): Promise<ProbeResult> {
    const target = this.#network.nodeAt(p2p)
    const silent = this.#network.isDark(p2p) || this.#cutOff(p2p)
    await wait(this.clock, silent ? probeTimeoutMs : this.#network.delayMs() * 2)
    if (silent) return 'unknown'
    return target === undefined || !target.listening ? 'refused' : 'open'
  }

  // ---------------------------------------------------------------- gossip

  publish<T extends GossipTopic>(topic: T, message: GossipMessage<T>): void {
    const text = JSON.stringify(message)
    assert(
      text.length <= gossipSizeBytesMax,
      `a ${topic} message of ${text.length} bytes would vanish in gossipsub`,
    )
    if (this.table.own?.clusterId === null || !this.listening) return
    this.#sequence += 1
    const messageId = `${this.id} ${this.table.own?.starts} ${this.#sequence}`
    this.#remember(messageId)
    for (const peer of this.table.connected()) this.#gossipTo(peer.id, topic, text, messageId, this.id)
  }

  gossipTraffic(): GossipTraffic {
    return { sentBytes: this.#gossipSentBytes, receivedBytes: this.#gossipReceivedBytes }
  }

  #gossipTo(to: MemberId, topic: GossipTopic, text: string, messageId: string, author: MemberId): void {
    const network = this.#network
    this.#gossipSentBytes += text.length
    if (network.random.chance(network.settings.loss) || network.isBlocked(this.id, to)) return
    network.scheduler.after(network.delayMs(), () => {
      const node = network.node(to)
      if (node === undefined || network.isBlocked(this.id, to)) return
      node.clock.run(() => node.#gossipFrom(this.id, topic, text, messageId, author))
    })
  }

  #gossipFrom(from: MemberId, topic: GossipTopic, text: string, messageId: string, author: MemberId): void {
    this.#gossipReceivedBytes += text.length
    if (!this.table.isMemberOfCluster(from) || this.#seen.has(messageId)) return
    this.#remember(messageId)
    this.#network.note(from, this.id, topic, text.length)
    if (this.#validators[topic](text, author) !== 'accept') return
    const others = this.table.connected().filter((peer) => peer.id !== from && peer.id !== author)
    for (const peer of this.#network.random.shuffle(others).slice(0, forwardPeers))
      this.#gossipTo(peer.id, topic, text, messageId, author)
  }

  #remember(messageId: string): void {
    this.#seen.add(messageId)
    if (this.#seen.size <= seenMessagesMax) return
    const [oldest] = this.#seen
    this.#seen.delete(oldest as string)
  }

  // ---------------------------------------------------------------- connecting

  #cutOff(p2p: string): boolean {
    const target = this.#network.nodeAt(p2p)?.id
    return (
      target !== undefined &&
      (this.#network.isBlocked(this.id, target) || this.#network.isBlocked(target, this.id))
    )
  }

  #connect(p2p: string, expected: MemberId | null, timeoutMs: number): Promise<PeerConnection> {
    const network = this.#network
    const giveUpMs = network.scheduler.nowMs + timeoutMs
    const connecting = new Promise<PeerConnection>((resolve, reject) => {
      const fail = (reason: string): void =>
        reject(new Fault('internal', `${p2p}: ${reason}`, { notSent: true }))
      if (this.#cutOff(p2p) || network.isDark(p2p)) return
      network.scheduler.after(network.delayMs(), () => {
        const target = network.nodeAt(p2p)
        if (target === undefined) return this.clock.run(() => fail('connection refused'))
        target.clock.run(() => {
          const problem = this.#problemWith(target, expected)
          if (problem !== null) return this.clock.run(() => fail(problem))
          // A target that was paused finds that the dialler has gone.
          if (this.clock.stopped || network.scheduler.nowMs > giveUpMs) return
          new SimWire(network, this, target, resolve, p2p)
        })
      })
    })
    return withTimeout(this.clock, connecting, timeoutMs, `${p2p}: timed out`)
  }

  #problemWith(target: SimTransport, expected: MemberId | null): string | null {
    if (expected !== null && target.id !== expected) return `is ${target.id}, not ${expected}`
    if (target.id === this.id) return 'is this node itself'
    if (this.table.isRemoved(target.id)) return 'was removed from the cluster'
    return null
  }
}

function wait(clock: SimClock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.timer(delayMs, resolve))
}

function withTimeout<T>(clock: SimClock, promise: Promise<T>, timeoutMs: number, reason: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.timer(timeoutMs, () => reject(new Fault('internal', reason, { notSent: true })))
    promise.then(
      (value) => {
        cancel()
        resolve(value)
      },
      (error: unknown) => {
        cancel()
        reject(error)
      },
    )
  })
}
