import type { CatalogVersion } from '../ids.ts'
import type { CatalogVersionRecord } from '../ports.ts'
import type { Connection } from './connection.ts'

/** Versions kept for members that lag; who is further behind takes a snapshot, which is quicker by then. */
const versionsMax = 2_000
/** Their JSON altogether: about what a snapshot of a large catalog weighs. */
const versionsSizeBytesMax = 64 * 1024 * 1024

type Row = { version: number; size_bytes: number; json: string }

/** Table `catalog_versions`: the newest versions, for broadcast and pull. */
export class VersionTable {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  append(record: CatalogVersionRecord): void {
    const json = JSON.stringify(record)
    this.#connection.run(
      'INSERT OR REPLACE INTO catalog_versions (version, size_bytes, json) VALUES (?, ?, ?)',
      record.version,
      Buffer.byteLength(json),
      json,
    )
    this.#connection.run('DELETE FROM catalog_versions WHERE version <= ?', record.version - versionsMax)
    let sizeBytes = this.#sizeBytes()
    while (sizeBytes > versionsSizeBytesMax) {
      const oldest = this.#connection.one<Row>('SELECT * FROM catalog_versions ORDER BY version LIMIT 1')
      if (oldest === undefined || oldest.version === record.version) return
      this.#connection.run('DELETE FROM catalog_versions WHERE version = ?', oldest.version)
      sizeBytes -= oldest.size_bytes
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
      const row = this.#connection.one<Row>('SELECT * FROM catalog_versions WHERE version = ?', version)
      if (row === undefined) return records.length === 0 ? null : records
      sizeBytes += row.size_bytes
      if (records.length > 0 && sizeBytes > sizeBytesMax) break
      records.push(JSON.parse(row.json) as CatalogVersionRecord)
    }
    return records
  }

  #sizeBytes(): number {
    const sql = 'SELECT sum(size_bytes) AS size FROM catalog_versions'
    return this.#connection.one<{ size: number | null }>(sql)?.size ?? 0
  }
}
