/** What the contract tests of the Transport port need of the world that they run in, and one node of it. */
import { Fault } from '../../node/faults.ts'
import { parseClusterId } from '../../node/ids.ts'
import type { ClusterId, MemberId, NodeName } from '../../node/ids.ts'
import type { RaftMessage } from '../../node/core/raft/types.ts'
import type { GossipTopic, GossipVerdict, PeerRequest } from '../../node/messages.ts'
import type { Logger, PeerInfo, Transport, TransportHandlers } from '../../node/ports.ts'

export const clusterA = parseClusterId('a'.repeat(32))
export const clusterB = parseClusterId('b'.repeat(32))

export type LogLine = { level: keyof Logger; message: string; data: Record<string, unknown> }

export function collectingLogger(lines: LogLine[]): Logger {
  const at =
    (level: keyof Logger) =>
    (data: object, message: string): void => {
      lines.push({ level, message, data: { ...data } })
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** Handlers that write down what happened; tests replace what they need. */
export class RecordingHandlers implements TransportHandlers {
  readonly connectedTo: PeerInfo[] = []
  readonly disconnectedFrom: MemberId[] = []
  readonly raftMessages: { from: MemberId; message: RaftMessage }[] = []
  readonly requests: { from: MemberId; request: PeerRequest }[] = []
  readonly gossiped: { topic: GossipTopic; message: unknown; from: MemberId }[] = []
  answer: (from: MemberId, request: PeerRequest) => Promise<unknown> = async () => {
    throw new Fault('not-found', 'no answer was prepared')
  }
  verdict: (from: MemberId) => GossipVerdict = () => 'accept'
  refuse: (peer: PeerInfo) => Fault | null = () => null

  peerConnected(peer: PeerInfo): void {
    this.connectedTo.push(peer)
  }
  peerDisconnected(peer: MemberId): void {
    this.disconnectedFrom.push(peer)
  }
  raft(from: MemberId, message: RaftMessage): void {
    this.raftMessages.push({ from, message })
  }
  request(from: MemberId, request: PeerRequest): Promise<never> {
    this.requests.push({ from, request })
    return this.answer(from, request) as Promise<never>
  }
  gossip(topic: GossipTopic, message: unknown, from: MemberId): GossipVerdict {
    this.gossiped.push({ topic, message, from })
    return this.verdict(from)
  }
  admit(peer: PeerInfo): void {
    const fault = this.refuse(peer)
    if (fault !== null) throw fault
  }
}

export type TestNode = {
  readonly id: MemberId
  readonly name: NodeName
  readonly p2p: string
  readonly transport: Transport
  readonly handlers: RecordingHandlers
  readonly log: LogLine[]
}

export type NodeRequest = {
  cluster?: ClusterId | null
  starts?: number
  /** Takes identity and address of an earlier node: another life of it. */
  like?: TestNode
}

export interface TransportWorld {
  /** A started node; nobody knows it yet. */
  node(options?: NodeRequest): Promise<TestNode>
  /** Ends a node without a word, as kill -9 does. */
  kill(node: TestNode): Promise<void>
  /** Waits for a promise of a node, letting time go on. */
  settle<T>(promise: Promise<T>): Promise<T>
  /** Lets time go on until the condition holds; throws with `what` when it does not. */
  until(condition: () => boolean, what: string): Promise<void>
  close(): Promise<void>
}

/** Everybody knows everybody and is connected. */
export async function mesh(world: TransportWorld, count: number): Promise<TestNode[]> {
  const nodes: TestNode[] = []
  for (let index = 0; index < count; index += 1) nodes.push(await world.node())
  introduce(nodes)
  await world.until(
    () => nodes.every((node) => node.transport.connected().length === count - 1),
    `${count} nodes are connected`,
  )
  return nodes
}

export function introduce(nodes: readonly TestNode[]): void {
  for (const node of nodes)
    node.transport.setPeers(nodes.filter((other) => other !== node).map(({ id, p2p }) => ({ id, p2p })))
}
