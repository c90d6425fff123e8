/** Changes of role (Raft, Figure 4, with the pre-candidate of the dissertation, section 9.6). */
import { assert } from '../../faults.ts'
import type { MemberId, Term } from '../../ids.ts'
import { Lease } from './lease.ts'
import { Progress } from './progress.ts'
import type { RaftState } from './state.ts'

/** Takes up a later term: nobody has the vote yet. */
export function adoptTerm(core: RaftState, term: Term): void {
  assert(term > core.term, 'the term never moves back')
  core.term = term
  core.vote = null
  core.primary = null
  core.primaryOfTerm = null
}

function leavePrimary(core: RaftState): void {
  core.effects.readsFailed.push(...core.reads.drain())
  core.progress.clear()
  core.lease = new Lease(core.options.leaseMs)
  core.uncommittedBytes = 0
  core.primary = null
}

/** Follows `primary`, or nobody yet, in `term` (the current one or a later one). */
export function becomeFollower(core: RaftState, term: Term, primary: MemberId | null): void {
  const wasFollower = core.role === 'follower'
  if (core.role === 'primary') {
    assert(term > core.term || primary === null, 'there is one primary in a term (Raft, Election Safety)')
    leavePrimary(core)
  }
  core.role = 'follower'
  core.votes.clear()
  const newTerm = term > core.term
  if (newTerm) adoptTerm(core, term)
  if (!wasFollower || newTerm || primary !== core.primary) core.resetElectionTimer()
  core.primary = primary
  if (primary !== null) hearFrom(core, primary)
  endTransferByFollowing(core)
}

function hearFrom(core: RaftState, primary: MemberId): void {
  assert(
    core.primaryOfTerm === null || core.primaryOfTerm === primary,
    'there is one primary in a term (Raft, Election Safety)',
  )
  core.primaryOfTerm = primary
  core.ticksSincePrimary = 0
  core.electionElapsedTicks = 0
  core.fastRetries = null
}

/** A hand-over is done when somebody else is primary of a later term; without a later term it has failed. */
function endTransferByFollowing(core: RaftState): void {
  const transfer = core.transfer
  if (transfer === null) return
  if (core.term > transfer.term && core.primary === null) return
  core.transfer = null
  core.effects.transfers.push({ ref: transfer.ref, ok: core.term > transfer.term })
}

export function failTransfer(core: RaftState): void {
  if (core.transfer === null) return
  core.effects.transfers.push({ ref: core.transfer.ref, ok: false })
  core.transfer = null
}

/** Asks whether an election could be won, without moving anybody's term (dissertation, section 9.6). */
export function becomePreCandidate(core: RaftState): void {
  assert(core.role !== 'primary', 'a primary does not campaign')
  core.role = 'pre-candidate'
  core.primary = null
  core.votes = new Map([[core.self, true]])
}

export function becomeCandidate(core: RaftState): void {
  assert(core.role !== 'primary', 'a primary does not campaign')
  adoptTerm(core, core.term + 1)
  core.role = 'candidate'
  core.vote = core.self
  core.votes = new Map([[core.self, true]])
}

/** Begins the term with a no-op, so that earlier terms' entries can be committed (dissertation, section 6.4). */
export function becomePrimary(core: RaftState): void {
  assert(core.role === 'candidate', 'only a candidate is elected')
  assert(core.primaryOfTerm === null, 'there is one primary in a term (Raft, Election Safety)')
  failTransfer(core)
  core.role = 'primary'
  core.primary = core.self
  core.primaryOfTerm = core.self
  core.votes.clear()
  core.fastRetries = null
  core.lease = new Lease(core.options.leaseMs)
  core.uncommittedBytes = 0
  core.heartbeatElapsedTicks = 0
  core.progress.clear()
  followConfig(core)
  core.termStartIndex = core.log.lastIndex + 1
  core.append({ index: core.termStartIndex, term: core.term, kind: 'noop', data: '' })
}

/** Keeps one Progress for each other member of the configuration in force. */
export function followConfig(core: RaftState): void {
  const members = new Set([...core.config.voters, ...core.config.learners])
  members.delete(core.self)
  for (const member of core.progress.keys()) {
    if (!members.has(member)) core.progress.delete(member)
  }
  for (const member of members) {
    if (core.progress.has(member)) continue
    core.progress.set(member, new Progress(core.log.lastIndex + 1, core.tick))
  }
}
