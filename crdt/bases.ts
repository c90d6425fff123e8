/**
 * A base is what a rebase folded away (CART.md, "b bases"): every dot up to `seen[writer]` was seen;
 * those not in `live` are gone; `goneDots` are gone beyond that; `goneTags` are dead request keys with
 * the hour in which they were folded. `folded` names the documents whose knowledge is in this base as a whole.
 */
import { Fault } from '../node/faults.ts'
import { foldedDocumentsMax } from './types.ts'
import { dotPattern, keyedTagPattern, splitDot } from './names.ts'

export type Base = {
  readonly seen: ReadonlyMap<string, number>
  readonly live: ReadonlySet<string>
  readonly goneDots: ReadonlySet<string>
  readonly goneTags: ReadonlyMap<string, number>
  /** Shortened content hashes of the document that was rebased and of those that it had folded, the newest first. */
  readonly folded: readonly string[]
}

const foldedHashPattern = /^[0-9a-f]{16}$/

/** 64 bits tell a few documents of one cart apart. */
export function foldedName(contentHash: string): string {
  return contentHash.slice(0, 16)
}

function refuse(): Fault {
  return new Fault('invalid-request', 'not a valid cart document: base')
}

/** Names are joined by spaces, because quotes and commas would cost three bytes each. */
function formatNames(names: Iterable<string>): string {
  return [...names].sort().join(' ')
}

function parseNames(raw: unknown, pattern: RegExp): string[] {
  if (typeof raw !== 'string') throw refuse()
  const names = raw === '' ? [] : raw.split(' ')
  if (!names.every((name) => pattern.test(name))) throw refuse()
  return names
}

export function formatBase(base: Base): string {
  const byHour = new Map<number, string[]>()
  for (const [tag, hour] of base.goneTags) byHour.set(hour, [...(byHour.get(hour) ?? []), tag.slice(2)])
  const hours = [...byHour].sort(([a], [b]) => a - b)
  return JSON.stringify([
    formatNames([...base.seen].map(([writer, n]) => `${writer}.${n}`)),
    formatNames(base.live),
    formatNames(base.goneDots),
    // In the order in which they died: when there are too many, the oldest go first.
    hours.map(([hour, tags]) => [hour, tags.join(' ')]),
    base.folded.join(' '),
  ])
}

function parseGoneTags(raw: unknown): Map<string, number> {
  const tags = new Map<string, number>()
  if (!Array.isArray(raw)) throw refuse()
  for (const pair of raw as unknown[]) {
    if (!Array.isArray(pair)) throw refuse()
    const [hour, names] = pair as unknown[]
    if (!Number.isSafeInteger(hour) || (hour as number) < 0 || typeof names !== 'string') throw refuse()
    const parsed = parseNames(names === '' ? '' : `k:${names.replaceAll(' ', ' k:')}`, keyedTagPattern)
    for (const tag of parsed) tags.set(tag, hour as number)
  }
  return tags
}

function parseFolded(raw: unknown): string[] {
  if (typeof raw !== 'string') throw refuse()
  const names = raw === '' ? [] : raw.split(' ')
  if (names.length > foldedDocumentsMax || !names.every((name) => foldedHashPattern.test(name)))
    throw refuse()
  return names
}

/** Refuses anything that `formatBase` would not have written. */
export function parseBase(text: string): Base {
  const raw: unknown = JSON.parse(text)
  if (!Array.isArray(raw) || raw.length !== 5) throw refuse()
  const [seen, live, goneDots, goneTags, folded] = raw as unknown[]
  const base: Base = {
    seen: new Map(parseNames(seen, dotPattern).map((name) => [splitDot(name).writer, splitDot(name).n])),
    live: new Set(parseNames(live, dotPattern)),
    goneDots: new Set(parseNames(goneDots, dotPattern)),
    goneTags: parseGoneTags(goneTags),
    folded: parseFolded(folded),
  }
  if (formatBase(base) !== text) throw refuse()
  return base
}

/** Whether this base says that the dot is gone (CART.md, "Gone"). */
export function baseSaysGone(base: Base, dot: string): boolean {
  if (base.goneDots.has(dot)) return true
  const { writer, n } = splitDot(dot)
  return (base.seen.get(writer) ?? 0) >= n && !base.live.has(dot)
}
