import { describe, expect, test } from 'vitest'
import { Fault } from '../../node/faults.ts'
import { parseMemberId } from '../../node/ids.ts'
import { parseKeyring } from '../../node/keyring.ts'
import { frameSizeBytesMax } from '../../node/messages.ts'
import { parseAddress, toMultiaddr } from '../../node/net/address.ts'
import {
  FrameReader,
  encodeFrame,
  faultFromWire,
  faultToWire,
  parseAnswer,
  parseFrame,
} from '../../node/net/frames.ts'
import type { Frame } from '../../node/net/frames.ts'
import { checkHello, makeHello } from '../../node/net/hello.ts'
import { createIdentity, memberIdOf, peerIdOf, privateKeyOf } from '../../node/net/identity.ts'
import { seededRandom } from '../sim/random.ts'
import { clusterA, clusterB } from '../support/transport-world.ts'

describe('frames', () => {
  test('come out as they went in, however the bytes are cut', () => {
    const random = seededRandom(11)
    const frames: Frame[] = Array.from({ length: 200 }, (_, id) => ({
      kind: 'answer',
      id,
      value: { text: 'ü'.repeat(random.below(3_000)) },
    }))
    const bytes = Buffer.concat(frames.map((frame) => encodeFrame(frame) as Buffer))
    const reader = new FrameReader()
    const seen: unknown[] = []
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random.below(random.pick([3, 100, 20_000]))
      reader.push(bytes.subarray(at, at + size))
      at += size
      for (let text = reader.next(); text !== null; text = reader.next()) {
        const parsed = parseFrame(text)
        seen.push(parsed.ok ? parsed.frame : parsed)
      }
    }
    expect(seen).toEqual(frames)
  })

  test('that are too large are neither sent nor taken', () => {
    expect(encodeFrame({ kind: 'answer', id: 1, value: 'x'.repeat(frameSizeBytesMax) })).toBeNull()
    const reader = new FrameReader()
    reader.push(Buffer.from([0xff, 0xff, 0xff, 0xff]))
    expect(() => reader.next()).toThrow(Fault)
  })

  test.each([
    ['', 'not JSON', null],
    ['[]', 'not a frame', null],
    ['{"kind":"__proto__"}', 'does not know', null],
    ['{"kind":"raft","message":{"kind":"heartbeat","term":1.5,"commitIndex":0,"round":0}}', 'raft', null],
    ['{"kind":"request","request":{"kind":"members"}}', 'without a number', null],
    ['{"kind":"request","id":3,"request":null}', 'without a kind', 3],
    ['{"kind":"request","id":3,"request":{"kind":"constructor"}}', 'does not know', 3],
    ['{"kind":"request","id":3,"request":{"kind":"home-ask","user":"x"}}', 'home-ask', 3],
  ])('%s is malformed', (text, reason, requestId) => {
    const parsed = parseFrame(text)
    expect(parsed).toMatchObject({ ok: false, requestId })
    expect(parsed.ok ? '' : parsed.reason).toContain(reason)
  })

  test('what nobody asked for in a message does not get in', () => {
    const parsed = parseFrame('{"kind":"request","id":3,"request":{"kind":"members","extra":1}}')
    expect(parsed).toEqual({ ok: true, frame: { kind: 'request', id: 3, request: { kind: 'members' } } })
    expect(parseAnswer('read-index', { index: 3, more: 1 })).toEqual({ ok: true, value: { index: 3 } })
    expect(parseAnswer('read-index', { index: -3 }).ok).toBe(false)
  })

  test('a fault keeps code, data and delay; a bug keeps its insides to itself', () => {
    const fault = new Fault('behind', 'wait', { version: 3 }, { retryAfterSeconds: 1 })
    const parsed = parseFrame(JSON.stringify({ kind: 'fault', id: 1, fault: faultToWire(fault) }))
    if (!parsed.ok || parsed.frame.kind !== 'fault') throw new Error('a fault')
    expect(faultFromWire(parsed.frame.fault)).toEqual(fault)
    expect(faultToWire(new Error('password'))).toMatchObject({ code: 'internal' })
    expect(JSON.stringify(faultToWire(new Error('password')))).not.toContain('password')
  })
})

describe('hellos', () => {
  const keyring = parseKeyring(`a:${Buffer.alloc(32, 7).toString('base64')}`)
  const [one, other] = [parseMemberId('one'), parseMemberId('other')]
  const own = { clusterId: clusterA, node: 'n1', starts: 3, lastTerm: 1, lastIndex: 2 }
  const hello = makeHello(keyring, own, one, other)

  test('hold between the two peers that they name, as they were said', () => {
    expect(() => checkHello(keyring, hello, one, other, clusterA)).not.toThrow()
    expect(() => checkHello(keyring, hello, one, other, null)).not.toThrow()
    expect(() => checkHello(keyring, hello, other, one, clusterA)).toThrow('does not hold')
    expect(() => checkHello(keyring, hello, one, parseMemberId('third'), clusterA)).toThrow('does not hold')
    expect(() => checkHello(keyring, { ...hello, starts: 4 }, one, other, clusterA)).toThrow('does not hold')
    expect(() => checkHello(keyring, { ...hello, clusterId: null }, one, other, clusterA)).toThrow(
      'does not hold',
    )
    expect(() => checkHello(keyring, { ...hello, protocol: 2 }, one, other, clusterA)).toThrow('version 2')
  })

  test('of another cluster or with another secret are refused', () => {
    expect(() => checkHello(keyring, hello, one, other, clusterB)).toThrow('belongs to cluster')
    const stranger = parseKeyring(`a:${Buffer.alloc(32, 8).toString('base64')}`)
    expect(() => checkHello(stranger, hello, one, other, clusterA)).toThrow('does not hold')
  })
})

describe('addresses and identities', () => {
  test.each([
    ['127.0.0.1:9080', '/ip4/127.0.0.1/tcp/9080'],
    ['[::1]:9080', '/ip6/::1/tcp/9080'],
    ['shop-1.example:1', '/dns4/shop-1.example/tcp/1'],
  ])('%s is %s', (text, expected) => {
    expect(toMultiaddr(text).toString()).toBe(expected)
  })

  test.each(['', 'host', 'host:', ':1', 'host:65536', 'host:x', '[::1:1', 'a b:1', 'a/b:1', '[name]:1'])(
    '%j is no address',
    (text) => {
      expect(() => parseAddress(text)).toThrow('not an address host:port')
    },
  )

  test('an identity is a fresh Ed25519 key whose member id is its peer id', () => {
    const identity = createIdentity()
    expect(identity.memberId).toMatch(/^12D3KooW/)
    expect(createIdentity().memberId).not.toBe(identity.memberId)
    expect(privateKeyOf(identity).type).toBe('Ed25519')
    expect(memberIdOf(peerIdOf(identity.memberId))).toBe(identity.memberId)
    expect(() => privateKeyOf({ ...identity, memberId: createIdentity().memberId })).toThrow('invariant')
    expect(toMultiaddr('127.0.0.1:1', identity.memberId).toString()).toContain(`/p2p/${identity.memberId}`)
  })
})
