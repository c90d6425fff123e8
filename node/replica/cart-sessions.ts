/**
 * Session records: which home each user has, as this node knows. Promises: a record only ever gets higher; what a
 * member of the user's set learns is on its disk before it acts on it; others keep it in bounded memory only.
 */
import { isHigher } from '../core/homes.ts'
import type { MemberId, UserId } from '../ids.ts'
import type { HomeRecord } from '../messages.ts'
import type { Clock, LocalStore, SessionRow } from '../ports.ts'
import { LruMap } from './cart-lru.ts'
import type { GroupCommit } from './group-commit.ts'

/** Records in memory; others are read from disk, or asked for again. About 200 bytes each. */
const sessionsInMemoryMax = 20_000
/** How stale the activity on disk may be: it only decides about idleness, which is minutes. */
const activityWriteIntervalMs = 60_000
/** Members that an older copy may be at: two sets of the greatest sensible size. */
const previousMembersMax = 16

type Known = { row: SessionRow; writing: number; isStored: boolean; activityWrittenAtMs: number }

export class Sessions {
  readonly #clock: Clock
  readonly #local: LocalStore
  readonly #commit: GroupCommit
  /** An entry that is being written stays: the disk is older than it. */
  readonly #known = new LruMap<UserId, Known>(sessionsInMemoryMax, (_user, known) => known.writing > 0)

  constructor(clock: Clock, local: LocalStore, commit: GroupCommit) {
    this.#clock = clock
    this.#local = local
    this.#commit = commit
  }

  get(user: UserId): SessionRow | null {
    return this.#entry(user)?.row ?? null
  }

  record(user: UserId): HomeRecord | null {
    return this.get(user)?.record ?? null
  }

  #entry(user: UserId): Known | null {
    const known = this.#known.get(user)
    if (known !== undefined) return known
    const row = this.#local.session(user)
    if (row === null) return null
    const entry = { row, writing: 0, isStored: true, activityWrittenAtMs: row.lastActiveAtMs }
    this.#known.set(user, entry)
    return entry
  }

  /**
   * Takes a record if it is higher than the own one; resolves true when it was, once it is on disk (`persist`).
   * `olderCopies`: members that may hold what was acknowledged before this record. `keepOlder`: also those known so far,
   * because this node is the one that will have to ask them.
   */
  async take(
    user: UserId,
    record: HomeRecord,
    olderCopies: readonly MemberId[],
    options: { persist: boolean; keepOlder: boolean },
  ): Promise<boolean> {
    const { persist, keepOlder } = options
    const before = this.#entry(user)
    if (before !== null && !isHigher(record, before.row.record)) {
      if (persist && !before.isStored) await this.#write(user, before)
      return false
    }
    const previous =
      before === null
        ? olderCopies
        : [before.row.record.home, ...olderCopies, ...(keepOlder ? before.row.previousMembers : [])]
    const row: SessionRow = {
      user,
      record,
      previousMembers: [...new Set(previous)].slice(0, previousMembersMax),
      lastActiveAtMs: before?.row.lastActiveAtMs ?? this.#clock.wallMs(),
    }
    await this.#replace(user, row, persist || (before?.isStored ?? false))
    return true
  }

  /** The set changed: remembers where older copies may be. */
  async setPrevious(user: UserId, members: readonly MemberId[]): Promise<void> {
    const known = this.#entry(user)
    if (known === null) return
    const previousMembers = [...new Set(members)].slice(0, previousMembersMax)
    await this.#replace(user, { ...known.row, previousMembers }, known.isStored)
  }

  /** The user was here just now. */
  touch(user: UserId): void {
    const known = this.#entry(user)
    if (known === null) return
    const nowMs = this.#clock.wallMs()
    known.row = { ...known.row, lastActiveAtMs: nowMs }
  }

  /** Users whose activity on disk has become too old, once each interval; written with the periodic work. */
  async writeActivity(users: Iterable<UserId>): Promise<void> {
    const due: Promise<void>[] = []
    for (const user of users) {
      const known = this.#known.peek(user)
      if (known === undefined || !known.isStored) continue
      if (known.row.lastActiveAtMs - known.activityWrittenAtMs < activityWriteIntervalMs) continue
      due.push(this.#write(user, known))
    }
    await Promise.all(due)
  }

  async forget(user: UserId): Promise<void> {
    this.#known.delete(user)
    await this.#commit.write(() => this.#local.deleteSession(user))
  }

  page(after: UserId | null, limit: number): SessionRow[] {
    return this.#local.sessions(after, limit).map((row) => this.#known.peek(row.user)?.row ?? row)
  }

  async #replace(user: UserId, row: SessionRow, persist: boolean): Promise<void> {
    const before = this.#known.get(user)
    const entry: Known = {
      row,
      writing: before?.writing ?? 0,
      isStored: before?.isStored ?? false,
      activityWrittenAtMs: before?.activityWrittenAtMs ?? row.lastActiveAtMs,
    }
    if (before === undefined) this.#known.set(user, entry)
    else Object.assign(before, entry)
    if (persist) await this.#write(user, before ?? entry)
  }

  async #write(user: UserId, entry: Known): Promise<void> {
    entry.writing += 1
    try {
      // The newest row at the time of the transaction: an older one must not overwrite it.
      await this.#commit.write(() => this.#local.putSession(entry.row))
      entry.isStored = true
      entry.activityWrittenAtMs = entry.row.lastActiveAtMs
    } catch (error) {
      // Memory must not know more than the disk: the next look reads the disk again.
      this.#known.delete(user)
      throw error
    } finally {
      entry.writing -= 1
    }
  }
}
