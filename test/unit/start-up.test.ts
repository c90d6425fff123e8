import { describe, expect, test } from 'vitest'
import type { Settings } from '../../node/replica/context.ts'
import { prepareStores } from '../../node/replica/start-up.ts'
import type { Logger, Random, Stores } from '../../node/ports.ts'
import { Applying, memberJoin, memoryStores, memoryWorld } from '../support/store-world.ts'

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

describe('a shop.db that follows the log again', () => {
  const member = { ...memberJoin('n7'), draining: false, joinedIndex: 30 }
  const gossip = (stores: Stores): void =>
    stores.shop.transaction((tables) => {
      tables.setCurrency('USD')
      tables.putMember(member)
      tables.setMembersVersion(30)
    })

  test('from the first entry: begins with no rows, as every other voter did', () => {
    const stores = memoryStores()
    gossip(stores)
    stores.shop.startFromLog()
    const { read } = stores.shop
    expect([read.members(), read.membersVersion(), read.currency()]).toEqual([[], 0, null])
    expect([stores.shop.feed(), stores.shop.applied().index]).toEqual(['log', 0])
    const begun = new Applying(stores.shop).begin()
    expect([read.membersVersion(), begun.index]).toEqual([1, 1])
  })

  test('a former voter that lives on the broadcast stays there, whatever its log holds', () => {
    const stores = memoryStores()
    stores.shop.setApplied({ index: 5, term: 1, config: { voters: [], learners: [] } })
    stores.log.persist({
      hardState: { term: 1, vote: null },
      truncateFrom: null,
      append: [{ index: 1, term: 1, kind: 'noop', data: '' }],
    })
    gossip(stores)
    prepare(stores)
    expect([stores.shop.feed(), stores.shop.read.members()]).toEqual(['broadcast', [member]])
  })
})
