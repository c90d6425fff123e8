/**
 * The consensus core of one member: a pure machine (DESIGN.md section 3). `step` takes what happened and
 * returns what is to be done; it performs nothing, reads no clock and keeps no promise objects.
 *
 * The driver, in each turn: gather inputs → `step` → one disk transaction with hardState, truncateFrom
 * and append → send messages → apply through commitIndex → `step` with `persisted`.
 */
import { assert } from '../../faults.ts'
import type { LogIndex, MemberId, Term } from '../../ids.ts'
import { checkQuorum, peerGone, setCanLead, tickElection } from './election.ts'
import { onMessage } from './messages.ts'
import { changeConfig, propose } from './proposals.ts'
import {
  advanceCommit,
  broadcastHeartbeat,
  confirmedRound,
  onSnapshotSent,
  replicate,
  restartProgress,
} from './replication.ts'
import { becomeFollower } from './roles.ts'
import { RaftState } from './state.ts'
import { beginTransfer, driveTransfer, successorOfRemoved, tickTransfer } from './transfer.ts'
import type {
  LogEntry,
  MemberProgress,
  RaftConfig,
  RaftEffects,
  RaftInput,
  RaftOptions,
  RaftRole,
} from './types.ts'

/** A learner this near to the commit index counts as caught up: milliseconds of the busiest log. */
export const caughtUpEntriesMax = 256

export class Raft {
  readonly #core: RaftState

  /** Throws InvariantError when what is on disk contradicts itself. */
  constructor(options: RaftOptions) {
    this.#core = new RaftState(options)
  }

  get role(): RaftRole {
    return this.#core.role
  }

  get term(): Term {
    return this.#core.term
  }

  /** The known primary of the current term. */
  get primary(): MemberId | null {
    return this.#core.primary
  }

  /** The configuration in force: the newest in the log, committed or not. */
  get config(): RaftConfig {
    return this.#core.config
  }

  get commitIndex(): LogIndex {
    return this.#core.commitIndex
  }

  /** Last index of the log, persisted or about to be. */
  get lastIndex(): LogIndex {
    return this.#core.log.lastIndex
  }

  /** Term of the log's last entry (0 when there is none). */
  get lastTerm(): Term {
    return this.#core.log.lastTerm
  }

  /**
   * Monotonic ms until which this member may act as primary; -Infinity when it is not, or its lease has
   * lapsed or was dropped for a hand-over. Compare with a fresh reading of the clock.
   */
  get leaseUntilMs(): number {
    const { role, transfer, lease, nowMs } = this.#core
    return role === 'primary' && transfer === null ? lease.untilMs(nowMs) : -Infinity
  }

  /** True when this is the primary and an entry of its own term is committed. */
  get hasCommittedInTerm(): boolean {
    return this.#core.hasCommittedInTerm
  }

  /** True while this member hands the lease over. */
  get isTransferring(): boolean {
    return this.#core.role === 'primary' && this.#core.transfer !== null
  }

  /** Index of a configuration entry that is not committed yet; 0 when there is none. */
  get pendingConfigIndex(): LogIndex {
    return this.#core.pendingConfigIndex
  }

  /** What the primary knows of every other voter and learner; empty on all others. */
  progress(): ReadonlyMap<MemberId, MemberProgress> {
    const core = this.#core
    const known = new Map<MemberId, MemberProgress>()
    for (const [member, progress] of core.progress) {
      const { matchIndex, state } = progress
      const recentActive = progress.isRecent(core.tick, core.options.electionTicksMin)
      const isNear = state === 'replicate' && matchIndex + caughtUpEntriesMax >= core.commitIndex
      known.set(member, { matchIndex, state, recentActive, caughtUp: recentActive && isNear })
    }
    return known
  }

  /**
   * Entries from memory if they are there, else from disk; cut off after `sizeBytesMax`, but at least one.
   * The driver applies from here.
   */
  entries(from: LogIndex, through: LogIndex, sizeBytesMax: number): readonly LogEntry[] {
    return this.#core.log.entries(from, through, sizeBytesMax)
  }

  /** False when a snapshot ending at (index, term) has nothing new: installing it would drop acknowledged entries. */
  wantsSnapshot(index: LogIndex, term: Term): boolean {
    return index > this.#core.commitIndex && this.#core.log.termAt(index) !== term
  }

  /** Takes the inputs in order. `nowMs` is the monotonic clock, read before the call. Throws only InvariantError. */
  step(inputs: readonly RaftInput[], nowMs: number): RaftEffects {
    const core = this.#core
    core.beginStep(nowMs)
    // The driver replaced the log on disk, and other inputs were waiting before its word of it: go by the disk.
    const { log } = core.options
    if (log.snapshotIndex() > core.commitIndex) {
      onSnapshotInstalled(core, log.snapshotIndex(), log.snapshotTerm(), log.snapshotConfig())
    }
    for (const input of inputs) take(core, input)
    if (core.role === 'primary') finishAsPrimary(core)
    return core.endStep()
  }
}

function take(core: RaftState, input: RaftInput): void {
  switch (input.kind) {
    case 'tick':
      onTick(core)
      return
    case 'message':
      onMessage(core, input.from, input.message)
      return
    case 'propose':
      propose(core, input.ref, input.data)
      return
    case 'change-config':
      changeConfig(core, input.ref, input.config)
      return
    case 'persisted':
      core.log.persisted(input.index, input.term)
      return
    case 'peer-gone':
      peerGone(core, input.member)
      return
    case 'read':
      if (core.role !== 'primary' || !core.reads.add(input.ref)) core.effects.readsFailed.push(input.ref)
      return
    case 'transfer':
      beginTransfer(core, input.ref, input.to)
      return
    case 'can-lead':
      setCanLead(core, input.can)
      return
    case 'snapshot-sent':
      onSnapshotSent(core, input.to, input.ok, input.index)
      return
    case 'snapshot-installed':
      onSnapshotInstalled(core, input.index, input.term, input.config)
      return
    case 'peer-connected':
    case 'peer-disconnected':
      restartProgress(core, input.member, input.kind === 'peer-connected')
      return
    default: {
      const never: never = input
      return never
    }
  }
}

function onTick(core: RaftState): void {
  core.tick += 1
  tickTransfer(core)
  if (core.role !== 'primary') {
    tickElection(core)
    return
  }
  checkQuorum(core)
  if (core.role !== 'primary') return
  core.heartbeatElapsedTicks += 1
  if (core.heartbeatElapsedTicks >= core.options.heartbeatTicks) broadcastHeartbeat(core)
}

/** The log's beginning was replaced; what is on disk now is all there is (Raft section 7). An old report is harmless. */
function onSnapshotInstalled(core: RaftState, index: LogIndex, term: Term, config: RaftConfig): void {
  const onDisk = core.options.log
  // Committed entries that came in this very step, behind the snapshot, are on their way to the disk.
  const onOwnDisk = Math.min(core.commitIndex, core.log.stableIndex)
  assert(onDisk.lastIndex() >= onOwnDisk, 'a snapshot never drops committed entries')
  if (index <= core.commitIndex) return
  // A snapshot with entries of a later term proves that term, as a message of it would (Raft, section 5.1).
  if (core.role !== 'follower' || term > core.term) becomeFollower(core, Math.max(term, core.term), null)
  core.log.reload()
  const isThere = onDisk.snapshotIndex() >= index && core.log.termAt(index) === term
  assert(isThere, 'a snapshot is on disk before the core is told')
  core.configs.reset(index, config)
  core.readConfigs(index + 1)
  if (index > core.commitIndex) core.commitThrough(index)
}

/** Once per step, however many inputs there were: this is where batches come from. */
function finishAsPrimary(core: RaftState): void {
  advanceCommit(core)
  driveTransfer(core, false)
  confirm(core)
  if (core.hasCommittedInTerm) {
    if (core.reads.wantsRound) broadcastHeartbeat(core)
    // Everything leaves after this step, so a round of this step is sent after its reads came in.
    if (core.isRoundBroadcast) core.reads.attach(core.round(), core.commitIndex)
  }
  replicate(core)
  // A single voter is a majority, and has echoed what it just began.
  confirm(core)
  const isRemoved = core.pendingConfigIndex === 0 && !core.isVoter(core.self)
  if (!isRemoved) return
  successorOfRemoved(core)
  becomeFollower(core, core.term, null)
}

/** What a majority echoed prolongs the lease and confirms reads. */
function confirm(core: RaftState): void {
  const round = confirmedRound(core)
  core.lease.confirm(round)
  for (const read of core.reads.confirmed(round)) core.effects.reads.push(read)
}
