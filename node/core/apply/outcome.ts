/** What the families of commands give back to `applyEntry`. */
import type { CatalogHistoryEntry, CommandResult, OrderRecord, StateMark } from '../../commands.ts'
import type { FaultCode, FaultData } from '../../faults.ts'
import type { CatalogVersionRecord } from '../../messages.ts'

export type ApplyOutcome = {
  readonly result: CommandResult
  /** The catalog version that the command made, to be broadcast; null when it made none. */
  readonly version: CatalogVersionRecord | null
  /** What that version did, product by product; it goes into the history. */
  readonly history: readonly CatalogHistoryEntry[]
  /** The order that the command decided or changed. */
  readonly decided: OrderRecord | null
  readonly membersChanged: boolean
  /** The own mark that is not what a `state.check` claimed; null when they agree. Not part of the result. */
  readonly disagreement: StateMark | null
}

/** An outcome that is only its result. */
export const nothingElse = {
  version: null,
  history: [],
  decided: null,
  membersChanged: false,
  disagreement: null,
} as const satisfies Omit<ApplyOutcome, 'result'>

export function done(value: unknown, more: Partial<Omit<ApplyOutcome, 'result'>> = {}): ApplyOutcome {
  return { result: { ok: true, value }, ...nothingElse, ...more }
}

/** The command did not happen and never will under this id. */
export function refused(code: FaultCode, message: string, data: FaultData = {}): ApplyOutcome {
  return { result: { ok: false, code, message, data: { ...data } }, ...nothingElse }
}

/** Last instant that RFC 3339's four-digit years can say; applying must not fail on a mad clock. */
const instantMaxMs = 253_402_300_799_999

/** RFC 3339 UTC with milliseconds, of a stamp that the primary put into the command. Reads no clock. */
export function instantText(atMs: number): string {
  const instant = Temporal.Instant.fromEpochMilliseconds(Math.floor(Math.min(atMs, instantMaxMs)))
  return instant.toString({ fractionalSecondDigits: 3 })
}
