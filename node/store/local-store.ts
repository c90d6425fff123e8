import { assert } from '../faults.ts'
import type { ClusterId, LogIndex, MemberId, OrderId, UserId } from '../ids.ts'
import { allSessionsOf } from '../ids.ts'
import type { CartRow, LocalStore, OutboxRow, Placement, SessionRow } from '../ports.ts'
import type { Connection } from './connection.ts'
import { CartTable } from './local-carts.ts'
import { OutboxTable } from './local-outbox.ts'
import { SessionTable } from './local-sessions.ts'
import { Meta } from './meta.ts'

/** `LocalStore` over SQLite: delegates to one class per table. */
export class SqliteLocalStore implements LocalStore {
  readonly #connection: Connection
  readonly #meta: Meta
  readonly #carts: CartTable
  readonly #sessions: SessionTable
  readonly #outbox: OutboxTable

  constructor(connection: Connection) {
    this.#connection = connection
    this.#meta = new Meta(connection)
    this.#carts = new CartTable(connection)
    this.#sessions = new SessionTable(connection)
    this.#outbox = new OutboxTable(connection)
  }

  transaction<T>(work: () => T): T {
    return this.#connection.transaction(work)
  }

  clusterId(): ClusterId | null {
    return this.#meta.get<ClusterId | null>('cluster_id', null)
  }

  setClusterId(clusterId: ClusterId): void {
    const own = this.clusterId()
    assert(own === null || own === clusterId, 'a node belongs to one cluster for life')
    if (own === null) this.#meta.set('cluster_id', clusterId)
  }

  cart(user: UserId): CartRow | null {
    return this.#carts.get(user)
  }

  putCart(row: CartRow): void {
    this.#carts.put(row)
  }

  setDelivery(user: UserId, delivered: CartRow['delivered'], syncedHash: string | null): void {
    this.#carts.setDelivery(user, delivered, syncedHash)
  }

  deleteCart(user: UserId): void {
    this.#carts.delete(user)
  }

  cartUsers(after: UserId | null, limit: number): UserId[] {
    return this.#carts.users(after, limit)
  }

  cartCount(): number {
    return this.#carts.count()
  }

  session(user: UserId): SessionRow | null {
    return this.#sessions.get(user)
  }

  putSession(row: SessionRow): void {
    this.#sessions.put(row)
  }

  deleteSession(user: UserId): void {
    this.#sessions.delete(user)
  }

  sessions(after: UserId | null, limit: number): SessionRow[] {
    return this.#sessions.page(after, limit)
  }

  sessionCount(home: MemberId): number {
    return this.#sessions.count(home)
  }

  outbox(): OutboxRow[] {
    return this.#outbox.all()
  }

  outboxEntry(order: OrderId): OutboxRow | null {
    return this.#outbox.get(order)
  }

  putOutbox(row: OutboxRow): void {
    this.#outbox.put(row)
  }

  deleteOutbox(order: OrderId): void {
    this.#outbox.delete(order)
  }

  eraseUser(user: UserId): void {
    this.#connection.transaction(() => {
      this.#carts.delete(user)
      this.#sessions.delete(user)
      this.#outbox.eraseContacts(user)
      this.#connection.run('INSERT OR IGNORE INTO erased_users (user) VALUES (?)', user)
    })
  }

  isSessionOver({ id, user, expiresAtMs }: { id: string; user: UserId; expiresAtMs: number }): boolean {
    const sql = `SELECT EXISTS (SELECT 1 FROM revoked_tokens WHERE id = ?)
      OR EXISTS (SELECT 1 FROM revoked_tokens WHERE id = ? AND expires_at_ms >= ?)
      OR EXISTS (SELECT 1 FROM erased_users WHERE user = ?) AS over`
    const row = this.#connection.one<{ over: number }>(sql, id, allSessionsOf(user), expiresAtMs, user)
    return row?.over === 1
  }

  isErased(user: UserId): boolean {
    return this.#connection.one('SELECT 1 FROM erased_users WHERE user = ?', user) !== undefined
  }

  revokedUntilMs(id: string): number {
    const sql = 'SELECT expires_at_ms AS untilMs FROM revoked_tokens WHERE id = ?'
    return this.#connection.one<{ untilMs: number }>(sql, id)?.untilMs ?? 0
  }

  revoke(tokenId: string, expiresAtMs: number): void {
    const sql = `INSERT INTO revoked_tokens (id, expires_at_ms) VALUES (?, ?)
      ON CONFLICT (id) DO UPDATE SET expires_at_ms = max(expires_at_ms, excluded.expires_at_ms)`
    this.#connection.run(sql, tokenId, expiresAtMs)
  }

  revokedAfter(nowMs: number, limit: number): { id: string; expiresAtMs: number }[] {
    const sql = `SELECT id, expires_at_ms AS expiresAtMs FROM revoked_tokens WHERE expires_at_ms > ?
      ORDER BY expires_at_ms DESC, id LIMIT ?`
    return this.#connection.all<{ id: string; expiresAtMs: number }>(sql, nowMs, limit)
  }

  dropRevokedBefore(expiresAtMs: number): void {
    this.#connection.run('DELETE FROM revoked_tokens WHERE expires_at_ms < ?', expiresAtMs)
  }

  soldWatermark(): LogIndex {
    return this.#meta.get('sold_watermark', 0)
  }

  setSoldWatermark(index: LogIndex): void {
    this.#meta.set('sold_watermark', index)
  }

  placements(): readonly (readonly Placement[])[] {
    return this.#meta.get<readonly (readonly Placement[])[]>('placements', [])
  }

  setPlacements(lists: readonly (readonly Placement[])[]): void {
    this.#meta.set('placements', lists)
  }

  close(): void {
    this.#connection.close()
  }
}
