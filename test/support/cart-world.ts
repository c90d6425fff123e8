/**
 * Replicas of an account's cart and of the guest's cart that goes into it, a log that decides orders,
 * and a network that keeps every message for ever: what is never picked was lost, what is picked twice
 * was duplicated, what is picked late is stale. Each step is checked against the model.
 */
import { strict as assert } from 'node:assert'
import { CartDocument, requestKey, writerId } from '../../crdt/cart.ts'
import type { CartEdit, OrderIntent, OrderOutcome } from '../../crdt/cart.ts'
import { isFault } from '../../node/faults.ts'
import type { OrderId, Sku, Tag, UserId } from '../../node/ids.ts'
import { CartModel } from './cart-model.ts'
import type { ModelFact } from './cart-model.ts'

export type Step = {
  kind: (typeof stepKinds)[number]
  replica: number
  other: number
  sku: number
  quantity: number
  pick: number
}
/** Repeated names are more frequent. */
// prettier-ignore
export const stepKinds = [
  'add', 'add', 'add', 'keyed-add', 'keyed-add', 'set', 'keyed-set', 'remove', 'keyed-remove', 'clear',
  'retry', 'retry', 'retry', 'misuse', 'deliver', 'deliver', 'deliver', 'deliver', 'sync', 'sync', 'push',
  'checkout', 'checkout', 'submit', 'submit', 'learn', 'notice', 'restart', 'reopen', 'reopen', 'backup',
  'restore', 'rebase', 'rebase', 'absorb',
] as const

type Replica = {
  user: UserId
  doc: CartDocument
  model: CartModel
  writer: string
  index: number
  /** Contents that it had lately, as the shelf remembers them: others may be at one of them when it is rebased. */
  earlier: string[]
}
type Message = { user: UserId; bytes: Uint8Array; facts: readonly ModelFact[] }
type Request = { user: UserId; key: string; edit: CartEdit }

const account = `a${'0'.repeat(32)}` as UserId
const guest = `g1-${'0'.repeat(24)}` as UserId
const hour = 490_000

export class CartWorld {
  readonly replicas: Replica[]
  private readonly messages: Message[] = []
  private readonly requests: Request[] = []
  private readonly backups: Message[] = []
  private readonly outcomes = new Map<OrderId, OrderOutcome>()
  readonly soldTo = new Map<Tag, OrderId>()
  private lives = 0
  private random: number

  constructor(seed: number, accountReplicas: number) {
    this.random = seed >>> 0
    const users = [...Array.from({ length: accountReplicas }, () => account), guest, guest]
    // A cart begins at one node as a rule, at several at once now and then.
    const isOneLineage = seed % 4 > 0
    const lineage = this.drawLineage()
    this.replicas = users.map((user, index) => {
      const options = {
        clientId: this.draw(),
        lineage: isOneLineage ? `${user.slice(0, 1)}${lineage}` : this.drawLineage(),
      }
      return {
        user,
        index,
        doc: CartDocument.create(options),
        model: new CartModel(),
        writer: this.newWriter(user),
        earlier: [],
      }
    })
  }

  /** Mulberry32: small client ids as well as large ones, so that both orders of any two occur. */
  private draw(): number {
    this.random = (this.random + 0x6d2b79f5) >>> 0
    let mixed = this.random
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }

  private drawLineage(): string {
    return `${this.draw().toString(16).padStart(8, '0')}${this.draw().toString(16).padStart(8, '0')}`
  }

  private newWriter(user: UserId): string {
    this.lives += 1
    return writerId(user, 'member', this.lives, 0)
  }

  run(step: Step): void {
    const replica = this.at(step.replica)
    this.take(step, replica)
    this.answer(replica)
    this.compare(replica)
    this.remember(replica)
  }

  private remember(replica: Replica): void {
    const hash = replica.doc.contentHash()
    if (replica.earlier[0] !== hash) replica.earlier = [hash, ...replica.earlier].slice(0, 8)
  }

  private at(index: number): Replica {
    return this.replicas[index % this.replicas.length] as Replica
  }

  private take(step: Step, replica: Replica): void {
    switch (step.kind) {
      case 'deliver':
        return this.deliver(replica, this.messages.at(-1 - (step.pick % Math.max(1, this.messages.length))))
      case 'sync':
        return this.deliver(replica, this.full(this.at(step.other)))
      case 'push':
        return void this.messages.push(this.full(replica))
      case 'checkout':
        return this.checkout(replica, step)
      case 'submit':
        return this.submit(replica)
      case 'learn':
        return
      case 'notice':
        return this.notice(replica, step.pick)
      case 'restart':
        return this.open(replica, this.full(replica))
      case 'reopen': // evicted and loaded again by the same process: the writer goes on, the Yjs client is another
        replica.doc = CartDocument.load(replica.doc.encode(), { clientId: this.draw() })
        replica.earlier = []
        return
      case 'backup':
        return void this.backups.push(this.full(replica))
      case 'restore':
        return this.open(replica, this.backups[step.pick % Math.max(1, this.backups.length)])
      case 'rebase':
        replica.doc = replica.doc.rebase({
          clientId: this.draw(),
          lineage: this.drawLineage(),
          hour,
          earlier: replica.earlier,
        })
        return
      case 'absorb':
        return this.absorb(replica, this.at(step.other))
      case 'add':
      case 'keyed-add':
      case 'set':
      case 'keyed-set':
      case 'remove':
      case 'keyed-remove':
      case 'clear':
      case 'retry':
      case 'misuse':
        return this.shop(step, replica)
    }
  }

  private shop(step: Step, replica: Replica): void {
    const sku = `sku-${step.sku}` as Sku
    const name = step.kind.replace('keyed-', '')
    const isKeyed = step.kind.startsWith('keyed-')
    if (name === 'retry' || name === 'misuse') {
      const request = this.requests[step.pick % Math.max(1, this.requests.length)]
      if (request === undefined || request.user !== replica.user) return
      if (name === 'retry') return this.edit(replica, request.edit, request.key)
      return this.edit(replica, { kind: 'add', sku, quantity: 500 }, request.key)
    }
    const edit: CartEdit =
      name === 'add'
        ? { kind: 'add', sku, quantity: 1 + (step.quantity % 9) }
        : name === 'set'
          ? { kind: 'set', sku, quantity: step.quantity % 10 }
          : name === 'remove'
            ? { kind: 'remove', sku }
            : { kind: 'clear' }
    const key = isKeyed ? `key ${this.requests.length}` : undefined
    if (key !== undefined) this.requests.push({ user: replica.user, key, edit })
    this.edit(replica, edit, key)
  }

  private edit(replica: Replica, edit: CartEdit, key: string | undefined): void {
    const made = key === undefined ? undefined : requestKey(replica.user, key, edit)
    const tag = made === undefined ? null : `k:${made.keyHash}${made.operationHash}`
    const original = this.requests.find((request) => request.key === key && request.user === replica.user)
    if (original !== undefined && JSON.stringify(original.edit) !== JSON.stringify(edit)) {
      const first = requestKey(replica.user, original.key, original.edit)
      const isKnown = replica.model.knowsTag(`k:${first.keyHash}${first.operationHash}`)
      // A key that this replica has not seen can't be known as reused; the run goes on without it.
      if (!isKnown) return
      assert.throws(
        () => replica.doc.edit(edit, replica.writer, made),
        (error) => isFault(error) && error.code === 'key-reused',
      )
      return
    }
    const { update } = replica.doc.edit(edit, replica.writer, made)
    const plain = { sku: '' as Sku, quantity: 0, ...edit }
    const facts = replica.model.edit(plain, replica.writer, tag)
    assert.equal(
      update === null,
      facts.length === 0,
      'the document takes an edit for a retry, or the other way round',
    )
    this.publish(replica, update, facts)
  }

  private publish(replica: Replica, update: Uint8Array | null, facts: readonly ModelFact[]): void {
    if (update !== null) this.messages.push({ user: replica.user, bytes: update, facts })
  }

  private full(replica: Replica): Message {
    return { user: replica.user, bytes: replica.doc.encode(), facts: replica.model.all() }
  }

  private deliver(replica: Replica, message: Message | undefined): void {
    if (message === undefined || message.user !== replica.user) return
    const result = replica.doc.merge(message.bytes)
    if (result.kind === 'merged') replica.model.learn(message.facts)
  }

  private open(replica: Replica, message: Message | undefined): void {
    if (message === undefined || message.user !== replica.user) return
    replica.doc = CartDocument.load(message.bytes, { clientId: this.draw() })
    replica.model = new CartModel(message.facts)
    replica.writer = this.newWriter(replica.user)
    replica.earlier = []
  }

  private absorb(into: Replica, from: Replica): void {
    if (into.user !== account || from.user !== guest) return
    const facts = from.model.all()
    into.model.learn(facts)
    this.publish(into, into.doc.absorb(from.doc), facts)
    const forwarded = from.doc.setForwardedTo(account)
    this.publish(from, forwarded, [])
    assert.equal(from.doc.forwardedTo, account)
    assert.equal(into.doc.forwardedTo, null, 'an account forwards nowhere')
  }

  private checkout(replica: Replica, step: Step): void {
    const { lines, tags, dots } = replica.doc.checkout()
    // Few order keys, so that two homes freeze different intents for one order id.
    const order = `o${replica.user.slice(0, 1)}${String(step.pick % 6).padStart(31, '0')}`.replace(
      'og',
      'ob',
    ) as OrderId
    const verdict: OrderIntent['verdict'] =
      lines.length === 0 ? 'empty-cart' : step.quantity % 8 === 0 ? 'cart-changed' : 'agreed'
    if (this.outcomes.has(order)) return
    const intent: OrderIntent = {
      id: order,
      user: replica.user,
      bodyHash: 'b',
      cartHash: 'c',
      currency: 'USD',
      lines: lines.map((line) => ({ ...line, unitPrice: 100 })),
      tags,
      dots,
      catalogVersion: 1,
      verdict,
      createdAtMs: step.pick,
    }
    const fact: ModelFact = { is: 'intent', order, holds: verdict === 'agreed', tags, lines }
    const update = replica.doc.freeze(intent)
    replica.model.learn([fact])
    this.publish(replica, update, [fact])
  }

  /** The log: the first applied intent of an order id decides it for ever; no tag is sold twice (P4). */
  private submit(replica: Replica): void {
    for (const intent of replica.doc.undecidedIntents()) {
      if (this.outcomes.has(intent.id)) continue
      const sold = intent.tags.filter((tag) => this.soldTo.has(tag))
      if (intent.verdict !== 'agreed') {
        this.outcomes.set(intent.id, { status: 'refused', reason: intent.verdict })
      } else if (sold.length > 0) {
        const soldTags = Object.fromEntries(sold.map((tag) => [tag, this.soldTo.get(tag) as OrderId]))
        this.outcomes.set(intent.id, { status: 'refused', reason: 'already-sold', soldTags })
      } else if (intent.createdAtMs % 5 === 0) {
        this.outcomes.set(intent.id, { status: 'cancelled' })
      } else {
        for (const tag of intent.tags) this.soldTo.set(tag, intent.id)
        this.outcomes.set(intent.id, { status: 'placed', tags: intent.tags })
      }
    }
  }

  /** The log answers again, whenever it is asked about an intent that was decided. */
  private answer(replica: Replica): void {
    for (const { id } of replica.doc.undecidedIntents()) {
      const outcome = this.outcomes.get(id)
      if (outcome === undefined) continue
      const update = replica.doc.decide(id, outcome)
      const sold: [string, OrderId][] =
        outcome.status === 'placed'
          ? outcome.tags.map((tag) => [tag, id])
          : outcome.status === 'refused'
            ? Object.entries(outcome.soldTags ?? {})
            : []
      const facts: ModelFact[] = [
        { is: 'decided', order: id },
        ...sold.map(([tag, order]): ModelFact => ({ is: 'sold', tag, order })),
      ]
      replica.model.learn(facts)
      this.publish(replica, update, facts)
    }
  }

  private notice(replica: Replica, pick: number): void {
    const orders = [...new Set(this.soldTo.values())]
    const order = orders[pick % Math.max(1, orders.length)]
    if (order !== undefined) this.noticeOf(replica, order)
  }

  private noticeOf(replica: Replica, order: OrderId): void {
    const tags = [...this.soldTo].filter(([, by]) => by === order).map(([tag]) => tag)
    const facts = tags.map((tag): ModelFact => ({ is: 'sold', tag, order }))
    const update = replica.doc.markSold(order, tags)
    replica.model.learn(facts)
    this.publish(replica, update, facts)
  }

  private compare(replica: Replica): void {
    const { doc, model, index } = replica
    const checkout = doc.checkout()
    assert.deepEqual(checkout.lines, model.lines(), `replica ${index}: lines`)
    assert.deepEqual(doc.contents().lines, model.lines(), `replica ${index}: contents`)
    assert.deepEqual(checkout.tags, model.tags(), `replica ${index}: tags`)
    assert.deepEqual([...checkout.dots].sort(), model.dots(), `replica ${index}: dots`)
    const ordering = [
      ...new Set(model.undecided().flatMap((intent) => (intent.holds ? [intent.order] : []))),
    ].sort()
    assert.deepEqual(
      doc.contents().ordering.map(({ order }) => order),
      ordering,
      `replica ${index}: ordering`,
    )
    for (const name of [...checkout.tags, ...checkout.dots]) {
      assert.ok(!model.isGone(name), `replica ${index}: ${name} came back`)
    }
  }

  private exchangeAll(): void {
    for (const to of this.replicas) {
      for (const from of this.replicas) {
        if (from !== to) this.deliver(to, this.full(from))
        this.answer(to)
        this.compare(to)
      }
    }
  }

  /** Everybody talks to everybody until nothing is undecided; then all must be the same. */
  settle(): void {
    this.exchangeAll()
    for (const replica of this.replicas) this.submit(replica)
    for (const replica of this.replicas) {
      this.answer(replica)
      if (replica.user === account)
        for (const order of new Set(this.soldTo.values())) this.noticeOf(replica, order)
    }
    this.exchangeAll()
    this.exchangeAll()
    for (const user of [account, guest]) {
      const group = this.replicas.filter((replica) => replica.user === user)
      const [first] = group
      assert.ok(first)
      const everything = new CartModel(group.flatMap((replica) => replica.model.all()))
      for (const { doc } of group) {
        assert.deepEqual(doc.contents(), { lines: everything.lines(), ordering: [] })
        assert.equal(doc.contentHash(), first.doc.contentHash(), 'content hashes differ')
        assert.equal(doc.lineage, first.doc.lineage)
        const again = CartDocument.load(doc.encode(), { clientId: this.draw() })
        assert.equal(again.contentHash(), doc.contentHash(), 'loading changes the content')
        // A guest's cart that was forwarded is not told what the account ordered from it; it is served no more.
        if (user === guest) continue
        for (const tag of doc.checkout().tags) assert.ok(!this.soldTo.has(tag), 'a sold entry is in the cart')
      }
    }
  }
}
