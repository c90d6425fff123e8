/** A majority lost for ever: two of three nodes are wiped, the third is recovered, and two new ones join it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { ApiClient } from '../support/api-client.ts'
import { until, withCluster } from '../support/cluster.ts'
import { root } from '../support/sources.ts'

async function souk(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(join(root, 'scripts/souk'), args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code: child.exitCode, stdout, stderr }
}

type View = { members: { node: string; voter: boolean; alive: boolean }[]; primary: { node: string } | null }

test('the survivor of three goes on with its orders, catalog and carts, and two new nodes join it', async () => {
  await withCluster({ nodes: 3 }, async (cluster) => {
    const api = new ApiClient(cluster, ['n1', 'n2', 'n3'])
    await api.putProduct('n1', 'lamp', 1_000)
    const json = { email: 'ada@example.test', password: 'correct horse' }
    const { json: session } = await api.ask('n1', '/api/accounts', { method: 'POST', json })
    const token = session['token'] as string
    await api.add('n1', token, 'LAMP')
    const placed = await api.order('n1', token, 'once', { hash: '*' })
    expect(placed.status).toBe(201)
    await api.add('n2', token, 'LAMP')
    await until('n3 has the order and the cart', async () => {
      const admin = cluster.adminHeaders()
      const orders = await api.ask('n3', '/api/admin/orders?local=true', { headers: admin })
      const user = (session['user'] as { id: string }).id
      const cart = await api.ask('n3', `/api/admin/carts/${user}?local=true`, { headers: admin })
      return (
        (orders.json['items'] as unknown[]).length === 1 && (cart.json['items'] as unknown[])?.length === 1
      )
    })
    const data = join(cluster.directory, 'n3')
    const running = await souk('--recover', '--data', data)
    expect([running.code, running.stderr]).toEqual([1, expect.stringContaining('another node is running')])

    for (const node of ['n3', 'n1', 'n2']) await cluster.verb('kill', node)
    for (const node of ['n1', 'n2']) await cluster.verb('wipe', node)
    const unconfirmed = await souk('--recover', '--data', data)
    expect(unconfirmed.code).toBe(1)
    const confirmation = /--confirm ([0-9a-f]{8})$/m.exec(unconfirmed.stderr)?.[1] as string
    const done = await souk('--recover', '--data', data, '--confirm', confirmation)
    expect([done.code, done.stdout]).toEqual([0, expect.stringContaining('recovered as cluster')])

    await cluster.verb('start', 'n3')
    await until('n3 is primary alone', async () => {
      const { primary, members } = (await api.ask('n3', '/api/cluster')).json as View
      return primary?.node === 'n3' && members.length === 1
    })
    // The session token of before is good, the cart is there and complete, the order is known by its key.
    const cart = await api.ask('n3', '/api/cart', { token })
    expect(cart.json).toMatchObject({
      complete: true,
      items: [{ sku: 'LAMP', quantity: 1 }],
      home: { node: 'n3' },
    })
    expect((await api.order('n3', token, 'once', { hash: '*' })).json).toEqual(placed.json)
    expect((await api.order('n3', token, 'twice', { hash: '*' })).json).toMatchObject({ number: 'S-000002' })

    for (const node of ['n1', 'n2']) await cluster.verb('start', node)
    await until('three vote again', async () => {
      const { members } = (await api.ask('n1', '/api/cluster')).json as View
      return members.filter(({ voter, alive }) => voter && alive).length === 3
    })
    await cluster.verb('kill', 'n3')
    await api.add('n1', token, 'LAMP')
    expect((await api.order('n1', token, 'thrice', { hash: '*' })).json).toMatchObject({ number: 'S-000003' })
    expect(((await api.ask('n2', '/api/orders', { token })).json['items'] as unknown[]).length).toBe(3)
  })
})
