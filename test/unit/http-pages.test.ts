import { describe, expect, test, vi } from 'vitest'
import type { Sku } from '../../node/ids.ts'
import type { FakeDoor } from '../support/http-door.ts'
import { adminToken, ask, asAdmin, fakeShop, guest, stock } from '../support/http-door.ts'

const form = 'application/x-www-form-urlencoded'
const browser = { accept: 'text/html' }

async function shop() {
  const made = fakeShop('n1')
  const [door] = made.doors as [FakeDoor]
  await stock(door)
  const { token } = await guest(door)
  const cookie = `souk_session=${token}`
  const post = async (path: string, body: string, headers: { [name: string]: string } = {}) =>
    await ask(door, path, { body, type: form, headers: { ...browser, cookie, ...headers } })
  const get = async (path: string) => await ask(door, path, { headers: { ...browser, cookie } })
  return { ...made, door, token, cookie, post, get }
}

function cookieOf(headers: Headers): string {
  return (headers.get('set-cookie') ?? '').split(';')[0] ?? ''
}

describe('storefront', () => {
  test('browsing: products, categories, search; no inline script', async () => {
    const { get } = await shop()
    const { text, headers } = await get('/')
    expect(text).toContain('Linen Shirt')
    expect(text).toContain('from $49.00')
    expect(text).not.toContain('Not Yet')
    expect(text).toContain('/assets/placeholder/Brass%20Lamp.svg')
    expect(text).toContain('id="node">n1<')
    expect(headers.get('content-security-policy')).toContain("script-src 'self'")
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(text).not.toMatch(/<script(?! src)|<style| style=| on\w+=/)
    expect((await get('/?q=lamp&sort=')).text).not.toContain('Linen Shirt')
    expect((await get('/?q=%3Cscript%3E')).text).not.toContain('<script>')
    expect((await get('/?limit=1')).text).toContain('More')
  })

  test('narrowing down: counts, a range of prices, and the way back', async () => {
    const { get } = await shop()
    const all = (await get('/')).text
    expect(all).toMatch(/href="\/\?category=[^"]+"[^>]*>\s*<span>[^<]+<\/span><small>1<\/small>/)
    expect(all).toMatch(/href="\/\?minPrice=\d+&amp;maxPrice=\d+"/)
    const narrowed = await get('/?from=48.5&to=60&q=linen')
    expect(narrowed.text).toContain('Linen Shirt')
    expect(narrowed.text).toContain('$48.50 – $60.00 ×')
    expect(narrowed.text).toMatch(/name="from"[^>]*value="48.50"/)
    expect(narrowed.text).toContain('href="/?q=linen"')
    expect((await get('/?to=1')).text).toContain('Nothing here')
    expect((await get('/?from=1e3')).status).toBe(400)
    expect((await get('/?tag=%3Cscript%3E')).text).not.toContain('<script>')
  })

  test('a page knows the other live servers, for the moment when its own is gone', async () => {
    const [door] = fakeShop('n1', 'n2', 'n3').doors as [FakeDoor]
    const { text } = await ask(door, '/', { headers: browser })
    expect(text).toMatch(/<body data-others="http:\/\/\S+ http:\/\/\S+"/)
    const alone = await ask(fakeShop('n1').doors[0] as FakeDoor, '/', { headers: browser })
    expect(alone.text).toContain('<body data-others=""')
  })

  test('a product, its description made harmless', async () => {
    const { get } = await shop()
    const { text } = await get('/products/shirt')
    expect(text).toContain('<p>Cool in summer.</p>')
    expect(text).not.toContain('alert(1)')
    expect(text).toMatch(/value="SHIRT-M"/)
    const missing = await get('/products/secret')
    expect([missing.status, missing.headers.get('content-type')]).toEqual([404, 'text/html; charset=utf-8'])
    expect((await get('/nothing')).text).toContain('Not found')
  })

  test('the first addition makes a guest; then change, remove, order', async () => {
    const { door, world } = await shop()
    const first = await ask(door, '/cart/items', {
      body: 'sku=LAMP&quantity=2&key=a',
      type: form,
      headers: browser,
    })
    expect([first.status, first.headers.get('location')]).toEqual([303, '/cart'])
    const headers = { ...browser, cookie: cookieOf(first.headers) }
    const cart = await ask(door, '/cart', { headers })
    expect(cart.text).toContain('$259.98')
    await ask(door, '/cart/change', { body: 'sku=LAMP&quantity=3&key=b', type: form, headers })
    const changed = await ask(door, '/cart', { headers })
    expect(changed.text).toContain('$389.97')
    const field = (name: string): string =>
      new RegExp(`class="checkout"[\\s\\S]*?name="${name}" value="([^"]+)"`).exec(changed.text)?.[1] ?? ''
    const body = `key=${field('key')}&hash=${field('hash')}&name=Ada&email=&address=&note=`
    const ordered = await ask(door, '/cart/order', { body, type: form, headers })
    expect([ordered.status, ordered.headers.get('location')]).toEqual([
      303,
      expect.stringMatching(/^\/orders\/o/),
    ])
    const again = await ask(door, '/cart/order', { body, type: form, headers })
    expect(again.headers.get('location')).toBe(ordered.headers.get('location'))
    expect(world.orders.size).toBe(1)
    const page = await ask(door, ordered.headers.get('location') ?? '', { headers })
    expect(page.text).toContain('data-status="placed"')
    expect(page.text).toContain('For: Ada')
    expect((await ask(door, '/orders', { headers })).text).toContain('1000')
    const cancelled = await ask(door, `${ordered.headers.get('location')}/cancel`, {
      body: '',
      type: form,
      headers,
    })
    expect(cancelled.status).toBe(303)
    expect((await ask(door, ordered.headers.get('location') ?? '', { headers })).text).toContain(
      'data-status="cancelled"',
    )
  })

  test('an order that is refused is explained on the cart page', async () => {
    const { post } = await shop()
    await post('/cart/items', 'sku=LAMP&quantity=1&key=a')
    const refused = await post('/cart/order', 'key=k&hash=old')
    expect([refused.status, refused.text.includes('has changed since you saw it')]).toEqual([409, true])
    expect((await post('/cart/items', 'sku=SECRET&quantity=1&key=c')).status).toBe(409)
    expect((await post('/cart/items', 'sku=LAMP&quantity=0&key=c')).status).toBe(400)
    expect((await post('/cart/items', 'sku=LAMP&quantity=1')).status).toBe(400)
  })

  test('a price that moved has its remark, in the document and on the page', async () => {
    const { post, get, world } = await shop()
    await post('/cart/items', 'sku=LAMP&quantity=1&key=a')
    expect((await get('/cart')).text).not.toContain('when you ordered')
    world.agreed.set('LAMP' as Sku, 11_999)
    expect((await get('/cart')).text).toContain('the price was $119.99 when you ordered')
    const [item] = (await get('/api/cart')).json['items'] ?? []
    expect(item).toMatchObject({ previousPrice: { amount: 11_999, currency: 'USD' } })
  })

  test('what a merge brought from another server is named, in the document and on the page', async () => {
    const { post, get, world } = await shop()
    await post('/cart/items', 'sku=LAMP&quantity=1&key=a')
    expect((await get('/cart')).text).not.toContain('came from another server')
    world.merged = [{ sku: 'LAMP' as Sku, quantity: 2 }]
    expect((await get('/cart')).text).toContain('2 × LAMP came from another server and is in your cart.')
    expect((await get('/api/cart')).json['merged']).toEqual([{ sku: 'LAMP', quantity: 2 }])
  })

  test('forms are taken from our own pages only', async () => {
    const { post, door } = await shop()
    const foreign = { 'sec-fetch-site': 'cross-site', origin: 'http://evil.test' }
    for (const path of [
      '/cart/items',
      '/cart/order',
      '/log-on',
      '/log-off',
      '/admin/log-on',
      '/admin/import',
    ])
      expect((await post(path, 'sku=LAMP&quantity=1&key=c', foreign)).status).toBe(403)
    expect((await ask(door, '/cart/items', { json: {}, headers: browser })).status).toBe(415)
  })

  test('register, log off, log on; the cart comes along; only our own addresses afterwards', async () => {
    const { post, door, world } = await shop()
    await post('/cart/items', 'sku=LAMP&quantity=1&key=a')
    const made = await post(
      '/register',
      'email=ada%40example.org&password=correct+horse&name=Ada&next=/cart&key=k',
    )
    expect([made.status, made.headers.get('location')]).toEqual([303, '/cart'])
    const cookie = cookieOf(made.headers)
    expect((await ask(door, '/cart', { headers: { ...browser, cookie } })).text).toContain('Brass Lamp')
    expect((await post('/register', 'email=ada%40example.org&password=correct+horse&key=z')).status).toBe(409)
    expect((await post('/register', 'email=x&password=y')).status).toBe(400)
    expect(
      (await ask(door, '/log-off', { body: '', type: form, headers: { cookie } })).headers.get('set-cookie'),
    ).toContain('Max-Age=0')
    expect(world.revoked.size).toBe(1)
    const wrong = await post('/log-on', 'email=ada%40example.org&password=nope&next=//evil.test')
    expect([wrong.status, wrong.text.includes('value="/"')]).toEqual([401, true])
    const on = await post('/log-on', 'email=ada%40example.org&password=correct+horse&next=//evil.test')
    expect([on.status, on.headers.get('location')]).toEqual([303, '/'])
  })

  test('the account page changes the password, logs off everywhere, erases; guests are asked to log on', async () => {
    const { door, get } = await shop()
    expect((await get('/account')).headers.get('location')).toBe('/log-on?next=/account')
    const post = async (path: string, body: string, cookie: string) =>
      await ask(door, path, { body, type: form, headers: { ...browser, cookie } })
    const made = await post('/register', 'email=ada%40example.org&password=correct+horse&key=k', '')
    const cookie = cookieOf(made.headers)
    const shown = await ask(door, '/account', { headers: { ...browser, cookie } })
    expect(shown.text).toMatch(
      /ada@example.org[\s\S]*Change password[\s\S]*Log off everywhere[\s\S]*Delete my account/,
    )
    const wrong = await post('/account/password', 'current=nope&password=battery+staple', cookie)
    expect([wrong.status, wrong.text]).toEqual([403, expect.stringContaining('current password is wrong')])
    const changed = await post('/account/password', 'current=correct+horse&password=battery+staple', cookie)
    expect([changed.status, changed.headers.get('location')]).toEqual([303, '/account?changed=password'])
    const fresh = cookieOf(changed.headers)
    const page = await ask(door, '/account?changed=password', { headers: { ...browser, cookie: fresh } })
    expect(page.text).toContain('The password is changed.')
    expect((await post('/account/log-off', '', fresh)).headers.get('location')).toBe('/')
    const gone = await ask(door, '/account', { headers: { ...browser, cookie: fresh } })
    expect(gone.headers.get('location')).toBe('/log-on?next=/account')
    const on = await post('/log-on', 'email=ada%40example.org&password=battery+staple&next=/account', '')
    const last = cookieOf(on.headers)
    expect((await post('/account/delete', 'password=nope', last)).status).toBe(403)
    expect((await post('/account/delete', 'password=battery+staple', last)).headers.get('location')).toBe('/')
    expect((await post('/log-on', 'email=ada%40example.org&password=battery+staple', '')).status).toBe(401)
  })

  test('files come with a tag and a long life; drawings are made for names', async () => {
    const { get, door } = await shop()
    for (const name of [
      'pico.css',
      'htmx.js',
      'souk.css',
      'office.css',
      'shop.js',
      'cluster.js',
      'souk.svg',
    ]) {
      const { status, headers } = await get(`/assets/${name}`)
      expect([name, status, headers.get('cache-control')]).toEqual([name, 200, 'public, max-age=86400'])
      const seen = { 'if-none-match': headers.get('etag') ?? '' }
      expect((await ask(door, `/assets/${name}`, { headers: seen })).status).toBe(304)
    }
    const drawing = await get('/assets/placeholder/%3Cscript%3E%26.svg')
    expect(drawing.headers.get('content-type')).toBe('image/svg+xml')
    expect(drawing.text).not.toContain('<script')
  })
})

describe('back office and console', () => {
  async function office() {
    const made = await shop()
    const entered = await made.post('/admin/log-on', `token=${adminToken}`)
    expect(entered.headers.get('set-cookie')).toMatch(/Path=\/admin; HttpOnly; SameSite=Strict/)
    const cookie = cookieOf(entered.headers)
    const look = async (path: string) => await ask(made.door, path, { headers: { ...browser, cookie } })
    return { ...made, cookie, look }
  }

  test('asks for the token, and the API never takes the cookie', async () => {
    const { get, post, cookie, door } = await office()
    for (const path of ['/admin', '/admin/orders', '/admin/export'])
      expect((await get(path)).headers.get('location')).toBe('/admin/log-on')
    expect((await post('/admin/log-on', 'token=wrong')).status).toBe(401)
    expect((await ask(door, '/api/admin/products', { headers: { cookie } })).status).toBe(401)
  })

  test('lists, imports, exports', async () => {
    const { look, door, cookie } = await office()
    expect((await look('/admin')).text).toContain('Not Yet')
    expect((await look('/admin?status=draft&q=')).text).not.toContain('Linen Shirt')
    const data = new FormData()
    data.set('key', 'k')
    data.set('file', new File(['Handle,Title,Variant Price\nnew,New,1\nbad,Bad,free\n'], 'x.csv'))
    const response = await door.door.app.request(`${door.url}/admin/import`, {
      method: 'POST',
      body: data,
      headers: { cookie },
    })
    expect(response.status).toBe(303)
    const job = response.headers.get('location') ?? ''
    await vi.waitFor(async () => expect((await look(job)).text).toContain('data-state="done"'))
    expect((await look(job)).text).toContain('is not a price')
    expect((await look('/admin/imports/unknown')).status).toBe(404)
    expect((await look('/admin/export?format=csv')).text).toContain('new,New')
    const broken = {
      method: 'POST',
      body: 'x',
      headers: { cookie, 'content-type': 'multipart/form-data; boundary=y' },
    }
    expect((await door.door.app.request(`${door.url}/admin/import`, broken)).status).toBe(400)
  })

  test('ships orders', async () => {
    const { look, door, cookie, post, world } = await office()
    await post('/cart/items', 'sku=LAMP&quantity=1&key=a')
    await post('/cart/order', 'key=k&hash=*')
    expect((await look('/admin/orders')).text).toContain('Ship')
    const [order] = world.orders.values()
    const ship = { body: 'status=shipped', type: form, headers: { ...browser, cookie } }
    for (let time = 0; time < 2; time += 1)
      expect((await ask(door, `/admin/orders/${order?.id}`, ship)).status).toBe(303)
    expect((await look('/admin/orders?status=shipped')).text).toContain('1000')
    const out = await ask(door, '/admin/log-off', { body: '', type: form, headers: { cookie } })
    expect(out.headers.get('set-cookie')).toContain('Max-Age=0')
  })

  test('the console shows members', async () => {
    const { get } = await shop()
    const { text } = await get('/cluster')
    expect(text).toContain('data-member="n1"')
    expect(text).toContain('primary')
  })
})

test('the API needs no page: JSON where nothing else is asked for', async () => {
  const { door } = await shop()
  const missing = await ask(door, '/api/nothing', { headers: { ...browser, ...asAdmin } })
  expect(missing.headers.get('content-type')).toBe('application/problem+json')
})
