/** What an operator does to a cluster that is busy: replaces disks and nodes, drains, hands the lease over. */
import { ask } from '../workload/http.ts'
import { until } from '../harness/cluster.ts'
import type { Fault, Scene } from './scene.ts'

/** Users of a drained node leave at once; on a busy machine within seconds. */
const drainTimeoutMs = 30_000
const handOverTimeoutMs = 6_000

/** Its disk is lost; it counts as down until it is a member again and everything is on enough disks. */
async function wipe(scene: Scene): Promise<boolean> {
  const { cluster } = scene
  const host = await scene.somebody()
  if (host === null) return false
  return await scene.fault('wipe', [host], async () => {
    await host.kill()
    await host.wipe('wiped')
    await host.format()
    await scene.aWhile([[0, 800]])
    await cluster.start(host)
    await cluster.whole()
    await cluster.settled()
  })
}

async function joinAndRemove(scene: Scene): Promise<boolean> {
  const { cluster } = scene
  await scene.fault('join', [], async () => {
    await cluster.add()
    await cluster.whole()
    await cluster.settled()
  })
  const host = await scene.somebody()
  if (host === null) return false
  return await scene.fault('removal', [host], async () => {
    await cluster.remove(host)
    await cluster.whole()
    await cluster.settled()
  })
}

async function usersOf(scene: Scene, name: string): Promise<number> {
  const answer = await ask(`${scene.cluster.host(name).url}/api/cluster`, {})
  const { members } = (answer.json ?? { members: [] }) as { members: { node: string; users: number }[] }
  return members.find(({ node }) => node === name)?.users ?? Number.POSITIVE_INFINITY
}

/** Drained, stopped, started, and taken back. */
async function drain(scene: Scene): Promise<boolean> {
  const { cluster } = scene
  const host = await scene.somebody()
  if (host === null) return false
  const path = `/api/admin/cluster/members/${host.name}`
  const patch = async (draining: boolean): Promise<void> =>
    void (await cluster.administer(path, { method: 'PATCH', json: { draining } }))
  return await scene.fault('drain', [host], async () => {
    await patch(true)
    host.set('draining')
    const look = async (): Promise<string | null> => {
      const users = await usersOf(scene, host.name)
      return users === 0 ? null : `${users} users are there`
    }
    await until(`${host.name} is drained`, look, drainTimeoutMs)
    await host.stop()
    await cluster.start(host)
    await patch(false)
  })
}

async function handOver(scene: Scene): Promise<boolean> {
  const { cluster, random } = scene
  const through = scene.anybody()
  const to = scene.anybody()
  if (through === null || to === null) return false
  const json = random.chance(0.5) ? { node: to.name } : {}
  const path = '/api/admin/cluster/primary'
  return await scene.fault('hand-over', [], async () => {
    const request = { method: 'POST', json, token: cluster.adminToken, timeoutMs: handOverTimeoutMs }
    await ask(`${through.url}${path}`, request)
  })
}

export const operatorFaults: readonly Fault[] = [
  { kind: 'wipe', weight: 0.8, perform: wipe },
  { kind: 'removal', weight: 0.5, perform: joinAndRemove },
  { kind: 'drain', weight: 1, perform: drain },
]

export const lightOperatorFaults: readonly Fault[] = [{ kind: 'hand-over', weight: 1, perform: handOver }]
