/** A member that went back in time is refused (DESIGN.md section 2: identity is bound to the disk). */
import { expect, test } from 'vitest'
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

const isRefused = (cluster: { events: readonly string[] }): boolean =>
  cluster.events.some((event) => event.includes('went back in time'))

test('a copy of a disk that lacks what its member acknowledged is refused, whatever it counts', async () => {
  await withSimCluster({ nodes: 3 }, async (cluster) => {
    await until(cluster, 'three voters', () => votersOf(cluster).length === 3)
    const primary = primaryOf(cluster) as Host
    const victim = cluster.hosts.find((host) => host !== primary) as Host
    const copy = lifeOf(victim).stores.image()
    await finish(cluster, 'a change', changeCatalog(primary))
    await cluster.runFor(1_000)
    victim.kill()
    await cluster.runFor(1_000)
    victim.restore(copy)
    victim.start()
    await until(cluster, 'it is refused', () => isRefused(cluster))
    expect(lifeOf(primary).replica.parts.presence.alive(victim.id)).toBe(false)
  })
})

test('one that lost nothing is welcome again, also with entries that were never committed', async () => {
  await withSimCluster({ nodes: 3 }, async (cluster) => {
    await until(cluster, 'three voters', () => votersOf(cluster).length === 3)
    const old = primaryOf(cluster) as Host
    const others = cluster.hosts.filter((host) => host !== old)
    cluster.network.partition([[old.id], others.map(({ id }) => id)])
    changeCatalog(old).catch(() => undefined)
    await until(cluster, 'another primary', () => others.includes(primaryOf(cluster) as Host))
    await finish(cluster, 'a change', changeCatalog(primaryOf(cluster) as Host))
    old.kill()
    cluster.network.heal()
    old.start()
    await until(cluster, 'it has caught up', () => {
      const versions = cluster.hosts.map((host) => lifeOf(host).stores.shop.read.catalog().version)
      return versions.every((version) => version === Math.max(...versions) && version > 0)
    })
    expect(isRefused(cluster)).toBe(false)
  })
})
