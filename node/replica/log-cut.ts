/** Where the log may be cut now: gathers what `core/log-truncation.ts` decides by. */
import { truncateThrough } from '../core/log-truncation.ts'
import type { LogBounds } from '../core/log-truncation.ts'
import type { MemberProgress } from '../core/raft/types.ts'
import type { LogIndex, MemberId, Term } from '../ids.ts'
import type { Stores } from '../ports.ts'

/** The entry through which the log goes, or null. `oldestRead`: the oldest snapshot that somebody reads here. */
export function dueCut(
  { log, shop }: Pick<Stores, 'log' | 'shop'>,
  appliedIndex: LogIndex,
  progress: ReadonlyMap<MemberId, MemberProgress>,
  oldestRead: LogIndex | null,
  bounds: LogBounds,
): { index: LogIndex; term: Term } | null {
  const needed = [...progress.values()]
    .filter(({ recentActive, state }) => recentActive && state !== 'snapshot')
    .map(({ matchIndex }) => matchIndex)
  if (oldestRead !== null) needed.push(oldestRead)
  const extent = {
    snapshotIndex: log.snapshotIndex(),
    lastIndex: log.lastIndex(),
    appliedIndex,
    sizeBytes: log.sizeBytes(),
    needed,
    erasedIndex: shop.erasedIndex(),
  }
  const index = truncateThrough(extent, bounds)
  const term = index === null ? undefined : log.termAt(index)
  return index === null || term === undefined ? null : { index, term }
}
