/** `--recover`: one survivor becomes a cluster of its own (DESIGN.md section 2; node/main/recover.ts). */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { CommandBody } from '../../node/commands.ts'
import { StoreFailure } from '../../node/faults.ts'
import type { ClusterId, CommandId, MemberId } from '../../node/ids.ts'
import { runRecovery } from '../../node/main/recover.ts'
import type { LogEntry, Logger, Random } from '../../node/ports.ts'
import { Applier } from '../../node/replica/applier.ts'
import type { Settings } from '../../node/replica/context.ts'
import { Counters } from '../../node/replica/counters.ts'
import { prepareStores } from '../../node/replica/start-up.ts'
import { openStores } from '../../node/store/index.ts'
import type { OpenedStores } from '../../node/store/index.ts'
import { openForRecovery } from '../../node/store/recovery.ts'
import type { RecoveryStores } from '../../node/store/recovery.ts'
import {
  clusterId,
  intent,
  memberJoin,
  options,
  orderId,
  otherUser,
  replace,
  setCluster,
  sku,
  tag,
  temporaryDirectory,
  user,
} from '../support/store-world.ts'

const logger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const random = { bytes: (size: number) => new Uint8Array(size).fill(7) } as unknown as Random
const ports = { random, logger }
const recovered = '07'.repeat(16) as ClusterId
const confirmation = clusterId.slice(0, 8)

/** What the cluster decided while it lived: the last order was not known to be committed at the survivor. */
const bodies = (self: MemberId): CommandBody[] => [
  { kind: 'cluster.begin', currency: 'USD', member: memberJoin('n1', self) },
  { kind: 'member.join', member: memberJoin('n2') },
  { kind: 'member.join', member: memberJoin('n3') },
  { kind: 'catalog.change', changes: [replace('lamp')], by: 'test' },
  { kind: 'order.place', intent: intent({ id: orderId(1), lines: [line()] }) },
  {
    kind: 'order.place',
    intent: intent({ id: orderId(2), tags: [tag('w.2')], dots: ['w.2'], lines: [line()] }),
  },
]
const line = () => ({ sku: sku('lamp-sku'), quantity: 1, unitPrice: 1_000 })

type Shape = { applied?: number; feed?: 'log' | 'broadcast'; heardIndex?: number }

/** The directory of a voter of three, as a kill left it. */
function survivorDirectory({ applied = 5, feed = 'log', heardIndex = 4 }: Shape = {}): string {
  const directory = join(temporaryDirectory(), 'n1')
  const stores = openStores(directory, options())
  setCluster(stores)
  const { log, shop, local } = stores
  const self = log.identity().memberId
  log.resetTo(0, 0, { voters: [self], learners: [] })
  const append: LogEntry[] = bodies(self).map((body, place) => ({
    index: place + 1,
    term: 3,
    kind: 'command',
    data: JSON.stringify({ v: 1, id: `c${place}` as CommandId, atMs: 1_000 + place, body }),
  }))
  log.persist({ hardState: { term: 4, vote: 'idn2' as MemberId }, truncateFrom: null, append })
  log.setPeerStarts('idn2' as MemberId, { starts: 3, lastTerm: 3, lastIndex: 6 })
  shop.setFeed('log')
  const applier = new Applier({ log, shop, logger, counters: new Counters() })
  while (applier.applied.index < applied) applier.applyNext(applied)
  shop.setFeed(feed)
  fillLocal(local)
  local.setSoldWatermark(heardIndex)
  stores.close()
  return directory
}

function fillLocal(local: OpenedStores['local']): void {
  const row = {
    state: new Uint8Array([1]),
    hash: 'h',
    delivered: { idn2: 'h' },
    syncedHash: 'h',
    updatedAtMs: 1,
  }
  local.putCart({ ...row, user, held: 'set' })
  local.putCart({ ...row, user: otherUser, held: 'passing' })
  const record = { epoch: 4, home: 'idn2' as MemberId }
  local.putSession({ user, record, previousMembers: ['idn3' as MemberId], lastActiveAtMs: 1 })
  local.putOutbox({ order: orderId(3), user, intent: intent({ id: orderId(3) }), createdAtMs: 1 })
  local.revoke('token', 5_000)
}

function attempt(
  directory: string,
  confirm: string | null,
  wrap = (stores: RecoveryStores) => stores,
): string {
  const stores = openForRecovery(directory)
  try {
    return runRecovery(wrap(stores), confirm, ports)
  } catch (error) {
    if (error instanceof StoreFailure) return `refused: ${error.message}`
    throw error
  } finally {
    stores.close()
  }
}

function refusalOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (error instanceof StoreFailure) return error.message
    throw error
  }
  throw new Error('it was not refused')
}

/** Everything that a recovered directory must hold. */
function stateOf(directory: string) {
  const stores = openStores(directory, options())
  prepareStores({ stores, settings: { init: true } as Settings, random, logger })
  const { log, shop, local } = stores
  const self = log.identity().memberId
  const state = {
    clusters: [log.identity().clusterId, shop.clusterId(), local.clusterId()],
    members: shop.read.members().map(({ node, eligible }) => `${node} ${eligible}`),
    begins: {
      index: log.snapshotIndex(),
      last: log.lastIndex(),
      term: log.snapshotTerm(),
      hard: log.hardState(),
    },
    config: log.snapshotConfig().voters.map((voter) => voter === self),
    applied: [shop.applied().index === log.snapshotIndex(), shop.applied().config.voters.length, shop.feed()],
    orders: [1, 2, 3].map((number) => shop.read.order(orderId(number))?.status ?? null),
    catalog: shop.read.catalog().version,
    homes: local
      .sessions(null, 10)
      .map(({ record, previousMembers }) => [record.epoch, record.home === self, previousMembers]),
    carts: [user, otherUser]
      .map((one) => local.cart(one))
      .map((cart) => [cart?.held, cart?.delivered, cart?.syncedHash]),
    kept: [local.outbox().length, local.revokedUntilMs('token') > 0, log.peerStarts('idn2' as MemberId)],
  }
  stores.close()
  return state
}

const whole = {
  clusters: [recovered, recovered, recovered],
  members: ['n1 true'],
  begins: { index: 7, last: 7, term: 5, hard: { term: 5, vote: null } },
  config: [true],
  applied: [true, 1, 'log'],
  orders: ['placed', 'placed', null],
  catalog: 1,
  homes: [[5, true, []]],
  carts: [
    ['set', {}, null],
    ['set', {}, null],
  ],
  kept: [1, true, null],
}

describe('a voter that survived', () => {
  test.each([null, 'yes', recovered.slice(0, 8)])(
    'is not touched without the confirmation (%s)',
    (confirm) => {
      const directory = survivorDirectory()
      const said = attempt(directory, confirm)
      expect(said).toContain('nothing was changed')
      expect(said).toContain(`repeat with --confirm ${confirmation}`)
      expect(said).toContain('entries 6 to 6 are not known to be committed')
      expect(said).toContain(
        'may be missing: catalog changes, orders and accounts that the others accepted after entry 6',
      )
      expect(said).toContain('given up: n2, n3')
      const stores = openStores(directory, options({ clusterIdExpected: clusterId }))
      expect([
        stores.shop.applied().index,
        stores.log.lastIndex(),
        stores.shop.read.members().length,
      ]).toEqual([5, 6, 3])
      stores.close()
    },
  )

  test('becomes a cluster of its own with everything it has', () => {
    const directory = survivorDirectory()
    expect(attempt(directory, confirmation)).toContain(`recovered as cluster ${recovered}`)
    expect(stateOf(directory)).toEqual(whole)
    expect(readdirSync(directory)).not.toContain('recovering')
    expect(refusalOf(() => openStores(directory, options({ clusterIdExpected: clusterId })))).toContain(
      recovered,
    )
  })

  test('begins behind every index that it heard of, and says what is certainly missing', () => {
    const directory = survivorDirectory({ heardIndex: 40 })
    const said = attempt(directory, confirmation)
    expect(said).toContain('certainly missing: decisions of orders between entry 6 and 40')
    expect(stateOf(directory).begins).toMatchObject({ index: 41, last: 41 })
  })
})

const steps = ['begin', 'rebindShop', 'rebindLocal', 'rebindLog', 'finish'] as const

/** The process dies just before or just after one of the steps. */
function dying(step: string, when: 'before' | 'after') {
  return (stores: RecoveryStores): RecoveryStores =>
    new Proxy(stores, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (name !== step || typeof value !== 'function') return value
        return (...values: unknown[]) => {
          if (when === 'after') (value as (...values: unknown[]) => unknown)(...values)
          throw new StoreFailure('test', `killed ${when} ${step}`)
        }
      },
    })
}

describe('a recovery that is cut off', () => {
  const moments = steps.flatMap((step) => (['before', 'after'] as const).map((when) => [when, step] as const))
  test.each(moments.slice(1, -1))(
    '%s %s: no node starts, and it goes on when it is repeated',
    (when, step) => {
      const directory = survivorDirectory()
      expect(attempt(directory, confirmation, dying(step, when))).toContain('killed')
      const refusal = refusalOf(() => openStores(directory, options()))
      expect(refusal).toContain('a recovery was begun here and not finished')
      // Another random id would make a mix of three: the one that was drawn first stays.
      const bytes = (size: number): Uint8Array => new Uint8Array(size).fill(9)
      const stores = openForRecovery(directory)
      const said = runRecovery(stores, confirmation, { ...ports, random: { bytes } as unknown as Random })
      stores.close()
      expect(said).toContain(recovered)
      expect(stateOf(directory)).toEqual(whole)
    },
  )

  test('before it began: nothing happened; after it ended: all of it', () => {
    const directory = survivorDirectory()
    expect(attempt(directory, confirmation, dying('begin', 'before'))).toContain('killed')
    openStores(directory, options({ clusterIdExpected: clusterId })).close()
    expect(attempt(directory, confirmation, dying('finish', 'after'))).toContain('killed')
    expect(stateOf(directory)).toEqual(whole)
  })
})

describe('a survivor that was no voter', () => {
  test('is taken only by who knows that its orders are gone', () => {
    const directory = survivorDirectory({ feed: 'broadcast', applied: 4 })
    const said = attempt(directory, confirmation)
    expect(said).toContain('THIS NODE WAS NO VOTER')
    expect(said).toContain(`repeat with --confirm ${confirmation}-without-orders`)
    expect(attempt(directory, `${confirmation}-without-orders`, dying('rebindShop', 'after'))).toContain(
      'killed',
    )
    expect(attempt(directory, `${confirmation}-without-orders`)).toContain('recovered')
    const state = stateOf(directory)
    expect([state.orders, state.catalog, state.applied]).toEqual([[null, null, null], 1, [true, 1, 'log']])
  })
})

describe('no survivor', () => {
  test('a directory that is not there is not made', () => {
    const directory = join(temporaryDirectory(), 'nothing')
    expect(refusalOf(() => openForRecovery(directory))).toContain('there is no node')
    expect(existsSync(directory)).toBe(false)
  })

  test('one in which a node is running', () => {
    const directory = survivorDirectory()
    const stores = openStores(directory, options())
    expect(refusalOf(() => openForRecovery(directory))).toContain('another node is running')
    stores.close()
  })

  test('a node that never was in a cluster, or was removed from it', () => {
    const directory = join(temporaryDirectory(), 'n1')
    openStores(directory, options()).close()
    expect(attempt(directory, confirmation)).toContain('nothing to recover')
    const other = survivorDirectory()
    const stores = openStores(other, options())
    stores.shop.transaction((tables) => tables.removeMember(stores.log.identity().memberId))
    stores.close()
    expect(attempt(other, confirmation)).toContain('was removed')
  })

  test('a voter whose shop.db lacks what the log no longer has', () => {
    const directory = survivorDirectory({ applied: 4 })
    const stores = openStores(directory, options())
    stores.log.compact(5, 3, { voters: ['x' as MemberId], learners: [] })
    stores.close()
    expect(attempt(directory, confirmation)).toContain('recover another survivor')
  })

  test('a log with an entry that this program does not know', () => {
    const directory = survivorDirectory()
    const stores = openStores(directory, options())
    const data = JSON.stringify({ v: 9, id: 'c9', atMs: 1, body: { kind: 'of the future' } })
    stores.log.persist({
      hardState: null,
      truncateFrom: null,
      append: [{ index: 7, term: 4, kind: 'command', data }],
    })
    stores.close()
    expect(attempt(directory, confirmation)).toContain('run a newer version')
  })
})
