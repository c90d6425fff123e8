import { describe, expect, test } from 'vitest'
import type { ProductChange } from '../../node/commands.ts'
import type { Handle } from '../../node/ids.ts'
import { ask, asAdmin, fakeShop, lamp, shirt, stock } from '../support/http-door.ts'

async function shop() {
  const made = fakeShop('n1')
  const [door] = made.doors
  if (door === undefined) throw new Error('no door')
  await stock(door)
  return { ...made, door }
}

describe('the catalog', () => {
  test('lists active products whole, with total, version and the two headers', async () => {
    const { door } = await shop()
    const { status, json, headers } = await ask(door, '/api/products')
    expect(status).toBe(200)
    expect(json['items']?.map((product) => product['handle'])).toEqual(['lamp', 'shirt'])
    expect([json['total'], json['next'], json['catalogVersion']]).toEqual([2, null, 3])
    expect(json['items']?.[1]).toMatchObject({
      title: 'Linen Shirt',
      tags: ['linen', 'summer'],
      status: 'active',
    })
    expect([headers.get('souk-node'), headers.get('souk-catalog-version')]).toEqual(['n1', '3'])
  })

  test('filters, sorts and pages', async () => {
    const { door } = await shop()
    const handles = async (query: string) => {
      const { json } = await ask(door, `/api/products?${query}`)
      return json['items']?.map((product) => product['handle'])
    }
    expect(await handles('q=linen')).toEqual(['shirt'])
    expect(await handles('category=lamps')).toEqual(['lamp'])
    expect(await handles('tag=summer&vendor=Loom%20Street')).toEqual(['shirt'])
    expect(await handles('sort=price')).toEqual(['shirt', 'lamp'])
    expect(await handles('sort=-price')).toEqual(['lamp', 'shirt'])
    expect(await handles('sort=newest&unknown=parameter')).toEqual(['lamp', 'shirt'])
    const { amount } = (lamp.variants[0] as { price: { amount: number } }).price
    expect(await handles(`minPrice=${amount}`)).toEqual(['lamp'])
    expect(await handles(`maxPrice=${amount - 1}`)).toEqual(['shirt'])
    expect(await handles(`minPrice=${amount}&maxPrice=${amount}&q=lamp`)).toEqual(['lamp'])
    const first = await ask(door, '/api/products?limit=1')
    expect(first.json['items']).toHaveLength(1)
    expect(await handles(`limit=1&cursor=${String(first.json['next'])}`)).toEqual(['shirt'])
  })

  test('tells what a list can be narrowed down by, when asked', async () => {
    const { door } = await shop()
    const { json } = await ask(door, '/api/products?facets=true&vendor=Loom%20Street')
    expect(json['facets']).toMatchObject({
      category: [{ count: 1 }],
      vendor: expect.arrayContaining([{ name: 'Loom Street', count: 1 }]) as unknown,
      tag: expect.arrayContaining([{ name: 'summer', count: 1 }]) as unknown,
      price: { bands: [{ count: 1 }] },
    })
    expect((await ask(door, '/api/products')).json).not.toHaveProperty('facets')
    expect((await ask(door, '/api/products?facets=false')).json).not.toHaveProperty('facets')
    const drafts = await ask(door, '/api/admin/products?facets=true&status=draft', { headers: asAdmin })
    expect(drafts.json['facets']).toMatchObject({ price: { bands: [{ count: 1 }] } })
  })

  test.each([
    'minPrice=-1',
    'maxPrice=1.5',
    'maxPrice=99999999999',
    'facets=maybe',
    'limit=0',
    'limit=201',
    'limit=1.5',
    'limit=x',
    'limit=',
    'sort=cheap',
    'cursor=nonsense',
    'q=%00',
  ])('refuses %s', async (query) => {
    const { door } = await shop()
    const { status, json, headers } = await ask(door, `/api/products?${query}`)
    expect(status).toBe(400)
    expect(json).toMatchObject({ type: '/problems/invalid-request', status: 400 })
    expect(headers.get('content-type')).toBe('application/problem+json')
  })

  test('shows one product with its ETag, and 304 for it', async () => {
    const { door } = await shop()
    const { status, headers, json } = await ask(door, '/api/products/shirt')
    expect([status, headers.get('etag')]).toEqual([200, '"1"'])
    expect(json).toMatchObject({
      handle: 'shirt',
      catalogVersion: 1,
      variants: [{ title: 'S' }, { title: 'M' }],
    })
    const again = await ask(door, '/api/products/shirt', { headers: { 'if-none-match': '"1"' } })
    expect([again.status, again.text, again.headers.get('souk-node')]).toEqual([304, '', 'n1'])
  })

  test('hides drafts, also one whose option is called status', async () => {
    const { door } = await shop()
    const variants = [{ sku: 'X', options: { status: 'active' }, price: { amount: 1, currency: 'USD' } }]
    const json = { title: 'Trick', status: 'draft', variants }
    await ask(door, '/api/admin/products/trick', { method: 'PUT', headers: asAdmin, json })
    const open = { title: 'Open', variants: [{ ...variants[0], sku: 'Y', options: { status: 'draft' } }] }
    await ask(door, '/api/admin/products/open', { method: 'PUT', headers: asAdmin, json: open })
    for (const handle of ['secret', 'trick', 'nothing', 'a%20b', '%00'])
      expect((await ask(door, `/api/products/${handle}`)).status).toBe(404)
    expect((await ask(door, '/api/products/open')).status).toBe(200)
  })

  test('counts categories, and answers HEAD without a body', async () => {
    const { door } = await shop()
    const { json } = await ask(door, '/api/categories')
    expect(json).toEqual({
      items: [
        { name: 'lamps', count: 1 },
        { name: 'textiles', count: 1 },
      ],
    })
    const head = await ask(door, '/api/products', { method: 'HEAD' })
    expect([head.status, head.text, head.headers.get('souk-catalog-version')]).toEqual([200, '', '3'])
  })

  test('answers from the version asked for, or says that it is behind', async () => {
    const { door } = await shop()
    const at = async (version: string) =>
      await ask(door, '/api/products', { headers: { 'souk-catalog-version': version } })
    expect((await at('3')).status).toBe(200)
    const behind = await at('4')
    expect([behind.status, behind.json['type']]).toEqual([503, '/problems/behind'])
    expect(behind.headers.get('retry-after')).toBe('1')
    for (const absurd of ['9'.repeat(14), '9'.repeat(40)])
      expect((await at(absurd)).json['type']).toBe('/problems/behind')
    for (const wrong of ['x', '-1', '1.5']) expect((await at(wrong)).status).toBe(400)
  })
})

describe('administration of products', () => {
  test('needs the administrator: 401 without a token, 403 for a shopper', async () => {
    const { door } = await shop()
    const none = await ask(door, '/api/admin/products')
    expect([none.status, none.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="souk"'])
    expect((await ask(door, '/api/admin/products', { token: 'wrong' })).status).toBe(401)
    expect(
      (await ask(door, '/api/admin/products', { headers: { authorization: 'Basic eA==' } })).status,
    ).toBe(401)
    const session = await ask(door, '/api/guests', { method: 'POST' })
    const shopper = await ask(door, '/api/admin/products', { token: String(session.json['token']) })
    expect([shopper.status, shopper.json['type']]).toEqual([403, '/problems/forbidden'])
    const cookie = (session.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
    expect((await ask(door, '/api/admin/products', { headers: { cookie } })).status).toBe(403)
  })

  test('lists drafts and filters by status', async () => {
    const { door } = await shop()
    const all = await ask(door, '/api/admin/products', { headers: asAdmin })
    expect(all.json['total']).toBe(3)
    const drafts = await ask(door, '/api/admin/products?status=draft', { headers: asAdmin })
    expect(drafts.json['items']?.map((product) => product['handle'])).toEqual(['secret'])
    expect((await ask(door, '/api/admin/products?status=sold', { headers: asAdmin })).status).toBe(400)
    expect((await ask(door, '/api/admin/products/secret', { headers: asAdmin })).status).toBe(200)
  })

  test('a change is answered with what it made, whoever deleted the product or changed it again meanwhile', async () => {
    const { door } = await shop()
    const { catalog } = door.replica
    const change = catalog.change.bind(catalog)
    const put = async (title: string) => {
      const json = { ...lamp, title }
      return await ask(door, '/api/admin/products/lamp', { method: 'PUT', headers: asAdmin, json })
    }
    const thenBy = (next: ProductChange): void => {
      catalog.change = async (...given) => {
        const result = await change(...given)
        await change([next], 'another')
        return result
      }
    }
    thenBy({ op: 'merge', handle: 'lamp' as Handle, fields: { title: 'Theirs' } })
    const first = await put('Mine')
    expect([first.status, first.json['title'], first.headers.get('etag')]).toEqual([200, 'Mine', '"4"'])
    thenBy({ op: 'delete', handle: 'lamp' as Handle })
    const second = await put('Mine again')
    expect([second.status, second.json['title']]).toEqual([200, 'Mine again'])
    catalog.productAt = () => null
    expect((await put('Mine, long ago')).status).toBe(504)
  })

  test('PUT creates with defaults and replaces; If-Match and If-None-Match are honoured', async () => {
    const { door } = await shop()
    const put = async (headers: { [name: string]: string }, json: unknown = lamp) =>
      await ask(door, '/api/admin/products/lamp', {
        method: 'PUT',
        headers: { ...asAdmin, ...headers },
        json,
      })
    const made = await ask(door, '/api/admin/products/lamp', { headers: asAdmin })
    expect(made.json).toMatchObject({
      vendor: '',
      tags: [],
      status: 'active',
      variants: [{ title: 'Default Title' }],
    })
    expect((await put({ 'if-match': '"1"' })).status).toBe(412)
    expect((await put({ 'if-match': 'W/"2"' })).status).toBe(412)
    expect((await put({ 'if-match': '"abc"' })).status).toBe(412)
    expect((await put({ 'if-match': 'abc' })).status).toBe(400)
    expect((await put({ 'if-none-match': '*' })).json['type']).toBe('/problems/precondition-failed')
    const changed = await put({ 'if-match': '"9", "2"' }, { ...lamp, title: 'Old Lamp' })
    expect([changed.status, changed.json['title'], changed.headers.get('etag')]).toEqual([
      200,
      'Old Lamp',
      '"4"',
    ])
    expect((await put({ 'if-match': '*' }, changed.json)).status).toBe(200)
    expect((await put({}, { ...lamp, handle: 'other' })).status).toBe(400)
  })

  test('PATCH merges (RFC 7396)', async () => {
    const { door } = await shop()
    const patch = async (json: unknown, handle = 'shirt', type = 'application/merge-patch+json') =>
      await ask(door, `/api/admin/products/${handle}`, {
        method: 'PATCH',
        headers: asAdmin,
        type,
        body: JSON.stringify(json),
      })
    const changed = await patch({ vendor: null, tags: ['new'] })
    expect(changed.json).toMatchObject({
      vendor: '',
      tags: ['new'],
      title: 'Linen Shirt',
      category: 'textiles',
    })
    expect(changed.json['variants']).toHaveLength(2)
    const fewer = await patch(
      { variants: [{ ...shirt.variants[0], price: { amount: 100, currency: 'USD' } }] },
      'shirt',
      'application/json',
    )
    expect(fewer.json['variants']).toMatchObject([{ sku: 'SHIRT-S', price: { amount: 100 } }])
    expect((await patch({ title: null })).status).toBe(400)
    expect((await patch({ variants: [] })).status).toBe(400)
    expect((await patch({ title: 'x' }, 'nothing')).json['type']).toBe('/problems/not-found')
    expect((await patch({ title: 'x' }, 'shirt', 'text/plain')).status).toBe(415)
  })

  test('DELETE, once', async () => {
    const { door } = await shop()
    const gone = async () =>
      await ask(door, '/api/admin/products/lamp', { method: 'DELETE', headers: asAdmin })
    expect((await gone()).status).toBe(204)
    expect((await gone()).status).toBe(404)
  })

  test('says what is wrong with a product', async () => {
    const { door } = await shop()
    const put = async (json: unknown) =>
      await ask(door, '/api/admin/products/x', { method: 'PUT', headers: asAdmin, json })
    const wrong = await put({ title: '', variants: [{ sku: 'A', price: { amount: -1, currency: 'USD' } }] })
    expect(wrong.json['errors']).toMatchObject([{ path: 'title' }, { path: 'variants.0.price.amount' }])
    expect(
      (await put({ ...lamp, variants: [{ sku: 'A', price: { amount: 1, currency: 'EUR' } }] })).status,
    ).toBe(400)
    expect((await put(lamp)).json).toMatchObject({
      type: '/problems/conflict',
      detail: 'SKU LAMP belongs to product lamp',
    })
    expect((await put({ ...lamp, tags: ['a,b'] })).status).toBe(400)
  })

  test('the same key gives the first result', async () => {
    const { door, world } = await shop()
    const options = { method: 'DELETE', headers: { ...asAdmin, 'idempotency-key': 'k1' } }
    expect((await ask(door, '/api/admin/products/lamp', options)).status).toBe(204)
    expect((await ask(door, '/api/admin/products/lamp', options)).status).toBe(204)
    expect(world.version).toBe(4)
  })
})
