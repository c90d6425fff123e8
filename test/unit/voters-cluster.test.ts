/** Who votes as members come, die and are removed, with whole nodes in virtual time (DESIGN.md section 3, "Voters"). */
import { expect, test } from 'vitest'
import { Fault } from '../../node/faults.ts'
import { productionBounds } from '../../node/replica/context.ts'
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

const replaceVoterAfterMs = 20_000

/** No member leaves the voters while there is nobody in its place: their number at every look. */
function watchCounts(cluster: Cluster): Set<number> {
  const counts = new Set<number>()
  const { observer } = cluster
  cluster.observer = {
    started: (host, life) => observer?.started(host, life),
    logWritten: (host, write) => observer?.logWritten(host, write),
    logReset: (host, index) => observer?.logReset(host, index),
    look: () => {
      observer?.look()
      const primary = primaryOf(cluster)
      if (primary !== null) counts.add(lifeOf(primary).replica.parts.consensus.config.voters.length)
    },
  }
  return counts
}

async function waitForVoters(cluster: Cluster, count: number): Promise<void> {
  await until(cluster, `${count} voters`, () => votersOf(cluster).length === count)
  await finish(cluster, 'a change', changeCatalog(primaryOf(cluster) as Host))
}

async function remove(cluster: Cluster, host: Host): Promise<void> {
  const asked = cluster.hosts.find((other) => other !== host && other.isUp) as Host
  await finish(cluster, `${host.name} is removed`, lifeOf(asked).api.cluster.removeMember(host.name))
  host.kill({ dark: true })
}

test('1 → 3 → 5 voters, and back by removing members, the primary among them; changes go on', async () => {
  await withSimCluster({ nodes: 5 }, async (cluster) => {
    await waitForVoters(cluster, 5)
    const counts = watchCounts(cluster)
    const left = [...cluster.hosts]
    for (const expected of [3, 3, 1, 1]) {
      const leaving = left.length % 2 === 0 ? (primaryOf(cluster) as Host) : (left.at(-1) as Host)
      left.splice(left.indexOf(leaving), 1)
      await remove(cluster, leaving)
      await waitForVoters(cluster, expected)
      expect(left.map(({ name }) => name)).toEqual(expect.arrayContaining(votersOf(cluster)))
    }
    expect([...counts].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5])
    // Those that are removed say so, as an error that an operator should see.
    expect(cluster.violations.filter((text) => !text.includes('was removed from the cluster'))).toEqual([])
  })
})

test('a voter gives its place away before it is removed, the only one too, also when it is asked twice', async () => {
  await withSimCluster({ nodes: 2 }, async (cluster) => {
    await waitForVoters(cluster, 1)
    const [only, other] = cluster.hosts as [Host, Host]
    const control = lifeOf(other).api.cluster
    const voters = (): readonly string[] => lifeOf(other).replica.parts.consensus.config.voters
    const answers = [control.removeMember(only.name), control.removeMember(only.name)].map((answer) =>
      answer.then(
        () => [...voters(), 'removed'],
        (error: unknown) => [...voters(), error instanceof Fault ? error.code : error],
      ),
    )
    const both = await finish(cluster, 'both are answered', Promise.all(answers))
    expect(both).toEqual([
      [other.id, 'removed'],
      [other.id, 'not-found'],
    ])
    only.kill({ dark: true })
    await until(cluster, 'a primary', () => primaryOf(cluster) === other)
    await finish(cluster, 'a change', changeCatalog(other))
  })
})

test('a voter that is away for less than --replace-voter-after keeps its place; a dead one is replaced', async () => {
  await withSimCluster({ nodes: 4 }, async (cluster) => {
    await waitForVoters(cluster, 3)
    const voters = votersOf(cluster)
    const counts = watchCounts(cluster)
    const away = cluster.hosts.find(
      (host) => voters.includes(host.name) && host !== primaryOf(cluster),
    ) as Host
    const spare = cluster.hosts.find((host) => !voters.includes(host.name)) as Host
    away.kill({ dark: true })
    await cluster.runFor(replaceVoterAfterMs - 5_000)
    expect(votersOf(cluster)).toEqual(voters)
    away.start()
    await cluster.runFor(replaceVoterAfterMs)
    expect(votersOf(cluster)).toEqual(voters)
    away.kill({ dark: true })
    await until(cluster, 'it is replaced', () => votersOf(cluster).includes(spare.name))
    expect(votersOf(cluster)).not.toContain(away.name)
    // Never fewer because of a death: the new one came before the dead one went.
    expect([...counts].sort((a, b) => a - b)).toEqual([3, 4])
    await finish(cluster, 'a change', changeCatalog(spare))
    away.start()
    await cluster.runFor(10_000)
    expect(votersOf(cluster)).not.toContain(away.name)
    await until(cluster, 'the returned one lives on gossip', () => {
      const versions = cluster.hosts.map((host) => lifeOf(host).stores.shop.read.catalog().version)
      return new Set(versions).size === 1
    })
  })
})

test('without anybody to take its place a dead voter stays one', async () => {
  await withSimCluster({ nodes: 3 }, async (cluster) => {
    await waitForVoters(cluster, 3)
    const voters = votersOf(cluster)
    const dead = cluster.hosts.find((host) => host !== primaryOf(cluster)) as Host
    dead.kill({ dark: true })
    await cluster.runFor(3 * replaceVoterAfterMs)
    expect(votersOf(cluster)).toEqual(voters)
    await finish(cluster, 'a change', changeCatalog(primaryOf(cluster) as Host))
  })
})

test('a member on the broadcast becomes a voter while changes reach it faster than any copy', async () => {
  const bounds = { ...productionBounds, logEntriesMax: 10, logStepEntriesMax: 5 }
  await withSimCluster({ nodes: 2, bounds }, async (cluster) => {
    await waitForVoters(cluster, 1)
    const primary = primaryOf(cluster) as Host
    // So many that the log does not reach back to the first, and whoever joins needs a copy.
    for (let count = 0; count < 50; count += 1) await finish(cluster, 'a change', changeCatalog(primary))
    Object.assign(cluster.network.settings, { delayMinMs: 25, delayMaxMs: 25 })
    let isWriting = true
    const write = async (): Promise<void> => {
      for (; isWriting; await cluster.sleep(10)) await changeCatalog(primary)
    }
    const writing = write()
    cluster.addHost().start()
    await until(cluster, 'three voters', () => votersOf(cluster).length === 3)
    isWriting = false
    await finish(cluster, 'the last change', writing)
    await until(cluster, 'all have the same', () => {
      const digests = cluster.hosts.map((host) => lifeOf(host).stores.shop.read.catalog().digest)
      return new Set(digests).size === 1
    })
    expect(cluster.totals().get('snapshots_sent_total')).toBeGreaterThanOrEqual(2)
  })
})
