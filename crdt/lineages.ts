/** How knowledge crosses from one document to another: rebase, and absorbing another lineage (CART.md). */
import { Fault } from '../node/faults.ts'
import type { Tag } from '../node/ids.ts'
import { foldedName } from './bases.ts'
import type { Base } from './bases.ts'
import { baseFact, entryFact, forwardedFact, intentFact, removedFact } from './facts.ts'
import type { Fact } from './facts.ts'
import { Knowledge } from './knowledge.ts'
import { isKeyedTag, splitDot } from './names.ts'
import { foldedDocumentsMax, requestKeyHours, requestKeysKeptMax } from './types.ts'

/** Dots known to be gone by name, whether or not their entry is here. */
function namedGoneDots(knowledge: Knowledge): Set<string> {
  const names = [...knowledge.removed, ...knowledge.sold.keys()].filter((name) => !isKeyedTag(name))
  for (const base of knowledge.bases.values()) names.push(...base.goneDots)
  return new Set(names)
}

/**
 * The highest n up to which every dot of the writer was seen (is here, or gone). Updates of one writer
 * may arrive out of order, because each opening has its own Yjs client; a dot not seen yet must stay
 * new, so the count stops before the first gap.
 */
function contiguous(knowledge: Knowledge, writer: string): number {
  let n = 0
  for (const base of knowledge.bases.values()) {
    const known = base.seen.get(writer) ?? 0
    if (known > n && liveOnesAreHere(knowledge, base, writer)) n = known
  }
  const seen = (dot: string): boolean => knowledge.entries.has(dot) || knowledge.isGoneDot(dot)
  while (seen(`${writer}.${n + 1}`)) n += 1
  return n
}

/** A base comes with its live entries in one transaction; should one lack, the base proves nothing here. */
function liveOnesAreHere(knowledge: Knowledge, base: Base, writer: string): boolean {
  for (const dot of base.live) {
    if (splitDot(dot).writer === writer && !knowledge.entries.has(dot) && !knowledge.isGoneDot(dot))
      return false
  }
  return true
}

/**
 * Dead request keys of the last day, the newest `requestKeysKeptMax` of them, with the hour they were folded; the oldest
 * first. A base lists them in the order in which they died, so that of many in one hour the last ones stay.
 */
function deadTags(knowledge: Knowledge, hour: number): Map<string, number> {
  const hours = new Map<string, number>()
  for (const base of knowledge.bases.values()) {
    for (const [tag, folded] of base.goneTags) {
      // A clock that ran ahead must not keep a key alive for longer than the others.
      hours.set(tag, Math.max(hours.get(tag) ?? 0, Math.min(folded, hour)))
    }
  }
  for (const name of [...knowledge.removed, ...knowledge.sold.keys()]) {
    if (!isKeyedTag(name)) continue
    // Seen gone again: it moves to the end, among the newest.
    hours.delete(name)
    hours.set(name, hour)
  }
  // One hour more than promised: a key may have died at the very end of the hour in which it was folded.
  const young = [...hours].filter(([, folded]) => hour - folded <= requestKeyHours)
  young.sort(([, hourA], [, hourB]) => hourA - hourB)
  return new Map(young.slice(-requestKeysKeptMax))
}

function foldedNames(names: readonly string[]): string[] {
  return [...new Set(names)].slice(0, foldedDocumentsMax)
}

/**
 * The facts of a document that starts anew with the same contents. Decided intents go: the log answers again.
 * `before`: the lineage that ends with it. `earlier`: content hashes that this document had before it grew.
 */
export function rebaseFacts(
  knowledge: Knowledge,
  options: { before: string; lineage: string; hour: number; earlier: readonly string[] },
): Fact[] {
  const { before, lineage, hour, earlier } = options
  const seen = new Map<string, number>()
  for (const [writer] of knowledge.writers()) {
    const n = contiguous(knowledge, writer)
    if (n > 0) seen.set(writer, n)
  }
  const isCovered = (dot: string): boolean => (seen.get(splitDot(dot).writer) ?? 0) >= splitDot(dot).n
  const live = knowledge.live()
  const gone = [...knowledge.entries.values()]
    .filter((entry) => knowledge.isGone(entry))
    .map((entry) => entry.dot)
  const base: Base = {
    seen,
    live: new Set(live.map((entry) => entry.dot).filter(isCovered)),
    goneDots: new Set([...namedGoneDots(knowledge), ...gone].filter((dot) => !isCovered(dot))),
    goneTags: deadTags(knowledge, hour),
    folded: foldedNames([
      ...[knowledge.contentHash(), ...earlier].map(foldedName),
      ...(knowledge.bases.get(before)?.folded ?? []),
    ]),
  }
  return [
    baseFact(lineage, base),
    ...live.map(entryFact),
    ...knowledge.undecidedIntents().map(intentFact),
    ...[...knowledge.forwarded].map(forwardedFact),
  ]
}

/**
 * True when the lineage began with a base that holds all of `other`: it has nothing to add. Without this a replica
 * would put back, one by one, what the rebase folded away, and no document would ever become small.
 */
export function isFolded(target: Knowledge, lineage: string, other: Knowledge): boolean {
  return target.bases.get(lineage)?.folded.includes(foldedName(other.contentHash())) ?? false
}

/** A removal that says nothing new: what it names is gone here already, by a base. */
function isNamedGone(target: Knowledge, fact: Fact): boolean {
  if (fact.map !== 'x') return false
  return isKeyedTag(fact.name) ? target.isGoneTag(fact.name as Tag) : target.isGoneDot(fact.name)
}

/** Faults: `invalid-request` when the key has another value here, which no honest replica can have written. */
function isUnknown(target: Knowledge, fact: Fact): boolean {
  const value = target.valueOf(fact.map, fact.key)
  if (value !== undefined && value !== fact.value) {
    throw new Fault('invalid-request', 'not a valid cart update: it contradicts what is recorded')
  }
  return value === undefined
}

/**
 * Everything `source` knows that `target` does not (CART.md, "Merge"). Entries that are gone stay behind.
 * Those gone only by their tag, on either side, leave their dot as removed: else the dot would be
 * forgotten, its writer would give it to another entry, and the entry would return when its request key
 * is forgotten. `forwarded` is carried between replicas of one cart, not from a guest to an account.
 */
export function absorbFacts(target: Knowledge, source: Knowledge, options: { forwarded: boolean }): Fact[] {
  const maps = options.forwarded
    ? (['b', 'x', 's', 'i', 'd', 'f'] as const)
    : (['b', 'x', 's', 'i', 'd'] as const)
  const facts = maps.flatMap((name) => [...source.all(name)])
  const union = new Knowledge()
  for (const name of ['b', 'x', 's'] as const) for (const fact of target.all(name)) union.add(fact)
  for (const fact of facts) union.add(fact)
  for (const entry of source.entries.values()) {
    if (!union.isGone(entry)) facts.push(entryFact(entry))
    else if (!union.isGoneDot(entry.dot)) facts.push(removedFact(entry.dot))
  }
  return facts.filter((fact) => isUnknown(target, fact) && !isNamedGone(target, fact))
}
