import type { UserId } from '../ids.ts'
import type { CartRow } from '../ports.ts'
import type { Connection } from './connection.ts'

type Row = {
  user: string
  state: Uint8Array
  hash: string
  delivered: string
  synced_hash: string | null
  held: string
  updated_at_ms: number
}

/** Table `carts`: one Y.Doc per user, as bytes. */
export class CartTable {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  get(user: UserId): CartRow | null {
    const row = this.#connection.one<Row>('SELECT * FROM carts WHERE user = ?', user)
    if (row === undefined) return null
    return {
      user,
      state: new Uint8Array(row.state),
      hash: row.hash,
      delivered: JSON.parse(row.delivered) as CartRow['delivered'],
      syncedHash: row.synced_hash,
      held: row.held === 'set' ? 'set' : 'passing',
      updatedAtMs: row.updated_at_ms,
    }
  }

  put(row: CartRow): void {
    this.#connection.run(
      `INSERT INTO carts (user, state, hash, delivered, synced_hash, held, updated_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (user) DO UPDATE SET state = excluded.state, hash = excluded.hash, delivered = excluded.delivered,
         synced_hash = excluded.synced_hash, held = excluded.held, updated_at_ms = excluded.updated_at_ms`,
      row.user,
      Buffer.from(row.state.buffer, row.state.byteOffset, row.state.byteLength),
      row.hash,
      JSON.stringify(row.delivered),
      row.syncedHash,
      row.held,
      row.updatedAtMs,
    )
  }

  setDelivery(user: UserId, delivered: CartRow['delivered'], syncedHash: string | null): void {
    const sql = 'UPDATE carts SET delivered = ?, synced_hash = ? WHERE user = ?'
    this.#connection.run(sql, JSON.stringify(delivered), syncedHash, user)
  }

  delete(user: UserId): void {
    this.#connection.run('DELETE FROM carts WHERE user = ?', user)
  }

  users(after: UserId | null, limit: number): UserId[] {
    const sql = 'SELECT user FROM carts WHERE user > ? ORDER BY user LIMIT ?'
    return this.#connection.all<{ user: UserId }>(sql, after ?? '', limit).map((row) => row.user)
  }

  count(): number {
    const sql = `SELECT count FROM counts WHERE name = 'carts'`
    return this.#connection.one<{ count: number }>(sql)?.count ?? 0
  }
}
