/**
 * The long work on snapshot files: seconds for a large catalog, during which a node must answer, vote and keep its
 * lease. So it runs in a thread (`snapshot-worker.ts`) on connections of its own. In WAL mode a reader never holds up
 * the writer; the write-ahead log can't be emptied while one reads, which is why the copy is made in one go, not
 * read out slowly to whoever fetches it.
 */
import { closeSync, fsyncSync, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs'
import Database from 'better-sqlite3'
import { StoreFailure } from '../faults.ts'
import { translateError } from './connection.ts'
import { prepareDatabase } from './open.ts'
import { adopt, strip } from './snapshot-copy.ts'
import type { ShopState, SnapshotKind, SnapshotState } from './snapshot-copy.ts'
import { blockSizeBytes, notTaken, pack, unpack } from './snapshot-format.ts'
import { shopSchema } from './shop-schema.ts'

/** `path`: of the packed copy. */
export type MakeJob = {
  readonly kind: 'make'
  readonly snapshot: SnapshotKind
  readonly shopFile: string
  readonly path: string
}
export type MadeCopy = { readonly state: SnapshotState; readonly sizeBytes: number }
/** `path`: of the packed copy that came; the database is made beside it. */
export type PrepareJob = {
  readonly kind: 'prepare'
  readonly snapshot: SnapshotKind
  readonly shopFile: string
  readonly path: string
  readonly own: ShopState
}

const ownerOnly = 0o600
/** As long as the main thread may hold a lock: it never does for more than a moment. */
const busyTimeoutMs = 10_000

/** The database of a packed copy, before it is packed and after it is unpacked. */
export function databaseFileOf(path: string): string {
  return `${path}.db`
}

/** A packed copy and whatever else may have been made for it. */
export function filesOfCopy(path: string): string[] {
  const file = databaseFileOf(path)
  return [path, ...['', '-journal', '-wal', '-shm'].map((sidecar) => file + sidecar)]
}

function removeCopy(path: string): void {
  for (const file of filesOfCopy(path)) rmSync(file, { force: true })
}

function withFile<T>(path: string, flags: string, work: (descriptor: number) => T): T {
  const descriptor = openSync(path, flags, ownerOnly)
  try {
    return work(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Fewer bytes than asked for only at the end of the file. */
function reading(descriptor: number): (sizeBytes: number) => Uint8Array {
  return (sizeBytes) => {
    const bytes = Buffer.allocUnsafe(sizeBytes)
    let filled = 0
    for (;;) {
      const count = readSync(descriptor, bytes, filled, sizeBytes - filled, null)
      filled += count
      if (count === 0 || filled === sizeBytes) return bytes.subarray(0, filled)
    }
  }
}

function* blocksIn(descriptor: number): Generator<Uint8Array> {
  const read = reading(descriptor)
  for (let block = read(blockSizeBytes); block.byteLength > 0; block = read(blockSizeBytes)) yield block
}

function writeAll(descriptor: number, parts: Iterable<Uint8Array>): void {
  for (const bytes of parts)
    for (let written = 0; written < bytes.byteLength;) written += writeSync(descriptor, bytes, written)
}

/** Copies what is committed now, as one moment, and packs it at `path`. Leaves nothing behind when it fails. */
export function makeCopy(job: MakeJob): MadeCopy {
  const file = databaseFileOf(job.path)
  try {
    // VACUUM INTO takes an empty file and keeps its mode: nobody else may read accounts while they lie there.
    withFile(file, 'ax', () => undefined)
    // Read-only: should the node close its own connection meanwhile, this one must not be the one that checkpoints.
    const shop = new Database(job.shopFile, { timeout: busyTimeoutMs, readonly: true })
    try {
      // The temporary file needs no fsync, whose writes the log's own would have to wait for.
      shop.pragma('synchronous = OFF')
      shop.prepare('VACUUM INTO ?').run(file)
    } finally {
      shop.close()
    }
    const copy = new Database(file)
    let state: SnapshotState
    try {
      state = strip(copy, job.snapshot)
    } finally {
      copy.close()
    }
    withFile(file, 'r', (from) => withFile(job.path, 'ax', (to) => writeAll(to, pack(blocksIn(from)))))
    rmSync(file)
    return { state, sizeBytes: statSync(job.path).size }
  } catch (error) {
    removeCopy(job.path)
    throw translateError(job.path, error)
  }
}

/** Unpacks, checks and adopts what came, and puts it on the disk: ready to be renamed. */
export function prepareCopy(job: PrepareJob): ShopState {
  const file = databaseFileOf(job.path)
  try {
    withFile(job.path, 'r', (from) => withFile(file, 'ax', (to) => writeAll(to, unpack(reading(from)))))
    rmSync(job.path)
    const state = adoptFile(file, job)
    withFile(file, 'r+', fsyncSync)
    moveLogIntoFile(job.shopFile)
    return state
  } catch (error) {
    removeCopy(job.path)
    throw translateError(file, error)
  }
}

function adoptFile(file: string, job: PrepareJob): ShopState {
  // SQLite takes an empty file for an empty database.
  if (statSync(file).size === 0) throw notTaken('it is empty')
  let copy: Database.Database
  try {
    copy = prepareDatabase(new Database(file), file, shopSchema, 'whole')
  } catch (error) {
    const translated = translateError(file, error)
    // What opening says about a copy that is no good is the sender's fault, not this node's disk's.
    throw translated instanceof StoreFailure ? notTaken(translated.message) : translated
  }
  try {
    return adopt(copy, job.own, job.snapshot)
  } finally {
    // Closing the only connection moves the write-ahead log into the file: one rename brings all of it.
    copy.close()
  }
}

/** The swap must empty the old file's write-ahead log, on the event loop: the less is in it by then the better. */
function moveLogIntoFile(shopFile: string): void {
  const shop = new Database(shopFile, { timeout: busyTimeoutMs, fileMustExist: true })
  try {
    shop.pragma('wal_checkpoint(PASSIVE)')
  } finally {
    shop.close()
  }
}
