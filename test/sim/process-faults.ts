/** What happens to single machines: their processes are killed, stopped or held up, their disks fail or fill. */
import type { Blow, StoreName } from './disk.ts'
import type { Host } from './host.ts'
import type { Action, Scene } from './scene.ts'

/** A node that is killed or whose disk fails is struck at one of so many writes from now: any point of any protocol. */
const writesMax = 30

export function processFaults(scene: Scene): Action[] {
  const kills = (name: string, weight: number, targets: () => (Host | null)[]): Action => ({
    name,
    weight,
    perform: () => targets().filter((host) => kill(scene, host)).length > 0,
  })
  return [
    kills('kill anybody', 2, () => [scene.anybody()]),
    kills('kill the primary', 2, () => [scene.primary()]),
    kills('kill a home', 2, () => [scene.home()]),
    kills('kill home and primary', 1, () => [scene.home(), scene.primary()]),
    kills('kill everybody', 0.4, () => scene.cluster.inService),
    { name: 'kill at a write', weight: 3, perform: () => strike(scene, 'kill') },
    { name: 'disk fails', weight: 1.5, perform: () => strike(scene, 'fail') },
    { name: 'disk full', weight: 1.5, perform: () => fill(scene) },
    { name: 'pause', weight: 2, perform: () => pause(scene) },
    { name: 'restart in order', weight: 1, perform: () => restartInOrder(scene) },
    { name: 'jump the clock', weight: 0.5, perform: () => jumpClock(scene) },
  ]
}

function kill(scene: Scene, host: Host | null): boolean {
  if (host === null || !host.isUp) return false
  const dark = scene.random.chance(0.3)
  scene.note(`kills ${host.name}${dark ? ', machine and all' : ''}`)
  host.kill({ dark })
  scene.restartLater(host)
  return true
}

function strike(scene: Scene, kind: Blow['kind']): boolean {
  const host = scene.somebody()
  const life = host?.life ?? null
  if (host === null || life === null) return false
  const count = scene.random.below(writesMax) + 1
  const after = scene.random.chance(0.5)
  const what = kind === 'kill' ? `kill ${host.name}` : `let the disk of ${host.name} fail`
  scene.note(`will ${what} ${after ? 'after' : 'before'} write ${count}`)
  life.disk.strikeAtWrite(count, { kind, after })
  life.onEnd(() => {
    if (scene.isOver) return
    scene.note(`${host.name} is dead`)
    scene.restartLater(host)
  })
  return true
}

function fill(scene: Scene): boolean {
  const host = scene.somebody()
  const life = host?.life ?? null
  if (host === null || life === null || life.disk.isFull) return false
  const choices: readonly StoreName[][] = [['log'], ['shop'], ['local'], ['log', 'shop', 'local']]
  const names = scene.random.pick(choices)
  scene.note(`fills the disk of ${host.name}: ${names.join(' and ')} can't be written`)
  life.disk.fill(names)
  scene.later(300, 6_000, () => {
    if (host.life !== life) return
    scene.note(`the disk of ${host.name} has space again`)
    life.disk.fill([])
  })
  return true
}

function pause(scene: Scene): boolean {
  const host = scene.somebody()
  const life = host?.life ?? null
  if (host === null || life === null || host.isPaused) return false
  const { network } = scene.cluster
  scene.note(`pauses ${host.name}`)
  network.pause(host.id)
  const times = [
    [100, 1_500],
    [1_500, 6_000],
    [10_000, 20_000],
  ] as const
  scene.laterOrMuchLater(times, () => {
    if (host.life !== life) return
    scene.note(`resumes ${host.name}`)
    network.resume(host.id)
  })
  return true
}

function restartInOrder(scene: Scene): boolean {
  const host = scene.anybody()
  if (host === null || host.isPaused) return false
  const { life } = host
  scene.note(`stops ${host.name} in order`)
  void host.stop()
  life?.onEnd(() => {
    if (!scene.isOver) scene.restartLater(host)
  })
  return true
}

function jumpClock(scene: Scene): boolean {
  const life = scene.anybody()?.life ?? null
  life?.clock.jumpWall(scene.random.between(-3_600_000, 3_600_000))
  return life !== null
}
