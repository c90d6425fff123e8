/** A node that is killed while it makes or takes a snapshot has the old rows or the new ones afterwards, and no litter. */
import { cpSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openStores } from '../../node/store/index.ts'
import {
  Applying,
  memoryStores,
  options,
  replace,
  setCluster,
  temporaryDirectory,
} from '../support/store-world.ts'

/** What a kill at this moment would leave on the disk. Files may vanish while they are copied, as they do in a crash. */
function imageOf(directory: string): string {
  const image = join(temporaryDirectory(), 'image')
  cpSync(directory, image, {
    recursive: true,
    filter: (path) => !path.endsWith('-shm') && statSync(path, { throwIfNoEntry: false }) !== undefined,
  })
  return image
}

function litter(directory: string): string[] {
  return readdirSync(directory).filter((name) => /incoming|snapshot/.test(name))
}

test('killed at any moment of an installation: the old rows or the new ones', async () => {
  const source = memoryStores()
  const applying = new Applying(source.shop).begin()
  for (let number = 0; number < 40; number += 1) applying.change(replace(`new-${number}`))
  const directory = join(temporaryDirectory(), 'n1')
  const stores = openStores(directory, options())
  setCluster(stores)
  const own = new Applying(stores.shop).begin()
  own.change(replace('old'))
  const before = stores.shop.read.catalog()
  const after = source.shop.read.catalog()
  const copy = await source.shop.snapshot('full')
  const sink = stores.shop.receive('full')
  await sink.write(await copy.read(0, copy.sizeBytes))
  let ended = false
  const installing = sink.install().finally(() => (ended = true))
  const images = [imageOf(directory)]
  let seen = litter(directory).join()
  while (!ended) {
    await setImmediate()
    const now = litter(directory).join()
    if (now === seen) continue
    seen = now
    images.push(imageOf(directory))
  }
  await installing
  images.push(imageOf(directory))
  const found = new Set<number>()
  for (const image of images) {
    const reopened = openStores(image, options())
    expect([before, after]).toContainEqual(reopened.shop.read.catalog())
    expect(reopened.shopWasRebuilt).toBe(false)
    expect(litter(image)).toEqual([])
    found.add(reopened.shop.read.catalog().version)
    reopened.close()
  }
  expect([...found].sort((a, b) => a - b)).toEqual([before.version, after.version])
  expect(litter(directory)).toEqual([])
  stores.close()
})

test('closed in the middle of making and checking: nothing is changed, and the next start clears up', async () => {
  const source = memoryStores()
  new Applying(source.shop).begin().change(replace('new'))
  const directory = join(temporaryDirectory(), 'n1')
  const stores = openStores(directory, options())
  setCluster(stores)
  const copy = await source.shop.snapshot('catalog')
  const sink = stores.shop.receive('catalog')
  await sink.write(await copy.read(0, copy.sizeBytes))
  const outcomes = Promise.allSettled([stores.shop.snapshot('full'), sink.install()])
  stores.close()
  expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  const reopened = openStores(directory, options())
  expect(reopened.shop.read.catalog().version).toBe(0)
  expect(litter(directory)).toEqual([])
  reopened.close()
})
