/** What only the real transport can show: secrets, hostile bytes, slow readers, killed processes, many nodes. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { seededRandom } from '../sim/random.ts'
import { RawPeer } from '../support/raw-peer.ts'
import type { RawLane } from '../support/raw-peer.ts'
import { clusterA, mesh } from '../support/transport-world.ts'
import type { TestNode } from '../support/transport-world.ts'
import { RealWorld, freePort, secret } from './real-world.ts'

let world: RealWorld
let raw: RawPeer | null = null
beforeEach(() => {
  world = new RealWorld()
})
afterEach(async () => {
  await raw?.stop()
  raw = null
  await world.close()
})

async function rawPeer(): Promise<RawPeer> {
  raw = await RawPeer.start(`127.0.0.1:${await freePort()}`, world.secretText)
  return raw
}

/** The node still serves an honest peer. */
async function isAlive(node: TestNode): Promise<boolean> {
  node.handlers.answer = async () => ({ index: 1 })
  const honest = await world.node()
  await honest.transport.dial(node.p2p, 5_000)
  await world.until(() => honest.transport.connected().length > 0, 'an honest peer gets in')
  const answer = await honest.transport.request(node.id, { kind: 'read-index' }, { timeoutMs: 5_000 })
  return answer.index === 1
}

describe('secrets', () => {
  test('a node with another secret gets nowhere, and both sides say so in one line', async () => {
    const member = await world.node()
    const stranger = await world.node({ secret: secret(), cluster: null })
    const lines = (node: TestNode): number =>
      node.log.filter(({ level, message }) => level === 'warn' && message.includes("this cluster's secret"))
        .length
    const beganAtMs = performance.now()
    for (let attempt = 0; attempt < 4; attempt += 1)
      await expect(stranger.transport.dial(member.p2p, 5_000)).rejects.toMatchObject({ code: 'internal' })
    await world.until(() => lines(member) === 1 && lines(stranger) === 1, 'one line each')
    expect(performance.now() - beganAtMs).toBeLessThan(3_000)
    expect(member.handlers.connectedTo).toEqual([])
    expect(await isAlive(member)).toBe(true)
  })

  test('a hello with a wrong proof is refused though the private network let the peer in', async () => {
    const member = await world.node()
    const peer = await rawPeer()
    const lane = await peer.open(member, 'main')
    const hello = peer.hello(member.id)
    if (hello.kind === 'hello') lane.send({ kind: 'hello', hello: { ...hello.hello, starts: 9 } })
    await world.until(() => lane.frames.some(({ kind }) => kind === 'refused'), 'refused')
    expect(member.handlers.connectedTo).toEqual([])
  })
})

describe('hostile bytes', () => {
  test('nothing is served before the hello', async () => {
    const member = await world.node()
    const peer = await rawPeer()
    const lane = await peer.open(member, 'main')
    lane.send({ kind: 'request', id: 1, request: { kind: 'members' } })
    await world.until(() => lane.frames.some(({ kind }) => kind === 'refused'), 'refused')
    await world.until(() => peer.connection?.status !== 'open', 'closed')
    expect(member.handlers.requests).toEqual([])
    expect(await isAlive(member)).toBe(true)
  })

  test('a stranger can’t make a node hold a large frame', async () => {
    const member = await world.node()
    const peer = await rawPeer()
    const lane = await peer.open(member, 'main')
    lane.stream.send(Buffer.from([0, 0x10, 0, 0, 0x7b]))
    await world.until(() => peer.connection?.status !== 'open', 'closed')
    expect(await isAlive(member)).toBe(true)
  })

  test('malformed frames of a member are dropped, malformed requests answered, and the link goes on', async () => {
    const member = await world.node()
    member.handlers.answer = async () => ({ index: 5 })
    const peer = await rawPeer()
    const { main } = await peer.greet(member)
    await world.until(() => member.transport.connected().length === 1, 'the raw peer is in')
    main.sendText('{')
    main.sendText('null')
    main.sendText('{"kind":"toString"}')
    main.sendText('{"kind":"raft","message":{"kind":"vote","term":-1}}')
    main.sendText('{"kind":"request","id":1,"request":{"kind":"__proto__"}}')
    main.sendText('{"kind":"request","id":2,"request":{"kind":"snapshot-read","offset":-1}}')
    main.sendText('{"kind":"answer","id":77,"value":{}}')
    main.send({ kind: 'request', id: 3, request: { kind: 'read-index' } })
    await world.until(
      () => main.frames.some((frame) => frame.kind === 'answer' && frame.id === 3),
      'answered',
    )
    const faults = main.frames.filter((frame) => frame.kind === 'fault')
    expect(faults.map(({ id, fault }) => [id, fault.code])).toEqual([
      [1, 'invalid-request'],
      [2, 'invalid-request'],
    ])
    expect(member.handlers.raftMessages).toEqual([])
    expect(member.log.filter(({ message }) => message.includes('malformed frame'))).toHaveLength(1)
  })

  test('mutated frames, 2,000 of them, neither crash the node nor reach its handlers unparsed', async () => {
    const seed = 4711
    const random = seededRandom(seed)
    const member = await world.node()
    const peer = await rawPeer()
    const { main } = await peer.greet(member)
    await world.until(() => member.transport.connected().length === 1, 'the raw peer is in')
    const texts = [
      '{"kind":"raft","message":{"kind":"heartbeat","term":1,"commitIndex":2,"round":3}}',
      '{"kind":"request","id":9,"request":{"kind":"read-index"}}',
      '{"kind":"fault","id":9,"fault":{"code":"internal","message":"m","data":{}}}',
    ]
    for (let round = 0; round < 2_000; round += 1) main.sendText(mutate(random.pick(texts), random))
    main.send({ kind: 'raft', message: { kind: 'timeout-now', term: 4 } })
    await world.until(
      () => member.handlers.raftMessages.some(({ message }) => message.kind === 'timeout-now'),
      `the last frame arrived (seed ${seed})`,
    )
    for (const { message } of member.handlers.raftMessages) expect(Number.isInteger(message.term)).toBe(true)
  })

  test('random bytes on a lane close the connection and nothing else', async () => {
    const random = seededRandom(4712)
    const member = await world.node()
    const peer = await rawPeer()
    const { main } = await peer.greet(member)
    await world.until(() => member.transport.connected().length === 1, 'the raw peer is in')
    for (let round = 0; round < 50 && main.stream.status === 'open'; round += 1)
      sendNoise(main, random.bytes(5_000))
    await world.until(() => member.transport.connected().length === 0, 'closed')
    expect(await isAlive(member)).toBe(true)
  })
})

function sendNoise(lane: RawLane, bytes: Uint8Array): void {
  try {
    lane.stream.send(Uint8Array.from([0xff, ...bytes]))
  } catch (error) {
    // The member has closed it meanwhile, which is what the test waits for.
    if (!/clos/.test(String(error))) throw error
  }
}

function mutate(text: string, random: ReturnType<typeof seededRandom>): string {
  const at = random.below(text.length)
  const junk = random.pick(['', '0', '-1', '"', '{}', '[]', 'null', '1e999', '\\u0000', '}', '\ud800'])
  return text.slice(0, at) + junk + text.slice(at + random.below(4))
}

describe('slow peers', () => {
  test('what a peer does not take is bounded: consensus is dropped, requests refused, the link survives', async () => {
    const member = await world.node()
    const peer = await rawPeer()
    const { main } = await peer.greet(member)
    await world.until(() => member.transport.connected().length === 1, 'the raw peer is in')
    main.stream.pause()
    const data = 'x'.repeat(1_000_000)
    const rssBefore = process.memoryUsage().rss
    for (let index = 1; index <= 200; index += 1) {
      const entries = [{ index, term: 1, kind: 'command' as const, data }]
      member.transport.send(peer.id, {
        kind: 'append',
        term: 1,
        previousIndex: index - 1,
        previousTerm: 1,
        entries,
        commitIndex: 0,
        round: index,
      })
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(150 * 1024 * 1024)
    expect(member.log.some(({ message }) => message.includes('some are dropped'))).toBe(true)
    main.stream.resume()
    await world.until(
      () => main.frames.filter(({ kind }) => kind === 'raft').length >= 10,
      'what was queued comes',
    )
    member.transport.send(peer.id, { kind: 'timeout-now', term: 9 })
    await world.until(
      () => main.frames.some((frame) => frame.kind === 'raft' && frame.message.kind === 'timeout-now'),
      'the link goes on',
    )
    expect(main.frames.filter(({ kind }) => kind === 'raft').length).toBeLessThan(100)
  })
})

describe('processes', () => {
  test('a killed process is noticed at once', async () => {
    const member = await world.node()
    const p2p = `127.0.0.1:${await freePort()}`
    const script = fileURLToPath(new URL('../support/transport-child.ts', import.meta.url))
    const child = spawn(process.execPath, [script, p2p, world.secretText, member.id, member.p2p], {
      stdio: 'inherit',
    })
    await world.until(() => member.transport.connected().length === 1, 'the child connects')
    const killedAtMs = performance.now()
    child.kill('SIGKILL')
    await world.until(() => member.handlers.disconnectedFrom.length === 1, 'noticed')
    expect(performance.now() - killedAtMs).toBeLessThan(500)
    expect(await member.transport.probe(p2p)).toBe('refused')
  })

  test('a taken port is a clear error', async () => {
    const member = await world.node()
    await expect(world.node({ like: { ...member, privateKey: member.privateKey } as never })).rejects.toThrow(
      `can't listen for peers at ${member.p2p}`,
    )
  })

  test('probes tell open, refused and unknown apart', async () => {
    const member = await world.node()
    expect(await member.transport.probe(member.p2p)).toBe('open')
    expect(await member.transport.probe(`127.0.0.1:${await freePort()}`)).toBe('refused')
    expect(await member.transport.probe('no-such-host.invalid:9')).toBe('unknown')
  })
})

describe('many nodes on one host', () => {
  // More than libp2p's defaults let in at once from one host: 10 that are pending, 5 a second.
  test('12 nodes connect to each other and hear each other’s gossip', async () => {
    const nodes = await mesh(world, 12)
    let round = 0
    await world.until(() => {
      round += 1
      if (round % 50 === 1)
        for (const node of nodes)
          node.transport.publish('revocations', { tokens: [{ id: node.name, expiresAtMs: round }] })
      return nodes.every(
        (node) => new Set(node.handlers.gossiped.map(({ from }) => from)).size === nodes.length - 1,
      )
    }, 'everybody heard everybody')
    const warnings = nodes.flatMap((node) =>
      node.log.filter(({ level }) => level === 'warn' || level === 'error'),
    )
    expect(warnings.map(({ message, data }) => `${message} ${JSON.stringify(data)}`)).toEqual([])
    expect(nodes.every((node) => node.handlers.disconnectedFrom.length === 0)).toBe(true)
    expect(nodes[0]?.transport.connected()[0]?.hello.clusterId).toBe(clusterA)
  })
})
