/** What the stores make of SQLite's errors (LIMITS.md, "SQLite"): the policy after them is the driver's. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { StoreFailure } from '../../node/faults.ts'
import { Connection } from '../../node/store/connection.ts'
import { openFile } from '../../node/store/open.ts'
import { temporaryDirectory } from '../support/store-world.ts'

describe('errors of the disk', () => {
  test('full: Fault disk-full, nothing half done, and it recovers', () => {
    const path = join(temporaryDirectory(), 'x.db')
    const schema = { title: 'x', applicationId: 7, migrations: ['CREATE TABLE a (b TEXT)'] }
    const connection = new Connection(path, openFile(path, schema, true))
    connection.run("INSERT INTO a VALUES ('kept')")
    const pages = connection.one<{ page_count: number }>('PRAGMA page_count')?.page_count ?? 0
    connection.execute(`PRAGMA max_page_count = ${pages + 3}`)
    const fill = (): void =>
      connection.transaction(() => {
        for (let n = 0; n < 50; n += 1) connection.run('INSERT INTO a VALUES (?)', 'x'.repeat(2_000))
      })
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      expect(fill).toThrow(
        expect.objectContaining({ name: 'Fault', code: 'disk-full', retryAfterSeconds: 5 }),
      )
      expect(connection.all('SELECT b FROM a')).toEqual([{ b: 'kept' }])
    }
    connection.execute('PRAGMA max_page_count = 1000')
    fill()
    expect(connection.all('SELECT b FROM a')).toHaveLength(51)
    connection.close()
  })

  test('damage that shows later is a StoreFailure, other errors stay what they are', () => {
    const path = join(temporaryDirectory(), 'x.db')
    const schema = { title: 'x', applicationId: 7, migrations: ['CREATE TABLE a (b TEXT PRIMARY KEY)'] }
    const connection = new Connection(path, openFile(path, schema, true))
    for (let n = 0; n < 500; n += 1) connection.run('INSERT INTO a VALUES (?)', `${n}${'x'.repeat(500)}`)
    connection.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    connection.execute('PRAGMA cache_size = 1')
    expect(() => connection.run('INSERT INTO a VALUES (?)', `1${'x'.repeat(500)}`)).toThrow('UNIQUE')
    writeFileSync(path, readFileSync(path).fill(0xa5, 8_192))
    const read = (): unknown => connection.all('SELECT count(*), max(length(b)) FROM a')
    // Told before it is thrown, so that the process can end before anybody catches it.
    const told: string[] = []
    connection.onFailure(({ message }) => told.push(message))
    expect(read).toThrow(StoreFailure)
    expect(told).toEqual([expect.stringContaining('SQLITE_CORRUPT')])
    expect(read).toThrow(path)
    connection.close()
  })
})
