import type { CatalogVersion } from '../ids.ts'
import type { CatalogVersionRecord } from '../ports.ts'
import type { Connection } from './connection.ts'

/** Versions kept for members that lag; who is further behind takes a snapshot, which is quicker by then. */
const versionsMax = 2_000
/** Their JSON altogether: about what a snapshot of a large catalog weighs. */
const versionsSizeBytesMax = 64 * 1024 * 1024
/** … and this much for those who are reading a copy and will go on from its version: then they begin again. */
const versionsHeldSizeBytesMax = 256 * 1024 * 1024

type Row = { version: number; size_bytes: number }

/** Table `catalog_versions`: the newest versions, for broadcast and pull. */
export class VersionTable {
  readonly #connection: Connection
  /** Of all that are kept; null when it must be asked for. */
  #sizeBytes: number | null = null
  /** Null: nobody is going on from a version now. */
  oldestNeeded: () => CatalogVersion | null = () => null

  constructor(connection: Connection) {
    this.#connection = connection
    connection.onReset(() => (this.#sizeBytes = null))
  }

  append(record: CatalogVersionRecord): void {
    const json = JSON.stringify(record)
    const sizeBytes = Buffer.byteLength(json)
    const before = this.#size()
    // The digest keeps a version from coming twice; should one be replaced, the size is only asked for again.
    const replaced = this.#connection.run('DELETE FROM catalog_versions WHERE version = ?', record.version)
    this.#connection.run(
      'INSERT INTO catalog_versions (version, size_bytes, json) VALUES (?, ?, ?)',
      record.version,
      sizeBytes,
      json,
    )
    this.#sizeBytes = replaced > 0 ? null : before + sizeBytes
    this.#dropOldest(record.version)
  }

  #dropOldest(newest: CatalogVersion): void {
    const needed = this.oldestNeeded() ?? newest
    for (;;) {
      const oldest = this.#connection.one<Row>(
        'SELECT version, size_bytes FROM catalog_versions ORDER BY version LIMIT 1',
      )
      if (oldest === undefined || oldest.version >= newest) return
      const sizeBytes = this.#size()
      const isTooMuch = oldest.version <= newest - versionsMax || sizeBytes > versionsSizeBytesMax
      const isHeld = oldest.version > needed && sizeBytes <= versionsHeldSizeBytesMax
      if (!isTooMuch || isHeld) return
      this.#connection.run('DELETE FROM catalog_versions WHERE version = ?', oldest.version)
      this.#sizeBytes = sizeBytes - oldest.size_bytes
    }
  }

  /** Null when `afterVersion + 1` is no longer held although there are newer ones. */
  after(
    afterVersion: CatalogVersion,
    current: CatalogVersion,
    sizeBytesMax: number,
  ): CatalogVersionRecord[] | null {
    if (afterVersion >= current) return []
    const records: CatalogVersionRecord[] = []
    let sizeBytes = 0
    for (let version = afterVersion + 1; version <= current; version += 1) {
      const row = this.#connection.one<Row & { json: string }>(
        'SELECT * FROM catalog_versions WHERE version = ?',
        version,
      )
      if (row === undefined) return records.length === 0 ? null : records
      sizeBytes += row.size_bytes
      if (records.length > 0 && sizeBytes > sizeBytesMax) break
      records.push(JSON.parse(row.json) as CatalogVersionRecord)
    }
    return records
  }

  #size(): number {
    const sql = 'SELECT sum(size_bytes) AS size FROM catalog_versions'
    this.#sizeBytes ??= this.#connection.one<{ size: number | null }>(sql)?.size ?? 0
    return this.#sizeBytes
  }
}
