/** Consistent copies of `shop.db`, readable in chunks (DESIGN.md section 3, "Snapshots"). */
import { closeSync, fstatSync, openSync, readSync, rmSync } from 'node:fs'
import Database from 'better-sqlite3'
import { assert } from '../faults.ts'
import type { LogIndex } from '../ids.ts'
import type { AppliedState, CatalogState, SnapshotSource } from '../ports.ts'
import { translateError } from './connection.ts'
import type { Connection } from './connection.ts'
import { votersOnlyMeta, votersOnlyTables } from './shop-schema.ts'

export type SnapshotKind = 'full' | 'catalog'
/** What the copy holds, said beside its bytes. */
export type SnapshotState = {
  readonly applied: AppliedState
  readonly catalog: CatalogState
  readonly membersVersion: LogIndex
}

const ownerOnly = 0o600

/** Removes what only voters may hold, also from free pages: VACUUM writes the file anew without them. */
function scrub(database: Database.Database): void {
  database.pragma('foreign_keys = OFF')
  for (const table of votersOnlyTables) database.exec(`DELETE FROM ${table}`)
  for (const key of votersOnlyMeta) database.prepare('DELETE FROM meta WHERE key = ?').run(key)
  database.exec('VACUUM')
}

class BytesSource implements SnapshotSource {
  readonly applied: AppliedState
  readonly catalog: CatalogState
  readonly membersVersion: LogIndex
  readonly #bytes: Uint8Array

  constructor(state: SnapshotState, bytes: Uint8Array) {
    this.applied = state.applied
    this.catalog = state.catalog
    this.membersVersion = state.membersVersion
    this.#bytes = bytes
  }

  get sizeBytes(): number {
    return this.#bytes.byteLength
  }

  async read(offset: number, sizeBytesMax: number): Promise<Uint8Array> {
    return this.#bytes.slice(offset, offset + sizeBytesMax)
  }

  async close(): Promise<void> {
    // Memory is given back with the object.
  }
}

/** Reads a temporary file, which is gone after `close` (or, after a crash, at the next start). */
class FileSource implements SnapshotSource {
  readonly applied: AppliedState
  readonly catalog: CatalogState
  readonly membersVersion: LogIndex
  readonly sizeBytes: number
  readonly #path: string
  #descriptor: number | null

  constructor(state: SnapshotState, path: string) {
    this.applied = state.applied
    this.catalog = state.catalog
    this.membersVersion = state.membersVersion
    this.#path = path
    this.#descriptor = openSync(path, 'r')
    this.sizeBytes = fstatSync(this.#descriptor).size
  }

  async read(offset: number, sizeBytesMax: number): Promise<Uint8Array> {
    assert(this.#descriptor !== null, 'a closed snapshot is not read')
    try {
      const bytes = Buffer.alloc(Math.max(0, Math.min(sizeBytesMax, this.sizeBytes - offset)))
      const count = readSync(this.#descriptor, bytes, 0, bytes.length, offset)
      return new Uint8Array(bytes.subarray(0, count))
    } catch (error) {
      throw translateError(this.#path, error)
    }
  }

  async close(): Promise<void> {
    if (this.#descriptor === null) return
    closeSync(this.#descriptor)
    this.#descriptor = null
    rmSync(this.#path, { force: true })
  }
}

/** A copy of a database in memory. */
export function memorySnapshot(
  connection: Connection,
  kind: SnapshotKind,
  state: SnapshotState,
): SnapshotSource {
  const bytes = connection.serialize()
  if (kind === 'full') return new BytesSource(state, bytes)
  const copy = new Database(bytes)
  try {
    scrub(copy)
    return new BytesSource(state, copy.serialize())
  } finally {
    copy.close()
  }
}

/** A copy of a database file at `path`, which must not exist. Leaves nothing behind when it fails. */
export function fileSnapshot(
  connection: Connection,
  kind: SnapshotKind,
  state: SnapshotState,
  path: string,
): SnapshotSource {
  try {
    // VACUUM INTO takes an empty file and keeps its mode: nobody else may read accounts while they lie there.
    closeSync(openSync(path, 'ax', ownerOnly))
    connection.run('VACUUM INTO ?', path)
    if (kind === 'catalog') scrubFile(path)
    return new FileSource(state, path)
  } catch (error) {
    rmSync(path, { force: true })
    throw translateError(path, error)
  }
}

function scrubFile(path: string): void {
  const copy = new Database(path)
  try {
    // The copy is worth nothing after a crash, so it needs no protection against one.
    copy.pragma('journal_mode = MEMORY')
    copy.pragma('synchronous = OFF')
    scrub(copy)
  } finally {
    copy.close()
  }
}
