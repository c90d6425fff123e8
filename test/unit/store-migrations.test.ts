/** Older formats migrate, one step a transaction: a step that fails or finds no space leaves the version before it. */
import { join } from 'node:path'
import type Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { localSchema } from '../../node/store/local-schema.ts'
import { logSchema } from '../../node/store/log-schema.ts'
import { openFile } from '../../node/store/open.ts'
import type { Schema } from '../../node/store/open.ts'
import { shopSchema } from '../../node/store/shop-schema.ts'
import { temporaryDirectory } from '../support/store-world.ts'

describe('format versions', () => {
  const step1 = 'CREATE TABLE a (b INTEGER); INSERT INTO a VALUES (1);'
  const schema = (...migrations: string[]): Schema => ({ title: 'x.db', applicationId: 99, migrations })

  test('older ones migrate step by step, once', () => {
    const path = join(temporaryDirectory(), 'x.db')
    openFile(path, schema(step1), true).close()
    const three = schema(step1, 'ALTER TABLE a ADD COLUMN c INTEGER DEFAULT 2', 'UPDATE a SET b = b + c')
    for (const isNew of [false, false]) {
      const database = openFile(path, three, isNew)
      expect(database.prepare('SELECT * FROM a').all()).toEqual([{ b: 3, c: 2 }])
      expect(database.pragma('user_version', { simple: true })).toBe(3)
      database.close()
    }
  })

  test('a step that fails leaves the version before it', () => {
    const path = join(temporaryDirectory(), 'x.db')
    openFile(path, schema(step1), true).close()
    expect(() =>
      openFile(path, schema(step1, 'UPDATE a SET b = 7; SELECT nothing FROM nowhere'), false),
    ).toThrow('syntax error')
    const database = openFile(path, schema(step1), false)
    expect(database.prepare('SELECT * FROM a').all()).toEqual([{ b: 1 }])
    database.close()
  })

  test('a step that finds no space leaves the version before it; with space it is done', () => {
    const path = join(temporaryDirectory(), 'x.db')
    openFile(path, schema(step1), true).close()
    const large = `CREATE TABLE big (text TEXT); INSERT INTO big VALUES (zeroblob(200000));`
    const full = schema(
      step1,
      'ALTER TABLE a ADD COLUMN c INTEGER DEFAULT 2',
      `PRAGMA max_page_count = 5; ${large}`,
    )
    expect(() => openFile(path, full, false)).toThrow(expect.objectContaining({ code: 'disk-full' }))
    // The step before it is kept: a crash between two steps is this, and the next start goes on from there.
    const halfway = openFile(path, schema(step1, 'never run again'), false)
    expect([
      halfway.pragma('user_version', { simple: true }),
      halfway.prepare('SELECT * FROM a').all(),
    ]).toEqual([2, [{ b: 1, c: 2 }]])
    halfway.close()
    const database = openFile(path, schema(step1, 'never run again', large), false)
    expect(database.pragma('user_version', { simple: true })).toBe(3)
    expect(database.prepare('SELECT length(text) AS length FROM big').get()).toEqual({ length: 200_000 })
    database.close()
  })

  test.each([
    ['log.db', logSchema],
    ['shop.db', shopSchema],
    ['local.db', localSchema],
  ] as const)('a %s of every earlier version becomes what a new one is', (name, current) => {
    const directory = temporaryDirectory()
    const tables = (database: Database.Database): unknown =>
      database.prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY type, name').all()
    const fresh = openFile(join(directory, name), current, true)
    for (let version = 1; version < current.migrations.length; version += 1) {
      const path = join(directory, `${version}-${name}`)
      openFile(path, { ...current, migrations: current.migrations.slice(0, version) }, true).close()
      const migrated = openFile(path, current, false)
      expect(tables(migrated)).toEqual(tables(fresh))
      migrated.close()
    }
    expect(fresh.pragma('user_version', { simple: true })).toBe(current.migrations.length)
    fresh.close()
  })

  test('what a local.db held before it counted is counted', () => {
    const path = join(temporaryDirectory(), 'local.db')
    const before = openFile(path, { ...localSchema, migrations: localSchema.migrations.slice(0, 2) }, true)
    before.exec(`
      INSERT INTO carts VALUES ('a', x'00', 'h', '{}', NULL, 'set', 0), ('b', x'00', 'h', '{}', NULL, 'set', 0);
      INSERT INTO sessions VALUES ('a', 1, 'm1', '[]', 0), ('b', 1, 'm2', '[]', 0), ('c', 1, 'm2', '[]', 0);
    `)
    before.close()
    const database = openFile(path, localSchema, false)
    expect(database.prepare('SELECT name, count FROM counts').raw().all()).toEqual([
      ['carts', 2],
      ['home m1', 1],
      ['home m2', 2],
    ])
    database.close()
  })
})
