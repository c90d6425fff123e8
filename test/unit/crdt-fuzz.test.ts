/** Malformed updates change nothing and never crash (promise P9). SOUK_FUZZ_SEED draws others. */
import { strict as assert } from 'node:assert'
import { test } from 'vitest'
import * as Y from 'yjs'
import { CartDocument, cartDocumentSizeBytesMax, requestKey, writerId } from '../../crdt/cart.ts'
import type { CartEdit } from '../../crdt/cart.ts'
import { decodeFrame, encodeFrame } from '../../crdt/encoding.ts'
import type { Frame } from '../../crdt/encoding.ts'
import { isFault } from '../../node/faults.ts'
import type { OrderId, Sku, UserId } from '../../node/ids.ts'

const seed = Number(process.env['SOUK_FUZZ_SEED'] ?? 1)
const replay = `replay: SOUK_FUZZ_SEED=${seed} scripts/with-node npx vitest run test/unit/crdt-fuzz.test.ts`
const updates = 20_000
const user = `a${'2'.repeat(32)}` as UserId
const order = `o${'c'.repeat(32)}` as OrderId

/** Mulberry32. */
function generator(start: number): (below: number) => number {
  let state = start >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

function sampleCart(): { doc: CartDocument; next: Uint8Array[] } {
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
  assert.ok(delta && sold)
  const rebased = peer.rebase({ clientId: 43, lineage: 'greater-one', hour: 5 })
  return { doc, next: [delta, sold, peer.encode(), rebased.encode(), doc.encode()] }
}

type Draw = (below: number) => number

function flip(bytes: Uint8Array, draw: Draw): Uint8Array {
  const copy = bytes.slice()
  for (let times = 1 + draw(4); times > 0; times -= 1) {
    const at = draw(Math.max(1, copy.length))
    copy[at] = (copy[at] ?? 0) ^ (1 << draw(8))
  }
  return copy
}

const insert = (bytes: Uint8Array, at: number, extra: readonly number[]): Uint8Array =>
  new Uint8Array([...bytes.subarray(0, at), ...extra, ...bytes.subarray(at)])

/** A hostile peer's document: writes what it likes beside what it got. */
function forge(update: Uint8Array, draw: Draw): Uint8Array {
  const doc = new Y.Doc({ gc: draw(2) === 0 })
  doc.clientID = 77
  Y.applyUpdate(doc, update)
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

function mutate(frame: Frame, draw: Draw): Uint8Array {
  const { update } = frame
  const sealed = (inside: Uint8Array): Uint8Array => encodeFrame({ ...frame, update: inside })
  const whole = encodeFrame(frame)
  switch (draw(11)) {
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
      return sealed(insert(update, draw(update.length), [0xff, 0xff, 0xff, 0xff, draw(256)]))
    case 8: // deletions of ranges that exist
      return sealed(new Uint8Array([...update.subarray(0, -1), 1, 41, 1, draw(4), 1 + draw(9)]))
    case 9:
      return update
    default:
      return sealed(frame.kind === 'full' ? forge(update, draw) : flip(update, draw))
  }
}

test(
  `${updates} malformed updates change nothing that was recorded and never crash`,
  { timeout: 120_000 },
  () => {
    const draw = generator(seed)
    const { doc, next } = sampleCart()
    const state = doc.encode()
    const frames = next.map(decodeFrame)
    const counts = { refused: 0, needFull: 0, unchanged: 0, taken: 0 }
    for (let round = 0; round < updates; round += 1) {
      const bytes = mutate(frames[draw(frames.length)] as Frame, draw)
      const target = round % 100 === 0 ? CartDocument.load(state, { clientId: 7 }) : doc
      const hash = target.contentHash()
      const trial = CartDocument.load(state, { clientId: 8 })
      try {
        const result = trial.merge(bytes)
        if (result.kind === 'need-full') counts.needFull += 1
        else if (result.changed) counts.taken += 1
        else counts.unchanged += 1
        if (result.kind === 'merged' && result.changed) {
          // What still was a valid update (a flipped bit in a new quantity) added facts, and took nothing away.
          const back = CartDocument.load(trial.encode(), { clientId: 9 })
          assert.equal(back.contentHash(), trial.contentHash(), `round ${round}: poisoned. ${replay}`)
          assert.deepEqual(
            trial.intents()[0]?.tags,
            doc.intents()[0]?.tags,
            `round ${round}: intent. ${replay}`,
          )
        } else {
          assert.equal(trial.contentHash(), hash, `round ${round}: changed. ${replay}`)
        }
      } catch (error) {
        assert.ok(isFault(error), `round ${round}: ${String(error)}. ${replay}`)
        assert.ok(error.code === 'invalid-request' || error.code === 'too-large', `round ${round}. ${replay}`)
        assert.equal(
          trial.contentHash(),
          hash,
          `round ${round}: a refused update changed the cart. ${replay}`,
        )
        assert.deepEqual(
          trial.encode(),
          state,
          `round ${round}: a refused update changed the bytes. ${replay}`,
        )
        counts.refused += 1
      }
    }
    assert.deepEqual(doc.encode(), state)
    assert.ok(counts.refused > updates * 0.8, `most are refused: ${JSON.stringify(counts)}. ${replay}`)
    assert.ok(
      counts.needFull + counts.taken + counts.unchanged > 0,
      `the fuzzer reaches Yjs: ${JSON.stringify(counts)}`,
    )
  },
)

test('eight bytes that claim 33 million structs are refused without being believed', () => {
  const { doc } = sampleCart()
  const update = new Uint8Array([1, 0xff, 0xff, 0xff, 0x0f, 1, 0, 8])
  const frame = encodeFrame({ kind: 'delta', generation: 0, lineage: doc.lineage, restSizeBytes: 0, update })
  const before = process.memoryUsage().heapUsed
  assert.throws(() => doc.merge(frame), isFault)
  assert.ok(process.memoryUsage().heapUsed - before < 64_000_000)
})

test('an update above the size bound is refused before it is read', () => {
  const { doc } = sampleCart()
  assert.throws(
    () => doc.merge(new Uint8Array(cartDocumentSizeBytesMax + 1)),
    (error) => isFault(error) && error.code === 'too-large',
  )
})

test('a deletion or an overwritten value from a member is refused', () => {
  const { doc } = sampleCart()
  const frame = decodeFrame(doc.encode())
  for (const act of [
    (map: Y.Map<unknown>, key: string) => map.delete(key),
    (map: Y.Map<unknown>, key: string) => void map.set(key, '["a","a",9]'),
  ]) {
    const hostile = new Y.Doc({ gc: false })
    Y.applyUpdate(hostile, frame.update)
    const map = hostile.getMap('e')
    act(map, [...map.keys()][0] as string)
    const update = Y.encodeStateAsUpdate(hostile)
    for (const kind of ['full', 'delta'] as const) {
      assert.throws(() => doc.merge(encodeFrame({ ...frame, kind, update })), isFault)
    }
    assert.throws(() => CartDocument.load(encodeFrame({ ...frame, update }), { clientId: 3 }), isFault)
  }
})
