/** Where the nemesis acts: the cluster, its own chance, and whom it may strike. */
import type { Cluster } from './cluster.ts'
import type { Host } from './host.ts'
import type { SeededRandom } from './random.ts'
import type { Shopper } from './shopper.ts'

/** One thing that may go wrong. `perform` says whether it was possible at this moment. */
export type Action = { readonly name: string; readonly weight: number; readonly perform: () => boolean }

export class Scene {
  readonly cluster: Cluster
  readonly random: SeededRandom
  readonly shoppers: readonly Shopper[]
  /** Everything heals from now on: what was planned for later does not happen any more. */
  isOver = false

  constructor(cluster: Cluster, random: SeededRandom, shoppers: readonly Shopper[]) {
    this.cluster = cluster
    this.random = random
    this.shoppers = shoppers
  }

  note(text: string): void {
    this.cluster.note(`NEMESIS ${text}`)
  }

  /** Later, unless everything has healed by then. */
  later(minMs: number, maxMs: number, work: () => void): void {
    this.cluster.scheduler.after(this.random.between(minMs, maxMs), () => {
      if (!this.isOver) work()
    })
  }

  /** After a short, a middling or a long time, since each finds other bugs. */
  laterOrMuchLater(times: readonly (readonly [number, number])[], work: () => void): void {
    const [minMs, maxMs] = this.random.pick(times)
    this.later(minMs, maxMs, work)
  }

  anybody(): Host | null {
    const up = this.cluster.inService.filter((host) => host.isUp)
    return up.length === 0 ? null : this.random.pick(up)
  }

  primary(): Host | null {
    return this.cluster.hosts.find((host) => host.life?.replica.parts.consensus.isPrimary() === true) ?? null
  }

  home(): Host | null {
    const users = this.shoppers.flatMap(({ user }) => (user === null ? [] : [user]))
    if (users.length === 0) return null
    const user = this.random.pick(users)
    return this.cluster.hosts.find((host) => host.life?.replica.parts.homes.isHome(user) === true) ?? null
  }

  /** Anybody, but more often one that matters. */
  somebody(): Host | null {
    return this.random.pick([this.anybody(), this.primary(), this.home()])
  }

  restartLater(host: Host): void {
    const times = [
      [50, 500],
      [500, 4_000],
      [4_000, 15_000],
    ] as const
    this.laterOrMuchLater(times, () => {
      if (host.isRetired) return
      this.note(`starts ${host.name}`)
      host.start()
    })
  }
}
