/** The simulated network itself: the same seed does the same, and its faults do what they say. */
import { describe, expect, test } from 'vitest'
import { SimulatedWorld } from '../contract/simulated-world.ts'
import { seededRandom } from '../sim/random.ts'
import { Scheduler, SimClock } from '../sim/scheduler.ts'
import { clusterA, introduce, mesh } from '../support/transport-world.ts'

async function noisyRun(seed: number): Promise<{ trace: number; delivered: number; events: number }> {
  const world = new SimulatedWorld(seed, { loss: 0.1, duplication: 0.1, requestLoss: 0.1, reorder: true })
  const nodes = await mesh(world, 5)
  const random = seededRandom(seed).fork('traffic')
  for (const node of nodes) node.handlers.answer = async () => ({ index: 1 })
  for (let turn = 0; turn < 200; turn += 1) {
    const from = random.pick(nodes)
    const to = random.pick(nodes.filter((node) => node !== from))
    from.transport.send(to.id, { kind: 'heartbeat', term: 1, commitIndex: turn, round: turn })
    from.transport.request(to.id, { kind: 'read-index' }, { timeoutMs: 50 }).catch(() => undefined)
    from.transport.publish('revocations', { tokens: [{ id: `t${turn}`, expiresAtMs: turn }] })
    if (turn === 50) world.network.partition([nodes.slice(0, 2).map((node) => node.id)])
    if (turn === 100) world.network.heal()
    if (turn === 120) world.network.crash(nodes[4]?.id as never)
    if (turn === 140) world.network.pause(nodes[3]?.id as never)
    if (turn === 160) world.network.resume(nodes[3]?.id as never)
    await world.scheduler.runFor(random.between(0, 200))
  }
  return { trace: world.network.trace, delivered: world.network.delivered, events: world.scheduler.processed }
}

describe('determinism', () => {
  test('the same seed gives the same trace, another seed another one', async () => {
    const one = await noisyRun(7)
    expect(await noisyRun(7)).toEqual(one)
    expect((await noisyRun(8)).trace).not.toBe(one.trace)
    expect(one.delivered).toBeGreaterThan(500)
  })

  test('forks of a random stream are independent of what is drawn from it', () => {
    const one = seededRandom(1)
    const other = seededRandom(1)
    one.next()
    expect(one.fork('a').next()).toBe(other.fork('a').next())
    expect(one.fork('a').next()).not.toBe(one.fork('b').next())
    const counts = [0, 0, 0, 0]
    for (let draw = 0; draw < 4000; draw += 1) counts[one.below(4)] = (counts[one.below(4)] ?? 0) + 1
    for (let draw = 0; draw < 100; draw += 1) expect(one.next()).toBeLessThan(1)
  })
})

describe('time', () => {
  test('events run by time, then in order of scheduling, with their promises before the next', async () => {
    const scheduler = new Scheduler()
    const seen: string[] = []
    scheduler.after(2, () => seen.push('late'))
    scheduler.after(1, () => {
      void (async () => {
        for (let turn = 0; turn < 50; turn += 1) await Promise.resolve()
        seen.push('promise of first')
      })()
      seen.push('first')
    })
    scheduler.after(1, () => seen.push('second'))
    scheduler.after(1, () => seen.push('cancelled'))()
    await scheduler.runFor(5)
    expect(seen).toEqual(['first', 'promise of first', 'second', 'late'])
    expect(scheduler.nowMs).toBe(5)
  })

  test('a paused clock holds what falls due, a stopped one drops it, a fast one is early', async () => {
    const scheduler = new Scheduler()
    const [paused, stopped] = [new SimClock(scheduler), new SimClock(scheduler)]
    const fast = new SimClock(scheduler, { rate: 2 })
    const seen: string[] = []
    paused.timer(1, () => seen.push('paused 1'))
    paused.timer(2, () => seen.push('paused 2'))
    stopped.timer(1, () => seen.push('stopped'))
    fast.timer(8, () => seen.push(`fast at ${scheduler.nowMs}`))
    paused.pause()
    stopped.stop()
    await scheduler.runFor(10)
    expect(seen).toEqual(['fast at 4'])
    expect(fast.monotonicMs()).toBe(20)
    paused.resume()
    await scheduler.runFor(0)
    expect(seen).toEqual(['fast at 4', 'paused 1', 'paused 2'])
  })
})

describe('faults of the network', () => {
  test('a one-way cut lets the other direction through', async () => {
    const world = new SimulatedWorld(1)
    const [one, other] = await mesh(world, 2)
    if (one === undefined || other === undefined) throw new Error('two nodes')
    world.network.block(one.id, other.id)
    one.transport.send(other.id, { kind: 'timeout-now', term: 1 })
    other.transport.send(one.id, { kind: 'timeout-now', term: 2 })
    await world.scheduler.runFor(100)
    expect(other.handlers.raftMessages).toHaveLength(0)
    expect(one.handlers.raftMessages).toHaveLength(1)
  })

  test('a cut peer is gone after silence and back soon after healing', async () => {
    const world = new SimulatedWorld(2)
    const [one, other] = await mesh(world, 2)
    if (one === undefined || other === undefined) throw new Error('two nodes')
    world.network.partition([[one.id], [other.id]])
    expect(await world.settle(one.transport.probe(other.p2p))).toBe('unknown')
    expect(one.transport.connected()).toHaveLength(1)
    await world.until(
      () => one.transport.connected().length + other.transport.connected().length === 0,
      'cut',
    )
    world.network.heal()
    const healedAtMs = world.scheduler.nowMs
    await world.until(() => one.transport.connected().length === 1, 'healed')
    expect(world.scheduler.nowMs - healedAtMs).toBeLessThan(6_000)
  })

  test('a joiner whose second hello gets no answer connects anew', async () => {
    const world = new SimulatedWorld(5)
    const member = await world.node()
    const joiner = await world.node({ cluster: null })
    introduce([member, joiner])
    // Longer than a peer may take for its first hello.
    await world.scheduler.runFor(10_000)
    expect(await world.settle(joiner.transport.dial(member.p2p, 1_000))).toMatchObject({ id: member.id })
    // The member hears that the other one is of its cluster now, and its answer is lost.
    world.network.block(member.id, joiner.id)
    joiner.transport.setHello({
      clusterId: clusterA,
      node: joiner.name,
      starts: 1,
      lastTerm: 0,
      lastIndex: 0,
    })
    await world.until(() => member.transport.connected().length === 1, 'the member heard of it')
    await world.scheduler.runFor(50)
    expect(joiner.transport.connected()).toEqual([])
    world.network.heal()
    const healedAtMs = world.scheduler.nowMs
    member.handlers.answer = async () => ({ index: 1 })
    await world.until(() => joiner.transport.connected().length === 1, 'connected anew')
    expect(world.scheduler.nowMs - healedAtMs).toBeLessThan(10_000)
    const asked = joiner.transport.request(member.id, { kind: 'read-index' }, { timeoutMs: 1_000 })
    expect(await world.settle(asked)).toEqual({ index: 1 })
  })

  test('a dead process refuses, a dead machine says nothing, a paused process is open', async () => {
    const world = new SimulatedWorld(3)
    const [one, dead, dark, paused] = await mesh(world, 4)
    if (!one || !dead || !dark || !paused) throw new Error('four nodes')
    world.network.crash(dead.id)
    world.network.crash(dark.id, { dark: true })
    world.network.pause(paused.id)
    expect(await world.settle(one.transport.probe(dead.p2p))).toBe('refused')
    expect(await world.settle(one.transport.probe(dark.p2p))).toBe('unknown')
    expect(await world.settle(one.transport.probe(paused.p2p))).toBe('open')
    expect(one.handlers.disconnectedFrom).toEqual([dead.id])
    one.transport.send(paused.id, { kind: 'timeout-now', term: 1 })
    await world.scheduler.runFor(1_000)
    expect(paused.handlers.raftMessages).toHaveLength(0)
    world.network.resume(paused.id)
    await world.until(() => paused.handlers.raftMessages.length === 1, 'the message waited')
  })

  test('what waits for a paused node is bounded', async () => {
    const world = new SimulatedWorld(4)
    const [one, paused] = await mesh(world, 2)
    if (!one || !paused) throw new Error('two nodes')
    world.network.pause(paused.id)
    const data = 'x'.repeat(1_000_000)
    for (let index = 1; index <= 40; index += 1) {
      const entries = [{ index, term: 1, kind: 'command' as const, data }]
      const place = { previousIndex: index - 1, previousTerm: 1, commitIndex: 0, round: index }
      one.transport.send(paused.id, { kind: 'append', term: 1, entries, ...place })
    }
    const asked = one.transport.request(paused.id, { kind: 'read-index' }, { timeoutMs: 100 })
    await expect(world.settle(asked)).rejects.toMatchObject({ code: 'overloaded', data: { notSent: true } })
    world.network.resume(paused.id)
    await world.scheduler.runFor(100)
    expect(paused.handlers.raftMessages.length).toBeGreaterThan(5)
    expect(paused.handlers.raftMessages.length).toBeLessThan(20)
  })
})
