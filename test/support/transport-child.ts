/** A process with nothing but a transport, to be killed: `node transport-child.ts LISTEN SECRET PEER_ID PEER_P2P`. */
import { parseMemberId } from '../../node/ids.ts'
import { parseKeyring } from '../../node/keyring.ts'
import { createIdentity, createTransport } from '../../node/net/transport.ts'
import { systemClock, systemRandom } from '../../node/system.ts'
import { RecordingHandlers, clusterA, collectingLogger } from './transport-world.ts'

const [listen = '', secret = '', peer = '', p2p = ''] = process.argv.slice(2)
const transport = createTransport({
  identity: createIdentity(),
  listen,
  keyring: parseKeyring(secret),
  logger: collectingLogger([]),
  clock: systemClock(),
  random: systemRandom(),
})
transport.setHello({ clusterId: clusterA, node: 'child', starts: 1, lastTerm: 0, lastIndex: 0 })
await transport.start(new RecordingHandlers())
transport.setPeers([{ id: parseMemberId(peer), p2p }])
