import type { AccountRecord } from '../commands.ts'
import type { LogIndex, UserId } from '../ids.ts'
import type { ErasedNotice } from '../ports.ts'
import type { Connection } from './connection.ts'

/** One spelling of an address, so that it is unique whatever its case and composition. */
function emailKey(email: string): string {
  return email.trim().normalize('NFKC').toLowerCase()
}

/** Tables `accounts` and `erased_accounts`. */
export class AccountTable {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  get(id: UserId): AccountRecord | null {
    return this.#parsed('SELECT json FROM accounts WHERE id = ?', id)
  }

  byEmail(email: string): AccountRecord | null {
    return this.#parsed('SELECT json FROM accounts WHERE email_key = ?', emailKey(email))
  }

  put(account: AccountRecord): void {
    this.#connection.run(
      `INSERT INTO accounts (id, email_key, json) VALUES (?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET email_key = excluded.email_key, json = excluded.json`,
      account.id,
      emailKey(account.email),
      JSON.stringify(account),
    )
  }

  delete(id: UserId, index: LogIndex): void {
    this.#connection.run('DELETE FROM accounts WHERE id = ?', id)
    this.#connection.run('INSERT INTO erased_accounts (user, erased_index) VALUES (?, ?)', id, index)
  }

  isErased(id: UserId): boolean {
    return this.#connection.one('SELECT 1 FROM erased_accounts WHERE user = ?', id) !== undefined
  }

  erasedSince(afterIndex: LogIndex, limit: number): ErasedNotice[] {
    const sql = `SELECT erased_index AS "index", user FROM erased_accounts WHERE erased_index > ?
      ORDER BY erased_index LIMIT ?`
    return this.#connection.all<ErasedNotice>(sql, afterIndex, limit)
  }

  newestErasedIndex(): LogIndex {
    const sql = 'SELECT max(erased_index) AS newest FROM erased_accounts'
    return this.#connection.one<{ newest: number | null }>(sql)?.newest ?? 0
  }

  #parsed(sql: string, value: string): AccountRecord | null {
    const row = this.#connection.one<{ json: string }>(sql, value)
    return row === undefined ? null : (JSON.parse(row.json) as AccountRecord)
  }
}
