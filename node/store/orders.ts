/** Tables `orders`, `order_contacts` and `sold`. */
import type { OrderRecord } from '../commands.ts'
import type { LogIndex, OrderId, Tag, UserId } from '../ids.ts'
import type { OrderPageQuery, SoldNotice } from '../ports.ts'
import type { Connection, Value } from './connection.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'

type OrderRow = { json: string; contact: string | null; note: string | null; decided_index: number }
type NoticeRow = { json: string; changed_index: number; tags: string }

const selectOrder = `SELECT o.json, o.decided_index, c.contact, c.note FROM orders o
  LEFT JOIN order_contacts c ON c."order" = o.id`

function toOrder(row: OrderRow): OrderRecord {
  const order = JSON.parse(row.json) as OrderRecord
  if (row.contact !== null) order.contact = JSON.parse(row.contact) as NonNullable<OrderRecord['contact']>
  if (row.note !== null) order.note = row.note
  return order
}

function coreText(order: OrderRecord): string {
  const { contact: _contact, note: _note, ...core } = order
  return JSON.stringify(core)
}

export class OrderTables {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  get(id: OrderId): OrderRecord | null {
    const row = this.#connection.one<OrderRow>(`${selectOrder} WHERE o.id = ?`, id)
    return row === undefined ? null : toOrder(row)
  }

  insert(order: OrderRecord, index: LogIndex, tags: readonly Tag[]): void {
    this.#connection.run(
      'INSERT INTO orders (id, user, status, decided_index, changed_index, tags, json) VALUES (?, ?, ?, ?, ?, ?, ?)',
      order.id,
      order.user,
      order.status,
      index,
      index,
      JSON.stringify(tags),
      coreText(order),
    )
    if (order.contact === undefined && order.note === undefined) return
    this.#connection.run(
      'INSERT INTO order_contacts ("order", user, contact, note) VALUES (?, ?, ?, ?)',
      order.id,
      order.user,
      order.contact === undefined ? null : JSON.stringify(order.contact),
      order.note ?? null,
    )
  }

  update(order: OrderRecord, index: LogIndex): void {
    const sql = 'UPDATE orders SET status = ?, changed_index = ?, json = ? WHERE id = ?'
    this.#connection.run(sql, order.status, index, coreText(order), order.id)
  }

  eraseContacts(user: UserId): void {
    this.#connection.run('DELETE FROM order_contacts WHERE user = ?', user)
  }

  soldTo(tag: Tag): OrderId | null {
    return (
      this.#connection.one<{ order: OrderId }>('SELECT "order" FROM sold WHERE tag = ?', tag)?.order ?? null
    )
  }

  tagsOf(id: OrderId): Tag[] {
    const row = this.#connection.one<{ tags: string }>('SELECT tags FROM orders WHERE id = ?', id)
    return row === undefined ? [] : (JSON.parse(row.tags) as Tag[])
  }

  insertSold(user: UserId, tag: Tag, order: OrderId): void {
    this.#connection.run('INSERT INTO sold (tag, user, "order") VALUES (?, ?, ?)', tag, user, order)
  }

  /** Newest decision first. Fault `invalid-request` for a cursor of another list. */
  page(query: OrderPageQuery): { items: OrderRecord[]; next: string | null } {
    const where: string[] = []
    const values: Value[] = []
    const add = (condition: string, value: Value): void => {
      where.push(condition)
      values.push(value)
    }
    if (query.user !== undefined) add('o.user = ?', query.user)
    if (query.status !== undefined) add('o.status = ?', query.status)
    if (query.cursor !== undefined)
      add('o.decided_index < ?', decodeCursor('orders', 'number', query.cursor).key)
    const conditions = where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`
    const sql = `${selectOrder}${conditions} ORDER BY o.decided_index DESC LIMIT ?`
    const rows = this.#connection.all<OrderRow>(sql, ...values, query.limit + 1)
    const page = rows.slice(0, query.limit)
    const last = page.at(-1)
    const more = last !== undefined && rows.length > page.length
    return {
      items: page.map(toOrder),
      next: more ? encodeCursor('orders', { key: last.decided_index, id: '' }) : null,
    }
  }

  soldSince(afterIndex: LogIndex, limit: number): SoldNotice[] {
    const sql =
      'SELECT json, changed_index, tags FROM orders WHERE changed_index > ? ORDER BY changed_index LIMIT ?'
    return this.#connection.all<NoticeRow>(sql, afterIndex, limit).map((row) => {
      const order = JSON.parse(row.json) as OrderRecord
      return {
        index: row.changed_index,
        user: order.user,
        order: order.id,
        status: order.status as SoldNotice['status'],
        reason: order.reason ?? null,
        tags: JSON.parse(row.tags) as Tag[],
      }
    })
  }

  newestIndex(): LogIndex {
    return (
      this.#connection.one<{ newest: number | null }>('SELECT max(changed_index) AS newest FROM orders')
        ?.newest ?? 0
    )
  }
}
