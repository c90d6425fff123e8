/**
 * The private network (libp2p pnet): every byte between nodes is under a key from the cluster secret, before
 * anything else is said. A peer with another key is not told so by libp2p, the connection just breaks off or
 * hangs (LIMITS.md), so this watches for connections that were never understood and says it in one line.
 */
import type { ConnectionEncrypter, ConnectionProtector, MessageStream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { preSharedKey } from '@libp2p/pnet'

/** The key in the text format that pnet reads. */
function keyFile(key: Uint8Array): Uint8Array {
  return new TextEncoder().encode(`/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(key).toString('hex')}`)
}

type NoiseComponents = Parameters<ReturnType<typeof noise>>[0]

export type PrivateNetwork = {
  connectionProtector: () => ConnectionProtector
  connectionEncrypter: (components: NoiseComponents) => ConnectionEncrypter
}

/** `notUnderstood` is called with the address of a peer that spoke, but not under this key. */
export function privateNetwork(key: Uint8Array, notUnderstood: (address: string) => void): PrivateNetwork {
  // What a protected connection carries first is the choice of encryption, in clear under the private network's
  // key. Only who has the key gets as far as noise.
  const understood = new WeakSet<MessageStream>()
  const protect = preSharedKey({ psk: keyFile(key) })
  const encrypt = noise()
  return {
    connectionProtector: () => {
      const inner = protect()
      return {
        protect: async (connection, options) => {
          const isProtected = await inner.protect(connection, options)
          watch(isProtected, understood, () => notUnderstood(addressOf(connection)))
          return isProtected
        },
      }
    },
    connectionEncrypter: (components) => {
      const inner = encrypt(components)
      return {
        protocol: inner.protocol,
        secureInbound: (connection, options) => {
          understood.add(connection)
          return inner.secureInbound(connection, options)
        },
        secureOutbound: (connection, options) => {
          understood.add(connection)
          return inner.secureOutbound(connection, options)
        },
      }
    },
  }
}

/** pnet is given the bare connection, which has an address; its type only says stream. */
function addressOf(connection: MessageStream): string {
  return 'remoteAddr' in connection ? String(connection.remoteAddr) : 'an unknown address'
}

function watch(stream: MessageStream, understood: WeakSet<MessageStream>, notUnderstood: () => void): void {
  const closed = (): void => {
    if (!understood.has(stream)) notUnderstood()
  }
  stream.addEventListener('close', closed, { once: true })
}
