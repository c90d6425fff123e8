/** The cart document's single promises, beside the table (crdt-table) and the model (test/property). */
import { strict as assert } from 'node:assert'
import { describe, test } from 'vitest'
import { CartDocument, requestKey, writerId } from '../../crdt/cart.ts'
import type { CartEdit, OrderIntent } from '../../crdt/cart.ts'
import { decodeFrame, encodeFrame } from '../../crdt/encoding.ts'
import { isFault } from '../../node/faults.ts'
import type { FaultCode } from '../../node/faults.ts'
import type { OrderId, Sku, Tag, UserId } from '../../node/ids.ts'

const user = `a${'4'.repeat(32)}` as UserId
const guest = `g1-${'4'.repeat(24)}` as UserId
const id = `o${'4'.repeat(32)}` as OrderId
const sku = 'tea' as Sku
const writer = writerId(user, 'one', 1, 0)
const otherWriter = writerId(user, 'other', 1, 0)
const add = (quantity: number, of = sku): CartEdit => ({ kind: 'add', sku: of, quantity })
const keyed = (key: string, edit: CartEdit) => requestKey(user, key, edit)
const create = (lineage = 'lineage-1', clientId = 1): CartDocument =>
  CartDocument.create({ clientId, lineage })
const copy = (doc: CartDocument, clientId: number): CartDocument =>
  CartDocument.load(doc.encode(), { clientId })
const fault = (code: FaultCode) => (error: unknown) => isFault(error) && error.code === code

function quantities(doc: CartDocument): Record<string, number> {
  return Object.fromEntries(doc.contents().lines.map((line) => [line.sku, line.quantity]))
}

function intentOf(doc: CartDocument, changes: Partial<OrderIntent> = {}): OrderIntent {
  const { lines, tags, dots } = doc.checkout()
  return {
    id,
    user,
    bodyHash: 'b',
    cartHash: 'c',
    currency: 'USD',
    lines: lines.map((line) => ({ ...line, unitPrice: 5 })),
    tags,
    dots,
    catalogVersion: 1,
    verdict: 'agreed',
    createdAtMs: 1,
    ...changes,
  }
}

describe('what has come before', () => {
  test('is known by content and lineage together, and by nothing less', () => {
    const doc = create()
    const before = doc.contentHash()
    const delta = doc.edit(add(2), writer).update as Uint8Array
    const other = copy(doc, 2)
    for (const bytes of [doc.encode(), delta]) assert.equal(other.hasAlready(doc.contentHash(), bytes), true)
    assert.equal(other.hasAlready(before, doc.encode()), false)
    // The same facts in another lineage: taking it in is what makes both use one.
    const twin = create('lineage-2', 3)
    twin.edit(add(2), writer)
    assert.equal(twin.contentHash(), doc.contentHash())
    assert.equal(twin.hasAlready(doc.contentHash(), doc.encode()), false)
    for (const bytes of [new Uint8Array(0), new Uint8Array(12), doc.encode().slice(0, 15)])
      assert.equal(other.hasAlready(doc.contentHash(), bytes), false)
  })
})

describe('edits', () => {
  test('a retry is a no-op, also when its entry is gone or held', () => {
    const doc = create()
    const key = keyed('K', add(2))
    assert.ok(doc.edit(add(2), writer, key).update)
    assert.equal(doc.edit(add(2), writer, key).update, null)
    doc.freeze(intentOf(doc))
    assert.equal(doc.edit(add(2), writer, key).update, null)
    doc.edit({ kind: 'clear' }, writer)
    assert.equal(doc.edit(add(2), writer, key).update, null)
    assert.deepEqual(quantities(doc), {})
  })

  test('one key for two operations is key-reused, and changes nothing', () => {
    const doc = create()
    doc.edit(add(2), writer, keyed('K', add(2)))
    const hash = doc.contentHash()
    for (const edit of [
      add(3),
      add(2, 'milk' as Sku),
      { kind: 'clear' } as const,
      { kind: 'remove', sku } as const,
    ]) {
      assert.throws(() => doc.edit(edit, writer, keyed('K', edit)), fault('key-reused'))
    }
    assert.equal(doc.contentHash(), hash)
    const rebased = doc.rebase({ clientId: 2, lineage: 'lineage-2', hour: 1 })
    assert.throws(() => rebased.edit(add(3), writer, keyed('K', add(3))), fault('key-reused'))
  })

  test('quantities outside 1–999 (0 for a setting) are refused', () => {
    const doc = create()
    for (const quantity of [0, -1, 1.5, 1_000, Number.NaN]) {
      assert.throws(() => doc.edit(add(quantity), writer), fault('invalid-request'))
    }
    assert.throws(() => doc.edit({ kind: 'set', sku, quantity: -1 }, writer), fault('invalid-request'))
    assert.equal(doc.edit({ kind: 'set', sku, quantity: 0 }, writer).update, null)
    assert.equal(doc.edit({ kind: 'remove', sku }, writer).update, null)
  })

  test('SKUs are listed sorted, and names of the language are only names', () => {
    const doc = create()
    for (const name of ['zoo', '__proto__', 'constructor', 'äpfel']) doc.edit(add(1, name as Sku), writer)
    assert.deepEqual(
      copy(doc, 5)
        .contents()
        .lines.map((line) => line.sku as string),
      ['__proto__', 'constructor', 'zoo', 'äpfel'],
    )
  })
})

describe('messages', () => {
  test('a delta with a gap, or of another lineage, needs the full state and changes nothing', () => {
    const doc = create()
    doc.edit(add(1), writer)
    const peer = copy(doc, 2)
    const lost = peer.edit(add(1), otherWriter).update
    const late = peer.edit(add(1), otherWriter).update
    assert.ok(lost && late)
    assert.deepEqual(doc.merge(late), { kind: 'need-full' })
    assert.deepEqual(quantities(doc), { tea: 1 })
    assert.deepEqual(create('lineage-9').merge(lost), { kind: 'need-full' })
    doc.merge(lost)
    doc.merge(late)
    assert.equal(doc.contentHash(), peer.contentHash())
  })

  test('what came is told, per SKU; what comes twice changes nothing', () => {
    const doc = create()
    doc.edit(add(1), writer)
    const peer = copy(doc, 2)
    const update = peer.edit(add(4, 'milk' as Sku), otherWriter).update
    assert.ok(update)
    const additions = [{ sku: 'milk', quantity: 4 }]
    assert.deepEqual(doc.merge(update), { kind: 'merged', changed: true, lineageChanged: false, additions })
    const nothing = { kind: 'merged', changed: false, lineageChanged: false, additions: [] }
    assert.deepEqual(doc.merge(update), nothing)
    assert.deepEqual(doc.merge(peer.encode()), nothing)
  })

  test('an empty document takes over the lineage of one that holds something', () => {
    const doc = create('lineage-1')
    doc.edit(add(1), writer)
    const fresh = create('lineage-9', 3)
    assert.deepEqual(doc.merge(fresh.encode()), {
      kind: 'merged',
      changed: false,
      lineageChanged: false,
      additions: [],
    })
    assert.equal(fresh.merge(doc.encode()).kind, 'merged')
    assert.equal(fresh.lineage, 'lineage-1')
    assert.equal(fresh.contentHash(), doc.contentHash())
  })

  test('a client id that the state knows is not used again', () => {
    const doc = create('lineage-1', 7)
    doc.edit(add(1), writer)
    const [one, other] = [copy(doc, 7), copy(doc, 8)]
    const update = one.edit(add(1), otherWriter).update
    assert.ok(update)
    other.merge(doc.edit(add(1), writer).update as Uint8Array)
    assert.equal(other.merge(update).kind, 'merged')
    assert.deepEqual(quantities(other), { tea: 3 })
  })

  test('a lineage under another generation, a delta as a state, or v2 bytes are refused', () => {
    const doc = create()
    const update = doc.edit(add(1), writer).update
    assert.ok(update)
    assert.throws(() => CartDocument.load(update, { clientId: 2 }), fault('invalid-request'))
    const frame = decodeFrame(doc.encode())
    assert.throws(() => doc.merge(encodeFrame({ ...frame, generation: 3 })), fault('invalid-request'))
    const v2 = new Uint8Array([0, 0, 3, 1, 1, 1, 0, 0])
    assert.throws(() => doc.merge(encodeFrame({ ...frame, update: v2 })), fault('invalid-request'))
  })
})

describe('orders', () => {
  test('two different intents for one order id are both kept; only the tags of the order are sold', () => {
    const doc = create()
    doc.edit(add(1), writer)
    const peer = copy(doc, 2)
    doc.freeze(intentOf(doc))
    peer.edit(add(2, 'milk' as Sku), otherWriter)
    const sold = intentOf(peer)
    peer.freeze(sold)
    doc.merge(peer.encode())
    assert.equal(doc.undecidedIntents().length, 2)
    assert.deepEqual(quantities(doc), {})
    const narrow = copy(doc, 3)
    doc.decide(id, { status: 'placed', tags: sold.tags })
    assert.deepEqual(quantities(doc), {})
    narrow.decide(id, { status: 'placed', tags: sold.tags.slice(0, 1) })
    assert.equal(narrow.checkout().tags.length, 1)
    assert.equal(doc.decide(id, { status: 'placed', tags: sold.tags }), null)
  })

  test('an intent that the shopper did not agree to holds nothing', () => {
    const doc = create()
    doc.edit(add(1), writer)
    doc.freeze(intentOf(doc, { verdict: 'cart-changed' }))
    assert.deepEqual(doc.contents(), { lines: [{ sku, quantity: 1 }], ordering: [] })
    assert.equal(doc.undecidedIntents().length, 1)
  })

  test('held entries are shown as being ordered, and return when the order is cancelled', () => {
    const doc = create()
    doc.edit(add(3), writer)
    const intent = intentOf(doc, { note: 'please', contact: { name: 'Ada' } })
    assert.ok(doc.freeze(intent))
    assert.equal(doc.freeze(intent), null)
    assert.deepEqual(doc.contents(), { lines: [], ordering: [{ order: id, lines: [{ sku, quantity: 3 }] }] })
    assert.deepEqual(copy(doc, 2).intents(), [intent])
    doc.decide(id, { status: 'cancelled' })
    assert.deepEqual(quantities(doc), { tea: 3 })
  })

  test('a sold notice may come before the entry, and may be repeated after a rebase', () => {
    const doc = create()
    const peer = copy(doc, 2)
    const update = peer.edit(add(1), otherWriter).update
    const { tags } = peer.checkout()
    assert.ok(update)
    doc.markSold(id, tags)
    doc.merge(update)
    assert.deepEqual(quantities(doc), {})
    const rebased = doc.rebase({ clientId: 3, lineage: 'lineage-2', hour: 1 })
    assert.equal(rebased.markSold(id, tags), null)
    rebased.merge(peer.encode())
    assert.deepEqual(quantities(rebased), {})
  })
})

describe('lineages', () => {
  test('a dot is not given twice when its entry was dropped because its tag is gone', () => {
    const doc = create('lineage-1', 1)
    const other = create('lineage-2', 2)
    doc.edit(add(1), writer, keyed('K', add(1)))
    other.edit(add(1), otherWriter, keyed('K', add(1)))
    other.edit({ kind: 'clear' }, otherWriter)
    doc.merge(other.encode())
    doc.edit(add(1), writer)
    assert.deepEqual(doc.checkout().dots, [`${writer}.2`])
  })

  test('a dead request key is remembered for 24 full hours across rebases', () => {
    const key = keyed('K', add(1))
    let doc = create()
    doc.edit(add(1), writer, key)
    doc.edit({ kind: 'clear' }, writer)
    // It may have died at the last moment of hour 100, so hour 124 is less than 24 hours later.
    doc = doc.rebase({ clientId: 2, lineage: 'lineage-2', hour: 100 })
    doc = doc.rebase({ clientId: 3, lineage: 'lineage-3', hour: 124 })
    assert.equal(doc.edit(add(1), writer, key).update, null)
    doc = doc.rebase({ clientId: 4, lineage: 'lineage-4', hour: 125 })
    assert.ok(doc.edit(add(1), writer, key).update)
  })

  test('the last 200 dead request keys are honoured, however many die in one hour and wherever it is opened', () => {
    let doc = create()
    const requests: { edit: CartEdit; key: ReturnType<typeof keyed> }[] = []
    for (let count = 0; count < 1_000; count += 1) {
      const edit: CartEdit = count % 2 === 0 ? add(1 + (count % 9)) : { kind: 'clear' }
      const key = keyed(`K${count}`, edit)
      requests.push({ edit, key })
      doc.edit(edit, writer, key)
      // Client ids in no order, because Yjs sorts by them.
      if (count % 7 === 0) doc = copy(doc, 1 + ((count * 48_271) % 65_537))
      if (doc.needsRebase()) doc = doc.rebase({ clientId: count + 2, lineage: `lineage-${count}`, hour: 100 })
    }
    doc = doc.rebase({ clientId: 7, lineage: 'lineage-last', hour: 123 })
    const before = doc.contents()
    for (const { edit, key } of requests.slice(-200)) assert.equal(doc.edit(edit, writer, key).update, null)
    assert.deepEqual(doc.contents(), before)
    const remembered = requests.filter(({ edit, key }) => doc.edit(edit, writer, key).update === null)
    assert.ok(remembered.length < 450, `bounded: ${remembered.length}`)
  })

  test('an unseen dot stays new after a rebase, although a later one of its writer was seen', () => {
    const doc = create()
    const first = copy(doc, 2)
    const gap = first.edit(add(1), otherWriter).update
    const second = CartDocument.load(first.encode(), { clientId: 3 })
    const later = second.edit(add(2, 'milk' as Sku), otherWriter).update
    assert.ok(gap && later)
    doc.merge(later)
    const rebased = doc.rebase({ clientId: 4, lineage: 'lineage-2', hour: 1 })
    assert.deepEqual(quantities(rebased), { milk: 2 })
    rebased.merge(first.encode())
    assert.deepEqual(quantities(rebased), { milk: 2, tea: 1 })
  })

  test('a guest’s cart goes into the account’s, late additions follow, removed ones stay away', () => {
    const cart = create('guest-cart', 1)
    const account = create('account-cart', 2)
    const guestWriter = writerId(guest, 'one', 1, 0)
    cart.edit(add(1), guestWriter)
    account.edit(add(2, 'milk' as Sku), writer)
    assert.ok(account.absorb(cart))
    assert.equal(account.absorb(cart), null)
    assert.ok(cart.setForwardedTo(user))
    assert.equal(account.forwardedTo, null)
    assert.deepEqual(account.checkout().tags.includes(`${guestWriter}.1` as Tag), true)
    account.edit({ kind: 'remove', sku }, writer)
    const rebased = account.rebase({ clientId: 3, lineage: 'account-2', hour: 1 })
    cart.edit(add(5), guestWriter)
    rebased.absorb(cart)
    assert.deepEqual(quantities(rebased), { milk: 2, tea: 5 })
  })

  test('two log-ons at once forward a guest’s cart to one account, the same everywhere', () => {
    const cart = create()
    const twin = copy(cart, 2)
    const lower = `a${'0'.repeat(32)}` as UserId
    cart.setForwardedTo(user)
    twin.setForwardedTo(lower)
    const [fromCart, fromTwin] = [cart.encode(), twin.encode()]
    cart.merge(fromTwin)
    twin.merge(fromCart)
    assert.deepEqual([cart.forwardedTo, twin.forwardedTo], [lower, lower])
    assert.equal(cart.rebase({ clientId: 9, lineage: 'lineage-2', hour: 1 }).forwardedTo, lower)
  })
})
