/**
 * Model test of the catalog feed (DESIGN.md section 4): whatever arrives, in whatever order, again or forged, a follower
 * of the broadcast has exactly the rows of the newest version up to which it was given all. The obvious version is a number.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CatalogDivergence, applyVersion, decideFeed } from '../../node/core/feed.ts'
import type { FeedDecision } from '../../node/core/feed.ts'
import type { Digest } from '../../node/ids.ts'
import type { CatalogVersionRecord } from '../../node/messages.ts'
import type { ShopStore } from '../../node/ports.ts'
import { applying, memoryStores, remove, replace, variant } from '../support/store-world.ts'

/** Versions that the primary made, and what it had after each, from none on. */
type History = { records: CatalogVersionRecord[]; states: { digest: Digest; rows: string[] }[] }

const versionsMax = 8
/** Each run opens databases of its own. */
const runs = { numRuns: 50 }

function historyOf(steps: readonly { name: string; title: string }[]): History {
  const primary = applying()
  const state = () => ({
    digest: primary.shop.read.catalog().digest,
    rows: [...primary.shop.allProducts()].map(String),
  })
  const history: History = { records: [], states: [state()] }
  for (const { name, title } of steps) {
    // A repeated change makes no version; neither does the removal of what is not there.
    const { version } = primary.change(
      title === '' ? remove(name) : replace(name, { title, variants: [variant(`${name}-sku`)] }),
    )
    if (version === null) continue
    history.records.push(version)
    history.states.push(state())
  }
  return history
}

/** The same version with other rows; one that only deletes gets a digest that is not its own. */
function forged(record: CatalogVersionRecord): CatalogVersionRecord {
  const changes = record.changes.map(({ handle, product }) => ({
    handle,
    product: product === null ? null : { ...product, title: 'forged' },
  }))
  const isSame = changes.every(({ product }) => product === null)
  return { ...record, changes, digest: isSame ? ('f'.repeat(64) as Digest) : record.digest }
}

function obvious(own: number, given: number): FeedDecision {
  if (given < own) return 'stale'
  if (given === own) return 'agrees'
  return given === own + 1 ? 'apply' : 'gap'
}

function takes(shop: ShopStore, record: CatalogVersionRecord): boolean {
  try {
    shop.transaction((tables) => applyVersion(tables, record))
  } catch (error) {
    if (error instanceof CatalogDivergence) return false
    throw error
  }
  return true
}

const step = fc.record({ name: fc.constantFrom('a', 'b', 'c'), title: fc.constantFrom('One', 'Two', '') })
const delivery = fc.record({ place: fc.nat({ max: versionsMax - 1 }), isForged: fc.boolean() })

test('a follower has every version up to the first that it lacks, whatever came when', () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: versionsMax }),
      fc.array(delivery, { maxLength: 40 }),
      (steps, deliveries) => {
        const { records, states } = historyOf(steps)
        const { shop } = memoryStores()
        let own = 0
        for (const { place, isForged } of deliveries) {
          const record = records[place]
          if (record === undefined) continue
          const expected = obvious(own, record.version)
          expect(decideFeed({ own: shop.read.catalog(), feed: 'broadcast', record })).toBe(expected)
          // A follower of the log takes the same one as news to be compared later.
          expect(decideFeed({ own: shop.read.catalog(), feed: 'log', record })).toBe(
            expected === 'apply' ? 'gap' : expected,
          )
          // Even given what it should not apply, nothing of that stays.
          const isTaken = takes(shop, isForged ? forged(record) : record)
          expect(isTaken).toBe(expected === 'apply' && !isForged)
          if (isTaken) own = record.version
          expect(shop.read.catalog()).toEqual({ version: own, digest: states[own]?.digest })
          expect([...shop.allProducts()].map(String)).toEqual(states[own]?.rows)
        }
      },
    ),
    runs,
  )
})
