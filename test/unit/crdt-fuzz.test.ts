/** Malformed updates change nothing and never crash (promise P9). SOUK_FUZZ_SEED draws others. */
import { strict as assert } from 'node:assert'
import { test } from 'vitest'
import * as Y from 'yjs'
import { CartDocument, cartDocumentSizeBytesMax } from '../../crdt/cart.ts'
import { decodeFrame, encodeFrame } from '../../crdt/encoding.ts'
import type { Frame } from '../../crdt/encoding.ts'
import { isFault } from '../../node/faults.ts'
import type { UserId } from '../../node/ids.ts'
import { framesOf, generator, mutate, sampleCart } from '../support/cart-fuzz.ts'

const seed = Number(process.env['SOUK_FUZZ_SEED'] ?? 1)
const replay = `replay: SOUK_FUZZ_SEED=${seed} scripts/with-node npx vitest run test/unit/crdt-fuzz.test.ts`
const updates = 100_000
const user = `a${'2'.repeat(32)}` as UserId

test(
  `${updates} malformed updates change nothing that was recorded and never crash`,
  { timeout: 120_000 },
  () => {
    const draw = generator(seed)
    const { doc, next } = sampleCart(user)
    const state = Buffer.from(doc.encode())
    const hash = doc.contentHash()
    const frames = framesOf(next)
    const counts = { refused: 0, needFull: 0, unchanged: 0, taken: 0 }
    // What leaves it as it was leaves it for the next update: whatever one of them left behind would show later.
    let trial = CartDocument.load(state, { clientId: 8 })
    for (let round = 0; round < updates; round += 1) {
      const where = `round ${round}. ${replay}`
      const bytes = mutate(frames[draw(frames.length)] as Frame, draw)
      try {
        const result = trial.merge(bytes)
        if (result.kind === 'merged' && result.changed) {
          counts.taken += 1
          // What still was a valid update (a flipped bit in a new quantity) added facts, and took nothing away.
          const back = CartDocument.load(trial.encode(), { clientId: 9 })
          assert.equal(back.contentHash(), trial.contentHash(), `poisoned, ${where}`)
          assert.deepEqual(trial.intents()[0]?.tags, doc.intents()[0]?.tags, `intent, ${where}`)
          const again = trial.merge(bytes)
          assert.equal(again.kind === 'merged' && again.changed, false, `replayed and changed, ${where}`)
          trial = CartDocument.load(state, { clientId: 8 })
          continue
        }
        if (result.kind === 'need-full') counts.needFull += 1
        else counts.unchanged += 1
      } catch (error) {
        assert.ok(isFault(error), `${String(error)}, ${where}`)
        assert.ok(error.code === 'invalid-request' || error.code === 'too-large', where)
        counts.refused += 1
      }
      assert.equal(trial.contentHash(), hash, `changed, ${where}`)
      // Whatever had crept into the bytes alone would still be there a few rounds later.
      if (round % 10 === 0) assert.ok(state.equals(trial.encode()), `the bytes changed, before ${where}`)
    }
    assert.ok(counts.refused > updates * 0.6, `most are refused: ${JSON.stringify(counts)}. ${replay}`)
    for (const [kind, count] of Object.entries(counts))
      assert.ok(count > updates / 200, `${kind} is reached: ${JSON.stringify(counts)}. ${replay}`)
  },
)

test('eight bytes that claim 33 million structs are refused without being believed', () => {
  const { doc } = sampleCart(user)
  const update = new Uint8Array([1, 0xff, 0xff, 0xff, 0x0f, 1, 0, 8])
  const frame = encodeFrame({ kind: 'delta', generation: 0, lineage: doc.lineage, restSizeBytes: 0, update })
  const before = process.memoryUsage().heapUsed
  assert.throws(() => doc.merge(frame), isFault)
  assert.ok(process.memoryUsage().heapUsed - before < 64_000_000)
})

test('an update above the size bound is refused before it is read', () => {
  const { doc } = sampleCart(user)
  assert.throws(
    () => doc.merge(new Uint8Array(cartDocumentSizeBytesMax + 1)),
    (error) => isFault(error) && error.code === 'too-large',
  )
})

test('a deletion or an overwritten value from a member is refused', () => {
  const { doc } = sampleCart(user)
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
