/** API.md against a real cluster of three: what a client may rely on, asked at every node. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient, outcome } from '../support/api-client.ts'
import { prepareCluster, until } from '../support/cluster.ts'
import type { ClusterInfo } from '../support/cluster.ts'

type Prepared = Awaited<ReturnType<typeof prepareCluster>>
let prepared: Prepared
let api: ApiClient
let started: ClusterInfo
const nodes = ['n1', 'n2', 'n3']
const usd = (amount: number): object => ({ amount, currency: 'USD' })

beforeAll(async () => {
  prepared = await prepareCluster({ env: { SOUK_ORDER_WAIT: '1s' } })
  api = new ApiClient(prepared.cluster, nodes)
  started = await prepared.cluster.verb('up', '3')
})

afterAll(async () => await prepared.close(false))

async function sampleSku(): Promise<string> {
  const { items } = (await api.ask('n1', '/api/products?limit=1')).json as {
    items: { variants: { sku: string }[] }[]
  }
  return items.flatMap(({ variants }) => variants)[0]?.sku ?? 'no product'
}

test('the launcher returns when the sample is loaded and nobody is still catching up with it', () => {
  expect(started.nodes.map(({ state }) => state)).toEqual(['ready', 'ready', 'ready'])
  expect(started.primary).toMatch(/^n[123]$/)
})

describe('the catalog', () => {
  test('lists whole products in pages that any node continues', async () => {
    const seen = new Set<string>()
    let cursor: string | null = null
    let total = 0
    for (let page = 0; page === 0 || cursor !== null; page += 1) {
      const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`
      const { json } = await api.ask(`n${1 + (page % 3)}`, `/api/products?limit=100&sort=-price${query}`)
      for (const { handle } of json['items'] as { handle: string }[]) seen.add(handle)
      ;[cursor, total] = [json['next'] as string | null, json['total'] as number]
    }
    expect(seen.size).toBe(total)
    for (const wrong of ['limit=0', 'limit=201', 'limit=x', 'cursor=zzz', 'sort=best'])
      expect(await api.outcomes(`/api/products?${wrong}`)).toEqual(nodes.map(() => '400 invalid-request'))
    expect(await api.outcomes('/api/products/no-such')).toEqual(nodes.map(() => '404 not-found'))
    expect(await api.outcomes('/api/products', { method: 'DELETE' })).toEqual(
      nodes.map(() => '405 method-not-allowed'),
    )
  })

  test('is answered from the version that was seen, or not at all', async () => {
    const { headers } = await api.putProduct('n2', 'versioned', 100)
    const version = headers.get('souk-catalog-version') as string
    const at = (wanted: string) => ({ headers: { 'souk-catalog-version': wanted } })
    expect(await api.outcomes('/api/products/versioned', at(version))).toEqual(['200', '200', '200'])
    for (const ahead of [`${Number(version) + 1}`, '9'.repeat(15), '9'.repeat(30)])
      expect(await api.outcomes('/api/products', at(ahead))).toEqual(nodes.map(() => '503 behind'))
    expect(await api.outcomes('/api/products', at('x'))).toEqual(nodes.map(() => '400 invalid-request'))
  })

  test('changes only as the ETag allows, and only for the administrator', async () => {
    const path = '/api/admin/products/etagged'
    const first = (await api.putProduct('n1', 'etagged', 100)).headers.get('etag') as string
    const put = { method: 'PUT', json: { title: 'X', variants: [{ sku: 'ETAGGED', price: usd(7) }] } }
    const { token } = await api.guest('n2')
    expect(await api.outcomes(path, put)).toEqual(nodes.map(() => '401 unauthorized'))
    expect(await api.outcomes(path, { ...put, token })).toEqual(nodes.map(() => '403 forbidden'))
    const asAdmin = { ...put, token: api.admin }
    const second = await api.ask('n3', path, { ...asAdmin, headers: { 'if-match': first } })
    expect(second.status).toBe(200)
    const stale = { headers: { 'if-match': first } }
    expect(await api.outcomes(path, { ...asAdmin, ...stale })).toEqual(
      nodes.map(() => '412 precondition-failed'),
    )
    const patch = { method: 'PATCH', token: api.admin, json: { title: 'Patched' } }
    expect((await api.ask('n1', path, patch)).json).toMatchObject({ title: 'Patched', vendor: '' })
    expect(outcome(await api.ask('n2', path, { method: 'DELETE', token: api.admin }))).toBe('204')
    expect(outcome(await api.ask('n3', path, { method: 'DELETE', token: api.admin }))).toBe('404 not-found')
  })

  test('is imported at any node and exported as it is', async () => {
    const header = '\ufeffHandle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src'
    const rows = [
      'rug,Rug,Size,S,RUG-S,10.00,a.jpg',
      'rug,,,L,RUG-L,12.50,',
      'mat,Mat,Title,Default Title,MAT,x,',
    ]
    const post = {
      method: 'POST',
      token: api.admin,
      type: 'text/csv',
      body: [header, ...rows, ''].join('\r\n'),
    }
    const dry = await api.ask('n3', '/api/admin/import?dryRun=true', post)
    expect(dry.json).toMatchObject({ created: 1, rejected: [{ line: 4 }] })
    expect(await api.outcomes('/api/products/rug')).toEqual(nodes.map(() => '404 not-found'))
    const { json } = await api.ask('n2', '/api/admin/import', post)
    expect(json).toMatchObject({ created: 1, updated: 0, unchanged: 0, rejected: [{ line: 4 }] })
    const seen = { headers: { 'souk-catalog-version': String(json['catalogVersion']) } }
    for (const node of nodes) {
      const rug = await api.ask(node, '/api/products/rug', seen)
      expect(rug.json).toMatchObject({ variants: [{ price: usd(1_000) }, { price: usd(1_250) }] })
    }
    const exported = await api.ask('n1', '/api/admin/export?format=csv', { token: api.admin })
    const again = await api.ask('n3', '/api/admin/import', { ...post, body: exported.text })
    expect(again.json).toMatchObject({ created: 0, updated: 0, rejected: [] })
    expect(await api.outcomes('/api/admin/import', { ...post, body: 'Title\nX\n' })).toEqual(
      nodes.map(() => '400 invalid-request'),
    )
    expect(outcome(await api.ask('n1', '/api/admin/import', { ...post, type: 'text/plain' }))).toBe(
      '415 unsupported-type',
    )
  })
})

describe('users', () => {
  test('register, log on with their guest’s cart, and log off everywhere within a second', async () => {
    const sku = await sampleSku()
    const json = { email: `ada-${api.cluster.basePort}@example.test`, password: 'correct horse' }
    const guest = await api.guest('n1')
    await api.add('n2', guest.token, sku, 2)
    const account = await api.ask('n3', '/api/accounts', { method: 'POST', json, token: guest.token })
    expect([account.status, account.json['user']]).toEqual([
      201,
      expect.objectContaining({ kind: 'account' }),
    ])
    expect(await api.outcomes('/api/accounts', { method: 'POST', json })).toEqual(
      nodes.map(() => '409 email-taken'),
    )
    const other = await api.guest('n2')
    await api.add('n3', other.token, sku, 1)
    const { json: session } = await api.ask('n1', '/api/session', {
      method: 'POST',
      json,
      token: other.token,
    })
    const token = session['token'] as string
    for (const node of nodes) {
      const { json: cart } = await api.go(node, '/api/cart', { token })
      expect(cart).toMatchObject({ items: [{ sku, quantity: 3 }], complete: true })
    }
    const home = (session['home'] as { node: string }).node
    const away = nodes.find((node) => node !== home) as string
    const { location } = await api.ask(away, '/api/cart', { token })
    expect((await api.ask(away, '/api/session', { method: 'DELETE', token })).status).toBe(204)
    await until(
      'all nodes refuse the token',
      async () => {
        const outcomes = await api.outcomes('/api/session', { token })
        return outcomes.every((outcome) => outcome === '401 unauthorized')
      },
      1_000,
    )
    expect(outcome(await api.at(location as string))).toBe('401 unauthorized')
    expect(
      await api.outcomes('/api/session', { method: 'POST', json: { ...json, password: 'wrong horse' } }),
    ).toEqual(nodes.map(() => '401 unauthorized'))
  })
})

describe('an account', () => {
  const email = 'grace@example.test'
  const tokenOf = async (node: string, json: object, path = '/api/session'): Promise<string> =>
    (await api.ask(node, path, { method: 'POST', json })).json['token'] as string
  const everywhere = async (
    what: string,
    outcomes: () => Promise<string[]>,
    wanted: string,
  ): Promise<void> => {
    await until(what, async () => (await outcomes()).every((one) => one === wanted), 1_000)
  }

  test('changes its password, ends all its sessions, and is erased, at every node', async () => {
    const sku = await sampleSku()
    const first = await tokenOf('n1', { email, password: 'correct horse' }, '/api/accounts')
    const second = await tokenOf('n2', { email, password: 'correct horse' })
    const user = ((await api.ask('n1', '/api/session', { token: first })).json['user'] as { id: string }).id
    const json = { current: 'correct horse', password: 'battery staple' }
    const changed = await api.ask('n3', '/api/account/password', { method: 'PUT', token: second, json })
    expect(outcome(changed)).toBe('200')
    for (const token of [first, second])
      await everywhere('old sessions end', () => api.outcomes('/api/session', { token }), '401 unauthorized')
    const token = changed.json['token'] as string
    expect(await api.outcomes('/api/session', { token })).toEqual(['200', '200', '200'])
    const other = await tokenOf('n1', { email, password: 'battery staple' })
    await api.ask('n2', '/api/session?everywhere=true', { method: 'DELETE', token: other })
    for (const one of [token, other])
      await everywhere(
        'all sessions end',
        () => api.outcomes('/api/session', { token: one }),
        '401 unauthorized',
      )

    const last = await tokenOf('n3', { email, password: 'battery staple' })
    await api.add('n1', last, sku, 1)
    const ordering = { hash: '*', contact: { name: 'Grace', address: 'Arlington' }, note: 'ring twice' }
    const order = (await api.order('n2', last, 'grace-1', ordering)).json['id'] as string
    await api.add('n2', last, sku, 2)
    const erased = await api.ask('n1', '/api/account', {
      method: 'DELETE',
      token: last,
      json: { password: 'battery staple' },
    })
    expect(outcome(erased)).toBe('204')
    await everywhere(
      'the session ends',
      () => api.outcomes('/api/session', { token: last }),
      '401 unauthorized',
    )
    const admin = { token: api.admin }
    await until('no node has the cart any more', async () => {
      const outcomes = await api.outcomes(`/api/admin/carts/${user}?local=true`, admin)
      return outcomes.every((one) => one === '404 not-found')
    })
    for (const node of nodes) {
      const { json: kept, text } = await api.ask(node, `/api/admin/orders/${order}`, admin)
      expect(kept).toMatchObject({ id: order, status: 'placed' })
      expect(text).not.toMatch(/Grace|Arlington|ring twice/)
    }
  })
})

describe('redirection', () => {
  test('carries method, body and session to the home, once', async () => {
    const sku = await sampleSku()
    const { token, home, away } = await api.guest('n1')
    const [near, far] = away as [string, string]
    const redirect = await api.ask(near, '/api/cart?a=b%20c', { token })
    expect(outcome(redirect)).toBe('307 not-home')
    const location = redirect.location as string
    expect(location).toContain(`${api.cluster.url(home)}/api/cart?a=b%20c&souk_ticket=`)
    const elsewhere = location.replace(api.cluster.url(home), api.cluster.url(far))
    for (const [url, method] of [
      [elsewhere, 'GET'],
      [location, 'DELETE'],
      [location.replace('/api/cart?', '/api/events?'), 'GET'],
      [`${location.slice(0, -1)}${location.endsWith('A') ? 'B' : 'A'}`, 'GET'],
    ] as const)
      expect(outcome(await api.at(url, { method }))).toBe('401 unauthorized')
    const served = await api.at(location)
    expect([served.status, served.headers.get('set-cookie')]).toEqual([
      200,
      expect.stringMatching(/^souk_session=.*HttpOnly/),
    ])
    expect(outcome(await api.at(location))).toBe('401 unauthorized')
    expect((await api.add(near, token, sku, 2)).json).toMatchObject({ items: [{ sku, quantity: 2 }] })
    const put = { method: 'PUT', token, json: { quantity: 5 } }
    const set = await api.go(far, `/api/cart/items/${sku}`, put)
    expect(set.json).toMatchObject({ items: [{ sku, quantity: 5 }], home: { node: home } })
    expect(set.headers.get('souk-cart-acks')).toBe('2/2')
  })

  test('is not for the administrator, nor for nobody', async () => {
    expect(await api.outcomes('/api/cart', { token: api.admin })).toEqual(nodes.map(() => '403 forbidden'))
    expect(await api.outcomes('/api/cart')).toEqual(nodes.map(() => '401 unauthorized'))
  })
})

describe('the cluster', () => {
  test('tells the truth about its nodes, its primary and its copies', async () => {
    await until('all nodes are settled and agree', async () => {
      const views = await Promise.all(nodes.map(async (node) => (await api.ask(node, '/api/cluster')).json))
      const copies = views.map(({ catalog, orders, primary, term }) =>
        JSON.stringify([catalog, orders, primary, term]),
      )
      return new Set(copies).size === 1 && views.every((view) => view['settled'] === true)
    })
    const { json } = await api.ask('n1', '/api/cluster')
    expect(json['members']).toEqual(
      nodes.map((node) =>
        expect.objectContaining({ node, alive: true, voter: true, eligible: true, draining: false }),
      ),
    )
    const to = nodes.find((node) => node !== (json['primary'] as { node: string }).node) as string
    const order = { method: 'POST', token: api.admin, json: { node: to } }
    const handed = await api.ask('n2', '/api/admin/cluster/primary', order)
    expect([handed.status, handed.json['node']]).toEqual([200, to])
    for (const node of nodes)
      await until(
        `${node} knows the new primary`,
        async () => {
          const { primary } = (await api.ask(node, '/api/cluster')).json
          return (primary as { node: string } | null)?.node === to
        },
        3_000,
      )
    const path = '/api/admin/cluster/members/n3'
    const patch = { method: 'PATCH', token: api.admin }
    expect((await api.ask('n1', path, { ...patch, json: { capacity: 2 } })).json).toMatchObject({
      capacity: 2,
    })
    expect((await api.ask('n2', path, { ...patch, json: { capacity: 1 } })).json).toMatchObject({
      capacity: 1,
    })
    expect(await api.outcomes(path, { ...patch, json: {} })).toEqual(nodes.map(() => '400 invalid-request'))
    expect(await api.outcomes(path, { ...patch, json: { capacity: 1 }, token: 'x' })).toEqual(
      nodes.map(() => '401 unauthorized'),
    )
  })

  test('serves health, metrics, documents and what problems mean at every node', async () => {
    for (const path of [
      '/healthz',
      '/readyz',
      '/metrics',
      '/openapi.json',
      '/docs',
      '/',
      '/problems/not-home',
    ])
      expect([path, await api.outcomes(path)]).toEqual([path, ['200', '200', '200']])
    expect((await api.ask('n1', '/openapi.json')).json).toMatchObject({
      openapi: expect.stringMatching(/^3\.1/) as string,
    })
  })

  test('a removed member knows it, and serves nobody any more', async () => {
    const path = '/api/admin/cluster/members/n3'
    expect(outcome(await api.ask('n2', path, { method: 'DELETE', token: api.admin }))).toBe('204')
    await until('n3 knows', async () => outcome(await api.ask('n3', '/readyz')) === '503 behind', 3_000)
    // What the launcher waits for before it stops the node and empties its directory.
    await until(
      'n3 handed its carts over',
      async () => /^souk_carts_undelivered 0$/m.test((await api.ask('n3', '/metrics')).text),
      10_000,
    )
    for (const node of ['n1', 'n2'])
      await until(
        `${node} shows who is left, and that one of two votes`,
        async () => {
          const view = (await api.ask(node, '/api/cluster')).json as {
            members: { node: string; voter: boolean }[]
          }
          const voters = view.members.filter(({ voter }) => voter)
          return view.members.map((member) => member.node).join() === 'n1,n2' && voters.length === 1
        },
        5_000,
      )
    expect(outcome(await api.ask('n1', path, { method: 'DELETE', token: api.admin }))).toBe('404 not-found')
  })
})
