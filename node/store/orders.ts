/** Tables `orders`, `order_contacts` and `sold`. */
import type { OrderRecord } from '../commands.ts'
import type { LogIndex, OrderId, Tag, UserId } from '../ids.ts'
import type { OrderPageQuery, SoldNotice } from '../ports.ts'
import type { Connection, Value } from './connection.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'

type OrderRow = { json: string; contact: string | null; note: string | null; decided_index: number }
/** Orders that one page of a search looks at: bounds how long it holds up the node (some 20 ms). */
const ordersSearchedMax = 5_000
/** As indexed (shop-schema.ts). */
const createdAt = `json_extract(o.json, '$.createdAt')`

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

type Conditions = { readonly sql: string; readonly values: readonly Value[] }

function conditionsOf(
  { user, status, number, from, to, cursor }: OrderPageQuery,
  byTime: boolean,
): Conditions {
  const where: string[] = []
  const values: Value[] = []
  const add = (condition: string, ...given: Value[]): void => {
    where.push(condition)
    values.push(...given)
  }
  if (user !== undefined) add('o.user = ?', user)
  if (status !== undefined) add('o.status = ?', status)
  if (number !== undefined) add(`json_extract(o.json, '$.number') = ?`, number)
  if (from !== undefined) add(`${createdAt} >= ?`, from)
  if (to !== undefined) add(`${createdAt} < ?`, to)
  if (cursor !== undefined && byTime) {
    const { key, id } = decodeCursor(timeList, 'string', cursor)
    add(`(${createdAt}, o.id) < (?, ?)`, key, id)
  } else if (cursor !== undefined) add('o.decided_index < ?', decodeCursor(decidedList, 'number', cursor).key)
  return { sql: where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`, values }
}

/** Names of the two orders of the list, for their cursors. */
const decidedList = 'orders'
const timeList = 'orders-by-time'

function mentions(order: OrderRecord, words: string): boolean {
  const { number, contact, note, lines } = order
  const texts = [
    number,
    contact?.name,
    contact?.email,
    contact?.address,
    note,
    ...lines.flatMap(({ title, sku }) => [title, sku]),
  ]
  return texts.some((text) => text?.toLowerCase().includes(words) ?? false)
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

  /** As `OrderPageQuery` says. Fault `invalid-request` for a cursor of another list. */
  page(query: OrderPageQuery): { items: OrderRecord[]; next: string | null } {
    const { limit, q, from, to } = query
    const byTime = from !== undefined || to !== undefined
    const { sql: conditions, values } = conditionsOf(query, byTime)
    const order = byTime ? `${createdAt} DESC, o.id DESC` : 'o.decided_index DESC'
    const looked = q === undefined ? limit : Math.max(limit, ordersSearchedMax)
    const rows = this.#connection.all<OrderRow>(
      `${selectOrder}${conditions} ORDER BY ${order} LIMIT ?`,
      ...values,
      looked + 1,
    )
    const items: OrderRecord[] = []
    const words = q?.toLowerCase()
    let last: { order: OrderRecord; index: LogIndex } | null = null
    let isMore = false
    for (const [position, row] of rows.entries()) {
      isMore = items.length >= limit || position >= looked
      if (isMore) break
      const found = toOrder(row)
      last = { order: found, index: row.decided_index }
      if (words === undefined || mentions(found, words)) items.push(found)
    }
    if (last === null || !isMore) return { items, next: null }
    const next = byTime
      ? encodeCursor(timeList, { key: last.order.createdAt, id: last.order.id })
      : encodeCursor(decidedList, { key: last.index, id: '' })
    return { items, next }
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
