/** Digest checks in the log (DESIGN.md section 3): who diverges from the majority, and what follows. */
import { describe, expect, test } from 'vitest'
import { emptyDigest } from '../../node/core/digest.ts'
import type { Digest } from '../../node/ids.ts'
import { stateCheckIntervalMs } from '../../node/replica/state-checks.ts'
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

const wrongDigest = 'f'.repeat(64) as Digest
const otherDigest = 'e'.repeat(64) as Digest

async function threeVoters(cluster: Cluster): Promise<{ primary: Host; others: Host[] }> {
  await until(cluster, 'three voters', () => votersOf(cluster).length === 3)
  const primary = primaryOf(cluster) as Host
  await finish(cluster, 'a change', changeCatalog(primary))
  const others = cluster.hosts.filter((host) => host !== primary)
  return { primary, others }
}

/** A bit that flipped: the rows of this voter are no longer what its log says. */
function damage(host: Host, digest: Digest): void {
  lifeOf(host).stores.shop.transaction((tables) => tables.setAccountsDigest(digest))
}

function accountsDigest(host: Host): Digest {
  return lifeOf(host).stores.shop.read.accountsDigest()
}

function counter(host: Host, name: 'state_divergences_total' | 'state_checks_total'): number {
  return lifeOf(host).replica.parts.counters.value(name)
}

/** The checks go on, and nobody finds anything. */
async function checksPass(cluster: Cluster): Promise<void> {
  const found = cluster.violations.length
  for (let round = 0; round < 3; round += 1) {
    await finish(cluster, 'a change', changeCatalog(primaryOf(cluster) as Host))
    await cluster.runFor(stateCheckIntervalMs + 1_000)
  }
  expect(cluster.violations.slice(found)).toEqual([])
}

describe('digest checks in the log', () => {
  test('voters that agree are left alone, and a quiet cluster writes no checks', async () => {
    await withSimCluster({ nodes: 3 }, async (cluster) => {
      const { primary } = await threeVoters(cluster)
      await checksPass(cluster)
      expect(counter(primary, 'state_checks_total')).toBeGreaterThan(1)
      await cluster.runFor(3 * stateCheckIntervalMs)
      const before = lifeOf(primary).replica.appliedIndex()
      await cluster.runFor(5 * stateCheckIntervalMs)
      expect(lifeOf(primary).replica.appliedIndex()).toBe(before)
      expect(cluster.hosts.map((host) => lifeOf(host).stores.shop.read.stateMarks())).toEqual(
        Array.from({ length: 3 }, () => lifeOf(primary).stores.shop.read.stateMarks()),
      )
    })
  })

  test('a voter that diverges halts, says so, and takes a snapshot; the others keep what they have', async () => {
    await withSimCluster({ nodes: 3 }, async (cluster) => {
      const { primary, others } = await threeVoters(cluster)
      const [victim, other] = others as [Host, Host]
      damage(victim, wrongDigest)
      const view = (): string | null => lifeOf(victim).api.cluster.view().halted
      const changed = finish(cluster, 'changes', changeCatalog(primary))
      await changed
      await until(cluster, 'it halts', () => view()?.includes('differs from the majority') === true)
      expect(lifeOf(victim).api.cluster.ready().ready).toBe(false)
      expect(cluster.violations).toHaveLength(1)
      await until(cluster, 'it is repaired', () => view() === null)
      expect(accountsDigest(victim)).toBe(emptyDigest)
      expect([primary, other].map((host) => counter(host, 'state_divergences_total'))).toEqual([0, 0])
      expect(primaryOf(cluster)).toBe(primary)
      await checksPass(cluster)
    })
  })

  test('a halted voter is asked for its vote, and gets no lease', async () => {
    await withSimCluster({ nodes: 3 }, async (cluster) => {
      const { primary, others } = await threeVoters(cluster)
      const [victim, other] = others as [Host, Host]
      lifeOf(victim).replica.parts.consensus.haltDiverged('for the test', { repair: false })
      await cluster.runFor(1_000)
      // Dark: nothing refuses, so that the halted voter's stickiness must end by time alone.
      primary.kill({ dark: true })
      await until(cluster, 'there is a primary', () => primaryOf(cluster) !== null)
      expect(primaryOf(cluster)).toBe(other)
    })
  })

  test('a primary that diverges steps down before it is repaired', async () => {
    await withSimCluster({ nodes: 3 }, async (cluster) => {
      const { primary, others } = await threeVoters(cluster)
      await cluster.runFor(2 * stateCheckIntervalMs)
      damage(primary, wrongDigest)
      await finish(cluster, 'a change', changeCatalog(primary))
      await until(cluster, 'another one is primary', () => others.includes(primaryOf(cluster) as Host))
      await until(cluster, 'it is repaired', () => accountsDigest(primary) === emptyDigest)
      await until(cluster, 'it goes on', () => lifeOf(primary).api.cluster.view().halted === null)
      expect(others.map((host) => counter(host, 'state_divergences_total'))).toEqual([0, 0])
      await checksPass(cluster)
    })
  })

  test('without a majority for one state nobody throws anything away, and an operator is told', async () => {
    await withSimCluster({ nodes: 3 }, async (cluster) => {
      const { primary, others } = await threeVoters(cluster)
      damage(others[0] as Host, wrongDigest)
      damage(others[1] as Host, otherDigest)
      await finish(cluster, 'a change', changeCatalog(primary))
      await until(cluster, 'an alarm', () => cluster.violations.length > 0)
      await cluster.runFor(3 * stateCheckIntervalMs)
      expect(cluster.violations.every((text) => text.includes('no majority agrees'))).toBe(true)
      expect(accountsDigest(others[0] as Host)).toBe(wrongDigest)
      expect(accountsDigest(others[1] as Host)).toBe(otherDigest)
      await finish(cluster, 'changes go on', changeCatalog(primary))
    })
  })

  test('what differs again soon after its repair stays halted, until a restart tries once more', async () => {
    await withSimCluster({ nodes: 3 }, async (cluster) => {
      const { primary, others } = await threeVoters(cluster)
      const victim = others[0] as Host
      const halted = (): boolean => lifeOf(victim).api.cluster.view().halted !== null
      for (const isRepaired of [true, false]) {
        damage(victim, wrongDigest)
        await finish(cluster, 'a change', changeCatalog(primary))
        await until(cluster, 'it halts', halted)
        await cluster.runFor(10_000)
        expect(halted()).toBe(!isRepaired)
      }
      victim.kill()
      victim.start()
      expect(halted()).toBe(true)
      await until(cluster, 'it is repaired', () => !halted() && accountsDigest(victim) === emptyDigest)
      await finish(cluster, 'changes go on', changeCatalog(primary))
    })
  })
})
