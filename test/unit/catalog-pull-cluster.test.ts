/** Catching up with the catalog by pages, with whole nodes in virtual time (DESIGN.md section 4). */
import { expect, test } from 'vitest'
import { versionsPerPullMax } from '../../node/messages.ts'
import type { Host } from '../sim/host.ts'
import { changeCatalog, finish, lifeOf, primaryOf, until, withSimCluster } from '../support/sim-cluster.ts'

test('a newcomer catches up with more small versions than one answer may have', async () => {
  await withSimCluster({ nodes: 1 }, async (cluster) => {
    const primary = primaryOf(cluster) as Host
    for (let count = 0; count <= versionsPerPullMax + 100; count += 50) {
      const some = Array.from({ length: 50 }, () => changeCatalog(primary))
      await finish(cluster, 'some changes', Promise.all(some))
    }
    const { version } = lifeOf(primary).replica.parts.catalogFeed.state()
    expect(version).toBeGreaterThan(versionsPerPullMax)
    const newcomer = cluster.addHost()
    newcomer.start()
    const has = (): boolean => newcomer.life?.replica.parts.catalogFeed.state().version === version
    await until(cluster, 'the newcomer has them all', has)
  })
})
