/**
 * What goes wrong, by the seed. One node at a time is hurt, so that a majority of the voters and two members of each
 * server set stay; home and primary together, a minority of two and all nodes at once are the exceptions that DESIGN.md
 * names. Beside it leases are handed over and clocks jump, which hurts nobody.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { networkFaults } from './network-faults.ts'
import { lightOperatorFaults, operatorFaults } from './operator-faults.ts'
import { lightProcessFaults, processFaults } from './process-faults.ts'
import type { Fault, Scene } from './scene.ts'

/** Between two faults: mostly before everything has calmed down. */
const quietMs = [
  [0, 200],
  [200, 900],
] as const
const lightQuietMs = [[1_500, 5_000]] as const
/** Where a kind is rare by chance, a run of some length has each of them nevertheless. */
const roundsOfAll = 1

export class Nemesis {
  readonly #scene: Scene
  readonly #heavy: readonly Fault[]
  readonly #light: readonly Fault[]

  constructor(scene: Scene, only: readonly string[] | null) {
    this.#scene = scene
    const { abilities } = scene.cluster
    const isPossible = ({ kind, needs }: Fault): boolean =>
      (needs === undefined || abilities[needs].available) && (only === null || only.includes(kind))
    this.#heavy = [...processFaults, ...networkFaults, ...operatorFaults].filter(isPossible)
    this.#light = [...lightProcessFaults, ...lightOperatorFaults].filter(isPossible)
  }

  /** Until the run is over; then everything has healed. */
  async haunt(): Promise<void> {
    await Promise.all([this.#hauntHeavily(), this.#hauntLightly()])
  }

  async #hauntHeavily(): Promise<void> {
    const { isOver, random } = this.#scene
    let due: Fault[] = Array.from({ length: roundsOfAll }, () => random.shuffle(this.#heavy)).flat()
    while (!isOver() && this.#heavy.length > 0) {
      await this.#scene.aWhile(quietMs)
      if (isOver()) return
      // All kinds come up, spread over the run, and the others by their weights.
      const isDue = due.length > 0 && random.chance(0.5)
      const fault = isDue ? (due[0] as Fault) : this.#pick(this.#heavy)
      if (isDue) due = due.slice(1)
      await fault.perform(this.#scene)
    }
  }

  async #hauntLightly(): Promise<void> {
    const { isOver } = this.#scene
    const until = async (minMs: number): Promise<void> => {
      const deadlineMs = performance.now() + minMs
      while (!isOver() && performance.now() < deadlineMs) await sleep(100)
    }
    while (!isOver() && this.#light.length > 0) {
      const [minMs, maxMs] = this.#scene.random.pick(lightQuietMs)
      await until(this.#scene.random.between(minMs, maxMs))
      if (!isOver()) await this.#pick(this.#light).perform(this.#scene)
    }
  }

  #pick(faults: readonly Fault[]): Fault {
    const total = faults.reduce((sum, { weight }) => sum + weight, 0)
    let draw = this.#scene.random.next() * total
    for (const fault of faults) {
      draw -= fault.weight
      if (draw < 0) return fault
    }
    return faults[0] as Fault
  }
}
