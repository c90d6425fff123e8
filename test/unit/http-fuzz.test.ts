/** Seeded nonsense at every route: a clear answer, never 500, and the door goes on answering. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FakeDoor } from '../support/http-door.ts'
import { adminToken, ask, fakeShop, guest, stock } from '../support/http-door.ts'

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS']
const segment = fc.oneof(
  fc.constantFrom(
    'shirt',
    'LAMP',
    'n1',
    '%00',
    '%ff',
    '%2F',
    '..',
    '%',
    '__proto__',
    'a'.repeat(400),
    'g1-x',
  ),
  fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => encodeURIComponent(text.toWellFormed())),
)
const paths = [
  '/api/products',
  '/api/products/:x',
  '/api/categories',
  '/api/guests',
  '/api/accounts',
  '/api/session',
  '/api/cart',
  '/api/cart/items',
  '/api/cart/items/:x',
  '/api/orders',
  '/api/orders/:x',
  '/api/orders/:x/cancel',
  '/api/admin/products',
  '/api/admin/products/:x',
  '/api/admin/import',
  '/api/admin/export',
  '/api/admin/orders',
  '/api/admin/orders/:x',
  '/api/admin/carts/:x',
  '/api/cluster',
  '/api/admin/cluster/primary',
  '/api/admin/cluster/members/:x',
  '/healthz',
  '/readyz',
  '/problems/:x',
  '/',
  '/products/:x',
  '/cart',
  '/cart/items',
  '/cart/change',
  '/cart/order',
  '/orders/:x',
  '/log-on',
  '/register',
  '/admin',
  '/admin/import',
  '/assets/:x',
  '/assets/placeholder/:x',
]
const queryPair = fc.tuple(
  fc.constantFrom(
    'q',
    'limit',
    'cursor',
    'sort',
    'status',
    'user',
    'local',
    'dryRun',
    'format',
    'souk_ticket',
    'next',
  ),
  fc.oneof(segment, fc.constantFrom('0', '-1', '200', 'true', '1e9', 't1.e30.k1.x')),
)
const headerPair = fc.tuple(
  fc.constantFrom(
    'content-type',
    'idempotency-key',
    'if-match',
    'if-none-match',
    'souk-catalog-version',
    'authorization',
    'cookie',
    'origin',
    'sec-fetch-site',
    'content-length',
    'hx-request',
    'accept',
    'last-event-id',
  ),
  fc.oneof(
    fc.string({
      unit: fc.constantFrom(...Array.from({ length: 94 }, (_, index) => String.fromCharCode(33 + index))),
      maxLength: 20,
    }),
    fc.constantFrom(
      'application/json',
      'text/csv',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
    ),
    fc.constantFrom(
      '"1"',
      '*',
      '3',
      'Bearer x',
      `Bearer ${adminToken}`,
      'souk_session=%;;=',
      'text/html',
      'null',
      'true',
    ),
  ),
)
const nonsense = fc.oneof(
  fc.json(),
  fc.string({ maxLength: 60 }).map((text) => text.toWellFormed()),
  fc.constantFrom(
    '',
    '{"__proto__":1}',
    '{"sku":"LAMP","quantity":1}',
    '[[[[',
    'Handle,Title\na,b\n',
    'sku=LAMP&quantity=1&key=k',
  ),
  fc
    .record(
      {
        sku: fc.anything(),
        quantity: fc.anything(),
        hash: fc.anything(),
        email: fc.string(),
        password: fc.string(),
        variants: fc.array(fc.anything()),
      },
      { requiredKeys: [] },
    )
    .map((value) =>
      JSON.stringify(value, (_name, member: unknown) =>
        typeof member === 'bigint' ? String(member) : member,
      ),
    ),
)

test('never 500', async () => {
  const { doors, logged } = fakeShop('n1', 'n2')
  const door = doors[0] as FakeDoor
  await stock(door)
  const { token } = await guest(door)
  const tokens = [adminToken, token, '']
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...methods),
      fc.constantFrom(...paths),
      segment,
      fc.array(queryPair, { maxLength: 3 }),
      fc.array(headerPair, { maxLength: 3 }),
      fc.constantFrom(...tokens),
      fc.option(nonsense),
      async (method, path, value, query, headers, bearer, body) => {
        const search = query.map(([name, text]) => `${name}=${text}`).join('&')
        const sent = method === 'GET' || method === 'HEAD' ? null : body
        const { status, headers: given } = await ask(door, `${path.replace(':x', () => value)}?${search}`, {
          method,
          headers: {
            ...(bearer === '' ? {} : { authorization: `Bearer ${bearer}` }),
            ...(sent === null ? {} : { 'content-type': 'application/json' }),
            ...Object.fromEntries(headers),
          },
          ...(sent === null ? {} : { body: sent }),
        })
        expect(logged).toEqual([])
        expect(status).toBeLessThan(504)
        expect(status).not.toBe(500)
        expect(given.get('souk-node')).toBe('n1')
        expect(given.get('location') ?? '').not.toMatch(/souk_ticket.*souk_ticket/)
      },
    ),
    { numRuns: 4_000 },
  )
})
