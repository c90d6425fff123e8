/** Malformed, hostile and merely foreign cart updates, drawn by seed from a valid cart (LIMITS.md, "Yjs"). */
import { strict as assert } from 'node:assert'
import * as Y from 'yjs'
import { CartDocument, cartDocumentSizeBytesMax, requestKey, writerId } from '../../crdt/cart.ts'
import type { CartEdit } from '../../crdt/cart.ts'
import { decodeFrame, encodeFrame } from '../../crdt/encoding.ts'
import type { Frame } from '../../crdt/encoding.ts'
import type { OrderId, Sku, UserId } from '../../node/ids.ts'

const order = `o${'c'.repeat(32)}` as OrderId

/** Mulberry32. */
export function generator(start: number): (below: number) => number {
  let state = start >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** A cart of `user`, what other replicas may send to its holder, and an update that needs another one before it. */
export function sampleCart(user: UserId): { doc: CartDocument; next: Uint8Array[]; gap: Uint8Array } {
  const doc = CartDocument.create({ clientId: 41, lineage: 'fuzz-lineage' })
  const writer = writerId(user, 'm', 1, 0)
  const edit = (each: CartEdit, key?: string): void =>
    void doc.edit(each, writer, key === undefined ? undefined : requestKey(user, key, each))
  edit({ kind: 'add', sku: 'a' as Sku, quantity: 2 })
  edit({ kind: 'add', sku: 'b' as Sku, quantity: 1 }, 'k1')
  edit({ kind: 'set', sku: 'a' as Sku, quantity: 4 }, 'k2')
  const { lines, tags, dots } = doc.checkout()
  doc.freeze({
    id: order,
    user,
    bodyHash: 'b',
    cartHash: 'c',
    currency: 'EUR',
    lines: lines.map((line) => ({ ...line, unitPrice: 1 })),
    tags,
    dots,
    note: 'Grüße ✓',
    catalogVersion: 3,
    verdict: 'agreed',
    createdAtMs: 1,
  })
  edit({ kind: 'add', sku: 'c' as Sku, quantity: 9 })
  const peer = CartDocument.load(doc.encode(), { clientId: 42 })
  const peerWriter = writerId(user, 'n', 1, 0)
  const delta = peer.edit({ kind: 'add', sku: 'd' as Sku, quantity: 3 }, peerWriter).update
  const sold = peer.decide(order, { status: 'placed', tags })
  const early = peer.edit({ kind: 'add', sku: 'e' as Sku, quantity: 1 }, peerWriter).update
  const gap = peer.edit({ kind: 'add', sku: 'f' as Sku, quantity: 1 }, peerWriter).update
  assert.ok(delta && sold && early && gap)
  const rebased = peer.rebase({ clientId: 43, lineage: 'greater-one', hour: 5 })
  return { doc, next: [delta, sold, peer.encode(), rebased.encode(), doc.encode(), gap], gap }
}

export type Draw = (below: number) => number

function flip(bytes: Uint8Array, draw: Draw): Uint8Array {
  const copy = bytes.slice()
  for (let times = 1 + draw(4); times > 0; times -= 1) {
    const at = draw(Math.max(1, copy.length))
    copy[at] = (copy[at] ?? 0) ^ (1 << draw(8))
  }
  return copy
}

const insertBytes = (bytes: Uint8Array, at: number, extra: readonly number[]): Uint8Array =>
  new Uint8Array([...bytes.subarray(0, at), ...extra, ...bytes.subarray(at)])

/** A hostile peer's document: writes what it likes beside what it got. */
function forge(update: Uint8Array, draw: Draw): Uint8Array {
  const doc = new Y.Doc({ gc: draw(2) === 0 })
  Y.applyUpdate(doc, update)
  // Its own number, or one under which somebody else wrote: the same struct twice with another content.
  doc.clientID = [77, 41, 42][draw(3)] as number
  const name = ['e', 'x', 's', 'i', 'd', 'b', 'f', 'other'][draw(8)] as string
  const map = doc.getMap(name)
  const keys = [...map.keys()]
  const key = keys[draw(Math.max(1, keys.length))] ?? 'new'
  const values = [
    1,
    2,
    '',
    'x',
    null,
    true,
    {},
    [1],
    new Uint8Array(3),
    '["a","q",1]',
    '{"__proto__":1}',
    '[]',
    -1,
  ]
  const acts: (() => void)[] = [
    () => map.delete(key),
    () => map.set(key, values[draw(values.length)]),
    () => map.set(`key ${draw(99)}`, values[draw(values.length)]),
    () => map.set(`abcdefghijkl.${draw(9)}`, values[draw(values.length)]),
    () => map.set('__proto__', 1),
    () => map.set(key, new Y.Map()),
    () => doc.getArray('list').push([1]),
    () => doc.getText('text').insert(0, 'hello'),
    () => keys.forEach((each) => map.delete(each)),
  ]
  acts[draw(acts.length)]?.()
  return Y.encodeStateAsUpdate(doc)
}

/** Some zeros more than a document may have; made once, because they are large. */
const tooMuch = new Uint8Array(cartDocumentSizeBytesMax)

export function mutate(frame: Frame, draw: Draw): Uint8Array {
  const { update } = frame
  const sealed = (inside: Uint8Array): Uint8Array => encodeFrame({ ...frame, update: inside })
  const whole = encodeFrame(frame)
  switch (draw(14)) {
    case 0:
      return whole.subarray(0, draw(whole.length))
    case 1:
      return flip(whole, draw)
    case 2:
      return sealed(update.subarray(0, draw(update.length)))
    case 3:
    case 4:
      return sealed(flip(update, draw))
    case 5:
      return sealed(Y.convertUpdateFormatV1ToV2(update))
    case 6: // a count of 33 million structs, or of any other huge number
      return sealed(new Uint8Array([1, 0xff, 0xff, 0xff, 0x0f, ...update.subarray(1 + draw(3))]))
    case 7:
      return sealed(insertBytes(update, draw(update.length), [0xff, 0xff, 0xff, 0xff, draw(256)]))
    case 8: // deletions of ranges that exist
      return sealed(new Uint8Array([...update.subarray(0, -1), 1, 41, 1, draw(4), 1 + draw(9)]))
    case 9:
      return update
    case 10: // as it is: replayed, stale, or in place of another kind
      return draw(2) === 0 ? whole : encodeFrame({ ...frame, kind: frame.kind === 'full' ? 'delta' : 'full' })
    case 11: // of another lineage or generation
      return encodeFrame({
        ...frame,
        ...(draw(2) === 0 ? { lineage: `lineage-${draw(9)}` } : { generation: draw(3) }),
      })
    case 12: // oversized, now and then
      return draw(50) > 0 ? flip(whole, draw) : sealed(tooMuch)
    default:
      return sealed(frame.kind === 'full' ? forge(update, draw) : flip(update, draw))
  }
}

export function framesOf(next: readonly Uint8Array[]): Frame[] {
  return next.map(decodeFrame)
}
