/**
 * A cart is a set of facts (CART.md): nothing is deleted or overwritten, and the same key always has
 * the same value. Seven flat root maps hold them; a fact's value is 1 or canonical JSON, so that two
 * replicas that record the same thing write the same bytes.
 *
 *   e  dot                      → ["a" add | "s" set, SKU, quantity, tag?]
 *   x  dot or keyed tag         → 1           removed
 *   s  tag / order id           → 1           sold
 *   i  order id / content hash  → intent
 *   d  order id / content hash  → outcome
 *   b  lineage                  → base: what a rebase folded away
 *   f  account                  → 1           where a guest's cart went
 */
import { Fault } from '../node/faults.ts'
import { parseOrderId, parseSku, parseUserId } from '../node/ids.ts'
import type { OrderId, Sku, Tag, UserId } from '../node/ids.ts'
import type { Base } from './bases.ts'
import { formatBase, parseBase } from './bases.ts'
import { operationHash, sha256Base64 } from './hash.ts'
import { canonicalIntent, canonicalOutcome, parseIntent, parseOutcome } from './intents.ts'
import type { RecordedOutcome } from './intents.ts'
import { dotPattern, keyedTagPattern, lineagePattern, tagPattern } from './names.ts'
import { quantityMax } from './types.ts'
import type { OrderIntent, OrderOutcome } from './types.ts'

export const mapNames = ['e', 'x', 's', 'i', 'd', 'b', 'f'] as const
export type MapName = (typeof mapNames)[number]
export type FactValue = string | 1

/** One live addition or setting of a quantity. Its tag is its dot when no request key came with it. */
export type Entry = {
  readonly dot: string
  readonly kind: 'a' | 's'
  readonly sku: Sku
  readonly quantity: number
  readonly tag: Tag
}

type Meaning =
  | { readonly map: 'e'; readonly entry: Entry }
  | { readonly map: 'x'; readonly name: string }
  | { readonly map: 's'; readonly tag: Tag; readonly order: OrderId }
  | { readonly map: 'i'; readonly intent: OrderIntent }
  | { readonly map: 'd'; readonly order: OrderId; readonly outcome: RecordedOutcome }
  | { readonly map: 'b'; readonly lineage: string; readonly base: Base }
  | { readonly map: 'f'; readonly account: UserId }
export type Fact = Meaning & { readonly key: string; readonly value: FactValue }

/** Content hashes tell apart the intents or outcomes of one order id only; 72 bits are plenty. */
const contentHashLength = 12

function refuse(what: string): Fault {
  return new Fault('invalid-request', `not a valid cart document: ${what}`)
}

function parseEntry(dot: string, value: FactValue): Entry {
  if (!dotPattern.test(dot) || typeof value !== 'string') throw refuse('entry')
  const raw: unknown = JSON.parse(value)
  if (!Array.isArray(raw) || raw.length < 3 || raw.length > 4) throw refuse('entry')
  const [kind, rawSku, quantity, tag = dot] = raw as unknown[]
  if (kind !== 'a' && kind !== 's') throw refuse('entry kind')
  if (!Number.isInteger(quantity) || (quantity as number) < 1 || (quantity as number) > quantityMax) {
    throw refuse('entry quantity')
  }
  const entry: Entry = { dot, kind, sku: parseSku(rawSku), quantity: quantity as number, tag: tag as Tag }
  if (raw.length === 4 && !isTagOf(tag, entry)) throw refuse('entry tag')
  if (formatEntry(entry) !== value) throw refuse('entry is not canonical')
  return entry
}

/** A keyed tag names its operation, so an entry can't be passed off under another operation's key. */
function isTagOf(tag: unknown, entry: Entry): boolean {
  if (typeof tag !== 'string' || !keyedTagPattern.test(tag)) return false
  const kind = entry.kind === 'a' ? 'add' : 'set'
  return tag.endsWith(operationHash({ kind, sku: entry.sku, quantity: entry.quantity }))
}

function formatEntry(entry: Entry): string {
  const { dot, kind, sku, quantity, tag } = entry
  return JSON.stringify(tag === dot ? [kind, sku, quantity] : [kind, sku, quantity, tag])
}

function splitKey(key: string): [string, string] {
  const slash = key.indexOf('/')
  if (slash < 0) throw refuse('key')
  return [key.slice(0, slash), key.slice(slash + 1)]
}

function checkContentHash(hash: string, value: FactValue): asserts value is string {
  if (typeof value !== 'string' || hash !== sha256Base64(value).slice(0, contentHashLength)) {
    throw refuse('content hash')
  }
}

function parseMeaning(map: MapName, key: string, value: FactValue): Meaning {
  switch (map) {
    case 'e':
      return { map, entry: parseEntry(key, value) }
    case 'x':
      if (!tagPattern.test(key)) throw refuse('removal')
      return { map, name: key }
    case 's': {
      const [tag, order] = splitKey(key)
      if (!tagPattern.test(tag)) throw refuse('sold tag')
      return { map, tag: tag as Tag, order: parseOrderId(order) }
    }
    case 'i': {
      const [order, hash] = splitKey(key)
      checkContentHash(hash, value)
      const intent = parseIntent(value)
      if (intent.id !== order) throw refuse('intent id')
      return { map, intent }
    }
    case 'd': {
      const [order, hash] = splitKey(key)
      checkContentHash(hash, value)
      return { map, order: parseOrderId(order), outcome: parseOutcome(value) }
    }
    case 'b':
      if (!lineagePattern.test(key) || typeof value !== 'string') throw refuse('base')
      return { map, lineage: key, base: parseBase(value) }
    case 'f':
      return { map, account: parseUserId(key) }
    default: {
      const never: never = map
      throw refuse(String(never))
    }
  }
}

/** Only these maps hold more than the presence of a key. */
const mapsWithText: ReadonlySet<MapName> = new Set(['e', 'i', 'd', 'b'])

/** The one gate through which every fact passes, our own as well, so that peers accept what we write. */
export function parseFact(map: MapName, key: string, value: unknown): Fact {
  if (value !== 1 && typeof value !== 'string') throw refuse('value')
  if (mapsWithText.has(map) !== (typeof value === 'string')) throw refuse('value')
  return { ...parseMeaning(map, key, value), key, value }
}

export function entryFact(entry: Entry): Fact {
  return parseFact('e', entry.dot, formatEntry(entry))
}

export function removedFact(dotOrTag: string): Fact {
  return parseFact('x', dotOrTag, 1)
}

export function soldFact(tag: Tag, order: OrderId): Fact {
  return parseFact('s', `${tag}/${order}`, 1)
}

function contentKey(order: OrderId, value: string): string {
  return `${order}/${sha256Base64(value).slice(0, contentHashLength)}`
}

export function intentFact(intent: OrderIntent): Fact {
  const value = canonicalIntent(intent)
  return parseFact('i', contentKey(intent.id, value), value)
}

export function decisionFact(order: OrderId, outcome: OrderOutcome): Fact {
  const value = canonicalOutcome(outcome)
  return parseFact('d', contentKey(order, value), value)
}

export function baseFact(lineage: string, base: Base): Fact {
  return parseFact('b', lineage, formatBase(base))
}

export function forwardedFact(account: UserId): Fact {
  return parseFact('f', account, 1)
}
