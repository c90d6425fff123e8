/** What every Transport promises: the same tests on loopback and on the simulated network. */
import { afterEach, describe, expect, test } from 'vitest'
import { Fault, isFault } from '../../node/faults.ts'
import type { FaultCode } from '../../node/faults.ts'
import type { MemberId } from '../../node/ids.ts'
import { clusterA, clusterB, introduce, mesh } from '../support/transport-world.ts'
import type { TestNode, TransportWorld } from '../support/transport-world.ts'
import { RealWorld } from './real-world.ts'
import { SimulatedWorld } from './simulated-world.ts'

const heartbeat = { kind: 'heartbeat', term: 3, commitIndex: 7, round: 1 } as const
const joinRequest = {
  kind: 'join',
  member: {
    node: 'n9',
    url: 'http://127.0.0.1:1',
    p2p: '127.0.0.1:1',
    eligible: true,
    capacity: 1,
  },
}

async function faultOf(world: TransportWorld, promise: Promise<unknown>): Promise<Fault> {
  const error: unknown = await world.settle(
    promise.then(
      () => new Error('it was answered'),
      (reason: unknown) => reason,
    ),
  )
  if (!isFault(error)) throw error
  return error
}

async function faultCode(world: TransportWorld, promise: Promise<unknown>): Promise<FaultCode> {
  return (await faultOf(world, promise)).code
}

const worlds: { name: string; make: () => TransportWorld }[] = [
  { name: 'libp2p on loopback', make: () => new RealWorld() },
  { name: 'the simulated network', make: () => new SimulatedWorld(20_260_101) },
]

describe.each(worlds)('transport over $name', ({ make }) => {
  let world: TransportWorld = make()
  const fresh = (): TransportWorld => {
    world = make()
    return world
  }
  const pair = async (): Promise<[TestNode, TestNode]> => {
    const [one, other] = await mesh(fresh(), 2)
    return [one as TestNode, other as TestNode]
  }
  afterEach(() => world.close())

  test('1 members that know each other connect, and learn each other by their hellos', async () => {
    const [one, other] = await pair()
    expect(one.handlers.connectedTo.map((peer) => peer.id)).toEqual([other.id])
    expect(one.transport.connected()[0]?.hello).toMatchObject({
      clusterId: clusterA,
      node: other.name,
      starts: 1,
    })
    expect(other.handlers.connectedTo.map((peer) => peer.id)).toEqual([one.id])
  })

  test('2 consensus messages arrive as they were sent', async () => {
    const [one, other] = await pair()
    const append = {
      kind: 'append',
      term: 2,
      previousIndex: 4,
      previousTerm: 1,
      entries: [{ index: 5, term: 2, kind: 'command', data: '{"ä":1}' }],
      commitIndex: 4,
      round: 9,
    } as const
    one.transport.send(other.id, append)
    one.transport.send(other.id, heartbeat)
    await world.until(() => other.handlers.raftMessages.length === 2, 'both messages')
    expect(other.handlers.raftMessages).toEqual([
      { from: one.id, message: append },
      { from: one.id, message: heartbeat },
    ])
  })

  test('2b what is flushed leaves before what is sent later, and a peer that is not there is no fault', async () => {
    const [one, other] = await pair()
    const heartbeats = [1, 2, 3].map(
      (round) => ({ kind: 'heartbeat', term: 3, commitIndex: 6, round }) as const,
    )
    for (const heartbeat of heartbeats) {
      one.transport.send(other.id, heartbeat)
      one.transport.flush(other.id)
    }
    await world.until(() => other.handlers.raftMessages.length === 3, 'all three')
    expect(other.handlers.raftMessages.map(({ message }) => message)).toEqual(heartbeats)
    one.transport.flush(one.id)
  })

  test('3 a request is answered, on either lane and in both directions', async () => {
    const [one, other] = await pair()
    other.handlers.answer = async (_from, request) => ({ index: request.kind === 'read-index' ? 42 : 0 })
    one.handlers.answer = async () => ({ bytes: 'AAAA' })
    const asked = one.transport.request(other.id, { kind: 'read-index' }, { timeoutMs: 5_000 })
    expect(await world.settle(asked)).toEqual({ index: 42 })
    const chunk = { kind: 'snapshot-read', snapshot: 's', offset: 0, sizeBytesMax: 10 } as const
    const read = other.transport.request(one.id, chunk, { timeoutMs: 5_000, lane: 'bulk' })
    expect(await world.settle(read)).toEqual({ bytes: 'AAAA' })
    expect(one.handlers.requests).toEqual([{ from: other.id, request: chunk }])
  })

  test('4 many requests at once are each answered with their own answer', async () => {
    const [one, other] = await pair()
    other.handlers.answer = async (_from, request) => ({
      bytes: request.kind === 'snapshot-read' ? request.snapshot : '',
    })
    const asked = Array.from({ length: 500 }, (_, number) =>
      one.transport.request(
        other.id,
        { kind: 'snapshot-read', snapshot: `${number}`, offset: 0, sizeBytesMax: 1 },
        { timeoutMs: 10_000 },
      ),
    )
    const answers = await world.settle(Promise.all(asked))
    expect(answers.map((answer) => answer.bytes)).toEqual(asked.map((_, number) => `${number}`))
  })

  test('5 faults travel whole; bugs become internal and keep their insides', async () => {
    const [one, other] = await pair()
    other.handlers.answer = async () => {
      throw new Fault('no-primary', 'ask n3', { primary: 'n3' }, { retryAfterSeconds: 2 })
    }
    const fault = await faultOf(
      world,
      one.transport.request(other.id, { kind: 'read-index' }, { timeoutMs: 5_000 }),
    )
    expect(fault).toMatchObject({
      code: 'no-primary',
      message: 'ask n3',
      data: { primary: 'n3' },
      retryAfterSeconds: 2,
    })
    other.handlers.answer = () => {
      throw new TypeError('secret insides')
    }
    const bug = await faultOf(
      world,
      one.transport.request(other.id, { kind: 'read-index' }, { timeoutMs: 5_000 }),
    )
    expect(bug.code).toBe('internal')
    expect(bug.message).not.toContain('secret insides')
    expect(other.log.some((line) => line.level === 'error')).toBe(true)
  })

  test('6 without an answer in time, or with nonsense for one, the outcome is unknown', async () => {
    const [one, other] = await pair()
    other.handlers.answer = () => new Promise(() => undefined)
    const ask = (): Promise<unknown> =>
      one.transport.request(other.id, { kind: 'read-index' }, { timeoutMs: 50 })
    expect(await faultCode(world, ask())).toBe('outcome-unknown')
    other.handlers.answer = async () => ({ index: 'many' })
    expect(await faultCode(world, ask())).toBe('outcome-unknown')
  })

  test('7 a peer that is not connected was not asked', async () => {
    const [one] = await pair()
    const stranger = await world.node()
    const fault = await faultOf(
      world,
      one.transport.request(stranger.id, { kind: 'read-index' }, { timeoutMs: 5_000 }),
    )
    expect(fault).toMatchObject({ code: 'internal', data: { notSent: true } })
  })

  test('8 the end of a peer is noticed, breaks what was asked, and its port refuses', async () => {
    const [one, other] = await pair()
    other.handlers.answer = () => new Promise(() => undefined)
    const asked = faultCode(
      world,
      one.transport.request(other.id, { kind: 'read-index' }, { timeoutMs: 50_000 }),
    )
    await world.until(() => other.handlers.requests.length === 1, 'the request arrived')
    expect(await world.settle(one.transport.probe(other.p2p))).toBe('open')
    await world.kill(other)
    expect(await asked).toBe('outcome-unknown')
    await world.until(() => one.handlers.disconnectedFrom.length === 1, 'the end was noticed')
    expect(one.transport.connected()).toEqual([])
    expect(await world.settle(one.transport.probe(other.p2p))).toBe('refused')
  })

  test('9 a peer that comes back is connected again and known by its newer start', async () => {
    const [one, other] = await pair()
    await world.kill(other)
    await world.until(() => one.handlers.disconnectedFrom.length === 1, 'the end was noticed')
    const again = await world.node({ like: other, starts: 2 })
    introduce([one, again])
    await world.until(() => one.handlers.connectedTo.length === 2, 'connected again')
    expect(one.handlers.connectedTo[1]).toMatchObject({ id: other.id, hello: { starts: 2 } })
    again.handlers.answer = async () => ({ index: 1 })
    const asked = one.transport.request(again.id, { kind: 'read-index' }, { timeoutMs: 5_000 })
    expect(await world.settle(asked)).toEqual({ index: 1 })
  })

  test('10 gossip reaches all members, and says who wrote it', async () => {
    const nodes = await mesh(fresh(), 4)
    const [author, ...others] = nodes as [TestNode, ...TestNode[]]
    let round = 0
    // What is published before the others' subscriptions are known is gone: nothing is delivered later.
    await world.until(() => {
      round += 1
      if (round % 20 === 1) author.transport.publish('revocations', { tokens: [{ id: 't', expiresAtMs: 1 }] })
      return others.every((node) => node.handlers.gossiped.length > 0)
    }, 'gossip everywhere')
    for (const node of others) {
      expect(node.handlers.gossiped[0]).toEqual({
        topic: 'revocations',
        message: { tokens: [{ id: 't', expiresAtMs: 1 }] },
        from: author.id,
      })
    }
    expect(author.handlers.gossiped).toEqual([])
    expect(author.transport.gossipTraffic().sentBytes).toBeGreaterThan(0)
    for (const { transport } of others) expect(transport.gossipTraffic().receivedBytes).toBeGreaterThan(0)
  })

  test('11 a node of another cluster is refused, and both logs say why once', async () => {
    fresh()
    const one = await world.node({ cluster: clusterA })
    const other = await world.node({ cluster: clusterB })
    introduce([one, other])
    const line = (node: TestNode): number =>
      node.log.filter(({ level, data }) => level === 'warn' && String(data['reason']).includes(clusterB))
        .length
    await world.until(() => line(one) === 1 && line(other) === 1, 'both say why')
    expect(one.handlers.connectedTo).toEqual([])
    expect(other.handlers.connectedTo).toEqual([])
  })

  test('12 a node that the replica does not admit is refused with its reason', async () => {
    fresh()
    const one = await world.node()
    const other = await world.node()
    one.handlers.refuse = () => new Fault('forbidden', 'went back in time')
    const fault = await faultOf(world, other.transport.dial(one.p2p, 5_000))
    expect(fault.message).toContain('went back in time')
    expect(one.handlers.connectedTo).toEqual([])
  })

  test('13 a node without a cluster may only ask to join, and is a peer once it has joined', async () => {
    fresh()
    const member = await world.node()
    const joiner = await world.node({ cluster: null })
    member.handlers.answer = async (_from, request) => {
      if (request.kind === 'join') throw new Fault('conflict', 'heard you')
      return { index: 1 }
    }
    const peer = await world.settle(joiner.transport.dial(member.p2p, 5_000))
    expect(peer).toMatchObject({ id: member.id, hello: { clusterId: clusterA } })
    expect(joiner.transport.connected()).toEqual([])
    expect(member.transport.connected()).toEqual([])
    const join = { ...joinRequest, member: { ...joinRequest.member, id: joiner.id } } as never
    expect(
      (await faultOf(world, joiner.transport.request(member.id, join, { timeoutMs: 5_000 }))).message,
    ).toBe('heard you')
    const other = joiner.transport.request(member.id, { kind: 'read-index' }, { timeoutMs: 5_000 })
    expect(await faultCode(world, other)).toBe('internal')
    joiner.transport.setHello({
      clusterId: clusterA,
      node: joiner.name,
      starts: 1,
      lastTerm: 0,
      lastIndex: 0,
    })
    await world.until(
      () => joiner.transport.connected().length === 1 && member.transport.connected().length === 1,
      'both are peers',
    )
    expect(member.handlers.connectedTo[0]).toMatchObject({ id: joiner.id, hello: { clusterId: clusterA } })
    const asked = joiner.transport.request(member.id, { kind: 'read-index' }, { timeoutMs: 5_000 })
    expect(await world.settle(asked)).toEqual({ index: 1 })
    expect(await world.settle(joiner.transport.dial(member.p2p, 5_000))).toMatchObject({ id: member.id })
  })

  test('14 a removed member is cut off; it may come back to ask, and is no peer', async () => {
    const [one, other] = await pair()
    one.handlers.answer = async () => ({ index: 1 })
    one.transport.setRemoved([other.id])
    await world.until(
      () => one.handlers.disconnectedFrom.length === 1 && other.handlers.disconnectedFrom.length === 1,
      'cut off',
    )
    await world.settle(other.transport.dial(one.p2p, 3_000))
    const question = { kind: 'read-index' } as const
    await world.until(() => other.transport.connected().length === 1, 'it has come back')
    other.transport.send(one.id, heartbeat)
    other.transport.publish('revocations', { tokens: [] })
    expect(await world.settle(other.transport.request(one.id, question, { timeoutMs: 3_000 }))).toEqual({
      index: 1,
    })
    expect(one.handlers.raftMessages).toEqual([])
    expect(one.handlers.gossiped).toEqual([])
    expect(one.transport.connected()).toEqual([])
    expect(one.handlers.connectedTo).toHaveLength(1)
    const asked = one.transport.request(other.id, question, { timeoutMs: 3_000 })
    expect(await faultCode(world, asked)).toBe('internal')
    // Another one is removed: what this one asks meanwhile goes on.
    one.transport.setRemoved([other.id, 'somebody else' as MemberId])
    await world.settle(other.transport.request(one.id, question, { timeoutMs: 3_000 }))
    expect(other.handlers.disconnectedFrom).toHaveLength(1)
  })

  test('15 nothing is called after a stop, and a stopped transport sends nothing', async () => {
    const [one, other] = await pair()
    await one.transport.stop()
    await world.until(() => other.handlers.disconnectedFrom.length === 1, 'the other notices')
    expect(one.handlers.disconnectedFrom).toEqual([])
    one.transport.send(other.id, heartbeat)
    one.transport.publish('revocations', { tokens: [] })
    expect(
      await faultCode(world, one.transport.request(other.id, { kind: 'read-index' }, { timeoutMs: 100 })),
    ).toBe('internal')
    expect(other.handlers.raftMessages).toEqual([])
  })
})
