/**
 * Which members a user may be assigned to: weighted rendezvous hashing (Thaler and Ravishankar, 1998, "Using
 * name-based mappings to increase hit rates"; the weights by −w / ln h after Schindelhauer and Schomaker, 2005,
 * "Weighted distributed hash tables"). Promises: the same answer on every node for the same members version, and a
 * join, a leave or a changed capacity moves only the users that it must (DESIGN.md section 6).
 */
import { hash } from 'node:crypto'
import type { MemberRecord } from '../commands.ts'
import type { MemberId, UserId } from '../ids.ts'

export type PlacementMember = Pick<MemberRecord, 'id' | 'capacity' | 'capacityShare'>

/** What a member is asked for: what its operator set, or a share of that while it is overloaded. */
export function capacityInUse({ capacity, capacityShare }: Omit<PlacementMember, 'id'>): number {
  return capacity * (capacityShare ?? 1)
}

/** Do two lists place every user alike? */
export function placeAlike(one: readonly PlacementMember[], other: readonly PlacementMember[]): boolean {
  const text = (members: readonly PlacementMember[]): string =>
    members
      .map((member) => `${member.id} ${capacityInUse(member)}`)
      .sort()
      .join()
  return text(one) === text(other)
}

/** Bits of the hash that are used: as many as a double holds exactly. */
const hashBits = 52

/** Uniform in (0, 1), never 0 or 1, from user and member alone. */
function unitHash(user: UserId, member: MemberId): number {
  const digest = hash('sha256', `souk placement\n${user}\n${member}`, 'buffer')
  const bits = Number(digest.readBigUInt64BE(0) >> BigInt(64 - hashBits))
  return (bits + 0.5) / 2 ** hashBits
}

/** The member with the greatest score comes first; the chance of that is proportional to its capacity. */
export function rendezvousScore(user: UserId, member: PlacementMember): number {
  return -capacityInUse(member) / Math.log(unitHash(user, member.id))
}

/**
 * The user's server set, in order of preference. A draining member keeps its place (its users migrate, but nothing is
 * reshuffled for a restart); one without capacity is in no set.
 */
export function serverSet(user: UserId, members: readonly PlacementMember[], size: number): MemberId[] {
  return members
    .filter((member) => member.capacity > 0)
    .map((member) => ({ id: member.id, score: rendezvousScore(user, member) }))
    .sort((one, other) => other.score - one.score || (one.id < other.id ? -1 : 1))
    .slice(0, size)
    .map((member) => member.id)
}

/** How busy a member is, as far as is known. */
export type Load = { readonly users: number; readonly loadPercent: number; readonly capacity: number }

/** Processor loads within one step count as equal: they move from second to second, the number of users doesn't. */
const loadStepPercent = 25

/** Users for each unit of capacity. */
export function usersPerCapacity(load: Load): number {
  return load.capacity > 0 ? load.users / load.capacity : Number.POSITIVE_INFINITY
}

/** The least loaded candidate; among equals the first, so pass them in order of preference. Null when there is none. */
export function leastLoaded(
  candidates: readonly MemberId[],
  loadOf: (member: MemberId) => Load,
): MemberId | null {
  let best: { member: MemberId; step: number; users: number } | null = null
  for (const member of candidates) {
    const load = loadOf(member)
    const step = Math.floor(load.loadPercent / loadStepPercent)
    const users = usersPerCapacity(load)
    if (best === null || step < best.step || (step === best.step && users < best.users))
      best = { member, step, users }
  }
  return best?.member ?? null
}

/** The candidate with the fewest users for its capacity, however busy; among equals the first. */
export function fewestUsers(
  candidates: readonly MemberId[],
  loadOf: (member: MemberId) => Load,
): MemberId | null {
  return leastLoaded(candidates, (member) => ({ ...loadOf(member), loadPercent: 0 }))
}

/** A member must have more than this many times the users of another one, for its capacity, to give some away. */
const migrationRatio = 1.5
/** And at least this many more; small numbers differ by chance. */
const migrationUsersMin = 20
/** Once begun it goes on until they are as even as this, well inside the 10 % that operators are promised. */
const migrationEndRatio = 1.04
/** Users that may remain of the difference, for a unit of capacity: one that moves changes it by two. */
const migrationEndUsers = 2
/** Or its processor must be busier by this much; wide, so that users don't move back and forth. */
const migrationLoadPercent = 50

/** Has `from` so many more users for its capacity that it starts giving some to `to`? */
export function hasClearlyMoreUsers(from: Load, to: Load): boolean {
  if (to.capacity <= 0) return false
  const difference = usersPerCapacity(from) - usersPerCapacity(to)
  return (
    usersPerCapacity(from) > migrationRatio * usersPerCapacity(to) &&
    difference > migrationUsersMin / Math.max(from.capacity, to.capacity)
  )
}

/** Does a migration that has begun go on? Far from where one begins, the other way round: that is the hysteresis. */
export function hasMoreUsers(from: Load, to: Load): boolean {
  if (to.capacity <= 0) return false
  const difference = usersPerCapacity(from) - usersPerCapacity(to)
  return (
    usersPerCapacity(from) > migrationEndRatio * usersPerCapacity(to) &&
    difference > migrationEndUsers / Math.min(from.capacity, to.capacity)
  )
}

/** Is the processor of `from` much busier? */
export function isMuchBusier(from: Load, to: Load): boolean {
  return to.capacity > 0 && from.loadPercent - to.loadPercent >= migrationLoadPercent
}
