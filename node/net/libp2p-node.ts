/** The libp2p node: transports, limits and gates. Every setting is there because of LIMITS.md, "libp2p connections". */
import type { GossipSub } from '@chainsafe/libp2p-gossipsub'
import { identify } from '@libp2p/identify'
import type { Identify } from '@libp2p/identify'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import type { Ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import type { ClusterId, MemberId } from '../ids.ts'
import { toMultiaddr } from './address.ts'
import { gossipService } from './gossip.ts'
import type { HelloGate, Rejections } from './gossip.ts'
import type { GossipTrafficCounter } from './gossip-traffic.ts'
import { memberIdOf } from './identity.ts'
import { privateNetwork } from './private-network.ts'
import type { Misunderstanding } from './private-network.ts'

/** Most connections: 25 nodes, twice when both sides dial, and room for joiners and strangers on their way out. */
const connectionsMax = 500
/** A whole cluster on one host comes back at once; libp2p's 5 a second left 242 of 600 links out. */
const inboundConnectionsPerSecondMax = 1_000
const pendingConnectionsMax = 250
/** Longer handshakes are hopeless: a wrong pre-shared key would hang for 10 s by default. */
export const upgradeTimeoutMs = 4_000
/** Dialling a machine that is gone must not hold a place for long. */
export const dialTimeoutMs = 3_000
/** A paused peer's connections are closed after one interval and the time-out, which follows the usual round trip. */
const pingIntervalMs = 5_000
const pingTimeoutMinMs = 4_000
const pingTimeoutMaxMs = 8_000

export type Services = { pubsub: GossipSub; identify: Identify; ping: Ping }
export type Libp2pNode = Libp2p<Services>

export type Libp2pNodeOptions = {
  privateKey: PrivateKey
  preSharedKey: Uint8Array
  /** `host:port` */
  listen: string
  announce: string | undefined
  cluster: ClusterId | null
  rejections: Rejections
  traffic: GossipTrafficCounter
  isRemoved: (peer: MemberId) => boolean
  gate: HelloGate
  /** A peer does not speak under this cluster's key. */
  misunderstood: (what: Misunderstanding) => void
}

/** Not started yet: handlers and listeners come first. */
export function createLibp2pNode(options: Libp2pNodeOptions): Promise<Libp2pNode> {
  const { privateKey, listen, announce, rejections, traffic, cluster, isRemoved } = options
  const { connectionProtector, connectionEncrypter } = privateNetwork(
    options.preSharedKey,
    options.misunderstood,
  )
  return createLibp2p<Services>({
    start: false,
    privateKey,
    addresses: {
      listen: [toMultiaddr(listen).toString()],
      ...(announce === undefined ? {} : { announce: [toMultiaddr(announce).toString()] }),
    },
    transports: [tcp()],
    connectionProtector,
    connectionEncrypters: [connectionEncrypter],
    streamMuxers: [yamux()],
    connectionManager: {
      maxConnections: connectionsMax,
      inboundConnectionThreshold: inboundConnectionsPerSecondMax,
      maxIncomingPendingConnections: pendingConnectionsMax,
      inboundUpgradeTimeout: upgradeTimeoutMs,
      dialTimeout: dialTimeoutMs,
      addressDialTimeout: dialTimeoutMs,
      // The redialler reconnects, for ever; libp2p's own would give up and get in its way.
      reconnectRetries: 0,
    },
    connectionMonitor: {
      pingInterval: pingIntervalMs,
      pingTimeout: { minTimeout: pingTimeoutMinMs, maxTimeout: pingTimeoutMaxMs },
    },
    connectionGater: {
      // Strangers and joiners must get as far as the hello, and who was removed too: it may not know of it (peer-table.ts).
      denyDialPeer: (peer) => isRemoved(memberIdOf(peer)),
      denyOutboundEncryptedConnection: (peer) => isRemoved(memberIdOf(peer)),
      // Clusters live in private networks.
      denyDialMultiaddr: () => false,
    },
    services: {
      identify: identify(),
      ping: ping(),
      pubsub: gossipService(rejections, traffic, cluster, options.gate),
    },
  })
}
