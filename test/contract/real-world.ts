import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { parseNodeName } from '../../node/ids.ts'
import { parseKeyring } from '../../node/keyring.ts'
import { createIdentity, createTransport } from '../../node/net/transport.ts'
import { systemClock, systemRandom } from '../../node/system.ts'
import { RecordingHandlers, clusterA, collectingLogger } from '../support/transport-world.ts'
import type { LogLine, NodeRequest, TestNode, TransportWorld } from '../support/transport-world.ts'

/** Real time that a condition may take on a busy machine. */
const limitMs = 50_000
const pollMs = 5

export type RealNode = TestNode & { readonly privateKey: Uint8Array }

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

export function secret(): string {
  return `k${randomBytes(2).toString('hex')}:${randomBytes(32).toString('base64')}`
}

export class RealWorld implements TransportWorld {
  readonly #secret = secret()
  readonly #nodes: RealNode[] = []

  async node(options: NodeRequest & { secret?: string } = {}): Promise<RealNode> {
    const like = options.like as RealNode | undefined
    const identity =
      like === undefined ? createIdentity() : { memberId: like.id, privateKey: like.privateKey }
    const name = like?.name ?? parseNodeName(`n${this.#nodes.length + 1}`)
    const p2p = like?.p2p ?? `127.0.0.1:${await freePort()}`
    const log: LogLine[] = []
    const transport = createTransport({
      identity,
      listen: p2p,
      keyring: parseKeyring(options.secret ?? this.#secret),
      logger: collectingLogger(log),
      clock: systemClock(),
      random: systemRandom(),
    })
    const handlers = new RecordingHandlers()
    const clusterId = options.cluster === undefined ? clusterA : options.cluster
    transport.setHello({ clusterId, node: name, starts: options.starts ?? 1, lastTerm: 0, lastIndex: 0 })
    await transport.start(handlers)
    const node = {
      id: identity.memberId,
      privateKey: identity.privateKey,
      name,
      p2p,
      transport,
      handlers,
      log,
    }
    this.#nodes.push(node)
    return node
  }

  get secretText(): string {
    return this.#secret
  }

  async kill(node: TestNode): Promise<void> {
    await node.transport.stop()
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return promise
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const untilMs = performance.now() + limitMs
    while (!condition()) {
      if (performance.now() > untilMs) throw new Error(`never happened: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.transport.stop()))
  }
}
