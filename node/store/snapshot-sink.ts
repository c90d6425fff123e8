/**
 * Takes a snapshot in: chunks are collected, then checked, then swapped in as a whole. At a crash at any point the old
 * database or the new one is there, never something between (DESIGN.md section 3, "Snapshots").
 */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import Database from 'better-sqlite3'
import { Fault, StoreFailure, assert } from '../faults.ts'
import type { ClusterId, Digest } from '../ids.ts'
import type { SnapshotSink } from '../ports.ts'
import { Connection, translateError } from './connection.ts'
import { Meta } from './meta.ts'
import { openFile, openMemory, prepareDatabase } from './open.ts'
import { shopSchema } from './shop-schema.ts'
import { ShopTables } from './shop-tables.ts'
import type { SnapshotKind, SnapshotState } from './snapshot.ts'

/** What the node has now, against which the copy is checked. */
export type OwnState = SnapshotState & {
  readonly clusterId: ClusterId | null
  readonly feed: 'log' | 'broadcast'
}
/** Recomputes a catalog digest from product texts (node/core/digest.ts); `store/` may not import it. */
export type DigestOf = (productTexts: Iterable<string>) => Digest
export type SinkOptions = {
  readonly kind: SnapshotKind
  readonly connection: Connection
  readonly own: () => OwnState
  readonly digestOf: DigestOf | undefined
}

const ownerOnly = 0o600

function notTaken(reason: string): Fault {
  return new Fault('conflict', `the snapshot is not taken: ${reason}`)
}

/** Throws Fault unless the copy is whole and not older than what the node has. */
function check(copy: ShopTables, meta: Meta, own: OwnState, options: SinkOptions): void {
  const clusterId = meta.get<ClusterId | null>('cluster_id', null)
  if (clusterId === null || (own.clusterId !== null && clusterId !== own.clusterId))
    throw notTaken('it is of another cluster')
  const catalog = copy.catalog()
  if (catalog.version < own.catalog.version)
    throw notTaken(`its catalog version ${catalog.version} is older than ${own.catalog.version} here`)
  const applied = meta.get('applied', { index: 0 })
  if (options.kind === 'full' && own.feed === 'log' && applied.index < own.applied.index)
    throw notTaken(`its log index ${applied.index} is before ${own.applied.index} here`)
  const digest = options.digestOf?.(copy.products.texts())
  if (digest !== undefined && digest !== catalog.digest)
    throw notTaken('its digest is not that of its products')
}

/**
 * The newer member list wins, by log index: a catalog may be newer than the list that came with it. Not in a full copy:
 * whoever goes on from it by the log must begin with exactly the rows of its index, or applying decides otherwise here.
 */
function keepNewerMembers(copy: ShopTables, connection: Connection, own: ShopTables): void {
  if (own.membersVersion() <= copy.membersVersion()) return
  connection.run('DELETE FROM members')
  connection.run('DELETE FROM removed_members')
  for (const id of own.removedMembers()) copy.removeMember(id)
  for (const member of own.members()) copy.putMember(member)
  copy.setMembersVersion(own.membersVersion())
}

/** Checks the copy (opening it checked its tables) and makes it this node's: feed, members. */
function adopt(database: Database.Database, file: string, options: SinkOptions): void {
  const connection = new Connection(file, database)
  const meta = new Meta(connection)
  const copy = new ShopTables(connection, meta)
  check(copy, meta, options.own(), options)
  connection.transaction(() => {
    if (options.kind === 'catalog')
      keepNewerMembers(copy, connection, new ShopTables(options.connection, new Meta(options.connection)))
    meta.set('feed', options.kind === 'full' ? 'log' : 'broadcast')
    if (options.kind === 'catalog') meta.delete('applied')
  })
}

/** What opening says about a copy that is no good is the sender's fault, not this node's disk's. */
function asFault(error: unknown): unknown {
  return error instanceof StoreFailure ? notTaken(error.message) : error
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

  async install(): Promise<void> {
    assert(this.#chunks !== null, 'a snapshot is installed once')
    const bytes = Buffer.concat(this.#chunks)
    this.#chunks = null
    let database: Database.Database
    try {
      database = openMemory('snapshot', shopSchema, bytes)
    } catch (error) {
      throw asFault(error)
    }
    try {
      adopt(database, 'snapshot', this.#options)
    } catch (error) {
      database.close()
      throw error
    }
    const { connection } = this.#options
    connection.database.close()
    connection.replace(database)
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

function syncFile(path: string): void {
  const descriptor = openSync(path, 'r+')
  fsyncSync(descriptor)
  closeSync(descriptor)
}

export class FileSink implements SnapshotSink {
  readonly #options: SinkOptions
  readonly #path: string
  #descriptor: number | null
  #ended = false

  /** `path` is for the incoming copy, in the directory of the database. */
  constructor(options: SinkOptions, path: string) {
    this.#options = options
    this.#path = path
    this.#descriptor = this.#guard(() => openSync(path, 'ax', ownerOnly))
  }

  async write(bytes: Uint8Array): Promise<void> {
    const descriptor = this.#descriptor
    assert(descriptor !== null, 'a snapshot that ended takes no more bytes')
    this.#guard(() => {
      for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written)
    })
  }

  async install(): Promise<void> {
    assert(this.#descriptor !== null && !this.#ended, 'a snapshot is installed once')
    try {
      this.#closeDescriptor()
      this.#prepare()
    } catch (error) {
      await this.abandon()
      throw error
    }
    this.#ended = true
    this.#guard(() => this.#swap())
  }

  async abandon(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    this.#closeDescriptor()
    rmSync(this.#path, { force: true })
  }

  #prepare(): void {
    const path = this.#path
    let database: Database.Database
    try {
      database = prepareDatabase(new Database(path), path, shopSchema, false)
    } catch (error) {
      const translated = translateError(path, error)
      throw asFault(translated)
    }
    try {
      // One file, so that one rename brings all of it.
      database.pragma('journal_mode = DELETE')
      database.pragma('synchronous = FULL')
      adopt(database, path, this.#options)
    } finally {
      database.close()
    }
    this.#guard(() => syncFile(path))
  }

  /**
   * The old write-ahead log must be gone before the new file has its name, or SQLite would replay it over the new rows:
   * closing the last connection checkpoints and removes it, and that removal is made durable first.
   */
  #swap(): void {
    const { connection } = this.#options
    const file = connection.file
    connection.database.pragma('wal_checkpoint(TRUNCATE)')
    connection.close()
    rmSync(`${file}-wal`, { force: true })
    rmSync(`${file}-shm`, { force: true })
    syncDirectory(dirname(file))
    renameSync(this.#path, file)
    syncDirectory(dirname(file))
    assert(!existsSync(`${file}-wal`), 'the new file must not meet the old write-ahead log')
    connection.replace(openFile(file, shopSchema, false))
  }

  #closeDescriptor(): void {
    if (this.#descriptor === null) return
    closeSync(this.#descriptor)
    this.#descriptor = null
  }

  #guard<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw translateError(this.#path, error)
    }
  }
}
