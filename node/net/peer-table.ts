/**
 * All peers of this node: their connections, the two lanes of each, and what follows for the replica. Knows
 * nothing of libp2p, so the simulated network runs the same code (DESIGN.md section 10).
 */
import { Fault, assert } from '../faults.ts'
import type { MemberId } from '../ids.ts'
import type {
  Hello,
  PeerRequest,
  PeerRequestKind,
  PeerRequestOf,
  PeerResponseOf,
  RaftMessage,
} from '../messages.ts'
import type { CancelTimer, Clock, Lane, Logger, PeerInfo, TransportHandlers } from '../ports.ts'
import { checkHello, makeHello } from './hello.ts'
import type { HelloSigner, OwnHello } from './hello.ts'
import { LogLimiter } from './limiter.ts'
import { Link } from './link.ts'
import type { LinkHost, Pipe } from './link.ts'
import { notSent } from './requests.ts'

/** A peer that connects and says nothing is let go, and so is one that does not answer a hello that was said again. */
const helloTimeoutMs = 5_000

/** One connection to a peer, whoever dialled; there may be two. */
export class PeerConnection {
  readonly peer: MemberId
  readonly links = new Map<Lane, Link>()
  /** One side did not accept the other's hello. */
  refusal: Fault | null = null
  /** Resolves `dial`: settled when the hellos are through or the connection is gone. */
  readonly settled: Promise<PeerInfo>
  readonly settle: { resolve: (peer: PeerInfo) => void; reject: (error: unknown) => void }
  /** Resolves when the peer is of this cluster and open on both lanes; rejects when the connection is gone. */
  readonly opened: Promise<void>
  readonly settleOpened: { resolve: () => void; reject: (error: unknown) => void }
  cancelTimer: CancelTimer = () => undefined
  /** In one cluster and open on both lanes: counted as connected. Never so with a peer that was removed. */
  open = false
  /** Where this node dialled; null when the peer did. */
  address: string | null = null
  readonly close: (reason: string) => void

  constructor(peer: MemberId, close: (reason: string) => void) {
    this.peer = peer
    this.close = close
    const { promise, resolve, reject } = Promise.withResolvers<PeerInfo>()
    this.settled = promise
    this.settle = { resolve, reject }
    // Only dials wait for it; nobody needs to for the connections that peers open.
    promise.catch(() => undefined)
    const opened = Promise.withResolvers<void>()
    this.opened = opened.promise
    this.settleOpened = { resolve: opened.resolve, reject: opened.reject }
    opened.promise.catch(() => undefined)
  }

  get ready(): boolean {
    return (this.links.get('main')?.ready ?? false) && (this.links.get('bulk')?.ready ?? false)
  }

  get hello(): Hello | null {
    return this.links.get('main')?.hello ?? null
  }
}

export type PeerTableOptions = {
  selfId: MemberId
  signer: HelloSigner
  clock: Clock
  logger: Logger
  /** The hellos of a connection went through both ways (also before the peer is in a cluster). */
  onReady?: (connection: PeerConnection) => void
  /** No connection to the peer is left. */
  onGone: (peer: MemberId, refused: boolean) => void
}

export class PeerTable implements LinkHost {
  readonly clock: Clock
  readonly logger: Logger
  readonly limiter: LogLimiter
  readonly #options: PeerTableOptions
  readonly #connections = new Map<MemberId, PeerConnection[]>()
  readonly #connected = new Map<MemberId, PeerInfo>()
  #removed = new Set<MemberId>()
  #handlers: TransportHandlers | null = null
  #own: OwnHello | null = null

  constructor(options: PeerTableOptions) {
    this.#options = options
    this.clock = options.clock
    this.logger = options.logger
    this.limiter = new LogLimiter(options.clock)
  }

  /** From now on the handlers are called. */
  start(handlers: TransportHandlers): void {
    assert(this.#own !== null, 'setHello must come before start: the first stream needs a hello')
    this.#handlers = handlers
  }

  /** No handler is called after this. */
  stop(): void {
    this.#handlers = null
    for (const connection of this.#all()) connection.close('this node is stopping')
  }

  get own(): OwnHello | null {
    return this.#own
  }

  setHello(own: OwnHello): void {
    const joined = this.#own !== null && this.#own.clusterId !== own.clusterId
    this.#own = own
    if (!joined) return
    for (const connection of this.#all()) {
      // An older hello said "no cluster": peers that have one must know, and those of others must go.
      for (const link of connection.links.values()) link.sayHello()
      this.#limitHellos(connection)
    }
  }

  /**
   * Peers that are none of this cluster any more: nothing is sent to them, and of what they say only requests are heard.
   * One that was away when it was removed must be able to ask who the members are, and to bring what it holds.
   */
  setRemoved(removed: readonly MemberId[]): void {
    this.#removed = new Set(removed)
    for (const { open, peer, close } of this.#all())
      if (open && this.#removed.has(peer)) close('the peer was removed from the cluster')
  }

  isRemoved(peer: MemberId): boolean {
    return this.#removed.has(peer)
  }

  connected(): readonly PeerInfo[] {
    return [...this.#connected.values()]
  }

  hasConnection(peer: MemberId): boolean {
    return this.#connections.has(peer)
  }

  /** The peer proved itself as one of this cluster. */
  isMemberOfCluster(peer: MemberId): boolean {
    return this.#connected.has(peer)
  }

  connections(peer: MemberId): readonly PeerConnection[] {
    return this.#connections.get(peer) ?? []
  }

  /** The peer that was dialled at `p2p` and said hello, while that connection lasts. */
  readyAt(p2p: string): PeerInfo | null {
    const connection = this.#all().find((other) => other.address === p2p && other.ready)
    const hello = connection?.hello ?? null
    return connection === undefined || hello === null ? null : { id: connection.peer, hello }
  }

  #all(): PeerConnection[] {
    return [...this.#connections.values()].flat()
  }

  // ---------------------------------------------------------------- connections come and go

  addConnection(peer: MemberId, close: (reason: string) => void): PeerConnection {
    const connection = new PeerConnection(peer, close)
    this.#connections.set(peer, [...this.connections(peer), connection])
    this.#limitHellos(connection)
    return connection
  }

  /**
   * Until its hellos went through nothing is sent over a connection, and as long as it is there nobody dials another
   * one: without an end, one lost answer would keep the two apart for ever.
   */
  #limitHellos(connection: PeerConnection): void {
    connection.cancelTimer()
    connection.cancelTimer = this.clock.timer(helloTimeoutMs, () => {
      if (!connection.ready) connection.close('no hello in time')
    })
  }

  addLink(connection: PeerConnection, lane: Lane, pipe: Pipe): Link | null {
    if (connection.links.has(lane)) return null
    const link = new Link({ peer: connection.peer, lane, pipe, host: this })
    connection.links.set(lane, link)
    link.sayHello()
    return link
  }

  removeConnection(connection: PeerConnection): void {
    const { peer } = connection
    const left = this.connections(peer).filter((other) => other !== connection)
    if (left.length === this.connections(peer).length) return
    if (left.length === 0) this.#connections.delete(peer)
    else this.#connections.set(peer, left)
    connection.open = false
    connection.cancelTimer()
    for (const link of connection.links.values()) link.closed()
    const reason =
      connection.refusal ?? notSent('internal', 'the connection closed before the hellos went through')
    connection.settle.reject(reason)
    connection.settleOpened.reject(reason)
    if (!left.some((other) => other.open) && this.#connected.delete(peer))
      this.#handlers?.peerDisconnected(peer)
    if (left.length === 0) this.#options.onGone(peer, connection.refusal !== null)
  }

  // ---------------------------------------------------------------- what links ask

  hello(to: MemberId): Hello {
    assert(this.#own !== null, 'setHello must come before the first stream')
    return makeHello(this.#options.signer, this.#own, this.#options.selfId, to)
  }

  accept(from: MemberId, hello: Hello): void {
    if (this.#handlers === null)
      throw new Fault('no-primary', 'this node is stopping', {}, { retryAfterSeconds: 1 })
    checkHello(this.#options.signer, hello, from, this.#options.selfId, this.#own?.clusterId ?? null)
    this.#handlers.admit({ id: from, hello })
  }

  sameCluster(hello: Hello): boolean {
    return hello.clusterId !== null && hello.clusterId === this.#own?.clusterId
  }

  linkReady(link: Link): void {
    const connection = this.connections(link.peer).find((other) => other.links.get(link.lane) === link)
    if (connection === undefined || !connection.ready) return
    const hello = connection.hello as Hello
    this.#options.onReady?.(connection)
    connection.settle.resolve({ id: link.peer, hello })
    if (connection.open || this.#removed.has(link.peer) || !this.sameCluster(hello)) return
    connection.open = true
    connection.settleOpened.resolve()
    const known = this.#connected.get(link.peer)
    // A second connection to the same life of the peer is no news; a newer life is.
    if (known !== undefined && known.hello.starts === hello.starts) return
    const info = { id: link.peer, hello }
    this.#connected.set(link.peer, info)
    this.#handlers?.peerConnected(info)
  }

  linkRefused(link: Link, fault: Fault): void {
    const connection = this.connections(link.peer).find((other) => other.links.get(link.lane) === link)
    if (connection !== undefined) connection.refusal ??= fault
    // Mostly both refuse each other for the same reason: one line.
    if (this.limiter.allows(`refused ${link.peer} ${fault.code}`))
      this.logger.warn({ peer: link.peer, reason: fault.message }, 'a connection to a peer was refused')
  }

  raft(from: MemberId, message: RaftMessage): void {
    if (!this.#removed.has(from)) this.#handlers?.raft(from, message)
  }

  request(from: MemberId, request: PeerRequest): Promise<unknown> {
    const handlers = this.#handlers
    if (handlers === null) return Promise.reject(notSent('overloaded', 'this node is stopping'))
    // A handler that throws before its first await is a rejection like any other.
    return Promise.resolve().then(() => handlers.request(from, request as never))
  }

  // ---------------------------------------------------------------- sending

  /** The newest open connection: an older one may belong to a life of the peer that is over. */
  #openLink(to: MemberId, lane: Lane): Link | null {
    return (
      this.connections(to)
        .findLast((connection) => connection.open)
        ?.links.get(lane) ?? null
    )
  }

  send(to: MemberId, message: RaftMessage): void {
    const result = this.#openLink(to, 'main')?.sendRaft(message)
    if (result === 'too-large')
      this.logger.error({ peer: to, kind: message.kind }, 'a consensus message does not fit into a frame')
    if (result === 'full' && this.limiter.allows(`slow ${to}`))
      this.logger.info(
        { peer: to },
        'a peer does not take consensus messages as fast as they come; some are dropped',
      )
  }

  /** What was sent to the peer leaves now, not at the end of this turn. */
  flush(to: MemberId): void {
    this.#openLink(to, 'main')?.flush()
  }

  ask<K extends PeerRequestKind>(
    to: MemberId,
    request: PeerRequestOf<K>,
    options: { timeoutMs: number; lane?: Lane },
  ): Promise<PeerResponseOf<K>> {
    let link = this.#openLink(to, options.lane ?? 'main')
    // Joining happens before the two are in one cluster.
    if (link === null && request.kind === 'join')
      link =
        this.connections(to)
          .findLast((connection) => connection.ready)
          ?.links.get('main') ?? null
    if (link === null) return Promise.reject(notSent('internal', 'the peer is not connected'))
    return link.ask(request, options.timeoutMs)
  }
}
