/**
 * What only the primary does beside the log: begins the cluster, keeps the voters at their number, spares members that
 * are overloaded, hands out full snapshots. Every duty is decided anew from the state at hand, so that a new primary goes on where the old one
 * stopped (DESIGN.md section 3, "Voters").
 */
import { Fault, isFault } from '../faults.ts'
import { commandLevel } from '../commands.ts'
import type { CommandId, MemberId } from '../ids.ts'
import { nextVoterChange } from '../core/voters.ts'
import type { CancelTimer, Clock, Logger, PeerInfo, ShopStore, Stores } from '../ports.ts'
import { CapacityShares } from './capacity-shares.ts'
import type { Consensus } from './consensus.ts'
import type { LogClient, MembersView, PresenceView, Settings } from './context.ts'
import type { Counters } from './counters.ts'
import type { PeerResponseOf } from '../messages.ts'
import type { Snapshots } from './snapshots.ts'
import { noPrimary } from './waiting.ts'
import { whileThereIsSpace } from './full-disk.ts'

/** How often the voters are looked at; a change that is under way goes on at once when its entry is committed. */
const dutyIntervalMs = 150
/** A look that comes so late means that this process stood still: what it knows of the others is from before that. */
const lateLookMs = 3 * dutyIntervalMs
/** How far the others have acknowledged the log goes to the own disk so often: a few small writes. */
const rememberEndsIntervalMs = 10_000
/** A member that can't take a snapshot (its disk is full, it is cut off) is not sent the next one at once. */
const snapshotRetryDelayMs = 1_000

export type PrimaryDutiesOptions = {
  settings: Settings
  selfId: MemberId
  clock: Clock
  logger: Logger
  shop: ShopStore
  stores: Stores
  counters: Counters
  members: MembersView
  presence: PresenceView
  log: LogClient
  consensus: () => Consensus
  snapshots: Snapshots
}

export class PrimaryDuties {
  readonly #options: PrimaryDutiesOptions
  readonly #deadSinceMs = new Map<MemberId, number>()
  readonly #sending = new Set<MemberId>()
  readonly #shares: CapacityShares
  /** Starts of the lives that are connected: while the disk was full, their hellos could not be remembered. */
  readonly #connected = new Map<MemberId, number>()
  #endsDueMs = 0
  #lookedAtMs: number
  /** Who has not answered by then since this process stood still does not count as alive any more. */
  #knowsAtMs = 0
  #beginning = false
  #changing = false
  #cancel: CancelTimer | null = null

  constructor(options: PrimaryDutiesOptions) {
    this.#options = options
    this.#shares = new CapacityShares(options)
    this.#lookedAtMs = options.clock.monotonicMs()
  }

  start(): void {
    this.#cancel = this.#options.clock.timer(dutyIntervalMs, () => {
      this.perform()
      this.start()
    })
  }

  stop(): void {
    this.#cancel?.()
  }

  /** Looks at everything that is due. Cheap, so it is also called after each applied batch. */
  perform(): void {
    this.#noticeStall()
    const consensus = this.#options.consensus()
    if (!consensus.isPrimary() || !consensus.raft.hasCommittedInTerm) {
      this.#deadSinceMs.clear()
      this.#shares.rest()
      return
    }
    this.#rememberEnds()
    this.#beginCluster()
    this.#changeVoters(consensus)
    this.#shares.look()
  }

  #noticeStall(): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs - this.#lookedAtMs > lateLookMs)
      this.#knowsAtMs = nowMs + this.#options.settings.electionTimeoutMaxMs
    this.#lookedAtMs = nowMs
  }

  /**
   * Writes down how far `member` has acknowledged the log, so that a later life of it that lacks this is refused
   * (DESIGN.md section 2). Only what is committed: the rest may rightly be overwritten. As primary; others don't know.
   * The life that acknowledged it counts as seen: its hello says for as long as it lives how its log ended at its start.
   */
  #rememberEnd(member: MemberId): void {
    const { log } = this.#options.stores
    const { raft } = this.#options.consensus()
    const seen = log.peerStarts(member)
    const lastIndex = Math.min(raft.progress().get(member)?.matchIndex ?? 0, raft.commitIndex)
    const lastTerm = log.termAt(lastIndex)
    if (seen === null || lastIndex <= seen.lastIndex || lastTerm === undefined) return
    whileThereIsSpace(this.#options.logger, 'how far a peer acknowledged the log is not remembered', () =>
      log.setPeerStarts(member, {
        starts: Math.max(seen.starts, this.#connected.get(member) ?? 0),
        lastTerm,
        lastIndex,
      }),
    )
  }

  peerConnected({ id, hello }: PeerInfo): void {
    this.#connected.set(id, hello.starts)
  }

  /** In case this node does not outlive the connection's other end. */
  peerDisconnected(member: MemberId): void {
    this.#rememberEnd(member)
    this.#connected.delete(member)
  }

  /** Also of those that are connected, in case this node does not outlive them. */
  #rememberEnds(): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs < this.#endsDueMs) return
    this.#endsDueMs = nowMs + rememberEndsIntervalMs
    for (const member of this.#options.consensus().raft.progress().keys()) this.#rememberEnd(member)
  }

  #beginCluster(): void {
    const { shop, settings, selfId, log, logger } = this.#options
    if (this.#beginning || shop.read.currency() !== null) return
    this.#beginning = true
    const { node, publicUrl: url, p2p, eligible, capacity, currency } = settings
    const member = { id: selfId, node, url, p2p, eligible, capacity, level: commandLevel }
    log
      .run('cluster.begin' as CommandId, { kind: 'cluster.begin', currency, member })
      .then(() => logger.info({ currency }, 'the cluster has begun'))
      .catch((error: unknown) => logger.warn({ reason: String(error) }, 'the cluster could not begin yet'))
      .finally(() => {
        this.#beginning = false
      })
  }

  #changeVoters(consensus: Consensus): void {
    const { members, settings, selfId, logger } = this.#options
    if (this.#changing || consensus.raft.pendingConfigIndex > 0 || members.list().length === 0) return
    if (this.#options.clock.monotonicMs() < this.#knowsAtMs) return
    const decision = nextVoterChange({
      members: this.#candidates(consensus),
      config: consensus.config,
      replaceVoterAfterMs: settings.replaceVoterAfterMs,
      self: selfId,
    })
    switch (decision.kind) {
      case 'none':
        return
      case 'hand-over':
        this.#perform('hand-over', consensus.transfer(decision.to))
        return
      case 'change':
        logger.info(
          { voters: this.#names(decision.config.voters), learners: this.#names(decision.config.learners) },
          'changing the voters',
        )
        this.#perform('change', consensus.changeConfig(decision.config))
    }
  }

  /** Operators know nodes by name. */
  #names(ids: readonly MemberId[]): string[] {
    return ids.map((id) => this.#options.members.get(id)?.node ?? id)
  }

  #candidates(consensus: Consensus) {
    const { members, presence, clock, selfId } = this.#options
    const progress = consensus.raft.progress()
    const nowMs = clock.monotonicMs()
    return members.list().map((member) => {
      const alive = presence.alive(member.id)
      if (alive) this.#deadSinceMs.delete(member.id)
      else if (!this.#deadSinceMs.has(member.id)) this.#deadSinceMs.set(member.id, nowMs)
      const deadForMs = alive ? 0 : nowMs - (this.#deadSinceMs.get(member.id) ?? nowMs)
      const caughtUp = member.id === selfId || (progress.get(member.id)?.caughtUp ?? false)
      return { id: member.id, eligible: member.eligible, alive, caughtUp, deadForMs }
    })
  }

  #perform(what: string, work: Promise<unknown>): void {
    this.#changing = true
    work
      .catch((error: unknown) => {
        if (!isFault(error)) throw error
        this.#options.logger.debug({ what, reason: error.message }, 'the voters could not be changed now')
      })
      .finally(() => {
        this.#changing = false
      })
  }

  /** Hands a full snapshot to a voter or learner that the log can't help; one at a time per member. */
  sendSnapshot(to: MemberId): void {
    const consensus = this.#options.consensus()
    if (this.#sending.has(to)) return
    this.#sending.add(to)
    this.#options.snapshots.send(to).then(
      (index) => {
        this.#sending.delete(to)
        consensus.input({ kind: 'snapshot-sent', to, ok: true, index })
      },
      (error: unknown) => {
        // A member whose catalog went on by the broadcast meanwhile says so, and now waits for the next copy.
        const level = isFault(error) && error.code === 'conflict' ? 'info' : 'warn'
        this.#options.logger[level](
          { to, reason: String(error) },
          'a snapshot did not arrive; it is sent again',
        )
        this.#options.clock.timer(snapshotRetryDelayMs, () => {
          this.#sending.delete(to)
          consensus.input({ kind: 'snapshot-sent', to, ok: false, index: 0 })
        })
      },
    )
  }

  readonly handlers = {
    'snapshot-want': async (from: MemberId): Promise<PeerResponseOf<'snapshot-want'>> => {
      const { config } = this.#options.consensus()
      if (!this.#options.consensus().isPrimary()) throw noPrimary('only the primary hands out full snapshots')
      if (!config.voters.includes(from) && !config.learners.includes(from)) {
        throw new Fault('forbidden', 'only voters and learners get accounts and orders')
      }
      this.sendSnapshot(from)
      return {}
    },
  }
}
