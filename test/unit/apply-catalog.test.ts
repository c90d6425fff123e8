/** `catalog.change` applied: merging, conditions, conflicts, digest, version records (DESIGN.md section 4). */
import { describe, expect, test } from 'vitest'
import type { CatalogChangeResult, ProductChange } from '../../node/commands.ts'
import type { ApplyOutcome } from '../../node/core/apply.ts'
import { catalogVersionSizeBytesMax } from '../../node/core/apply/catalog.ts'
import { catalogDigestOf, emptyDigest } from '../../node/core/digest.ts'
import {
  Applying,
  applying,
  fields,
  handle,
  memoryStores,
  merge,
  remove,
  replace,
  sku,
  variant,
} from '../support/store-world.ts'

function outcomes(outcome: ApplyOutcome): string[] {
  if (!outcome.result.ok) throw new Error(outcome.result.message)
  const { outcomes: list } = outcome.result.value as CatalogChangeResult
  return list.map((one) =>
    one.code === undefined ? one.outcome : `${one.outcome} ${one.code}: ${one.reason}`,
  )
}

describe('a batch of changes', () => {
  test('is one version with one digest, stamped from the command', () => {
    const shop = applying()
    expect(shop.shop.read.catalog()).toEqual({ version: 0, digest: emptyDigest })
    const outcome = shop.change(replace('lamp'), replace('chair', { status: 'draft' }))
    expect(outcomes(outcome)).toEqual(['created', 'created'])
    const digest = catalogDigestOf(shop.shop.allProducts())
    expect(shop.shop.read.catalog()).toEqual({ version: 1, digest })
    expect(outcome.version).toMatchObject({ version: 1, previousDigest: emptyDigest, digest })
    expect(outcome.version?.changes.map((change) => change.product)).toEqual([
      shop.shop.read.product(handle('lamp')),
      shop.shop.read.product(handle('chair')),
    ])
    expect(shop.shop.read.product(handle('lamp'))).toMatchObject({
      catalogVersion: 1,
      updatedAt: '2026-01-01T00:00:02.000Z',
    })
    expect(shop.shop.versionsAfter(0, 1e6)).toEqual([outcome.version])
  })

  test('without a real change makes no version', () => {
    const shop = applying()
    shop.change(replace('lamp', { options: [{ name: 'Size', values: ['S'] }] }))
    const outcome = shop.change(
      replace('lamp', { options: [{ name: 'Size', values: ['S'] }] }),
      merge('lamp', { title: 'lamp' }),
      remove('nothing'),
      merge('lamp', {}),
    )
    expect(outcomes(outcome)).toEqual(['unchanged', 'unchanged', 'absent', 'unchanged'])
    expect([outcome.version, shop.shop.read.catalog().version]).toEqual([null, 1])
  })

  test('what comes and goes within it makes no version either', () => {
    const shop = applying()
    const outcome = shop.change(replace('lamp'), remove('lamp'))
    expect(outcomes(outcome)).toEqual(['created', 'deleted'])
    expect([outcome.version, shop.shop.read.catalog()]).toEqual([null, { version: 0, digest: emptyDigest }])
  })

  test('only what changed is in the record, each product once', () => {
    const shop = applying()
    shop.change(replace('lamp'), replace('chair'), replace('table'))
    const outcome = shop.change(
      replace('chair'),
      merge('lamp', { title: 'A' }),
      merge('lamp', { vendor: 'B' }),
      remove('table'),
    )
    expect(outcomes(outcome)).toEqual(['unchanged', 'updated', 'updated', 'deleted'])
    expect(outcome.version?.changes).toEqual([
      { handle: 'lamp', product: shop.shop.read.product(handle('lamp')) },
      { handle: 'table', product: null },
    ])
    expect(shop.shop.read.product(handle('lamp'))).toMatchObject({
      title: 'A',
      vendor: 'B',
      catalogVersion: 2,
    })
    expect(shop.shop.read.catalog().digest).toBe(catalogDigestOf(shop.shop.allProducts()))
  })

  test('the digest does not depend on order or on how a product came about', () => {
    const [one, two] = [applying(), applying()]
    const options = [
      { name: 'Size', values: ['S', 'M'] },
      { name: 'Colour', values: ['red'] },
    ]
    const inOrder = { ...variant('a'), options: { Size: 'S', Colour: 'red' } }
    const turned = { ...variant('a'), options: { Colour: 'red', Size: 'S' } }
    one.change(replace('lamp', { options, variants: [inOrder] }), replace('chair'))
    two.change(replace('chair'), replace('lamp', { options, variants: [turned] }))
    expect(two.shop.read.catalog()).toEqual(one.shop.read.catalog())
    expect([...two.shop.allProducts()]).toEqual([...one.shop.allProducts()])
  })

  test('nothing is sold before the cluster begins', () => {
    const shop = new Applying(memoryStores().shop)
    expect(shop.change(replace('lamp')).result).toMatchObject({ ok: false, code: 'conflict' })
  })
})

describe('merge', () => {
  test('creates with defaults, keeps what is absent', () => {
    const shop = applying()
    shop.change(
      merge('lamp', { title: 'Lamp', variants: [{ sku: sku('a'), price: { amount: 5, currency: 'USD' } }] }),
    )
    const created = shop.shop.read.product(handle('lamp'))
    expect(created).toMatchObject({ ...fields('Lamp', { variants: [variant('a', 5)] }) })
    shop.change(merge('lamp', { tags: ['new', 'new', 'x'], status: 'draft' }))
    expect(shop.shop.read.product(handle('lamp'))).toEqual({
      ...created,
      tags: ['new', 'x'],
      status: 'draft',
      catalogVersion: 2,
      updatedAt: '2026-01-01T00:00:03.000Z',
    })
  })

  test('takes variants as the new list, each keeping by SKU what it does not say', () => {
    const shop = applying()
    shop.change(replace('lamp', { variants: [{ ...variant('a', 5), title: 'A' }, variant('b', 6)] }))
    const price = { amount: 9, currency: 'USD' }
    expect(
      outcomes(
        shop.change(
          merge('lamp', {
            variants: [
              { sku: sku('a'), price },
              { sku: sku('c'), price },
            ],
          }),
        ),
      ),
    ).toEqual(['updated'])
    const variants = shop.shop.read.product(handle('lamp'))?.variants
    expect(variants).toEqual([{ ...variant('a', 9), title: 'A' }, variant('c', 9)])
    expect(shop.shop.read.sku(sku('b'))).toBeNull()
  })

  test('options grow with the variants unless they are given', () => {
    const shop = applying()
    const sized = (name: string, size: string) => ({ ...variant(name), options: { Size: size } })
    shop.change(merge('lamp', { title: 'Lamp', variants: [sized('a', 'S')] }))
    shop.change(merge('lamp', { variants: [sized('a', 'S'), sized('b', 'M')] }))
    expect(shop.shop.read.product(handle('lamp'))?.options).toEqual([{ name: 'Size', values: ['S', 'M'] }])
    const given = shop.change(merge('lamp', { options: [{ name: 'Size', values: ['S'] }] }))
    expect(outcomes(given)).toEqual([
      'rejected invalid-request: option Size of variant b has an unknown value M',
    ])
  })

  const price = { amount: 1, currency: 'USD' }
  const rejections: [string, ProductChange, string][] = [
    [
      'without a title',
      merge('new', { variants: [variant('n')] }),
      'invalid-request: a new product needs a title',
    ],
    ['without variants', merge('new', { title: 'N' }), 'invalid-request: a new product needs variants'],
    [
      'a new variant without a price',
      merge('lamp', { variants: [{ sku: sku('z') }] }),
      'invalid-request: variant z is new and has no price',
    ],
    [
      'a SKU twice',
      merge('lamp', { variants: [variant('z'), variant('z')] }),
      'invalid-request: SKU z occurs twice in the product',
    ],
    [
      'a SKU of another product',
      replace('new', { variants: [variant('chair-sku')] }),
      'conflict: SKU chair-sku belongs to product chair',
    ],
    [
      'another currency',
      merge('lamp', { variants: [{ sku: sku('lamp-sku'), price: { ...price, currency: 'EUR' } }] }),
      "invalid-request: the price of lamp-sku is in EUR, the shop's currency is USD",
    ],
    [
      'an unknown option',
      replace('lamp', { variants: [{ ...variant('a'), options: { Size: 'S' } }] }),
      'invalid-request: variant a has an unknown option Size',
    ],
    [
      'an option twice',
      replace('lamp', {
        options: [
          { name: 'a', values: [] },
          { name: 'a', values: [] },
        ],
      }),
      'invalid-request: two options have the same name',
    ],
  ]
  test.each(rejections)('rejects %s and leaves the product as it was', (_name, change, reason) => {
    const shop = applying()
    shop.change(replace('lamp'), replace('chair'))
    const before = [...shop.shop.allProducts()]
    const outcome = shop.change(change, replace('fine'))
    expect(outcomes(outcome)).toEqual([`rejected ${reason}`, 'created'])
    expect([...shop.shop.allProducts()].filter((text) => !text.includes('fine'))).toEqual(before)
  })

  test('a SKU may move within one batch, once its owner gave it up', () => {
    const shop = applying()
    shop.change(replace('a', { variants: [variant('s')] }))
    const early = shop.change(
      replace('b', { variants: [variant('s')] }),
      replace('a', { variants: [variant('t')] }),
    )
    expect(outcomes(early)[0]).toContain('conflict')
    shop.change(replace('a', { variants: [variant('s')] }))
    const late = shop.change(
      replace('a', { variants: [variant('u')] }),
      replace('b', { variants: [variant('s')] }),
    )
    expect(outcomes(late)).toEqual(['updated', 'created'])
    expect(shop.shop.read.skuOwner(sku('s'))).toBe('b')
  })
})

describe('If-Match', () => {
  const failed = /^rejected precondition-failed/
  test.each([
    [1, failed],
    [2, /^updated$/],
    ['*' as const, /^updated$/],
    ['none' as const, failed],
  ])('%s on a product at version 2', (ifMatch, expected) => {
    const shop = applying()
    shop.change(replace('lamp'))
    shop.change(merge('lamp', { title: 'x' }))
    const change: ProductChange = { op: 'merge', handle: handle('lamp'), fields: { title: 'y' }, ifMatch }
    expect(outcomes(shop.change(change))[0]).toMatch(expected)
  })

  test.each([
    [0, failed],
    [1, failed],
    ['*' as const, failed],
    ['none' as const, /^created$/],
  ])('%s on no product', (ifMatch, expected) => {
    const change: ProductChange = { ...replace('lamp'), ifMatch } as ProductChange
    expect(outcomes(applying().change(change))[0]).toMatch(expected)
  })

  test('guards deletion too', () => {
    const shop = applying()
    shop.change(replace('lamp'))
    expect(outcomes(shop.change({ ...remove('lamp'), ifMatch: 9 }))[0]).toMatch(failed)
    expect(outcomes(shop.change({ ...remove('gone'), ifMatch: '*' }))[0]).toMatch(failed)
    expect(outcomes(shop.change({ ...remove('lamp'), ifMatch: 1 }))).toEqual(['deleted'])
    expect(shop.shop.read.catalog()).toEqual({ version: 2, digest: emptyDigest })
  })
})

test('a version stays small enough for the broadcast', () => {
  const shop = applying()
  const description = 'x'.repeat(100_000)
  const names = Array.from({ length: 30 }, (_, n) => `p${n}`)
  const result = outcomes(shop.change(...names.map((name) => replace(name, { description }))))
  const created = result.filter((one) => one === 'created').length
  expect(created).toBe(Math.floor(catalogVersionSizeBytesMax / 100_400))
  expect(result.at(-1)).toContain('too-large')
  expect(shop.shop.read.catalog().digest).toBe(catalogDigestOf(shop.shop.allProducts()))
})

test('a command that is applied again gives its first result and changes nothing', () => {
  const shop = applying()
  const body = {
    kind: 'catalog.change',
    changes: [merge('lamp', { title: 'a', variants: [variant('s')] })],
    by: 'x',
  } as const
  const first = shop.run({ ...body, changes: [...body.changes] }, 'same')
  shop.change(merge('lamp', { title: 'b' }))
  const again = shop.run({ ...body, changes: [...body.changes] }, 'same')
  expect(again).toEqual({ ...first, version: null, history: [] })
  expect(shop.shop.read.product(handle('lamp'))?.title).toBe('b')
})
