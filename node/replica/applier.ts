/**
 * Applies committed log entries to `shop.db`, in order, each exactly once: the rows and the applied index
 * change in one transaction (DESIGN.md section 2). Applying decides; this file only feeds it.
 */
import { applyEntry } from '../core/apply.ts'
import type { ApplyOutcome } from '../core/apply.ts'
import { commandSchema } from '../commands.ts'
import type { Command } from '../commands.ts'
import type { LogEntry, RaftConfig } from '../core/raft/types.ts'
import type { LogIndex, Term } from '../ids.ts'
import type { AppliedState, Logger, LogStore, ShopStore, Tables } from '../ports.ts'
import type { Counters } from './counters.ts'

/** One transaction applies at most so many entries, so that one turn of the event loop stays short. */
const applyEntriesMax = 256
/** … and at most so many bytes: a catalog import has large entries. */
const applySizeBytesMax = 1024 * 1024

/** An applied command with what it decided; `outcome` null for entries that are no commands. */
export type Applied = {
  readonly index: LogIndex
  readonly term: Term
  readonly command: Command | null
  readonly outcome: ApplyOutcome | null
}

export class Applier {
  readonly #log: LogStore
  readonly #shop: ShopStore
  readonly #logger: Logger
  readonly #counters: Counters
  /** Applied so far: the memory copy of what is in shop.db. */
  #applied: AppliedState
  /** Why applying stopped: an entry that this program does not understand is never skipped, wrong rows never changed. */
  #halted: string | null = null

  constructor(options: { log: LogStore; shop: ShopStore; logger: Logger; counters: Counters }) {
    this.#log = options.log
    this.#shop = options.shop
    this.#logger = options.logger
    this.#counters = options.counters
    this.#applied = this.#shop.applied()
    this.#halted = this.#shop.diverged()
  }

  get applied(): AppliedState {
    return this.#applied
  }

  get halted(): string | null {
    return this.#halted
  }

  /** Nothing more is applied to these rows. */
  halt(reason: string): void {
    this.#halted ??= reason
  }

  /** After a snapshot was installed: the store was replaced beneath, and may be past what this one stopped at. */
  reload(): void {
    this.#applied = this.#shop.applied()
    this.#halted = this.#shop.diverged()
  }

  /**
   * Applies the next batch of entries up to `commitIndex`. Returns what was applied, empty when there is
   * nothing to do. Throws what the store throws (nothing of the batch is applied then).
   */
  applyNext(commitIndex: LogIndex): Applied[] {
    const from = this.#applied.index + 1
    const through = Math.min(commitIndex, this.#log.lastIndex(), from + applyEntriesMax - 1)
    // Entries that a snapshot will bring are not in the log; the snapshot moves `applied` past them.
    if (this.#halted !== null || from > through || from <= this.#log.snapshotIndex()) return []
    const entries = this.#log.entries(from, through, applySizeBytesMax)
    const parsed = this.#parse(entries)
    if (parsed.length === 0) return []
    const applied = this.#shop.transaction((tables) => {
      const done = parsed.map(({ entry, command }) => applyOne(tables, entry, command))
      this.#shop.setApplied(this.#stateAfter(parsed.map(({ entry }) => entry)))
      return done
    })
    this.#applied = this.#shop.applied()
    this.#counters.add('commands_applied_total', applied.length)
    return applied
  }

  /** Stops at the first entry that can't be understood; what precedes it is still applied. */
  #parse(entries: readonly LogEntry[]): { entry: LogEntry; command: Command | null }[] {
    const parsed: { entry: LogEntry; command: Command | null }[] = []
    for (const entry of entries) {
      if (entry.kind !== 'command') {
        parsed.push({ entry, command: null })
        continue
      }
      const command = commandSchema.safeParse(JSON.parse(entry.data))
      if (!command.success) {
        this.#halted = `log entry ${entry.index} is not a command this program knows; run a newer version`
        this.#logger.error({ index: entry.index, issues: command.error.issues.slice(0, 3) }, this.#halted)
        break
      }
      parsed.push({ entry, command: command.data as Command })
    }
    return parsed
  }

  #stateAfter(entries: readonly LogEntry[]): AppliedState {
    let state = this.#applied
    for (const entry of entries) {
      const config = entry.kind === 'config' ? (JSON.parse(entry.data) as RaftConfig) : state.config
      state = { index: entry.index, term: entry.term, config }
    }
    return state
  }
}

function applyOne(tables: Tables, entry: LogEntry, command: Command | null): Applied {
  const outcome = command === null ? null : applyEntry(tables, command, entry.index)
  return { index: entry.index, term: entry.term, command, outcome }
}
