/**
 * One launcher at a time changes a cluster's directory. The lock is SQLite's own file lock, because the
 * kernel gives it up when its holder dies, however it dies; a file that merely exists would outlive it.
 */
import Database from 'better-sqlite3'
import { codeOf, Failure, progress } from './failure.ts'
import { filesOf } from './directory.ts'
import { poll } from './wait.ts'

/** A launcher holds the lock while it starts processes, which takes 25 nodes about a minute on 2 cores. */
const lockWaitMs = 120_000

/** Runs the task while no other launcher does so for this directory. Throws Failure when it never gets free. */
export async function withLock<T>(directory: string, task: () => Promise<T>): Promise<T> {
  const database = new Database(filesOf(directory).lock, { timeout: 0 })
  let told = false
  try {
    const locked = await poll(() => {
      if (tryLock(database)) return true
      if (!told) progress(`waiting for another launch-cluster.sh that is busy in ${directory}`)
      told = true
      return null
    }, lockWaitMs)
    if (locked === null)
      throw new Failure(`another launch-cluster.sh is still busy in ${directory}; try again`)
    return await task()
  } finally {
    database.close()
  }
}

function tryLock(database: Database.Database): boolean {
  try {
    // Nothing is ever written, so the journal that SQLite would lay beside the file is of no use.
    database.pragma('journal_mode = MEMORY')
    database.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if (codeOf(error) === 'SQLITE_BUSY') return false
    throw error
  }
}
