/** The newest log entries in memory, so that replication to healthy members and `termAt` do not read the disk. */
import type { LogIndex } from '../ids.ts'
import type { LogEntry } from '../ports.ts'

/** Holds a few seconds of full load; members further behind are served from the disk. */
const tailSizeBytesMax = 16 * 1024 * 1024
/** What an entry costs beside its data. */
const entryOverheadBytes = 100

/** Near enough for bounds: commands are mostly ASCII. */
export function entrySizeBytes(entry: LogEntry): number {
  return entry.data.length + entryOverheadBytes
}

/** Contiguous entries up to the last one of the log. Empty when the log is, or when nothing was appended yet. */
export class LogTail {
  #entries: LogEntry[] = []
  /** Entries before this position were dropped; the array is cut when half of it is. */
  #start = 0
  #sizeBytes = 0

  firstIndex(): LogIndex | null {
    return this.#entries[this.#start]?.index ?? null
  }

  get(index: LogIndex): LogEntry | undefined {
    const first = this.firstIndex()
    return first === null || index < first ? undefined : this.#entries[this.#start + index - first]
  }

  append(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      this.#entries.push(entry)
      this.#sizeBytes += entrySizeBytes(entry)
    }
    while (this.#sizeBytes > tailSizeBytesMax && this.#start < this.#entries.length - 1) this.#dropFirst()
    this.#cut()
  }

  truncateFrom(index: LogIndex): void {
    const first = this.firstIndex()
    if (first === null) return
    const keep = Math.max(0, index - first)
    for (const entry of this.#entries.splice(this.#start + keep)) this.#sizeBytes -= entrySizeBytes(entry)
  }

  dropThrough(index: LogIndex): void {
    for (let first = this.firstIndex(); first !== null && first <= index; first = this.firstIndex())
      this.#dropFirst()
    this.#cut()
  }

  clear(): void {
    this.#entries = []
    this.#start = 0
    this.#sizeBytes = 0
  }

  #dropFirst(): void {
    const entry = this.#entries[this.#start]
    if (entry === undefined) return
    this.#sizeBytes -= entrySizeBytes(entry)
    this.#start += 1
  }

  #cut(): void {
    if (this.#start * 2 <= this.#entries.length) return
    this.#entries = this.#entries.slice(this.#start)
    this.#start = 0
  }
}
