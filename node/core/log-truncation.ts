/**
 * When the log loses its oldest entries (dissertation, section 5.1.3). Applied entries are on disk twice, in the log and
 * in shop.db; those that go are replaced by a snapshot for whoever still lacks them.
 */
import type { LogIndex } from '../ids.ts'

/** The log is cut when it holds more entries: they spare a member that was away for a while the whole snapshot … */
export const logEntriesMax = 20_000
/** … or more bytes: by then a packed snapshot is quicker than applying them. */
export const logSizeBytesMax = 32 * 1024 * 1024
/** A live member that is behind, or takes a snapshot now, must find what follows: held for it up to here … */
export const logEntriesHeldMax = 200_000
/** … and here. Beyond, it takes (another) snapshot: a slow member must not fill the others' disks. */
export const logSizeBytesHeldMax = 256 * 1024 * 1024
/** Cut in small steps, one a batch of applying, because deleting rows holds up the event loop as well … */
export const stepEntriesMax = 1_000
/** … whatever their size. */
export const stepSizeBytesMax = 4 * 1024 * 1024

export type LogExtent = {
  /** Entries through it are gone already. */
  readonly snapshotIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly appliedIndex: LogIndex
  readonly sizeBytes: number
  /** Indexes from which members will go on: what follows each of them is still needed. */
  readonly needed: readonly LogIndex[]
  /** Entries through it hold personal data of an account that was erased: they go, however small the log is. */
  readonly erasedIndex: LogIndex
}

export type LogBounds = { readonly logEntriesMax: number; readonly logStepEntriesMax: number }
export const productionLogBounds: LogBounds = { logEntriesMax, logStepEntriesMax: stepEntriesMax }

/** The index through which entries go now, or null. */
export function truncateThrough(extent: LogExtent, bounds = productionLogBounds): LogIndex | null {
  const { snapshotIndex, lastIndex, appliedIndex, sizeBytes, needed, erasedIndex } = extent
  const entries = lastIndex - snapshotIndex
  if (entries <= 0) return null
  const entrySizeBytes = Math.max(1, sizeBytes / entries)
  const step = Math.max(1, Math.min(bounds.logStepEntriesMax, Math.floor(stepSizeBytesMax / entrySizeBytes)))
  const surplus = (entriesMax: number, sizeBytesMax: number): boolean =>
    entries - step >= entriesMax || sizeBytes - step * entrySizeBytes >= sizeBytesMax
  const isErasing = snapshotIndex < erasedIndex
  if (!isErasing && !surplus(bounds.logEntriesMax, logSizeBytesMax)) return null
  const isHeld = !surplus(logEntriesHeldMax, logSizeBytesHeldMax)
  const limit = isHeld ? Math.min(appliedIndex, ...needed) : appliedIndex
  const wanted = isErasing ? Math.min(step, erasedIndex - snapshotIndex) : step
  const through = Math.min(snapshotIndex + wanted, limit)
  return through > snapshotIndex ? through : null
}
