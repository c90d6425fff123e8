/**
 * One node without its doors: consensus, catalog, carts, orders, wired together. Knows ports only, so that the
 * simulator runs exactly this with a fake network, a virtual clock and SQLite in memory (DESIGN.md section 10).
 */
import { Fault, isFault } from './faults.ts'
import type { ClusterId, LogIndex, MemberId, Term } from './ids.ts'
import type {
  GossipMessage,
  GossipTopic,
  GossipVerdict,
  PeerRequestKind,
  PeerRequestOf,
  PeerResponseOf,
} from './messages.ts'
import type {
  Clock,
  Logger,
  PasswordHasher,
  PeerInfo,
  Random,
  Stores,
  Transport,
  TransportHandlers,
} from './ports.ts'
import type { Replica } from './replica-api.ts'
import { prepareStores } from './replica/start-up.ts'
import { whileThereIsSpace } from './replica/full-disk.ts'
import { Parts } from './replica/parts.ts'
import { productionBounds } from './replica/context.ts'
import type { Bounds, RequestHandlers, Settings } from './replica/context.ts'

/** Handing the lease over on a clean stop: longer than an election, so that it nearly always succeeds. */
const handOverTimeoutMs = 2_500

export type ReplicaOptions = {
  readonly settings: Settings
  readonly clock: Clock
  readonly random: Random
  readonly transport: Transport
  readonly stores: Stores
  readonly hasher: PasswordHasher
  readonly logger: Logger
  /** How busy this process is, 0 to 100 or more. */
  readonly loadPercent: () => number
  /** This node can't go on (disk failed, invariant broken): the process must end with an error. */
  readonly onFatal: (error: unknown) => void
  /** By default production's. */
  readonly bounds?: Bounds
}

export class ReplicaNode {
  readonly #options: ReplicaOptions
  readonly #parts: Parts
  readonly #handlers: RequestHandlers
  #started = false
  #stopped = false

  constructor(options: ReplicaOptions) {
    this.#options = options
    prepareStores(options)
    this.#parts = new Parts(
      { bounds: productionBounds, ...options },
      {
        started: () => this.#started,
        clusterKnown: (clusterId) => this.#setHello(clusterId),
        fatal: (error) => this.#fatal(error),
      },
    )
    this.#handlers = this.#parts.handlers
  }

  /** What `http/` may use. */
  get api(): Replica {
    return this.#parts.api
  }

  /** For tests and the simulator's checkers. */
  get parts(): Parts {
    return this.#parts
  }

  /** Begins, joins or goes on. Resolves when this node listens; being a member and ready comes later. */
  async start(): Promise<void> {
    const { stores, transport } = this.#options
    this.#setHello(stores.log.identity().clusterId)
    await transport.start(this.#transportHandlers())
    this.#started = true
    this.#parts.start()
  }

  #setHello(clusterId: ClusterId | null): void {
    const { stores, transport, settings } = this.#options
    const { starts } = stores.log.identity()
    const lastIndex = stores.log.lastIndex()
    const lastTerm = stores.log.termAt(lastIndex) ?? 0
    transport.setHello({ clusterId, node: settings.node, starts, lastTerm, lastIndex })
  }

  /** Stops without a failed request: the lease is handed over first. Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    await this.handOver()
    this.#parts.presence.announce(true)
    this.#stopped = true
    this.#parts.stop()
    await this.#options.transport.stop()
  }

  /** Gives the lease to another voter, if there is one; the first step of a clean stop. */
  async handOver(): Promise<void> {
    const { consensus, context, presence } = this.#parts
    if (!consensus.isPrimary() || consensus.config.voters.length < 2) return
    const lapsed = new Promise<boolean>((resolve) => {
      context.clock.timer(handOverTimeoutMs, () => resolve(false))
    })
    const handedOver = await Promise.race([consensus.transfer(null), lapsed])
    // When the whole cluster stops, the last one has nobody to hand over to: nothing to be told about.
    const others = consensus.config.voters.filter((voter) => voter !== context.selfId)
    if (!handedOver && others.some((voter) => presence.alive(voter)))
      this.#options.logger.warn({}, 'no other voter took the lease in time; the voters will elect one')
  }

  /** As if the process were killed: nothing is said, nothing more is done. */
  crash(): void {
    this.#stopped = true
    this.#parts.stop()
  }

  #fatal(error: unknown): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#parts.stop()
    this.#options.onFatal(error)
  }

  // ---------------------------------------------------------------- what peers say

  #transportHandlers(): TransportHandlers {
    return {
      peerConnected: (peer) => this.#peerConnected(peer),
      peerDisconnected: (peer) => {
        if (this.#stopped) return
        this.#parts.duties.peerDisconnected(peer)
        this.#parts.consensus.input({ kind: 'peer-disconnected', member: peer })
        this.#parts.presence.peerDisconnected(peer)
      },
      raft: (from, message) => {
        this.#parts.presence.touch(from)
        this.#parts.voting.receive(from, message)
      },
      request: (from, request) => this.#answer(from, request),
      gossip: (topic, message, from) => this.#gossip(topic, message, from),
      admit: (peer) => this.#admit(peer),
    }
  }

  #peerConnected(peer: PeerInfo): void {
    this.#parts.duties.peerConnected(peer)
    this.#parts.presence.peerConnected(peer)
    this.#parts.consensus.input({ kind: 'peer-connected', member: peer.id })
    this.#parts.users.peerConnected()
    this.#parts.membership.introduce(peer.id)
  }

  /** Refuses other clusters and members that went back in time (DESIGN.md section 2). */
  #admit(peer: PeerInfo): void {
    const { log } = this.#options.stores
    const own = log.identity().clusterId
    const { clusterId, starts, lastTerm, lastIndex } = peer.hello
    if (own !== null && clusterId !== null && own !== clusterId) {
      throw new Fault('forbidden', 'this node belongs to another cluster')
    }
    const seen = log.peerStarts(peer.id)
    if (seen !== null && starts < seen.starts) {
      throw wentBack()
    }
    if (seen !== null && starts === seen.starts) return
    // A copy of its disk that is older than what it has acknowledged counts on from the copy's own number of starts.
    if (seen !== null && isEarlier({ lastTerm, lastIndex }, seen)) throw wentBack()
    // Not what the hello says of its log: only what is committed is there for good (primary-duties.ts, rememberEnd).
    // A node whose disk is full still talks to who comes back; the next hello tries again to remember it.
    whileThereIsSpace(this.#options.logger, 'a peer’s start is not remembered', () =>
      log.setPeerStarts(peer.id, { lastTerm: 0, lastIndex: 0, ...seen, starts }),
    )
  }

  async #answer<K extends PeerRequestKind>(
    from: MemberId,
    request: PeerRequestOf<K>,
  ): Promise<PeerResponseOf<K>> {
    if (this.#stopped) throw new Fault('no-primary', 'this node is stopping', {}, { retryAfterSeconds: 1 })
    const { membership, presence } = this.#parts
    if (membership.get(from) !== null) presence.touch(from)
    else if (!this.#mayStrangerAsk(from, request.kind))
      throw new Fault('forbidden', 'only members may ask this', { membersVersion: membership.version() })
    try {
      const handler = this.#handlers[request.kind as K] as (
        from: MemberId,
        request: PeerRequestOf<K>,
      ) => Promise<PeerResponseOf<K>>
      return await handler(from, request)
    } catch (error) {
      if (!isFault(error))
        this.#options.logger.error({ from, kind: request.kind, error }, 'a request from a peer failed')
      throw error
    }
  }

  /**
   * Who was removed hands its carts over. It may have been away then, and have acknowledged changes together with others
   * that were removed, or have been the second disk of some: these are promised (P5). Whoever holds the secret could as
   * well join under another name and bring the same.
   */
  #mayStrangerAsk(from: MemberId, kind: PeerRequestKind): boolean {
    if (kind === 'cart-distribute') return this.#parts.membership.isRemoved(from)
    return kind === 'join' || kind === 'members'
  }

  #gossip<T extends GossipTopic>(topic: T, message: GossipMessage<T>, from: MemberId): GossipVerdict {
    if (this.#stopped) return 'ignore'
    const { announcer, catalogFeed, presence, users, membership } = this.#parts
    switch (topic) {
      case 'lease':
        return announcer.receive(message as GossipMessage<'lease'>, from)
      case 'catalog':
        return catalogFeed.heard(message as GossipMessage<'catalog'>, from)
      case 'presence': {
        const heard = message as GossipMessage<'presence'>
        membership.noticeVersion(heard.membersVersion, from)
        const verdict = presence.heard(heard, from)
        if (verdict === 'accept') catalogFeed.noticeVersion(heard.catalogVersion, heard.catalogDigest)
        return verdict
      }
      case 'revocations':
        if (membership.isRemoved(from)) return 'reject'
        if (membership.get(from) === null) return 'ignore'
        return users.heardRevocations(message as GossipMessage<'revocations'>)
      default: {
        const never: never = topic
        throw new Error(`unknown topic ${String(never)}`)
      }
    }
  }

  /** Index through which this node has applied the log. */
  appliedIndex(): LogIndex {
    return this.#parts.consensus.appliedIndex
  }
}

type LogEnd = { readonly lastTerm: Term; readonly lastIndex: LogIndex }

/** By the order of Raft, section 5.4.1: an end before a committed one lacks it. */
function isEarlier(one: LogEnd, other: LogEnd): boolean {
  return one.lastTerm < other.lastTerm || (one.lastTerm === other.lastTerm && one.lastIndex < other.lastIndex)
}

function wentBack(): Fault {
  return new Fault(
    'forbidden',
    'this node’s data went back in time (a restored copy?); empty it and let it join again',
  )
}

export function createReplica(options: ReplicaOptions): ReplicaNode {
  return new ReplicaNode(options)
}
