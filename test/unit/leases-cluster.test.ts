/** Hand-over, pauses, partitions and flapping links, with whole nodes in virtual time (DESIGN.md section 3). */
import { expect, test } from 'vitest'
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

async function threeVoters(cluster: Cluster): Promise<{ primary: Host; others: Host[] }> {
  await until(cluster, 'three voters', () => votersOf(cluster).length === 3)
  const primary = primaryOf(cluster) as Host
  await finish(cluster, 'a change', changeCatalog(primary))
  return { primary, others: cluster.hosts.filter((host) => host !== primary) }
}

const termOf = (host: Host): number => lifeOf(host).replica.parts.consensus.raft.term

/** Changes asked of every node in turn, without a break, until `stop`; resolves with what failed. */
function changesWithoutBreak(cluster: Cluster, isAsked: (host: Host) => boolean) {
  const failed: string[] = []
  let done = 0
  let goesOn = true
  const ask = async (host: Host): Promise<void> => {
    while (goesOn) {
      await cluster.sleep(40)
      if (!host.isUp || !isAsked(host)) continue
      await changeCatalog(host).then(
        () => (done += 1),
        (error: unknown) => failed.push(`${cluster.nowMs} ${host.name}: ${String(error)}`),
      )
    }
  }
  const all = Promise.all(cluster.hosts.map((host) => ask(host)))
  const stop = async (): Promise<{ done: number; failed: string[] }> => {
    goesOn = false
    await finish(cluster, 'the last changes', all)
    return { done, failed }
  }
  return { stop, done: () => done }
}

test('no change fails while the lease is handed over again and again, on command', async () => {
  await withSimCluster({ nodes: 3 }, async (cluster) => {
    await threeVoters(cluster)
    const changes = changesWithoutBreak(cluster, () => true)
    let last = primaryOf(cluster) as Host
    for (let round = 0; round < 6; round += 1) {
      await cluster.runFor(150)
      const to = cluster.hosts.filter((host) => host !== last)[round % 2] as Host
      await finish(cluster, 'a hand-over', lifeOf(to).api.cluster.handOver(to.name))
      await until(cluster, 'the lease is there', () => primaryOf(cluster) === to)
      last = to
    }
    const { done, failed } = await changes.stop()
    expect(failed).toEqual([])
    expect(done).toBeGreaterThan(30)
  })
})

test('no change fails while the primary is stopped cleanly and started, again and again', async () => {
  await withSimCluster({ nodes: 3 }, async (cluster) => {
    await threeVoters(cluster)
    let stopping: Host | null = null
    const changes = changesWithoutBreak(cluster, (host) => host !== stopping)
    for (let round = 0; round < 3; round += 1) {
      await cluster.runFor(200)
      stopping = primaryOf(cluster) as Host
      // Its clients go elsewhere, as those of a listener that has closed do; what it was asked before is answered.
      await cluster.runFor(100)
      await finish(cluster, 'a clean stop', stopping.stop())
      await until(cluster, 'another primary', () => primaryOf(cluster) !== null)
      stopping.start()
      await cluster.runFor(1_000)
      stopping = null
      await until(cluster, 'three voters', () => votersOf(cluster).length === 3)
    }
    const { done, failed } = await changes.stop()
    expect(failed).toEqual([])
    expect(done).toBeGreaterThan(30)
  })
})

test('a paused primary does not answer as primary once it runs again, whatever happens first', async () => {
  await withSimCluster({ nodes: 3 }, async (cluster) => {
    const { primary, others } = await threeVoters(cluster)
    const life = lifeOf(primary)
    const name = primary.name
    const query = { kind: 'account-by-email', email: 'nobody@example.com' } as const
    const waiting = [life.replica.parts.log.query(query), changeCatalog(primary)].map((work) =>
      work.then(
        () => 'answered',
        (error: unknown) => String(error),
      ),
    )
    cluster.network.pause(primary.id)
    await until(cluster, 'another primary', () =>
      others.some((host) => lifeOf(host).replica.parts.consensus.isPrimary()),
    )
    const next = others.find((host) => lifeOf(host).replica.parts.consensus.isPrimary()) as Host
    const version = await finish(cluster, 'a change', changeCatalog(next))
    // The very first thing after SIGCONT, before any timer or message.
    expect(life.replica.parts.consensus.isPrimary()).toBe(false)
    const { primary: told, leaseRemainingMs } = life.api.cluster.view()
    expect([told?.node === name, leaseRemainingMs]).toEqual([false, 0])
    await expect(
      life.replica.parts.log.proposeHere('c:late' as never, { kind: 'state.check', claim: null }, 100),
    ).rejects.toMatchObject({ code: 'no-primary' })
    cluster.network.resume(primary.id)
    const read = finish(cluster, 'a current read', life.replica.parts.log.query(query))
    await read
    expect(life.stores.shop.read.catalog().version).toBeGreaterThanOrEqual(version)
    await finish(cluster, 'what was under way ends', Promise.all(waiting))
  })
})

test('a primary takes what waits for it in the turn in which it is elected, not when it is asked again', async () => {
  const lateMs: number[] = []
  for (let seed = 1; seed <= 5; seed += 1) {
    await withSimCluster({ nodes: 3, seed }, async (cluster) => {
      const { primary, others } = await threeVoters(cluster)
      primary.kill()
      const changes = others.map((host) => changeCatalog(host))
      const isElected = (host: Host): boolean => lifeOf(host).replica.parts.consensus.raft.role === 'primary'
      await until(cluster, 'an election', () => others.some(isElected))
      const electedMs = cluster.nowMs
      await finish(cluster, 'the changes', Promise.all(changes))
      lateMs.push(cluster.nowMs - electedMs)
    })
  }
  // A few deliveries; a client that was refused would come again only after 50 ms.
  expect(Math.max(...lateMs)).toBeLessThan(40)
})

test('who asked a primary that fell silent asks the next one as soon as there is one', async () => {
  for (let seed = 1; seed <= 5; seed += 1) {
    await withSimCluster({ nodes: 3, seed }, async (cluster) => {
      const { primary, others } = await threeVoters(cluster)
      const before = lifeOf(primary).stores.shop.read.catalog().version
      cluster.network.pause(primary.id)
      const changes = others.map((host) => changeCatalog(host))
      const leads = (host: Host): boolean => lifeOf(host).replica.parts.consensus.isPrimary()
      await until(cluster, 'another primary', () => others.some(leads))
      const electedMs = cluster.nowMs
      const versions = await finish(cluster, 'the changes', Promise.all(changes))
      // One attempt at one primary may take 1.5 s.
      expect(cluster.nowMs - electedMs).toBeLessThan(150)
      expect(versions.toSorted((one, other) => one - other)).toEqual([before + 1, before + 2])
      cluster.network.resume(primary.id)
      await until(cluster, 'it has them too', () =>
        [primary, ...others].every((host) => lifeOf(host).stores.shop.read.catalog().version === before + 2),
      )
    })
  }
})

test('a member that comes back from a partition does not disturb a healthy primary', async () => {
  await withSimCluster({ nodes: 3 }, async (cluster) => {
    const { primary, others } = await threeVoters(cluster)
    const [away, other] = others as [Host, Host]
    const term = termOf(primary)
    for (let round = 0; round < 3; round += 1) {
      cluster.network.partition([[away.id], [primary.id, other.id]])
      await cluster.runFor(8_000)
      cluster.network.heal()
      await finish(cluster, 'a change', changeCatalog(primary))
      await until(
        cluster,
        'it is back',
        () =>
          lifeOf(away).stores.shop.read.catalog().version ===
          lifeOf(primary).stores.shop.read.catalog().version,
      )
      await cluster.runFor(2_000)
    }
    expect([primaryOf(cluster), termOf(primary), termOf(away)]).toEqual([primary, term, term])
  })
})

test('a flapping link between primary and voters starts no storm of elections', async () => {
  await withSimCluster({ nodes: 3 }, async (cluster) => {
    const { primary, others } = await threeVoters(cluster)
    const before = termOf(primary)
    for (let round = 0; round < 60; round += 1) {
      for (const host of others) {
        const { consensus } = lifeOf(host).replica.parts
        const known = consensus.raft.primary
        // The probe was refused: the worst that a flapping link can do, because it clears the stickiness.
        if (known !== null) consensus.input({ kind: 'peer-gone', member: known })
      }
      await cluster.runFor(200)
    }
    // 12 s of it: without back-off there would be one for each of the 60 reports.
    expect(Math.max(...cluster.hosts.map(termOf)) - before).toBeLessThan(20)
    await finish(cluster, 'a change', changeCatalog(others[0] as Host))
  })
})

test('after all nodes, or a majority, were down the cluster goes on by itself', async () => {
  await withSimCluster({ nodes: 5 }, async (cluster) => {
    await until(cluster, 'five voters', () => votersOf(cluster).length === 5)
    const version = await finish(cluster, 'a change', changeCatalog(primaryOf(cluster) as Host))
    for (const down of [cluster.hosts, cluster.hosts.slice(0, 3), cluster.hosts.slice(2)]) {
      for (const host of down) host.kill({ dark: true })
      await cluster.runFor(5_000)
      expect(primaryOf(cluster)).toBeNull()
      for (const host of down) host.start()
      await until(cluster, 'a primary', () => primaryOf(cluster) !== null)
      await finish(cluster, 'a change', changeCatalog(cluster.hosts[0] as Host))
    }
    await until(cluster, 'all have all', () =>
      cluster.hosts.every((host) => lifeOf(host).stores.shop.read.catalog().version === version + 3),
    )
  })
})
