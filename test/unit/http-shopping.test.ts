import { describe, expect, test } from 'vitest'
import { Fault } from '../../node/faults.ts'
import type { FakeDoor, FakeShop } from '../support/http-door.ts'
import { ask, asAdmin, fakeShop, guest, stock } from '../support/http-door.ts'

async function shop(...names: string[]): Promise<FakeShop & { n1: FakeDoor; n2: FakeDoor }> {
  const made = fakeShop(...(names.length === 0 ? ['n1'] : names))
  const [n1, n2 = n1] = made.doors
  if (n1 === undefined || n2 === undefined) throw new Error('no door')
  await stock(n1)
  return { ...made, n1, n2 }
}

const account = { email: 'Ada@Example.org', password: 'correct horse', name: 'Ada' }

describe('sessions', () => {
  test('a guest, an account, logging on and off', async () => {
    const { n1 } = await shop()
    const visitor = await ask(n1, '/api/guests', { method: 'POST' })
    expect(visitor.status).toBe(201)
    expect(visitor.json).toMatchObject({
      user: { kind: 'guest' },
      home: { node: 'n1', url: 'http://n1.test' },
      epoch: 1,
    })
    expect(visitor.headers.get('set-cookie')).toMatch(
      /^souk_session=.*Max-Age=\d+; Path=\/; HttpOnly; SameSite=Lax$/,
    )
    const made = await ask(n1, '/api/accounts', { json: account })
    expect([made.status, made.json['user']]).toMatchObject([
      201,
      { kind: 'account', email: 'ada@example.org', name: 'Ada' },
    ])
    expect((await ask(n1, '/api/accounts', { json: account })).json['type']).toBe('/problems/email-taken')
    const { email, password } = account
    const on = await ask(n1, '/api/session', { json: { email, password } })
    expect([on.status, on.json['token'] === made.json['token']]).toEqual([200, false])
    const token = String(on.json['token'])
    expect((await ask(n1, '/api/session', { token })).json).toMatchObject({ token, user: { name: 'Ada' } })
    expect((await ask(n1, '/api/session', { method: 'DELETE', token })).status).toBe(204)
    expect((await ask(n1, '/api/session', { token })).status).toBe(401)
    expect((await ask(n1, '/api/cart', { token })).status).toBe(401)
    expect((await ask(n1, '/api/session', { json: { email, password: 'wrong' } })).status).toBe(401)
  })

  test('a password that was changed is not refused, though there is no home to go on at', async () => {
    const { n1 } = await shop()
    const { email, password } = account
    const token = String((await ask(n1, '/api/accounts', { json: account })).json['token'])
    n1.replica.users.describe = () => Promise.reject(new Fault('no-home', 'nobody'))
    const json = { current: password, password: 'battery staple' }
    expect((await ask(n1, '/api/account/password', { method: 'PUT', token, json })).status).toBe(504)
    const again = { email, password: 'battery staple' }
    expect((await ask(n1, '/api/session', { json: again })).status).toBe(200)
  })

  test('a new password ends all other sessions; log-off everywhere ends all; erasing ends the account', async () => {
    const { n1 } = await shop()
    const { email, password } = account
    const made = await ask(n1, '/api/accounts', { json: account })
    const other = String((await ask(n1, '/api/session', { json: { email, password } })).json['token'])
    const token = String(made.json['token'])
    const put = async (json: object, as = token) =>
      await ask(n1, '/api/account/password', { method: 'PUT', token: as, json })
    expect((await put({ current: 'wrong horse', password: 'battery staple' })).json['type']).toBe(
      '/problems/forbidden',
    )
    expect((await put({ current: password, password: 'short' })).status).toBe(400)
    const changed = await put({ current: password, password: 'battery staple' })
    expect([changed.status, changed.json['user']]).toMatchObject([200, { kind: 'account' }])
    const fresh = String(changed.json['token'])
    const statuses = async (...tokens: string[]): Promise<number[]> =>
      await Promise.all(tokens.map(async (one) => (await ask(n1, '/api/session', { token: one })).status))
    expect(await statuses(token, other, fresh)).toEqual([401, 401, 200])
    const again = { email, password: 'battery staple' }
    const second = String((await ask(n1, '/api/session', { json: again })).json['token'])
    const off = await ask(n1, '/api/session?everywhere=true', { method: 'DELETE', token: second })
    expect([off.status, await statuses(fresh, second)]).toEqual([204, [401, 401]])
    const last = String((await ask(n1, '/api/session', { json: again })).json['token'])
    const erase = async (given: string) =>
      await ask(n1, '/api/account', { method: 'DELETE', token: last, json: { password: given } })
    expect((await erase('wrong')).status).toBe(403)
    const erased = await erase('battery staple')
    expect([erased.status, erased.headers.get('set-cookie')]).toEqual([
      204,
      expect.stringMatching(/Max-Age=0/),
    ])
    expect(await statuses(last)).toEqual([401])
    expect((await ask(n1, '/api/session', { json: again })).status).toBe(401)
  })

  test('a wrong current password is counted like a failed log-on', async () => {
    const { n1 } = await shop()
    const token = String((await ask(n1, '/api/accounts', { json: account })).json['token'])
    const json = { current: 'wrong horse', password: 'battery staple' }
    const attempt = async (): Promise<number> =>
      (await ask(n1, '/api/account/password', { method: 'PUT', token, json })).status
    let status = await attempt()
    for (let count = 1; status === 403 && count < 100; count += 1) status = await attempt()
    expect(status).toBe(429)
  })

  test.each([
    { ...account, password: 'short' },
    { ...account, password: 'x'.repeat(201) },
    { ...account, email: 'nobody' },
    { email: account.email },
    [],
    null,
  ])('refuses the account %j', async (json) => {
    const { n1 } = await shop()
    expect((await ask(n1, '/api/accounts', { json })).status).toBe(400)
  })

  test('the cart of a guest comes along, by bearer or cookie', async () => {
    const { n1 } = await shop()
    const { token } = await guest(n1)
    await ask(n1, '/api/cart/items', { token, json: { sku: 'LAMP', quantity: 2 } })
    const made = await ask(n1, '/api/accounts', {
      json: account,
      headers: { cookie: `souk_session=${token}` },
    })
    const cart = await ask(n1, '/api/cart', { token: String(made.json['token']) })
    expect(cart.json['items']).toMatchObject([{ sku: 'LAMP', quantity: 2 }])
  })

  test('tokens that are forged, expired or of an old guest are refused', async () => {
    const { n1, world } = await shop()
    const { token } = await guest(n1)
    const [version, payload, key, signature] = token.split('.')
    const old = Buffer.from(
      JSON.stringify({ t: 'x', u: 'g1-' + 'a'.repeat(24), k: 'guest', i: 1, e: 9e15 }),
    ).toString('base64url')
    const signed = `${version}.${old}`
    const { fakeSigner } = await import('../support/fake-replica.ts')
    const good = fakeSigner.sign('session', signed).signature
    const wrong = [
      '',
      'x',
      `${version}.${payload}.${key}.x`,
      `${version}.${old}.${key}.${signature}`,
      `${signed}.${key}.${good}`,
    ]
    for (const bad of wrong) expect((await ask(n1, '/api/cart', { token: bad })).status).toBe(401)
    expect((await ask(n1, '/api/cart', { headers: { cookie: 'souk_session=%' } })).status).toBe(401)
    expect((await ask(n1, '/api/cart')).status).toBe(401)
    expect((await ask(n1, '/api/cart', { headers: asAdmin })).status).toBe(403)
    world.nowMs += 31 * 86_400_000
    expect((await ask(n1, '/api/cart', { token })).status).toBe(401)
  })

  test('too many wrong passwords have to wait', async () => {
    const { n1 } = await shop()
    const wrong = { email: 'ada@example.org', password: 'wrong-wrong' }
    const statuses = []
    for (let attempt = 0; attempt < 21; attempt += 1)
      statuses.push((await ask(n1, '/api/session', { json: wrong })).status)
    expect(new Set(statuses.slice(0, 20))).toEqual(new Set([401]))
    const last = await ask(n1, '/api/session', { json: wrong })
    expect([last.status, Number(last.headers.get('retry-after')) > 0]).toEqual([429, true])
  })

  test('a cookie changes nothing from another site', async () => {
    const { n1 } = await shop()
    const { token } = await guest(n1)
    const cookie = `souk_session=${token}`
    const json = { sku: 'LAMP', quantity: 1 }
    const add = async (headers: { [name: string]: string }) =>
      (await ask(n1, '/api/cart/items', { json, headers: { cookie, ...headers } })).status
    expect(await add({ 'sec-fetch-site': 'cross-site' })).toBe(403)
    expect(await add({ 'sec-fetch-site': 'same-site' })).toBe(403)
    expect(await add({ origin: 'http://evil.test' })).toBe(403)
    expect(await add({ origin: 'null' })).toBe(403)
    expect(await add({ 'sec-fetch-site': 'same-origin' })).toBe(200)
    expect(await add({ origin: 'http://n1.test' })).toBe(200)
    expect(await add({})).toBe(200)
    const form = await ask(n1, '/api/cart/items', {
      body: 'sku=LAMP&quantity=1',
      type: 'application/x-www-form-urlencoded',
      headers: { cookie },
    })
    expect([form.status, form.headers.get('accept')]).toEqual([415, 'application/json'])
  })
})

describe('the cart', () => {
  test('add, set, remove, clear', async () => {
    const { n1 } = await shop()
    const { token } = await guest(n1)
    const added = await ask(n1, '/api/cart/items', { token, json: { sku: 'SHIRT-S', quantity: 2 } })
    expect([added.status, added.headers.get('souk-cart-acks')]).toEqual([200, '2/2'])
    expect(added.json).toMatchObject({
      items: [
        {
          sku: 'SHIRT-S',
          handle: 'shirt',
          quantity: 2,
          unitPrice: { amount: 4900, currency: 'USD' },
          lineTotal: { amount: 9800 },
          forSale: true,
        },
      ],
      total: { amount: 9800, currency: 'USD' },
      complete: true,
      ordering: [],
      home: { node: 'n1' },
    })
    const set = await ask(n1, '/api/cart/items/SHIRT-S', { method: 'PUT', token, json: { quantity: 5 } })
    expect(set.json['total']).toEqual({ amount: 24_500, currency: 'USD' })
    expect(
      (await ask(n1, '/api/cart/items/SHIRT-S', { method: 'PUT', token, json: { quantity: 0 } })).json[
        'items'
      ],
    ).toEqual([])
    expect((await ask(n1, '/api/cart/items/NEVER%2FTHERE', { method: 'DELETE', token })).status).toBe(200)
    await ask(n1, '/api/cart/items', { token, json: { sku: 'LAMP', quantity: 1 } })
    expect((await ask(n1, '/api/cart', { method: 'DELETE', token })).json['items']).toEqual([])
    expect((await ask(n1, '/api/cart', { token })).json['items']).toEqual([])
  })

  test.each([0, 1000, 1.5, -1, '2', null, Infinity, true])('refuses the quantity %j', async (quantity) => {
    const { n1 } = await shop()
    const { token } = await guest(n1)
    const body = `{"sku":"LAMP","quantity":${quantity === Infinity ? '1e400' : JSON.stringify(quantity)}}`
    const answer = await ask(n1, '/api/cart/items', { token, body, type: 'application/json' })
    expect([answer.status, answer.json['errors']?.[0]?.['path']]).toEqual([400, 'quantity'])
  })

  test('unknown SKUs, drafts, keys', async () => {
    const { n1 } = await shop()
    const { token } = await guest(n1)
    const add = async (sku: string, headers: { [name: string]: string } = {}) =>
      await ask(n1, '/api/cart/items', { token, json: { sku, quantity: 1 }, headers })
    expect((await add('NOTHING')).status).toBe(404)
    const draft = await add('SECRET')
    expect([draft.status, draft.json['type'], draft.json['changes']]).toEqual([
      409,
      '/problems/not-for-sale',
      [{ sku: 'SECRET', old: { amount: 1, currency: 'USD' }, new: null }],
    ])
    await add('LAMP', { 'idempotency-key': 'k' })
    const again = await add('LAMP', { 'idempotency-key': 'k' })
    expect(again.json['items']).toMatchObject([{ quantity: 1 }])
    expect((await add('SHIRT-S', { 'idempotency-key': 'k' })).json['type']).toBe('/problems/key-reused')
    for (const key of ['x'.repeat(201), 'a b', 'é'])
      expect((await add('LAMP', { 'idempotency-key': key })).status).toBe(400)
  })
})

describe('orders', () => {
  async function shopping() {
    const made = await shop()
    const { token, user } = await guest(made.n1)
    const cart = await ask(made.n1, '/api/cart/items', { token, json: { sku: 'LAMP', quantity: 2 } })
    const order = async (json: unknown, key = 'k1') =>
      await ask(made.n1, '/api/orders', { token, json, headers: { 'idempotency-key': key } })
    return { ...made, token, user, hash: String(cart.json['hash']), order }
  }

  test('place, read, cancel', async () => {
    const { n1, token, order, hash, user } = await shopping()
    const body = { hash, contact: { name: 'Ada', email: 'ada@example.org' }, note: 'Ring twice' }
    const placed = await order(body)
    expect(placed.status).toBe(201)
    expect(placed.json).toMatchObject({
      number: '1000',
      user,
      status: 'placed',
      contact: body.contact,
      note: body.note,
      lines: [
        {
          sku: 'LAMP',
          quantity: 2,
          unitPrice: { amount: 12_999 },
          lineTotal: { amount: 25_998, currency: 'USD' },
        },
      ],
      total: { amount: 25_998, currency: 'USD' },
    })
    expect((await order(body)).json).toEqual(placed.json)
    expect((await order({ ...body, note: 'other' })).status).toBe(422)
    const id = String(placed.json['id'])
    expect((await ask(n1, `/api/orders/${id}`, { token })).json).toEqual(placed.json)
    expect((await ask(n1, '/api/orders', { token })).json).toEqual({ items: [placed.json], next: null })
    const stranger = await guest(n1)
    for (const path of [`/api/orders/${id}`, '/api/orders/nonsense', `/api/orders/o${'0'.repeat(32)}`])
      expect((await ask(n1, path, { token: stranger.token })).status).toBe(404)
    expect(
      (await ask(n1, `/api/orders/${id}/cancel`, { method: 'POST', token: stranger.token })).status,
    ).toBe(404)
    expect((await ask(n1, `/api/orders/${id}`, { headers: asAdmin })).status).toBe(200)
    const cancelled = await ask(n1, `/api/orders/${id}/cancel`, { method: 'POST', token })
    expect([cancelled.status, cancelled.json['status']]).toEqual([200, 'cancelled'])
    expect((await ask(n1, `/api/orders/${id}/cancel`, { method: 'POST', token })).json['type']).toBe(
      '/problems/conflict',
    )
    expect((await order(body)).status).toBe(201)
  })

  test('refusals carry what the shopper must see', async () => {
    const { n1, order, token, hash, world } = await shopping()
    const changed = await order({ hash: 'x' })
    expect([changed.status, changed.json['type'], changed.json['cart']?.['hash']]).toEqual([
      409,
      '/problems/cart-changed',
      hash,
    ])
    expect((await order({ hash: 'x' })).status).toBe(409)
    const lampNow = {
      title: 'Brass Lamp',
      status: 'archived',
      variants: [{ sku: 'LAMP', price: { amount: 1, currency: 'USD' } }],
    }
    await ask(n1, '/api/admin/products/lamp', { method: 'PUT', headers: asAdmin, json: lampNow })
    const gone = await order({ hash: '*' }, 'k2')
    expect([gone.json['type'], gone.json['changes']]).toEqual([
      '/problems/not-for-sale',
      [{ sku: 'LAMP', old: { amount: 1, currency: 'USD' }, new: null }],
    ])
    await ask(n1, '/api/cart', { method: 'DELETE', token })
    expect((await order({ hash: '*' }, 'k3')).json['type']).toBe('/problems/empty-cart')
    const [first] = world.orders.values()
    if (first === undefined) throw new Error('no order')
    world.orders.set(first.id, { ...first, reason: 'already-sold', soldTo: first.id })
    expect((await order({ hash: 'x' })).json).toMatchObject({
      type: '/problems/already-sold',
      order: first.id,
    })
    world.orders.set(first.id, {
      ...first,
      reason: 'price-changed',
      changes: [{ sku: 'LAMP', old: 1, new: 2 }],
    })
    const { json } = await order({ hash: 'x' })
    expect(json).toMatchObject({
      type: '/problems/price-changed',
      changes: [{ sku: 'LAMP', old: { amount: 1 }, new: { amount: 2, currency: 'USD' } }],
    })
  })

  test('202 while undecided; the cart tells what is being ordered', async () => {
    const { n1, order, token, world } = await shopping()
    world.slow = true
    const pending = await order({ hash: '*' })
    expect([pending.status, pending.json['number'], pending.json['status']]).toEqual([202, null, 'pending'])
    const cart = await ask(n1, '/api/cart', { token })
    expect(cart.json['ordering']).toEqual([
      { order: pending.json['id'], items: [{ sku: 'LAMP', quantity: 2 }] },
    ])
    await ask(n1, `/api/orders/${String(pending.json['id'])}/cancel`, { method: 'POST', token })
    expect((await order({ hash: '*' })).json['type']).toBe('/problems/conflict')
  })

  test('needs a key and a body that fits', async () => {
    const { n1, token, order } = await shopping()
    expect((await ask(n1, '/api/orders', { token, json: { hash: '*' } })).status).toBe(400)
    for (const body of [
      {},
      { hash: 1 },
      { hash: '*', note: 'x'.repeat(2001) },
      { hash: '*', contact: 'Ada' },
    ])
      expect((await order(body)).status).toBe(400)
  })

  test('administration: list, ship, refuse a second change, carts', async () => {
    const { n1, token, order, user } = await shopping()
    const { json } = await order({ hash: '*' })
    const id = String(json['id'])
    const list = async (query: string) =>
      (await ask(n1, `/api/admin/orders?${query}`, { headers: asAdmin })).json['items']
    expect(await list('')).toHaveLength(1)
    expect(await list(`status=placed&user=${user}&local=true`)).toHaveLength(1)
    expect(await list('status=shipped')).toEqual([])
    for (const query of ['user=x', 'status=x', 'local=maybe', 'limit=0'])
      expect((await ask(n1, `/api/admin/orders?${query}`, { headers: asAdmin })).status).toBe(400)
    const patch = async (status: string) =>
      await ask(n1, `/api/admin/orders/${id}`, { method: 'PATCH', headers: asAdmin, json: { status } })
    expect((await patch('placed')).status).toBe(409)
    expect((await patch('shipped')).json).toMatchObject({
      status: 'shipped',
      history: [{}, { status: 'shipped', by: 'admin' }],
    })
    expect((await patch('cancelled')).json['type']).toBe('/problems/conflict')
    expect((await ask(n1, `/api/admin/carts/${user}?local=true`, { headers: asAdmin })).status).toBe(404)
    await ask(n1, '/api/cart/items', { token, json: { sku: 'LAMP', quantity: 1 } })
    for (const query of ['', '?local=true'])
      expect(
        (await ask(n1, `/api/admin/carts/${user}${query}`, { headers: asAdmin })).json['items'],
      ).toHaveLength(1)
    expect((await ask(n1, '/api/admin/carts/nobody', { headers: asAdmin })).status).toBe(404)
  })
})
