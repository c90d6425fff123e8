/**
 * One SQLite database as the stores use it: cached prepared statements, transactions, and the one place where
 * SQLite's errors become ours. The database underneath can be exchanged (an installed snapshot) without the users of
 * the connection noticing.
 */
import Database from 'better-sqlite3'
import { Fault, StoreFailure, assert } from '../faults.ts'

type Statement = Database.Statement<unknown[], unknown>
export type Value = string | number | Uint8Array | null

/** Statement texts are made from closed sets of filters and sorts; more than this would be a text built from input. */
const statementsMax = 1_000
/** Space comes back when an operator makes some; asking sooner is pointless. */
const diskFullRetryAfterSeconds = 5

/** After these the file can't be trusted or used; SQLite itself would happily go on (LIMITS.md, "SQLite"). */
const fatalCodes = /^SQLITE_(IOERR|CORRUPT|NOTADB|CANTOPEN|READONLY|PERM|AUTH|NOLFS|PROTOCOL)/

/** SQLITE_FULL becomes Fault `disk-full`, I/O errors and damage become StoreFailure, anything else is a bug and stays. */
export function translateError(file: string, error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code
  if (typeof code !== 'string') return error
  if (code.startsWith('SQLITE_FULL') || code === 'ENOSPC' || code === 'EDQUOT')
    return new Fault(
      'disk-full',
      'the disk of this node is full',
      {},
      { retryAfterSeconds: diskFullRetryAfterSeconds, cause: error },
    )
  const isFileError = error instanceof Error && 'errno' in error && 'syscall' in error
  if (fatalCodes.test(code) || isFileError) return new StoreFailure(file, `can't be used (${code})`, error)
  return error
}

export class Connection {
  readonly file: string
  #database: Database.Database
  #statements = new Map<string, Statement>()
  #transaction: Database.Transaction<(work: () => unknown) => unknown>
  readonly #resetListeners: (() => void)[] = []
  #failed: (failure: StoreFailure) => void = () => undefined

  constructor(file: string, database: Database.Database) {
    this.file = file
    this.#database = database
    this.#transaction = database.transaction((work: () => unknown) => work())
  }

  get database(): Database.Database {
    return this.#database
  }

  /** Called when rows may have changed behind a cache's back: a transaction rolled back, the database was exchanged. */
  onReset(listener: () => void): void {
    this.#resetListeners.push(listener)
  }

  /**
   * Called when the file turns out to be one that can't be used or trusted any more, before the failure is thrown: whoever
   * would catch it and go on (a request that answers 500) does not get that far.
   */
  onFailure(listener: (failure: StoreFailure) => void): void {
    this.#failed = listener
  }

  one<T>(sql: string, ...values: Value[]): T | undefined {
    return this.#guard(() => this.#statement(sql).get(...values) as T | undefined)
  }

  all<T>(sql: string, ...values: Value[]): T[] {
    return this.#guard(() => this.#statement(sql).all(...values) as T[])
  }

  /** Returns the number of rows changed. */
  run(sql: string, ...values: Value[]): number {
    return this.#guard(() => this.#statement(sql).run(...values).changes)
  }

  execute(sql: string): void {
    this.#guard(() => this.#database.exec(sql))
  }

  /** Runs `work` in one transaction (a savepoint inside another one); an exception rolls all of it back. */
  transaction<T>(work: () => T): T {
    try {
      return this.#transaction.immediate(work) as T
    } catch (error) {
      this.#reset()
      throw this.#translated(error)
    }
  }

  /** Bytes in use, without what is free inside the file. */
  sizeBytes(): number {
    return this.#guard(() => {
      const pages = this.#pragma('page_count') - this.#pragma('freelist_count')
      return pages * this.#pragma('page_size')
    })
  }

  /** Puts another database in place of the present one, which must be closed by the caller. */
  replace(database: Database.Database): void {
    this.#statements = new Map()
    this.#database = database
    this.#transaction = database.transaction((work: () => unknown) => work())
    this.#reset()
  }

  /** The whole database as bytes: a crash image. Only between transactions. */
  serialize(): Buffer {
    assert(
      !this.#database.inTransaction,
      'an image in the middle of a transaction would hold what was never committed',
    )
    return this.#guard(() => this.#database.serialize())
  }

  close(): void {
    this.#statements = new Map()
    this.#guard(() => this.#database.close())
  }

  /** As a prepared statement: `database.pragma` prepares it anew each time, and sizes are asked after every batch. */
  #pragma(name: 'page_count' | 'freelist_count' | 'page_size'): number {
    const row = this.#statement(`PRAGMA ${name}`).get() as { [column: string]: number }
    return Number(row[name])
  }

  #statement(sql: string): Statement {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    assert(this.#statements.size < statementsMax, 'statement texts come from closed sets')
    const statement = this.#database.prepare<unknown[], unknown>(sql)
    this.#statements.set(sql, statement)
    return statement
  }

  #guard<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw this.#translated(error)
    }
  }

  #translated(error: unknown): unknown {
    const translated = translateError(this.file, error)
    if (translated instanceof StoreFailure) this.#failed(translated)
    return translated
  }

  #reset(): void {
    for (const listener of this.#resetListeners) listener()
  }
}
