/** Real processes: new and wiped nodes take snapshots while the cluster is written to, and no lease is lost over it. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { prepareCluster, until } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'
import { seedCatalog } from '../support/large-catalog.ts'

/** Made on the event loop, a copy of this many would hold it up for longer than a heartbeat. */
const products = 5_000
const writeEveryMs = 20

type View = { term: number; catalog: { version: number; digest: string }; members: { voter: boolean }[] }

async function viewAt(cluster: TestCluster, node: string): Promise<View> {
  const response = await fetch(cluster.url(node, '/api/cluster'), { signal: AbortSignal.timeout(5_000) })
  return (await response.json()) as View
}

async function installed(cluster: TestCluster, node: string): Promise<number> {
  const text = await (await fetch(cluster.url(node, '/metrics'))).text()
  return Number(/snapshots_installed_total\S* (\d+)/.exec(text)?.[1] ?? 0)
}

/** Changes one product after the other until it is stopped; resolves with how many changes were acknowledged. */
function writer(cluster: TestCluster): () => Promise<number> {
  let ended = false
  const run = async (): Promise<number> => {
    let number = 0
    for (; !ended; number += 1) {
      const response = await fetch(cluster.url('n1', `/api/admin/products/product-${number % products}`), {
        method: 'PATCH',
        headers: { ...cluster.adminHeaders(), 'content-type': 'application/merge-patch+json' },
        body: JSON.stringify({ vendor: `changed ${number}` }),
      })
      expect(response.status).toBe(200)
      await response.arrayBuffer()
      await sleep(writeEveryMs)
    }
    return number
  }
  const running = run()
  // Whoever stops it hears of it; when the test has failed for another reason, the cluster is closed under it.
  running.catch(() => undefined)
  return async () => {
    ended = true
    return await running
  }
}

test('new and wiped nodes catch up by snapshot under load, without an election', async () => {
  const { cluster, close } = await prepareCluster({})
  let failed = true
  try {
    await cluster.verb('up', '1', '--no-sample')
    await cluster.verb('stop', 'n1')
    seedCatalog(join(cluster.directory, 'n1'), products)
    await cluster.verb('start', 'n1')
    const before = await viewAt(cluster, 'n1')
    const stop = writer(cluster)
    await cluster.verb('up', '3')
    const threeVoters = (): Promise<boolean> =>
      viewAt(cluster, 'n1').then(({ members }) => members.filter(({ voter }) => voter).length === 3)
    await until('there are three voters', threeVoters)
    await cluster.verb('wipe', 'n3')
    await cluster.verb('start', 'n3')
    await until('there are three voters again', threeVoters)
    const changes = await stop()
    expect(changes).toBeGreaterThan(0)
    const agreed = await until('all agree', async () => {
      const views = await Promise.all(['n1', 'n2', 'n3'].map((node) => viewAt(cluster, node)))
      return new Set(views.map(({ catalog }) => `${catalog.version} ${catalog.digest}`)).size === 1 && views
    })
    expect(agreed[0]?.catalog.version).toBe(before.catalog.version + changes)
    expect(agreed.map(({ term }) => term)).toEqual([before.term, before.term, before.term])
    for (const node of ['n2', 'n3']) expect(await installed(cluster, node)).toBeGreaterThan(0)
    failed = false
  } catch (error) {
    console.error(`cluster kept in ${cluster.directory}\n${cluster.logTails()}`)
    throw error
  } finally {
    await close(failed)
  }
})
