/** What goes wrong, by the seed: kills, pauses, cuts, losses, slowness, operators. Everything heals in the end. */
import type { MemberId, NodeName } from '../../node/ids.ts'
import type { Cluster } from './cluster.ts'
import type { Host } from './host.ts'
import { calmNetwork } from './network.ts'
import type { NetworkSettings } from './network.ts'
import type { SeededRandom } from './random.ts'
import type { Shopper } from './shopper.ts'
import type { Tally } from './client.ts'

/** Pauses between two faults, so that several overlap at times. */
const quietMinMs = 300
const quietMaxMs = 3_500

type Action = { name: string; weight: number; perform: () => void }

export class Nemesis {
  readonly #cluster: Cluster
  readonly #random: SeededRandom
  readonly #shoppers: readonly Shopper[]
  readonly tally: Tally
  readonly #actions: Action[]
  readonly #usual: NetworkSettings
  #over = false
  faults = 0

  constructor(cluster: Cluster, random: SeededRandom, shoppers: readonly Shopper[], tally: Tally) {
    this.#cluster = cluster
    this.#random = random
    this.#shoppers = shoppers
    this.tally = tally
    this.#usual = { ...calmNetwork, ...cluster.network.settings }
    const all = this.#allActions()
    // Each world has its own mix: some faults often, some never.
    this.#actions = all.map((action) => ({
      ...action,
      weight: action.weight * random.pick([0, 0.5, 1, 1, 3]),
    }))
    if (this.#actions.every(({ weight }) => weight === 0)) this.#actions = all
  }

  async haunt(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      await this.#cluster.sleep(this.#random.between(quietMinMs, quietMaxMs))
      if (!goesOn()) return
      const action = this.#pick()
      this.faults += 1
      this.tally[action.name] = (this.tally[action.name] ?? 0) + 1
      action.perform()
    }
  }

  /** Everything that was broken is mended: all nodes up (but one that stays dead), the network calm and whole. */
  heal(dead: Host | null = null): void {
    this.#over = true
    dead?.kill()
    const { network, hosts } = this.#cluster
    network.heal()
    network.settings = { ...calmNetwork }
    for (const host of hosts) {
      network.resume(host.id)
      host.life?.disk.killAtWrite(Number.MAX_SAFE_INTEGER, false)
      if (host !== dead) host.start()
    }
  }

  #pick(): Action {
    const total = this.#actions.reduce((sum, { weight }) => sum + weight, 0)
    let draw = this.#random.next() * total
    for (const action of this.#actions) {
      draw -= action.weight
      if (draw < 0) return action
    }
    return this.#actions[0] as Action
  }

  #allActions(): Action[] {
    const kill = (name: string, weight: number, target: () => Host | null): Action => ({
      name,
      weight,
      perform: () => this.#kill(target()),
    })
    return [
      kill('kill anybody', 2, () => this.#anybody()),
      kill('kill the primary', 2, () => this.#primary()),
      kill('kill a home', 2, () => this.#home()),
      {
        name: 'kill home and primary',
        weight: 1,
        perform: () => [this.#home(), this.#primary()].forEach((host) => this.#kill(host)),
      },
      {
        name: 'kill everybody',
        weight: 0.4,
        perform: () => this.#cluster.hosts.forEach((host) => this.#kill(host)),
      },
      { name: 'kill at a write', weight: 3, perform: () => this.#killAtWrite() },
      {
        name: 'pause',
        weight: 2,
        perform: () => this.#pause(this.#random.pick([this.#anybody(), this.#primary(), this.#home()])),
      },
      { name: 'split in two', weight: 2, perform: () => this.#split() },
      {
        name: 'cut one off',
        weight: 2,
        perform: () => this.#cutOff(this.#random.pick([this.#anybody(), this.#primary(), this.#home()])),
      },
      { name: 'cut one way', weight: 2, perform: () => this.#cutOneWay() },
      {
        name: 'lose messages',
        weight: 1.5,
        perform: () => this.#disturb({ loss: 0.3, duplication: 0.1, requestLoss: 0.2, reorder: true }),
      },
      {
        name: 'slow network',
        weight: 1,
        perform: () => this.#disturb({ delayMinMs: 20, delayMaxMs: 300, reorder: true }),
      },
      { name: 'restart in order', weight: 1, perform: () => this.#restartInOrder() },
      { name: 'hand over', weight: 0.7, perform: () => this.#handOver() },
      { name: 'drain', weight: 0.7, perform: () => this.#drain() },
      {
        name: 'jump the clock',
        weight: 0.5,
        perform: () => this.#anybody()?.life?.clock.jumpWall(this.#random.between(-3_600_000, 3_600_000)),
      },
    ]
  }

  // ---------------------------------------------------------------- whom

  #anybody(): Host | null {
    const up = this.#cluster.hosts.filter((host) => host.isUp)
    return up.length === 0 ? null : this.#random.pick(up)
  }

  #primary(): Host | null {
    return this.#cluster.hosts.find((host) => host.life?.replica.parts.consensus.isPrimary() === true) ?? null
  }

  #home(): Host | null {
    const users = this.#shoppers.flatMap(({ user }) => (user === null ? [] : [user]))
    if (users.length === 0) return null
    const user = this.#random.pick(users)
    return this.#cluster.hosts.find((host) => host.life?.replica.parts.homes.isHome(user) === true) ?? null
  }

  // ---------------------------------------------------------------- what

  /** Later, unless everything has healed by then. */
  #later(minMs: number, maxMs: number, work: () => void): void {
    this.#cluster.scheduler.after(this.#random.between(minMs, maxMs), () => {
      if (!this.#over) work()
    })
  }

  #note(text: string): void {
    this.#cluster.note(`NEMESIS ${text}`)
  }

  #kill(host: Host | null): void {
    if (host === null || !host.isUp) return
    const dark = this.#random.chance(0.3)
    this.#note(`kills ${host.name}${dark ? ', machine and all' : ''}`)
    host.kill({ dark })
    this.#restartLater(host)
  }

  #restartLater(host: Host): void {
    const [minMs, maxMs] = this.#random.pick([
      [50, 500],
      [500, 4_000],
      [4_000, 15_000],
    ])
    this.#later(minMs as number, maxMs as number, () => {
      this.#note(`starts ${host.name}`)
      host.start()
    })
  }

  #killAtWrite(): void {
    const host = this.#random.pick([this.#anybody(), this.#primary(), this.#home()])
    const { life } = host ?? {}
    if (host === null || life === undefined || life === null) return
    const count = this.#random.below(30) + 1
    const after = this.#random.chance(0.5)
    this.#note(`will kill ${host.name} ${after ? 'after' : 'before'} write ${count}`)
    life.disk.killAtWrite(count, after)
    life.onEnd(() => {
      if (this.#over) return
      this.#note(`${host.name} is dead`)
      this.#restartLater(host)
    })
  }

  #pause(host: Host | null): void {
    const life = host?.life ?? null
    if (host === null || life === null || host.isPaused) return
    this.#note(`pauses ${host.name}`)
    this.#cluster.network.pause(host.id)
    const [minMs, maxMs] = this.#random.pick([
      [100, 1_500],
      [1_500, 6_000],
      [10_000, 20_000],
    ])
    this.#later(minMs as number, maxMs as number, () => {
      if (host.life !== life) return
      this.#note(`resumes ${host.name}`)
      this.#cluster.network.resume(host.id)
    })
  }

  #partition(groups: MemberId[][]): void {
    this.#cluster.network.partition(groups)
    this.#later(500, 12_000, () => {
      this.#note('mends the network')
      this.#cluster.network.heal()
    })
  }

  #split(): void {
    const { hosts } = this.#cluster
    const shuffled = this.#random.shuffle(hosts)
    const size = this.#random.below(hosts.length - 1) + 1
    const [one, other] = [shuffled.slice(0, size), shuffled.slice(size)]
    this.#note(`splits ${one.map(({ name }) => name).join(' ')} | ${other.map(({ name }) => name).join(' ')}`)
    this.#partition([one.map(({ id }) => id), other.map(({ id }) => id)])
  }

  #cutOff(host: Host | null): void {
    if (host === null) return
    this.#note(`cuts off ${host.name}`)
    const others = this.#cluster.hosts.filter((other) => other !== host)
    this.#partition([[host.id], others.map(({ id }) => id)])
  }

  #cutOneWay(): void {
    const [from, to] = this.#random.shuffle(this.#cluster.hosts)
    if (from === undefined || to === undefined) return
    const { network } = this.#cluster
    this.#note(`cuts ${from.name} > ${to.name}`)
    network.block(from.id, to.id)
    this.#later(500, 12_000, () => network.unblock(from.id, to.id))
  }

  #disturb(settings: Partial<NetworkSettings>): void {
    const { network } = this.#cluster
    this.#note(`disturbs the network: ${JSON.stringify(settings)}`)
    network.settings = { ...this.#usual, ...settings }
    this.#later(500, 6_000, () => {
      network.settings = { ...this.#usual }
    })
  }

  #restartInOrder(): void {
    const host = this.#anybody()
    if (host === null || host.isPaused) return
    const { life } = host
    this.#note(`stops ${host.name} in order`)
    void host.stop()
    life?.onEnd(() => {
      if (!this.#over) this.#restartLater(host)
    })
  }

  #handOver(): void {
    const primary = this.#primary()
    this.#note(`hands over the lease of ${primary?.name ?? 'nobody'}`)
    // Refusals are an operator's business, and whatever else is wrong shows in what follows.
    primary?.life?.api.cluster.handOver(null).catch(() => undefined)
  }

  #drain(): void {
    const host = this.#anybody()
    if (host === null) return
    this.#note(`drains ${host.name}`)
    this.#patch(host.name, true)
    this.#later(3_000, 10_000, () => {
      this.#note(`${host.name} is back in service`)
      this.#patch(host.name, false)
    })
  }

  #patch(node: NodeName, draining: boolean): void {
    this.#anybody()
      ?.life?.api.cluster.patchMember(node, { draining })
      .catch(() => this.#note('the drain command was refused'))
  }
}
