import type { AccountRecord } from '../commands.ts'
import type { UserId } from '../ids.ts'
import type { Connection } from './connection.ts'

/** One spelling of an address, so that it is unique whatever its case and composition. */
function emailKey(email: string): string {
  return email.trim().normalize('NFKC').toLowerCase()
}

/** Table `accounts`. */
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

  delete(id: UserId): void {
    this.#connection.run('DELETE FROM accounts WHERE id = ?', id)
  }

  #parsed(sql: string, value: string): AccountRecord | null {
    const row = this.#connection.one<{ json: string }>(sql, value)
    return row === undefined ? null : (JSON.parse(row.json) as AccountRecord)
  }
}
