/** Which packets are dropped, between whom and in which direction. Clients reach every node all the time. */
import type { Host } from '../harness/host.ts'
import type { Pair } from '../harness/network.ts'
import type { Fault, Scene } from './scene.ts'

const cutMs = [
  [300, 1_500],
  [1_500, 3_500],
  [3_500, 6_000],
] as const
/** Partitions say little about a majority when there are fewer. */
const hostsMin = 4

function oneWay(from: readonly Host[], to: readonly Host[]): Pair[] {
  return from.flatMap((one) => to.map((other): Pair => [one.name, other.name]))
}

function bothWays(one: readonly Host[], other: readonly Host[]): Pair[] {
  return [...oneWay(one, other), ...oneWay(other, one)]
}

async function cut(
  scene: Scene,
  kind: string,
  struck: readonly Host[],
  pairs: readonly Pair[],
): Promise<boolean> {
  const { cluster } = scene
  if (struck.length === 0 || cluster.hosts.length < hostsMin) return false
  const detail = pairs.map(([from, to]) => `${from}>${to}`).join(' ')
  return await scene.fault(
    kind,
    struck,
    async () => {
      await cluster.cut(pairs)
      await scene.aWhile(cutMs)
      await cluster.cut([])
    },
    detail,
  )
}

async function isolate(scene: Scene): Promise<boolean> {
  const host = await scene.somebody()
  return host !== null && (await cut(scene, 'full partition', [host], bothWays([host], scene.others([host]))))
}

/** A minority of two, and a majority. */
async function split(scene: Scene): Promise<boolean> {
  const pair = [...new Set([await scene.somebody(), scene.anybody()])].filter((host) => host !== null)
  const others = scene.others(pair)
  if (others.length <= pair.length) return false
  return await cut(scene, 'full partition', pair, bothWays(pair, others))
}

/** It hears nobody, or nobody hears it. */
async function deafen(scene: Scene): Promise<boolean> {
  const host = await scene.somebody()
  if (host === null) return false
  const others = scene.others([host])
  const pairs = scene.random.chance(0.5) ? oneWay([host], others) : oneWay(others, [host])
  return await cut(scene, 'one-way partition', [host], pairs)
}

/** Two that can't talk to each other, while all others talk to both. */
async function unlink(scene: Scene): Promise<boolean> {
  const host = await scene.somebody()
  const other = scene.anybody((one) => one !== host)
  if (host === null || other === null) return false
  const pairs = scene.random.chance(0.6) ? bothWays([host], [other]) : oneWay([host], [other])
  return await cut(scene, 'partial partition', [host, other], pairs)
}

/** One is the only bridge between two halves. */
async function bridge(scene: Scene): Promise<boolean> {
  const middle = await scene.somebody()
  if (middle === null) return false
  const rest = scene.random.shuffle(scene.others([middle]))
  const half = Math.floor(rest.length / 2)
  const [left, right] = [rest.slice(0, half), rest.slice(half)]
  return await cut(scene, 'partial partition', left, bothWays(left, right))
}

export const networkFaults: readonly Fault[] = [
  { kind: 'full partition', weight: 1.2, needs: 'partitions', perform: isolate },
  { kind: 'full partition', weight: 0.6, needs: 'partitions', perform: split },
  { kind: 'one-way partition', weight: 1.5, needs: 'partitions', perform: deafen },
  { kind: 'partial partition', weight: 1.2, needs: 'partitions', perform: unlink },
  { kind: 'partial partition', weight: 0.6, needs: 'partitions', perform: bridge },
]
