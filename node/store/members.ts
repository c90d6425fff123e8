import type { MemberRecord } from '../commands.ts'
import type { MemberId } from '../ids.ts'
import type { Connection } from './connection.ts'

/** Tables `members` and `removed_members`. */
export class MemberTables {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** In the order in which they joined. */
  all(): MemberRecord[] {
    const rows = this.#connection.all<{ json: string }>('SELECT json FROM members ORDER BY joined_index, id')
    return rows.map((row) => JSON.parse(row.json) as MemberRecord)
  }

  put(member: MemberRecord): void {
    const sql = 'INSERT OR REPLACE INTO members (id, joined_index, json) VALUES (?, ?, ?)'
    this.#connection.run(sql, member.id, member.joinedIndex, JSON.stringify(member))
  }

  /** The id is remembered as removed. */
  remove(id: MemberId): void {
    this.#connection.run('DELETE FROM members WHERE id = ?', id)
    this.#connection.run(
      `INSERT OR IGNORE INTO removed_members (id, position)
       VALUES (?, (SELECT coalesce(max(position), 0) + 1 FROM removed_members))`,
      id,
    )
  }

  removed(): MemberId[] {
    const rows = this.#connection.all<{ id: MemberId }>('SELECT id FROM removed_members ORDER BY position')
    return rows.map((row) => row.id)
  }
}
