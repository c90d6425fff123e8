/** Replication and commit (Raft section 5.3 and 5.4.2; etcd-io/raft, `raft.go` and `tracker/`). */
import { assert } from '../../faults.ts'
import type { LogIndex, MemberId, Term } from '../../ids.ts'
import { committedIndex, reachedByMajority } from '../quorum.ts'
import { decodeConfig } from './config.ts'
import { entrySizeBytes } from './log.ts'
import type { Progress } from './progress.ts'
import type { RaftState } from './state.ts'
import type { LogEntry, RaftMessage } from './types.ts'

/** One append carries about this much: heartbeats and votes behind it wait a few milliseconds at most. */
export const appendBytesMax = 256 * 1024
/** Appends to one member in one step: a member far behind is fed from the disk without holding up the rest. */
export const appendsPerStepMax = 4

type Of<Kind extends RaftMessage['kind']> = Extract<RaftMessage, { kind: Kind }>

// ---- the primary's side ----

/** Sends what each member lacks, as far as its window is open, and what is newly committed. */
export function replicate(core: RaftState): void {
  for (const [member, progress] of core.progress) {
    for (let sent = 0; sent < appendsPerStepMax; sent += 1) {
      if (!progress.mayAppend() || (progress.state !== 'probe' && !hasMore(core, progress))) break
      if (!sendAppend(core, member, progress)) break
    }
    const commitIndex = knownCommit(core, progress)
    if (progress.state === 'replicate' && commitIndex > progress.commitSent)
      sendHeartbeat(core, member, progress)
  }
}

function hasMore(core: RaftState, progress: Progress): boolean {
  return progress.nextIndex <= core.log.lastIndex
}

/** What a member may take as committed: only as far as its log is known to be equal. */
function knownCommit(core: RaftState, progress: Progress): LogIndex {
  return Math.min(core.commitIndex, progress.matchIndex)
}

/** False when nothing was sent because the log no longer holds what is needed. */
function sendAppend(core: RaftState, member: MemberId, progress: Progress): boolean {
  const previousIndex = progress.nextIndex - 1
  const previousTerm = core.log.termAt(previousIndex)
  if (previousTerm === undefined) {
    wantSnapshot(core, member, progress)
    return false
  }
  const append = appendAfter(core, previousIndex, previousTerm)
  const { entries, commitIndex, round } = append
  core.send(member, append)
  const throughIndex = previousIndex + entries.length
  const sizeBytes = entries.reduce((sum, entry) => sum + entrySizeBytes(entry), 0)
  progress.sent(throughIndex, entries.length, sizeBytes, round)
  progress.commitSent = Math.max(progress.commitSent, Math.min(commitIndex, throughIndex))
  return true
}

/** Members that lack the same get one and the same message, so that it need be put into bytes once. */
function appendAfter(core: RaftState, previousIndex: LogIndex, previousTerm: Term): Of<'append'> {
  const { term, commitIndex } = core
  const { message: other } = core.effects.messages.at(-1) ?? {}
  const round = core.round()
  const isSame =
    other?.kind === 'append' &&
    other.term === term &&
    other.previousIndex === previousIndex &&
    other.commitIndex === commitIndex
  if (isSame) return other
  const entries = core.log.entries(previousIndex + 1, core.log.lastIndex, appendBytesMax)
  return { kind: 'append', term, previousIndex, previousTerm, entries, commitIndex, round }
}

/** Only to a member that answers; otherwise the next heartbeat reply tries again. */
function wantSnapshot(core: RaftState, member: MemberId, progress: Progress): void {
  if (!progress.isRecent(core.tick, core.options.electionTicksMin)) {
    progress.becomeProbe(progress.nextIndex)
    progress.paused = true
    return
  }
  progress.becomeSnapshot()
  core.effects.snapshotsWanted.push(member)
}

function sendHeartbeat(core: RaftState, member: MemberId, progress: Progress): void {
  const commitIndex = knownCommit(core, progress)
  core.send(member, { kind: 'heartbeat', term: core.term, commitIndex, round: core.round() })
  progress.commitSent = Math.max(progress.commitSent, commitIndex)
}

export function broadcastHeartbeat(core: RaftState): void {
  core.heartbeatElapsedTicks = 0
  core.round()
  core.isRoundBroadcast = true
  for (const [member, progress] of core.progress) sendHeartbeat(core, member, progress)
}

export function onAppendReply(core: RaftState, from: MemberId, message: Of<'append-reply'>): void {
  const progress = core.progress.get(from)
  if (core.role !== 'primary' || progress === undefined) return
  progress.heardFrom(core.tick, message.round, core.lease.latestRound)
  if (!message.ok) {
    onRefusal(core, progress, message)
    return
  }
  if (message.matchIndex > core.log.lastIndex || message.matchIndex < progress.matchIndex) return
  progress.matched(message.matchIndex)
  const isFed = progress.state === 'probe' || message.matchIndex >= core.log.snapshotIndex
  if (progress.state !== 'replicate' && isFed) progress.becomeReplicate()
}

/** Goes back to where the logs may agree, skipping whole terms (Raft section 5.3, last part). */
function onRefusal(core: RaftState, progress: Progress, message: Of<'append-reply'>): void {
  const refusedIndex = message.matchIndex
  if (progress.state === 'snapshot' || refusedIndex <= progress.matchIndex) return
  const isStale = progress.state === 'probe' && refusedIndex !== progress.nextIndex - 1
  if (isStale || refusedIndex >= progress.nextIndex) return
  const hintIndex = Math.min(message.conflictIndex, refusedIndex - 1)
  progress.becomeProbe(core.log.findConflict(hintIndex, message.conflictTerm, progress.matchIndex) + 1)
}

export function onHeartbeatReply(core: RaftState, from: MemberId, message: Of<'heartbeat-reply'>): void {
  const progress = core.progress.get(from)
  if (core.role !== 'primary' || progress === undefined) return
  progress.heardFrom(core.tick, message.round, core.lease.latestRound)
  if (progress.state === 'probe') progress.paused = false
  if (progress.state === 'replicate' && progress.lostAppends(message.round)) {
    progress.becomeProbe(progress.matchIndex + 1)
  }
}

export function onSnapshotSent(core: RaftState, to: MemberId, ok: boolean, index: LogIndex): void {
  const progress = core.progress.get(to)
  if (core.role !== 'primary' || progress?.state !== 'snapshot') return
  progress.becomeProbe(ok ? Math.min(index, core.log.lastIndex) + 1 : progress.matchIndex + 1)
  // After a failure the next heartbeat reply tries again, not this very step.
  progress.paused = !ok
}

export function restartProgress(core: RaftState, member: MemberId, isConnected: boolean): void {
  const progress = core.progress.get(member)
  if (core.role !== 'primary' || progress === undefined || progress.state === 'snapshot') return
  if (progress.state === 'replicate') progress.becomeProbe(progress.matchIndex + 1)
  progress.paused = !isConnected
}

function ownOr(
  core: RaftState,
  own: number,
  of: (progress: Progress) => number,
): (voter: MemberId) => number {
  return (voter) => {
    if (voter === core.self) return own
    const progress = core.progress.get(voter)
    return progress === undefined ? 0 : of(progress)
  }
}

/** Only an entry of the own term is committed by counting; with it go all before it (section 5.4.2, Figure 8). */
export function advanceCommit(core: RaftState): void {
  const matchIndexOf = ownOr(core, core.log.stableIndex, (progress) => progress.matchIndex)
  const index = committedIndex(core.config.voters, matchIndexOf)
  if (index > core.commitIndex && core.log.termAt(index) === core.term) core.commitThrough(index)
}

/** The newest round that a majority of the voters echoed in this term. */
export function confirmedRound(core: RaftState): number {
  const ackedRoundOf = ownOr(core, core.lease.latestRound, (progress) => progress.ackedRound)
  return reachedByMajority(core.config.voters, ackedRoundOf)
}

// ---- the follower's side ----

/** Entries follow each other without gaps, terms don't fall, and configurations can be read. */
export function isSoundAppend(message: Of<'append'>): boolean {
  let { previousIndex: index, previousTerm: term } = message
  if (index < 0 || term > message.term || (index === 0 && term !== 0)) return false
  for (const entry of message.entries) {
    if (entry.index !== index + 1 || entry.term < term || entry.term > message.term) return false
    if (entry.kind === 'config' && decodeConfig(entry.data) === null) return false
    index = entry.index
    term = entry.term
  }
  return true
}

/** The sender is known to be the primary of the current term, and the message is sound. */
export function onAppend(core: RaftState, from: MemberId, message: Of<'append'>): void {
  const { term, log } = core
  const { round, previousIndex } = message
  const skipped = Math.max(0, Math.min(core.commitIndex - previousIndex, message.entries.length))
  const anchorIndex = previousIndex + skipped
  const anchorTerm = skipped === 0 ? message.previousTerm : message.entries[skipped - 1]?.term
  // What lies below the own commit index is equal in every primary's log (Raft, Leader Completeness).
  const agrees = anchorIndex < core.commitIndex || log.termAt(anchorIndex) === anchorTerm
  assert(
    agrees || anchorIndex > core.commitIndex,
    'a primary has every committed entry (Raft, Leader Completeness)',
  )
  if (!agrees) {
    const conflictIndex = log.findConflict(previousIndex, message.previousTerm, core.commitIndex)
    const conflictTerm = log.termAt(conflictIndex) ?? 0
    const refusal = { ok: false, matchIndex: previousIndex, conflictIndex, conflictTerm }
    core.send(from, { kind: 'append-reply', term, ...refusal, round })
    return
  }
  takeEntries(core, message.entries.slice(skipped))
  const matchIndex = Math.max(previousIndex + message.entries.length, core.commitIndex)
  const commitIndex = Math.min(message.commitIndex, matchIndex)
  if (commitIndex > core.commitIndex) core.commitThrough(commitIndex)
  core.send(from, {
    kind: 'append-reply',
    term,
    ok: true,
    matchIndex,
    conflictIndex: 0,
    conflictTerm: 0,
    round,
  })
}

/** Entries already there stay; from the first that differs on, the own ones give way (section 5.3). */
function takeEntries(core: RaftState, entries: readonly LogEntry[]): void {
  const { log } = core
  for (const entry of entries) {
    if (entry.index <= log.lastIndex) {
      if (log.termAt(entry.index) === entry.term) continue
      core.truncateFrom(entry.index)
    }
    core.append(entry)
  }
}

export function onHeartbeat(core: RaftState, from: MemberId, message: Of<'heartbeat'>): void {
  const { term, log } = core
  // The primary sends at most what it knows to be on this disk; anything else is not from a primary of ours.
  if (message.commitIndex > core.commitIndex && message.commitIndex <= log.lastIndex) {
    core.commitThrough(message.commitIndex)
  }
  core.send(from, { kind: 'heartbeat-reply', term, round: message.round, lastIndex: log.lastIndex })
}
