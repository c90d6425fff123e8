/** What a message between two nodes must not cost: it is most of what the log spends on the network. */
import crypto from 'node:crypto'
import { YamuxStream } from '@libp2p/yamux/stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { GossipMessage } from '../../node/messages.ts'
import { RealWorld, freePort } from '../contract/real-world.ts'
import { RawPeer } from '../support/raw-peer.ts'
import type { RawLane } from '../support/raw-peer.ts'
import { mesh } from '../support/transport-world.ts'
import type { TestNode } from '../support/transport-world.ts'

/** yamux's initial window, which the node grows only while its peer is near. */
const windowSizeBytes = 256 * 1024

let world: RealWorld
let peer: RawPeer | null = null
beforeEach(() => {
  world = new RealWorld()
})
afterEach(async () => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
  await peer?.stop()
  peer = null
  await world.close()
})

/** A peer that sees what yamux sends it on the main lane. */
async function watched(): Promise<{ node: TestNode; lane: RawLane; updates: number[] }> {
  const node = await world.node()
  node.handlers.answer = async () => ({ bytes: 'AAAA' })
  peer = await RawPeer.start(`127.0.0.1:${await freePort()}`, world.secretText)
  const { main: lane } = await peer.greet(node)
  await world.until(() => node.transport.connected().length === 1, 'greeted')
  const { stream } = lane
  if (!(stream instanceof YamuxStream)) throw new Error('the lane must be a stream of yamux')
  const updates: number[] = []
  const take = stream.handleWindowUpdate.bind(stream)
  stream.handleWindowUpdate = (frame) => {
    updates.push(frame.header.length)
    take(frame)
  }
  return { node, lane, updates }
}

/** Sends requests of some size, each when the one before was answered. */
async function ask(lane: RawLane, count: number, sizeBytes: number): Promise<void> {
  const answers = (): number => lane.frames.filter(({ kind }) => kind === 'answer').length
  for (let id = 0; id < count; id += 1) {
    const answered = answers() + 1
    const padding = 'p'.repeat(sizeBytes)
    const request = { kind: 'snapshot-read', snapshot: 's', offset: id, sizeBytesMax: 10, padding } as const
    lane.send({ kind: 'request', id, request })
    await world.until(() => answers() >= answered, 'answered')
  }
}

test('the node opens its window again when half of it is used, not after each message', async () => {
  const { lane, updates } = await watched()
  await ask(lane, 50, 1_000)
  expect(updates.length).toBeLessThan(2)
  // Four windows' worth gets through: the peer never waits for a window that stays shut.
  await ask(lane, 16, windowSizeBytes / 4)
  expect(updates.reduce((sum, length) => sum + length, 0)).toBeGreaterThan(windowSizeBytes * 3)
  expect(updates.length).toBeLessThan(12)
})

test('a message larger than the window gets through', async () => {
  const { node, lane } = await watched()
  await ask(lane, 3, windowSizeBytes * 5)
  expect(node.handlers.requests.length).toBe(3)
})

test('no error is made to learn that no further message is here', async () => {
  const [one, other] = await mesh(world, 2)
  if (one === undefined || other === undefined) throw new Error('two nodes')
  other.handlers.answer = async () => ({ index: 1 })
  let errors = 0
  const Original = RangeError
  vi.stubGlobal(
    'RangeError',
    class extends Original {
      static override [Symbol.hasInstance](value: unknown): boolean {
        return value instanceof Original
      }

      constructor(message?: string) {
        super(message)
        errors += 1
      }
    },
  )
  for (let count = 0; count < 100; count += 1)
    await one.transport.request(other.id, { kind: 'read-index' }, { timeoutMs: 5_000 })
  expect(errors).toBeLessThan(10)
})

describe('gossip', () => {
  const words = 40
  let said = 0

  function say(author: TestNode): number {
    said += 1
    author.transport.publish('revocations', { tokens: [{ id: author.name, expiresAtMs: said }] })
    return said
  }

  const hasHeard = (node: TestNode, word: number): boolean =>
    node.handlers.gossiped.some(
      ({ message }) => (message as GossipMessage<'revocations'>).tokens[0]?.expiresAtMs === word,
    )

  /** One after the other says something, each when the word before has reached everybody. */
  async function gossip(nodes: readonly TestNode[]): Promise<void> {
    for (let count = 0; count < words; count += 1) {
      const author = nodes[count % nodes.length] as TestNode
      const word = say(author)
      const heard = (): boolean => nodes.every((node) => node === author || hasHeard(node, word))
      await world.until(heard, `word ${word} is heard`)
    }
  }

  /** Until it is known who listens, what is said is lost. */
  async function listening(count: number): Promise<TestNode[]> {
    const nodes = await mesh(world, count)
    let round = 0
    await world.until(() => {
      round += 1
      if (round % 50 === 1) for (const node of nodes) say(node)
      const heardFrom = (node: TestNode): number =>
        new Set(node.handlers.gossiped.map(({ from }) => from)).size
      return nodes.every((node) => heardFrom(node) === count - 1)
    }, 'everybody hears everybody')
    return nodes
  }

  test('opens its window again when half of it is used, too', async () => {
    const nodes = await listening(2)
    const updates = vi.spyOn(YamuxStream.prototype, 'handleWindowUpdate')
    await gossip(nodes)
    expect(updates.mock.calls.length).toBeLessThan(words / 2)
  })

  test('is verified once, however many copies of a message come', async () => {
    const nodes = await listening(4)
    const verified = vi.spyOn(crypto, 'verify')
    await gossip(nodes)
    const needed = words * (nodes.length - 1)
    expect(verified.mock.calls.length).toBeGreaterThanOrEqual(needed)
    // Two copies may come in one turn. Verifying each took 2.8 times as many.
    expect(verified.mock.calls.length).toBeLessThan(needed * 1.5)
  })
})
