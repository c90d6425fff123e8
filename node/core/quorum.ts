/** Majorities, as pure functions (Raft section 5; etcd-io/raft, `quorum/majority.go`). */
import type { MemberId } from '../ids.ts'

/** The smallest number of voters of which any two such groups share one. */
export function majorityOf(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1
}

/**
 * The largest number that a majority of the voters has reached, e.g. the index that is on a majority of
 * disks, or the newest round that a majority echoed. 0 when there are no voters: nobody agrees to anything.
 */
export function reachedByMajority(
  voters: readonly MemberId[],
  reachedBy: (voter: MemberId) => number,
): number {
  const reached = voters.map(reachedBy).sort((a, b) => b - a)
  return reached[majorityOf(voters.length) - 1] ?? 0
}

/** The index that a majority of the voters holds; it may be committed only if it is of the own term (section 5.4.2). */
export function committedIndex(
  voters: readonly MemberId[],
  matchIndexOf: (voter: MemberId) => number,
): number {
  return reachedByMajority(voters, matchIndexOf)
}

/** `lost` when a majority can't be reached any more. Votes of anybody who is no voter don't count. */
export function voteResult(
  voters: readonly MemberId[],
  votes: ReadonlyMap<MemberId, boolean>,
): 'won' | 'lost' | 'pending' {
  const needed = majorityOf(voters.length)
  let granted = 0
  let refused = 0
  for (const voter of voters) {
    const vote = votes.get(voter)
    if (vote === true) granted += 1
    if (vote === false) refused += 1
  }
  if (granted >= needed) return 'won'
  return voters.length - refused < needed ? 'lost' : 'pending'
}

/** True when those of whom `holds` is true are a majority of the voters. */
export function isMajority(voters: readonly MemberId[], holds: (voter: MemberId) => boolean): boolean {
  return voters.filter(holds).length >= majorityOf(voters.length)
}

/** The value that a majority of the voters has; null when there is none. Who has no answer (null) agrees with nobody. */
export function agreedByMajority<T>(
  voters: readonly MemberId[],
  valueOf: (voter: MemberId) => T | null,
): T | null {
  const values = voters.map(valueOf)
  const agreed = values.find(
    (value) =>
      value !== null && values.filter((other) => other === value).length >= majorityOf(voters.length),
  )
  return agreed ?? null
}
