/** Where the three databases live: a directory of files, or memory. */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { StoreFailure } from '../faults.ts'
import type { ClusterId } from '../ids.ts'
import { Connection, translateError } from './connection.ts'
import { logSchema } from './log-schema.ts'
import { localSchema } from './local-schema.ts'
import { openFile, openMemory } from './open.ts'
import type { Schema } from './open.ts'
import { shopSchema } from './shop-schema.ts'
import { incomingFilePrefix, snapshotFilePrefix } from './shop-store.ts'

export type StoreName = 'log' | 'shop' | 'local'
export const storeNames: readonly StoreName[] = ['log', 'shop', 'local']
export type StoreImages = { readonly [N in StoreName]: Buffer | undefined }

const schemas: { readonly [N in StoreName]: Schema } = {
  log: logSchema,
  shop: shopSchema,
  local: localSchema,
}

export interface Place {
  /** For messages. */
  readonly title: string
  /** Of the files; null in memory. */
  readonly directory: string | null
  has(name: StoreName): boolean
  open(name: StoreName): Connection
  create(name: StoreName): Connection
  /** Renames a damaged database so that nothing is lost that somebody could still want to look at. */
  setAside(name: StoreName): void
  /** The three databases come into being together: what is half made after a crash is made again. */
  beginCreation(): void
  endCreation(): void
  release(): void
}

export class MemoryPlace implements Place {
  readonly title = 'memory'
  readonly directory = null
  readonly #images: StoreImages

  constructor(images: StoreImages) {
    this.#images = images
  }

  has(name: StoreName): boolean {
    return this.#images[name] !== undefined
  }

  open(name: StoreName): Connection {
    return new Connection(`${name}.db`, openMemory(`${name}.db`, schemas[name], this.#images[name]))
  }

  create(name: StoreName): Connection {
    return new Connection(`${name}.db`, openMemory(`${name}.db`, schemas[name], undefined))
  }

  setAside(): void {
    // The image stays with its owner.
  }

  beginCreation(): void {
    // Nothing outlives a crash in between.
  }

  endCreation(): void {
    // As above.
  }

  release(): void {
    // No lock to release.
  }
}

const ownerOnlyDirectory = 0o700
/** Exists from before the first database of a new node until after the last one is made. */
const creationMarker = 'creating'
/** Exists from before the first database of a survivor becomes another cluster's until after the last one has. */
const recoveryMarker = 'recovering'
/** What a recovery that was cut off goes on with. */
export type RecoveryMarker = {
  readonly from: ClusterId
  readonly to: ClusterId
  /** It held the orders: once shop.db is of the new cluster, it can't be seen any more. */
  readonly hasOrders: boolean
}

const sidecars = ['', '-wal', '-shm', '-journal'] as const

function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r')
  fsyncSync(descriptor)
  closeSync(descriptor)
}

/**
 * Keeps every other process out for as long as this one lives: SQLite's own lock on a small file, which the system
 * releases however the process ends.
 */
function lockDirectory(directory: string): Database.Database {
  const file = join(directory, 'lock.db')
  const lock = new Database(file, { timeout: 0 })
  try {
    chmodSync(file, 0o600)
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    const code = (error as { code?: unknown }).code
    if (typeof code === 'string' && code.startsWith('SQLITE_BUSY'))
      throw new StoreFailure(directory, 'another node is running in this directory', error)
    throw translateError(file, error)
  }
}

export class DirectoryPlace implements Place {
  readonly title: string
  readonly directory: string
  readonly #lock: Database.Database

  /**
   * Makes the directory if need be (not `forRecovery`), locks it, and clears what a crash left over. Throws StoreFailure,
   * also while a recovery is not finished.
   */
  constructor(directory: string, { forRecovery = false } = {}) {
    this.title = directory
    this.directory = directory
    if (forRecovery && !existsSync(directory)) throw new StoreFailure(directory, 'there is no node')
    try {
      mkdirSync(directory, { recursive: true, mode: ownerOnlyDirectory })
      this.#lock = lockDirectory(directory)
    } catch (error) {
      throw translateError(directory, error)
    }
    if (!forRecovery && this.recoveryMarker() !== null) {
      this.release()
      throw new StoreFailure(directory, 'a recovery was begun here and not finished; repeat it (--recover)')
    }
    for (const name of readdirSync(directory))
      if (name.startsWith(snapshotFilePrefix) || name.startsWith(incomingFilePrefix))
        rmSync(join(directory, name))
    if (existsSync(join(directory, creationMarker))) {
      for (const name of storeNames)
        for (const sidecar of sidecars) rmSync(this.#path(name) + sidecar, { force: true })
      this.endCreation()
    }
  }

  has(name: StoreName): boolean {
    return existsSync(this.#path(name))
  }

  open(name: StoreName): Connection {
    return new Connection(this.#path(name), openFile(this.#path(name), schemas[name], false))
  }

  create(name: StoreName): Connection {
    const connection = new Connection(this.#path(name), openFile(this.#path(name), schemas[name], true))
    syncDirectory(this.directory)
    return connection
  }

  setAside(name: StoreName): void {
    const path = this.#path(name)
    let number = 1
    while (existsSync(`${path}.damaged-${number}`)) number += 1
    for (const sidecar of sidecars)
      if (existsSync(path + sidecar)) renameSync(path + sidecar, `${path}.damaged-${number}${sidecar}`)
    syncDirectory(this.directory)
  }

  beginCreation(): void {
    closeSync(openSync(join(this.directory, creationMarker), 'w', 0o600))
    syncDirectory(this.directory)
  }

  endCreation(): void {
    rmSync(join(this.directory, creationMarker), { force: true })
    syncDirectory(this.directory)
  }

  recoveryMarker(): RecoveryMarker | null {
    const path = join(this.directory, recoveryMarker)
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as RecoveryMarker) : null
  }

  /** Whole or not there: written beside, then renamed. */
  beginRecovery(marker: RecoveryMarker): void {
    const path = join(this.directory, recoveryMarker)
    try {
      const descriptor = openSync(`${path}-new`, 'w', 0o600)
      writeFileSync(descriptor, JSON.stringify(marker))
      fsyncSync(descriptor)
      closeSync(descriptor)
      renameSync(`${path}-new`, path)
      syncDirectory(this.directory)
    } catch (error) {
      throw translateError(path, error)
    }
  }

  endRecovery(): void {
    rmSync(join(this.directory, recoveryMarker), { force: true })
    syncDirectory(this.directory)
  }

  release(): void {
    this.#lock.close()
  }

  #path(name: StoreName): string {
    return join(this.directory, `${name}.db`)
  }
}
