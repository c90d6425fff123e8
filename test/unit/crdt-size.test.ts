/** Documents stay small (DESIGN.md section 5): the life of a busy cart, with the home's rebasing. */
import { strict as assert } from 'node:assert'
import { test } from 'vitest'
import { CartDocument, cartEntriesMax, requestKey, writerId } from '../../crdt/cart.ts'
import type { CartEdit } from '../../crdt/cart.ts'
import { isFault } from '../../node/faults.ts'
import type { OrderId, Sku, UserId } from '../../node/ids.ts'

const user = `a${'3'.repeat(32)}` as UserId
const atRestSizeBytesMax = 32_000

/** Every edit keyed, as the pages do; each opening with a client id and a writer of its own, the worst case. */
function live(
  edits: number,
  openings: number,
  orders: number,
): { doc: CartDocument; rebases: number; peakSizeBytes: number } {
  let doc = CartDocument.create({ clientId: 1, lineage: 'lineage-0000' })
  let [rebases, peakSizeBytes, clientId] = [0, 0, 1]
  for (let opening = 0; opening < openings; opening += 1) {
    doc = CartDocument.load(doc.encode(), { clientId: (clientId += 1) })
    const writer = writerId(user, 'member', opening, 0)
    for (let count = 0; count < edits / openings; count += 1) {
      const sku = `SKU-${(opening * 7 + count) % 12}` as Sku
      const edit: CartEdit =
        count % 10 === 9
          ? { kind: 'clear' }
          : count % 3 === 2
            ? { kind: 'remove', sku }
            : { kind: 'add', sku, quantity: 1 }
      doc.edit(edit, writer, requestKey(user, `${opening} ${count}`, edit))
    }
    if (opening % (openings / orders) === 0) {
      const edit: CartEdit = { kind: 'add', sku: 'SKU-1' as Sku, quantity: 2 }
      doc.edit(edit, writer, requestKey(user, `order ${opening}`, edit))
      order(doc, `o${opening.toString(16).padStart(32, '0')}` as OrderId)
    }
    peakSizeBytes = Math.max(peakSizeBytes, doc.encode().byteLength)
    if (!doc.needsRebase()) continue
    const before = doc.contents()
    doc = doc.rebase({
      clientId: (clientId += 1),
      lineage: `lineage-${opening}`,
      hour: Math.floor(opening / 10),
    })
    rebases += 1
    assert.deepEqual(doc.contents(), before)
  }
  return { doc, rebases, peakSizeBytes }
}

function order(doc: CartDocument, id: OrderId): void {
  const { lines, tags, dots } = doc.checkout()
  doc.freeze({
    id,
    user,
    bodyHash: 'b'.repeat(64),
    cartHash: 'c'.repeat(64),
    currency: 'USD',
    lines: lines.map((line) => ({ ...line, unitPrice: 1_999, title: 'A thing with a name' })),
    tags,
    dots,
    contact: { name: 'Ada', email: 'ada@example.org', address: '1 Main Street' },
    catalogVersion: 1,
    verdict: 'agreed',
    createdAtMs: 1_700_000_000_000,
  })
  doc.decide(id, { status: 'placed', tags })
}

test('10,000 edits, 1,000 openings and 100 orders end below 32 kB', { timeout: 60_000 }, () => {
  const { doc, rebases, peakSizeBytes } = live(10_000, 1_000, 100)
  const rested = doc.rebase({ clientId: 1, lineage: 'at-rest-0000', hour: 100 })
  const figures = `at rest ${rested.sizeBytes()}, peak ${peakSizeBytes}, rebases ${rebases}`
  assert.ok(rested.sizeBytes() < atRestSizeBytesMax, figures)
  assert.ok(peakSizeBytes < 4 * atRestSizeBytesMax, figures)
  assert.ok(rebases > 10 && rebases < 400, figures)
})

test('replicas stay as small as the home that rebases, also those that are a few edits behind', () => {
  const writer = writerId(user, 'home', 1, 0)
  let home = CartDocument.create({ clientId: 1, lineage: 'home-lineage' })
  const replicas = [2, 3].map((clientId) => CartDocument.load(home.encode(), { clientId }))
  let [earlier, rebases, peakSizeBytes]: [string[], number, number] = [[home.contentHash()], 0, 0]
  for (let count = 0; count < 1_200; count += 1) {
    const edit: CartEdit = { kind: 'set', sku: `SKU-${count % 12}` as Sku, quantity: 1 + (count % 7) }
    home.edit(edit, writer, requestKey(user, String(count), edit))
    if (home.needsRebase()) {
      rebases += 1
      home = home.rebase({ clientId: 10 + rebases, lineage: `home-lineage-${count}`, hour: 1, earlier })
    }
    earlier = [home.contentHash(), ...earlier].slice(0, 8)
    // Whole documents, as after a gap: one replica gets every third, the other every seventh.
    for (const replica of replicas.filter((_, index) => count % [3, 7][index]! === 0)) {
      replica.merge(home.encode())
      assert.equal(replica.contentHash(), home.contentHash())
      peakSizeBytes = Math.max(peakSizeBytes, replica.encode().byteLength)
    }
  }
  const figures = `peak ${peakSizeBytes}, rebases ${rebases}`
  assert.ok(peakSizeBytes < 2 * atRestSizeBytesMax, figures)
  assert.ok(rebases > 2 && rebases < 40, figures)
})

test('the estimated size is never below the encoded one, and is exact after encoding', () => {
  const doc = CartDocument.create({ clientId: 1, lineage: 'estimates' })
  const writer = writerId(user, 'm', 1, 0)
  for (let count = 0; count < 200; count += 1) {
    doc.edit({ kind: 'set', sku: 'x' as Sku, quantity: 3 }, writer)
    const estimate = doc.sizeBytes()
    if (count % 20 > 0) continue
    assert.ok(estimate >= doc.encode().byteLength)
    assert.equal(doc.sizeBytes(), doc.encode().byteLength)
  }
})

test('a cart takes a bounded number of entries, and removing still works then', () => {
  const doc = CartDocument.create({ clientId: 1, lineage: 'full-cart' })
  const writer = writerId(user, 'm', 1, 0)
  const add: CartEdit = { kind: 'add', sku: 'x' as Sku, quantity: 1 }
  for (let count = 0; count < cartEntriesMax; count += 1) doc.edit(add, writer)
  const hash = doc.contentHash()
  assert.throws(
    () => doc.edit(add, writer),
    (error) => isFault(error) && error.code === 'too-large',
  )
  assert.equal(doc.contentHash(), hash)
  doc.edit({ kind: 'clear' }, writer)
  assert.deepEqual(doc.contents().lines, [])
  assert.ok(doc.edit(add, writer).update)
})
