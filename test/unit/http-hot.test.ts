/** The reads that are answered past the routes (http/hot.ts): the same answers, kept no longer than they are true. */
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HttpServer } from '../../http/server.ts'
import { ask, asAdmin, fakeShop, lamp, stock } from '../support/http-door.ts'
import type { FakeDoor } from '../support/http-door.ts'

type Got = { status: number; headers: { [name: string]: unknown }; text: string }

describe('hot reads', () => {
  let door: FakeDoor
  let server: HttpServer
  beforeAll(async () => {
    door = fakeShop('n1').doors[0] as FakeDoor
    await stock(door)
    server = await door.door.listen('127.0.0.1', 0)
  })
  afterAll(async () => await door.door.close())

  const get = (path: string, headers: { [name: string]: string } = {}, method = 'GET'): Promise<Got> =>
    new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: server.port, path, headers, method, agent: false }
      const asking = request(options, (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('end', () => {
          const { date: _date, connection: _connection, 'keep-alive': _keep, ...kept } = answer.headers
          resolve({ status: answer.statusCode ?? 0, headers: kept, text: Buffer.concat(chunks).toString() })
        })
      })
      asking.on('error', reject)
      asking.end()
    })

  test.each([
    '/api/products',
    '/api/products?',
    '/api/products?q=linen&limit=1',
    '/api/products?q=linen+shirt&sort=price&facets=true',
    '/api/products?vendor=Loom%20Street&vendor=other',
    '/api/products?category=caf%C3%A9',
    '/api/products?minPrice=100&maxPrice=9000&unknown=1',
    '/api/products?limit=0',
    '/api/products?q=%00',
    '/api/products?q=%ff',
    '/api/products?q=%zz',
    '/api/products?__proto__=1&constructor=2',
    '/api/products?limit=1&limit=0',
    '/api/products?q',
    '/api/products?cursor=nonsense',
    '/api/products?&&limit=2',
    '/api/products/lamp',
    '/api/products/secret',
    '/api/products/nothing',
    '/api/products/l%61mp',
    '/api/products/LAMP',
    '/api/products/lamp/',
    '/api/products/lamp?x=1',
    '/api/products/',
    '/api/productsx',
  ])('%s is answered as by the routes, also the second and third time', async (path) => {
    const routed = await ask(door, path)
    const own = new Set(['date', 'content-length'])
    const expected = Object.fromEntries([...routed.headers].filter(([name]) => !own.has(name)))
    for (let time = 0; time < 3; time += 1) {
      const { status, headers, text } = await get(path)
      const { 'content-length': length, ...others } = headers
      expect([status, text]).toEqual([routed.status, routed.text])
      expect(Number(length)).toBe(Buffer.byteLength(routed.text))
      expect(others).toEqual(expected)
    }
  })

  test('conditions, versions to wait for and other methods are for the routes', async () => {
    for (let time = 0; time < 3; time += 1) {
      const { headers } = await get('/api/products/lamp', { 'souk-catalog-version': '1' })
      expect((await get('/api/products/lamp', { 'if-none-match': String(headers['etag']) })).status).toBe(304)
      expect((await get('/api/products/lamp', { 'souk-catalog-version': '999' })).status).toBe(503)
      expect((await get('/api/products/lamp', { 'souk-catalog-version': 'x' })).status).toBe(400)
      expect((await get('/api/products/lamp', {}, 'HEAD')).text).toBe('')
      expect((await get('/api/products/lamp', {}, 'POST')).status).toBe(405)
    }
  })

  test('a change is seen at once, in what was kept too', async () => {
    const list = '/api/products?sort=price'
    for (let amount = 500; amount < 505; amount += 1) {
      for (let time = 0; time < 3; time += 1) await get(list)
      const json = { ...lamp, variants: [{ sku: 'LAMP', price: { amount, currency: 'USD' } }] }
      await ask(door, '/api/admin/products/lamp', { method: 'PUT', headers: asAdmin, json })
      expect((await get(list)).text).toContain(`"amount":${amount}`)
      expect((await get('/api/products/lamp')).text).toContain(`"amount":${amount}`)
    }
  })

  test('both ways count as one route', async () => {
    const count = async (): Promise<number> => {
      const { text } = await get('/metrics')
      const line = text.split('\n').filter((one) => one.includes('route="/api/products"'))
      expect(line).toHaveLength(1)
      return Number(line[0]?.split(' ').at(-1))
    }
    const before = await count()
    await get('/api/products?limit=1')
    await ask(door, '/api/products?limit=1')
    expect(await count()).toBe(before + 2)
  })
})
