/** What happens to processes, disks and clocks of nodes. */
import type { Host } from '../harness/host.ts'
import type { Fault, Scene } from './scene.ts'

const downMs = [
  [0, 150],
  [150, 1_200],
  [1_200, 3_000],
] as const
const pausedMs = [
  [50, 600],
  [600, 2_500],
  [3_500, 6_000],
] as const
const fullMs = [
  [300, 1_500],
  [1_500, 4_000],
] as const
/** Hours, because what is wrong with clocks is rarely seconds. */
const clockOffMaxMs = 3_600_000

async function crash(scene: Scene, kind: string, hosts: readonly (Host | null)[]): Promise<boolean> {
  const struck = [...new Set(hosts.filter((host) => host !== null))]
  if (struck.length === 0) return false
  return await scene.fault(kind, struck, async () => {
    await Promise.all(struck.map((host) => host.kill()))
    await scene.aWhile(downMs)
    await Promise.all(struck.map((host) => scene.cluster.start(host)))
  })
}

/** Killed again while it starts: what mends a crash must survive one. */
async function crashTwice(scene: Scene): Promise<boolean> {
  const host = await scene.somebody()
  if (host === null) return false
  return await scene.fault('kill while starting', [host], async () => {
    await host.kill()
    await host.launch(scene.others([host]).map(({ p2p }) => p2p))
    await scene.aWhile([[50, 900]])
    await host.kill()
    await scene.cluster.start(host)
  })
}

async function pause(scene: Scene): Promise<boolean> {
  const host = await scene.somebody()
  if (host === null) return false
  return await scene.fault('pause', [host], async () => {
    host.pause()
    await scene.aWhile(pausedMs)
    await host.resume()
  })
}

async function restart(scene: Scene): Promise<boolean> {
  const host = await scene.somebody()
  if (host === null) return false
  return await scene.fault('clean stop', [host], async () => {
    await host.stop()
    await scene.aWhile(downMs)
    await scene.cluster.start(host)
  })
}

async function crashAll(scene: Scene): Promise<boolean> {
  const hosts = [...scene.cluster.hosts]
  return await scene.fault('kill all', hosts, async () => {
    await Promise.all(hosts.map((host) => host.kill()))
    await scene.aWhile([[0, 500]])
    await Promise.all(scene.random.shuffle(hosts).map((host) => scene.cluster.start(host)))
    await scene.cluster.whole()
  })
}

async function fullDisk(scene: Scene): Promise<boolean> {
  const host = await scene.somebody(({ hasSmallDisk }) => hasSmallDisk)
  if (host === null) return false
  return await scene.fault('full disk', [host], async () => {
    await host.fillDisk()
    await scene.aWhile(fullMs)
    await host.emptyDisk()
    await host.ready()
  })
}

async function failingDisk(scene: Scene): Promise<boolean> {
  const host = await scene.somebody()
  if (host === null) return false
  return await scene.fault('failing fsync', [host], async () => {
    await host.failFsync()
    await scene.aWhile(downMs)
    await scene.cluster.start(host)
  })
}

async function jumpClock(scene: Scene): Promise<boolean> {
  const host = scene.anybody(({ hasOwnClock }) => hasOwnClock)
  if (host === null) return false
  const { random } = scene
  const offsetMs = random.pick([0, 1, -1]) * random.between(1_000, clockOffMaxMs)
  const detail = `${Math.round(offsetMs / 1_000)} s`
  return await scene.fault('clock jump', [host], () => Promise.resolve(host.setClock(offsetMs)), detail)
}

export const processFaults: readonly Fault[] = [
  { kind: 'kill', weight: 2, perform: async (scene) => await crash(scene, 'kill', [scene.anybody()]) },
  {
    kind: 'kill the primary',
    weight: 2.5,
    perform: async (scene) => await crash(scene, 'kill the primary', [await scene.primary()]),
  },
  {
    kind: 'kill a home',
    weight: 2,
    perform: async (scene) => await crash(scene, 'kill a home', [scene.home()]),
  },
  {
    kind: 'kill home and primary',
    weight: 1.5,
    perform: async (scene) =>
      await crash(scene, 'kill home and primary', [scene.home(), await scene.primary()]),
  },
  { kind: 'kill while starting', weight: 0.7, perform: crashTwice },
  { kind: 'pause', weight: 2.5, perform: pause },
  { kind: 'clean stop', weight: 1.5, perform: restart },
  { kind: 'kill all', weight: 0.4, perform: crashAll },
  { kind: 'full disk', weight: 1.2, needs: 'small disks', perform: fullDisk },
  { kind: 'failing fsync', weight: 1.2, needs: 'failing fsync', perform: failingDisk },
]

/** Hurts nobody for long, so it may happen beside anything else. */
export const lightProcessFaults: readonly Fault[] = [
  { kind: 'clock jump', weight: 1, needs: 'clock jumps', perform: jumpClock },
]
