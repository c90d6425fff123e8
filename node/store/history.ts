import type { CatalogHistoryEntry } from '../commands.ts'
import type { CatalogHistoryPage, CatalogHistoryQuery } from '../ports.ts'
import type { Connection } from './connection.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'

/** Changes kept, the newest: about 40 MB at the most. Bounded by their number in the log, so the same at every voter. */
export const historyEntriesMax = 200_000

const cursorList = 'catalog-history'

type Row = { id: number; json: string }

/** Table `catalog_history`: who changed which product, when and how. Only applying the log writes it. */
export class HistoryTable {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  append(entries: readonly CatalogHistoryEntry[]): void {
    const sql = 'INSERT INTO catalog_history (handle, json) VALUES (?, ?)'
    for (const entry of entries) this.#connection.run(sql, entry.handle, JSON.stringify(entry))
    this.#connection.run(
      'DELETE FROM catalog_history WHERE id <= (SELECT max(id) FROM catalog_history) - ?',
      historyEntriesMax,
    )
  }

  /** Newest first. Fault `invalid-request` for a cursor of another list. */
  page({ handle, limit, cursor }: CatalogHistoryQuery): CatalogHistoryPage {
    const before =
      cursor === undefined ? Number.MAX_SAFE_INTEGER : decodeCursor(cursorList, 'number', cursor).key
    const where = handle === undefined ? '' : 'handle = ? AND '
    const rows = this.#connection.all<Row>(
      `SELECT id, json FROM catalog_history WHERE ${where}id < ? ORDER BY id DESC LIMIT ?`,
      ...(handle === undefined ? [before, limit + 1] : [handle, before, limit + 1]),
    )
    const items = rows.slice(0, limit).map(({ json }) => JSON.parse(json) as CatalogHistoryEntry)
    const last = rows[limit - 1]
    const next =
      rows.length > limit && last !== undefined ? encodeCursor(cursorList, { key: last.id, id: '' }) : null
    return { items, next }
  }
}
