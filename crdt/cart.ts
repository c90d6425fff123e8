/**
 * The cart document (DESIGN.md section 5). Pure: no I/O, no clock, no randomness; whoever opens a
 * document passes a fresh random 32-bit `clientId`, and a `lineage` where one is drawn.
 */
import * as Y from 'yjs'
import { Fault, assert } from '../node/faults.ts'
import type { OrderId, Tag, UserId } from '../node/ids.ts'
import { decisionFacts, editFacts, soldFacts } from './changes.ts'
import { claimedLineage, decodeFrame, encodeFrame, generationMax } from './encoding.ts'
import type { Frame } from './encoding.ts'
import { forwardedFact, intentFact } from './facts.ts'
import type { Entry, Fact } from './facts.ts'
import { Knowledge, linesOf } from './knowledge.ts'
import { absorbFacts, isFolded, rebaseFacts } from './lineages.ts'
import { lineagePattern } from './names.ts'
import {
  append,
  applyToScratch,
  checkPresent,
  checkUpdate,
  hasAll,
  isAppending,
  keptClientId,
  newDocument,
  unusedClientId,
  writeFacts,
} from './updates.ts'
import type { CheckedUpdate } from './updates.ts'
import {
  cartDocumentSizeBytesMax,
  cartEditSizeBytesMax,
  rebaseGrowthFactor,
  rebaseSizeBytesMin,
} from './types.ts'
import type {
  CartContents,
  CartEdit,
  CartLine,
  Checkout,
  MergeResult,
  OrderIntent,
  OrderOutcome,
  RequestKey,
} from './types.ts'

export type {
  CartContents,
  CartEdit,
  CartLine,
  Checkout,
  IntentContact,
  IntentLine,
  MergeResult,
  OrderIntent,
  OrderOutcome,
  RequestKey,
} from './types.ts'
export { cartDocumentSizeBytesMax, cartEntriesMax, quantityMax } from './types.ts'
export { newLineage, requestKey, writerId } from './hash.ts'

/** A document and what it says; replaced as a whole when a merge is taken. */
type State = {
  readonly doc: Y.Doc
  readonly knowledge: Knowledge
  readonly generation: number
  readonly lineage: string
  /** Size after the last rebase of this lineage. */
  restSizeBytes: number
  /** Encoded size; after local changes an upper estimate, until the next `encode`. */
  sizeBytes: number
}

const nothingNew: MergeResult = { kind: 'merged', changed: false, lineageChanged: false, additions: [] }

/** Bytes of a struct beside its key and value (info, parent, lengths), rounded up. */
const structOverheadSizeBytes = 24

function tooLarge(): Fault {
  return new Fault('too-large', `a cart document has at most ${cartDocumentSizeBytesMax} bytes`)
}

function addedSizeBytes(facts: readonly Fact[]): number {
  return facts.reduce(
    (sum, { key, value }) => sum + structOverheadSizeBytes + key.length + Buffer.byteLength(String(value)),
    0,
  )
}

function encodeFull(state: State): Uint8Array {
  const { generation, lineage, restSizeBytes, doc } = state
  const full = encodeFrame({
    kind: 'full',
    generation,
    lineage,
    restSizeBytes,
    update: Y.encodeStateAsUpdate(doc),
  })
  state.sizeBytes = full.byteLength
  return full
}

function emptyState(options: { clientId: number; lineage: string }, generation: number): State {
  assert(lineagePattern.test(options.lineage), 'a lineage is made by newLineage')
  assert(generation <= generationMax, 'a generation fits its frame')
  const doc = newDocument()
  doc.clientID = options.clientId >>> 0
  const state: State = {
    doc,
    knowledge: new Knowledge(),
    generation,
    lineage: options.lineage,
    restSizeBytes: 0,
    sizeBytes: 0,
  }
  encodeFull(state)
  return state
}

function openState(frame: Frame, sizeBytes: number, clientId: number): State {
  const checked = checkUpdate(frame.update)
  const doc = applyToScratch(null, checked)
  if (doc === null) throw new Fault('invalid-request', 'not a full cart document: something is missing')
  checkPresent(doc, checked.facts)
  doc.clientID = unusedClientId(doc, clientId)
  const knowledge = new Knowledge()
  for (const fact of checked.facts) knowledge.add(fact)
  const { generation, lineage, restSizeBytes } = frame
  return { doc, knowledge, generation, lineage, restSizeBytes, sizeBytes }
}

/** Writes what is not known yet; the update, or null when everything was. Faults: `too-large`, nothing changed then. */
function record(state: State, facts: readonly Fact[]): Uint8Array | null {
  const distinct = new Map(facts.map((fact) => [`${fact.map}${fact.key}`, fact]))
  const added = [...distinct.values()].filter((fact) => {
    const known = state.knowledge.valueOf(fact.map, fact.key)
    assert(known === undefined || known === fact.value, 'the same key always has the same value (CART.md)')
    return known === undefined
  })
  if (added.length === 0) return null
  if (state.sizeBytes + addedSizeBytes(added) > cartDocumentSizeBytesMax) throw tooLarge()
  const update = writeFacts(state.doc, added)
  for (const fact of added) state.knowledge.add(fact)
  state.sizeBytes += update.byteLength
  return update
}

/**
 * Which of two lineages goes on: one that holds anything, then the greater generation, then the greater
 * lineage. A document that was just created must not make everybody change lineage.
 */
function winsOver(a: State, b: State): boolean {
  const isEmptyA = a.knowledge.size === 0
  const isEmptyB = b.knowledge.size === 0
  if (isEmptyA !== isEmptyB) return isEmptyB
  if (a.generation !== b.generation) return a.generation > b.generation
  return a.lineage > b.lineage
}

/** One user's cart on one node. Not shared between openings: load it again with a fresh `clientId`. */
export class CartDocument {
  private state: State

  private constructor(state: State) {
    this.state = state
  }

  /** A new, empty cart of generation 0. */
  static create(options: { clientId: number; lineage: string }): CartDocument {
    return new CartDocument(emptyState(options, 0))
  }

  /** Opens a full state, from disk or a peer. Faults: `invalid-request` (malformed, or a delta), `too-large`. */
  static load(state: Uint8Array, options: { clientId: number }): CartDocument {
    const frame = decodeFrame(state)
    if (frame.kind !== 'full') throw new Fault('invalid-request', 'not a full cart document')
    return new CartDocument(openState(frame, state.byteLength, options.clientId))
  }

  get generation(): number {
    return this.state.generation
  }

  get lineage(): string {
    return this.state.lineage
  }

  /** The full state with its header: what is stored, and what answers `need-full`. */
  encode(): Uint8Array {
    return encodeFull(this.state)
  }

  /** Encoded size; between an edit and the next `encode` an upper estimate. */
  sizeBytes(): number {
    return this.state.sizeBytes
  }

  private delta(facts: readonly Fact[]): Uint8Array | null {
    const update = record(this.state, facts)
    if (update === null) return null
    const { generation, lineage } = this.state
    return encodeFrame({ kind: 'delta', generation, lineage, restSizeBytes: 0, update })
  }

  /**
   * Applies a shopper's edit. The update is a delta to persist and send; null when nothing changed (a
   * retry, or a removal of nothing). Faults: `key-reused`, `invalid-request`, `too-large` (cart is full).
   * After a fault nothing changed. After a failed write throw this document away, load it again and use
   * a fresh writer.
   */
  edit(edit: CartEdit, writer: string, key?: RequestKey): { update: Uint8Array | null } {
    const facts = editFacts(this.state.knowledge, edit, writer, key)
    const isAddition = facts.some((fact) => fact.map === 'e')
    if (isAddition && this.state.sizeBytes + addedSizeBytes(facts) > cartEditSizeBytesMax) {
      throw new Fault('too-large', 'the cart is full')
    }
    return { update: this.delta(facts) }
  }

  contents(): CartContents {
    return this.state.knowledge.contents()
  }

  checkout(): Checkout {
    return this.state.knowledge.checkout()
  }

  /** Records an intent; it holds its tags until decided. The delta is null when it was there already. */
  freeze(intent: OrderIntent): Uint8Array | null {
    return this.delta([intentFact(intent)])
  }

  intents(): OrderIntent[] {
    return this.state.knowledge.intents()
  }

  /** Intents whose order the log has not decided, as far as this document knows. */
  undecidedIntents(): OrderIntent[] {
    return this.state.knowledge.undecidedIntents()
  }

  /** The decision while this document records it; a rebase forgets it, because the log answers again. */
  outcomeOf(id: OrderId): OrderOutcome | null {
    const outcome = this.state.knowledge.outcomeOf(id)
    if (outcome?.status !== 'placed') return outcome
    return { status: 'placed', tags: this.state.knowledge.tagsSoldTo(id) }
  }

  /** Records the log's decision; null when it was there already. */
  decide(id: OrderId, outcome: OrderOutcome): Uint8Array | null {
    return this.delta(decisionFacts(this.state.knowledge, id, outcome))
  }

  /** A sold notice from the orders table; tags may be of entries that are not here yet. */
  markSold(order: OrderId, tags: readonly Tag[]): Uint8Array | null {
    return this.delta(soldFacts(this.state.knowledge, order, tags))
  }

  /**
   * Takes a peer's delta or full state after checking it on a scratch copy. Faults: `invalid-request`,
   * `too-large`; this document is unchanged then, and when the answer is `need-full`.
   */
  merge(incoming: Uint8Array): MergeResult {
    const frame = decodeFrame(incoming)
    if (frame.lineage === this.state.lineage) return this.mergeSameLineage(frame)
    if (frame.kind === 'delta') return { kind: 'need-full' }
    return this.mergeOtherLineage(openState(frame, incoming.byteLength, this.state.doc.clientID))
  }

  /**
   * True when an update that leads to content `hash` brings nothing: that content is here, in the same lineage. What
   * nobody takes in needs no check, and most of what is delivered periodically has come before.
   */
  hasAlready(hash: string, incoming: Uint8Array): boolean {
    return this.contentHash() === hash && claimedLineage(incoming) === this.state.lineage
  }

  private mergeSameLineage(frame: Frame): MergeResult {
    const { doc, knowledge, generation } = this.state
    if (frame.generation !== generation) throw new Fault('invalid-request', 'a lineage has one generation')
    const checked = checkUpdate(frame.update)
    const isKnown = hasAll(doc, checked)
    if (isKnown && !checked.hasDeletions) {
      checkPresent(doc, checked.facts)
      return nothingNew
    }
    const estimate = this.state.sizeBytes + frame.update.byteLength
    const fits = frame.kind === 'delta' && estimate <= cartDocumentSizeBytesMax
    const isNew = checked.facts.every(({ map, key }) => knowledge.valueOf(map, key) === undefined)
    // Nearly every change of a shopper is of this kind, and a copy of the whole cart costs ten times as much.
    if (fits && isNew && isAppending(doc, checked)) return this.mergeAppended(checked, estimate)
    const scratch = applyToScratch(doc, checked)
    if (scratch === null) {
      if (frame.kind === 'full')
        throw new Fault('invalid-request', 'not a full cart document: something is missing')
      return { kind: 'need-full' }
    }
    checkPresent(scratch, checked.facts)
    checkPresent(scratch, knowledge.everything())
    if (isKnown) return nothingNew
    // A full state repeats what is here, so only for a delta is the sum near enough to spare an encoding.
    const isExact = frame.kind === 'full' || estimate > cartDocumentSizeBytesMax
    const sizeBytes = isExact ? encodeFull({ ...this.state, doc: scratch }).byteLength : estimate
    if (sizeBytes > cartDocumentSizeBytesMax) throw tooLarge()
    const before = knowledge.known()
    scratch.clientID = keptClientId(scratch, doc)
    for (const fact of checked.facts) knowledge.add(fact)
    this.state = { ...this.state, doc: scratch, sizeBytes }
    return { kind: 'merged', changed: true, lineageChanged: false, additions: this.additionsSince(before) }
  }

  private mergeAppended(checked: CheckedUpdate, sizeBytes: number): MergeResult {
    const { doc, knowledge } = this.state
    const before = knowledge.known()
    append(doc, checked)
    for (const fact of checked.facts) knowledge.add(fact)
    this.state.sizeBytes = sizeBytes
    return { kind: 'merged', changed: true, lineageChanged: false, additions: this.additionsSince(before) }
  }

  private mergeOtherLineage(other: State): MergeResult {
    const ours = this.state
    const before = ours.knowledge.known()
    if (winsOver(other, ours)) {
      if (!isFolded(other.knowledge, other.lineage, ours.knowledge))
        record(other, absorbFacts(other.knowledge, ours.knowledge, { forwarded: true }))
      this.state = other
      return { kind: 'merged', changed: true, lineageChanged: true, additions: this.additionsSince(before) }
    }
    if (isFolded(ours.knowledge, ours.lineage, other.knowledge)) return nothingNew
    const update = record(ours, absorbFacts(ours.knowledge, other.knowledge, { forwarded: true }))
    const additions = this.additionsSince(before)
    return { kind: 'merged', changed: update !== null, lineageChanged: false, additions }
  }

  /** Visible entries whose dot and tag were not known before. */
  private additionsSince(known: ReadonlySet<string>): readonly CartLine[] {
    const isNew = (entry: Entry): boolean => !known.has(entry.dot) && !known.has(entry.tag)
    return linesOf(this.state.knowledge.visible().filter(isNew))
  }

  /** Log-on: the guest's cart goes into this account's, tags unchanged. May be repeated when the guest's cart grew. */
  absorb(guest: CartDocument): Uint8Array | null {
    return this.delta(absorbFacts(this.state.knowledge, guest.state.knowledge, { forwarded: false }))
  }

  /** The account that this guest's cart went to; the smallest id if, by concurrent log-ons, there are several. */
  get forwardedTo(): UserId | null {
    return [...this.state.knowledge.forwarded].sort()[0] ?? null
  }

  setForwardedTo(account: UserId): Uint8Array | null {
    return this.delta([forwardedFact(account)])
  }

  needsRebase(): boolean {
    return this.state.sizeBytes > Math.max(rebaseSizeBytesMin, rebaseGrowthFactor * this.state.restSizeBytes)
  }

  /**
   * A small document of the next generation with the same contents. `hour`: hours since 1970. `earlier`: content hashes
   * that this document had before; replicas that still have such a content take the rebased one as it is.
   */
  rebase(options: {
    clientId: number
    lineage: string
    hour: number
    earlier?: readonly string[]
  }): CartDocument {
    assert(options.lineage !== this.state.lineage, 'a rebase begins a lineage of its own')
    const state = emptyState(options, this.state.generation + 1)
    const { knowledge, lineage: before } = this.state
    const { lineage, hour, earlier = [] } = options
    record(state, rebaseFacts(knowledge, { before, lineage, hour, earlier }))
    encodeFull(state)
    state.restSizeBytes = state.sizeBytes
    return new CartDocument(state)
  }

  /** Order-independent hash of the facts, 64 hex digits; equal on converged replicas. */
  contentHash(): string {
    return this.state.knowledge.contentHash()
  }
}
