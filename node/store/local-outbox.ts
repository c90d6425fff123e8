import type { OrderIntent } from '../commands.ts'
import type { OrderId, UserId } from '../ids.ts'
import type { OutboxRow } from '../ports.ts'
import type { Connection } from './connection.ts'

type Row = { order: string; user: string; intent: string; created_at_ms: number }

function toOutboxRow(row: Row): OutboxRow {
  return {
    order: row.order as OrderId,
    user: row.user as UserId,
    intent: JSON.parse(row.intent) as OrderIntent,
    createdAtMs: row.created_at_ms,
  }
}

/** Table `outbox`: intents that wait for the log's decision. */
export class OutboxTable {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  all(): OutboxRow[] {
    return this.#connection.all<Row>('SELECT * FROM outbox ORDER BY created_at_ms, "order"').map(toOutboxRow)
  }

  get(order: OrderId): OutboxRow | null {
    const row = this.#connection.one<Row>('SELECT * FROM outbox WHERE "order" = ?', order)
    return row === undefined ? null : toOutboxRow(row)
  }

  put(row: OutboxRow): void {
    const sql = 'INSERT OR REPLACE INTO outbox ("order", user, intent, created_at_ms) VALUES (?, ?, ?, ?)'
    this.#connection.run(sql, row.order, row.user, JSON.stringify(row.intent), row.createdAtMs)
  }

  /** An erased account's orders come to their end without what can be erased of them. */
  eraseContacts(user: UserId): void {
    this.#connection.run(
      "UPDATE outbox SET intent = json_remove(intent, '$.contact', '$.note') WHERE user = ?",
      user,
    )
  }

  delete(order: OrderId): void {
    this.#connection.run('DELETE FROM outbox WHERE "order" = ?', order)
  }
}
