/**
 * The Y.Doc of a cart and the check of an update (DESIGN.md section 5). Our documents contain one kind of
 * struct only: an item without origins that sets one key of a root map to one value. That is what lets an
 * update be read completely before Yjs integrates it.
 *
 * Documents are not garbage-collected by Yjs: when two replicas record the same fact, one of the two items
 * is marked deleted, and keeping its content keeps every struct readable as a fact. Rebasing is what
 * makes documents small.
 */
import * as Y from 'yjs'
import { Fault, assert } from '../node/faults.ts'
import { mapNames, parseFact } from './facts.ts'
import type { Fact, MapName } from './facts.ts'
import { sha256 } from './hash.ts'

/** One struct per fact and replica that recorded it; 1 MiB of the shortest facts are fewer. */
const structsMax = 40_000
const clientIdMax = 0xffff_ffff

export type CheckedUpdate = {
  /** Distinct facts, each valid by itself. */
  readonly facts: readonly Fact[]
  /** Where each client's structs begin and end in this update. */
  readonly ranges: readonly { readonly client: number; readonly from: number; readonly to: number }[]
  /** Honest ones occur in full states, where two replicas recorded the same fact. */
  readonly hasDeletions: boolean
  readonly update: Uint8Array
}

export function newDocument(): Y.Doc {
  // A given guid keeps Yjs from drawing a random one.
  const doc = new Y.Doc({ gc: false, guid: 'cart' })
  for (const name of mapNames) doc.getMap(name)
  return doc
}

/** A client id that this document has not met: one used again after older state was restored diverges for ever. */
export function unusedClientId(doc: Y.Doc, wanted: number): number {
  let clientId = wanted >>> 0
  while (doc.store.clients.has(clientId)) {
    clientId = sha256(Buffer.from(`client ${clientId}`)).readUInt32BE(0)
  }
  return clientId
}

/** The client id of `before` for its successor, unless somebody else was found to write under it. */
export function keptClientId(successor: Y.Doc, before: Y.Doc): number {
  const isOurs = Y.getState(successor.store, before.clientID) === Y.getState(before.store, before.clientID)
  return isOurs ? before.clientID : unusedClientId(successor, before.clientID)
}

function refuse(what: string, cause?: unknown): Fault {
  return new Fault(
    'invalid-request',
    `not a valid cart update: ${what}`,
    {},
    cause === undefined ? {} : { cause },
  )
}

function isMapName(name: unknown): name is MapName {
  return (mapNames as readonly unknown[]).includes(name)
}

type Decoded = ReturnType<typeof Y.decodeUpdate>

function decode(update: Uint8Array): Decoded {
  try {
    return Y.decodeUpdate(update)
  } catch (error) {
    // Whatever the decoder meets in foreign bytes (a TypeError, a RangeError of nested values) is the sender's fault.
    throw refuse('not a Yjs update', error)
  }
}

function factOf(struct: Decoded['structs'][number]): Fact {
  if (!(struct instanceof Y.Item) || !(struct.content instanceof Y.ContentAny)) throw refuse('struct')
  const { origin, rightOrigin, parent, parentSub, content } = struct
  const map: unknown = parent
  if (origin !== null || rightOrigin !== null || !isMapName(map) || parentSub === null) throw refuse('place')
  if (content.arr.length !== 1) throw refuse('content')
  try {
    return parseFact(map, parentSub, content.arr[0])
  } catch (error) {
    throw error instanceof Fault ? error : refuse('value', error)
  }
}

/** Reads every struct of an update as a fact. Applies nothing. Faults: `invalid-request`. */
export function checkUpdate(update: Uint8Array): CheckedUpdate {
  const { structs, ds } = decode(update)
  if (structs.length > structsMax) throw refuse('too many structs')
  // An empty update is exactly two zero bytes; v2 bytes look like an empty v1 update with something behind it.
  if (structs.length === 0 && (ds.clients.size > 0 || update.length !== 2)) throw refuse('empty')
  const facts = new Map<string, Fact>()
  const ranges: { client: number; from: number; to: number }[] = []
  for (const struct of structs) {
    const fact = factOf(struct)
    const name = `${fact.map}${fact.key}`
    if ((facts.get(name)?.value ?? fact.value) !== fact.value) throw refuse('two values for one key')
    facts.set(name, fact)
    const { client, clock } = struct.id
    if (client > clientIdMax) throw refuse('client')
    const range = ranges.at(-1)
    if (range?.client === client && range.to === clock) range.to += 1
    else ranges.push({ client, from: clock, to: clock + 1 })
  }
  return { facts: [...facts.values()], ranges, hasDeletions: ds.clients.size > 0, update }
}

/** True when the document has met every struct of the update. */
export function hasAll(doc: Y.Doc, checked: CheckedUpdate): boolean {
  return checked.ranges.every(({ client, to }) => Y.getState(doc.store, client) >= to)
}

function hasPending(doc: Y.Doc): boolean {
  return doc.store.pendingStructs !== null || doc.store.pendingDs !== null
}

/**
 * The document (null: an empty one) with the update, as a new one; null when structs before it are missing. Faults:
 * `invalid-request`.
 */
export function applyToScratch(doc: Y.Doc | null, checked: CheckedUpdate): Y.Doc | null {
  const scratch = newDocument()
  try {
    if (doc !== null) Y.applyUpdate(scratch, Y.encodeStateAsUpdate(doc))
    Y.applyUpdate(scratch, checked.update)
  } catch (error) {
    throw refuse('it can not be integrated', error)
  }
  return hasPending(scratch) ? null : scratch
}

/**
 * True when the update only adds: every struct is the next one of its writer, of another writer than this document, and
 * has a key of its own. Yjs then touches nothing that is there, if the keys are new here, which the caller knows.
 */
export function isAppending(doc: Y.Doc, { facts, ranges, hasDeletions }: CheckedUpdate): boolean {
  const structs = ranges.reduce((sum, { from, to }) => sum + to - from, 0)
  if (hasDeletions || facts.length !== structs) return false
  const due = new Map<number, number>()
  return ranges.every(({ client, from, to }) => {
    const isNext = from === (due.get(client) ?? Y.getState(doc.store, client))
    due.set(client, to)
    return isNext && client !== doc.clientID
  })
}

/** Applies an update of which `isAppending` is true to the document itself. */
export function append(doc: Y.Doc, checked: CheckedUpdate): void {
  Y.applyUpdate(doc, checked.update)
  assert(!hasPending(doc), 'an appended update lacks nothing')
  checkPresent(doc, checked.facts)
}

/** Every fact is in the document with its value: nothing vanished or changed. Faults: `invalid-request`. */
export function checkPresent(doc: Y.Doc, facts: Iterable<Fact>): void {
  for (const fact of facts) {
    if (doc.getMap(fact.map).get(fact.key) !== fact.value)
      throw refuse('it changes or removes what is recorded')
  }
}

/** Writes facts in one transaction and returns its update; the caller leaves out known ones. */
export function writeFacts(doc: Y.Doc, facts: readonly Fact[]): Uint8Array {
  let written: Uint8Array | null = null
  const remember = (update: Uint8Array): void => {
    written = update
  }
  doc.on('update', remember)
  doc.transact(() => {
    for (const fact of facts) doc.getMap(fact.map).set(fact.key, fact.value)
  })
  doc.off('update', remember)
  return written ?? Y.encodeStateAsUpdate(newDocument())
}
