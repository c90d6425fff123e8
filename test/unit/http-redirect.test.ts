import { describe, expect, test } from 'vitest'
import type { NodeName, UserId } from '../../node/ids.ts'
import { Tickets } from '../../http/tickets.ts'
import { fakeSigner } from '../support/fake-replica.ts'
import type { NodeAddress } from '../../node/replica-api.ts'
import type { FakeDoor } from '../support/http-door.ts'
import { ask, asAdmin, fakeShop, guest, stock } from '../support/http-door.ts'

/** A guest whose home is n2, and who asks n1. */
async function shop() {
  const made = fakeShop('n1', 'n2', 'n3')
  const [n1, n2, n3] = made.doors as [FakeDoor, FakeDoor, FakeDoor]
  await stock(n1)
  await guest(n1)
  const { token, user, home } = await guest(n1)
  expect(home).toBe('n2')
  const moveTo = (door: FakeDoor): void => {
    const known = made.world.users.get(user as UserId)
    if (known === undefined) throw new Error('no user')
    known.home = door.replica.self as NodeAddress
  }
  return { ...made, n1, n2, n3, token, user, moveTo }
}

const guestUser = `g1-${'0'.repeat(24)}` as UserId
const item = { sku: 'LAMP', quantity: 1 }

describe('redirection', () => {
  test('307 with a problem, the same path and query, and a ticket that stands in for the session', async () => {
    const { n1, n2, token, user } = await shop()
    const away = await ask(n1, '/api/cart?b=2&a=%20x', { token })
    expect(away.status).toBe(307)
    expect(away.json).toMatchObject({ type: '/problems/not-home', status: 307, home: { node: 'n2' } })
    const location = away.headers.get('location') ?? ''
    expect(location).toMatch(/^http:\/\/n2\.test\/api\/cart\?b=2&a=%20x&souk_ticket=[\w.-]+$/)
    expect([away.headers.get('souk-node'), away.headers.get('souk-catalog-version')]).toEqual(['n1', '3'])
    const there = await ask(n2, location)
    expect([there.status, there.json['user']]).toEqual([200, user])
    const cookie = (there.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
    expect((await ask(n2, '/api/cart', { headers: { cookie } })).json['user']).toBe(user)
    await ask(n1, '/api/session', { method: 'DELETE', token })
    expect((await ask(n2, '/api/cart', { headers: { cookie } })).status).toBe(401)
  })

  test('keeps method and body, whatever other credentials come along', async () => {
    const { n1, n2, token, user } = await shop()
    const other = await guest(n1)
    const away = await ask(n1, '/api/cart/items', { token, json: item })
    const headers = { cookie: `souk_session=${other.token}`, origin: 'null', 'sec-fetch-site': 'cross-site' }
    const there = await ask(n2, away.headers.get('location') ?? '', { json: item, headers })
    expect([there.status, there.json['user'], there.json['items']?.[0]?.['sku']]).toEqual([200, user, 'LAMP'])
  })

  test('sets the cookie also when the request is refused', async () => {
    const { n1, n2, token } = await shop()
    const away = await ask(n1, '/api/cart/items', { token, json: item })
    const there = await ask(n2, away.headers.get('location') ?? '', { json: { sku: 'NOTHING', quantity: 1 } })
    expect([there.status, there.headers.get('set-cookie')?.startsWith('souk_session=')]).toEqual([404, true])
  })

  test.each(['/api/orders', '/api/events', '/api/cart/items/LAMP'])(
    '%s belongs to the home',
    async (path) => {
      const { n1, token } = await shop()
      const method = path === '/api/orders' ? 'POST' : path === '/api/events' ? 'GET' : 'PUT'
      expect((await ask(n1, path, { method, token })).status).toBe(307)
      expect((await ask(n1, path, { method })).status).toBe(401)
      expect((await ask(n1, path, { method, headers: asAdmin })).status).toBe(403)
    },
  )

  test('everything else is answered at any node', async () => {
    const { n1, token } = await shop()
    for (const path of ['/api/orders', '/api/session', '/api/products', '/api/cluster'])
      expect((await ask(n1, path, { token })).status).toBe(200)
  })

  test('a ticket is good once, for 30 s, for one node, method and path', async () => {
    const { n1, n2, n3, token, world } = await shop()
    const ticket = async () => (await ask(n1, '/api/cart', { token })).headers.get('location') ?? ''
    const refused = async (door: FakeDoor, url: string, method = 'GET', headers = {}) => {
      const answer = await ask(door, url, { method, headers })
      expect([answer.status, answer.json['type']]).toEqual([401, '/problems/unauthorized'])
    }
    const used = await ticket()
    expect((await ask(n2, used)).status).toBe(200)
    await refused(n2, used)
    await refused(n2, used, 'GET', { authorization: `Bearer ${token}` })
    const fresh = await ticket()
    await refused(n3, fresh.replace('n2.test', 'n3.test'))
    await refused(n2, fresh, 'DELETE')
    await refused(n2, fresh.replace('/api/cart', '/api/events'))
    await refused(n2, `${fresh}x`)
    await refused(n2, fresh.replace(/souk_ticket=.*/, 'souk_ticket=t1.e30.k1.x'))
    await refused(n2, fresh.replace(/souk_ticket=.*/, 'souk_ticket='))
    expect((await ask(n2, fresh)).status).toBe(200)
    const late = await ticket()
    world.nowMs += 30_000
    await refused(n2, late)
    const revoked = await ticket()
    await ask(n1, '/api/session', { method: 'DELETE', token })
    await refused(n2, revoked)
  })

  test.each([3_600_000, -3_600_000])('a ticket is good by the clock of the home, off by %d ms', (aheadMs) => {
    let nowMs = Date.UTC(2026, 0, 15)
    const issuer = new Tickets(fakeSigner, () => nowMs)
    const home = new Tickets(fakeSigner, () => nowMs + aheadMs)
    const session = { id: 's', user: guestUser, issuedAtMs: nowMs, expiresAtMs: nowMs + 86_400_000 }
    const scope = { home: 'n2' as NodeName, method: 'GET', path: '/api/cart' }
    expect(home.redeem(issuer.issue(session, scope, 1, aheadMs), scope)).toEqual({ session, hops: 1 })
    const late = issuer.issue(session, scope, 1, aheadMs)
    nowMs += 30_000
    expect(() => home.redeem(late, scope)).toThrow('has expired')
  })

  test('a session token is no ticket and a ticket no session token', async () => {
    const { n1, n2, token } = await shop()
    const location = (await ask(n1, '/api/cart', { token })).headers.get('location') ?? ''
    const ticket = location.split('souk_ticket=')[1] ?? ''
    expect((await ask(n2, '/api/cart', { token: ticket })).status).toBe(401)
    expect((await ask(n2, `/api/cart?souk_ticket=${token}`)).status).toBe(401)
  })

  test('at most two redirects, and the old ticket is not handed on', async () => {
    const { n1, n2, n3, token, moveTo } = await shop()
    const first = (await ask(n1, '/api/cart?a=1', { token })).headers.get('location') ?? ''
    moveTo(n3)
    const second = await ask(n2, first)
    const location = second.headers.get('location') ?? ''
    expect([second.status, location.split('souk_ticket').length]).toEqual([307, 2])
    expect(location).toMatch(/^http:\/\/n3\.test\/api\/cart\?a=1&souk_ticket=/)
    moveTo(n1)
    expect((await ask(n3, location)).status).toBe(200)
  })

  test('the catalog version asked for goes first', async () => {
    const { n1, token } = await shop()
    expect((await ask(n1, '/api/cart', { token, headers: { 'souk-catalog-version': '99' } })).status).toBe(
      503,
    )
  })

  test('pages are redirected whole: to look with a clean address, to change with the form', async () => {
    const { n1, n2, token, user, world } = await shop()
    const cookie = `souk_session=${token}`
    const away = await ask(n1, '/cart', { headers: { cookie } })
    expect(away.status).toBe(307)
    const arrived = await ask(n2, away.headers.get('location') ?? '')
    expect([arrived.status, arrived.headers.get('location')]).toEqual([303, '/cart'])
    expect(arrived.headers.get('set-cookie')).toMatch(/^souk_session=/)
    const reloaded = await ask(n2, away.headers.get('location') ?? '')
    expect([reloaded.status, reloaded.headers.get('location')]).toEqual([303, '/cart'])
    const body = 'sku=LAMP&quantity=2&key=k1'
    const type = 'application/x-www-form-urlencoded'
    const form = await ask(n1, '/cart/items', {
      body,
      type,
      headers: { cookie, 'sec-fetch-site': 'same-origin' },
    })
    expect(form.status).toBe(307)
    const changed = await ask(n2, form.headers.get('location') ?? '', {
      body,
      type,
      headers: { cookie, origin: 'null' },
    })
    expect([changed.status, changed.headers.get('location')]).toEqual([303, '/cart'])
    expect([...(world.carts.get(user as UserId) ?? [])]).toEqual([['LAMP', 2]])
    const htmx = await ask(n1, '/cart/change', { body, type, headers: { cookie, 'hx-request': 'true' } })
    expect(htmx.headers.get('hx-redirect')).toMatch(/^http:\/\/n2\.test\/cart\?souk_ticket=/)
  })
})
