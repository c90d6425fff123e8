/**
 * The table of DESIGN.md section 5, row by row. Each row is run for both orders of the Yjs client ids and
 * with either node, both, or none having rebased its copy before they meet.
 */
import { strict as assert } from 'node:assert'
import { describe, test } from 'vitest'
import { CartDocument, requestKey, writerId } from '../../crdt/cart.ts'
import type { CartEdit, CartLine, OrderIntent } from '../../crdt/cart.ts'
import type { OrderId, Sku, Tag, UserId } from '../../node/ids.ts'

const user = `a${'1'.repeat(32)}` as UserId
const tea = 'tea' as Sku
const add = (quantity: number): CartEdit => ({ kind: 'add', sku: tea, quantity })
const set = (quantity: number): CartEdit => ({ kind: 'set', sku: tea, quantity })
const remove: CartEdit = { kind: 'remove', sku: tea }
const orderA = `o${'a'.repeat(32)}` as OrderId
const orderB = `o${'b'.repeat(32)}` as OrderId

type Variant = { name: string; clientIds: [number, number, number]; rebases: [boolean, boolean] }
const variants: Variant[] = [false, true].flatMap((isSwapped) =>
  [[false, false] as const, [true, false] as const, [false, true] as const, [true, true] as const].map(
    ([first, second]): Variant => ({
      name: `client ids ${isSwapped ? 'swapped' : 'in order'}, rebased ${String(first)} ${String(second)}`,
      clientIds: isSwapped ? [900, 20, 10] : [1, 10, 20],
      rebases: [first, second],
    }),
  ),
)

class Node {
  doc: CartDocument
  private readonly writer: string
  private readonly name: string
  constructor(name: string, state: Uint8Array, clientId: number) {
    this.name = name
    this.doc = CartDocument.load(state, { clientId })
    this.writer = writerId(user, name, 1, 0)
  }
  edit(edit: CartEdit, key?: string): void {
    this.doc.edit(edit, this.writer, key === undefined ? undefined : requestKey(user, key, edit))
  }
  checkOut(id: OrderId): OrderIntent {
    const { lines, tags, dots } = this.doc.checkout()
    const intent: OrderIntent = {
      id,
      user,
      bodyHash: 'body',
      cartHash: 'cart',
      currency: 'USD',
      lines: lines.map((line) => ({ ...line, unitPrice: 250 })),
      tags,
      dots,
      catalogVersion: 7,
      verdict: 'agreed',
      createdAtMs: 1_700_000_000_000,
    }
    this.doc.freeze(intent)
    return intent
  }
  rebase(clientId: number): void {
    this.doc = this.doc.rebase({ clientId, lineage: `lineage-of-${this.name}`, hour: 100 })
  }
}

/** Two nodes start with `begin`, act apart, meet, and have the same lines; `after` may then decide orders. */
function row(
  name: string,
  begin: readonly [CartEdit, string?][],
  act: (one: Node, other: Node) => void,
  expected: readonly CartLine[],
  after: (one: Node, other: Node) => void = () => undefined,
): void {
  describe.each([name])('%s', () => {
    test.each(variants)('$name', ({ clientIds, rebases }) => {
      const start = CartDocument.create({ clientId: clientIds[0], lineage: 'the-first-one' })
      for (const [edit, key] of begin) {
        const made = key === undefined ? undefined : requestKey(user, key, edit)
        start.edit(edit, writerId(user, 'start', 1, 0), made)
      }
      const one = new Node('one', start.encode(), clientIds[1])
      const other = new Node('other', start.encode(), clientIds[2])
      act(one, other)
      if (rebases[0]) one.rebase(clientIds[1] + 1_000)
      if (rebases[1]) other.rebase(clientIds[2] + 1_000)
      meet(one, other)
      after(one, other)
      meet(one, other)
      for (const { doc } of [one, other]) assert.deepEqual(doc.contents(), { lines: expected, ordering: [] })
    })
  })
}

function meet(one: Node, other: Node): void {
  const [fromOne, fromOther] = [one.doc.encode(), other.doc.encode()]
  one.doc.merge(fromOther)
  other.doc.merge(fromOne)
  // Each may have written what it took over from the other's lineage.
  one.doc.merge(other.doc.encode())
  other.doc.merge(one.doc.encode())
  assert.equal(one.doc.contentHash(), other.doc.contentHash())
  assert.deepEqual(one.doc.contents(), other.doc.contents())
}

const lines = (quantity: number): CartLine[] => [{ sku: tea, quantity }]

row(
  'add 1, add 1: both, 2 more',
  [[add(1)]],
  (one, other) => {
    one.edit(add(1))
    other.edit(add(1))
  },
  lines(3),
)

row(
  'add 1 (key K), the retry of it: once',
  [],
  (one, other) => {
    one.edit(add(1), 'K')
    other.edit(add(1), 'K')
  },
  lines(1),
)

row(
  'add 1 (key K) and remove, the retry: stays removed',
  [],
  (one, other) => {
    one.edit(add(1), 'K')
    one.edit(remove)
    other.edit(add(1), 'K')
  },
  [],
)

row(
  'set 3, set 3: 3',
  [[add(1)]],
  (one, other) => {
    one.edit(set(3))
    other.edit(set(3))
  },
  lines(3),
)

row(
  'set 5, add 1: 6',
  [[add(2)]],
  (one, other) => {
    one.edit(set(5))
    other.edit(add(1))
  },
  lines(6),
)

row(
  'remove, remove then add 1: 1',
  [[add(4)]],
  (one, other) => {
    one.edit(remove)
    other.edit(remove)
    other.edit(add(1))
  },
  lines(1),
)

row(
  'remove, add 1 that it has not seen: 1',
  [[add(4)]],
  (one, other) => {
    one.edit(remove)
    other.edit(add(1))
  },
  lines(1),
)

const placeA = (one: Node): void => {
  const [intent] = one.doc.undecidedIntents()
  assert.ok(intent)
  assert.deepEqual(intent.lines, [{ sku: tea, quantity: 2, unitPrice: 250 }], 'the order has what it saw')
  one.doc.decide(orderA, { status: 'placed', tags: intent.tags })
}

row(
  'check out, add 1: the order has what it saw, the cart keeps 1',
  [[add(2)]],
  (one, other) => {
    one.checkOut(orderA)
    other.edit(add(1))
  },
  lines(1),
  placeA,
)

row(
  'check out, set 5: the order, and 5 in the cart',
  [[add(2)]],
  (one, other) => {
    one.checkOut(orderA)
    other.edit(set(5))
  },
  lines(5),
  placeA,
)

row(
  'check out, remove: the order, and an empty cart',
  [[add(2)]],
  (one, other) => {
    one.checkOut(orderA)
    other.edit(remove)
  },
  [],
  placeA,
)

row(
  'check out, check out of the same entries: one order, the other is told which took them',
  [[add(2)], [add(3), 'K']],
  (one, other) => {
    one.checkOut(orderA)
    other.checkOut(orderB)
  },
  [],
  (one, other) => {
    const intents = one.doc.undecidedIntents()
    assert.deepEqual(
      intents.map(({ id }) => id),
      [orderA, orderB],
    )
    const tags = intents[0]?.tags ?? []
    one.doc.decide(orderA, { status: 'placed', tags })
    const soldTags = Object.fromEntries(tags.map((tag) => [tag, orderA])) as Record<Tag, OrderId>
    other.doc.decide(orderB, { status: 'refused', reason: 'already-sold', soldTags })
    assert.deepEqual(other.doc.outcomeOf(orderB), { status: 'refused', reason: 'already-sold', soldTags })
  },
)

row(
  'check out that is refused: the held entries are back, beside what was added meanwhile',
  [[add(2)]],
  (one, other) => {
    one.checkOut(orderA)
    other.edit(add(1))
  },
  lines(3),
  (one) => one.doc.decide(orderA, { status: 'refused', reason: 'price-changed' }),
)

row(
  'set 5 (key K), the retry elsewhere after a set 2 that it has not seen: both settings, the larger shows',
  [[add(1)]],
  (one, other) => {
    one.edit(set(5), 'K')
    other.edit(set(2))
    other.edit(set(5), 'K')
  },
  lines(5),
)

row(
  'remove (key K) of nothing, then add 1 and the retry of the removal: stays',
  [],
  (one) => {
    one.edit(remove, 'K')
    one.edit(add(1))
    one.edit(remove, 'K')
  },
  lines(1),
)
