/**
 * What goes into and comes out of the consensus core. The core is a pure machine: `step(inputs, nowMs)`
 * returns effects and performs nothing. The order of the effects is the contract: persist, send, apply
 * (DESIGN.md section 3; etcd-io/raft, `rawnode.go`).
 */
import type { LogIndex, MemberId, Term } from '../../ids.ts'

/** Who votes and who is catching up in order to vote. Takes effect when appended (dissertation, section 4.1). */
export type RaftConfig = { readonly voters: readonly MemberId[]; readonly learners: readonly MemberId[] }

/** `command` carries a JSON command, `config` a JSON RaftConfig, `noop` the first entry of a term (data empty). */
export type EntryKind = 'command' | 'config' | 'noop'
export type LogEntry = {
  readonly index: LogIndex
  readonly term: Term
  readonly kind: EntryKind
  readonly data: string
}

export type HardState = { readonly term: Term; readonly vote: MemberId | null }

/** Reads of what is on this node's disk. Synchronous; implemented by `store/` and by test fakes. */
export interface LogReader {
  /** Index before the first entry still held, i.e. of the last entry covered by a snapshot (0 at the start). */
  snapshotIndex(): LogIndex
  snapshotTerm(): Term
  /** The configuration as of `snapshotIndex()`. */
  snapshotConfig(): RaftConfig
  lastIndex(): LogIndex
  /** Term of a held entry or of the snapshot's last one; undefined when not held. */
  termAt(index: LogIndex): Term | undefined
  /** Entries from `from` to `through` (both included), cut off after `sizeBytesMax`, but at least one. */
  entries(from: LogIndex, through: LogIndex, sizeBytesMax: number): readonly LogEntry[]
}

/**
 * Each message carries the sender's term; the driver adds from and to. The exception is pre-vote, which
 * carries the term that the sender would campaign in (its own + 1), as does a granting reply to it, so
 * that nobody's term moves before an election can succeed (dissertation, section 9.6).
 */
export type RaftMessage =
  | { kind: 'pre-vote'; term: Term; lastIndex: LogIndex; lastTerm: Term }
  | { kind: 'pre-vote-reply'; term: Term; granted: boolean }
  | { kind: 'vote'; term: Term; lastIndex: LogIndex; lastTerm: Term; transfer: boolean }
  | { kind: 'vote-reply'; term: Term; granted: boolean }
  | {
      kind: 'append'
      term: Term
      previousIndex: LogIndex
      previousTerm: Term
      entries: readonly LogEntry[]
      commitIndex: LogIndex
      /** Number of the primary's round: its echo confirms lease and reads as of when the round was sent. */
      round: number
    }
  | {
      kind: 'append-reply'
      term: Term
      ok: boolean
      /**
       * ok: highest index known to be on the follower's disk and equal to the primary's.
       * not ok: the `previousIndex` that was refused, so that an old refusal is recognised.
       */
      matchIndex: LogIndex
      /** not ok: where the primary should go on (conflict back-off by term, Raft section 5.3). */
      conflictIndex: LogIndex
      conflictTerm: Term
      round: number
    }
  | { kind: 'heartbeat'; term: Term; commitIndex: LogIndex; round: number }
  | { kind: 'heartbeat-reply'; term: Term; round: number; lastIndex: LogIndex }
  | { kind: 'timeout-now'; term: Term }

export type RaftRole = 'follower' | 'pre-candidate' | 'candidate' | 'primary'

/** How the primary is feeding a member: finding where the logs agree, pipelining, or waiting for a snapshot. */
export type ProgressState = 'probe' | 'replicate' | 'snapshot'

/** What the primary knows of one other member. */
export type MemberProgress = {
  readonly matchIndex: LogIndex
  readonly state: ProgressState
  /** It answered within the minimal election timeout, in this term. */
  readonly recentActive: boolean
  /** Recently active, and so near the end of the log that it can vote without holding up commits. */
  readonly caughtUp: boolean
}

export type RaftInput =
  | { kind: 'tick' }
  | { kind: 'message'; from: MemberId; message: RaftMessage }
  /** One command each; `ref` comes back in `effects.proposals`. */
  | { kind: 'propose'; ref: number; data: string }
  /** A single-server change (one voter or learner more or less, or learner → voter). */
  | { kind: 'change-config'; ref: number; config: RaftConfig }
  /** The own disk holds the log through (index, term): counts as the own acknowledgement. */
  | { kind: 'persisted'; index: LogIndex; term: Term }
  /** The driver proved that this member is gone (DESIGN.md section 3, fast failover). */
  | { kind: 'peer-gone'; member: MemberId }
  /** A read that must be current; comes back in `effects.reads` when a majority confirmed it. */
  | { kind: 'read'; ref: number }
  /** Hand the lease over; `to` null means the most up-to-date voter. */
  | { kind: 'transfer'; ref: number; to: MemberId | null }
  /** Driver tells how a snapshot transfer to `to` ended; `index` is what the snapshot covered. */
  | { kind: 'snapshot-sent'; to: MemberId; ok: boolean; index: LogIndex }
  /**
   * Whether this node's state lets it act as primary (DESIGN.md section 3: "a voter without state does not campaign").
   * One that can't still votes and acknowledges; a primary that can't steps down. At the start it can.
   */
  | { kind: 'can-lead'; can: boolean }
  /** This node installed a snapshot: the log now starts after `index`. */
  | { kind: 'snapshot-installed'; index: LogIndex; term: Term; config: RaftConfig }
  /** The connection to a member came back or broke: pipelining restarts with a probe. */
  | { kind: 'peer-connected'; member: MemberId }
  | { kind: 'peer-disconnected'; member: MemberId }

export type ProposalResult =
  | { ref: number; accepted: true; index: LogIndex; term: Term }
  | {
      ref: number
      accepted: false
      reason: 'not-primary' | 'transferring' | 'change-pending' | 'too-many' | 'invalid-change'
    }

export type RaftEffects = {
  /** Not null: must be on disk before any message is sent. */
  hardState: HardState | null
  /** Not null: delete own entries from this index on, before appending. */
  truncateFrom: LogIndex | null
  /**
   * Must be on disk before any message is sent, but for the appends of who was primary before this step; the driver then
   * steps `persisted`, which is what makes the own disk count (dissertation, section 10.2.1).
   */
  append: LogEntry[]
  messages: { to: MemberId; message: RaftMessage }[]
  /** Entries through this index are committed (never moves back); the driver applies what it has not yet. */
  commitIndex: LogIndex
  /** In the order of the inputs. */
  proposals: ProposalResult[]
  /** Reads confirmed by a majority after an entry of the own term: serve once `index` is applied. */
  reads: { ref: number; index: LogIndex }[]
  /** Reads that can't be confirmed (not primary, or lost it). */
  readsFailed: number[]
  /** Members that need a snapshot because the log no longer holds what they lack. */
  snapshotsWanted: MemberId[]
  /** Transfers that ended: done once another primary's term was seen, or failed after an election timeout. */
  transfers: { ref: number; ok: boolean }[]
}

export type RaftOptions = {
  readonly self: MemberId
  /** Heartbeats go out every so many ticks. */
  readonly heartbeatTicks: number
  /** An election timeout is drawn from [min, max] ticks. */
  readonly electionTicksMin: number
  readonly electionTicksMax: number
  /**
   * The lease lasts so long from when the confirming round was sent. A follower counts ticks from when it
   * heard of it, and the first may come at once: so at most (electionTicksMin - 1) ticks, less clock drift.
   */
  readonly leaseMs: number
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: LogReader
  readonly hardState: HardState
  /** Entries through this index are known to be committed: at a start those that were applied. */
  readonly committedIndex: LogIndex
}
