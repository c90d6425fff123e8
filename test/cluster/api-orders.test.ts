/** Carts and orders of API.md against a real cluster of three, at every node. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient, outcome } from '../support/api-client.ts'
import type { ApiAnswer } from '../support/api-client.ts'
import { prepareCluster, until } from '../support/cluster.ts'

type Prepared = Awaited<ReturnType<typeof prepareCluster>>
let prepared: Prepared
let api: ApiClient
const nodes = ['n1', 'n2', 'n3']
const usd = (amount: number): object => ({ amount, currency: 'USD' })

beforeAll(async () => {
  prepared = await prepareCluster({ env: { SOUK_ORDER_WAIT: '1s' } })
  api = new ApiClient(prepared.cluster, nodes)
  await prepared.cluster.verb('up', '3', '--no-sample')
  await api.putProduct('n1', 'lamp', 1_000)
  const { headers } = await api.putProduct('n2', 'shade', 250)
  const seen = { headers: { 'souk-catalog-version': headers.get('souk-catalog-version') as string } }
  await api.outcomes('/api/products/shade', seen)
})

afterAll(async () => await prepared.close(false))

async function reprice(handle: string, amount: number, status = 'active'): Promise<void> {
  const { headers } = await api.putProduct('n3', handle, amount, status)
  const seen = { headers: { 'souk-catalog-version': headers.get('souk-catalog-version') as string } }
  await api.outcomes('/api/products', seen)
}

const hashOf = ({ json }: ApiAnswer): string => json['hash'] as string

describe('a cart', () => {
  test('takes each key once, at whatever node its retries arrive', async () => {
    const { token, away } = await api.guest('n1')
    const first = await api.add(away[0] as string, token, 'LAMP', 2, 'once')
    expect(first.json).toMatchObject({
      items: [
        {
          sku: 'LAMP',
          handle: 'lamp',
          quantity: 2,
          unitPrice: usd(1_000),
          lineTotal: usd(2_000),
          forSale: true,
        },
      ],
      total: usd(2_000),
      ordering: [],
      complete: true,
    })
    for (const node of nodes)
      expect((await api.add(node, token, 'LAMP', 2, 'once')).json).toMatchObject({ items: [{ quantity: 2 }] })
    for (const node of nodes)
      expect(outcome(await api.add(node, token, 'LAMP', 3, 'once'))).toBe('422 key-reused')
  })

  test('refuses what it can’t hold, and stays as it is', async () => {
    const { token } = await api.guest('n2')
    await reprice('hidden', 700, 'draft')
    for (const node of nodes) {
      for (const quantity of [0, 1_000, 1.5, -1])
        expect(outcome(await api.add(node, token, 'LAMP', quantity))).toBe('400 invalid-request')
      expect(outcome(await api.add(node, token, 'NO-SUCH'))).toBe('404 not-found')
      const refused = await api.add(node, token, 'HIDDEN')
      expect([outcome(refused), refused.json['changes']]).toEqual([
        '409 not-for-sale',
        [{ sku: 'HIDDEN', old: usd(700), new: null }],
      ])
      const post = { method: 'POST', token, body: '{"sku":', type: 'application/json' }
      expect(outcome(await api.go(node, '/api/cart/items', post))).toBe('400 invalid-request')
      expect(outcome(await api.go(node, '/api/cart/items', { ...post, type: 'text/plain' }))).toBe(
        '415 unsupported-type',
      )
      const large = JSON.stringify({ sku: 'x'.repeat(70_000), quantity: 1 })
      expect(outcome(await api.go(node, '/api/cart/items', { ...post, body: large }))).toBe('413 too-large')
      expect(outcome(await api.go(node, '/api/cart/items/NO-SUCH', { method: 'DELETE', token }))).toBe('200')
    }
    expect((await api.go('n1', '/api/cart', { token })).json).toMatchObject({ items: [], total: usd(0) })
  })

  test('is the same on every member of its set, and nobody else’s business', async () => {
    const { token, user } = await api.guest('n3')
    await api.add('n1', token, 'SHADE', 4)
    const path = `/api/admin/carts/${user}?local=true`
    await until('all three hold the cart', async () => {
      const answers = await Promise.all(nodes.map((node) => api.ask(node, path, { token: api.admin })))
      return new Set(answers.map(hashOf)).size === 1 && answers.every(({ status }) => status === 200)
    })
    expect(await api.outcomes(path, { token })).toEqual(nodes.map(() => '403 forbidden'))
  })
})

describe('an order', () => {
  test('is placed once for one key, and tells the same at every node', async () => {
    const { token, user } = await api.guest('n1')
    const hash = hashOf(await api.add('n2', token, 'LAMP', 2))
    const body = { hash, contact: { name: 'Ada' }, note: 'ring twice' }
    const placed = await api.order('n3', token, 'order-1', body)
    expect(placed.status).toBe(201)
    expect(placed.json).toMatchObject({
      number: expect.any(String) as string,
      user,
      status: 'placed',
      contact: { name: 'Ada' },
      note: 'ring twice',
      lines: [{ sku: 'LAMP', quantity: 2, unitPrice: usd(1_000), lineTotal: usd(2_000) }],
      total: usd(2_000),
    })
    const stranger = await api.guest('n2')
    const path = `/api/orders/${placed.json['id'] as string}`
    for (const node of nodes) {
      const again = await api.order(node, token, 'order-1', body)
      expect([again.status, again.json]).toEqual([201, placed.json])
      expect(outcome(await api.order(node, token, 'order-1', { ...body, note: 'other' }))).toBe(
        '422 key-reused',
      )
      expect((await api.ask(node, path, { token })).json).toEqual(placed.json)
      expect((await api.ask(node, '/api/orders', { token })).json).toEqual({
        items: [placed.json],
        next: null,
      })
      expect(outcome(await api.ask(node, path, { token: stranger.token }))).toBe('404 not-found')
      const rows = await api.ask(node, `/api/admin/orders?local=true&user=${user}`, { token: api.admin })
      expect(rows.json['items']).toHaveLength(1)
      expect((await api.go(node, '/api/cart', { token })).json).toMatchObject({ items: [], ordering: [] })
    }
    expect(await api.outcomes('/api/orders?cursor=zzz', { token })).toEqual(
      nodes.map(() => '400 invalid-request'),
    )
  })

  test('is refused with the reason, again and again the same, and the cart is as before', async () => {
    const { token } = await api.guest('n2')
    const order = async (node: string, key: string, hash: string): Promise<ApiAnswer> =>
      await api.order(node, token, key, { hash })
    expect(outcome(await order('n1', 'empty', '*'))).toBe('409 empty-cart')
    const before = hashOf(await api.add('n1', token, 'LAMP'))
    const both = await api.add('n3', token, 'SHADE')
    for (const node of nodes) {
      const changed = await order(node, 'changed', before)
      expect([outcome(changed), changed.json['cart']]).toEqual([
        '409 cart-changed',
        expect.objectContaining({ hash: hashOf(both) }),
      ])
      expect(outcome(await order(node, 'changed', hashOf(both)))).toBe('422 key-reused')
    }
    await reprice('lamp', 1_100)
    for (const node of nodes) {
      const dearer = await order(node, 'dearer', hashOf(both))
      expect([outcome(dearer), dearer.json['changes']]).toEqual([
        '409 price-changed',
        [{ sku: 'LAMP', old: usd(1_000), new: usd(1_100) }],
      ])
    }
    await reprice('shade', 250, 'draft')
    const gone = await order('n2', 'gone', hashOf(await api.go('n1', '/api/cart', { token })))
    expect([outcome(gone), gone.json['changes']]).toEqual([
      '409 not-for-sale',
      [{ sku: 'SHADE', old: usd(250), new: null }],
    ])
    await reprice('shade', 250)
    const cart = await api.go('n3', '/api/cart', { token })
    expect(cart.json).toMatchObject({ total: usd(1_350), ordering: [] })
    expect(outcome(await order('n3', 'agreed', hashOf(cart)))).toBe('201')
    await reprice('lamp', 1_000)
    expect(outcome(await api.go('n1', '/api/orders', { method: 'POST', token, json: { hash: '*' } }))).toBe(
      '400 invalid-request',
    )
  })

  test('is cancelled or shipped, not both', async () => {
    const { token } = await api.guest('n3')
    const ids: string[] = []
    for (const node of nodes) {
      await api.add(node, token, 'SHADE')
      ids.push((await api.order(node, token, randomUUID(), { hash: '*' })).json['id'] as string)
    }
    const [first, second] = ids as [string, string, string]
    const ship = { method: 'PATCH', token: api.admin, json: { status: 'shipped' } }
    const cancelled = await api.ask('n1', `/api/orders/${first}/cancel`, { method: 'POST', token })
    expect(cancelled.json).toMatchObject({ status: 'cancelled' })
    expect(await api.outcomes(`/api/admin/orders/${first}`, ship)).toEqual(nodes.map(() => '409 conflict'))
    expect((await api.ask('n2', `/api/admin/orders/${second}`, ship)).json).toMatchObject({
      status: 'shipped',
    })
    expect(await api.outcomes(`/api/orders/${second}/cancel`, { method: 'POST', token })).toEqual(
      nodes.map(() => '409 conflict'),
    )
    const page = await api.ask('n3', '/api/orders?limit=2', { token })
    expect((page.json['items'] as { id: string }[]).map(({ id }) => id)).toEqual(ids.toReversed().slice(0, 2))
    const rest = await api.ask(
      'n1',
      `/api/orders?limit=2&cursor=${encodeURIComponent(page.json['next'] as string)}`,
      { token },
    )
    expect((rest.json['items'] as { id: string }[]).map(({ id }) => id)).toEqual([first])
  })

  test('is pending without a majority, and ends when there is one; its key may be repeated anywhere', async () => {
    const { token, home, away } = await api.guest('n1')
    const hash = hashOf(await api.add('n1', token, 'LAMP'))
    await Promise.all(away.map((node) => api.cluster.verb('pause', node)))
    const pending = await api.order(home, token, 'pending', { hash })
    expect([pending.status, pending.json]).toEqual([
      202,
      expect.objectContaining({ status: 'pending', number: null }),
    ])
    const path = `/api/orders/${pending.json['id'] as string}`
    expect((await api.ask(home, path, { token })).json).toMatchObject({ status: 'pending' })
    expect((await api.ask(home, '/api/cart', { token })).json).toMatchObject({
      items: [],
      ordering: [{ order: pending.json['id'] }],
    })
    await until(
      'the home says that there is no primary',
      async () => (await api.ask(home, '/api/cluster')).json['primary'] === null,
    )
    expect(outcome(await api.ask(home, '/readyz'))).toBe('200')
    await Promise.all(away.map((node) => api.cluster.verb('resume', node)))
    await until('the order is placed', async () => {
      const { status, json } = await api.ask(away[0] as string, path, { token })
      return status === 200 && json['status'] === 'placed'
    })
    for (const node of nodes) {
      const again = await api.order(node, token, 'pending', { hash })
      expect([again.status, again.json['id'], again.json['status']]).toEqual([
        201,
        pending.json['id'],
        'placed',
      ])
    }
  })
})

test('a killed home is seen as dead, its carts and keys live on, and it comes back', async () => {
  const { token, home, away } = await api.guest('n2')
  const [near, far] = away as [string, string]
  await api.add(home, token, 'LAMP', 2, 'before')
  await api.cluster.verb('kill', home)
  // A node that has not heard of the death yet redirects to it: shoppers ask again, with the same key.
  const retried = await until('somebody else serves the cart', async () => {
    const answer = await api.add(near, token, 'LAMP', 2, 'before').catch(() => null)
    return answer?.status === 200 && answer
  })
  expect(retried.json).toMatchObject({ items: [{ sku: 'LAMP', quantity: 2 }] })
  await until(
    `${home} is known as dead`,
    async () => {
      const { members } = (await api.ask(far, '/api/cluster')).json as {
        members: { node: string; alive: boolean }[]
      }
      return members.some(({ node, alive }) => node === home && !alive)
    },
    5_000,
  )
  await api.cluster.verb('start', home)
  for (const node of nodes)
    expect((await api.go(node, '/api/cart', { token })).json).toMatchObject({
      items: [{ sku: 'LAMP', quantity: 2 }],
    })
})
