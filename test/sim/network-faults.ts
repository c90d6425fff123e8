/** What happens between machines: splits of any shape, cuts in one direction, links that come and go, loss, slowness. */
import type { MemberId } from '../../node/ids.ts'
import type { Host } from './host.ts'
import { calmNetwork } from './network.ts'
import type { NetworkSettings } from './network.ts'
import type { Action, Scene } from './scene.ts'

/** From a blink to longer than connections live without an answer (`silentCloseMs`). */
const cutMinMs = 500
const cutMaxMs = 12_000
const flapsMax = 12

export function networkFaults(scene: Scene): Action[] {
  const disturbs = (name: string, weight: number, settings: Partial<NetworkSettings>): Action => ({
    name,
    weight,
    perform: () => disturb(scene, settings),
  })
  return [
    { name: 'split in two', weight: 2, perform: () => split(scene) },
    { name: 'cut one off', weight: 2, perform: () => cutOff(scene, scene.somebody()) },
    { name: 'cut one way', weight: 2, perform: () => cutBetween(scene, false) },
    { name: 'cut a pair', weight: 1.5, perform: () => cutBetween(scene, true) },
    { name: 'flapping link', weight: 1, perform: () => flap(scene) },
    disturbs('lose messages', 1.5, { loss: 0.3, duplication: 0.1, requestLoss: 0.2, reorder: true }),
    disturbs('slow network', 1, { delayMinMs: 20, delayMaxMs: 300, reorder: true }),
  ]
}

function partition(scene: Scene, groups: MemberId[][]): void {
  const { network } = scene.cluster
  network.partition(groups)
  scene.later(cutMinMs, cutMaxMs, () => {
    scene.note('mends the network')
    network.heal()
  })
}

function names(hosts: readonly Host[]): string {
  return hosts.map(({ name }) => name).join(' ')
}

function ids(hosts: readonly Host[]): MemberId[] {
  return hosts.map(({ id }) => id)
}

function split(scene: Scene): boolean {
  const shuffled = scene.random.shuffle(scene.cluster.inService)
  const size = scene.random.below(shuffled.length - 1) + 1
  const [one, other] = [shuffled.slice(0, size), shuffled.slice(size)]
  scene.note(`splits ${names(one)} | ${names(other)}`)
  partition(scene, [ids(one), ids(other)])
  return true
}

function cutOff(scene: Scene, host: Host | null): boolean {
  if (host === null) return false
  scene.note(`cuts off ${host.name}`)
  partition(scene, [[host.id], ids(scene.cluster.inService.filter((other) => other !== host))])
  return true
}

/** Two that don't hear each other, in one direction or both, while everybody else hears both: a partial partition. */
function cutBetween(scene: Scene, bothWays: boolean): boolean {
  const [one, other] = pair(scene)
  const cuts = bothWays
    ? [
        [one.id, other.id],
        [other.id, one.id],
      ]
    : [[one.id, other.id]]
  const { network } = scene.cluster
  scene.note(`cuts ${one.name} ${bothWays ? '<>' : '>'} ${other.name}`)
  for (const [from, to] of cuts as [MemberId, MemberId][]) {
    network.block(from, to)
    scene.later(cutMinMs, cutMaxMs, () => network.unblock(from, to))
  }
  return true
}

function pair(scene: Scene): [Host, Host] {
  const primary = scene.primary()
  const [one, other] = scene.random.shuffle(scene.cluster.inService) as [Host, Host]
  return primary !== null && primary !== other && scene.random.chance(0.5) ? [primary, other] : [one, other]
}

/** A link that goes and comes back again and again, fast enough to break elections off and start new ones. */
function flap(scene: Scene): boolean {
  const [one, other] = pair(scene)
  const { network } = scene.cluster
  let left = scene.random.below(flapsMax) + 3
  scene.note(`lets the link ${one.name} <> ${other.name} flap ${left} times`)
  const cut = (): void => {
    network.block(one.id, other.id)
    network.block(other.id, one.id)
    scene.later(50, 900, mend)
  }
  const mend = (): void => {
    network.unblock(one.id, other.id)
    network.unblock(other.id, one.id)
    left -= 1
    if (left > 0) scene.later(50, 900, cut)
  }
  cut()
  return true
}

function disturb(scene: Scene, settings: Partial<NetworkSettings>): boolean {
  const { network } = scene.cluster
  scene.note(`disturbs the network: ${JSON.stringify(settings)}`)
  network.settings = { ...calmNetwork, ...settings }
  scene.later(500, 6_000, () => {
    network.settings = { ...calmNetwork }
  })
  return true
}
