import { describe, expect, test } from 'vitest'
import type { Settings } from '../../node/replica/context.ts'
import { prepareStores } from '../../node/replica/start-up.ts'
import type { Logger, Random, Stores } from '../../node/ports.ts'
import { memoryWorld } from '../support/store-world.ts'

const logger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const random = { bytes: (size: number) => new Uint8Array(size).fill(7) } as unknown as Random

function prepare(stores: Stores): void {
  prepareStores({ stores, settings: { init: true } as Settings, random, logger })
}

describe('the configuration that a cluster begins with', () => {
  test('counts as applied: the only voter announces itself, snapshots and a shortened log name it', () => {
    const stores = memoryWorld().open()
    prepare(stores)
    const self = stores.log.identity().memberId
    expect(stores.shop.applied()).toEqual({ index: 0, term: 0, config: { voters: [self], learners: [] } })
  })

  test('comes back with a shop.db that was lost or written without it', () => {
    const stores = memoryWorld().open()
    prepare(stores)
    const { config } = stores.shop.applied()
    stores.shop.setApplied({ index: 5, term: 1, config: { voters: [], learners: [] } })
    prepare(stores)
    expect(stores.shop.applied()).toEqual({ index: 5, term: 1, config })
  })
})
