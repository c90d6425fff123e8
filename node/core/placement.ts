/**
 * Which members may serve a user: weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights after
 * Resch, "New hashing algorithms for data storage", 2015). Every node computes the same set from the same members;
 * a join or leave moves only the users that it must (DESIGN.md section 6).
 */
import { createHash } from 'node:crypto'
import type { MemberRecord } from '../commands.ts'
import type { MemberId, UserId } from '../ids.ts'

/** 52 bits fit a double exactly. */
const hashBits = 52

/** Uniform in (0, 1), the same on every node. */
function uniform(user: UserId, member: MemberId): number {
  const digest = createHash('sha256').update(user).update('\0').update(member).digest()
  const bits = digest.readBigUInt64BE(0) >> BigInt(64 - hashBits)
  return (Number(bits) + 0.5) / 2 ** hashBits
}

/**
 * The user's server set in order of preference: the `size` members with the highest scores. A draining member keeps
 * its place (its users come back); capacity 0 means no users at all.
 */
export function serverSet(user: UserId, members: readonly MemberRecord[], size: number): MemberId[] {
  return members
    .filter(({ capacity }) => capacity > 0)
    .map(({ id, capacity }) => ({ id, score: -capacity / Math.log(uniform(user, id)) }))
    .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
    .slice(0, size)
    .map(({ id }) => id)
}

export type Load = {
  readonly id: MemberId
  readonly users: number
  readonly capacity: number
  readonly draining: boolean
}

/**
 * The least loaded of the candidates by users for each unit of capacity; in order of preference where they are equal.
 * Draining ones only when there is nobody else. Null without candidates.
 */
export function leastLoaded(candidates: readonly Load[]): MemberId | null {
  const willing = candidates.filter(({ draining }) => !draining)
  const pool = willing.length > 0 ? willing : candidates
  let best: Load | null = null
  for (const candidate of pool) {
    if (best === null || share(candidate) < share(best)) best = candidate
  }
  return best?.id ?? null
}

function share({ users, capacity }: Load): number {
  return capacity > 0 ? users / capacity : Number.POSITIVE_INFINITY
}
