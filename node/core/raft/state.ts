/** The whole state of one member's core. The other files of this directory are the rules that change it. */
import { assert } from '../../faults.ts'
import type { LogIndex, MemberId, Term } from '../../ids.ts'
import { ConfigHistory, decodeConfig } from './config.ts'
import { Lease } from './lease.ts'
import { entrySizeBytes, RaftLog, scanBytesMax } from './log.ts'
import type { Progress } from './progress.ts'
import { ReadQueue } from './read-index.ts'
import type {
  HardState,
  LogEntry,
  RaftConfig,
  RaftEffects,
  RaftMessage,
  RaftOptions,
  RaftRole,
} from './types.ts'

/** A hand-over that was asked for and has not ended. */
export type Transfer = {
  readonly ref: number
  readonly target: MemberId
  /** The term in which it was begun: a primary of a later one ends it. */
  readonly term: Term
  elapsedTicks: number
  /** timeout-now went out at least once. */
  told: boolean
}

function noEffects(commitIndex: LogIndex): RaftEffects {
  return {
    hardState: null,
    truncateFrom: null,
    append: [],
    messages: [],
    commitIndex,
    proposals: [],
    reads: [],
    readsFailed: [],
    snapshotsWanted: [],
    transfers: [],
  }
}

export class RaftState {
  readonly options: RaftOptions
  readonly self: MemberId
  readonly log: RaftLog
  readonly configs: ConfigHistory
  term: Term
  vote: MemberId | null
  role: RaftRole = 'follower'
  /** Known primary of the current term. */
  primary: MemberId | null = null
  /** Whoever was seen as primary of the current term, also when contact was lost since. */
  primaryOfTerm: MemberId | null = null
  commitIndex: LogIndex
  nowMs = -Infinity
  tick = 0

  /** Ticks since the election timer was last set, and when it fires. */
  electionElapsedTicks = 0
  electionTimeoutTicks: number
  ticksSincePrimary = 0
  votes = new Map<MemberId, boolean>()
  /** The driver's state lets this member act as primary. */
  canLead = true
  /** Fast failover: how often a primary was reported gone lately, and how often a campaign was retried. */
  goneStreak = 0
  lastGoneTick = 0
  fastRetries: number | null = null

  /** The rest is meaningful only while this member is primary. */
  progress = new Map<MemberId, Progress>()
  heartbeatElapsedTicks = 0
  /** Index of the no-op that began the own term. */
  termStartIndex: LogIndex = 0
  uncommittedBytes = 0
  lease: Lease
  readonly reads = new ReadQueue()
  transfer: Transfer | null = null
  /** The round sent in this step; 0 when none was sent yet. */
  #roundOfStep = 0
  /** The round of this step goes to every member, so that a majority can echo it. */
  isRoundBroadcast = false

  effects: RaftEffects
  #lastIndexBefore: LogIndex
  #hardStateBefore: HardState

  constructor(options: RaftOptions) {
    assert(options.electionTicksMin > options.heartbeatTicks, 'an election timeout outlasts a heartbeat')
    assert(options.electionTicksMax >= options.electionTicksMin, 'the election timeouts form a range')
    this.options = options
    this.self = options.self
    this.log = new RaftLog(options.log)
    this.configs = new ConfigHistory(options.log.snapshotIndex(), options.log.snapshotConfig())
    this.term = options.hardState.term
    this.vote = options.hardState.vote
    this.commitIndex = Math.max(options.committedIndex, options.log.snapshotIndex())
    assert(this.commitIndex <= this.log.lastIndex, 'only what is in the log is committed')
    assert(this.log.lastTerm <= this.term, 'a term is on disk before an entry of it')
    this.electionTimeoutTicks = this.drawTimeoutTicks()
    this.lease = new Lease(options.leaseMs)
    this.effects = noEffects(this.commitIndex)
    this.#lastIndexBefore = this.log.lastIndex
    this.#hardStateBefore = options.hardState
    this.readConfigs(options.log.snapshotIndex() + 1)
  }

  /** Finds the configurations among the entries from `from` on. */
  readConfigs(from: LogIndex): void {
    let next = from
    while (next <= this.log.lastIndex) {
      const entries = this.log.entries(next, this.log.lastIndex, scanBytesMax)
      assert(entries.length > 0, 'the disk holds every entry that it counts')
      for (const entry of entries) this.#noteConfig(entry)
      next += entries.length
    }
    this.configs.commitThrough(this.commitIndex)
  }

  #noteConfig(entry: LogEntry): void {
    if (entry.kind !== 'config') return
    const config = decodeConfig(entry.data)
    assert(config !== null, 'a configuration is checked before it is appended')
    this.configs.append(entry.index, config)
  }

  get config(): RaftConfig {
    return this.configs.current
  }

  isVoter(member: MemberId): boolean {
    return this.config.voters.includes(member)
  }

  /** Index of the configuration entry that is not committed yet; 0 when there is none. */
  get pendingConfigIndex(): LogIndex {
    return this.configs.currentIndex > this.commitIndex ? this.configs.currentIndex : 0
  }

  /** Only then is it certain that all earlier terms' commits are known (dissertation, sections 4.1 and 6.4). */
  get hasCommittedInTerm(): boolean {
    return this.role === 'primary' && this.commitIndex >= this.termStartIndex
  }

  beginStep(nowMs: number): void {
    this.nowMs = nowMs
    this.#roundOfStep = 0
    this.isRoundBroadcast = false
    this.effects = noEffects(this.commitIndex)
    this.#lastIndexBefore = this.log.lastIndex
    this.#hardStateBefore = { term: this.term, vote: this.vote }
  }

  endStep(): RaftEffects {
    const { term, vote } = this
    if (term !== this.#hardStateBefore.term || vote !== this.#hardStateBefore.vote) {
      this.effects.hardState = { term, vote }
    }
    this.effects.commitIndex = this.commitIndex
    this.log.shrink(this.commitIndex)
    return this.effects
  }

  send(to: MemberId, message: RaftMessage): void {
    this.effects.messages.push({ to, message })
  }

  /** The number of the round that this step sends; begun when first asked for. */
  round(): number {
    if (this.#roundOfStep === 0) this.#roundOfStep = this.lease.beginRound(this.nowMs)
    return this.#roundOfStep
  }

  append(entry: LogEntry): void {
    this.log.append(entry)
    this.effects.append.push(entry)
    this.#noteConfig(entry)
  }

  /** Configurations take effect when appended, and revert here (dissertation, section 4.1). */
  truncateFrom(index: LogIndex): void {
    assert(index > this.commitIndex, 'committed entries are never deleted (Raft, State Machine Safety)')
    this.log.truncateFrom(index)
    this.configs.truncateFrom(index)
    this.effects.append = this.effects.append.filter((entry) => entry.index < index)
    if (index > this.#lastIndexBefore) return
    this.effects.truncateFrom = Math.min(index, this.effects.truncateFrom ?? index)
  }

  commitThrough(index: LogIndex): void {
    assert(index >= this.commitIndex, 'the commit index never moves back')
    assert(index <= this.log.lastIndex, 'only what is in the log is committed')
    if (this.role === 'primary') this.#uncount(index)
    this.commitIndex = index
    this.configs.commitThrough(index)
  }

  /** Entries not committed stay in memory, so their sizes are at hand; older terms' were never counted. */
  #uncount(through: LogIndex): void {
    let next = Math.max(this.commitIndex + 1, this.termStartIndex)
    while (next <= through) {
      const entries = this.log.entries(next, through, Infinity)
      for (const entry of entries) this.uncommittedBytes -= entrySizeBytes(entry)
      next += entries.length
    }
  }

  drawTimeoutTicks(): number {
    const { electionTicksMin, electionTicksMax, random } = this.options
    return electionTicksMin + Math.floor(random() * (electionTicksMax - electionTicksMin + 1))
  }

  resetElectionTimer(): void {
    this.electionElapsedTicks = 0
    this.electionTimeoutTicks = this.drawTimeoutTicks()
  }

  /** The election timer fires in so many ticks, unless it is set again before. */
  fireElectionIn(ticks: number): void {
    this.electionElapsedTicks = 0
    this.electionTimeoutTicks = ticks
  }
}
