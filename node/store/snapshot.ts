/** Consistent copies of `shop.db`, readable in chunks (DESIGN.md section 3, "Snapshots"). */
import { open, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import Database from 'better-sqlite3'
import { assert } from '../faults.ts'
import type { LogIndex } from '../ids.ts'
import type { AppliedState, CatalogState, SnapshotSource } from '../ports.ts'
import { translateError } from './connection.ts'
import type { Connection } from './connection.ts'
import { strip } from './snapshot-copy.ts'
import type { SnapshotKind, SnapshotState } from './snapshot-copy.ts'
import { blocksOf, pack } from './snapshot-format.ts'
import type { SnapshotThreads } from './snapshot-thread.ts'

abstract class Source implements SnapshotSource {
  readonly applied: AppliedState
  readonly catalog: CatalogState
  readonly membersVersion: LogIndex
  readonly sizeBytes: number

  constructor(state: SnapshotState, sizeBytes: number) {
    this.applied = state.applied
    this.catalog = state.catalog
    this.membersVersion = state.membersVersion
    this.sizeBytes = sizeBytes
  }

  abstract read(offset: number, sizeBytesMax: number): Promise<Uint8Array>
  abstract close(): Promise<void>
}

class BytesSource extends Source {
  readonly #bytes: Uint8Array

  constructor(state: SnapshotState, bytes: Uint8Array) {
    super(state, bytes.byteLength)
    this.#bytes = bytes
  }

  async read(offset: number, sizeBytesMax: number): Promise<Uint8Array> {
    return this.#bytes.slice(offset, offset + sizeBytesMax)
  }

  async close(): Promise<void> {
    // Memory is given back with the object.
  }
}

/** Reads a temporary file, which is gone after `close` (or, after a crash, at the next start). */
class FileSource extends Source {
  readonly #path: string
  #file: FileHandle | null

  constructor(state: SnapshotState, sizeBytes: number, path: string, file: FileHandle) {
    super(state, sizeBytes)
    this.#path = path
    this.#file = file
  }

  async read(offset: number, sizeBytesMax: number): Promise<Uint8Array> {
    assert(this.#file !== null, 'a closed snapshot is not read')
    try {
      const bytes = Buffer.alloc(Math.max(0, Math.min(sizeBytesMax, this.sizeBytes - offset)))
      const { bytesRead } = await this.#file.read(bytes, 0, bytes.length, offset)
      return bytes.subarray(0, bytesRead)
    } catch (error) {
      throw translateError(this.#path, error)
    }
  }

  async close(): Promise<void> {
    const file = this.#file
    if (file === null) return
    this.#file = null
    await file.close()
    await rm(this.#path, { force: true })
  }
}

/** A copy of a database in memory. */
export function memorySnapshot(connection: Connection, kind: SnapshotKind): SnapshotSource {
  const copy = new Database(connection.serialize())
  try {
    const state = strip(copy, kind)
    return new BytesSource(state, Buffer.concat([...pack(blocksOf(copy.serialize()))]))
  } finally {
    copy.close()
  }
}

/** A copy of a database file at `path`, which must not exist. Leaves nothing behind when it fails. */
export async function fileSnapshot(
  shopFile: string,
  kind: SnapshotKind,
  path: string,
  threads: SnapshotThreads,
): Promise<SnapshotSource> {
  const { state, sizeBytes } = await threads.make({ kind: 'make', snapshot: kind, shopFile, path })
  try {
    return new FileSource(state, sizeBytes, path, await open(path, 'r'))
  } catch (error) {
    await rm(path, { force: true })
    throw translateError(path, error)
  }
}
