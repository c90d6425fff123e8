/**
 * Keeps this node's catalog at the newest version. Voters and learners apply it from the log and check every
 * broadcast against what they applied; everybody else applies the broadcast, and pulls what a gap, a start or an
 * announcement shows to be missing (DESIGN.md section 4). Versions are applied strictly in order.
 */
import { CatalogDivergence, applyVersion, decideFeed } from '../core/feed.ts'
import { isFault } from '../faults.ts'
import type { CatalogVersion, Digest, MemberId } from '../ids.ts'
import type { CatalogVersionRecord, GossipVerdict, PeerRequestOf, PeerResponseOf } from '../messages.ts'
import { versionsPerPullMax } from '../messages.ts'
import type { CancelTimer, CatalogState, Clock, Logger, Random, ShopStore, Transport } from '../ports.ts'
import type { Applied } from './applier.ts'
import { CatalogAudit } from './catalog-audit.ts'
import type { Consensus } from './consensus.ts'
import type { MembersView, PresenceView } from './context.ts'
import type { Counters } from './counters.ts'

/** One pull brings at most so much; the next one goes on from there. */
const pullSizeBytesMax = 2 * 1024 * 1024
const pullTimeoutMs = 5_000
const pullRetryDelayMs = 150
/** A broadcast that is on its way is cheaper than a pull: give it so long after an announcement. */
const announcedDelayMs = 60
/** Digests heard for versions that the log has not brought yet, to be compared then. */
const heardDigestsMax = 256

export type CatalogFeedOptions = {
  selfId: MemberId
  clock: Clock
  random: Random
  logger: Logger
  transport: Transport
  shop: ShopStore
  counters: Counters
  members: MembersView
  presence: PresenceView
  /** Follows the log now (voter or learner). */
  followsLog: () => boolean
  isPrimary: () => boolean
  primary: () => MemberId | null
  voters: () => readonly MemberId[]
  consensus: () => Consensus
  /** A copy that replaces this catalog is on its way; until then nothing newer is applied. */
  isHeld: () => boolean
  /** With `isRight`: only if that says so of the state that is offered. */
  pullSnapshot: (from: MemberId, isRight?: (offer: CatalogState) => Promise<boolean>) => Promise<void>
  /** The store failed in a way that this node can't go on from. */
  fatal: (error: unknown) => void
}

export class CatalogFeed {
  readonly #options: CatalogFeedOptions
  readonly audit: CatalogAudit
  readonly handlers
  readonly #listeners: ((state: CatalogState) => void)[] = []
  readonly #heardDigests = new Map<CatalogVersion, Digest>()
  readonly #waiters = new Set<{ version: CatalogVersion; reached: () => void }>()
  #state: CatalogState
  #highestHeard: CatalogVersion
  #pulling = false
  #pullTimer: CancelTimer | null = null
  #stopped = false

  constructor(options: CatalogFeedOptions) {
    this.#options = options
    this.#state = options.shop.read.catalog()
    this.#highestHeard = this.#state.version
    this.audit = new CatalogAudit({
      ...options,
      state: () => this.#state,
      source: () => this.#source('same'),
      halt: (reason, repair) => options.consensus().haltDiverged(reason, repair),
    })
    this.handlers = { ...this.#handlers, ...this.audit.handlers }
  }

  start(): void {
    this.audit.start()
  }

  stop(): void {
    this.#stopped = true
    this.audit.stop()
    this.#pullTimer?.()
  }

  /** The own version and digest; a memory copy of what is in shop.db. */
  state(): CatalogState {
    return this.#state
  }

  highestHeard(): CatalogVersion {
    return this.#highestHeard
  }

  onVersion(listener: (state: CatalogState) => void): void {
    this.#listeners.push(listener)
  }

  /** Calls `reached` once when the own version is at least `version`; returns how to stop waiting. */
  whenReached(version: CatalogVersion, reached: () => void): () => void {
    const waiter = { version, reached }
    this.#waiters.add(waiter)
    return () => {
      this.#waiters.delete(waiter)
    }
  }

  /** After applying, or after a snapshot replaced the tables. */
  refresh(): void {
    const state = this.#options.shop.read.catalog()
    if (state.version === this.#state.version && state.digest === this.#state.digest) return
    this.#state = state
    this.#highestHeard = Math.max(this.#highestHeard, state.version)
    for (const listener of this.#listeners) listener(state)
    for (const waiter of this.#waiters) {
      if (waiter.version > state.version) continue
      this.#waiters.delete(waiter)
      waiter.reached()
    }
  }

  /** What the log brought: the primary broadcasts it, everybody compares it with what was broadcast. */
  applied(batch: readonly Applied[]): void {
    let changed = false
    for (const { outcome } of batch) {
      const record = outcome?.version ?? null
      if (record === null) continue
      changed = true
      this.#options.counters.add('catalog_versions_applied_total')
      this.#compare(record.version, record.digest)
      if (this.#options.isPrimary()) {
        this.#options.counters.add('catalog_broadcasts_total')
        this.#options.transport.publish('catalog', record)
      }
    }
    if (changed) this.refresh()
  }

  #compare(version: CatalogVersion, digest: Digest): void {
    const heard = this.#heardDigests.get(version)
    this.#heardDigests.delete(version)
    if (heard !== undefined && heard !== digest) this.#diverged(version, 'a broadcast')
  }

  #diverged(version: CatalogVersion, against: string): void {
    this.#options.counters.add('catalog_divergences_total')
    this.#options.logger.error({ version, against }, 'the catalog digest does not agree')
  }

  /** A broadcast version. The verdict is for gossipsub: an honest forwarder is never punished. */
  heard(record: CatalogVersionRecord, from: MemberId): GossipVerdict {
    const { members } = this.#options
    if (members.isRemoved(from)) return 'reject'
    if (members.get(from) === null) return 'ignore'
    this.#highestHeard = Math.max(this.#highestHeard, record.version)
    const feed = this.#options.followsLog() ? 'log' : 'broadcast'
    const decision = decideFeed({ own: this.#state, feed, record })
    switch (decision) {
      case 'apply':
        return !this.#options.isHeld() && this.#apply(record) ? 'accept' : 'ignore'
      case 'agrees':
        return 'accept'
      case 'stale':
        return 'ignore'
      case 'gap':
        return this.#gap(record, feed)
      case 'diverged':
        this.#diverged(record.version, `a broadcast from ${from}`)
        if (feed === 'broadcast') this.audit.suspect()
        return 'ignore'
    }
  }

  #gap(record: CatalogVersionRecord, feed: 'log' | 'broadcast'): GossipVerdict {
    if (feed === 'broadcast') {
      this.#pullSoon(0)
      return 'ignore'
    }
    // The log brings it; what was broadcast is compared then. Forwarding helps those who wait for it.
    this.#heardDigests.set(record.version, record.digest)
    if (this.#heardDigests.size > heardDigestsMax) {
      const oldest = this.#heardDigests.keys().next().value
      if (oldest !== undefined) this.#heardDigests.delete(oldest)
    }
    return 'accept'
  }

  /** An announcement (lease, presence) of a version that somebody has, and of its digest. */
  noticeVersion(version: CatalogVersion, digest?: string): void {
    this.#highestHeard = Math.max(this.#highestHeard, version)
    if (version === this.#state.version && digest !== undefined && digest !== this.#state.digest)
      this.audit.suspect()
    if (version > this.#state.version && !this.#options.followsLog()) this.#pullSoon(announcedDelayMs)
  }

  #apply(record: CatalogVersionRecord): boolean {
    try {
      this.#options.shop.transaction((tables) => applyVersion(tables, record))
    } catch (error) {
      if (error instanceof CatalogDivergence) {
        this.#diverged(record.version, error.message)
        this.audit.suspect()
      } else if (isFault(error)) {
        // A full disk: nothing was changed, and the next announcement tries again.
        this.#options.logger.error(
          { version: record.version, reason: error.message },
          'a catalog version could not be stored',
        )
      } else {
        this.#options.fatal(error)
      }
      return false
    }
    this.#options.counters.add('catalog_versions_applied_total')
    this.refresh()
    return true
  }

  #pullSoon(delayMs: number): void {
    if (this.#pulling || this.#pullTimer !== null || this.#stopped) return
    this.#pullTimer = this.#options.clock.timer(delayMs, () => {
      this.#pullTimer = null
      this.#pull()
    })
  }

  #pull(): void {
    if (this.#stopped || this.#pulling || this.#options.followsLog()) return
    if (this.#highestHeard <= this.#state.version) return
    const source = this.#options.isHeld() ? null : this.#source()
    if (source === null) {
      this.#pullSoon(pullRetryDelayMs)
      return
    }
    this.#pulling = true
    this.#pullFrom(source)
      .catch((error: unknown) => {
        this.#options.logger.debug(
          { source, reason: String(error) },
          'a catalog pull failed; another member is asked',
        )
      })
      .finally(() => {
        this.#pulling = false
        if (this.#highestHeard > this.#state.version) {
          this.#pullSoon(pullRetryDelayMs * (0.5 + this.#options.random.next()))
        }
      })
  }

  /** Pulls until nothing is missing that `source` has. */
  async #pullFrom(source: MemberId): Promise<void> {
    const { transport, counters } = this.#options
    for (;;) {
      counters.add('catalog_pulls_total')
      const afterVersion = this.#state.version
      const request = { kind: 'catalog-pull', afterVersion, sizeBytesMax: pullSizeBytesMax } as const
      const answer = await transport.request(source, request, { timeoutMs: pullTimeoutMs, lane: 'bulk' })
      if (this.#stopped || this.#options.followsLog() || this.#options.isHeld()) return
      if (answer.tooOld) {
        await this.#options.pullSnapshot(source)
        return
      }
      for (const record of answer.versions) {
        const decision = decideFeed({ own: this.#state, feed: 'broadcast', record })
        if (decision === 'stale') continue
        if (decision === 'diverged') {
          this.#diverged(record.version, `a pull from ${source}`)
          this.audit.suspect()
          return
        }
        if (decision !== 'apply' || !this.#apply(record)) return
      }
      if (this.#state.version === afterVersion || this.#state.version >= answer.version) return
    }
  }

  /** Any live member that has more, or as much; the primary only when nobody else does, to spread the load. */
  #source(wanted: 'more' | 'same' = 'more'): MemberId | null {
    const { members, presence, selfId } = this.#options
    const primary = this.#options.primary()
    const least = this.#state.version + (wanted === 'more' ? 1 : 0)
    const ahead = members
      .list()
      .map((member) => member.id)
      .filter((id) => id !== selfId && presence.alive(id))
      .filter((id) => id === primary || (presence.get(id)?.catalogVersion ?? 0) >= least)
    const others = ahead.filter((id) => id !== primary)
    const candidates = others.length > 0 ? others : ahead
    return candidates[Math.floor(this.#options.random.next() * candidates.length)] ?? null
  }

  readonly #handlers = {
    'catalog-pull': async (
      _from: MemberId,
      request: PeerRequestOf<'catalog-pull'>,
    ): Promise<PeerResponseOf<'catalog-pull'>> => {
      const { version, digest } = this.#state
      const versions = this.#options.shop.versionsAfter(request.afterVersion, request.sizeBytesMax)
      const page = (versions ?? []).slice(0, versionsPerPullMax)
      return { versions: page, version, digest, tooOld: versions === null }
    },
  }
}
