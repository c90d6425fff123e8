import { describe, expect, test } from 'vitest'
import { currencyDigits, formatPrice, parsePrice } from '../../http/csv/price.ts'
import type { FakeDoor } from '../support/http-door.ts'
import { catalogChangeItemsMax } from '../../node/commands.ts'
import { ask, asAdmin, fakeShop, stock } from '../support/http-door.ts'

function shop(currency = 'USD') {
  const made = fakeShop('n1')
  const [door] = made.doors as [FakeDoor]
  made.world.currency = currency
  const load = async (
    body: string,
    query = '',
    headers: { [name: string]: string } = {},
    type = 'text/csv',
  ) => await ask(door, `/api/admin/import${query}`, { body, type, headers: { ...asAdmin, ...headers } })
  const product = async (handle: string) =>
    (await ask(door, `/api/admin/products/${handle}`, { headers: asAdmin })).json
  return { ...made, door, load, product }
}

const head =
  'Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Price,Image Src,Image Alt Text,Status'

describe('prices', () => {
  test.each([
    ['USD', '129.99', 12_999],
    ['USD', '129.9', 12_990],
    ['USD', '129', 12_900],
    ['USD', '0.10', 10],
    ['USD', '1.230000', 123],
    ['USD', ' 5.', 500],
    ['JPY', '1500', 1_500],
    ['JPY', '1500.00', 1_500],
    ['BHD', '1.234', 1_234],
    ['USD', '90071992547.99', 9_007_199_254_799],
  ])('%s %s is %i', (currency, text, amount) => {
    expect(parsePrice(text, currencyDigits(currency))).toBe(amount)
  })

  test.each([
    ['USD', '1.234'],
    ['JPY', '1.5'],
    ['USD', '-1'],
    ['USD', '1,000'],
    ['USD', '1e3'],
    ['USD', ''],
    ['USD', '.5'],
    ['USD', '$5'],
  ])('%s %s is none', (currency, text) => {
    expect(typeof parsePrice(text, currencyDigits(currency))).toBe('string')
  })

  test('are written so that they read the same', () => {
    expect([formatPrice(5, 2), formatPrice(12_999, 2), formatPrice(1_500, 0), formatPrice(1, 3)]).toEqual([
      '0.05',
      '129.99',
      '1500',
      '0.001',
    ])
  })
})

describe('importing CSV', () => {
  test('continuation rows are variants and images of the product', async () => {
    const { load, product } = shop()
    const file = [
      head,
      'shirt,Shirt,"<p>a, ""b""</p>\r\nsecond",Loom,textiles,"linen, summer ,linen",TRUE,Size,S,Colour,Red,SH-S,49.00,https://x.example/1.jpg,One,active',
      'shirt,,,,,,,,M,,Red,SH-M,52,two.jpg,,',
      'shirt,,,,,,,,,,,,,https://x.example/3.jpg,Three,',
      '',
      'lamp,Lamp,,,,,FALSE,Title,Default Title,,,,129.99,,,',
    ].join('\r\n')
    const { json } = await load(`\uFEFF${file}\r\n`)
    expect(json).toEqual({ created: 2, updated: 0, unchanged: 0, rejected: [], catalogVersion: 1 })
    expect(await product('shirt')).toMatchObject({
      title: 'Shirt',
      description: '<p>a, "b"</p>\r\nsecond',
      vendor: 'Loom',
      category: 'textiles',
      tags: ['linen', 'summer'],
      status: 'active',
      options: [
        { name: 'Size', values: ['S', 'M'] },
        { name: 'Colour', values: ['Red'] },
      ],
      variants: [
        {
          sku: 'SH-S',
          title: 'S / Red',
          options: { Size: 'S', Colour: 'Red' },
          price: { amount: 4_900, currency: 'USD' },
        },
        { sku: 'SH-M', title: 'M / Red', price: { amount: 5_200 } },
      ],
      images: [
        { src: 'https://x.example/1.jpg', alt: 'One' },
        { src: 'two.jpg', alt: '' },
        { src: 'https://x.example/3.jpg', alt: 'Three' },
      ],
    })
    expect(await product('lamp')).toMatchObject({
      status: 'draft',
      options: [],
      variants: [{ sku: 'lamp', title: 'Default Title', options: {} }],
    })
  })

  test('absent columns keep their values, absent products stay', async () => {
    const { load, product, door } = shop()
    await stock(door)
    const before = await product('shirt')
    expect((await load('Handle,Vendor\nshirt,New Vendor\n')).json).toMatchObject({ updated: 1 })
    expect(await product('shirt')).toMatchObject({
      options: before['options'],
      variants: before['variants'],
      vendor: 'New Vendor',
    })
    const prices = 'Handle,Variant SKU,Variant Price\nshirt,SHIRT-S,1.00\nshirt,SHIRT-M,2.00\n'
    expect((await load(prices)).json).toMatchObject({ updated: 1, catalogVersion: 5 })
    expect(await product('shirt')).toMatchObject({
      options: before['options'],
      variants: [{ title: 'S', options: { Size: 'S' }, price: { amount: 100 } }, {}],
    })
    expect((await load(prices)).json).toMatchObject({ updated: 0, unchanged: 1, catalogVersion: 5 })
    expect((await product('lamp'))['title']).toBe('Brass Lamp')
    expect((await load('Handle,Title\nfresh,Fresh\n')).json['rejected']).toMatchObject([{ line: 2 }])
  })

  test('status: archived first, then FALSE or draft', async () => {
    const { load, product } = shop()
    const rows = [
      'a,A,1,TRUE,archived',
      'b,B,1,FALSE,active',
      'c,C,1,TRUE,draft',
      'd,D,1,true,ACTIVE',
      'e,E,1,,',
      'f,F,1,FALSE,archived',
    ]
    await load(`Handle,Title,Variant Price,Published,Status\n${rows.join('\n')}`)
    const statuses = await Promise.all(
      'a b c d e f'.split(' ').map(async (handle) => (await product(handle))['status']),
    )
    expect(statuses).toEqual(['archived', 'draft', 'draft', 'active', 'active', 'archived'])
  })

  test('a product with a rejected line is left as it is, and lines are counted as they are in the file', async () => {
    const { load, product, door } = shop()
    await stock(door)
    const file = [
      head,
      'shirt,Changed,"two',
      'lines",,,,TRUE,Size,S,,,SHIRT-S,49.00,,,active',
      'shirt,,,,,,,,M,,,SHIRT-M,free,,,',
      '',
      'good,Good,,,,,TRUE,,,,,GOOD,1.00,,,active',
      'short,Short',
      ',No Handle,,,,,TRUE,,,,,X,1.00,,,active',
      'a b,Bad Handle,,,,,TRUE,,,,,Y,1.00,,,active',
      'price,No Price,,,,,TRUE,,,,,Z,,,,active',
      'state,Bad Status,,,,,TRUE,,,,,W,1.00,,,sold',
      'untitled,,,,,,TRUE,,,,,V,1.00,,,active',
    ].join('\n')
    const { json } = await load(file)
    expect(json).toMatchObject({ created: 1, updated: 0, unchanged: 0 })
    expect(json['rejected']?.map((entry) => entry['line'])).toEqual([4, 7, 8, 9, 10, 11, 12])
    expect(json['rejected']?.[0]?.['reason']).toContain('free')
    expect((await product('shirt'))['title']).toBe('Linen Shirt')
  })

  test('a SKU belongs to one variant', async () => {
    const { load, door } = shop()
    await stock(door)
    const file =
      'Handle,Title,Variant SKU,Variant Price\na,A,ONE,1\nb,B,ONE,1\nc,C,LAMP,1\nd,D,TWO,1\nd,,TWO,2\na,,THREE,1\n'
    const { json } = await load(file)
    expect(json).toMatchObject({ created: 1 })
    expect(json['rejected']?.map((entry) => entry['line'])).toEqual([3, 4, 6])
  })

  test('only tries with dryRun', async () => {
    const { load, world } = shop()
    const file = 'Handle,Title,Variant Price\na,A,1\nb,,1\n'
    expect((await load(file, '?dryRun=true')).json).toMatchObject({
      created: 1,
      updated: 0,
      unchanged: 0,
      rejected: [{ line: 3, reason: 'the title is empty' }],
      catalogVersion: 0,
    })
    expect([world.version, world.products.size]).toEqual([0, 0])
    expect((await load(file, '?dryRun=maybe')).status).toBe(400)
  })

  test.each([
    ['no Handle column', 'Title,Vendor\na,b\n'],
    ['nothing', ''],
    ['an open quote', 'Handle,Title\na,"b\n'],
    ['a quote in the middle', 'Handle,Title\nx"y,b\n'],
    ['a column twice', 'Handle,Title,Title\na,b,c\n'],
  ])('refuses a file with %s', async (_name, file) => {
    const { load, world } = shop()
    const { status, json } = await load(file)
    expect([status, json['type'], world.version]).toEqual([400, '/problems/invalid-request', 0])
  })

  test('refuses other types, and bytes that are no UTF-8', async () => {
    const { load, door } = shop()
    expect((await load('x', '', {}, 'text/plain')).status).toBe(415)
    const body = new Uint8Array([...Buffer.from('Handle,Title\na,'), 0xff])
    expect((await ask(door, '/api/admin/import', { body, type: 'text/csv', headers: asAdmin })).status).toBe(
      400,
    )
    expect((await ask(door, '/api/admin/import', { body: 'Handle\n', type: 'text/csv' })).status).toBe(401)
  })

  test('prices have the digits of the currency', async () => {
    const { load, product } = shop('JPY')
    const { json } = await load('Handle,Title,Variant Price\na,A,1500.00\nb,B,15.50\n')
    expect(json['rejected']).toMatchObject([{ line: 3 }])
    expect(await product('a')).toMatchObject({ variants: [{ price: { amount: 1_500, currency: 'JPY' } }] })
  })

  test('large files become several changes; the same key goes on where it stopped', async () => {
    const { load, world } = shop()
    const catalogVersion = Math.ceil(1_200 / catalogChangeItemsMax)
    const rows = Array.from({ length: 1_200 }, (_, index) => `p${index},Product ${index},1.00`)
    const file = `Handle,Title,Variant Price\n${rows.join('\n')}\n`
    expect((await load(file, '', { 'idempotency-key': 'k' })).json).toMatchObject({
      created: 1_200,
      catalogVersion,
    })
    expect((await load(file, '', { 'idempotency-key': 'k' })).json).toMatchObject({
      created: 1_200,
      catalogVersion,
    })
    expect((await load(file)).json).toMatchObject({ created: 0, unchanged: 1_200, catalogVersion })
    expect(world.products.size).toBe(1_200)
  })
})

describe('JSON Lines', () => {
  test('one product a line, absent fields kept, bad lines told', async () => {
    const { load, product, door } = shop()
    await stock(door)
    const lines = [
      JSON.stringify({ handle: 'lamp', title: 'Renamed' }),
      '',
      JSON.stringify({
        handle: 'new',
        title: 'New',
        variants: [{ sku: 'NEW', price: { amount: 5, currency: 'USD' } }],
      }),
      'not json',
      JSON.stringify({ title: 'No Handle' }),
      JSON.stringify({ handle: 'new', title: 'Again' }),
    ]
    const { json } = await load(lines.join('\n'), '', {}, 'application/jsonl')
    expect(json).toMatchObject({ created: 1, updated: 1, rejected: [{ line: 4 }, { line: 5 }, { line: 6 }] })
    expect(await product('lamp')).toMatchObject({
      title: 'Renamed',
      category: 'lamps',
      variants: [{ sku: 'LAMP' }],
    })
  })
})

describe('exporting', () => {
  test('CSV and JSON Lines read back unchanged', async () => {
    const { load, door } = shop()
    await stock(door)
    const get = async (format: string) =>
      await ask(door, `/api/admin/export?format=${format}`, { headers: asAdmin })
    const csv = await get('csv')
    expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8')
    expect(csv.text.split('\n')[0]).toContain(
      'Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name',
    )
    expect((await load(csv.text)).json).toMatchObject({ unchanged: 3, created: 0, updated: 0, rejected: [] })
    const jsonl = await get('jsonl')
    expect(jsonl.text.trim().split('\n')).toHaveLength(3)
    expect((await load(jsonl.text, '', {}, 'application/jsonl')).json).toMatchObject({ unchanged: 3 })
    expect((await get('xml')).status).toBe(400)
    expect((await ask(door, '/api/admin/export')).status).toBe(401)
  })
})
