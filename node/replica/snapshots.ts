/**
 * Copies of `shop.db` on their way between nodes. Full ones go from the primary to voters and learners, catalog
 * ones (catalog and members only) from any member to everybody else. The receiver reads chunks at its own pace on the
 * bulk lane, goes on where it was after a lost connection, and nothing is visible before it has all of them
 * (DESIGN.md sections 3 and 4; dissertation, section 5).
 */
import { Fault, isFault } from '../faults.ts'
import type { MemberId } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { CatalogState, Clock, Logger, Random, ShopStore, SnapshotSink, Transport } from '../ports.ts'
import type { Bounds } from './context.ts'
import type { Counters } from './counters.ts'
import { SnapshotShelf } from './snapshot-shelf.ts'

const chunkTimeoutMs = 5_000
/** Making a copy of 100,000 products takes some seconds on a busy machine, and the answer waits for it. */
const openTimeoutMs = 30_000
/** A transfer without progress for so long is given up; the sender forgets its reader a little later. */
const patienceMs = 20_000
const retryDelayMs = 250
/** The primary asks again when it heard nothing: the member says the same to both, and a lost question costs little. */
const takeAskedAgainMs = 10_000
/** Then it asks how far its member is; the transfer itself goes on meanwhile. */
const takeTimeoutMs = 60_000
/**
 * The primary asks again after a second, and a copy of a large catalog takes it some more to make. Not longer, as this node
 * serves an old catalog meanwhile.
 */
const heldForMs = 10_000

type Receiving = {
  readonly kind: 'full' | 'catalog'
  readonly snapshot: string
  readonly ended: Promise<void>
}

export type SnapshotsOptions = {
  clock: Clock
  random: Random
  logger: Logger
  transport: Transport
  shop: ShopStore
  counters: Counters
  bounds: Bounds
  /** A snapshot was swapped in, this very turn: the log and everything read from shop.db start anew. */
  installed: (kind: 'full' | 'catalog') => void
  /** Only the primary this node knows may send it a full snapshot. */
  isPrimary: (member: MemberId) => boolean
  /** The store failed in a way that this node can't go on from. */
  fatal: (error: unknown) => void
}

export class Snapshots {
  readonly #options: SnapshotsOptions
  readonly shelf: SnapshotShelf
  #receiving: Receiving | null = null
  #held: { readonly by: MemberId; readonly untilMs: number } | null = null
  #stopped = false

  constructor(options: SnapshotsOptions) {
    this.#options = options
    this.shelf = new SnapshotShelf(options)
    options.shop.keepVersionsAfter(() => this.shelf.pinnedVersion())
  }

  stop(): void {
    this.#stopped = true
    this.shelf.stop()
  }

  /** Primary: hands a member a full snapshot. Resolves with the log index it covers. */
  async send(to: MemberId): Promise<number> {
    const { id, source } = await this.shelf.open('full', to)
    const { index, term, config } = source.applied
    const request: PeerRequestOf<'snapshot-take'> = {
      kind: 'snapshot-take',
      snapshot: id,
      index,
      term,
      config: { voters: [...config.voters], learners: [...config.learners] },
      catalogVersion: source.catalog.version,
      sizeBytes: source.sizeBytes,
    }
    try {
      await this.#askToTake(to, request)
    } catch (error) {
      // Without an answer the member may be reading on, or come back: the copy stays open until it is idle.
      if (isFault(error) && error.code === 'conflict') this.shelf.refused(id)
      throw error
    }
    this.shelf.close(id)
    this.#options.counters.add('snapshots_sent_total')
    return index
  }

  async #askToTake(to: MemberId, request: PeerRequestOf<'snapshot-take'>): Promise<void> {
    const { transport, clock } = this.#options
    const untilMs = clock.monotonicMs() + takeTimeoutMs
    for (;;) {
      const askedAtMs = clock.monotonicMs()
      try {
        await transport.request(to, request, { timeoutMs: takeAskedAgainMs, lane: 'bulk' })
        return
      } catch (error) {
        const nowMs = clock.monotonicMs()
        const wasSilent = nowMs - askedAtMs >= takeAskedAgainMs
        if (!isFault(error) || !wasSilent || this.#stopped || nowMs >= untilMs) throw error
      }
    }
  }

  /**
   * The catalog must not go on by the broadcast meanwhile: a full copy is of an earlier moment, no node's catalog goes
   * back, and under steady changes every copy would come too late.
   */
  holdsCatalog(): boolean {
    if (this.#held !== null) {
      const isOver = this.#options.clock.monotonicMs() >= this.#held.untilMs
      if (isOver || !this.#options.isPrimary(this.#held.by)) this.#held = null
    }
    return this.#held !== null || this.#receiving?.kind === 'full'
  }

  /** Pulls catalog and members from a peer and swaps them in, if `isRight` says so of the state that is offered. */
  async pullCatalog(
    from: MemberId,
    isRight: (offer: CatalogState) => Promise<boolean> = async () => true,
  ): Promise<void> {
    if (this.#receiving !== null || this.holdsCatalog()) throw busy()
    const { transport } = this.#options
    const offer = await transport.request(
      from,
      { kind: 'snapshot-open' },
      { timeoutMs: openTimeoutMs, lane: 'bulk' },
    )
    const own = this.#options.shop.read.catalog().version
    if (offer.version < own)
      throw new Fault('conflict', `the copy is of version ${offer.version}, older than ${own} here`)
    if (!(await isRight(offer)))
      throw new Fault('conflict', `the copy of version ${offer.version} is not what the voters have`)
    await this.#receive('catalog', from, offer.snapshot, offer.sizeBytes)
  }

  /** One at a time; the same one asked for again is waited for. */
  #receive(kind: 'full' | 'catalog', from: MemberId, snapshot: string, sizeBytes: number): Promise<void> {
    if (this.#receiving?.snapshot === snapshot) return this.#receiving.ended
    if (this.#receiving !== null) return Promise.reject(busy())
    const ended = this.#transfer(kind, from, snapshot, sizeBytes).finally(() => {
      this.#receiving = null
    })
    this.#receiving = { kind, snapshot, ended }
    return ended
  }

  async #transfer(
    kind: 'full' | 'catalog',
    from: MemberId,
    snapshot: string,
    sizeBytes: number,
  ): Promise<void> {
    const { shop, clock, counters, logger } = this.#options
    const startedMs = clock.monotonicMs()
    const sink = shop.receive(kind)
    try {
      await this.#fill(sink, from, snapshot, sizeBytes)
      const arrivedMs = clock.monotonicMs()
      await sink.install(() => {
        counters.add('snapshots_installed_total')
        const tookMs = Math.round(clock.monotonicMs() - startedMs)
        const checkedMs = Math.round(clock.monotonicMs() - arrivedMs)
        logger.info({ kind, from, sizeBytes, tookMs, checkedMs }, 'installed a snapshot')
        this.#options.installed(kind)
      })
    } catch (error) {
      if (!isFault(error) && !this.#stopped) this.#options.fatal(error)
      await sink.abandon()
      throw error
    }
  }

  async #fill(sink: SnapshotSink, from: MemberId, snapshot: string, sizeBytes: number): Promise<void> {
    for (let offset = 0; offset < sizeBytes;) {
      const bytes = await this.#chunk(from, snapshot, offset)
      if (bytes.length === 0) throw new Fault('internal', 'the snapshot ended early')
      await sink.write(bytes)
      offset += bytes.length
    }
  }

  /** The bytes at `offset`, asked for again for as long as the sender may come back. */
  async #chunk(from: MemberId, snapshot: string, offset: number): Promise<Uint8Array> {
    const { clock, transport, logger, random } = this.#options
    const request = {
      kind: 'snapshot-read',
      snapshot,
      offset,
      sizeBytesMax: this.#options.bounds.snapshotChunkSizeBytes,
    } as const
    const untilMs = clock.monotonicMs() + patienceMs
    for (;;) {
      if (this.#stopped) throw new Fault('internal', 'this node is stopping')
      try {
        const { bytes } = await transport.request(from, request, { timeoutMs: chunkTimeoutMs, lane: 'bulk' })
        return Buffer.from(bytes, 'base64')
      } catch (error) {
        const isForgotten = isFault(error) && error.code === 'not-found'
        if (isForgotten || clock.monotonicMs() > untilMs) throw error
        logger.debug({ from, offset, reason: String(error) }, 'a snapshot chunk is asked for again')
      }
      await new Promise<void>((resolve) => {
        clock.timer(retryDelayMs * (0.5 + random.next()), resolve)
      })
    }
  }

  /** A catalog copy that is on its way is let through first: a full one that is not older may follow it. */
  async #take(from: MemberId, request: PeerRequestOf<'snapshot-take'>): Promise<void> {
    const { shop } = this.#options
    const isNeeded = (): boolean =>
      request.index > shop.applied().index || shop.feed() === 'broadcast' || shop.diverged() !== null
    this.#hold(from)
    while (this.#receiving !== null && this.#receiving.snapshot !== request.snapshot)
      await this.#receiving.ended.catch(() => undefined)
    if (!isNeeded()) {
      this.#held = null
      return
    }
    const own = shop.read.catalog().version
    if (request.catalogVersion < own)
      throw new Fault(
        'conflict',
        `the copy is of catalog version ${request.catalogVersion}, older than ${own} here, which waits for the next`,
      )
    await this.#receive('full', from, request.snapshot, request.sizeBytes)
    this.#held = null
  }

  #hold(by: MemberId): void {
    this.#held = { by, untilMs: this.#options.clock.monotonicMs() + heldForMs }
  }

  readonly handlers = {
    'snapshot-open': async (from: MemberId): Promise<PeerResponseOf<'snapshot-open'>> => {
      const { id, source } = await this.shelf.open('catalog', from)
      const { version, digest } = source.catalog
      return {
        snapshot: id,
        sizeBytes: source.sizeBytes,
        version,
        digest,
        membersVersion: source.membersVersion,
      }
    },
    'snapshot-read': async (
      from: MemberId,
      { snapshot, offset, sizeBytesMax }: PeerRequestOf<'snapshot-read'>,
    ): Promise<PeerResponseOf<'snapshot-read'>> => {
      const bytes = await this.shelf.read(from, snapshot, offset, sizeBytesMax)
      return { bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64') }
    },
    'snapshot-take': async (
      from: MemberId,
      request: PeerRequestOf<'snapshot-take'>,
    ): Promise<PeerResponseOf<'snapshot-take'>> => {
      if (!this.#options.isPrimary(from))
        throw new Fault('forbidden', 'only the primary sends full snapshots')
      await this.#take(from, request)
      return { installed: true }
    },
  }
}

function busy(): Fault {
  return new Fault('overloaded', 'a snapshot is being received already', {}, { retryAfterSeconds: 1 })
}
