/** Where the nemesis acts: the cluster, its own chance, whom it may strike, and the record of what it does. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../sim/random.ts'
import type { ChaosCluster } from '../harness/cluster.ts'
import type { Host } from '../harness/host.ts'
import type { AbilityName } from '../harness/abilities.ts'

/** One thing that may go wrong. It has healed again when `perform` is over; false: it was not possible now. */
export type Fault = {
  readonly kind: string
  readonly weight: number
  readonly needs?: AbilityName
  readonly perform: (scene: Scene) => Promise<boolean>
}

export class Scene {
  readonly cluster: ChaosCluster
  readonly random: SeededRandom
  /** Homes of shoppers, as they were met last. */
  readonly #homes: () => readonly string[]
  readonly isOver: () => boolean
  #faults = 0
  readonly counts = new Map<string, number>()

  constructor(options: {
    cluster: ChaosCluster
    random: SeededRandom
    homes: () => readonly string[]
    isOver: () => boolean
  }) {
    this.cluster = options.cluster
    this.random = options.random
    this.#homes = options.homes
    this.isOver = options.isOver
  }

  /** Runs `work` as one fault on these nodes, and records when it began and when it had healed. */
  async fault(
    kind: string,
    nodes: readonly Host[],
    work: () => Promise<void>,
    detail?: string,
  ): Promise<boolean> {
    const { recorder } = this.cluster
    this.#faults += 1
    const line = {
      type: 'fault',
      fault: this.#faults,
      kind,
      nodes: nodes.map(({ name }) => name),
      ...(detail === undefined ? {} : { detail }),
    } as const
    recorder.add({ ...line, phase: 'begin', atMs: recorder.nowMs() })
    await work()
    recorder.add({ ...line, phase: 'end', atMs: recorder.nowMs() })
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    return true
  }

  get faults(): number {
    return this.#faults
  }

  /** A short, a middling or a long time, since each finds other bugs; shorter once the run is over. */
  async aWhile(times: readonly (readonly [minMs: number, maxMs: number])[]): Promise<void> {
    const [minMs, maxMs] = this.random.pick(times)
    await sleep(this.random.between(minMs, maxMs))
  }

  anybody(is: (host: Host) => boolean = () => true): Host | null {
    const candidates = this.cluster.live.filter(is)
    return candidates.length === 0 ? null : this.random.pick(candidates)
  }

  async primary(): Promise<Host | null> {
    const name = await this.cluster.primary()
    return this.cluster.live.find((host) => host.name === name) ?? null
  }

  home(): Host | null {
    const homes = this.#homes()
    if (homes.length === 0) return null
    const name = this.random.pick(homes)
    return this.cluster.live.find((host) => host.name === name) ?? null
  }

  /** Anybody, but more often one that matters. */
  async somebody(is: (host: Host) => boolean = () => true): Promise<Host | null> {
    const draw = this.random.below(3)
    const host = draw === 0 ? this.anybody(is) : draw === 1 ? await this.primary() : this.home()
    return host !== null && is(host) ? host : this.anybody(is)
  }

  others(hosts: readonly Host[]): Host[] {
    return this.cluster.hosts.filter((host) => !hosts.includes(host))
  }
}
