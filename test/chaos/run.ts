/** One run: a cluster, shoppers and administrators who are busy, a nemesis, and then the reckoning. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '../sim/random.ts'
import { checkHistory } from './checkers/all.ts'
import type { Violation } from './checkers/violation.ts'
import { recordEnd } from './final.ts'
import { probeAbilities } from './harness/abilities.ts'
import type { Abilities, AbilityName } from './harness/abilities.ts'
import { ChaosCluster } from './harness/cluster.ts'
import { Recorder } from './history.ts'
import type { History } from './history.ts'
import { Nemesis } from './nemesis/nemesis.ts'
import { Scene } from './nemesis/scene.ts'
import { observe, watchOwnStalls } from './observer.ts'
import { markdownOf, summarize } from './summary.ts'
import type { Summary } from './summary.ts'
import { Administrator } from './workload/administrator.ts'
import { Client } from './workload/client.ts'
import { intrude } from './workload/intruder.ts'
import { Shopper } from './workload/shopper.ts'
import { Wares } from './workload/wares.ts'

export type RunOptions = {
  readonly seed: number
  readonly nodes: number
  readonly minutes: number
  readonly shoppers: number
  /** Time limits are multiplied by this; see README. */
  readonly patience: number
  /** Kinds of faults; null: all that this machine allows. */
  readonly only: readonly string[] | null
  readonly abilities: (name: AbilityName) => boolean
  /** The command line that runs it again. */
  readonly command: string
  readonly say: (text: string) => void
}

export type RunResult = {
  /** Where history, logs and summary are. */
  readonly directory: string
  readonly history: History
  readonly summary: Summary
  readonly violations: readonly Violation[]
}

const administratorsCount = 2
const progressIntervalMs = 15_000

class Run {
  readonly #options: RunOptions
  readonly #cluster: ChaosCluster
  readonly #random
  readonly #shoppers: Shopper[] = []
  readonly #wares = new Wares()
  #isOver = false

  constructor(options: RunOptions, cluster: ChaosCluster) {
    this.#options = options
    this.#cluster = cluster
    this.#random = seededRandom(options.seed)
  }

  readonly #over = (): boolean => this.#isOver

  #client(name: string): Client {
    const { recorder } = this.#cluster
    const random = this.#random.fork(`client ${name}`)
    return new Client({ cluster: this.#cluster, recorder, random, isOver: this.#over })
  }

  #administrators(): Administrator[] {
    const { patience } = this.#options
    return Array.from({ length: administratorsCount }, (_, index) => {
      const name = `admin${index + 1}`
      return new Administrator({
        name,
        token: this.#cluster.adminToken,
        client: this.#client(name),
        random: this.#random.fork(name),
        wares: this.#wares,
        patience,
        isOver: this.#over,
      })
    })
  }

  #makeShoppers(): void {
    const { shoppers, patience } = this.#options
    for (let index = 0; index < shoppers; index += 1) {
      const name = `s${index + 1}`
      const random = this.#random.fork(name)
      const hasAccount = index % 3 === 0
      const [client, wares, isOver] = [this.#client(name), this.#wares, this.#over]
      this.#shoppers.push(new Shopper({ name, client, random, wares, hasAccount, patience, isOver }))
    }
  }

  async perform(): Promise<void> {
    const { nodes, minutes, say, only } = this.#options
    await this.#cluster.begin(nodes)
    const administrators = this.#administrators()
    for (const handle of [...this.#wares.steady, ...this.#wares.fleeting])
      await administrators[0]?.put(handle)
    this.#makeShoppers()
    say(`${nodes} nodes are up; ${minutes} minutes of chaos begin`)
    const scene = new Scene({
      cluster: this.#cluster,
      random: this.#random.fork('nemesis'),
      homes: () => this.#shoppers.flatMap(({ home }) => home ?? []),
      isOver: this.#over,
    })
    const timer = setTimeout(() => (this.#isOver = true), minutes * 60_000)
    const progress = setInterval(() => {
      say(`${scene.faults} faults, ${this.#cluster.recorder.operations} operations`)
    }, progressIntervalMs)
    try {
      await this.#work(administrators, new Nemesis(scene, only))
    } finally {
      this.#isOver = true
      clearTimeout(timer)
      clearInterval(progress)
    }
    say('everything heals')
    await recordEnd(this.#cluster, this.#shoppers)
  }

  /** The first that fails ends all others. */
  async #work(administrators: readonly Administrator[], nemesis: Nemesis): Promise<void> {
    const random = this.#random.fork('intruder')
    const { adminToken } = this.#cluster
    const { patience } = this.#options
    const token = (): string | null => this.#shoppers.find((shopper) => shopper.token !== null)?.token ?? null
    const intruder = {
      client: this.#client('intruder'),
      random,
      adminToken,
      patience,
      isOver: this.#over,
      token,
    }
    const works = [
      ...this.#shoppers.map((shopper) => shopper.shop()),
      ...administrators.map((administrator) => administrator.work()),
      intrude(intruder),
      observe(this.#cluster, this.#over),
      nemesis.haunt(),
    ]
    const watched = works.map(async (work) => {
      try {
        await work
      } finally {
        // Whoever is done first: the run is over, or something is badly wrong.
        this.#isOver = true
      }
    })
    const failed = (await Promise.allSettled(watched)).find(({ status }) => status === 'rejected')
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
  }
}

function write(directory: string, summary: Summary): void {
  writeFileSync(join(directory, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`)
  writeFileSync(join(directory, 'summary.md'), `${markdownOf(summary)}\n`)
}

async function performed(options: RunOptions, cluster: ChaosCluster): Promise<void> {
  const { recorder } = cluster
  const unwatch = watchOwnStalls(cluster)
  const abandon = (): void => cluster.hosts.forEach((host) => host.abandon())
  process.once('exit', abandon)
  try {
    await new Run(options, cluster).perform()
  } catch (error) {
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
    recorder.add({ type: 'final', of: 'stuck', why, atMs: recorder.nowMs() })
  } finally {
    unwatch()
    await cluster.close()
    process.off('exit', abandon)
  }
}

/** Runs it and checks what happened. Throws only when the machine does not allow a run at all. */
export async function runChaos(options: RunOptions): Promise<RunResult> {
  const { seed, nodes, minutes, command, patience } = options
  const directory = mkdtempSync(join(tmpdir(), 'souk-chaos-'))
  const abilities: Abilities = await probeAbilities(options.abilities)
  const recorder = new Recorder(join(directory, 'history.jsonl'))
  recorder.add({ type: 'run', seed, nodes, minutes, command, patience, atMs: recorder.nowMs() })
  const cluster = await ChaosCluster.prepare(directory, recorder, abilities)
  await performed(options, cluster)
  const history = await recorder.close()
  const violations = checkHistory(history)
  const summary = summarize(history, abilities, violations)
  write(directory, summary)
  return { directory, history, summary, violations }
}
