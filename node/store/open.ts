/** Opens one database: settings, format version, migrations, checks. Nothing is changed in a file that is refused. */
import { closeSync, openSync, statSync } from 'node:fs'
import Database from 'better-sqlite3'
import { StoreFailure } from '../faults.ts'
import { translateError } from './connection.ts'

export type Schema = {
  /** What the file is, for messages. */
  readonly title: string
  /** SQLite's application_id: tells our files from others' and from each other. */
  readonly applicationId: number
  /** Step `i` brings version `i` to `i + 1`; user_version counts them. Never edited once released. */
  readonly migrations: readonly string[]
}

/** The file exists and is not what it should be. A `shop.db` like that is set aside, others are refused. */
export class DamagedDatabase extends StoreFailure {}

/** Another process holds a lock only for as long as an operator looks into the file with a tool. */
const busyTimeoutMs = 5_000
/** Checking reads every page; above this size a restart would take seconds, and SQLite still checks what it reads. */
const checkedSizeBytesMax = 64 * 1024 * 1024
/** The WAL file is cut back to this after a checkpoint, so that one burst does not keep the disk. */
const journalSizeBytesMax = 64 * 1024 * 1024
/** Page cache per database. */
const cacheSizeKibibytes = 32 * 1024
/** Pages in the WAL before they are moved into the file: imports rewrite the same pages, four times fewer moves. */
const checkpointPages = 4_000
const ownerOnly = 0o600

function pragma(database: Database.Database, text: string): unknown {
  return database.pragma(text, { simple: true })
}

/** How much of an existing file is looked at: all of it, all if it is small, or nothing because it was just looked at. */
export type Check = 'whole' | 'small' | 'none'

/** The name of the first table that is not well formed, or null. */
function damagedTable(database: Database.Database, check: 'whole' | 'small'): string | null {
  const tables = database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")
    .pluck()
    .all() as string[]
  const size = Number(pragma(database, 'page_count')) * Number(pragma(database, 'page_size'))
  for (const table of tables) {
    const name = `"${table}"`
    if (check === 'small' && size > checkedSizeBytesMax)
      database.prepare(`SELECT 1 FROM ${name} LIMIT 1`).get()
    else if (pragma(database, `quick_check(${name})`) !== 'ok') return table
  }
  return null
}

/** Throws when an existing file is foreign, damaged or newer than this program. Reads only. */
function checkExisting(
  database: Database.Database,
  file: string,
  schema: Schema,
  check: 'whole' | 'small',
): void {
  if (pragma(database, 'application_id') !== schema.applicationId)
    throw new DamagedDatabase(file, `damaged, or not Souk's ${schema.title}`)
  const version = Number(pragma(database, 'user_version'))
  if (version > schema.migrations.length)
    throw new StoreFailure(
      file,
      `format ${version} is newer than this program knows (${schema.migrations.length}); start a newer Souk`,
    )
  if (version < 1) throw new DamagedDatabase(file, 'damaged: it has no format version')
  const table = damagedTable(database, check)
  if (table !== null) throw new DamagedDatabase(file, `damaged: table ${table} is not well formed`)
}

function migrate(database: Database.Database, schema: Schema): void {
  for (
    let version = Number(pragma(database, 'user_version'));
    version < schema.migrations.length;
    version += 1
  ) {
    const step = schema.migrations[version] ?? ''
    database
      .transaction(() => {
        database.exec(step)
        pragma(database, `application_id = ${schema.applicationId}`)
        pragma(database, `user_version = ${version + 1}`)
      })
      .immediate()
  }
}

/**
 * WAL with synchronous=FULL: a WAL database that is opened again runs at NORMAL, which lost acknowledged rows in 340
 * of 516 replayed power cuts (LIMITS.md), so this is set at every open.
 */
function configure(database: Database.Database, file: string): void {
  // What is erased (contacts, accounts) is overwritten in the pages that are written anyway.
  database.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -${cacheSizeKibibytes}; PRAGMA secure_delete = FAST`)
  if (database.memory) return
  if (pragma(database, 'journal_mode = WAL') !== 'wal')
    throw new StoreFailure(file, "can't be switched to WAL")
  pragma(database, 'synchronous = FULL')
  pragma(database, `wal_autocheckpoint = ${checkpointPages}`)
  pragma(database, `journal_size_limit = ${journalSizeBytesMax}`)
}

/** What SQLite says of a file that is not a database or is torn. */
function asDamage(file: string, error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code
  if (typeof code === 'string' && /^SQLITE_(NOTADB|CORRUPT)/.test(code))
    return new DamagedDatabase(file, `damaged (${code})`, error)
  return translateError(file, error)
}

/** Checks, configures and migrates; closes the database again when it is refused. */
export function prepareDatabase(
  database: Database.Database,
  file: string,
  schema: Schema,
  check: Check,
): Database.Database {
  try {
    if (check !== 'none') checkExisting(database, file, schema, check)
    configure(database, file)
    migrate(database, schema)
    return database
  } catch (error) {
    database.close()
    throw asDamage(file, error)
  }
}

/** Opens `path`, or makes it (for the owner only) when `isNew`. Throws StoreFailure or DamagedDatabase. */
export function openFile(path: string, schema: Schema, isNew: boolean): Database.Database {
  try {
    // SQLite gives -wal and -shm the mode of the database file.
    if (isNew) closeSync(openSync(path, 'ax', ownerOnly))
    else if (statSync(path).size === 0) throw new DamagedDatabase(path, 'damaged: the file is empty')
    const database = new Database(path, { timeout: busyTimeoutMs })
    return prepareDatabase(database, path, schema, isNew ? 'none' : 'small')
  } catch (error) {
    throw error instanceof StoreFailure ? error : asDamage(path, error)
  }
}

/** Opens a file of ours that was checked a moment ago. */
export function reopenFile(path: string, schema: Schema): Database.Database {
  const database = new Database(path, { timeout: busyTimeoutMs, fileMustExist: true })
  return prepareDatabase(database, path, schema, 'none')
}

/** A database in memory: new, or from the bytes of an earlier one. */
export function openMemory(name: string, schema: Schema, image: Uint8Array | undefined): Database.Database {
  try {
    const database = image === undefined ? new Database(':memory:') : new Database(Buffer.from(image))
    return prepareDatabase(database, name, schema, image === undefined ? 'none' : 'small')
  } catch (error) {
    throw error instanceof StoreFailure ? error : asDamage(name, error)
  }
}
