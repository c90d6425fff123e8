/** Real processes: a row that changed on the disk of a node while it was down is noticed, said, and mended. */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { until, withCluster } from '../support/cluster.ts'
import type { TestCluster } from '../support/cluster.ts'

type View = { catalog: { version: number; digest: string }; halted: string | null }

async function viewAt(cluster: TestCluster, node: string): Promise<View> {
  return (await (await fetch(cluster.url(node, '/api/cluster'))).json()) as View
}

/** The node may be starting. */
async function answerAt(cluster: TestCluster, node: string, path: string): Promise<string | null> {
  try {
    const response = await fetch(cluster.url(node, path), { signal: AbortSignal.timeout(2_000) })
    return await response.text()
  } catch {
    return null
  }
}

function rot(cluster: TestCluster, node: string): void {
  const database = new Database(join(cluster.directory, node, 'shop.db'))
  const changed = database
    .prepare(`UPDATE products SET json = replace(json, 'Right', 'Wrong') WHERE handle = 'lamp-3'`)
    .run()
  database.close()
  expect(changed.changes).toBe(1)
}

test('a rotten row of a voter and of a member on the broadcast is replaced from the others', async () => {
  await withCluster({ nodes: 4, eligible: 3 }, async (cluster) => {
    for (let number = 0; number < 6; number += 1) {
      const response = await fetch(cluster.url('n1', `/api/admin/products/lamp-${number}`), {
        method: 'PUT',
        headers: { ...cluster.adminHeaders(), 'content-type': 'application/json' },
        body: JSON.stringify({
          title: `Right lamp ${number}`,
          variants: [{ sku: `LAMP-${number}`, price: { amount: 100, currency: 'USD' } }],
        }),
      })
      expect(response.status).toBe(200)
    }
    const { catalog } = await viewAt(cluster, 'n1')
    for (const node of ['n4', 'n2']) {
      await until(
        `${node} has it`,
        async () => (await viewAt(cluster, node)).catalog.digest === catalog.digest,
      )
      await cluster.verb('kill', node)
      rot(cluster, node)
      await cluster.restart(node)
      await until(`${node} is mended`, async () =>
        (await answerAt(cluster, node, '/api/products/lamp-3'))?.includes('Right lamp 3'),
      )
      await until(`${node} is well`, async () => (await viewAt(cluster, node)).halted === null)
      expect((await viewAt(cluster, node)).catalog).toEqual(catalog)
      expect(await answerAt(cluster, node, '/metrics')).toMatch(/souk_catalog_repairs_total\S* 1\b/)
      expect(cluster.log(node)).toContain('are not those of its digest')
    }
  })
})
