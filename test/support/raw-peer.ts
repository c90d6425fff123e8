/** A peer that holds the secret but speaks as it likes: bytes on lanes of its own making. */
import type { Connection, Stream } from '@libp2p/interface'
import type { MemberId } from '../../node/ids.ts'
import { parseKeyring } from '../../node/keyring.ts'
import type { Keyring } from '../../node/keyring.ts'
import type { Lane } from '../../node/ports.ts'
import { toMultiaddr } from '../../node/net/address.ts'
import { FrameReader, encodeFrame } from '../../node/net/frames.ts'
import type { Frame } from '../../node/net/frames.ts'
import { GossipTrafficCounter } from '../../node/net/gossip-traffic.ts'
import { Rejections } from '../../node/net/gossip.ts'
import { makeHello } from '../../node/net/hello.ts'
import { createIdentity, privateKeyOf } from '../../node/net/identity.ts'
import { createLibp2pNode } from '../../node/net/libp2p-node.ts'
import type { Libp2pNode } from '../../node/net/libp2p-node.ts'
import { systemClock } from '../../node/system.ts'
import { clusterA } from './transport-world.ts'
import type { TestNode } from './transport-world.ts'

export class RawLane {
  readonly stream: Stream
  readonly frames: Frame[] = []
  readonly #reader = new FrameReader()

  constructor(stream: Stream) {
    this.stream = stream
    this.#reader.sizeBytesMax = 100_000_000
    stream.addEventListener('message', (event) => {
      this.#reader.push(event.data.subarray())
      for (let text = this.#reader.next(); text !== null; text = this.#reader.next())
        this.frames.push(JSON.parse(text) as Frame)
    })
  }

  send(frame: Frame): void {
    this.stream.send(encodeFrame(frame) as Buffer)
  }

  /** Any text as a frame. */
  sendText(text: string): void {
    const bytes = Buffer.from(text)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    this.stream.send(Buffer.concat([length, bytes]))
  }
}

export class RawPeer {
  readonly id: MemberId
  readonly #node: Libp2pNode
  readonly #keyring: Keyring
  connection: Connection | null = null

  private constructor(id: MemberId, node: Libp2pNode, keyring: Keyring) {
    this.id = id
    this.#node = node
    this.#keyring = keyring
  }

  static async start(listen: string, secret: string): Promise<RawPeer> {
    const identity = createIdentity()
    const keyring = parseKeyring(secret)
    const node = await createLibp2pNode({
      privateKey: privateKeyOf(identity),
      preSharedKey: keyring.preSharedKey(),
      listen,
      announce: undefined,
      cluster: clusterA,
      rejections: new Rejections(systemClock()),
      traffic: new GossipTrafficCounter(),
      isRemoved: () => false,
      gate: async () => undefined,
      misunderstood: () => undefined,
    })
    await node.start()
    return new RawPeer(identity.memberId, node, keyring)
  }

  async open(target: TestNode, lane: Lane): Promise<RawLane> {
    this.connection = await this.#node.dial(toMultiaddr(target.p2p))
    return new RawLane(await this.connection.newStream(`/souk/${lane}/1`))
  }

  hello(to: MemberId): Frame {
    const own = { clusterId: clusterA, node: 'raw', starts: 1, lastTerm: 0, lastIndex: 0 }
    return { kind: 'hello', hello: makeHello(this.#keyring, own, this.id, to) }
  }

  /** Says hello on both lanes, as an honest peer. */
  async greet(target: TestNode): Promise<{ main: RawLane; bulk: RawLane }> {
    const main = await this.open(target, 'main')
    const bulk = await this.open(target, 'bulk')
    for (const lane of [main, bulk]) {
      lane.send(this.hello(target.id))
      lane.send({ kind: 'welcome' })
    }
    return { main, bulk }
  }

  async stop(): Promise<void> {
    await this.#node.stop()
  }
}
