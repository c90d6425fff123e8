/**
 * Takes a snapshot in: chunks are collected, then checked, then swapped in as a whole. At a crash at any point the old
 * database or the new one is there, never something between (DESIGN.md section 3, "Snapshots").
 */
import {
  close,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  write,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { Fault, StoreFailure, assert, isFault } from '../faults.ts'
import type { SnapshotSink } from '../ports.ts'
import { translateError } from './connection.ts'
import type { Connection } from './connection.ts'
import { Meta } from './meta.ts'
import { openMemory, reopenFile } from './open.ts'
import { adopt, keepNewerMembers, refuseOlder } from './snapshot-copy.ts'
import type { ShopState, SnapshotKind } from './snapshot-copy.ts'
import { notTaken, readerOf, unpack } from './snapshot-format.ts'
import { databaseFileOf, filesOfCopy } from './snapshot-jobs.ts'
import type { SnapshotThreads } from './snapshot-thread.ts'
import { shopSchema } from './shop-schema.ts'
import { ShopTables } from './shop-tables.ts'

export type SinkOptions = {
  readonly kind: SnapshotKind
  readonly connection: Connection
  /** What the node has now, against which the copy is checked, at the beginning and again at the end. */
  readonly own: () => ShopState
}

const ownerOnly = 0o600
const writeAsync = promisify(write)
const closeAsync = promisify(close)

function ownTables({ connection }: SinkOptions): ShopTables {
  return new ShopTables(connection, new Meta(connection))
}

/** Until the swap nothing of this node's is touched: whatever went wrong is about the copy, and no reason to end. */
function asFault(error: unknown): Fault {
  if (isFault(error)) return error
  return notTaken(error instanceof Error ? error.message : String(error))
}

export class MemorySink implements SnapshotSink {
  readonly #options: SinkOptions
  #chunks: Uint8Array[] | null = []

  constructor(options: SinkOptions) {
    this.#options = options
  }

  async write(bytes: Uint8Array): Promise<void> {
    assert(this.#chunks !== null, 'a snapshot that ended takes no more bytes')
    this.#chunks.push(bytes.slice())
  }

  async install(swapped?: () => void): Promise<void> {
    assert(this.#chunks !== null, 'a snapshot is installed once')
    const packed = Buffer.concat(this.#chunks)
    this.#chunks = null
    const bytes = Buffer.concat([...unpack(readerOf(packed))])
    let database: Database.Database
    try {
      database = openMemory('snapshot', shopSchema, bytes)
    } catch (error) {
      throw asFault(error)
    }
    try {
      adopt(database, this.#options.own(), this.#options.kind)
      if (this.#options.kind === 'catalog') keepNewerMembers(database, ownTables(this.#options))
    } catch (error) {
      database.close()
      throw error
    }
    const { connection } = this.#options
    connection.database.close()
    connection.replace(database)
    swapped?.()
  }

  async abandon(): Promise<void> {
    this.#chunks = null
  }
}

/** Makes renames and removals in the directory durable. */
function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r')
  fsyncSync(descriptor)
  closeSync(descriptor)
}

export class FileSink implements SnapshotSink {
  readonly #options: SinkOptions
  readonly #path: string
  readonly #threads: SnapshotThreads
  #descriptor: number | null
  #ended = false

  /** `path` is for the incoming copy, in the directory of the database. */
  constructor(options: SinkOptions, path: string, threads: SnapshotThreads) {
    this.#options = options
    this.#path = path
    this.#threads = threads
    try {
      this.#descriptor = openSync(path, 'ax', ownerOnly)
    } catch (error) {
      throw translateError(path, error)
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    const descriptor = this.#descriptor
    assert(descriptor !== null, 'a snapshot that ended takes no more bytes')
    try {
      for (let written = 0; written < bytes.length;) {
        const { bytesWritten } = await writeAsync(descriptor, bytes, written)
        written += bytesWritten
      }
    } catch (error) {
      throw translateError(this.#path, error)
    }
  }

  async install(swapped?: () => void): Promise<void> {
    assert(this.#descriptor !== null && !this.#ended, 'a snapshot is installed once')
    const { kind, connection, own } = this.#options
    try {
      await this.#closeDescriptor()
      const job = {
        kind: 'prepare',
        snapshot: kind,
        shopFile: connection.file,
        path: this.#path,
        own: own(),
      } as const
      const copy = await this.#threads.prepare(job)
      // A copy that is being made reads the old file: it could not be closed for good.
      await this.#threads.whenNobodyReads()
      // The node worked on meanwhile.
      refuseOlder(copy, own(), kind)
      this.#addNewerMembers(copy)
      this.#emptyLog()
    } catch (error) {
      await this.abandon()
      throw asFault(error)
    }
    this.#ended = true
    const old = `${this.#path}.old`
    this.#swap(old)
    swapped?.()
    await rm(old, { force: true })
  }

  async abandon(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    await this.#closeDescriptor()
    await Promise.all(filesOfCopy(this.#path).map((file) => rm(file, { force: true })))
  }

  #addNewerMembers(copy: ShopState): void {
    if (this.#options.kind === 'full' || this.#options.own().membersVersion <= copy.membersVersion) return
    const database = reopenFile(databaseFileOf(this.#path), shopSchema)
    try {
      keepNewerMembers(database, ownTables(this.#options))
    } finally {
      database.close()
    }
  }

  /** All that is committed moves into the old file, or nothing is done: another program may be reading it. */
  #emptyLog(): void {
    const { database } = this.#options.connection
    const timeoutMs = database.pragma('busy_timeout', { simple: true }) as number
    database.pragma('busy_timeout = 0')
    const [result] = database.pragma('wal_checkpoint(TRUNCATE)') as { busy: number }[]
    database.pragma(`busy_timeout = ${timeoutMs}`)
    if (result?.busy !== 0)
      throw new Fault('overloaded', 'another program reads the database', {}, { retryAfterSeconds: 1 })
  }

  /**
   * The old write-ahead log must be gone before the new file has its name, or SQLite would replay it over the new rows:
   * closing the last connection removes it, emptied as it is, and that removal is made durable first. What fails here
   * leaves this node without a database: StoreFailure.
   */
  #swap(old: string): void {
    const { connection } = this.#options
    const file = connection.file
    try {
      connection.close()
      rmSync(`${file}-wal`, { force: true })
      rmSync(`${file}-shm`, { force: true })
      syncDirectory(dirname(file))
      // A second name, so that giving back the space of the old file is not waited for.
      linkSync(file, old)
      renameSync(databaseFileOf(this.#path), file)
      syncDirectory(dirname(file))
      assert(!existsSync(`${file}-wal`), 'the new file must not meet the old write-ahead log')
      connection.replace(reopenFile(file, shopSchema))
    } catch (error) {
      const translated = translateError(file, error)
      throw translated instanceof StoreFailure
        ? translated
        : new StoreFailure(file, "a snapshot can't be swapped in", error)
    }
  }

  async #closeDescriptor(): Promise<void> {
    const descriptor = this.#descriptor
    if (descriptor === null) return
    this.#descriptor = null
    await closeAsync(descriptor)
  }
}
