/**
 * Configurations: how they are written into the log, which changes are allowed, and which one holds at
 * which place of the log (dissertation, chapter 4: single-server changes, effective when appended).
 */
import type { LogIndex, MemberId } from '../../ids.ts'
import type { RaftConfig } from './types.ts'

export const emptyConfig: RaftConfig = { voters: [], learners: [] }

/** The data of a `config` entry: members sorted, so that one configuration has one text. */
export function encodeConfig(config: RaftConfig): string {
  return JSON.stringify({ voters: [...config.voters].sort(), learners: [...config.learners].sort() })
}

function memberIds(raw: unknown): MemberId[] | null {
  if (!Array.isArray(raw)) return null
  return raw.every((id) => typeof id === 'string' && id.length > 0) ? [...(raw as MemberId[])].sort() : null
}

/** null when the text is no configuration (then its sender is broken, and the message is dropped). */
export function decodeConfig(data: string): RaftConfig | null {
  let raw: unknown
  try {
    raw = JSON.parse(data)
  } catch {
    return null
  }
  if (typeof raw !== 'object' || raw === null) return null
  const voters = memberIds((raw as { voters?: unknown }).voters)
  const learners = memberIds((raw as { learners?: unknown }).learners)
  if (voters === null || learners === null) return null
  const config = { voters, learners }
  return isWellFormed(config) ? config : null
}

/** At least one voter, and nobody listed twice. */
function isWellFormed(config: RaftConfig): boolean {
  const all = [...config.voters, ...config.learners]
  return config.voters.length > 0 && new Set(all).size === all.length
}

type Standing = 'voter' | 'learner' | 'none'

function standing(config: RaftConfig, member: MemberId): Standing {
  if (config.voters.includes(member)) return 'voter'
  return config.learners.includes(member) ? 'learner' : 'none'
}

/**
 * True when `next` differs from `now` in the standing of exactly one member. A member becomes a voter
 * only by way of learner, so that it has caught up before it counts (dissertation, section 4.2.1). Any
 * majority of the one then meets any majority of the other (section 4.1).
 */
export function isAllowedChange(now: RaftConfig, next: RaftConfig): boolean {
  if (!isWellFormed(next)) return false
  const members = new Set([...now.voters, ...now.learners, ...next.voters, ...next.learners])
  const changed = [...members].filter((member) => standing(now, member) !== standing(next, member))
  const only = changed[0]
  if (only === undefined || changed.length !== 1) return false
  return !(standing(now, only) === 'none' && standing(next, only) === 'voter')
}

/** The configurations that may still hold: the newest committed one, and those appended after it. */
export class ConfigHistory {
  #history: { index: LogIndex; config: RaftConfig }[]

  constructor(index: LogIndex, config: RaftConfig) {
    this.#history = [{ index, config }]
  }

  get #newest(): { index: LogIndex; config: RaftConfig } {
    return this.#history.at(-1) ?? { index: 0, config: emptyConfig }
  }

  /** The one in force: the newest in the log, committed or not (dissertation, section 4.1). */
  get current(): RaftConfig {
    return this.#newest.config
  }

  /** The one in force before any change that is not known to be committed. */
  get committed(): RaftConfig {
    return this.#history[0]?.config ?? emptyConfig
  }

  /** Index of the entry that the current configuration comes from (or of the snapshot). */
  get currentIndex(): LogIndex {
    return this.#newest.index
  }

  append(index: LogIndex, config: RaftConfig): void {
    this.#history.push({ index, config })
  }

  /** Entries from `index` on are gone: the configuration before them holds again. */
  truncateFrom(index: LogIndex): void {
    while (this.#history.length > 1 && this.#newest.index >= index) this.#history.pop()
  }

  /** Forgets what can't come back, because entries through `index` are committed. */
  commitThrough(index: LogIndex): void {
    while ((this.#history[1]?.index ?? Infinity) <= index) this.#history.shift()
  }

  reset(index: LogIndex, config: RaftConfig): void {
    this.#history = [{ index, config }]
  }
}
