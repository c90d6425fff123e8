/** Catalogs whose rows rotted, or that differ (DESIGN.md section 4): who repairs, from what, and who leaves it. */
import { describe, expect, test } from 'vitest'
import type { Product } from '../../node/commands.ts'
import { catalogDigestOf } from '../../node/core/digest.ts'
import type { Digest } from '../../node/ids.ts'
import type { Cluster } from '../sim/cluster.ts'
import type { Host } from '../sim/host.ts'
import {
  changeCatalog,
  finish,
  lifeOf,
  primaryOf,
  until,
  votersOf,
  withSimCluster,
} from '../support/sim-cluster.ts'

/** Voters in the order of the hosts, and who lives on the broadcast. All have looked at their rows. */
async function settle(
  cluster: Cluster,
  voterCount: number,
): Promise<{ primary: Host; voters: Host[]; others: Host[] }> {
  await until(cluster, 'there are voters', () => votersOf(cluster).length === voterCount)
  const primary = primaryOf(cluster) as Host
  const version = await finish(cluster, 'changes', changeCatalog(primary))
  await until(cluster, 'all have it', () =>
    cluster.hosts.every((host) => lifeOf(host).api.catalog.version() === version),
  )
  await cluster.runFor(5_000)
  const names = votersOf(cluster)
  const voters = cluster.hosts.filter(({ name }) => names.includes(name))
  return { primary, voters, others: cluster.hosts.filter(({ name }) => !names.includes(name)) }
}

/** One letter of one row changes under the store's hands: the digest that goes with it stays. */
function rot(host: Host): void {
  const { shop } = lifeOf(host).stores
  const [text] = shop.allProducts()
  const product = JSON.parse(text as string) as Product
  shop.transaction((tables) => tables.putProduct({ ...product, title: `${product.title}?` }))
}

const rowsAreRight = (host: Host): boolean => {
  const { shop } = lifeOf(host).stores
  return catalogDigestOf(shop.allProducts()) === shop.read.catalog().digest
}
const count = (host: Host, name: 'catalog_repairs_total' | 'catalog_alarms_total'): number =>
  lifeOf(host).replica.parts.counters.value(name)
const problem = (host: Host): string | null => lifeOf(host).api.cluster.view().halted

async function restart(cluster: Cluster, host: Host, damage: () => void): Promise<void> {
  damage()
  host.kill()
  await cluster.runFor(500)
  host.start()
  await until(cluster, 'it is back', () => host.life !== null)
}

describe('a catalog whose rows rotted', () => {
  test('a member on the broadcast says so, serves what it has, and takes a copy that two voters agree on', async () => {
    await withSimCluster({ nodes: 4, eligible: 3 }, async (cluster) => {
      const { others } = await settle(cluster, 3)
      const [victim] = others as [Host]
      await restart(cluster, victim, () => rot(victim))
      await until(cluster, 'it says so', () => problem(victim)?.includes('not those of its digest') === true)
      expect(lifeOf(victim).api.cluster.ready().ready).toBe(false)
      expect(lifeOf(victim).api.catalog.products({ sort: 'title', limit: 1 }).total).toBeGreaterThan(0)
      await until(cluster, 'it is well', () => problem(victim) === null)
      expect([rowsAreRight(victim), count(victim, 'catalog_repairs_total')]).toEqual([true, 1])
      const repairs = cluster.hosts.map((host) => count(host, 'catalog_repairs_total'))
      expect(repairs.reduce((sum, one) => sum + one, 0)).toBe(1)
    })
  })

  test('a voter applies nothing more until it has a snapshot; a primary gives the lease away', async () => {
    await withSimCluster({ nodes: 3 }, async (cluster) => {
      const { primary } = await settle(cluster, 3)
      await restart(cluster, primary, () => rot(primary))
      await until(cluster, 'it is repaired', () => count(primary, 'catalog_repairs_total') === 1)
      await until(cluster, 'it is well', () => problem(primary) === null && rowsAreRight(primary))
      const version = await finish(cluster, 'a change', changeCatalog(primaryOf(cluster) as Host))
      await until(cluster, 'it follows', () => lifeOf(primary).api.catalog.version() === version)
      expect(rowsAreRight(primary)).toBe(true)
    })
  })

  test('that is wrong again after its repair raises an alarm, and is left alone', async () => {
    await withSimCluster({ nodes: 4, eligible: 3 }, async (cluster) => {
      const { others } = await settle(cluster, 3)
      const [victim] = others as [Host]
      await restart(cluster, victim, () => rot(victim))
      await until(cluster, 'it is repaired', () => count(victim, 'catalog_repairs_total') === 1)
      await until(cluster, 'it is well', () => problem(victim) === null)
      rot(victim)
      lifeOf(victim).replica.parts.catalogFeed.audit.suspect()
      await until(cluster, 'an alarm', () => count(victim, 'catalog_alarms_total') === 1)
      await cluster.runFor(120_000)
      expect([count(victim, 'catalog_repairs_total'), rowsAreRight(victim)]).toEqual([1, false])
      expect(problem(victim)).toContain('a restart tries once more')
    })
  })

  test('everywhere at once: nobody throws anything away', async () => {
    await withSimCluster({ nodes: 4, eligible: 3 }, async (cluster) => {
      const { voters, others } = await settle(cluster, 3)
      // As if all had the same bug, long after they looked last. One voter that is sound is not enough either.
      await cluster.runFor(60_000)
      const damaged = [...voters.slice(1), ...others]
      for (const host of damaged) {
        rot(host)
        lifeOf(host).replica.parts.catalogFeed.audit.suspect()
      }
      await until(cluster, 'all say so', () => damaged.every((host) => problem(host) !== null))
      await cluster.runFor(60_000)
      expect(cluster.hosts.map((host) => count(host, 'catalog_repairs_total'))).toEqual([0, 0, 0, 0])
    })
  })

  test('somebody who says something else is not believed without the voters', async () => {
    await withSimCluster({ nodes: 4, eligible: 3 }, async (cluster) => {
      const { others } = await settle(cluster, 3)
      const [member] = others as [Host]
      const { catalogFeed } = lifeOf(member).replica.parts
      catalogFeed.noticeVersion(catalogFeed.state().version, 'f'.repeat(64))
      await cluster.runFor(30_000)
      expect([problem(member), count(member, 'catalog_repairs_total')]).toEqual([null, 0])
    })
  })

  test('one whose whole state is another than the voters’ is replaced as well', async () => {
    await withSimCluster({ nodes: 4, eligible: 3 }, async (cluster) => {
      const { others, primary } = await settle(cluster, 3)
      const [victim] = others as [Host]
      const damage = (): void => {
        rot(victim)
        const { shop } = lifeOf(victim).stores
        const digest: Digest = catalogDigestOf(shop.allProducts())
        const { version } = shop.read.catalog()
        shop.transaction((tables) => tables.setCatalog({ version, digest }))
      }
      await restart(cluster, victim, damage)
      await until(cluster, 'it is repaired', () => count(victim, 'catalog_repairs_total') === 1)
      await until(cluster, 'it is the same', () => {
        const [own, theirs] = [victim, primary].map((host) => lifeOf(host).api.catalog.digest())
        return own === theirs && problem(victim) === null
      })
      expect(rowsAreRight(victim)).toBe(true)
    })
  })
})
