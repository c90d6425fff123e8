/**
 * Copies of `shop.db` that this node has made for others to read. One copy serves all who ask within a while; what
 * follows it (log entries, catalog versions) is kept for as long as somebody reads, so that no reader ends up with a
 * copy that nothing can follow (DESIGN.md section 4: the sender pins the feed).
 */
import { Fault } from '../faults.ts'
import type { CatalogVersion, LogIndex, MemberId } from '../ids.ts'
import type { CancelTimer, Clock, Logger, Random, ShopStore, SnapshotSource } from '../ports.ts'

type Kind = 'full' | 'catalog'

/** Copies held at once: each is a file of a fifth of the catalog's size. */
const copiesMax = 4
/** Readers at once, over all copies. Each takes one chunk at a time, so they share the lane fairly. */
const readersMax = 64
/** A copy is given to others who ask so soon after it was made: what they miss by it they get in one pull. */
const shareableMs = 10_000
/** A reader that asks for nothing so long is gone. Until then it may come back after a lost connection. */
const readerIdleMs = 30_000

type Copy = {
  readonly kind: Kind
  readonly making: Promise<SnapshotSource>
  readonly madeAtMs: number
  source: SnapshotSource | null
  readers: number
  /** A reader found it wrong or too old: nobody else gets it. */
  isStale: boolean
}
type Reader = { readonly id: string; readonly member: MemberId; readonly copy: Copy; cancel: CancelTimer }
export type OpenedCopy = { readonly id: string; readonly source: SnapshotSource }

export type SnapshotShelfOptions = {
  clock: Clock
  random: Random
  logger: Logger
  shop: ShopStore
}

export class SnapshotShelf {
  readonly #options: SnapshotShelfOptions
  readonly #copies = new Set<Copy>()
  readonly #readers = new Map<string, Reader>()
  #stopped = false

  constructor(options: SnapshotShelfOptions) {
    this.#options = options
  }

  stop(): void {
    this.#stopped = true
    for (const id of this.#readers.keys()) this.close(id)
  }

  /** The oldest log index that a reader of a full copy must be able to go on from. */
  pinnedIndex(): LogIndex | null {
    const indexes = [...this.#copies].flatMap(({ kind, source }) =>
      kind === 'full' && source !== null ? [source.applied.index] : [],
    )
    return indexes.length === 0 ? null : Math.min(...indexes)
  }

  /** The oldest catalog version that a reader must be able to go on from. */
  pinnedVersion(): CatalogVersion | null {
    const versions = [...this.#copies].flatMap(({ source }) =>
      source === null ? [] : [source.catalog.version],
    )
    return versions.length === 0 ? null : Math.min(...versions)
  }

  /**
   * A copy that was made a moment ago, else a new one. The reader of a full one that asks again goes on with what it
   * has: what follows that is kept, however long the transfer takes. The reader of a catalog begins anew.
   */
  async open(kind: Kind, member: MemberId): Promise<OpenedCopy> {
    const known = [...this.#readers.values()].find(
      (reader) => reader.member === member && reader.copy.kind === kind,
    )
    if (known !== undefined) {
      if (kind === 'full') return { id: known.id, source: await known.copy.making }
      this.close(known.id)
    }
    if (this.#readers.size >= readersMax) throw tooMany()
    const copy = this.#shareable(kind) ?? this.#make(kind)
    const id = Buffer.from(this.#options.random.bytes(12)).toString('hex')
    copy.readers += 1
    this.#readers.set(id, { id, member, copy, cancel: this.#expiry(id) })
    try {
      return { id, source: await copy.making }
    } catch (error) {
      this.close(id)
      throw error
    }
  }

  /** Fault `not-found` for everybody but the member it was opened for: a full copy holds accounts and orders. */
  async read(member: MemberId, id: string, offset: number, sizeBytesMax: number): Promise<Uint8Array> {
    const reader = this.#readers.get(id)
    if (reader === undefined || reader.member !== member)
      throw new Fault('not-found', 'no such snapshot is open for you')
    reader.cancel()
    reader.cancel = this.#expiry(id)
    const source = await reader.copy.making
    return await source.read(offset, sizeBytesMax)
  }

  /** The reader is done. */
  close(id: string): void {
    const reader = this.#readers.get(id)
    if (reader === undefined) return
    this.#readers.delete(id)
    reader.cancel()
    reader.copy.readers -= 1
    this.#discardUnread(reader.copy)
  }

  /** As `close`; and whoever asks next gets a newer copy. */
  refused(id: string): void {
    const copy = this.#readers.get(id)?.copy
    if (copy !== undefined) copy.isStale = true
    this.close(id)
  }

  #shareable(kind: Kind): Copy | undefined {
    const nowMs = this.#options.clock.monotonicMs()
    return [...this.#copies].find(
      (copy) => copy.kind === kind && !copy.isStale && nowMs - copy.madeAtMs < shareableMs,
    )
  }

  #make(kind: Kind): Copy {
    if (this.#copies.size >= copiesMax) throw tooMany()
    const copy: Copy = {
      kind,
      making: this.#options.shop.snapshot(kind),
      madeAtMs: this.#options.clock.monotonicMs(),
      source: null,
      readers: 0,
      isStale: false,
    }
    this.#copies.add(copy)
    copy.making.then(
      (source) => {
        copy.source = source
        this.#discardUnread(copy)
      },
      () => this.#copies.delete(copy),
    )
    return copy
  }

  #discardUnread(copy: Copy): void {
    if (copy.readers > 0 || copy.source === null || !this.#copies.delete(copy)) return
    copy.source.close().catch((error: unknown) => {
      this.#options.logger.warn(
        { reason: String(error) },
        'the file of a snapshot could not be removed; the next start removes it',
      )
    })
  }

  #expiry(id: string): CancelTimer {
    if (this.#stopped) throw new Fault('internal', 'this node is stopping')
    return this.#options.clock.timer(readerIdleMs, () => this.close(id))
  }
}

function tooMany(): Fault {
  return new Fault('overloaded', 'too many snapshots are being read here', {}, { retryAfterSeconds: 2 })
}
