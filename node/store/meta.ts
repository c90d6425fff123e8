/** Single values of a database, in its table `meta`, with a cache that forgets what a rollback took back. */
import type { Connection } from './connection.ts'

export class Meta {
  readonly #connection: Connection
  /** Raw text and what it parsed to; keys are a closed set, so it stays small. */
  readonly #cache = new Map<string, unknown>()

  constructor(connection: Connection) {
    this.#connection = connection
    connection.onReset(() => this.#cache.clear())
  }

  /** The value, or `fallback` when it was never set. Must not be modified by the caller. */
  get<T>(key: string, fallback: T): T {
    const known = this.#cache.get(key)
    if (known !== undefined) return known as T
    const row = this.#connection.one<{ value: string }>('SELECT value FROM meta WHERE key = ?', key)
    const value = row === undefined ? fallback : (JSON.parse(row.value) as T)
    this.#cache.set(key, value)
    return value
  }

  set(key: string, value: unknown): void {
    this.#connection.run('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)', key, JSON.stringify(value))
    this.#cache.set(key, value)
  }

  delete(key: string): void {
    this.#connection.run('DELETE FROM meta WHERE key = ?', key)
    this.#cache.delete(key)
  }
}
