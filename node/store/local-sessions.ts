import type { MemberId, UserId } from '../ids.ts'
import type { SessionRow } from '../ports.ts'
import type { Connection } from './connection.ts'

type Row = { user: string; epoch: number; home: string; previous_members: string; last_active_at_ms: number }

function toSession(row: Row): SessionRow {
  return {
    user: row.user as UserId,
    record: { epoch: row.epoch, home: row.home as MemberId },
    previousMembers: JSON.parse(row.previous_members) as MemberId[],
    lastActiveAtMs: row.last_active_at_ms,
  }
}

/** Table `sessions`: which home each user has. */
export class SessionTable {
  readonly #connection: Connection
  /** By home, as in `CartTable`: emptied when rows may have changed. One home is asked about, the own node. */
  readonly #counts = new Map<MemberId, number>()

  constructor(connection: Connection) {
    this.#connection = connection
    connection.onReset(() => this.#counts.clear())
  }

  get(user: UserId): SessionRow | null {
    const row = this.#connection.one<Row>('SELECT * FROM sessions WHERE user = ?', user)
    return row === undefined ? null : toSession(row)
  }

  put(session: SessionRow): void {
    this.#counts.clear()
    this.#connection.run(
      `INSERT OR REPLACE INTO sessions (user, epoch, home, previous_members, last_active_at_ms) VALUES (?, ?, ?, ?, ?)`,
      session.user,
      session.record.epoch,
      session.record.home,
      JSON.stringify(session.previousMembers),
      session.lastActiveAtMs,
    )
  }

  delete(user: UserId): void {
    this.#counts.clear()
    this.#connection.run('DELETE FROM sessions WHERE user = ?', user)
  }

  page(after: UserId | null, limit: number): SessionRow[] {
    const sql = 'SELECT * FROM sessions WHERE user > ? ORDER BY user LIMIT ?'
    return this.#connection.all<Row>(sql, after ?? '', limit).map(toSession)
  }

  count(home: MemberId): number {
    const known = this.#counts.get(home)
    if (known !== undefined) return known
    const sql = 'SELECT count(*) AS count FROM sessions WHERE home = ?'
    const count = this.#connection.one<{ count: number }>(sql, home)?.count ?? 0
    this.#counts.set(home, count)
    return count
  }
}
