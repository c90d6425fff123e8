/**
 * Gossipsub for this cluster: how it is set up (every trap of LIMITS.md, "Gossipsub", has its remedy here), and
 * publishing and validating on the cluster's topics.
 */
import { gossipsub } from '@chainsafe/libp2p-gossipsub'
import type { GossipSub, GossipSubComponents, Message, TopicValidatorFn } from '@chainsafe/libp2p-gossipsub'
import { TopicValidatorResult } from '@chainsafe/libp2p-gossipsub'
import type { Connection, PeerId, StreamHandler } from '@libp2p/interface'
import type { ClusterId } from '../ids.ts'
import type { GossipMessage, GossipTopic, GossipVerdict } from '../messages.ts'
import type { Clock, Logger } from '../ports.ts'
import type { GossipTrafficCounter } from './gossip-traffic.ts'
import { memberIdOf } from './identity.ts'
import { gossipSizeBytesMax, gossipTopics, gossipValidators, topicName } from './topics.ts'
import type { GossipContext } from './topics.ts'
import { gatherWindowUpdates } from './window-updates.ts'

type Registrar = GossipSubComponents['registrar']

/** A peer whose answer to "I want" holds many messages sends them in one piece; a catalog import is the largest. */
const gossipBufferBytesMax = 32 * 1024 * 1024
/** Rejected messages weigh so much in a peer's score; at -80 gossipsub stops listening to it. */
const rejectionWeight = 10
/** So long after its last rejected message a peer starts with a clean sheet. */
const rejectionMemoryMs = 60_000

/** What peers sent that was rejected: gossipsub's own scores need topic names before the cluster is known. */
export class Rejections {
  readonly #clock: Clock
  readonly #counts = new Map<string, { count: number; lastMs: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(peer: PeerId): void {
    const id = peer.toString()
    this.#counts.set(id, { count: this.#recent(id) + 1, lastMs: this.#clock.monotonicMs() })
  }

  /** For gossipsub's P5, the application's own part of a peer's score. */
  score(id: string): number {
    return -rejectionWeight * this.#recent(id)
  }

  #recent(id: string): number {
    const entry = this.#counts.get(id)
    if (entry === undefined) return 0
    if (this.#clock.monotonicMs() - entry.lastMs <= rejectionMemoryMs) return entry.count
    this.#counts.delete(id)
    return 0
  }
}

/** Waits until the peer at the other end said hello; rejects when the connection ends before. */
export type HelloGate = (connection: Connection) => Promise<void>

/**
 * No other stream of a peer is served before its hello (DESIGN.md section 8). What it sends meanwhile waits in the
 * stream, within libp2p's bounds. (libp2p's own stream middleware would be the place, but up to 3.3.11 it adds the
 * handler to the middleware once more with each stream.) The window of a stream is opened as on the lanes: a message of
 * gossip is small, and an update for each cost a tenth of what an idle cluster does.
 */
function gated(registrar: Registrar, gate: HelloGate): Registrar {
  const handle: Registrar['handle'] = (protocol, handler, options) => {
    const afterHello: StreamHandler = async (stream, connection) => {
      await gate(connection)
      gatherWindowUpdates(stream)
      await handler(stream, connection)
    }
    return registrar.handle(protocol, afterHello, options)
  }
  return new Proxy(registrar, {
    get: (target, name) => {
      if (name === 'handle') return handle
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const pruneBackoffMs = 5_000

/** The service as libp2p takes it. `cluster` is null at a node that has yet to join. */
export function gossipService(
  rejections: Rejections,
  traffic: GossipTrafficCounter,
  cluster: ClusterId | null,
  gate: HelloGate,
): (components: GossipSubComponents) => GossipSub {
  const create = ungatedService(rejections, traffic, cluster)
  return ({ privateKey, peerId, peerStore, registrar, connectionManager, logger }) =>
    create({ privateKey, peerId, peerStore, registrar: gated(registrar, gate), connectionManager, logger })
}

function ungatedService(
  rejections: Rejections,
  traffic: GossipTrafficCounter,
  cluster: ClusterId | null,
): ReturnType<typeof gossipsub> {
  return gossipsub({
    globalSignaturePolicy: 'StrictSign',
    allowPublishToZeroTopicPeers: true,
    emitSelf: false,
    // Every message comes several times, and without this each copy's signature is verified before it is found to be one.
    // Only what was verified is remembered by it.
    fastMsgIdFn: ({ signature }) => Buffer.from(signature ?? []).toString('latin1'),
    fallbackToFloodsub: false,
    // Everybody is connected to everybody: a small mesh keeps duplicates down (2 instead of 7 at 25 nodes).
    D: 3,
    Dlo: 2,
    Dhi: 5,
    Dout: 1,
    Dscore: 2,
    floodPublish: false,
    // A member that was pruned while it was paused is taken back soon (the default is a minute).
    pruneBackoff: pruneBackoffMs,
    scoreParams: {
      // 15 nodes on one host would all be under suspicion, and nothing be delivered.
      IPColocationFactorWeight: 0,
      appSpecificScore: (id) => rejections.score(id),
      appSpecificWeight: 1,
      // A paused or overloaded member breaks promises without meaning to; punishing it silenced it for half a
      // minute after it was back. Who may speak at all is decided by the hello.
      behaviourPenaltyWeight: 0,
    },
    ...(cluster === null ? {} : { allowedTopics: gossipTopics.map((topic) => topicName(cluster, topic)) }),
    maxTopicBytesPerPeer: 64 * 1024,
    decodeRpcLimits: {
      maxSubscriptions: 64,
      maxMessages: 2_000,
      maxIhaveMessageIDs: 5_000,
      maxIwantMessageIDs: 5_000,
      maxIdontwantMessageIDs: 512,
      maxControlMessages: 2_000,
      maxPeerInfos: 16,
    },
    maxInboundDataLength: gossipBufferBytesMax,
    maxOutboundBufferSize: gossipBufferBytesMax,
    metricsRegister: traffic.register(),
    // Gossipsub asks for it with a register; its labels are not used.
    metricsTopicStrToLabel: new Map(),
  })
}

/** Gossipsub takes options for each message; the type it exports leaves them out. */
type Publisher = {
  publish(topic: string, data: Uint8Array, options: { floodPublish: boolean }): Promise<unknown>
}

const results: { readonly [V in GossipVerdict]: TopicValidatorResult } = {
  accept: TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject,
}

export type GossipOptions = GossipContext & { pubsub: GossipSub; rejections: Rejections; logger: Logger }

export class Gossip {
  readonly #options: GossipOptions
  #cluster: ClusterId | null = null
  #publishing = 0
  #idle: (() => void)[] = []

  constructor(options: GossipOptions) {
    this.#options = options
  }

  /** Subscribes to the cluster's topics; once. */
  join(cluster: ClusterId): void {
    if (this.#cluster !== null) return
    this.#cluster = cluster
    const validators = gossipValidators(this.#options)
    const { pubsub } = this.#options
    for (const topic of gossipTopics) {
      const name = topicName(cluster, topic)
      pubsub.topicValidators.set(name, this.#validator(validators[topic]))
      pubsub.subscribe(name)
    }
  }

  publish<T extends GossipTopic>(topic: T, message: GossipMessage<T>): void {
    const { pubsub, logger } = this.#options
    if (this.#cluster === null) return
    const data = Buffer.from(JSON.stringify(message))
    if (data.length > gossipSizeBytesMax) {
      logger.error(
        { topic, sizeBytes: data.length, sizeBytesMax: gossipSizeBytesMax },
        'a gossip message is too large and was not published; members will have to pull',
      )
      return
    }
    this.#publishing += 1
    const publisher = pubsub as unknown as Publisher
    publisher
      // Presence is many small messages that repeat; everything else should not wait for a mesh to form.
      .publish(topicName(this.#cluster, topic), data, { floodPublish: topic !== 'presence' })
      .catch((error: unknown) =>
        logger.warn({ topic, reason: String(error) }, 'gossip could not be published'),
      )
      .finally(() => {
        this.#publishing -= 1
        if (this.#publishing === 0) for (const done of this.#idle.splice(0)) done()
      })
  }

  /** Everything that was published is with libp2p. */
  async flushed(): Promise<void> {
    if (this.#publishing > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #validator(
    validate: (text: string, from: ReturnType<typeof memberIdOf>) => GossipVerdict,
  ): TopicValidatorFn {
    return (forwarder: PeerId, message: Message) => {
      // Strict signing refuses unsigned messages before this; the author is who signed, not who forwards.
      const verdict: GossipVerdict =
        message.type === 'signed'
          ? validate(Buffer.from(message.data).toString('utf8'), memberIdOf(message.from))
          : 'reject'
      if (verdict === 'reject') this.#options.rejections.add(forwarder)
      return results[verdict]
    }
  }
}
