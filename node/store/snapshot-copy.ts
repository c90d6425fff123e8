/**
 * What is done to a copy of `shop.db` before it is sent and before it is taken: rules about its rows, the same for
 * copies in memory and in files, on the event loop (memory) or in a thread (files).
 */
import type Database from 'better-sqlite3'
import { catalogDigestOf } from '../core/digest.ts'
import type { ClusterId, LogIndex } from '../ids.ts'
import type { AppliedState, CatalogState } from '../ports.ts'
import { Connection } from './connection.ts'
import { Meta } from './meta.ts'
import { notTaken } from './snapshot-format.ts'
import { votersOnlyMeta, votersOnlyTables } from './shop-schema.ts'
import { ShopTables } from './shop-tables.ts'

export type SnapshotKind = 'full' | 'catalog'
/** What the copy holds, said beside its bytes. */
export type SnapshotState = {
  readonly applied: AppliedState
  readonly catalog: CatalogState
  readonly membersVersion: LogIndex
}
/** What a node has, or a copy that could take its place. */
export type ShopState = SnapshotState & {
  readonly clusterId: ClusterId | null
  readonly feed: 'log' | 'broadcast'
}

export const nothingApplied: AppliedState = { index: 0, term: 0, config: { voters: [], learners: [] } }

/** Versions that travel along, so that whoever has the copy can help one that is a little behind it. */
const versionsSizeBytesMax = 8 * 1024 * 1024
/** More free pages than this share, and writing the file anew is cheaper than sending and keeping them. */
const freeShareMax = 0.5

/** Reads what a database is of. */
export function stateOf(meta: Meta, tables: ShopTables): ShopState {
  return {
    applied: meta.get('applied', nothingApplied),
    catalog: tables.catalog(),
    membersVersion: tables.membersVersion(),
    clusterId: meta.get<ClusterId | null>('cluster_id', null),
    feed: meta.get<'log' | 'broadcast'>('feed', 'broadcast'),
  }
}

function dropOldVersions(database: Database.Database): void {
  const rows = database
    .prepare('SELECT version, size_bytes AS size FROM catalog_versions ORDER BY version DESC')
    .all() as { version: number; size: number }[]
  let sizeBytes = 0
  const firstDropped = rows.find(({ size }) => (sizeBytes += size) > versionsSizeBytesMax)
  if (firstDropped !== undefined)
    database.prepare('DELETE FROM catalog_versions WHERE version <= ?').run(firstDropped.version)
}

/**
 * Makes a private copy ready to be sent and says what it is of. A catalog copy loses what only voters may hold,
 * and with secure_delete its bytes too. The copy is worth nothing after a crash, so nothing protects it from one.
 */
export function strip(database: Database.Database, kind: SnapshotKind): SnapshotState {
  database.pragma('journal_mode = OFF')
  database.pragma('synchronous = OFF')
  database.pragma('secure_delete = ON')
  database.pragma('foreign_keys = OFF')
  const connection = new Connection('snapshot', database)
  const meta = new Meta(connection)
  const { applied, catalog, membersVersion } = stateOf(meta, new ShopTables(connection, meta))
  database.exec('BEGIN')
  dropOldVersions(database)
  if (kind === 'catalog') {
    for (const table of votersOnlyTables) database.exec(`DELETE FROM ${table}`)
    for (const key of votersOnlyMeta) database.prepare('DELETE FROM meta WHERE key = ?').run(key)
  }
  database.exec('COMMIT')
  const pages = Number(database.pragma('page_count', { simple: true }))
  const free = Number(database.pragma('freelist_count', { simple: true }))
  if (free > pages * freeShareMax) database.exec('VACUUM')
  return { applied: kind === 'full' ? applied : nothingApplied, catalog, membersVersion }
}

/** Throws Fault when taking the copy would take this node back or elsewhere. Cheap, so it is asked again at the end. */
export function refuseOlder(copy: ShopState, own: ShopState, kind: SnapshotKind): void {
  if (copy.clusterId === null || (own.clusterId !== null && copy.clusterId !== own.clusterId))
    throw notTaken('it is of another cluster')
  if (copy.catalog.version < own.catalog.version)
    throw notTaken(`its catalog version ${copy.catalog.version} is older than ${own.catalog.version} here`)
  if (kind === 'full' && own.feed === 'log' && copy.applied.index < own.applied.index)
    throw notTaken(`its log index ${copy.applied.index} is before ${own.applied.index} here`)
}

/**
 * Checks the rows of a received copy (opening it checked its tables) against what it says of itself, and marks which
 * feed its new owner follows. Throws Fault when it is not taken.
 */
export function adopt(database: Database.Database, own: ShopState, kind: SnapshotKind): ShopState {
  const connection = new Connection('snapshot', database)
  const meta = new Meta(connection)
  const copy = stateOf(meta, new ShopTables(connection, meta))
  refuseOlder(copy, own, kind)
  const texts = database.prepare<[], string>('SELECT json FROM products').pluck().iterate()
  if (catalogDigestOf(texts) !== copy.catalog.digest) throw notTaken('its digest is not that of its products')
  connection.transaction(() => {
    meta.set('feed', kind === 'full' ? 'log' : 'broadcast')
    if (kind === 'catalog') meta.delete('applied')
  })
  return stateOf(meta, new ShopTables(connection, meta))
}

/**
 * The newer member list wins, by log index: a catalog may be newer than the list that came with it. Not in a full copy:
 * whoever goes on from it by the log must begin with exactly the rows of its index, or applying decides otherwise here.
 */
export function keepNewerMembers(database: Database.Database, own: ShopTables): void {
  const connection = new Connection('snapshot', database)
  const copy = new ShopTables(connection, new Meta(connection))
  if (own.membersVersion() <= copy.membersVersion()) return
  connection.transaction(() => {
    connection.run('DELETE FROM members')
    connection.run('DELETE FROM removed_members')
    for (const id of own.removedMembers()) copy.removeMember(id)
    for (const member of own.members()) copy.putMember(member)
    copy.setMembersVersion(own.membersVersion())
  })
}
