/** One change to many products: by filter or list, previewed, rounded as said, never over somebody's newer change. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { newAmount } from '../../http/bulk.ts'
import type { FakeDoor } from '../support/http-door.ts'
import { adminToken, ask, asAdmin, fakeShop, stock } from '../support/http-door.ts'

async function shop(...nodes: string[]) {
  const made = fakeShop(...(nodes.length === 0 ? ['n1'] : nodes))
  const [door] = made.doors as [FakeDoor]
  await stock(door)
  const bulk = async (json: unknown, query = '', headers: { [name: string]: string } = {}, at = door) =>
    await ask(at, `/api/admin/products/bulk${query}`, { json, headers: { ...asAdmin, ...headers } })
  const product = async (handle: string) =>
    (await ask(door, `/api/admin/products/${handle}`, { headers: asAdmin })).json
  const prices = async (handle: string) =>
    (await product(handle))['variants']?.map((variant) => variant['price']?.['amount'])
  return { ...made, door, bulk, product, prices }
}

const percent = (value: number) => ({ kind: 'price-percent', percent: value }) as const

describe('rounding', () => {
  test.each([
    [999, -10, 899],
    [5, -10, 5],
    [5, 10, 6],
    [1, 50, 2],
    [1, 49.99, 1],
    [1_999, -33.33, 1_333],
    [0, 10, 0],
    [12_999, -100, 0],
    [999_999_999, 0.01, null],
  ])('%i %d %% is %s', (amount, by, wanted) => {
    expect(newAmount(amount, percent(by))).toBe(wanted)
  })

  test('is that of exact arithmetic, half up', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000_000), fc.integer({ min: -10_000, max: 100_000 }), (amount, hundredths) => {
        const exact = (BigInt(amount) * BigInt(10_000 + hundredths) * 2n + 10_000n) / 20_000n
        const wanted = exact <= 1_000_000_000n ? Number(exact) : null
        expect(newAmount(amount, percent(hundredths / 100))).toBe(wanted)
      }),
    )
  })

  test('sums and fixed prices stay prices', () => {
    expect(newAmount(100, { kind: 'price-add', amount: -100 })).toBe(0)
    expect(newAmount(100, { kind: 'price-add', amount: -101 })).toBeNull()
    expect(newAmount(100, { kind: 'price-set', amount: 7 })).toBe(7)
  })
})

describe('POST /api/admin/products/bulk', () => {
  test('a range of prices narrows what is changed', async () => {
    const { bulk, product } = await shop()
    const change = { kind: 'status', status: 'archived' }
    expect((await bulk({ filter: { minPrice: 4_901, maxPrice: 20_000 }, change })).json['matched']).toBe(1)
    expect([(await product('lamp'))['status'], (await product('shirt'))['status']]).toEqual([
      'archived',
      'active',
    ])
    expect((await bulk({ filter: { minPrice: '1' }, change })).status).toBe(400)
  })

  test('publishes and archives by filter or list; the history says who', async () => {
    const { door, bulk, product } = await shop()
    const publish = { filter: { status: 'draft' }, change: { kind: 'status', status: 'active' } }
    const answer = await bulk(publish, '', { 'souk-admin': 'Ada' })
    expect(answer.json).toMatchObject({
      matched: 1,
      updated: 1,
      unchanged: 0,
      rejected: [],
      catalogVersion: 4,
    })
    expect((await product('secret'))['status']).toBe('active')
    const handles = ['lamp', 'shirt', 'lamp', 'nothing']
    const archived = await bulk({ handles, change: { kind: 'status', status: 'archived' } })
    expect(archived.json).toMatchObject({
      matched: 3,
      updated: 2,
      rejected: [{ handle: 'nothing', reason: 'there is no such product' }],
    })
    const history = await ask(door, '/api/admin/products/secret/history', { headers: asAdmin })
    expect(history.json['items']?.[0]).toMatchObject({
      by: 'Ada',
      fields: [{ field: 'status', after: 'active' }],
    })
  })

  test('prices: a dry run tells what and of which version; agreeing to it changes every variant once', async () => {
    const { doors, bulk, prices, world } = await shop('n1', 'n2')
    const [one, other] = doors as [FakeDoor, FakeDoor]
    const raise = { filter: {}, change: percent(10) }
    expect((await bulk(raise)).json['errors']).toMatchObject([{ path: 'catalogVersion' }])
    const preview = await bulk(raise, '?dryRun=true')
    expect(preview.json).toMatchObject({ matched: 3, updated: 2, unchanged: 1, catalogVersion: 3 })
    expect(preview.json['diff']?.find(({ handle }) => String(handle) === 'shirt')?.['fields']).toMatchObject([
      { field: 'variants.SHIRT-S.price', before: '4900 USD', after: '5390 USD' },
      { field: 'variants.SHIRT-M.price', before: '5200 USD', after: '5720 USD' },
    ])
    expect([world.version, await prices('shirt')]).toEqual([3, [4_900, 5_200]])
    const agreed = { ...raise, catalogVersion: preview.json['catalogVersion'] }
    expect((await bulk(agreed, '', {}, one)).json).toMatchObject({ updated: 2, rejected: [] })
    // The same again, at another node, without a key: nothing is raised twice.
    const again = await bulk(agreed, '', {}, other)
    expect(again.json).toMatchObject({ updated: 0, unchanged: 1 })
    expect(again.json['rejected']).toHaveLength(2)
    expect(await prices('shirt')).toEqual([5_390, 5_720])
    expect(await prices('lamp')).toEqual([14_299])
  })

  test('a product that somebody changed since is left as it is', async () => {
    const { door, bulk, prices, product } = await shop()
    const patch = { method: 'PATCH', headers: asAdmin, json: { title: 'Newer' } }
    await ask(door, '/api/admin/products/lamp', patch)
    const cheaper = {
      handles: ['lamp', 'shirt'],
      change: { kind: 'price-set', amount: 1 },
      catalogVersion: 3,
    }
    expect((await bulk(cheaper)).json).toMatchObject({
      updated: 1,
      rejected: [{ handle: 'lamp', reason: 'it was changed in catalog version 4' }],
    })
    expect([await prices('lamp'), (await product('lamp'))['title']]).toEqual([[12_999], 'Newer'])
    const below = { handles: ['lamp'], change: { kind: 'price-add', amount: -13_000 }, catalogVersion: 9 }
    expect((await bulk(below)).json['type']).toBe('/problems/behind')
    expect((await bulk({ ...below, catalogVersion: 5 })).json['rejected']).toMatchObject([{ handle: 'lamp' }])
  })

  test('many products are several versions, each product once', async () => {
    const { door, bulk, world } = await shop()
    const rows = Array.from({ length: 450 }, (_, index) => `p${index},P,1,bulk`)
    const body = `Handle,Title,Variant Price,Type\n${rows.join('\n')}`
    await ask(door, '/api/admin/import', { body, type: 'text/csv', headers: asAdmin })
    const { version } = world
    const change = { filter: { category: 'bulk' }, change: percent(-50), catalogVersion: version }
    expect((await bulk(change)).json).toMatchObject({
      matched: 450,
      updated: 450,
      catalogVersion: version + 3,
    })
  })

  test('is checked like everything', async () => {
    const { door, bulk } = await shop()
    const status = { kind: 'status', status: 'active' }
    for (const wrong of [
      { change: status },
      { filter: {}, handles: ['a'], change: status },
      { filter: { colour: 'red' }, change: status },
      { filter: {}, change: { kind: 'status', status: 'gone' } },
      { filter: {}, change: { kind: 'price-percent', percent: 1.234 } },
      { filter: {}, change: { kind: 'price-percent', percent: -101 } },
      { filter: {}, change: { kind: 'price-set', amount: -1 } },
      { handles: ['Not A Handle'], change: status },
    ])
      expect((await bulk(wrong, '?dryRun=true')).status).toBe(400)
    expect((await ask(door, '/api/admin/products/bulk', { json: {} })).status).toBe(401)
  })
})

test('the back office shows what would happen, and does just that when it is agreed to', async () => {
  const { door, prices } = await shop()
  const type = 'application/x-www-form-urlencoded'
  const entered = await ask(door, '/admin/log-on', { body: `token=${adminToken}&name=Ada`, type })
  const cookie = entered.headers
    .getSetCookie()
    .map((one) => one.split(';')[0])
    .join('; ')
  const headers = { cookie, accept: 'text/html' }
  const post = async (fields: { [name: string]: string }) =>
    await ask(door, '/admin/bulk', { headers, type, body: new URLSearchParams(fields).toString() })
  expect((await ask(door, '/admin?q=lamp', { headers })).text).toContain('Change all 1')
  const fields = { q: 'lamp', action: 'price-add', value: '-10.50' }
  const preview = await post(fields)
  expect(preview.text).toContain('12999 USD → 11949 USD')
  expect(await prices('lamp')).toEqual([12_999])
  const version = /name="version" value="(\d+)"/.exec(preview.text)?.[1] ?? ''
  for (let time = 0; time < 2; time += 1) {
    const done = await post({ ...fields, version, key: 'k' })
    expect(done.status).toBe(200)
    expect(await prices('lamp')).toEqual([11_949])
  }
  for (const wrong of [
    { ...fields, value: 'x' },
    { ...fields, action: 'gone' },
    { action: 'price-percent', value: '' },
  ])
    expect((await post(wrong)).status).toBe(400)
  expect((await ask(door, '/admin/bulk', { body: 'action=active', type })).headers.get('location')).toBe(
    '/admin/log-on',
  )
})
