/** Two nodes: one votes, and everything works at the other one too. */
import { expect, test } from 'vitest'
import { ApiClient, outcome } from '../support/api-client.ts'
import { until, withCluster } from '../support/cluster.ts'

test('a cluster of two serves accounts and orders at the member that does not vote', async () => {
  await withCluster({ nodes: 2 }, async (cluster) => {
    const api = new ApiClient(cluster, ['n1', 'n2'])
    await api.putProduct('n2', 'lamp', 1_000)
    const { members, orders } = (await api.ask('n2', '/api/cluster')).json as {
      members: { node: string; voter: boolean }[]
      orders: unknown
    }
    const voters = members.filter(({ voter }) => voter).map(({ node }) => node)
    expect([voters, orders]).toEqual([['n1'], null])
    const json = { email: 'ada@example.test', password: 'correct horse' }
    expect(outcome(await api.ask('n2', '/api/accounts', { method: 'POST', json }))).toBe('201')
    const session = await api.ask('n2', '/api/session', { method: 'POST', json })
    const token = session.json['token'] as string
    expect((await api.add('n2', token, 'LAMP')).headers.get('souk-cart-acks')).toBe('2/2')
    const placed = await api.order('n2', token, 'once', { hash: '*' })
    expect(placed.status).toBe(201)
    expect((await api.ask('n2', '/api/orders', { token })).json).toEqual({ items: [placed.json], next: null })
    expect(await api.outcomes('/api/orders?cursor=zzz', { token })).toEqual([
      '400 invalid-request',
      '400 invalid-request',
    ])
    // The one voter keeps its say over a restart.
    await cluster.verb('stop', 'n1')
    await cluster.verb('start', 'n1')
    await until('n1 is primary again, and n2 knows', async () => {
      const { primary } = (await api.ask('n2', '/api/cluster')).json
      return (primary as { node: string } | null)?.node === 'n1'
    })
    expect((await api.order('n2', token, 'once', { hash: '*' })).json).toEqual(placed.json)
  })
})
