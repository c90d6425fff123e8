/**
 * Who serves a user: the pure decision that the answers to `home-ask` lead to (DESIGN.md section 6, "Home").
 * Promises: a redirect goes only to a member that has just confirmed that it is home at the highest record known; a
 * record is only ever raised; after two hops nothing is redirected, whatever each node believes.
 */
import type { MemberId } from '../ids.ts'
import type { HomeRecord } from '../messages.ts'
import type { Load } from './placement.ts'
import { leastLoaded } from './placement.ts'

/** Redirects that one request meets at most (API.md, "Redirection"). */
export const redirectsMax = 2

/** Negative when `one` is older: records are ordered by (epoch, home), so any two nodes agree which one counts. */
export function compareRecords(one: HomeRecord, other: HomeRecord): number {
  if (one.epoch !== other.epoch) return one.epoch - other.epoch
  if (one.home === other.home) return 0
  return one.home < other.home ? -1 : 1
}

export function higherRecord(one: HomeRecord | null, other: HomeRecord | null): HomeRecord | null {
  if (one === null) return other
  if (other === null) return one
  return compareRecords(one, other) >= 0 ? one : other
}

export function isHigher(one: HomeRecord | null, than: HomeRecord | null): boolean {
  if (one === null) return false
  return than === null || compareRecords(one, than) > 0
}

/** What a member said when asked for a user's home. */
export type HomeAnswer = {
  readonly record: HomeRecord | null
  /** "I am home at this record." */
  readonly serving: boolean
  readonly draining: boolean
}

/** All that one node knows when it decides where a request is served. */
export type HomeBelief = {
  readonly self: MemberId
  readonly isSelfDraining: boolean
  /** The user's server set, in order of preference. */
  readonly set: readonly MemberId[]
  /** This node's own record of the user. */
  readonly record: HomeRecord | null
  /** Redirects that the request has met. */
  readonly hops: number
  /** Answers of others; a member that did not answer is not in it. */
  readonly answers: ReadonlyMap<MemberId, HomeAnswer>
  /** Members that would not become home when asked just now. */
  readonly unwilling: ReadonlySet<MemberId>
  readonly loadOf: (member: MemberId) => Load
}

export type HomeDecision =
  /** This node is home at the record. */
  | { readonly kind: 'serve'; readonly record: HomeRecord }
  /** The record's home has just confirmed it. */
  | { readonly kind: 'redirect'; readonly record: HomeRecord }
  /** Make the record's home (this node or another member of the set) home at it. */
  | { readonly kind: 'assume'; readonly record: HomeRecord }
  /** No member of the set can be reached. */
  | { readonly kind: 'unreachable' }

/** Highest record that this node or anybody who answered knows. */
export function highestRecord(belief: Pick<HomeBelief, 'record' | 'answers'>): HomeRecord | null {
  let best = belief.record
  for (const answer of belief.answers.values()) best = higherRecord(best, answer.record)
  return best
}

export function decideHome(belief: HomeBelief): HomeDecision {
  const { self, set, answers } = belief
  const isInSet = set.includes(self)
  const best = highestRecord(belief)
  const epoch = (best?.epoch ?? 0) + 1
  if (best?.home === self && isInSet) return { kind: 'serve', record: best }
  if (belief.hops >= redirectsMax) {
    return isInSet ? { kind: 'assume', record: { epoch, home: self } } : { kind: 'unreachable' }
  }
  if (best !== null && set.includes(best.home)) {
    const answer = answers.get(best.home)
    const confirmed =
      answer !== undefined &&
      answer.serving &&
      answer.record !== null &&
      compareRecords(answer.record, best) === 0
    if (confirmed) return { kind: 'redirect', record: best }
  }
  const home = bestHome(belief)
  return home === null ? { kind: 'unreachable' } : { kind: 'assume', record: { epoch, home } }
}

/** The least loaded live member of the set; a draining one only when there is no other. */
function bestHome(belief: HomeBelief): MemberId | null {
  const { self, set, answers, unwilling } = belief
  const live = set.filter((member) => (member === self || answers.has(member)) && !unwilling.has(member))
  const isDraining = (member: MemberId): boolean =>
    member === self ? belief.isSelfDraining : (answers.get(member)?.draining ?? false)
  const staying = live.filter((member) => !isDraining(member))
  return leastLoaded(staying.length > 0 ? staying : live, belief.loadOf)
}

/** Answers needed of a set so that one of them surely has whatever `acks` of its members acknowledged (S − W + 1). */
export function answersNeeded(setSize: number, acks: number): number {
  return Math.max(1, setSize - acks + 1)
}

/**
 * Is nothing that was acknowledged missing? `groups`: the current set and those before it (DESIGN.md section 5). A
 * member that was removed for good can't answer; then all that are left must, where the others would not suffice.
 */
export function isTakeoverComplete(
  groups: readonly (readonly MemberId[])[],
  answered: ReadonlySet<MemberId>,
  acks: number,
  isMember: (member: MemberId) => boolean,
): boolean {
  return groups.every((group) => {
    const left = group.filter((member) => isMember(member) || answered.has(member))
    const needed = Math.min(answersNeeded(group.length, acks), left.length)
    return left.filter((member) => answered.has(member)).length >= needed
  })
}

/**
 * The member that looks after a cart whose home is dead: the first live one of its set. Null while the home lives or
 * nobody does. Every node computes it from its own view; two keepers are harmless, because carts merge.
 */
export function keeperOf(
  set: readonly MemberId[],
  record: HomeRecord | null,
  isAlive: (member: MemberId) => boolean,
): MemberId | null {
  if (record !== null && set.includes(record.home) && isAlive(record.home)) return null
  return set.find(isAlive) ?? null
}
