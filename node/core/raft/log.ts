/**
 * The log as the core sees it: what is on disk (through the LogReader) and, before and beside that, the
 * newest entries in memory (etcd-io/raft, `log_unstable.go`). Entries that the disk has confirmed stay
 * for a while, so that replication to healthy members never reads the disk.
 */
import { assert } from '../../faults.ts'
import type { LogIndex, Term } from '../../ids.ts'
import type { LogEntry, LogReader } from './types.ts'

/** Confirmed entries kept in memory: about 100 ms of the fastest stream of commits that we aim at. */
export const tailEntriesMax = 4096
/** The same in bytes: a few catalog batches must not push everything else out, nor fill the memory. */
export const tailBytesMax = 8 * 1024 * 1024
/** Charged for each entry beside its data, so that many empty ones count too. */
const entryOverheadBytes = 48
/** Emptied places at the front of the array are given back in steps of this many. */
const compactionStep = 1024
/** Entries read at once when the log is looked through at the start. */
export const scanBytesMax = 1024 * 1024

/** Near enough for bounds: commands are mostly ASCII. */
export function entrySizeBytes(entry: LogEntry): number {
  return entry.data.length + entryOverheadBytes
}

export class RaftLog {
  readonly #reader: LogReader
  /** Entries `#tailFirst`… are `#tail[#head]`…; below it the disk is asked, from it on never. */
  #tail: LogEntry[] = []
  #head = 0
  #tailBytes = 0
  #tailFirst: LogIndex
  #lastIndex: LogIndex
  #lastTerm: Term
  #stableIndex: LogIndex

  constructor(reader: LogReader) {
    this.#reader = reader
    this.#lastIndex = reader.lastIndex()
    this.#stableIndex = this.#lastIndex
    this.#tailFirst = this.#lastIndex + 1
    this.#lastTerm = this.#termOnDisk(this.#lastIndex) ?? 0
  }

  get lastIndex(): LogIndex {
    return this.#lastIndex
  }

  get lastTerm(): Term {
    return this.#lastTerm
  }

  /** Entries through this index are on the own disk. */
  get stableIndex(): LogIndex {
    return this.#stableIndex
  }

  get snapshotIndex(): LogIndex {
    return this.#reader.snapshotIndex()
  }

  #termOnDisk(index: LogIndex): Term | undefined {
    if (index === this.#reader.snapshotIndex()) return this.#reader.snapshotTerm()
    return index < this.#reader.snapshotIndex() ? undefined : this.#reader.termAt(index)
  }

  /** undefined when the entry is not held: covered by a snapshot, or beyond the end. */
  termAt(index: LogIndex): Term | undefined {
    if (index > this.#lastIndex || index < 0) return undefined
    if (index === this.#lastIndex) return this.#lastTerm
    if (index >= this.#tailFirst) return this.#tail[this.#head + index - this.#tailFirst]?.term
    return this.#termOnDisk(index)
  }

  /** Raft section 5.4.1: the later term wins; with equal terms the longer log. */
  isUpToDate(lastIndex: LogIndex, lastTerm: Term): boolean {
    return lastTerm > this.#lastTerm || (lastTerm === this.#lastTerm && lastIndex >= this.#lastIndex)
  }

  /** Entries from `from` to `through`, cut off after `sizeBytesMax`, but at least one. */
  entries(from: LogIndex, through: LogIndex, sizeBytesMax: number): readonly LogEntry[] {
    if (from > through) return []
    if (from >= this.#tailFirst) return this.#tailEntries(from, through, sizeBytesMax)
    const onDisk = this.#reader.entries(from, Math.min(through, this.#tailFirst - 1), sizeBytesMax)
    if (through < this.#tailFirst || onDisk.at(-1)?.index !== this.#tailFirst - 1) return onDisk
    const leftBytes = sizeBytesMax - onDisk.reduce((sum, entry) => sum + entrySizeBytes(entry), 0)
    const next = this.#tail[this.#head]
    if (next === undefined || entrySizeBytes(next) > leftBytes) return onDisk
    return [...onDisk, ...this.#tailEntries(this.#tailFirst, through, leftBytes)]
  }

  #tailEntries(from: LogIndex, through: LogIndex, sizeBytesMax: number): readonly LogEntry[] {
    const start = this.#head + from - this.#tailFirst
    let end = start
    let sizeBytes = 0
    while (end - start <= through - from) {
      const entry = this.#tail[end]
      if (entry === undefined) break
      sizeBytes += entrySizeBytes(entry)
      if (end > start && sizeBytes > sizeBytesMax) break
      end += 1
    }
    return this.#tail.slice(start, end)
  }

  append(entry: LogEntry): void {
    assert(entry.index === this.#lastIndex + 1, 'the log has no gaps')
    assert(entry.term >= this.#lastTerm, 'terms never fall along the log')
    this.#tail.push(entry)
    this.#tailBytes += entrySizeBytes(entry)
    this.#lastIndex = entry.index
    this.#lastTerm = entry.term
  }

  /** Deletes the entries from `index` on. The caller has made sure that none of them is committed. */
  truncateFrom(index: LogIndex): void {
    const term = this.termAt(index - 1)
    assert(term !== undefined, 'a log is never cut below its snapshot')
    if (index <= this.#tailFirst) {
      this.#clearTail(index)
    } else {
      for (const entry of this.#tail.splice(this.#head + index - this.#tailFirst)) {
        this.#tailBytes -= entrySizeBytes(entry)
      }
    }
    this.#lastIndex = index - 1
    this.#lastTerm = term
    this.#stableIndex = Math.min(this.#stableIndex, index - 1)
  }

  /** What was persisted may have been cut off since: then the terms differ, and it says nothing. */
  persisted(index: LogIndex, term: Term): void {
    if (index > this.#stableIndex && this.termAt(index) === term) this.#stableIndex = index
  }

  /** Drops what is safely on disk and committed, beyond the bounds of the cache. */
  shrink(commitIndex: LogIndex): void {
    const droppable = Math.min(this.#stableIndex, commitIndex)
    while (this.#tailFirst <= droppable) {
      if (this.#tail.length - this.#head <= tailEntriesMax && this.#tailBytes <= tailBytesMax) break
      const entry = this.#tail[this.#head]
      assert(entry !== undefined, 'the tail holds every entry from its first on')
      this.#tailBytes -= entrySizeBytes(entry)
      this.#head += 1
      this.#tailFirst += 1
    }
    if (this.#head >= compactionStep) {
      this.#tail.splice(0, this.#head)
      this.#head = 0
    }
  }

  /** A snapshot was installed: what is on disk now is all there is. */
  reload(): void {
    this.#lastIndex = this.#reader.lastIndex()
    this.#stableIndex = this.#lastIndex
    this.#clearTail(this.#lastIndex + 1)
    this.#lastTerm = this.#termOnDisk(this.#lastIndex) ?? 0
  }

  #clearTail(first: LogIndex): void {
    this.#tail = []
    this.#head = 0
    this.#tailBytes = 0
    this.#tailFirst = first
  }

  /**
   * The largest index, not above `index`, whose term is not above `term`: below it two logs may agree
   * (Raft section 5.3, last part; etcd-io/raft, `findConflictByTerm`). `floor` is known to agree.
   */
  findConflict(index: LogIndex, term: Term, floor: LogIndex): LogIndex {
    let at = Math.min(index, this.#lastIndex)
    while (at > floor) {
      const own = this.termAt(at)
      if (own === undefined || own <= term) return at
      at -= 1
    }
    return floor
  }
}
