/** The HTTP interface as an outsider reads it: what a black-box walk along its description once found wanting. */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { faultCodes } from '../../node/faults.ts'
import type { Answered, FakeDoor } from '../support/http-door.ts'
import { ask, asAdmin, fakeShop, guest, stock } from '../support/http-door.ts'

async function shop(): Promise<{ door: FakeDoor }> {
  const [door] = fakeShop('n1').doors as [FakeDoor]
  await stock(door)
  return { door }
}

const problemIn = ({ status, json }: Answered): unknown[] => [status, json['type']]

describe('bodies', () => {
  test('a missing body is 400: without a body there is no type to be wrong', async () => {
    const { door } = await shop()
    const { token } = await guest(door)
    const key = { 'idempotency-key': 'k' }
    const missing = [
      await ask(door, '/api/accounts', { method: 'POST' }),
      await ask(door, '/api/session', { method: 'POST' }),
      await ask(door, '/api/cart/items', { method: 'POST', token }),
      await ask(door, '/api/orders', { method: 'POST', token, headers: key }),
      await ask(door, '/api/admin/import', { method: 'POST', headers: asAdmin }),
      await ask(door, '/api/admin/products/x', { method: 'PUT', headers: asAdmin }),
    ]
    for (const answer of missing) expect(problemIn(answer)).toEqual([400, '/problems/invalid-request'])
  })

  test('a body without a type is 415, and so is a compressed one', async () => {
    const { door } = await shop()
    const bytes = new TextEncoder().encode('{"email":"a@b.example","password":"password"}')
    expect(problemIn(await ask(door, '/api/session', { body: bytes }))).toEqual([
      415,
      '/problems/unsupported-type',
    ])
    const type = 'application/json'
    const packed = { body: bytes, type, headers: { 'content-encoding': 'gzip' } }
    const refused = await ask(door, '/api/session', packed)
    expect(problemIn(refused)).toEqual([415, '/problems/unsupported-type'])
    expect(refused.headers.get('accept-encoding')).toBe('identity')
    const plain = { body: bytes, type, headers: { 'content-encoding': 'identity' } }
    expect((await ask(door, '/api/session', plain)).status).toBe(401)
  })
})

describe('orders of administrators', () => {
  test('a status that is none is 400, one that can not be reached a conflict', async () => {
    const { door } = await shop()
    const { token } = await guest(door)
    await ask(door, '/api/cart/items', { token, json: { sku: 'LAMP', quantity: 1 } })
    const headers = { 'idempotency-key': 'k' }
    const order = await ask(door, '/api/orders', { token, json: { hash: '*' }, headers })
    const path = `/api/admin/orders/${String(order.json['id'])}`
    const become = async (status: string) =>
      problemIn(await ask(door, path, { method: 'PATCH', headers: asAdmin, json: { status } }))
    for (const status of ['placed', 'pending', 'refused'])
      expect(await become(status)).toEqual([409, '/problems/conflict'])
    expect(await become('lost')).toEqual([400, '/problems/invalid-request'])
    expect((await become('shipped'))[0]).toBe(200)
  })
})

describe('the OpenAPI document', () => {
  type Operation = {
    operationId: string
    parameters: { name: string; in: string; required?: boolean }[]
    responses: { [status: string]: { headers?: object } }
  }

  test('names every problem, what every request and answer carries, and every parameter of a path', async () => {
    const { door } = await shop()
    const { json } = await ask(door, '/openapi.json')
    const document = json as unknown as {
      paths: { [path: string]: { [method: string]: Operation } }
      components: { schemas: { Problem: { properties: { type: { enum: string[] } } } } }
    }
    expect(document.components.schemas.Problem.properties.type.enum).toEqual(
      faultCodes.map((code) => `/problems/${code}`),
    )
    for (const path of ['/openapi.json', '/docs', '/problems/{name}'])
      expect(Object.keys(document.paths)).toContain(path)
    const ids = new Set<string>()
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const operation of Object.values(methods)) {
        expect(ids).not.toContain(operation.operationId)
        ids.add(operation.operationId)
        const inPath = operation.parameters.filter((parameter) => parameter.in === 'path')
        expect(inPath.map(({ name }) => `{${name}}`)).toEqual(path.match(/\{\w+\}/g) ?? [])
        expect(operation.parameters.map(({ name }) => name)).toContain('Souk-Catalog-Version')
        for (const { headers } of Object.values(operation.responses))
          expect(Object.keys(headers ?? {}).slice(0, 2)).toEqual(['Souk-Node', 'Souk-Catalog-Version'])
      }
    }
  })
})

describe('sockets', () => {
  const broken: [string, string][] = [
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: x\r\n'],
    ['a backslash', 'GET /api\\products HTTP/1.1\r\nHost: x\r\n'],
    ['a broken absolute address', 'GET http:///// HTTP/1.1\r\nHost: x\r\n'],
    ['two Hosts', 'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n'],
    ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: x\r\n'],
  ]
  test('what is no request for us gets a problem, with the headers of every answer', async () => {
    const { door } = await shop()
    const server = await door.door.listen('127.0.0.1', 0)
    const raw = async (request: string): Promise<string> => {
      const socket = connect(server.port, '127.0.0.1')
      socket.write(request)
      return await text(socket)
    }
    for (const [name, request] of broken) {
      const answer = await raw(`${request}Connection: close\r\n\r\n`)
      expect([name, answer]).toEqual([name, expect.stringMatching(/^HTTP\/1\.1 400 /)])
      expect([name, answer]).toEqual([name, expect.stringMatching(/souk-node: n1/i)])
      expect([name, answer]).toEqual([name, expect.stringMatching(/souk-catalog-version: 3/i)])
      expect([name, answer]).toEqual([name, expect.stringContaining('/problems/invalid-request')])
    }
    const odd = 'GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: a-banana\r\nConnection: close\r\n\r\n'
    expect(await raw(odd)).toMatch(/^HTTP\/1\.1 200 /)
    await door.door.close()
  })
})
