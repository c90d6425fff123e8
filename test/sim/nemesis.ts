/** What goes wrong, by the seed: each world has its own mix of faults and operations. Everything heals in the end. */
import type { Tally } from './client.ts'
import type { Host } from './host.ts'
import { networkFaults } from './network-faults.ts'
import { calmNetwork } from './network.ts'
import { Operators } from './operators.ts'
import { processFaults } from './process-faults.ts'
import type { Action, Scene } from './scene.ts'

/** Pauses between two faults, so that several overlap at times. */
const quietMinMs = 200
const quietMaxMs = 3_000

export class Nemesis {
  readonly #scene: Scene
  readonly operators: Operators
  readonly tally: Tally
  readonly #actions: Action[]
  faults = 0

  constructor(scene: Scene, tally: Tally) {
    this.#scene = scene
    this.operators = new Operators(scene)
    this.tally = tally
    const all = [...processFaults(scene), ...networkFaults(scene), ...this.operators.actions()]
    // Each world has its own mix: some faults often, some never.
    const mixed = all.map((action) => ({
      ...action,
      weight: action.weight * scene.random.pick([0, 0.5, 1, 1, 3]),
    }))
    this.#actions = mixed.every(({ weight }) => weight === 0) ? all : mixed
  }

  async haunt(goesOn: () => boolean): Promise<void> {
    const { cluster, random } = this.#scene
    while (goesOn()) {
      await cluster.sleep(random.between(quietMinMs, quietMaxMs))
      if (!goesOn()) return
      const { name, perform } = this.#pick()
      if (!perform()) continue
      this.faults += 1
      this.tally[name] = (this.tally[name] ?? 0) + 1
    }
  }

  /** Everything that was broken is mended: all nodes up (but one that stays dead), the network calm and whole. */
  heal(dead: Host | null = null): void {
    const { cluster } = this.#scene
    this.#scene.isOver = true
    dead?.kill()
    cluster.network.heal()
    cluster.network.settings = { ...calmNetwork }
    for (const host of cluster.inService) {
      cluster.network.resume(host.id)
      host.life?.disk.spare()
      host.life?.disk.fill([])
      if (host !== dead) host.start()
    }
  }

  /** Names of everything that may go wrong. */
  get names(): string[] {
    return this.#actions.map(({ name }) => name)
  }

  #pick(): Action {
    const total = this.#actions.reduce((sum, { weight }) => sum + weight, 0)
    let draw = this.#scene.random.next() * total
    for (const action of this.#actions) {
      draw -= action.weight
      if (draw < 0) return action
    }
    return this.#actions[0] as Action
  }
}
