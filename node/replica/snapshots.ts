/**
 * Copies of `shop.db` on their way between nodes. Full ones go from the primary to voters and learners, catalog
 * ones (catalog and members only) to everybody else. The receiver reads chunks; nothing is visible before it has
 * all of them (DESIGN.md sections 3 and 4; dissertation, section 5).
 */
import { Fault } from '../faults.ts'
import type { MemberId } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { CancelTimer, Clock, Logger, Random, ShopStore, SnapshotSource, Transport } from '../ports.ts'
import type { Counters } from './counters.ts'

/** Snapshots held open for readers at once: each is a file of the size of the catalog. */
const sourcesMax = 8
/** An opened snapshot that nobody reads is dropped after this; a reader asks again far sooner. */
const sourceIdleMs = 30_000
const chunkSizeBytes = 512 * 1024
const chunkTimeoutMs = 5_000
/** A chunk that did not arrive is asked for again so often before the transfer is given up. */
const chunkAttemptsMax = 4
/** The whole transfer of a full snapshot: 100,000 products are some 200 MB. */
const takeTimeoutMs = 60_000

type Held = { source: SnapshotSource; reader: MemberId; cancel: CancelTimer }

export type SnapshotsOptions = {
  clock: Clock
  random: Random
  logger: Logger
  transport: Transport
  shop: ShopStore
  counters: Counters
  /** A full snapshot was swapped in: the log and everything read from shop.db start anew. */
  installed: (kind: 'full' | 'catalog') => void
  /** Only the primary this node knows may send it a full snapshot. */
  isPrimary: (member: MemberId) => boolean
}

export class Snapshots {
  readonly #options: SnapshotsOptions
  readonly #held = new Map<string, Held>()
  #receiving = false
  #stopped = false

  constructor(options: SnapshotsOptions) {
    this.#options = options
  }

  stop(): void {
    this.#stopped = true
    for (const id of this.#held.keys()) this.#drop(id)
  }

  /** Primary: hands a member a full snapshot. Resolves with the log index it covers. */
  async send(to: MemberId): Promise<number> {
    const { id, source } = await this.#open('full', to)
    const { index, term, config } = source.applied
    try {
      const request: PeerRequestOf<'snapshot-take'> = {
        kind: 'snapshot-take',
        snapshot: id,
        index,
        term,
        config: { voters: [...config.voters], learners: [...config.learners] },
        sizeBytes: source.sizeBytes,
      }
      await this.#options.transport.request(to, request, { timeoutMs: takeTimeoutMs, lane: 'bulk' })
      this.#options.counters.add('snapshots_sent_total')
      return index
    } finally {
      this.#drop(id)
    }
  }

  /** Pulls catalog and members from a peer and swaps them in. */
  async pullCatalog(from: MemberId): Promise<void> {
    const { transport } = this.#options
    const offer = await transport.request(
      from,
      { kind: 'snapshot-open' },
      { timeoutMs: chunkTimeoutMs, lane: 'bulk' },
    )
    await this.#receive('catalog', from, offer.snapshot, offer.sizeBytes)
  }

  async #open(kind: 'full' | 'catalog', reader: MemberId): Promise<{ id: string; source: SnapshotSource }> {
    for (const [id, held] of this.#held) if (held.reader === reader) this.#drop(id)
    if (this.#held.size >= sourcesMax) {
      throw new Fault('overloaded', 'too many snapshots are being read here', {}, { retryAfterSeconds: 2 })
    }
    const id = Buffer.from(this.#options.random.bytes(12)).toString('hex')
    const source = await this.#options.shop.snapshot(kind)
    if (this.#stopped) {
      await source.close()
      throw new Fault('internal', 'this node is stopping')
    }
    this.#held.set(id, { source, reader, cancel: this.#expire(id) })
    return { id, source }
  }

  #expire(id: string): CancelTimer {
    return this.#options.clock.timer(sourceIdleMs, () => this.#drop(id))
  }

  #drop(id: string): void {
    const held = this.#held.get(id)
    if (held === undefined) return
    this.#held.delete(id)
    held.cancel()
    held.source.close().catch((error: unknown) => {
      this.#options.logger.warn(
        { reason: String(error) },
        'a snapshot could not be removed; the next start does',
      )
    })
  }

  async #receive(
    kind: 'full' | 'catalog',
    from: MemberId,
    snapshot: string,
    sizeBytes: number,
  ): Promise<void> {
    if (this.#receiving)
      throw new Fault('overloaded', 'a snapshot is being received already', {}, { retryAfterSeconds: 1 })
    this.#receiving = true
    const sink = this.#options.shop.receive(kind)
    try {
      for (let offset = 0; offset < sizeBytes;) {
        const bytes = await this.#chunk(from, snapshot, offset)
        if (bytes.length === 0) throw new Fault('internal', 'the snapshot ended early')
        if (this.#stopped) throw new Fault('internal', 'this node is stopping')
        await sink.write(bytes)
        offset += bytes.length
      }
      await sink.install()
    } catch (error) {
      await sink.abandon()
      throw error
    } finally {
      this.#receiving = false
    }
    this.#options.counters.add('snapshots_installed_total')
    this.#options.logger.info({ kind, from, sizeBytes }, 'installed a snapshot')
    this.#options.installed(kind)
  }

  async #chunk(from: MemberId, snapshot: string, offset: number): Promise<Uint8Array> {
    const request = { kind: 'snapshot-read', snapshot, offset, sizeBytesMax: chunkSizeBytes } as const
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { bytes } = await this.#options.transport.request(from, request, {
          timeoutMs: chunkTimeoutMs,
          lane: 'bulk',
        })
        return Buffer.from(bytes, 'base64')
      } catch (error) {
        if (attempt >= chunkAttemptsMax) throw error
        this.#options.logger.debug(
          { from, offset, reason: String(error) },
          'a snapshot chunk is asked for again',
        )
      }
    }
  }

  readonly handlers = {
    'snapshot-open': async (from: MemberId): Promise<PeerResponseOf<'snapshot-open'>> => {
      const { id, source } = await this.#open('catalog', from)
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
      request: PeerRequestOf<'snapshot-read'>,
    ): Promise<PeerResponseOf<'snapshot-read'>> => {
      const held = this.#held.get(request.snapshot)
      // A full snapshot holds accounts and orders: only the one it was opened for may read it.
      if (held === undefined || held.reader !== from)
        throw new Fault('not-found', 'no such snapshot is open for you')
      held.cancel()
      held.cancel = this.#expire(request.snapshot)
      const bytes = await held.source.read(request.offset, request.sizeBytesMax)
      return { bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64') }
    },
    'snapshot-take': async (
      from: MemberId,
      request: PeerRequestOf<'snapshot-take'>,
    ): Promise<PeerResponseOf<'snapshot-take'>> => {
      if (!this.#options.isPrimary(from))
        throw new Fault('forbidden', 'only the primary sends full snapshots')
      const { shop } = this.#options
      const isWanted = shop.feed() === 'broadcast' || shop.diverged() !== null
      if (isWanted || request.index > shop.applied().index) {
        await this.#receive('full', from, request.snapshot, request.sizeBytes)
      }
      return { installed: true }
    },
  }
}
