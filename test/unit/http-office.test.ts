/** The back office's product pages: edit with the version that was seen, create, delete. */
import { expect, test } from 'vitest'
import type { FakeDoor } from '../support/http-door.ts'
import { adminToken, ask, asAdmin, fakeShop, stock } from '../support/http-door.ts'

const type = 'application/x-www-form-urlencoded'

async function office(...nodes: string[]) {
  const made = fakeShop(...(nodes.length === 0 ? ['n1'] : nodes))
  const [door] = made.doors as [FakeDoor]
  await stock(door)
  const entered = await ask(door, '/admin/log-on', { body: `token=${adminToken}&name=Zo%C3%AB`, type })
  const cookie = entered.headers
    .getSetCookie()
    .map((one) => one.split(';')[0])
    .join('; ')
  const headers = { cookie, accept: 'text/html' }
  const get = async (path: string, at = door) => await ask(at, path, { headers })
  const post = async (path: string, fields: { [name: string]: string }, at = door) =>
    await ask(at, path, { headers, type, body: new URLSearchParams(fields).toString() })
  const product = async (handle: string, at = door) =>
    (await ask(at, `/api/admin/products/${handle}`, { headers: asAdmin })).json
  return { ...made, door, get, post, product }
}

/** The form's inputs as a browser would send them: entities resolved, CR LF in text areas. */
function fieldsOf(text: string): { [name: string]: string } {
  const plain = (raw: string): string =>
    raw
      .replaceAll('&quot;', '"')
      .replaceAll('&#39;', "'")
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&amp;', '&')
  const form = /<form[^>]*class="product-edit"[\s\S]*?<\/form>/.exec(text)?.[0] ?? ''
  const fields: { [name: string]: string } = {}
  for (const [tag] of form.matchAll(/<input[^>]*>/g)) {
    const name = /name="([^"]*)"/.exec(tag)?.[1]
    if (name !== undefined)
      fields[name] = plain(/value="([^"]*)"/.exec(tag)?.[1] ?? '').replace(/[\r\n]/g, '')
  }
  for (const [, name = '', value = ''] of form.matchAll(
    /<textarea name="([^"]*)"[^>]*>\n?([\s\S]*?)<\/textarea/g,
  ))
    fields[name] = plain(value).replace(/\r?\n/g, '\r\n')
  fields['status'] = /<option\s+value="(\w+)"\s+selected/.exec(form)?.[1] ?? ''
  return fields
}

test('the list is narrowed down by what there is, and changing all means what is shown', async () => {
  const { get, post } = await office()
  const { text } = await get('/admin?status=active')
  expect(text).toMatch(
    /href="\/admin\?status=active&amp;category=lamps"[^>]*>\s*<span>lamps<\/span><small>1</,
  )
  const narrowed = (await get('/admin?from=100&status=active')).text
  expect(narrowed).toContain('Change all 1<')
  expect(narrowed).toContain('from $100.00 ×')
  expect(narrowed).toContain('<input type="hidden" name="minPrice" value="10000" />')
  const preview = await post('/admin/bulk', { action: 'archived', minPrice: '10000', status: 'active' })
  expect(preview.text).toContain('change 1 products')
  expect(preview.text).toContain('name="minPrice" value="10000"')
})

test('the list leads to the form of a product, a draft too; saving it unchanged changes nothing', async () => {
  const { get, post, product, world } = await office()
  expect((await get('/admin')).text).toContain('href="/admin/products/secret"')
  for (const handle of ['shirt', 'lamp', 'secret']) {
    const before = await product(handle)
    const { status, text } = await get(`/admin/products/${handle}`)
    expect(status).toBe(200)
    const saved = await post(`/admin/products/${handle}`, fieldsOf(text))
    expect([saved.status, saved.headers.get('location')]).toEqual([303, `/admin/products/${handle}`])
    expect(await product(handle)).toEqual(before)
  }
  expect(world.version).toBe(3)
  expect((await get('/admin/products/nothing')).status).toBe(404)
})

test('line breaks and texts that a browser alone changes stay as they were', async () => {
  const { door, get, post, product } = await office()
  const json = {
    title: 'Rug',
    description: '\nfirst\nsecond\r\nthird',
    images: [{ src: 'a | b.jpg', alt: 'x | y' }],
    options: [{ name: 'Size', values: ['S', 'XXL (on request)'] }],
    variants: [
      { sku: 'RUG', title: 'Own "name"', options: { Size: 'S' }, price: { amount: 5, currency: 'USD' } },
    ],
  }
  await ask(door, '/api/admin/products/rug', { method: 'PUT', headers: asAdmin, json })
  const before = await product('rug')
  const fields = fieldsOf((await get('/admin/products/rug')).text)
  expect((await post('/admin/products/rug', fields)).status).toBe(303)
  expect(await product('rug')).toEqual(before)
  await post('/admin/products/rug', { ...fields, description: 'one\r\ntwo' })
  expect((await product('rug'))['description']).toBe('one\ntwo')
})

test('fields, variants and options can be changed, added and taken away', async () => {
  const { get, post, product } = await office()
  const fields = fieldsOf((await get('/admin/products/shirt')).text)
  expect(fields).toMatchObject({
    'sku.1': 'SHIRT-M',
    'price.1': '52.00',
    'option.0': 'Size',
    'value.1.0': 'M',
  })
  const answer = await post('/admin/products/shirt', {
    ...fields,
    title: 'Shirt <b>',
    tags: 'a, b ,, a',
    status: 'draft',
    images: 'https://x.example/1.jpg | One\r\ntwo.jpg',
    'sku.0': '',
    'option.1': 'Colour',
    'value.1.1': 'Red',
    'sku.2': 'SHIRT-L',
    'price.2': '60',
    'value.2.0': 'L',
  })
  expect(answer.status).toBe(303)
  expect(await product('shirt')).toMatchObject({
    title: 'Shirt <b>',
    tags: ['a', 'b'],
    status: 'draft',
    images: [
      { src: 'https://x.example/1.jpg', alt: 'One' },
      { src: 'two.jpg', alt: '' },
    ],
    options: [
      { name: 'Size', values: ['M', 'L'] },
      { name: 'Colour', values: ['Red'] },
    ],
    variants: [
      { sku: 'SHIRT-M', options: { Size: 'M', Colour: 'Red' }, price: { amount: 5_200 } },
      { sku: 'SHIRT-L', title: 'L', options: { Size: 'L' }, price: { amount: 6_000 } },
    ],
  })
  expect((await get('/admin/products/shirt')).text).toContain('Shirt &lt;b&gt;')
})

test('two administrators at two nodes can’t overwrite each other unseen', async () => {
  const { doors, get, post, product } = await office('n1', 'n2')
  const [one, other] = doors as [FakeDoor, FakeDoor]
  const first = fieldsOf((await get('/admin/products/lamp', one)).text)
  const second = fieldsOf((await get('/admin/products/lamp', other)).text)
  expect((await post('/admin/products/lamp', { ...first, title: 'Lamp of one' }, one)).status).toBe(303)
  const late = await post('/admin/products/lamp', { ...second, vendor: 'Other' }, other)
  expect(late.status).toBe(412)
  expect(late.text).toContain('somebody else changed this product')
  expect(late.text).toContain('<td>Lamp of one</td>')
  expect(await product('lamp')).toMatchObject({ title: 'Lamp of one', vendor: '' })
  // What was typed is still there, and saving again is a decision now.
  const again = fieldsOf(late.text)
  expect(again).toMatchObject({ vendor: 'Other', title: 'Brass Lamp', version: '4' })
  expect((await post('/admin/products/lamp', again, other)).status).toBe(303)
  expect(await product('lamp')).toMatchObject({ title: 'Brass Lamp', vendor: 'Other' })
  const stale = await post('/admin/products/lamp/delete', { version: '4', key: 'k' })
  expect([stale.status, stale.text.includes('Not deleted')]).toEqual([412, true])
  expect((await post('/admin/products/lamp/delete', { version: '5', key: 'k' })).status).toBe(303)
  expect((await product('lamp'))['type']).toBe('/problems/not-found')
  expect((await post('/admin/products/lamp', again, other)).status).toBe(404)
})

test('what is wrong is said in the form, with what was typed', async () => {
  const { get, post, world } = await office()
  const fields = fieldsOf((await get('/admin/products/lamp')).text)
  for (const [wrong, reason] of [
    [{ title: ' ' }, 'title'],
    [{ 'price.0': '1,000' }, 'is not a price'],
    [{ 'sku.0': 'SHIRT-M' }, 'belongs to product shirt'],
    [{ 'sku.0': '' }, 'variants'],
    [{ status: 'gone' }, 'status'],
  ] as const) {
    const answer = await post('/admin/products/lamp', { ...fields, vendor: 'Typed Vendor', ...wrong })
    expect([answer.status, answer.text.includes('Not saved'), answer.text.includes(reason)]).toEqual([
      400,
      true,
      true,
    ])
    expect(answer.text).toContain('Typed Vendor')
  }
  expect((await post('/admin/products/lamp', { ...fields, version: 'x' })).status).toBe(400)
  expect(world.version).toBe(3)
})

test('a new product; its handle must be free', async () => {
  const { get, post, product } = await office()
  const fields = fieldsOf((await get('/admin/new')).text)
  expect(fields['status']).toBe('draft')
  const filled = { ...fields, title: 'Vase', 'sku.0': 'VASE', 'price.0': '12.50' }
  expect((await post('/admin/new', { ...filled, handle: 'Not A Handle!' })).status).toBe(400)
  const taken = await post('/admin/new', { ...filled, handle: 'lamp' })
  expect([taken.status, taken.text.includes('value="Vase"')]).toEqual([400, true])
  const made = await post('/admin/new', { ...filled, handle: 'vase' })
  expect([made.status, made.headers.get('location')]).toEqual([303, '/admin/products/vase'])
  expect(await product('vase')).toMatchObject({
    status: 'draft',
    variants: [{ sku: 'VASE', price: { amount: 1_250 } }],
  })
})

test('only for who entered the token, from our own pages', async () => {
  const { door, post } = await office()
  for (const path of ['/admin/products/lamp', '/admin/new'])
    expect((await ask(door, path)).headers.get('location')).toBe('/admin/log-on')
  const foreign = { accept: 'text/html', 'sec-fetch-site': 'cross-site' }
  for (const path of ['/admin/products/lamp', '/admin/products/lamp/delete', '/admin/new'])
    expect((await ask(door, path, { headers: foreign, body: 'title=x', type })).status).toBe(403)
  expect((await post('/admin/products/lamp', { version: '2', title: '\0' })).status).toBe(400)
})

test('Souk-Admin is a name', async () => {
  const { door } = await office()
  const put = async (name: string) =>
    (
      await ask(door, '/api/admin/products/lamp', {
        method: 'PATCH',
        headers: { ...asAdmin, 'souk-admin': name },
        json: { vendor: 'V' },
      })
    ).status
  expect(await put('Zo%C3%AB of stock')).toBe(200)
  for (const wrong of ['', '<b>', '%', 'x'.repeat(61)]) expect(await put(wrong)).toBe(400)
})
