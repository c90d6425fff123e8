/**
 * Are this node's rows what its catalog version says? The digest is recomputed from the rows after each start, every
 * ten minutes, and whenever another node says something else (DESIGN.md section 4). Rows that rotted, or a version that
 * others have differently, are replaced by a copy; until that is there, this node serves what it has and says that it is
 * not ready. A bug must not make all nodes throw their catalogs away at once, so nobody does it on its own word:
 *
 * - It needs two voters (or as many others as there are) that have recomputed theirs and found it sound.
 * - A member on the broadcast takes a copy only of a state that they agree on. A voter halts and takes a full snapshot.
 * - One that was replaced and is wrong again raises an alarm, and an operator must look.
 */
import { RunningDigest, emptyDigest } from '../core/digest.ts'
import { isFault } from '../faults.ts'
import type { CatalogVersion, Digest, MemberId } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { CancelTimer, CatalogState, Clock, Logger, Random, ShopStore, Transport } from '../ports.ts'
import type { Counters } from './counters.ts'

/** After a start: requests come first, and nodes that start together don't all compute at once. */
const firstDelayMs = 1_000
/** A disk rots over days; recomputing 100,000 products takes half a second of a core. */
const intervalMs = 10 * 60_000
/** Rows hashed in one turn of the event loop: a few milliseconds. */
const sliceRows = 500
/** Nobody makes this node recompute more often by saying something else. */
const suspicionPauseMs = 10_000
/** A voter that is asked looks anew when it last did so longer ago: what all have at once must not pass for sound. */
const freshMs = 10_000
/** Before voters have said what they have, or a copy came: tried again, twice as late each time. */
const retryDelayMinMs = 1_000
const retryDelayMaxMs = 60_000
/** Wrong again so soon after a copy was installed: it has a cause that copies don't mend. */
const repairMemoryMs = 30 * 60_000
const askTimeoutMs = 2_000
/** Voters that must agree. One alone may be the one that is wrong. */
const agreeingMin = 2

type Opinion = { readonly digest: Digest | null; readonly isSound: boolean }

export type CatalogAuditOptions = {
  selfId: MemberId
  clock: Clock
  random: Random
  logger: Logger
  transport: Transport
  shop: ShopStore
  counters: Counters
  voters: () => readonly MemberId[]
  followsLog: () => boolean
  /** This node's version and digest, as it tells others. */
  state: () => CatalogState
  /** Whom to take a copy from. */
  source: () => MemberId | null
  /** Takes a copy, if `isRight` says so of the state that is offered. */
  pullSnapshot: (from: MemberId, isRight: (offer: CatalogState) => Promise<boolean>) => Promise<void>
  /** A voter's way: it applies nothing more until it has a full snapshot. */
  halt: (reason: string, options: { repair: boolean }) => void
  fatal: (error: unknown) => void
}

export class CatalogAudit {
  readonly #options: CatalogAuditOptions
  #cancel: CancelTimer | null = null
  #isRunning = false
  #isStopped = false
  /** The rows are what the version says, as far as this life has looked. */
  #isSound = false
  /** Others have said something else since the last audit. */
  #isSuspected = false
  #endedAtMs = Number.NEGATIVE_INFINITY
  #repairedAtMs = Number.NEGATIVE_INFINITY
  #retryDelayMs = retryDelayMinMs
  #problem: string | null = null
  #hasAlarm = false

  constructor(options: CatalogAuditOptions) {
    this.#options = options
  }

  start(): void {
    this.#later(firstDelayMs * (1 + this.#options.random.next()))
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel?.()
  }

  /** Why the own catalog is not to be relied on; null: as far as is known, it is right. */
  problem(): string | null {
    return this.#problem
  }

  /** Another node has something else under a version that this one has. */
  suspect(): void {
    if (this.#hasAlarm || this.#isSuspected) return
    this.#isSuspected = true
    if (!this.#isRunning && this.#problem === null) {
      const sinceMs = this.#options.clock.monotonicMs() - this.#endedAtMs
      this.#later(Math.max(0, suspicionPauseMs - sinceMs))
    }
  }

  #later(delayMs: number): void {
    this.#cancel?.()
    if (this.#isStopped || this.#hasAlarm) return
    this.#cancel = this.#options.clock.timer(delayMs, () => {
      this.#cancel = null
      this.#run().catch(this.#options.fatal)
    })
  }

  async #run(): Promise<void> {
    if (this.#isRunning || this.#isStopped) return
    this.#isRunning = true
    const wasSuspected = this.#isSuspected
    try {
      const rows = await this.#digestOfRows()
      if (this.#isStopped) return
      this.#isSuspected = false
      await this.#judge(rows, wasSuspected)
    } finally {
      this.#isRunning = false
      this.#endedAtMs = this.#options.clock.monotonicMs()
      if (this.#cancel === null) this.#later(this.#isSuspected ? suspicionPauseMs : intervalMs)
    }
  }

  /** In slices between other work; larger ones when the catalog changed meanwhile, so that it comes to an end. */
  async #digestOfRows(): Promise<Digest> {
    const { shop, clock, state } = this.#options
    for (let rows = sliceRows; ; rows *= 2) {
      const { version, digest: claimed } = state()
      const digest = new RunningDigest()
      let count = 0
      let isSame = true
      for (const text of shop.allProducts()) {
        digest.add(text)
        count += 1
        if (count % rows > 0) continue
        await new Promise<void>((resolve) => clock.timer(0, resolve))
        isSame = state().version === version && state().digest === claimed
        if (!isSame || this.#isStopped) break
      }
      if (isSame || this.#isStopped) return digest.toDigest()
    }
  }

  async #judge(rows: Digest, wasSuspected: boolean): Promise<void> {
    const { state, followsLog, logger, counters } = this.#options
    const { version, digest } = state()
    const isIntact = rows === digest
    this.#isSound = isIntact
    // What voters claim is compared in the log (state-checks.ts).
    if (isIntact && (followsLog() || (!wasSuspected && this.#problem === null))) return this.#isWell()
    if (!isIntact && this.#problem === null) {
      counters.add('catalog_divergences_total')
      this.#problem = `the products at catalog version ${version} are not those of its digest`
      logger.error({ version, digest, rows }, this.#problem)
    }
    const agreed = await this.#agreedDigest(version)
    if (this.#isStopped || state().version !== version) return this.#retry()
    if (agreed === null) {
      logger.warn({ version }, 'not enough voters have said that theirs is sound; the catalog stays as it is')
      return this.#retry()
    }
    if (isIntact && agreed === digest) return this.#isWell()
    if (!followsLog() && isIntact)
      this.#problem = `catalog version ${version} differs from that of the voters`
    // Voters that have not even the same version's digest are for state-checks.ts to tell apart.
    if (followsLog() && agreed !== digest) return this.#retry()
    await this.#repair()
  }

  #isWell(): void {
    if (this.#problem !== null) this.#options.logger.info({}, 'the catalog is sound again')
    this.#problem = null
    this.#retryDelayMs = retryDelayMinMs
  }

  #retry(): void {
    this.#later(this.#retryDelayMs * (0.5 + this.#options.random.next()))
    this.#retryDelayMs = Math.min(this.#retryDelayMs * 2, retryDelayMaxMs)
  }

  async #repair(): Promise<void> {
    const { clock, logger, counters, followsLog, halt } = this.#options
    const nowMs = clock.monotonicMs()
    const reason = this.#problem ?? 'the catalog is wrong'
    const isAgain = nowMs - this.#repairedAtMs < repairMemoryMs
    if (isAgain) {
      this.#hasAlarm = true
      counters.add('catalog_alarms_total')
      this.#problem = `${reason}; it was replaced before and is wrong again; a restart tries once more`
      logger.error({ alarm: true }, this.#problem)
      if (followsLog()) halt(this.#problem, { repair: false })
      return
    }
    if (followsLog()) {
      this.#repairedAtMs = nowMs
      counters.add('catalog_repairs_total')
      halt(`${reason}; a snapshot replaces them`, { repair: true })
      // The full snapshot is looked at as well.
      this.#retry()
      return
    }
    await this.#takeCopy(reason)
  }

  async #takeCopy(reason: string): Promise<void> {
    const { clock, logger, counters, source, pullSnapshot } = this.#options
    const from = source()
    if (from === null) return this.#retry()
    logger.warn({ from }, `${reason}; a copy from another member replaces them`)
    try {
      await pullSnapshot(from, async ({ version, digest }) => (await this.#agreedDigest(version)) === digest)
    } catch (error) {
      if (!isFault(error)) throw error
      logger.warn({ from, reason: error.message }, 'the catalog could not be replaced yet')
      return this.#retry()
    }
    this.#repairedAtMs = clock.monotonicMs()
    counters.add('catalog_repairs_total')
    // What came is looked at like what was there.
    this.#later(0)
  }

  /** What enough voters have at that version and found sound; null when they can't say, or differ. */
  async #agreedDigest(version: CatalogVersion): Promise<Digest | null> {
    const { selfId, voters } = this.#options
    const others = voters().filter((id) => id !== selfId)
    const opinions = await Promise.all(others.map((voter) => this.#ask(voter, version)))
    const digests = opinions.flatMap(({ digest, isSound }) => (isSound && digest !== null ? [digest] : []))
    const [first] = digests
    const isAgreed = digests.length >= Math.min(agreeingMin, others.length)
    return first !== undefined && isAgreed && digests.every((digest) => digest === first) ? first : null
  }

  async #ask(voter: MemberId, version: CatalogVersion): Promise<Opinion> {
    const { transport, logger } = this.#options
    try {
      return await transport.request(voter, { kind: 'catalog-digest', version }, { timeoutMs: askTimeoutMs })
    } catch (error) {
      logger.debug({ voter, reason: String(error) }, 'a voter did not say what its catalog is')
      return { digest: null, isSound: false }
    }
  }

  readonly handlers = {
    'catalog-digest': async (
      _from: MemberId,
      { version }: PeerRequestOf<'catalog-digest'>,
    ): Promise<PeerResponseOf<'catalog-digest'>> => ({
      digest: this.#digestAt(version),
      isSound: this.#isFresh() && this.#isSound && this.#problem === null,
    }),
  }

  /** Otherwise it soon is, and who asked asks again. */
  #isFresh(): boolean {
    if (this.#options.clock.monotonicMs() - this.#endedAtMs < freshMs) return true
    if (!this.#isRunning && this.#problem === null) this.#later(0)
    return false
  }

  #digestAt(version: CatalogVersion): Digest | null {
    const own = this.#options.state()
    if (version === own.version) return own.digest
    if (version > own.version) return null
    if (version === 0) return emptyDigest
    const [record] = this.#options.shop.versionsAfter(version - 1, 1) ?? []
    return record?.version === version ? record.digest : null
  }
}
