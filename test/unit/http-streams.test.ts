import { describe, expect, test, vi } from 'vitest'
import {
  heartbeatMs,
  replayEventsMax,
  replayLifetimeMs,
  sessionCheckMs,
  streamQueueSizeBytesMax,
} from '../../http/limits.ts'
import { Channel, Channels, Streams } from '../../http/sse.ts'
import type { UserId } from '../../node/ids.ts'
import type { NodeAddress } from '../../node/replica-api.ts'
import type { FakeDoor } from '../support/http-door.ts'
import { fakeShop, guest } from '../support/http-door.ts'

const nothing = (): void => undefined

function readerOf(body: ReadableStream<Uint8Array>): { next(): Promise<string> } {
  const reader = body.getReader()
  return { next: async () => Buffer.from((await reader.read()).value ?? Buffer.from('the end')).toString() }
}

describe('streams', () => {
  test('have a heartbeat of 15 s, and end when they are not good any more', async () => {
    vi.useFakeTimers()
    try {
      const streams = new Streams()
      let good = true
      const ended = vi.fn<() => void>()
      const stillGood = { session: () => true, home: async () => await Promise.resolve(good) }
      const stream = streams.open('u', stillGood, ended)
      const reader = readerOf(stream.body)
      await vi.advanceTimersByTimeAsync(heartbeatMs)
      expect(await reader.next()).toBe(': alive\n\n')
      good = false
      await vi.advanceTimersByTimeAsync(heartbeatMs)
      expect([await reader.next(), await reader.next()]).toEqual([': alive\n\n', 'the end'])
      expect([ended.mock.calls.length, streams.size, vi.getTimerCount()]).toEqual([1, 0, 0])
    } finally {
      vi.useRealTimers()
    }
  })

  test('a client that reads too slowly is cut off', () => {
    const streams = new Streams()
    const stream = streams.open('u', null, nothing)
    const data = 'x'.repeat(streamQueueSizeBytesMax)
    stream.send({ id: null, event: 'cart', data })
    expect(streams.size).toBe(1)
    stream.send({ id: null, event: 'cart', data })
    expect(streams.size).toBe(0)
  })

  test('a channel remembers a few events, and says when it can’t tell', () => {
    const channel = new Channel()
    const first = channel.newest
    for (let count = 0; count < replayEventsMax; count += 1) channel.publish('cart', String(count))
    expect(channel.since(first)).toHaveLength(replayEventsMax)
    expect(channel.since(channel.newest)).toEqual([])
    channel.publish('cart', 'one more')
    expect(channel.since(first)).toBeNull()
    for (const id of ['', 'x', `${first}9999`, first.replace('-', '-x')]) expect(channel.since(id)).toBeNull()
  })

  test('channels without streams are forgotten after a while', () => {
    let nowMs = 0
    const channels = new Channels(() => nowMs)
    const stop = vi.fn<() => void>()
    channels.get('u', () => stop)
    nowMs = replayLifetimeMs + 1
    channels.touched('other')
    expect(stop).toHaveBeenCalledTimes(1)
  })
})

test('the stream of a session that was logged off, at any node, ends within a second', async () => {
  const { doors } = fakeShop('n1', 'n2')
  const [n1, n2] = doors as [FakeDoor, FakeDoor]
  const { token } = await guest(n1)
  vi.useFakeTimers()
  try {
    const headers = { authorization: `Bearer ${token}` }
    const { body } = await n1.door.app.request(`${n1.url}/api/events`, { headers })
    if (body === null) throw new Error('no body')
    const reader = readerOf(body)
    expect(await reader.next()).toContain('event: cart')
    await n2.door.app.request(`${n2.url}/api/session`, { method: 'DELETE', headers })
    await vi.advanceTimersByTimeAsync(sessionCheckMs)
    expect(await reader.next()).toBe('the end')
  } finally {
    vi.useRealTimers()
  }
})

test('the stream of a user who got another home ends with the next heartbeat', async () => {
  const { doors, world } = fakeShop('n1', 'n2')
  const [n1, n2] = doors as [FakeDoor, FakeDoor]
  const { token, user } = await guest(n1)
  vi.useFakeTimers()
  try {
    const headers = { authorization: `Bearer ${token}` }
    const { body } = await n1.door.app.request(`${n1.url}/api/events`, { headers })
    if (body === null) throw new Error('no body')
    const reader = readerOf(body)
    expect(await reader.next()).toContain('event: cart')
    const known = world.users.get(user as UserId)
    if (known !== undefined) known.home = n2.replica.self as NodeAddress
    await vi.advanceTimersByTimeAsync(heartbeatMs)
    expect([await reader.next(), await reader.next()]).toEqual([': alive\n\n', 'the end'])
  } finally {
    vi.useRealTimers()
  }
})
