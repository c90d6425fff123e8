/** What becomes of a broadcast or pulled catalog version (DESIGN.md section 4, P7). */
import { describe, expect, test } from 'vitest'
import { CatalogDivergence, applyVersion, decideFeed } from '../../node/core/feed.ts'
import type { FeedDecision } from '../../node/core/feed.ts'
import { catalogDigestOf } from '../../node/core/digest.ts'
import type { Digest } from '../../node/ids.ts'
import type { CatalogVersionRecord } from '../../node/messages.ts'
import { applying, handle, memoryStores, merge, remove, replace, variant } from '../support/store-world.ts'

const digest = (character: string): Digest => character.repeat(64) as Digest
const own = { version: 5, digest: digest('5') }

const cases: [string, number, string, string, 'log' | 'broadcast', FeedDecision][] = [
  ['the next one', 6, '5', '6', 'broadcast', 'apply'],
  ['the next one on other rows', 6, 'x', '6', 'broadcast', 'diverged'],
  ['a later one', 7, '6', '7', 'broadcast', 'gap'],
  ['the own one', 5, '4', '5', 'broadcast', 'agrees'],
  ['the own one, other content', 5, '4', 'x', 'broadcast', 'diverged'],
  ['an older one', 4, '3', 'x', 'broadcast', 'stale'],
  ['the next one at a follower of the log', 6, '5', '6', 'log', 'gap'],
  ['the next one on other rows at a follower of the log', 6, 'x', '6', 'log', 'diverged'],
  ['a later one at a follower of the log', 9, '8', '9', 'log', 'gap'],
  ['the own one at a follower of the log', 5, '4', '5', 'log', 'agrees'],
  ['another own one at a follower of the log', 5, '4', 'x', 'log', 'diverged'],
]

test.each(cases)('%s', (_name, version, previous, result, feed, expected) => {
  const record = { version, previousDigest: digest(previous), digest: digest(result) }
  expect(decideFeed({ own, feed, record })).toBe(expected)
})

describe('applyVersion', () => {
  function history(): { records: CatalogVersionRecord[]; primary: ReturnType<typeof applying> } {
    const primary = applying()
    const outcomes = [
      primary.change(replace('lamp', { variants: [variant('s1')] }), replace('chair')),
      primary.change(
        merge('lamp', { title: 'Lamp', variants: [variant('s2')] }),
        replace('b', { variants: [variant('s1')] }),
      ),
      primary.change(remove('chair')),
      primary.change(replace('chair', { title: 'again' })),
    ]
    return { records: outcomes.flatMap((outcome) => outcome.version ?? []), primary }
  }

  test('a follower of the broadcast ends with the rows of the log', () => {
    const { records, primary } = history()
    const { shop } = memoryStores()
    for (const record of records) {
      expect(decideFeed({ own: shop.read.catalog(), feed: 'broadcast', record })).toBe('apply')
      // As it comes over the wire.
      const received = JSON.parse(JSON.stringify(record)) as CatalogVersionRecord
      shop.transaction((tables) => applyVersion(tables, received))
    }
    expect(shop.read.catalog()).toEqual(primary.shop.read.catalog())
    expect([...shop.allProducts()]).toEqual([...primary.shop.allProducts()])
    expect(catalogDigestOf(shop.allProducts())).toBe(shop.read.catalog().digest)
    expect(shop.versionsAfter(0, 1e6)).toEqual(primary.shop.versionsAfter(0, 1e6))
    for (const sort of ['title', 'newest'] as const)
      expect(shop.products({ sort, limit: 9 })).toEqual(primary.shop.products({ sort, limit: 9 }))
    expect(shop.read.skuOwner(variant('s1').sku)).toBe('b')
  })

  test('what does not give its digest, or does not follow, leaves nothing', () => {
    const { records } = history()
    const [first, second] = records
    if (first === undefined || second === undefined) throw new Error('no history')
    const { shop } = memoryStores()
    const apply = (record: CatalogVersionRecord) => () =>
      shop.transaction((tables) => applyVersion(tables, record))
    const changed = first.changes.map((change) =>
      change.product === null ? change : { ...change, product: { ...change.product, title: 'forged' } },
    )
    const renamed = first.changes.map((change) => ({ ...change, handle: handle('other') }))
    const bad = [second, { ...first, digest: digest('a') }, { ...first, changes: changed }]
    for (const record of [...bad, { ...first, changes: renamed }, { ...first, previousDigest: digest('b') }])
      expect(apply(record)).toThrow(CatalogDivergence)
    expect([shop.read.catalog().version, [...shop.allProducts()], shop.versionsAfter(0, 1)]).toEqual([
      0,
      [],
      [],
    ])
    apply(first)()
    expect(shop.read.catalog()).toEqual({ version: 1, digest: first.digest })
  })
})
