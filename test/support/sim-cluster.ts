/** Small scripted clusters of whole nodes in virtual time, for tests of one promise each (test/sim draws theirs). */
import type { CommandId, NodeName } from '../../node/ids.ts'
import { productionBounds } from '../../node/replica/context.ts'
import type { Bounds } from '../../node/replica/context.ts'
import { Cluster } from '../sim/cluster.ts'
import type { Host, Life } from '../sim/host.ts'

/** What a test waits for at most, in virtual milliseconds. */
export const patienceMs = 60_000

export async function withSimCluster(
  options: { nodes: number; eligible?: number; seed?: number; bounds?: Bounds },
  task: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const { nodes, eligible = nodes, seed = 1, bounds = productionBounds } = options
  const cluster = new Cluster({ seed, nodes, eligible, bounds, idleAfterMs: 600_000, trace: true })
  try {
    await demand(cluster, 'the cluster comes up', () => cluster.boot(patienceMs))
    await task(cluster)
  } catch (error) {
    console.error(cluster.events.slice(-60).join('\n'))
    throw error
  } finally {
    cluster.close()
  }
}

async function demand(cluster: Cluster, what: string, happens: () => Promise<boolean>): Promise<void> {
  if (!(await happens())) throw new Error(`at ${cluster.nowMs} ms: in vain until ${what}`)
}

/** Runs until the condition holds; fails when it does not within the patience. */
export function until(cluster: Cluster, what: string, condition: () => boolean): Promise<void> {
  return demand(cluster, what, () => cluster.until(condition, patienceMs))
}

/** Resolves with what `work` gives, while virtual time goes on. */
export async function finish<T>(cluster: Cluster, what: string, work: Promise<T>): Promise<T> {
  let ended: { value: T } | { error: unknown } | null = null
  work.then(
    (value) => (ended = { value }),
    (error: unknown) => (ended = { error }),
  )
  await until(cluster, what, () => ended !== null)
  const end = ended as unknown as { value: T } | { error: unknown }
  if ('error' in end) throw end.error
  return end.value
}

export function lifeOf(host: Host): Life {
  if (host.life === null) throw new Error(`${host.name} is down`)
  return host.life
}

/** The node that acts as primary now. */
export function primaryOf(cluster: Cluster): Host | null {
  return cluster.lives().find(({ life }) => life.replica.parts.consensus.isPrimary())?.host ?? null
}

/** Voters by name, in order, once each of them that lives knows it for good; empty until then, and without a primary. */
export function votersOf(cluster: Cluster): NodeName[] {
  const primary = primaryOf(cluster)
  if (primary === null) return []
  const { voters, learners } = lifeOf(primary).replica.parts.consensus.config
  const isSettled = cluster.lives().every(({ host, life }) => {
    const { config, raft } = life.replica.parts.consensus
    return (
      !voters.includes(host.id) || (config.voters.join() === voters.join() && raft.pendingConfigIndex === 0)
    )
  })
  if (learners.length > 0 || !isSettled) return []
  return cluster.hosts.filter(({ id }) => voters.includes(id)).map(({ name }) => name)
}

let changes = 0

/** One catalog change, asked of `host`; resolves with the version that it made. */
export async function changeCatalog(host: Host): Promise<number> {
  changes += 1
  const handle = `thing-${changes}`
  const variants = [
    { sku: `SKU-${changes}`, title: '', options: {}, price: { amount: 100, currency: 'USD' } },
  ]
  const change = { op: 'merge', handle, fields: { title: handle, variants } } as const
  const { catalog } = lifeOf(host).api
  const { version } = await catalog.change([change] as never, 'test', `test-${changes}` as CommandId)
  return version
}
