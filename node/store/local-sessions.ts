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

  constructor(connection: Connection) {
    this.#connection = connection
  }

  get(user: UserId): SessionRow | null {
    const row = this.#connection.one<Row>('SELECT * FROM sessions WHERE user = ?', user)
    return row === undefined ? null : toSession(row)
  }

  put(session: SessionRow): void {
    // No OR REPLACE: it fires no trigger for the row that it replaces (SQLite, "REPLACE"), and the counts would drift.
    this.#connection.run(
      `INSERT INTO sessions (user, epoch, home, previous_members, last_active_at_ms) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (user) DO UPDATE SET epoch = excluded.epoch, home = excluded.home,
         previous_members = excluded.previous_members, last_active_at_ms = excluded.last_active_at_ms`,
      session.user,
      session.record.epoch,
      session.record.home,
      JSON.stringify(session.previousMembers),
      session.lastActiveAtMs,
    )
  }

  delete(user: UserId): void {
    this.#connection.run('DELETE FROM sessions WHERE user = ?', user)
  }

  page(after: UserId | null, limit: number): SessionRow[] {
    const sql = 'SELECT * FROM sessions WHERE user > ? ORDER BY user LIMIT ?'
    return this.#connection.all<Row>(sql, after ?? '', limit).map(toSession)
  }

  count(home: MemberId): number {
    const sql = `SELECT count FROM counts WHERE name = 'home ' || ?`
    return this.#connection.one<{ count: number }>(sql, home)?.count ?? 0
  }
}
