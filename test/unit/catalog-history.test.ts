/** The history of the catalog: applying writes it, the store bounds it, the doors show it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CatalogHistoryEntry, FieldChange, ProductChange } from '../../node/commands.ts'
import { fieldChangesMax } from '../../node/commands.ts'
import { productDiff } from '../../node/core/apply/product-diff.ts'
import type { Handle } from '../../node/ids.ts'
import { HistoryTable, historyEntriesMax } from '../../node/store/history.ts'
import type { FakeDoor } from '../support/http-door.ts'
import { ask, asAdmin, fakeShop, stock } from '../support/http-door.ts'
import { applying, copySnapshot, handle, memoryStores, product, variant } from '../support/store-world.ts'

const lampFields = { title: 'Lamp', vendor: 'Brass & Co', variants: [variant('LAMP', 100)] }

function merge(name: string, fields: object, more: object = {}): ProductChange {
  return { op: 'merge', handle: handle(name), fields, ...more } as ProductChange
}

describe('applying', () => {
  test('tells who, where, when and what, field by field', () => {
    const shop = applying()
    const run = (changes: ProductChange[], by: string) =>
      shop.run({ kind: 'catalog.change', changes, by, node: 'n2' as never })
    run([merge('lamp', lampFields)], 'Ada')
    run([merge('lamp', { vendor: 'Lee', variants: [variant('LAMP', 120), variant('LAMP-2', 5)] })], 'Zoë')
    run([merge('lamp', { vendor: 'Lee' })], 'nobody: nothing changes')
    run([merge('lamp', { title: 'x' }, { ifMatch: 1 })], 'nobody: rejected')
    run([{ op: 'delete', handle: handle('lamp') }], 'Ada')
    const { items } = shop.shop.catalogHistory({ limit: 10 })
    expect(items).toMatchObject([
      { version: 3, by: 'Ada', change: 'deleted', fields: [] },
      {
        version: 2,
        by: 'Zoë',
        node: 'n2',
        handle: 'lamp',
        change: 'updated',
        fields: [
          { field: 'vendor', before: 'Brass & Co', after: 'Lee' },
          { field: 'variants.LAMP.price', before: '100 USD', after: '120 USD' },
          { field: 'variants.LAMP-2', before: null },
        ],
      },
      { version: 1, by: 'Ada', change: 'created', fields: [] },
    ])
    expect(items[0]?.at).toMatch(/^\d{4}-.*Z$/)
  })

  test('a program that names no node is known by its name alone; a created and deleted product leaves no line', () => {
    const shop = applying()
    shop.change(merge('a', { ...lampFields, variants: [variant('A', 1)] }), merge('b', lampFields), {
      op: 'delete',
      handle: handle('b'),
    })
    expect(shop.shop.catalogHistory({ limit: 10 }).items).toMatchObject([{ handle: 'a', node: null }])
  })

  test('pages, newest first, of all products or one', () => {
    const shop = applying()
    for (const title of ['1', '2', '3']) {
      shop.change(merge('a', { title, variants: [variant('A', 1)] }))
      shop.change(merge('b', { title, variants: [variant('B', 1)] }))
    }
    const versions: number[] = []
    for (let cursor: string | undefined; ;) {
      const page = shop.shop.catalogHistory({
        handle: handle('a'),
        limit: 2,
        ...(cursor === undefined ? {} : { cursor }),
      })
      versions.push(...page.items.map(({ version }) => version))
      if (page.next === null) break
      cursor = page.next
    }
    expect(versions).toEqual([5, 3, 1])
    expect(shop.shop.catalogHistory({ limit: 3 }).items.map(({ version }) => version)).toEqual([6, 5, 4])
    expect(() => shop.shop.catalogHistory({ limit: 3, cursor: 'x' })).toThrow('cursor')
  })

  test('is bounded: the oldest go', () => {
    const statements: unknown[][] = []
    const table = new HistoryTable({ run: (...all: unknown[]) => statements.push(all) } as never)
    table.append([{ handle: 'a' } as CatalogHistoryEntry])
    expect(statements.at(-1)).toEqual([
      expect.stringContaining('DELETE FROM catalog_history'),
      historyEntriesMax,
    ])
  })

  test('is in full snapshots, and in no catalog snapshot', async () => {
    const shop = applying()
    shop.change(merge('a', lampFields))
    for (const [kind, count] of [
      ['full', 1],
      ['catalog', 0],
    ] as const) {
      const other = memoryStores()
      await copySnapshot(shop.shop, other.shop, kind)
      expect(other.shop.catalogHistory({ limit: 5 }).items).toHaveLength(count)
    }
  })
})

describe('differences', () => {
  const fields = (change: FieldChange): string => change.field

  test('of equal products there are none; long texts are shortened and stay whole characters', () => {
    const one = product('a', 1)
    expect(productDiff(one, structuredClone(one))).toEqual([])
    const [change] = productDiff(one, { ...one, description: '😀'.repeat(300) })
    expect(change?.after).toHaveLength(200)
    expect(change?.after?.isWellFormed()).toBe(true)
  })

  test('removed and reordered variants are told; many changes end in one that says so', () => {
    const one = { ...product('a', 1), variants: [variant('A', 1), variant('B', 1), variant('C', 1)] }
    const two = { ...one, variants: [variant('C', 1), variant('A', 1)] }
    expect(productDiff(one, two).map(fields)).toEqual(['variants.B', 'variants'])
    const many = Array.from({ length: 50 }, (_, index) => variant(`S${index}`, 1))
    const found = productDiff(
      { ...one, variants: many },
      { ...one, variants: many.map((each) => ({ ...each, price: { ...each.price, amount: 2 } })) },
    )
    expect([found.length, found.at(-1)?.field]).toEqual([fieldChangesMax, '…'])
  })

  test('there is one whenever two products differ', () => {
    const text = fc.constantFrom('', 'a', 'b')
    const shape = fc.record({
      title: text,
      description: text,
      tags: fc.array(text, { maxLength: 2 }),
      variants: fc.uniqueArray(fc.record({ sku: text, amount: fc.nat(2) }), {
        selector: ({ sku }) => sku,
        maxLength: 3,
      }),
    })
    fc.assert(
      fc.property(shape, shape, (a, b) => {
        const full = ({ variants, ...rest }: typeof a) => ({
          ...product('p', 1),
          ...rest,
          variants: variants.map(({ sku, amount }) => variant(sku, amount)),
        })
        const [one, two] = [full(a), full(b)]
        expect(productDiff(one, two).length > 0).toBe(JSON.stringify(one) !== JSON.stringify(two))
      }),
    )
  })
})

describe('at the doors', () => {
  test('GET history of all and of one product; the name comes from Souk-Admin', async () => {
    const door = fakeShop('n1').doors[0] as FakeDoor
    await stock(door)
    await ask(door, '/api/admin/products/lamp', {
      method: 'PATCH',
      headers: { ...asAdmin, 'souk-admin': 'Zo%C3%AB' },
      json: { vendor: 'V' },
    })
    await ask(door, '/api/admin/products/lamp', { method: 'DELETE', headers: asAdmin })
    const get = async (path: string) => await ask(door, path, { headers: asAdmin })
    expect((await get('/api/admin/products/lamp/history')).json['items']).toMatchObject([
      { change: 'deleted', by: 'admin' },
      { change: 'updated', by: 'Zoë', fields: [{ field: 'vendor', before: '', after: 'V' }] },
      { change: 'created', version: 2 },
    ])
    const first = await get('/api/admin/history?limit=2')
    expect(first.json['items']).toHaveLength(2)
    const rest = await get(`/api/admin/history?limit=20&cursor=${String(first.json['next'])}`)
    expect([rest.json['items']?.length, rest.json['next']]).toEqual([3, null])
    expect((await get('/api/admin/history?handle=A%20B')).status).toBe(400)
    expect((await get('/api/admin/history?handle=shirt')).json['items']).toMatchObject([
      { handle: 'shirt' as Handle },
    ])
    expect((await ask(door, '/api/admin/history')).status).toBe(401)
  })
})
