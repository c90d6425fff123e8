/**
 * Which feed this node follows: the log (voters and learners) or the broadcast (everybody else), and how it changes
 * from one to the other. A member that lived on the broadcast switches to the log only by installing a full snapshot
 * that is not older than its own catalog, so that its version never goes back (DESIGN.md section 4).
 */
import type { RaftMessage } from '../core/raft/types.ts'
import type { MemberId, Term } from '../ids.ts'
import type { Clock, Logger, Stores, Transport } from '../ports.ts'
import type { LeaseHint } from './announcer.ts'
import type { Consensus } from './consensus.ts'
import { whileThereIsSpace } from './full-disk.ts'

/** A member that is in no announced configuration and got no entries for this long lives on the broadcast. */
const appendSilenceMs = 1_000
/** A snapshot is asked for again after this; it takes as long as the catalog is large. */
const wantAgainMs = 2_000
const wantTimeoutMs = 1_000
/** A full disk is tried again after this. */
const diskFullRetryDelayMs = 500

export type VotingOptions = {
  selfId: MemberId
  clock: Clock
  logger: Logger
  transport: Transport
  stores: Stores
  consensus: () => Consensus
  /** The newest announcement while it is fresh. */
  hint: () => LeaseHint | null
  /** The same, however old. */
  lastHeard: () => LeaseHint | null
}

export class Voting {
  readonly #options: VotingOptions
  #lastAppendMs: number
  #lastWantMs = Number.NEGATIVE_INFINITY

  constructor(options: VotingOptions) {
    this.#options = options
    this.#lastAppendMs = options.clock.monotonicMs()
  }

  followsLog(): boolean {
    return this.#options.stores.shop.feed() === 'log'
  }

  /** Who votes now: by the own log, or by what the primary announced to those that don't hold it. */
  voters(): readonly MemberId[] {
    if (!this.followsLog()) return this.#options.lastHeard()?.voters ?? []
    const hint = this.#options.hint()
    const { config, appliedIndex, raft } = this.#options.consensus()
    // Who was voted out gets no more entries, so its own log goes on naming it; the announcement is of a later index.
    const isOutvoted = hint !== null && hint.term >= raft.term && hint.configIndex > appliedIndex
    return isOutvoted && !hint.voters.includes(this.#options.selfId) ? hint.voters : config.voters
  }

  /** The primary as this node knows: by the log if it follows it, else by gossip. */
  primaryHint(): { id: MemberId; term: Term } | null {
    const { raft } = this.#options.consensus()
    const hint = this.#options.hint()
    if (raft.primary !== null && (hint === null || raft.term >= hint.term))
      return { id: raft.primary, term: raft.term }
    if (hint === null) return null
    // A voter in a newer term than the announcement knows that this primary is gone.
    if (this.followsLog() && raft.term > hint.term) return null
    return { id: hint.primary, term: hint.term }
  }

  /** The newest term that this node knows of, also while there is no primary. */
  newestTerm(): Term {
    return Math.max(this.#options.consensus().raft.term, this.#options.lastHeard()?.term ?? 0)
  }

  /** Who is primary, as answers to clients may say it: not this node when its lease has lapsed, by a fresh clock. */
  primaryToTell(): MemberId | null {
    const primary = this.primaryHint()?.id ?? null
    return primary === this.#options.selfId && !this.#options.consensus().isPrimary() ? null : primary
  }

  /** A consensus message; appends are held off while this node can't take the log up. */
  receive(from: MemberId, message: RaftMessage): void {
    const consensus = this.#options.consensus()
    if (message.kind !== 'append') {
      consensus.receive(from, message)
      return
    }
    this.#lastAppendMs = this.#options.clock.monotonicMs()
    const { shop, log } = this.#options.stores
    if (shop.feed() === 'broadcast') {
      const canStartFromLog = shop.read.catalog().version === 0 && log.lastIndex() === 0
      if (!canStartFromLog) {
        this.wantSnapshot(from)
        return
      }
      if (!whileThereIsSpace(this.#options.logger, 'the log is not followed yet', () => shop.startFromLog()))
        return
    }
    consensus.receive(from, message)
  }

  /** Asks the primary for a full snapshot: the log alone can't bring this node to where it must be. */
  wantSnapshot(primary: MemberId): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs - this.#lastWantMs < wantAgainMs || primary === this.#options.selfId) return
    this.#lastWantMs = nowMs
    this.#options.transport
      .request(primary, { kind: 'snapshot-want' }, { timeoutMs: wantTimeoutMs })
      .catch((error: unknown) => {
        this.#options.logger.debug(
          { primary, reason: String(error) },
          'the primary gave no snapshot yet; it is asked again',
        )
      })
  }

  /** A newer announcement of the primary: a former voter learns here that it is none any more. */
  heardHint(hint: LeaseHint): void {
    const { selfId, clock, logger, stores, consensus } = this.#options
    if (!this.followsLog() || hint.primary === selfId) return
    if (hint.voters.includes(selfId) || hint.learners.includes(selfId)) return
    if (hint.configIndex <= consensus().appliedIndex && consensus().config.voters.includes(selfId)) return
    if (clock.monotonicMs() - this.#lastAppendMs < appendSilenceMs) return
    if (whileThereIsSpace(logger, 'still bound to the log', () => stores.shop.setFeed('broadcast')))
      logger.info({}, 'no longer a voter: following the catalog broadcast from now on')
  }

  /** After a full snapshot was swapped in: the log starts behind it, and keeps acknowledged entries beyond it. */
  snapshotInstalled(): void {
    const { clock, logger, stores, consensus } = this.#options
    const { log, shop } = stores
    const { index, term, config } = shop.applied()
    consensus().stateReplaced()
    const isMoved = whileThereIsSpace(logger, 'the log begins behind the snapshot later', () => {
      if (log.termAt(index) === term) log.compact(index, term, config)
      // A copy from before the log's own beginning brings nothing; what was acknowledged since must stay.
      else if (index > log.snapshotIndex()) log.resetTo(index, term, config)
    })
    if (isMoved) consensus().snapshotInstalled()
    else
      clock.timer(diskFullRetryDelayMs, () => {
        if (!consensus().isStopped) this.snapshotInstalled()
      })
  }
}
