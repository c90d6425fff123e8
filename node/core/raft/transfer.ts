/**
 * Hand-over of the lease (dissertation, section 3.10). The lease is dropped and proposals are refused
 * from the moment it begins; the target is told only when it has the whole log.
 */
import type { MemberId } from '../../ids.ts'
import { failTransfer } from './roles.ts'
import type { RaftState } from './state.ts'

/** The voter with the longest equal log among those that answer; null when there is none. */
function bestSuccessor(core: RaftState): MemberId | null {
  let best: MemberId | null = null
  for (const voter of [...core.config.voters].sort()) {
    const progress = core.progress.get(voter)
    if (progress === undefined || !progress.isRecent(core.tick, core.options.electionTicksMin)) continue
    if (best === null || progress.matchIndex > (core.progress.get(best)?.matchIndex ?? 0)) best = voter
  }
  return best
}

export function beginTransfer(core: RaftState, ref: number, to: MemberId | null): void {
  const target = to ?? bestSuccessor(core)
  const isPossible =
    core.role === 'primary' &&
    core.transfer === null &&
    target !== null &&
    target !== core.self &&
    core.isVoter(target)
  if (!isPossible) {
    core.effects.transfers.push({ ref, ok: false })
    return
  }
  core.transfer = { ref, target, term: core.term, elapsedTicks: 0, told: false }
  core.lease.drop()
}

/** Tells the target as soon as it has everything; `again` repeats it, in case it was lost. */
export function driveTransfer(core: RaftState, again: boolean): void {
  const transfer = core.transfer
  if (core.role !== 'primary' || transfer === null || (transfer.told && !again)) return
  const progress = core.progress.get(transfer.target)
  if (progress === undefined || !core.isVoter(transfer.target)) {
    abandon(core)
    return
  }
  if (progress.matchIndex < core.log.lastIndex) return
  transfer.told = true
  core.send(transfer.target, { kind: 'timeout-now', term: core.term })
}

/** Given up after an election timeout: the primary takes proposals again, and earns its lease anew. */
export function tickTransfer(core: RaftState): void {
  const transfer = core.transfer
  if (transfer === null) return
  transfer.elapsedTicks += 1
  const { electionTicksMin, electionTicksMax } = core.options
  if (core.role === 'primary') {
    if (transfer.elapsedTicks >= electionTicksMin) abandon(core)
  } else if (transfer.elapsedTicks >= electionTicksMin + electionTicksMax) {
    failTransfer(core)
  }
}

function abandon(core: RaftState): void {
  failTransfer(core)
  core.lease.drop()
}

/**
 * A primary whose own removal is committed steps down (dissertation, section 4.2.2), and spares the
 * others a timeout by asking the best of them to campaign.
 */
export function successorOfRemoved(core: RaftState): void {
  const successor = bestSuccessor(core)
  if (successor === null) return
  core.send(successor, { kind: 'timeout-now', term: core.term })
}
