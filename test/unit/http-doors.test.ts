/** Everything that is not shopping: problems, methods, bodies, events, cluster, metrics, OpenAPI, sockets. */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { problemKinds } from '../../http/problems.ts'
import { faultCodes, Fault } from '../../node/faults.ts'
import { importSizeBytesMax } from '../../http/limits.ts'
import type { FakeDoor } from '../support/http-door.ts'
import { ask, asAdmin, fakeShop, guest, stock } from '../support/http-door.ts'

async function shop() {
  const made = fakeShop('n1')
  const [door] = made.doors as [FakeDoor]
  await stock(door)
  return { ...made, door }
}

describe('problems', () => {
  test.each(faultCodes)('%s has a page', async (code) => {
    const { door } = await shop()
    const page = await ask(door, `/problems/${code}`)
    expect([page.status, page.text.includes(problemKinds[code].title)]).toEqual([200, true])
  })

  test('statuses are those of the contract', () => {
    const byStatus = Map.groupBy(faultCodes, (code) => problemKinds[code].status)
    expect(byStatus.get(409)).toEqual([
      'price-changed',
      'not-for-sale',
      'cart-changed',
      'already-sold',
      'empty-cart',
      'conflict',
      'email-taken',
    ])
    expect(byStatus.get(503)).toEqual(['no-primary', 'no-home', 'behind', 'overloaded', 'disk-full'])
    expect([problemKinds['outcome-unknown'].status, problemKinds['key-reused'].status]).toEqual([504, 422])
  })

  test('404 and 405, with Allow', async () => {
    const { door } = await shop()
    for (const path of [
      '/nothing',
      '/api/nothing',
      '/api',
      '/problems/nothing',
      '/assets/nothing',
      '/api/products/',
    ])
      expect((await ask(door, path)).json).toMatchObject({ type: '/problems/not-found', status: 404 })
    const wrong = await ask(door, '/api/products', { method: 'DELETE' })
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    expect((await ask(door, '/api/cart/items/X', { method: 'POST' })).headers.get('allow')).toBe(
      'PUT, DELETE',
    )
    expect((await ask(door, '/api/orders', { method: 'OPTIONS' })).headers.get('allow')).toBe(
      'GET, POST, HEAD',
    )
    expect((await ask(door, '/api/products', { method: 'BREW' })).status).toBe(405)
  })

  test('faults of the replica keep their data; Retry-After comes with 503', async () => {
    const { door, world } = await shop()
    const json = { title: 'X', variants: [{ sku: 'X', price: { amount: 1, currency: 'USD' } }] }
    const put = async () =>
      await ask(door, '/api/admin/products/x', { method: 'PUT', headers: asAdmin, json })
    world.failure = new Fault(
      'no-primary',
      'there is no primary',
      { type: 'no', term: 3 },
      { retryAfterSeconds: 0.2 },
    )
    const answer = await put()
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    expect(answer.json).toMatchObject({
      type: '/problems/no-primary',
      term: 3,
      detail: 'there is no primary',
    })
    world.failure = new Fault('outcome-unknown', 'no answer')
    expect((await put()).status).toBe(504)
  })

  test('what nobody expected is logged under an id and tells nothing', async () => {
    const { door, logged } = await shop()
    door.replica.catalog.categories = () => {
      throw new TypeError('a secret detail')
    }
    const { status, json, text: body } = await ask(door, '/api/categories?souk_ticket=hidden')
    expect([status, json['type'], body.includes('secret')]).toEqual([500, '/problems/internal', false])
    expect(logged).toMatchObject([
      { level: 'error', data: { requestId: json['requestId'], path: '/api/categories' } },
    ])
    expect(JSON.stringify(logged)).not.toContain('hidden')
  })
})

describe('bodies', () => {
  const bad: [string, string][] = [
    ['not JSON', '{"sku":'],
    ['an empty body', ''],
    ['__proto__', '{"__proto__":{"sku":"LAMP"},"sku":"LAMP","quantity":1}'],
    ['a deep one', `{"sku":"LAMP","quantity":1,"x":${'['.repeat(5000)}${']'.repeat(5000)}}`],
    ['a lone surrogate', '{"sku":"\\ud800","quantity":1}'],
    ['NUL', '{"sku":"a\\u0000","quantity":1}'],
    ['a huge number', '{"sku":"LAMP","quantity":1e999}'],
    ['a string', '"x"'],
  ]
  test.each(bad)('%s is 400', async (_name, body) => {
    const { door } = await shop()
    const { token } = await guest(door)
    const answer = await ask(door, '/api/cart/items', {
      method: 'POST',
      token,
      body,
      type: 'application/json',
    })
    expect([answer.status, answer.json['type']]).toEqual([400, '/problems/invalid-request'])
  })

  test('bytes that are no UTF-8 are 400', async () => {
    const { door } = await shop()
    const body = new Uint8Array([0x7b, 0xff, 0x7d])
    expect((await ask(door, '/api/session', { body, type: 'application/json' })).status).toBe(400)
  })

  test('64 kB and no more', async () => {
    const { door } = await shop()
    const body = `{"x":"${'a'.repeat(64 * 1024)}"}`
    const answer = await ask(door, '/api/session', { body, type: 'application/json' })
    expect([answer.status, answer.json['type']]).toEqual([413, '/problems/too-large'])
    const declared = { 'content-length': String(importSizeBytesMax + 1) }
    const file = { body: 'Handle\n', type: 'text/csv', headers: { ...asAdmin, ...declared } }
    expect((await ask(door, '/api/admin/import', file)).status).toBe(413)
  })

  test('other content types are 415; none is needed without a body', async () => {
    const { door } = await shop()
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx'])
      expect((await ask(door, '/api/session', { body: '{}', type })).status).toBe(415)
    expect(
      (await ask(door, '/api/session', { body: '{}', type: 'Application/JSON; charset=utf-8' })).status,
    ).toBe(400)
    expect((await ask(door, '/api/guests', { method: 'POST' })).status).toBe(201)
    expect((await ask(door, '/api/guests', { json: {} })).status).toBe(201)
  })
})

describe('the cluster', () => {
  test('shows itself to everybody', async () => {
    const { door } = await shop()
    const { json } = await ask(door, '/api/cluster')
    expect(json).toMatchObject({
      node: 'n1',
      term: 3,
      primary: { node: 'n1' },
      settled: true,
      members: [{ node: 'n1' }],
    })
  })

  test('hand-over, members', async () => {
    const { door } = await shop()
    const admin = { headers: asAdmin }
    const primary = '/api/admin/cluster/primary'
    expect((await ask(door, primary, { method: 'POST', ...admin })).json).toEqual({ node: 'n1', term: 4 })
    expect((await ask(door, primary, { json: { node: 'n1' }, ...admin })).status).toBe(200)
    expect((await ask(door, primary, { json: { node: 'n9' }, ...admin })).status).toBe(404)
    expect((await ask(door, primary, { json: { node: '../x' }, ...admin })).status).toBe(400)
    expect((await ask(door, primary, { method: 'POST' })).status).toBe(401)
    const member = '/api/admin/cluster/members/n1'
    const patch = async (json: unknown, path = member) =>
      await ask(door, path, { method: 'PATCH', json, ...admin })
    expect((await patch({ draining: true, capacity: 2 })).json).toMatchObject({ draining: true, capacity: 2 })
    for (const json of [{}, { draining: 'yes' }, { capacity: -1 }])
      expect((await patch(json)).status).toBe(400)
    expect((await patch({ draining: true }, '/api/admin/cluster/members/n9')).status).toBe(404)
    expect((await ask(door, member, { method: 'DELETE', ...admin })).status).toBe(204)
    expect((await ask(door, member, { method: 'DELETE', ...admin })).status).toBe(404)
  })

  test('health, readiness, metrics', async () => {
    const { door } = await shop()
    expect((await ask(door, '/healthz')).status).toBe(200)
    expect((await ask(door, '/readyz')).status).toBe(200)
    door.replica.cluster.readiness = { ready: false, reason: 'not a member yet' }
    const unready = await ask(door, '/readyz')
    expect([unready.status, unready.headers.get('retry-after')]).toEqual([503, '1'])
    expect(unready.json['detail']).toContain('not a member yet')
    const metrics = await ask(door, '/metrics')
    expect(metrics.headers.get('content-type')).toContain('text/plain')
    expect(metrics.text).toContain('souk_redirects_total 3')
    expect(metrics.text).toMatch(/souk_http_requests_total\{method="GET",route="\/healthz"\} 1/)
    expect(metrics.text).toContain('process_resident_memory_bytes')
  })

  test('the OpenAPI document names every route of the contract', async () => {
    const { door } = await shop()
    const { json } = await ask(door, '/openapi.json')
    expect(json['openapi']).toBe('3.1.0')
    const routes = Object.entries(json['paths'] ?? {}).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    for (const wanted of [
      'GET /api/products',
      'GET /api/products/{handle}',
      'GET /api/categories',
      'POST /api/guests',
      'POST /api/accounts',
      'POST /api/session',
      'GET /api/session',
      'DELETE /api/session',
      'GET /api/cart',
      'POST /api/cart/items',
      'PUT /api/cart/items/{sku}',
      'DELETE /api/cart/items/{sku}',
      'DELETE /api/cart',
      'POST /api/orders',
      'GET /api/orders',
      'GET /api/orders/{id}',
      'POST /api/orders/{id}/cancel',
      'GET /api/events',
      'GET /api/admin/products',
      'PUT /api/admin/products/{handle}',
      'PATCH /api/admin/products/{handle}',
      'DELETE /api/admin/products/{handle}',
      'POST /api/admin/import',
      'GET /api/admin/export',
      'GET /api/admin/orders',
      'GET /api/admin/orders/export',
      'PATCH /api/admin/orders/{id}',
      'GET /api/admin/carts/{user}',
      'GET /api/cluster',
      'GET /api/cluster/events',
      'POST /api/admin/cluster/primary',
      'PATCH /api/admin/cluster/members/{node}',
      'DELETE /api/admin/cluster/members/{node}',
      'GET /healthz',
      'GET /readyz',
      'GET /metrics',
    ])
      expect(routes).toContain(wanted)
    const schemas = Object.keys(json['components']?.['schemas'] ?? {})
    expect(schemas).toEqual(
      expect.arrayContaining(['Cart', 'Order', 'Product', 'Session', 'Cluster', 'Problem']),
    )
    expect((await ask(door, '/docs')).text).toContain('/api/cart/items')
  })

  test('every answer carries node and catalog version', async () => {
    const { door } = await shop()
    const paths = [
      '/',
      '/cart',
      '/assets/souk.css',
      '/assets/placeholder/x.svg',
      '/docs',
      '/openapi.json',
      '/metrics',
    ]
    for (const path of [
      ...paths,
      '/nothing',
      '/api/cart',
      '/api/admin/export',
      '/orders',
      '/admin',
      '/cluster',
    ]) {
      const { headers } = await ask(door, path)
      expect([path, headers.get('souk-node'), headers.get('souk-catalog-version')]).toEqual([path, 'n1', '3'])
    }
  })
})

describe('events', () => {
  type Reader = { next(): Promise<string>; cancel(): Promise<void> }
  async function open(door: FakeDoor, path: string, headers: { [name: string]: string }): Promise<Reader> {
    const response = await door.door.app.request(`${door.url}${path}`, { headers })
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
    expect(response.headers.get('souk-node')).toBe('n1')
    if (response.body === null) throw new Error('no body')
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    return {
      next: async () => (await reader.read()).value ?? 'the end',
      cancel: async () => await reader.cancel(),
    }
  }
  const idOf = (frame: string): string => /^id: (.*)$/m.exec(frame)?.[1] ?? ''

  test('the cart as it is, then what happens, and what was missed', async () => {
    const { door } = await shop()
    const { token } = await guest(door)
    const headers = { authorization: `Bearer ${token}` }
    const stream = await open(door, '/api/events', headers)
    expect(await stream.next()).toMatch(/^id: \w+-0\nevent: cart\ndata: \{"user":.*"items":\[\]/)
    await ask(door, '/api/cart/items', { token, json: { sku: 'LAMP', quantity: 1 } })
    const change = await stream.next()
    expect(change).toContain('"sku":"LAMP"')
    await stream.cancel()
    await ask(door, '/api/orders', { token, json: { hash: '*' }, headers: { 'idempotency-key': 'k' } })
    const again = await open(door, '/api/events', { ...headers, 'last-event-id': idOf(change) })
    expect(await again.next()).toMatch(/event: order\ndata: .*"status":"placed"/)
    await again.cancel()
    const unknown = await open(door, '/api/events', { ...headers, 'last-event-id': 'other-7' })
    expect(await unknown.next()).toContain('event: cart')
    await unknown.cancel()
  })

  test('of the cluster; ended when the node stops', async () => {
    const { door, world } = await shop()
    const stream = await open(door, '/api/cluster/events', {})
    expect(await stream.next()).toContain('event: primary')
    expect(await stream.next()).toContain('event: catalog')
    for (const listener of world.clusterListeners)
      listener({ kind: 'primary', data: { term: 9, primary: null } })
    expect(await stream.next()).toContain('data: {"term":9,"primary":null}')
    await door.door.close()
    expect(await stream.next()).toBe('the end')
    expect(world.clusterListeners.size).toBe(0)
    expect((await ask(door, '/api/cluster/events')).status).toBe(503)
  })

  test('a user has a bounded number of streams, and HEAD opens none', async () => {
    const { door } = await shop()
    const { token } = await guest(door)
    const headers = { authorization: `Bearer ${token}` }
    for (let count = 0; count < 20; count += 1)
      expect((await ask(door, '/api/events', { method: 'HEAD', headers })).status).toBe(200)
    const streams = []
    for (let count = 0; count < 16; count += 1) streams.push(await open(door, '/api/events', headers))
    const refused = await ask(door, '/api/events', { headers })
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60'])
    for (const stream of streams) await stream.cancel()
    const free = await open(door, '/api/events', headers)
    await free.cancel()
  })
})

test('a client that goes away in the middle of its body is no error of the node', async () => {
  const { door } = await shop()
  const broken = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(Object.assign(new Error('aborted'), { code: 'ECONNRESET' })),
  })
  const headers = { 'content-type': 'application/json' }
  const init = { method: 'POST', headers, body: broken, duplex: 'half' } as const
  const answer = await door.door.app.request(new Request(`${door.url}/api/guests`, init))
  expect(answer.status).toBe(400)
})

describe('sockets', () => {
  test('serves, answers broken requests in the same form, closes without hanging', async () => {
    const { door } = await shop()
    const server = await door.door.listen('127.0.0.1', 0)
    const base = `http://127.0.0.1:${server.port}`
    const answer = await fetch(`${base}/api/products`)
    expect([answer.status, answer.headers.get('souk-node')]).toEqual([200, 'n1'])
    await answer.body?.cancel()
    const missing = await fetch(`${base}/nothing`)
    expect([missing.status, missing.headers.get('souk-catalog-version')]).toEqual([404, '3'])
    await missing.body?.cancel()
    const raw = async (request: string): Promise<string> => {
      const socket = connect(server.port, '127.0.0.1')
      socket.write(request)
      return await text(socket)
    }
    const garbage = await raw('NOT HTTP\r\n\r\n')
    expect(garbage).toMatch(/^HTTP\/1\.1 400 [\s\S]*Souk-Node: n1[\s\S]*problems\/invalid-request/)
    const host = await raw('GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n')
    expect(host).toMatch(/^HTTP\/1\.1 400 /)
    expect(host).toMatch(/souk-node: n1/i)
    expect(host).toContain('/problems/invalid-request')
    const none = await raw('GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n')
    expect(none).toMatch(/^HTTP\/1\.1 400 /)
    expect(none).toMatch(/souk-node: n1/i)
    expect(await raw('GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
    const events = await fetch(`${base}/api/cluster/events`)
    await door.door.close()
    expect(await events.text()).toContain('event: primary')
    await expect(fetch(base)).rejects.toThrow('fetch failed')
  })
})
