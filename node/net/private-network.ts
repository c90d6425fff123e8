/**
 * The private network (libp2p pnet): every byte between nodes is under a key from the cluster secret, before
 * anything else is said. A peer with another key is not told so by libp2p, the connection just hangs for seconds
 * (LIMITS.md). What a protected connection carries first is always the header of multistream-select, so whoever
 * receives something else knows at once that the other side has another key.
 */
import type {
  ConnectionEncrypter,
  ConnectionProtector,
  MessageStream,
  StreamMessageEvent,
} from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { preSharedKey } from '@libp2p/pnet'
import { readLengthsCheaply } from './noise-lengths.ts'
import { cipherSizeBytesMax, reserveCipherMemory } from './salsa-memory.ts'

/** The key in the text format that pnet reads. */
function keyFile(key: Uint8Array): Uint8Array {
  return new TextEncoder().encode(`/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(key).toString('hex')}`)
}

/** multistream-select 1.0: a length byte and the protocol's name with a line feed. */
const firstBytes = Buffer.from('\x13/multistream/1.0.0\n')

type NoiseComponents = Parameters<ReturnType<typeof noise>>[0]

export type PrivateNetwork = {
  connectionProtector: () => ConnectionProtector
  connectionEncrypter: (components: NoiseComponents) => ConnectionEncrypter
}

/** A peer that could not be understood. `certain`: it spoke under another key; else it broke off when it heard ours. */
export type Misunderstanding = { readonly address: string; readonly certain: boolean }

export function privateNetwork(
  key: Uint8Array,
  misunderstood: (what: Misunderstanding) => void,
): PrivateNetwork {
  // Only who has the key gets as far as noise.
  const understood = new WeakSet<MessageStream>()
  reserveCipherMemory()
  const protect = preSharedKey({ psk: keyFile(key) })
  const encrypt = noise()
  return {
    connectionProtector: () => {
      const inner = protect()
      return {
        protect: async (connection, options) => {
          const stream = await inner.protect(connection, options)
          // Pieces must fit the ciphers' memory (salsa-memory.ts).
          ;(stream as { maxMessageSize?: number }).maxMessageSize = cipherSizeBytesMax
          const address = addressOf(connection)
          inspectFirstBytes(stream, () => misunderstood({ address, certain: true }))
          if (connection.direction === 'outbound')
            watchForBreak(stream, understood, () => misunderstood({ address, certain: false }))
          return stream
        },
      }
    },
    connectionEncrypter: (components) => {
      const inner = encrypt(components)
      return {
        protocol: inner.protocol,
        secureInbound: async (connection, options) => {
          understood.add(connection)
          const secured = await inner.secureInbound(connection, options)
          readLengthsCheaply(secured.connection)
          return secured
        },
        secureOutbound: async (connection, options) => {
          understood.add(connection)
          const secured = await inner.secureOutbound(connection, options)
          readLengthsCheaply(secured.connection)
          return secured
        },
      }
    },
  }
}

/** pnet is given the bare connection, which has an address; its type only says stream. */
function addressOf(connection: MessageStream): string {
  return 'remoteAddr' in connection ? String(connection.remoteAddr) : 'an unknown address'
}

/**
 * Looks at the first data together with whoever reads it first: a listener of its own before that would take the
 * data away, because a stream hands out what it holds as soon as anybody listens.
 */
function inspectFirstBytes(stream: MessageStream, otherKey: () => void): void {
  const add = stream.addEventListener.bind(stream)
  const inspect = (event: StreamMessageEvent): void => {
    const bytes = Buffer.from(event.data.subarray(0, firstBytes.length))
    if (bytes.equals(firstBytes.subarray(0, bytes.length))) return
    otherKey()
    stream.abort(new Error('the peer uses another pre-shared key'))
  }
  const addAfterInspect: typeof stream.addEventListener = (
    type: string,
    ...rest: [never, (AddEventListenerOptions | boolean)?]
  ) => {
    if (type === 'message') {
      stream.addEventListener = add
      add('message', inspect, { once: true })
    }
    add(type as never, ...rest)
  }
  stream.addEventListener = addAfterInspect
}

/** The listener breaks off at once when it can't read the dialler; a time-out on this side says nothing about keys. */
function watchForBreak(stream: MessageStream, understood: WeakSet<MessageStream>, broken: () => void): void {
  stream.addEventListener(
    'close',
    ({ error }) => {
      const byPeer = error === undefined || ('code' in error && error.code === 'ECONNRESET')
      if (byPeer && !understood.has(stream)) broken()
    },
    { once: true },
  )
}
