/** Opening a node's directory: what is refused, what is repaired, what survives a crash (DESIGN.md section 2). */
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { StoreFailure } from '../../node/faults.ts'
import { openStores } from '../../node/store/index.ts'
import { DamagedDatabase, openFile } from '../../node/store/open.ts'
import type { Schema } from '../../node/store/open.ts'
import {
  Applying,
  clusterId,
  copySnapshot,
  memoryStores,
  options,
  otherClusterId,
  replace,
  setCluster,
  temporaryDirectory,
} from '../support/store-world.ts'

const files = ['log.db', 'shop.db', 'local.db']

/** A directory with a little of everything, closed. */
function usedDirectory(products = 2): string {
  const directory = join(temporaryDirectory(), 'n1')
  const stores = openStores(directory, options())
  setCluster(stores)
  const applying = new Applying(stores.shop).begin()
  for (let n = 0; n < products; n += 1) applying.change(replace(`product-${n}`))
  stores.local.setSoldWatermark(5)
  stores.close()
  return directory
}

function contentOf(directory: string): { [name: string]: string } {
  const names = readdirSync(directory).filter((name) => files.includes(name))
  return Object.fromEntries(
    names.map((name) => [name, readFileSync(join(directory, name)).toString('base64')]),
  )
}

function failureOf(directory: string, more = {}): StoreFailure {
  try {
    openStores(directory, options(more)).close()
  } catch (error) {
    if (error instanceof StoreFailure) return error
    throw error
  }
  throw new Error('it opened')
}

const damages: [string, (path: string) => void][] = [
  ['emptied', (path) => truncateSync(path, 0)],
  ['cut short', (path) => truncateSync(path, 5_000)],
  ['overwritten', (path) => writeFileSync(path, 'not a database '.repeat(1_000))],
  ['another program’s', (path) => otherDatabase(path)],
  ['torn inside', (path) => tearPages(path)],
]

function otherDatabase(path: string): void {
  rmSync(path)
  const database = new Database(path)
  database.exec('CREATE TABLE notes (text TEXT)')
  database.close()
}

/** Every page but the first two is overwritten, as by a bad disk. */
function tearPages(path: string): void {
  const bytes = readFileSync(path)
  bytes.fill(0xa5, 8_192)
  writeFileSync(path, bytes)
}

describe('a new directory', () => {
  test('gets the three files, for the owner only', () => {
    const directory = usedDirectory()
    expect(
      readdirSync(directory)
        .filter((name) => name.endsWith('.db'))
        .sort(),
    ).toEqual([...files, 'lock.db'].sort())
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    for (const name of files) expect(statSync(join(directory, name)).mode & 0o777, `${name}`).toBe(0o600)
  })

  test('every open sets WAL and synchronous=FULL', () => {
    const directory = usedDirectory()
    const log = openStores(directory, options())
    log.close()
    const schema = { title: 'x', applicationId: 7, migrations: ['CREATE TABLE a (b)'] }
    const path = join(directory, 'x.db')
    for (const isNew of [true, false]) {
      const database = openFile(path, schema, isNew)
      expect(database.pragma('journal_mode', { simple: true })).toBe('wal')
      expect(database.pragma('synchronous', { simple: true })).toBe(2)
      expect(database.pragma('foreign_keys', { simple: true })).toBe(1)
      database.close()
    }
  })

  test('a creation that was cut off is done again', () => {
    const directory = usedDirectory()
    for (const missing of files) {
      const copy = join(temporaryDirectory(), 'n2')
      cpSync(directory, copy, { recursive: true })
      rmSync(join(copy, missing))
      writeFileSync(join(copy, 'creating'), '')
      const stores = openStores(copy, options())
      expect(stores.log.identity()).toMatchObject({ starts: 1, clusterId: null })
      stores.close()
      expect(existsSync(join(copy, 'creating'))).toBe(false)
    }
  })
})

describe('no directory', () => {
  test('a directory that can’t be made is a StoreFailure', () => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'file'), '')
    expect(failureOf(join(directory, 'file', 'n1')).file).toContain('n1')
  })
})

describe('a damaged or missing', () => {
  test.each(['log.db', 'local.db'])('%s: refused with the remedy, nothing changed', (name) => {
    const original = usedDirectory()
    for (const [how, damage] of [...damages, ['missing', (path: string) => rmSync(path)] as const]) {
      const directory = join(temporaryDirectory(), 'n1')
      cpSync(original, directory, { recursive: true })
      damage(join(directory, name))
      const before = contentOf(directory)
      const failure = failureOf(directory)
      expect(failure.message, `${how}`).toContain(name)
      expect(failure.message, `${how}`).toContain("wipe this node's directory")
      expect(contentOf(directory), `${how}`).toEqual(before)
    }
  })

  test('shop.db: set aside and begun again', () => {
    const original = usedDirectory()
    for (const [how, damage] of [...damages, ['missing', (path: string) => rmSync(path)] as const]) {
      const directory = join(temporaryDirectory(), 'n1')
      cpSync(original, directory, { recursive: true })
      damage(join(directory, 'shop.db'))
      const stores = openStores(directory, options())
      expect(stores.shopWasRebuilt, `${how}`).toBe(true)
      expect(
        [stores.shop.applied().index, stores.shop.read.catalog().version, stores.shop.clusterId()],
        `${how}`,
      ).toEqual([0, 0, clusterId])
      expect(stores.local.soldWatermark()).toBe(5)
      stores.close()
      expect(existsSync(join(directory, 'shop.db.damaged-1')), `${how}`).toBe(how !== 'missing')
      const again = openStores(directory, options())
      expect(again.shopWasRebuilt).toBe(false)
      again.close()
    }
  })

  test('several damaged shop.db are all kept', () => {
    const directory = usedDirectory()
    for (const number of [1, 2, 3]) {
      truncateSync(join(directory, 'shop.db'), 0)
      openStores(directory, options()).close()
      expect(existsSync(join(directory, `shop.db.damaged-${number}`))).toBe(true)
    }
  })

  test('mix of clusters: refused', () => {
    const directory = usedDirectory()
    const other = join(temporaryDirectory(), 'n2')
    const stores = openStores(other, options())
    setCluster(stores, otherClusterId)
    stores.close()
    for (const name of files) {
      const mixed = join(temporaryDirectory(), 'mixed')
      cpSync(directory, mixed, { recursive: true })
      copyFileSync(join(other, name), join(mixed, name))
      expect(failureOf(mixed).message, `${name}`).toContain('different clusters')
    }
    expect(failureOf(directory, { clusterIdExpected: otherClusterId }).message).toContain(otherClusterId)
    const fine = openStores(directory, options({ clusterIdExpected: clusterId }))
    fine.close()
  })

  test('file swapped for another of the three: refused or rebuilt, never taken', () => {
    const directory = usedDirectory()
    copyFileSync(join(directory, 'local.db'), join(directory, 'log.db'))
    expect(failureOf(directory).message).toContain('log.db')
  })
})

describe('format versions', () => {
  const schema = (...migrations: string[]): Schema => ({ title: 'x.db', applicationId: 99, migrations })

  test('newer ones are refused, also a newer shop.db, and nothing is changed', () => {
    for (const name of files) {
      const directory = usedDirectory()
      const database = new Database(join(directory, name))
      database.pragma('user_version = 99')
      database.close()
      const before = contentOf(directory)
      expect(failureOf(directory).message).toContain('newer than this program')
      expect(contentOf(directory)).toEqual(before)
    }
  })

  test('a file without our application id is damaged', () => {
    const path = join(temporaryDirectory(), 'x.db')
    otherDatabase2(path)
    expect(() => openFile(path, schema('CREATE TABLE a (b)'), false)).toThrow(DamagedDatabase)
  })
})

function otherDatabase2(path: string): void {
  writeFileSync(path, '')
  otherDatabase(path)
}

describe('two processes', () => {
  test('can’t open one directory; the lock dies with its holder', () => {
    const directory = usedDirectory()
    const stores = openStores(directory, options())
    expect(failureOf(directory).message).toContain('another node is running')
    const program = `
      const { default: Database } = await import('better-sqlite3')
      const lock = new Database(process.argv[1], { timeout: 0 })
      try { lock.exec('BEGIN EXCLUSIVE'); console.log('locked'); process.kill(process.pid, 'SIGKILL') }
      catch (error) { console.log(error.code) }`
    const other = (): string =>
      spawnSync(process.execPath, ['--input-type=module', '-e', program, join(directory, 'lock.db')], {
        encoding: 'utf8',
        cwd: join(import.meta.dirname, '../..'),
      }).stdout.trim()
    expect(other()).toBe('SQLITE_BUSY')
    stores.close()
    expect(other()).toBe('locked')
    openStores(directory, options()).close()
  })
})

describe('a crash', () => {
  test('between any two writes keeps exactly what was written', () => {
    const directory = join(temporaryDirectory(), 'n1')
    const stores = openStores(directory, options())
    setCluster(stores)
    const applying = new Applying(stores.shop).begin()
    for (let n = 1; n <= 5; n += 1) {
      applying.change(replace(`product-${n}`))
      stores.log.persist({
        hardState: { term: n, vote: null },
        truncateFrom: null,
        append: [{ index: n, term: n, kind: 'noop', data: '' }],
      })
      const image = join(temporaryDirectory(), 'image')
      cpSync(directory, image, { recursive: true, filter: (path) => !path.endsWith('-shm') })
      const copy = openStores(image, options())
      expect(copy.shop.read.catalog()).toEqual(stores.shop.read.catalog())
      expect([copy.shop.applied().index, copy.log.lastIndex(), copy.log.hardState().term]).toEqual([
        applying.index,
        n,
        n,
      ])
      copy.close()
    }
    stores.close()
  })

  test('in the middle of a transaction leaves nothing of it', () => {
    const directory = usedDirectory(3)
    const stores = openStores(directory, options())
    const image = join(temporaryDirectory(), 'image')
    const before = stores.shop.read.catalog()
    stores.shop.transaction((tables) => {
      tables.setCurrency('EUR')
      tables.setCatalog({ ...before, version: 99 })
      cpSync(directory, image, { recursive: true, filter: (path) => !path.endsWith('-shm') })
    })
    const copy = openStores(image, options())
    expect([copy.shop.read.currency(), copy.shop.read.catalog()]).toEqual(['USD', before])
    copy.close()
    stores.close()
  })

  test('while a snapshot arrives or is made leaves the old rows, and no files', async () => {
    const source = memoryStores()
    new Applying(source.shop).begin().change(replace('from-snapshot'))
    const directory = join(temporaryDirectory(), 'n1')
    const stores = openStores(directory, options())
    setCluster(stores)
    const snapshot = await source.shop.snapshot('full')
    const sink = stores.shop.receive('full')
    await sink.write(await snapshot.read(0, 20_000))
    const own = await stores.shop.snapshot('catalog')
    const image = join(temporaryDirectory(), 'image')
    cpSync(directory, image, { recursive: true, filter: (path) => !path.endsWith('-shm') })
    expect(readdirSync(image).filter((name) => /incoming|snapshot/.test(name))).toHaveLength(2)
    const copy = openStores(image, options())
    expect(copy.shop.read.catalog().version).toBe(0)
    expect(readdirSync(image).filter((name) => /incoming|snapshot/.test(name))).toEqual([])
    copy.close()
    await own.close()
    await sink.abandon()
    await copySnapshot(source.shop, stores.shop, 'full')
    expect(stores.shop.read.catalog().version).toBe(1)
    expect(readdirSync(directory).filter((name) => /incoming|snapshot/.test(name))).toEqual([])
    stores.close()
  })

  test('right after a snapshot was swapped in keeps all of it', async () => {
    const source = memoryStores()
    const applying = new Applying(source.shop).begin()
    for (let n = 0; n < 50; n += 1) applying.change(replace(`new-${n}`))
    const directory = usedDirectory(40)
    const stores = openStores(directory, options())
    stores.shop.transaction((tables) => tables.setCurrency('EUR'))
    await copySnapshot(source.shop, stores.shop, 'full')
    const image = join(temporaryDirectory(), 'image')
    cpSync(directory, image, { recursive: true, filter: (path) => !path.endsWith('-shm') })
    const copy = openStores(image, options())
    expect([copy.shop.read.catalog(), copy.shop.read.currency()]).toEqual([source.shop.read.catalog(), 'USD'])
    copy.close()
    stores.close()
  })
})
