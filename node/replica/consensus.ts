/**
 * Drives the consensus core: gathers the inputs of one turn, steps, persists, sends, applies, in that order
 * (DESIGN.md section 3; dissertation section 10.2). Nothing leaves this node before the disk has it, but for what a
 * primary appends, which says nothing of its disk (section 10.2.1).
 */
import { Raft } from '../core/raft/raft.ts'
import type { RaftConfig, RaftEffects, RaftInput, RaftMessage } from '../core/raft/types.ts'
import { Fault } from '../faults.ts'
import type { LogIndex, MemberId, Term } from '../ids.ts'
import type { Clock, Logger, Random, Stores, Transport } from '../ports.ts'
import { Applier } from './applier.ts'
import type { Applied } from './applier.ts'
import { ConsensusSender, appendsFirst } from './consensus-sender.ts'
import { ConsensusWaiters } from './consensus-waiters.ts'
import type { Bounds, Settings } from './context.ts'
import type { Counters } from './counters.ts'
import { dueCut } from './log-cut.ts'
import { FullDisk, isDiskFull, successorOf, whileThereIsSpace } from './full-disk.ts'
import { Ticks } from './ticks.ts'

/** Inputs waiting for the next turn; messages beyond it are dropped (Raft sends again), proposals refused. */
const inboxInputsMax = 20_000
/** The lease ends before any voter may elect another primary, with room for clocks that drift by 10 %. */
const leaseShare = 0.8

const diskFullRetryDelayMs = 500

export type ConsensusHooks = {
  /** After each applied batch, in log order. */
  applied(batch: readonly Applied[]): void
  /** Role, term, known primary or configuration changed. */
  changed(): void
  /** The primary's log no longer holds what this member lacks. */
  snapshotWanted(member: MemberId): void
  /** Asked again at every tick while shop.db lacks what the log no longer has. */
  stateWanted(): void
  /** The oldest index that somebody who reads a full snapshot here will go on from. */
  oldestRead(): LogIndex | null
  /** The log or shop can't be written: stop serving and exit non-zero. */
  fatal(error: unknown): void
}

export type ConsensusOptions = {
  settings: Settings
  bounds: Bounds
  selfId: MemberId
  clock: Clock
  random: Random
  transport: Transport
  stores: Stores
  logger: Logger
  counters: Counters
  hooks: ConsensusHooks
}

export class Consensus {
  readonly #options: ConsensusOptions
  #raft: Raft
  readonly #applier: Applier
  readonly #waiters = new ConsensusWaiters()
  readonly #sender: ConsensusSender
  readonly #tickMs: number
  readonly #ticks: Ticks
  #inbox: RaftInput[] = []
  #turnScheduled = false
  #stopped = false
  #seen = ''
  #isFollower = true
  #canLead = true
  /** Applying found no space. Each attempt applies a whole batch before it is rolled back, so not every turn makes one. */
  #applyWaits = false
  /** Waits for a full snapshot in the place of rows that are wrong. */
  #isRepairing: boolean
  readonly #fullDisk: FullDisk
  /** Committed as of the last step whose writes are on disk. */
  #commitIndex: LogIndex

  constructor(options: ConsensusOptions) {
    this.#options = options
    const { stores } = options
    this.#sender = new ConsensusSender(options.transport)
    this.#tickMs = options.settings.heartbeatMs / 2
    const { electionTimeoutMaxMs } = options.settings
    const beat = (isLate: boolean): void => this.#beat(isLate)
    this.#ticks = new Ticks({ ...options, intervalMs: this.#tickMs, electionTimeoutMaxMs, beat })
    this.#applier = new Applier({
      log: stores.log,
      shop: stores.shop,
      logger: options.logger,
      counters: options.counters,
    })
    this.#isRepairing = this.halted !== null
    this.#fullDisk = new FullDisk({ ...options, ...stores }, electionTimeoutMaxMs)
    this.#commitIndex = this.#applier.applied.index
    this.#raft = this.#coreFromDisk()
  }

  /** A core that knows what the disk knows, and what is committed: at a start, and after a write found no space. */
  #coreFromDisk(): Raft {
    const { settings, stores, selfId, random } = this.#options
    return new Raft({
      self: selfId,
      heartbeatTicks: 2,
      electionTicksMin: Math.ceil(settings.electionTimeoutMinMs / this.#tickMs),
      electionTicksMax: Math.ceil(settings.electionTimeoutMaxMs / this.#tickMs),
      leaseMs: settings.electionTimeoutMinMs * leaseShare,
      random: () => random.next(),
      log: stores.log,
      hardState: stores.log.hardState(),
      // Not what was applied: a snapshot may be ahead of a log that finds no space to begin behind it.
      committedIndex: this.#commitIndex,
    })
  }

  /** Applies what a restart left committed but not applied, as far as it is known, without waiting for a message. */
  wakeUp(): void {
    this.#turnSoon()
  }

  start(): void {
    this.#weighLeading()
    this.#ticks.start()
  }

  /** No further effects of any kind; waiting proposals and reads fail. */
  stop(): void {
    this.#stopped = true
    this.#ticks.stop()
    this.#waiters.rejectAll(new Fault('outcome-unknown', 'this node is stopping'))
  }

  get isStopped(): boolean {
    return this.#stopped
  }

  get raft(): Raft {
    return this.#raft
  }

  get appliedIndex(): LogIndex {
    return this.#applier.applied.index
  }

  get halted(): string | null {
    return this.#applier.halted
  }

  get config(): RaftConfig {
    return this.#raft.config
  }

  /** Why this node's log takes no writes now; null while it does. */
  get diskFull(): Fault | null {
    return this.#fullDisk.fault
  }

  /** Primary with a valid lease, by a fresh reading of the clock (never by a flag that a timer clears). */
  isPrimary(): boolean {
    return this.leaseRemainingMs() > 0
  }

  leaseRemainingMs(): number {
    if (this.#raft.role !== 'primary' || this.halted !== null) return 0
    // State first, then the clock (DESIGN.md section 3).
    const untilMs = this.#raft.leaseUntilMs
    return Math.max(0, untilMs - this.#options.clock.monotonicMs())
  }

  receive(from: MemberId, message: RaftMessage): void {
    if (this.#inbox.length < inboxInputsMax) this.#enqueue({ kind: 'message', from, message })
  }

  input(input: RaftInput): void {
    this.#enqueue(input)
  }

  /** Appends a command to the log; resolves with its place, which may still be lost to another primary. */
  propose(data: string): Promise<{ index: LogIndex; term: Term }> {
    if (this.#inbox.length >= inboxInputsMax) {
      return Promise.reject(
        new Fault('overloaded', 'too many commands are waiting', {}, { retryAfterSeconds: 1 }),
      )
    }
    return this.#whileRunning(() =>
      this.#waiters.proposal((ref) => this.#enqueue({ kind: 'propose', ref, data })),
    )
  }

  changeConfig(config: RaftConfig): Promise<{ index: LogIndex; term: Term }> {
    return this.#whileRunning(() =>
      this.#waiters.proposal((ref) => this.#enqueue({ kind: 'change-config', ref, config })),
    )
  }

  /** The index that a current read must have applied (ReadIndex, dissertation section 6.4). Fault `no-primary`. */
  readIndex(): Promise<LogIndex> {
    return this.#whileRunning(() => this.#waiters.read((ref) => this.#enqueue({ kind: 'read', ref })))
  }

  /** Hands the lease over; resolves whether another voter took it. */
  transfer(to: MemberId | null): Promise<boolean> {
    return this.#whileRunning(() =>
      this.#waiters.transfer((ref) => this.#enqueue({ kind: 'transfer', ref, to })),
    )
  }

  /** These rows are not what a majority of the voters has: nothing more is applied until a full snapshot is here. */
  haltDiverged(reason: string, options: { repair: boolean }): void {
    whileThereIsSpace(this.#options.logger, 'a restart finds the divergence anew', () =>
      this.#options.stores.shop.setDiverged(reason),
    )
    this.#applier.halt(reason)
    this.#isRepairing = options.repair
    this.#weighLeading()
  }

  /** `snapshots.ts` replaced shop.db: what the log holds of before must not be applied to it. */
  stateReplaced(): void {
    this.#applier.reload()
    this.#isRepairing = this.halted !== null
  }

  /** After `stateReplaced`: the log on disk starts anew behind the snapshot. */
  snapshotInstalled(): void {
    const { index, term, config } = this.#applier.applied
    this.#enqueue({ kind: 'snapshot-installed', index, term, config })
  }

  #whileRunning<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#stopped) return work()
    return Promise.reject(new Fault('no-primary', 'this node is stopping', {}, { retryAfterSeconds: 1 }))
  }

  #enqueue(input: RaftInput): void {
    if (this.#stopped) return
    this.#inbox.push(input)
    this.#turnSoon()
  }

  #beat(isLate: boolean): void {
    // A former voter that lives on the broadcast does not campaign.
    if (this.#options.stores.shop.feed() !== 'log') return
    // Who can't write a vote or a term does not campaign; the turn tries the disk again when that is due.
    if (this.diskFull !== null) return this.#turnSoon()
    if (this.lacksState() || this.#isRepairing) this.#options.hooks.stateWanted()
    this.#weighLeading()
    if (!isLate) this.#enqueue({ kind: 'tick' })
  }

  /**
   * A voter without state, or one that stopped applying, does not campaign; it still votes and acknowledges. As primary
   * it hands the lease over first, and steps down also if nobody takes it.
   */
  #weighLeading(): void {
    const can = !this.lacksState() && this.halted === null
    if (can === this.#canLead) return
    this.#canLead = can
    const tell = (): void => {
      if (this.#canLead === can) this.#enqueue({ kind: 'can-lead', can })
    }
    if (can || this.#raft.role !== 'primary') tell()
    else this.transfer(null).then(tell, tell)
  }

  /** One turn: all inputs that are here, then the effects of `persisted`, then one batch of applying. */
  #turn(): void {
    if (this.#stopped) return
    try {
      const inputs = this.#fullDisk.admitted(this.#inbox, this.#raft.term, (ref, fault) =>
        this.#waiters.refuse(ref, fault),
      )
      this.#inbox = []
      const isIdle = inputs.length === 0
      const effects = isIdle ? null : this.#raft.step(inputs, this.#options.clock.monotonicMs())
      this.#sender.sendNews(effects?.messages ?? [])
      if (effects !== null) this.#perform(effects)
      this.#apply()
      this.#noticeChange()
      if (this.#sender.isWaiting) this.#turnSoon()
    } catch (error) {
      this.stop()
      this.#options.hooks.fatal(error)
    }
  }

  /** False when the disk has no space: then the whole step did not happen, and nothing of it may leave this node. */
  #persist(effects: RaftEffects, sentThrough: LogIndex): boolean {
    if (effects.hardState === null && effects.truncateFrom === null && effects.append.length === 0)
      return true
    try {
      this.#options.stores.log.persist(effects)
    } catch (error) {
      if (!isDiskFull(error)) throw error
      this.#takeBack(effects, error, sentThrough)
      return false
    }
    this.#fullDisk.written()
    this.#options.counters.add('log_flushes_total')
    return true
  }

  /**
   * The core is ahead of the disk: it begins anew from what is there, as after a crash, which Raft allows at any point.
   * What the failed step took into the log was never on this disk; what left through `sentThrough` may be on others.
   */
  #takeBack(effects: RaftEffects, fault: Fault, sentThrough: LogIndex): void {
    const { logger, transport, counters } = this.#options
    const former = this.#raft
    const successor = successorOf(former)
    this.#raft = this.#coreFromDisk()
    if (!this.#canLead) this.#enqueue({ kind: 'can-lead', can: false })
    if (this.#fullDisk.failed(fault)) {
      counters.add('log_disk_full_total')
      logger.error({ role: former.role, successor }, 'the disk is full; the log waits for space')
    }
    // The lease ended with the former core (DESIGN.md section 3: dropped before the successor is told).
    if (successor !== null && former.term === this.#raft.term)
      transport.send(successor, { kind: 'timeout-now', term: former.term })
    this.#waiters.takeBack(effects, fault, sentThrough)
  }

  #perform(effects: RaftEffects): void {
    // Its term and vote are on disk from an earlier step.
    const isPrimary = this.#raft.role === 'primary' && effects.hardState === null
    const [early, late] = isPrimary ? appendsFirst(effects.messages) : [[], effects.messages]
    if (!this.#persist(effects, this.#sender.sendAppends(early))) return
    this.#sender.send(late, effects.commitIndex > this.#commitIndex)
    this.#commitIndex = effects.commitIndex
    this.#waiters.settle(effects)
    for (const member of effects.snapshotsWanted) this.#options.hooks.snapshotWanted(member)
    const last = effects.append.at(-1)
    if (last !== undefined) {
      const persisted: RaftInput = { kind: 'persisted', index: last.index, term: last.term }
      this.#perform(this.#raft.step([persisted], this.#options.clock.monotonicMs()))
    }
  }

  /** The log no longer holds what shop.db lacks: only a full snapshot helps. */
  lacksState(): boolean {
    return this.#applier.applied.index < this.#options.stores.log.snapshotIndex()
  }

  #apply(): void {
    // A member that lives on the broadcast must not apply the same versions from an old log again.
    if (this.#options.stores.shop.feed() !== 'log') return
    const batch = this.#applyBatch()
    this.#weighLeading()
    if (batch.length === 0) return
    this.#options.hooks.applied(batch)
    this.#compact()
    if (this.#applier.applied.index < this.#raft.commitIndex) this.#turnSoon()
  }

  /** A full disk is no reason to give up: the entries stay in the log and are applied when there is space. */
  #applyBatch(): Applied[] {
    if (this.#applyWaits) return []
    try {
      return this.#applier.applyNext(this.#raft.commitIndex)
    } catch (error) {
      if (!isDiskFull(error)) throw error
      this.#options.logger.error({ reason: error.message }, 'the disk is full; applying waits for space')
      this.#applyWaits = true
      this.#options.clock.timer(diskFullRetryDelayMs, () => {
        this.#applyWaits = false
        this.#turnSoon()
      })
      return []
    }
  }

  /** The oldest entries go, but members that are slow, or take a snapshot now, still find theirs. */
  #compact(): void {
    const { stores, hooks, logger } = this.#options
    const { index, config } = this.#applier.applied
    const cut = dueCut(stores, index, this.#raft.progress(), hooks.oldestRead(), this.#options.bounds)
    if (cut === null) return
    // The configuration of a later, committed index: entries between that set others bring it back to the same.
    whileThereIsSpace(logger, 'the log is cut later', () => stores.log.compact(cut.index, cut.term, config))
  }

  #turnSoon(): void {
    if (this.#turnScheduled) return
    this.#turnScheduled = true
    this.#options.clock.defer(() => {
      this.#turnScheduled = false
      this.#turn()
    })
  }

  #noticeChange(): void {
    const raft = this.#raft
    if (this.#isFollower && raft.role !== 'follower') this.#options.counters.add('elections_started_total')
    this.#isFollower = raft.role === 'follower'
    const seen = `${raft.role} ${raft.term} ${raft.primary} ${raft.config.voters.join()} ${raft.config.learners.join()}`
    if (seen === this.#seen) return
    this.#seen = seen
    this.#options.hooks.changed()
  }
}
