import type { CommandResult } from '../commands.ts'
import type { CommandId, LogIndex } from '../ids.ts'
import type { Connection } from './connection.ts'

/** Results of the newest so many log entries are kept: bounded by log index, so that all voters keep the same. */
export const resultsMax = 50_000

/** Table `command_results`: first answers, for retries. */
export class ResultTable {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  get(id: CommandId): CommandResult | null {
    const row = this.#connection.one<{ json: string }>('SELECT json FROM command_results WHERE id = ?', id)
    return row === undefined ? null : (JSON.parse(row.json) as CommandResult)
  }

  put(id: CommandId, index: LogIndex, result: CommandResult): void {
    const sql = 'INSERT OR REPLACE INTO command_results (id, "index", json) VALUES (?, ?, ?)'
    this.#connection.run(sql, id, index, JSON.stringify(result))
    this.#connection.run('DELETE FROM command_results WHERE "index" <= ?', index - resultsMax)
  }
}
