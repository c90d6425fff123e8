/**
 * The Transport port over libp2p: connections become entries in the table of peers, streams become lanes, and
 * gossipsub only hears who said hello. What does not need libp2p is in the other files of this folder.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { Fault, isFault } from '../faults.ts'
import type { MemberId } from '../ids.ts'
import type {
  GossipMessage,
  GossipTopic,
  PeerRequestKind,
  PeerRequestOf,
  PeerResponseOf,
  RaftMessage,
} from '../messages.ts'
import type {
  CancelTimer,
  Clock,
  GossipTraffic,
  Lane,
  Logger,
  PeerInfo,
  ProbeResult,
  Random,
  Transport,
  TransportHandlers,
} from '../ports.ts'
import { toMultiaddr } from './address.ts'
import { Gossip, Rejections } from './gossip.ts'
import { GossipTrafficCounter } from './gossip-traffic.ts'
import type { HelloSigner, OwnHello } from './hello.ts'
import { memberIdOf, privateKeyOf } from './identity.ts'
import { createLibp2pNode, dialTimeoutMs } from './libp2p-node.ts'
import type { Libp2pNode } from './libp2p-node.ts'
import { PeerTable } from './peer-table.ts'
import type { PeerConnection } from './peer-table.ts'
import type { Misunderstanding } from './private-network.ts'
import { probe } from './probe.ts'
import { Redialer } from './redial.ts'
import type { Peer } from './redial.ts'
import { notSent } from './requests.ts'
import { StreamPipe } from './stream-pipe.ts'

export { createIdentity } from './identity.ts'

const lanes: readonly Lane[] = ['main', 'bulk']
/** What is queued gets so long to leave before a connection is cut off. */
const closeTimeoutMs = 500
/** How often a lost gossip stream is looked for, and how old a connection must be to need one. */
const gossipWatchMs = 5_000

export type TransportOptions = {
  identity: { readonly memberId: MemberId; readonly privateKey: Uint8Array }
  /** `host:port` to listen at. */
  listen: string
  /** `host:port` that others reach this node at, when it differs. */
  announce?: string
  /** The cluster secret: proves hellos, and is the key of the private network (32 bytes). */
  keyring: HelloSigner & { preSharedKey(): Uint8Array }
  logger: Logger
  clock: Clock
  random: Random
}

/** `setHello` must have been called before `start`. */
export function createTransport(options: TransportOptions): Transport {
  return new Libp2pTransport(options)
}

function protocolOf(lane: Lane): string {
  return `/souk/${lane}/1`
}

class Libp2pTransport implements Transport {
  readonly #options: TransportOptions
  readonly #selfId: MemberId
  readonly #table: PeerTable
  readonly #redialer: Redialer
  readonly #rejections: Rejections
  readonly #traffic = new GossipTrafficCounter()
  readonly #connections = new Map<Connection, PeerConnection>()
  /** Addresses that broke off while being dialled, and how often in a row. */
  readonly #brokeOff = new Map<string, number>()
  #node: Libp2pNode | null = null
  #gossip: Gossip | null = null
  #handlers: TransportHandlers | null = null
  #cancelWatch: CancelTimer = () => undefined
  #stopped = false

  constructor(options: TransportOptions) {
    this.#options = options
    this.#selfId = options.identity.memberId
    const { clock, logger, random, keyring } = options
    this.#rejections = new Rejections(clock)
    this.#table = new PeerTable({
      selfId: this.#selfId,
      signer: keyring,
      clock,
      logger,
      onReady: (connection) => this.#redialer.opened(connection.peer),
      onGone: (peer, refused) => this.#redialer.closed(peer, refused),
    })
    this.#redialer = new Redialer({
      selfId: this.#selfId,
      clock,
      random,
      logger,
      dial: async (peer) => void (await this.#connect(peer.p2p, peer.id, dialTimeoutMs)),
      hasConnection: (peer) => this.#table.hasConnection(peer),
    })
  }

  async start(handlers: TransportHandlers): Promise<void> {
    const { identity, listen, announce, keyring } = this.#options
    this.#table.start(handlers)
    this.#handlers = handlers
    const node = await createLibp2pNode({
      privateKey: privateKeyOf(identity),
      preSharedKey: keyring.preSharedKey(),
      listen,
      announce,
      cluster: this.#table.own?.clusterId ?? null,
      rejections: this.#rejections,
      traffic: this.#traffic,
      isRemoved: (peer) => this.#table.isRemoved(peer),
      gate: async (connection) => {
        const entry = this.#connections.get(connection)
        if (entry === undefined) throw new Error('the connection is closing')
        await entry.opened
      },
      misunderstood: (what) => this.#misunderstood(what),
    })
    this.#node = node
    await this.#register(node)
    try {
      await node.start()
    } catch (error) {
      throw new Fault(
        'internal',
        `can't listen for peers at ${listen}: ${String(error)}`,
        {},
        { cause: error },
      )
    }
    this.#joinGossip()
    this.#redialer.start()
    this.#watchGossip()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#handlers = null
    this.#redialer.stop()
    this.#cancelWatch()
    await this.#gossip?.flushed()
    this.#table.stop()
    await this.#node?.stop()
  }

  setPeers(peers: readonly Peer[]): void {
    this.#redialer.setPeers(peers)
  }

  setRemoved(removed: readonly MemberId[]): void {
    this.#table.setRemoved(removed)
  }

  connected(): readonly PeerInfo[] {
    return this.#table.connected()
  }

  setHello(hello: OwnHello): void {
    this.#table.setHello(hello)
    this.#joinGossip()
  }

  send(to: MemberId, message: RaftMessage): void {
    this.#table.send(to, message)
  }

  flush(to: MemberId): void {
    this.#table.flush(to)
  }

  request<K extends PeerRequestKind>(
    to: MemberId,
    request: PeerRequestOf<K>,
    options: { timeoutMs: number; lane?: Lane },
  ): Promise<PeerResponseOf<K>> {
    return this.#table.ask(to, request, options)
  }

  publish<T extends GossipTopic>(topic: T, message: GossipMessage<T>): void {
    if (!this.#stopped) this.#gossip?.publish(topic, message)
  }

  gossipTraffic(): GossipTraffic {
    return this.#traffic.read()
  }

  probe(p2p: string): Promise<ProbeResult> {
    return probe(p2p)
  }

  async dial(p2p: string, timeoutMs: number): Promise<PeerInfo> {
    const known = this.#table.readyAt(p2p)
    if (known !== null) return known
    const connection = await this.#connect(p2p, null, timeoutMs)
    const late = Promise.withResolvers<never>()
    const cancel = this.#options.clock.timer(timeoutMs, () =>
      late.reject(notSent('internal', `no hello from ${p2p} in time`)),
    )
    return Promise.race([connection.settled, late.promise]).finally(cancel)
  }

  // ---------------------------------------------------------------- connections and lanes

  async #register(node: Libp2pNode): Promise<void> {
    node.addEventListener('connection:open', ({ detail }) => this.#opened(detail))
    node.addEventListener('connection:close', ({ detail }) => this.#closed(detail))
    for (const lane of lanes) {
      await node.handle(protocolOf(lane), (stream, connection) => this.#accept(stream, connection, lane), {
        maxInboundStreams: 1,
        maxOutboundStreams: 1,
      })
    }
  }

  #opened(connection: Connection): void {
    if (connection.status !== 'open' || this.#stopped) return
    const entry = this.#table.addConnection(memberIdOf(connection.remotePeer), (reason) =>
      this.#close(connection, reason),
    )
    this.#connections.set(connection, entry)
    if (connection.direction === 'outbound') for (const lane of lanes) this.#openLane(connection, entry, lane)
  }

  #closed(connection: Connection): void {
    const entry = this.#connections.get(connection)
    this.#connections.delete(connection)
    if (entry !== undefined) this.#table.removeConnection(entry)
  }

  #close(connection: Connection, reason: string): void {
    connection
      .close({ signal: AbortSignal.timeout(closeTimeoutMs) })
      .catch(() => this.#abort(connection, reason))
  }

  /** Not in this turn: libp2p may be in the middle of closing it, and throws when it is aborted meanwhile. */
  #abort(connection: Connection, reason: string): void {
    this.#options.clock.defer(() => {
      try {
        if (connection.status === 'open' || connection.status === 'closing')
          connection.abort(new Error(reason))
      } catch (error) {
        const data = { peer: connection.remotePeer.toString(), reason: String(error) }
        this.#options.logger.debug(data, 'a connection was closed while it was being aborted')
      }
      // One that was closed before says nothing more.
      if (connection.status !== 'open') this.#closed(connection)
    })
  }

  /** Only the side that dialled opens lanes, so each connection has one of each. */
  #openLane(connection: Connection, entry: PeerConnection, lane: Lane): void {
    connection.newStream(protocolOf(lane)).then(
      (stream) => this.#attach(stream, connection, entry, lane),
      (error: unknown) => {
        this.#options.logger.debug(
          { peer: entry.peer, lane, reason: String(error) },
          'a lane could not be opened',
        )
        this.#abort(connection, 'a lane could not be opened')
      },
    )
  }

  #accept(stream: Stream, connection: Connection, lane: Lane): void {
    const entry = this.#connections.get(connection)
    if (entry === undefined || connection.direction === 'outbound')
      stream.abort(new Error('only the side that dialled opens lanes'))
    else this.#attach(stream, connection, entry, lane)
  }

  #attach(stream: Stream, connection: Connection, entry: PeerConnection, lane: Lane): void {
    const { clock, logger } = this.#options
    const pipe = new StreamPipe({
      stream,
      peer: entry.peer,
      lane,
      clock,
      logger,
      limiter: this.#table.limiter,
      close: (reason) => this.#close(connection, reason),
      abort: (reason) => this.#abort(connection, reason),
    })
    const link = this.#table.addLink(entry, lane, pipe)
    if (link === null) stream.abort(new Error('this connection has that lane already'))
    else pipe.readInto(link)
  }

  // ---------------------------------------------------------------- dialling

  async #connect(p2p: string, peer: MemberId | null, timeoutMs: number): Promise<PeerConnection> {
    if (this.#node === null || this.#stopped) throw notSent('internal', 'this node is not started')
    let connection: Connection
    const address = toMultiaddr(p2p, peer)
    try {
      connection = await this.#node.dial(address, { signal: AbortSignal.timeout(timeoutMs) })
    } catch (error) {
      if (isFault(error)) throw error
      throw new Fault(
        'internal',
        `can't connect to ${p2p}: ${String(error)}`,
        { notSent: true },
        { cause: error },
      )
    }
    const entry = this.#connections.get(connection)
    if (entry === undefined) throw notSent('internal', `${p2p} closed the connection at once`)
    entry.address = p2p
    this.#brokeOff.delete(address.toString())
    return entry
  }

  /** A connection that breaks off once may be a process that was killed; twice in a row it is another secret. */
  #misunderstood({ address, certain }: Misunderstanding): void {
    if (this.#stopped) return
    // Who dials has another port each time.
    const host = address.split('/').slice(0, 3).join('/')
    if (!certain) {
      if (this.#brokeOff.size > brokeOffHostsMax) this.#brokeOff.clear()
      const count = (this.#brokeOff.get(address) ?? 0) + 1
      this.#brokeOff.set(address, count)
      if (count < 2) return
    }
    if (this.#table.limiter.allows(`secret ${certain ? host : address}`))
      this.#options.logger.warn(
        { address },
        `the peer at ${address} does not hold this cluster's secret, or this node doesn't; give all nodes the same secret file`,
      )
  }

  // ---------------------------------------------------------------- gossip

  #joinGossip(): void {
    const cluster = this.#table.own?.clusterId ?? null
    if (cluster === null || this.#node === null || this.#node.status !== 'started' || this.#gossip !== null)
      return
    this.#gossip = new Gossip({
      pubsub: this.#node.services.pubsub,
      rejections: this.#rejections,
      logger: this.#options.logger,
      limiter: this.#table.limiter,
      handlers: () => this.#handlers,
      isRemoved: (peer) => this.#table.isRemoved(peer),
    })
    this.#gossip.join(cluster)
  }

  /**
   * Gossipsub opens its stream to a peer once; when only that stream or its connection breaks, the peer would hear
   * nothing more from here. A new connection is the cure.
   */
  #watchGossip(): void {
    let suspects = new Set<MemberId>()
    const look = (): void => {
      const silent = this.#table.connected().filter(({ id }) => !this.#hasGossipStream(id))
      for (const { id } of silent.filter((peer) => suspects.has(peer.id))) {
        this.#options.logger.info({ peer: id }, 'the gossip stream to a peer is gone; connecting anew')
        for (const connection of this.#table.connections(id)) connection.close('no gossip stream')
      }
      suspects = new Set(silent.map(({ id }) => id))
      this.#cancelWatch = this.#options.clock.timer(gossipWatchMs, look)
    }
    this.#cancelWatch = this.#options.clock.timer(gossipWatchMs, look)
  }

  #hasGossipStream(peer: MemberId): boolean {
    const protocols = this.#node?.services.pubsub.protocols ?? []
    return [...this.#connections].some(
      ([connection, entry]) =>
        entry.peer === peer &&
        connection.streams.some(
          ({ direction, protocol }) => direction === 'outbound' && protocols.includes(protocol),
        ),
    )
  }
}

/** Addresses whose broken handshakes are counted. */
const brokeOffHostsMax = 1_000
