/** Intents and outcomes as canonical JSON: one text for one meaning, checked field by field on the way in. */
import { Fault } from '../node/faults.ts'
import { parseOrderId, parseSku, parseUserId } from '../node/ids.ts'
import type { OrderId, Tag } from '../node/ids.ts'
import { dotPattern, tagPattern } from './names.ts'
import type { IntentContact, IntentLine, OrderIntent, OrderOutcome } from './types.ts'

/** An outcome as recorded: the tags of a placed order are recorded as sold, not here. */
export type RecordedOutcome =
  | { readonly status: 'placed' }
  | {
      readonly status: 'refused'
      readonly reason: string
      readonly soldTags?: Readonly<Record<Tag, OrderId>>
    }
  | { readonly status: 'cancelled' }

/** Longest list in an intent: a cart of `cartEntriesMax` entries with many concurrent duplicates. */
const listLengthMax = 5_000
/** Longest hash or reason code: 512 bits in hexadecimal. */
const hashLengthMax = 128
/** Longest free text of a shopper (note, address). The HTTP door is narrower. */
const textLengthMax = 4_000
/** Longest title; shops use up to 255 characters for the product and as many for the variant. */
const titleLengthMax = 600

type Raw = { readonly [name: string]: unknown }

function refuse(what: string): Fault {
  return new Fault('invalid-request', `not a valid cart document: ${what}`)
}

function object(raw: unknown, what: string): Raw {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) throw refuse(what)
  return raw as Raw
}

function text(raw: unknown, what: string, lengthMax: number): string {
  if (typeof raw !== 'string' || raw.length > lengthMax || !raw.isWellFormed()) throw refuse(what)
  return raw
}

function count(raw: unknown, what: string): number {
  if (!Number.isSafeInteger(raw) || (raw as number) < 0) throw refuse(what)
  return raw as number
}

function list<Item>(raw: unknown, what: string, parse: (item: unknown) => Item): Item[] {
  if (!Array.isArray(raw) || raw.length > listLengthMax) throw refuse(what)
  return raw.map(parse)
}

function named(raw: unknown, what: string, pattern: RegExp): string {
  if (typeof raw !== 'string' || !pattern.test(raw)) throw refuse(what)
  return raw
}

function parseLine(value: unknown): IntentLine {
  const raw = object(value, 'intent line')
  return {
    sku: parseSku(raw['sku']),
    quantity: count(raw['quantity'], 'intent quantity'),
    unitPrice: count(raw['unitPrice'], 'intent price'),
    ...(raw['title'] === undefined ? {} : { title: text(raw['title'], 'intent title', titleLengthMax) }),
  }
}

function parseContact(value: unknown): IntentContact {
  const raw = object(value, 'contact')
  const contact: { name?: string; email?: string; address?: string } = {}
  for (const field of ['name', 'email', 'address'] as const) {
    if (raw[field] !== undefined) contact[field] = text(raw[field], `contact ${field}`, textLengthMax)
  }
  return contact
}

function parseVerdict(raw: unknown): OrderIntent['verdict'] {
  if (raw !== 'agreed' && raw !== 'cart-changed' && raw !== 'empty-cart') throw refuse('intent verdict')
  return raw
}

/** Fields in a fixed order, unknown ones left out: the canonical form is the JSON text of this. */
function checkedIntent(raw: Raw): OrderIntent {
  return {
    id: parseOrderId(raw['id']),
    user: parseUserId(raw['user']),
    bodyHash: text(raw['bodyHash'], 'body hash', hashLengthMax),
    cartHash: text(raw['cartHash'], 'cart hash', hashLengthMax),
    currency: named(raw['currency'], 'currency', /^[A-Z]{3}$/),
    lines: list(raw['lines'], 'intent lines', parseLine),
    tags: list(raw['tags'], 'intent tags', (tag) => named(tag, 'tag', tagPattern) as Tag),
    dots: list(raw['dots'], 'intent dots', (dot) => named(dot, 'dot', dotPattern)),
    ...(raw['contact'] === undefined ? {} : { contact: parseContact(raw['contact']) }),
    ...(raw['note'] === undefined ? {} : { note: text(raw['note'], 'note', textLengthMax) }),
    catalogVersion: count(raw['catalogVersion'], 'catalog version'),
    verdict: parseVerdict(raw['verdict']),
    createdAtMs: count(raw['createdAtMs'], 'time'),
  }
}

export function canonicalIntent(intent: OrderIntent): string {
  return JSON.stringify(checkedIntent(intent))
}

export function parseIntent(value: string): OrderIntent {
  const intent = checkedIntent(object(JSON.parse(value), 'intent'))
  if (JSON.stringify(intent) !== value) throw refuse('intent is not canonical')
  return intent
}

function checkedOutcome(raw: Raw): RecordedOutcome {
  const status = raw['status']
  if (status === 'placed' || status === 'cancelled') return { status }
  if (status !== 'refused') throw refuse('outcome')
  const reason = text(raw['reason'], 'reason', hashLengthMax)
  if (raw['soldTags'] === undefined) return { status, reason }
  const pairs = Object.entries(object(raw['soldTags'], 'sold tags')).map(
    ([tag, order]): [string, OrderId] => [named(tag, 'tag', tagPattern), parseOrderId(order)],
  )
  const sorted = pairs.sort(([a], [b]) => (a < b ? -1 : 1))
  return { status, reason, soldTags: Object.fromEntries(sorted) as Record<Tag, OrderId> }
}

export function canonicalOutcome(outcome: OrderOutcome): string {
  return JSON.stringify(checkedOutcome(outcome))
}

export function parseOutcome(value: string): RecordedOutcome {
  const outcome = checkedOutcome(object(JSON.parse(value), 'outcome'))
  if (JSON.stringify(outcome) !== value) throw refuse('outcome is not canonical')
  return outcome
}
