/** One seed, one world: a cluster, shoppers, an administrator and a nemesis; then everything heals, and is checked. */
import type { NodeName, UserId } from '../../node/ids.ts'
import { productionBounds } from '../../node/replica/context.ts'
import { checkCatalogRows, checkOrderPrices } from './catalog-checks.ts'
import { Watch } from './checkers.ts'
import { Client } from './client.ts'
import type { Tally } from './client.ts'
import { Cluster } from './cluster.ts'
import type { ClusterOptions } from './cluster.ts'
import type { Host } from './host.ts'
import { Nemesis } from './nemesis.ts'
import {
  checkConservation,
  checkOrders,
  undecided,
  unequalCarts,
  unsettled,
  withoutPrimary,
} from './settled.ts'
import { breaksMajority, soleCopies } from './losses.ts'
import { seededRandom } from './random.ts'
import { Scene } from './scene.ts'
import { Shop } from './shop.ts'
import { Shopper } from './shopper.ts'

/** Virtual time in which things go wrong; longer where it takes longer to do enough. */
const troubleMs = 40_000
const troubleMaxMs = 150_000
/** What makes a world worth the name. */
export const worldMin = { virtualMs: 60_000, operations: 200, faults: 20 }
const bootLimitMs = 30_000
/** Elections, redials (up to 12 s), catching up and delivery: by then a healed cluster has settled. */
const settleLimitMs = 60_000
const lastOrderLimitMs = 30_000
/** A cart that was taken over from too few is asked for again, and a guest's follows to the account, in the background. */
const completeLooks = 15
const completeLookMs = 1_000
/** Between two looks at whether everything has settled, which read databases. */
const settledLookMs = 200

export type WorldResult = {
  seed: number
  violations: string[]
  events: string[]
  faults: { [name: string]: number }
  tally: { [what: string]: number }
  totals: { [counter: string]: number }
  /** What consensus, disks and machines did. */
  seen: { [what: string]: number }
  virtualMs: number
  operations: number
  steps: number
  messages: number
  terms: number
  committed: number
  /** Equal in two runs of a seed. */
  trace: number
  /** Names of everything that may go wrong. */
  faultNames: readonly string[]
}

export type WorldOptions = {
  seed: number
  trace: boolean
  /** Ends the run at the first broken promise: enough for who only wants to know whether there is one. */
  endsAtViolation?: boolean
}

/** What differs from world to world, so that each combination comes up. */
function settingsOf(seed: number): Omit<ClusterOptions, 'seed' | 'trace' | 'endsAtViolation'> {
  const random = seededRandom(seed).fork('settings')
  const nodes = random.pick([3, 3, 4, 5, 5, 6, 7])
  const small = { logEntriesMax: 10, logStepEntriesMax: 5, snapshotChunkSizeBytes: 64 * 1024 }
  const middling = { ...small, logEntriesMax: 40 }
  return {
    nodes,
    eligible: random.chance(0.25) ? Math.max(3, nodes - 1) : nodes,
    idleAfterMs: random.chance(0.2) ? 4_000 : 600_000,
    replaceVoterAfterMs: random.pick([4_000, 4_000, 20_000]),
    bounds: random.pick([small, middling, productionBounds]),
    catalogVersionsMax: random.pick([2, 5, 2_000]),
    // Real clocks drift by a few parts in a million; the lease has room for far more (replica/consensus.ts).
    drift: random.pick([0.01, 0.05]),
  }
}

class World {
  readonly cluster: Cluster
  readonly watch: Watch
  readonly tally: Tally = {}
  readonly faults: Tally = {}
  readonly client: Client
  readonly shop: Shop
  readonly shoppers: Shopper[]
  readonly scene: Scene
  readonly nemesis: Nemesis

  constructor({ seed, trace, endsAtViolation = false }: WorldOptions) {
    this.cluster = new Cluster({ seed, trace, endsAtViolation, ...settingsOf(seed) })
    const { random } = this.cluster
    this.watch = new Watch(this.cluster)
    this.cluster.observer = this.watch
    this.client = new Client(this.cluster, random.fork('client'), this.tally)
    this.shop = new Shop(this.cluster, this.client, random.fork('shop'))
    const count = 5 + random.below(4)
    this.shoppers = Array.from({ length: count }, (_, index) =>
      this.#shopper(`s${index + 1}`, index % 3 === 0),
    )
    this.scene = new Scene(this.cluster, random.fork('nemesis'), this.shoppers)
    this.nemesis = new Nemesis(this.scene, this.faults)
  }

  async run(): Promise<void> {
    const { cluster } = this
    if (!(await cluster.boot(bootLimitMs))) return cluster.violation('progress: the cluster did not come up')
    if (!(await this.#finish(this.shop.open(), bootLimitMs))) return cluster.violation('progress: no catalog')
    if (!(await this.#trouble())) return
    this.nemesis.heal()
    cluster.note('everything is healed')
    if (!(await this.#settles())) return
    for (const shopper of this.shoppers)
      if (
        !(await this.#finish(
          shopper.settleAll().then(() => true),
          settleLimitMs,
        ))
      )
        cluster.violation(`progress: the orders of ${shopper.name} don't come to an end`)
    if (!(await this.#settles())) return
    await this.#checkShoppers()
    checkOrders(cluster, this.shoppers)
    checkCatalogRows(cluster)
    checkOrderPrices(cluster)
    await this.#lastOrder()
    // What was healed stays so.
    await cluster.runFor(Math.max(0, worldMin.virtualMs - cluster.nowMs))
    this.#checkSize()
  }

  /** Each world must be one: enough happened in it, and long enough. */
  #checkSize(): void {
    const done = {
      virtualMs: this.cluster.nowMs,
      operations: this.client.operations,
      faults: this.nemesis.faults,
    }
    for (const name of ['virtualMs', 'operations', 'faults'] as const)
      if (done[name] < worldMin[name])
        this.cluster.violation(`the world is too small: ${name} ${done[name]} of ${worldMin[name]}`)
  }

  async #trouble(): Promise<boolean> {
    const { cluster } = this
    const startMs = cluster.nowMs
    const isEnough = (): boolean =>
      cluster.nowMs >= startMs + troubleMs &&
      this.nemesis.faults >= worldMin.faults &&
      this.client.operations >= worldMin.operations
    const goesOn = (): boolean => !isEnough() && cluster.nowMs < startMs + troubleMaxMs
    const running = [...this.shoppers.map((shopper) => shopper.shop(goesOn)), this.shop.administrate(goesOn)]
    let over = false
    void Promise.all(running).then(() => (over = true))
    void this.nemesis.haunt(goesOn)
    await cluster.until(() => !goesOn(), troubleMaxMs)
    const allEnd = await this.#goesOnWithoutOne()
    const allAnswered = await cluster.until(() => over, settleLimitMs)
    if (!allAnswered) cluster.violation('progress: the clients don’t get their last answers')
    return allEnd && allAnswered
  }

  /** With one node dead for good, every order that was frozen comes to its end nevertheless (P3, "Keeper"). */
  async #goesOnWithoutOne(): Promise<boolean> {
    const { cluster } = this
    const { operators } = this.nemesis
    if (operators.pending > 0) {
      this.nemesis.heal()
      cluster.note('operators finish what they began')
      if (!(await cluster.until(() => operators.pending === 0, settleLimitMs)))
        cluster.violation(`progress: a removal has no end within ${settleLimitMs} ms of good weather`)
    }
    const dead = cluster.random.pick(cluster.inService)
    const withoutOne = this.#canDoWithout(dead)
    this.nemesis.heal(withoutOne ? dead : null)
    cluster.note(withoutOne ? `everything is healed but ${dead.name}` : 'everything is healed')
    let why: string | null = null
    let dueMs = 0
    const ended = await cluster.until(() => {
      if (cluster.nowMs < dueMs) return false
      dueMs = cluster.nowMs + settledLookMs
      why = withoutPrimary(cluster) ?? undecided(cluster, this.#users())
      return why === null
    }, settleLimitMs)
    if (!ended)
      cluster.violation(`P3: without ${dead.name} not all orders end within ${settleLimitMs} ms: ${why}`)
    else if (withoutOne) await this.#servesWithout(dead.name)
    return ended
  }

  /** Nobody needs the dead node: whose home it was gets another one (P5, "Takeover"). */
  async #servesWithout(dead: NodeName): Promise<void> {
    for (const shopper of this.shoppers) {
      if (shopper.user === null) continue
      const seen = await this.#finish(this.#lookUntilSeen(shopper), settleLimitMs)
      if (seen === null) this.cluster.violation(`P5: without ${dead} ${shopper.name} finds no home`)
    }
  }

  async #lookUntilSeen(shopper: Shopper): ReturnType<Shopper['look']> {
    for (let look = 1; ; look += 1) {
      const seen = await shopper.look()
      if (seen !== null || look >= completeLooks) return seen
    }
  }

  /** Beside the disks that are gone for good, this one may be missing for as long as it takes. */
  #canDoWithout(host: Host): boolean {
    const { cluster } = this
    const configs = cluster.lives().map(({ life }) => life.replica.parts.consensus.config.voters.length)
    // Of two voters, which there are for moments, none may be missing.
    if (Math.min(...configs) < 3 || breaksMajority(cluster, host)) return false
    return soleCopies(cluster, host, this.#users()).length === 0
  }

  /** Everything equal everywhere, within the bound. */
  async #settles(): Promise<boolean> {
    const { cluster } = this
    let why: string | null = 'nobody looked'
    let dueMs = 0
    const settled = await cluster.until(() => {
      if (cluster.nowMs < dueMs) return false
      dueMs = cluster.nowMs + settledLookMs
      why = unsettled(cluster) ?? undecided(cluster, this.#users()) ?? unequalCarts(cluster, this.#users())
      return why === null
    }, settleLimitMs)
    if (!settled)
      cluster.violation(`progress: not settled ${settleLimitMs} ms after everything healed: ${why}`)
    else cluster.note('everything has settled')
    return settled
  }

  #users(): UserId[] {
    return this.shoppers.flatMap(({ users }) => users)
  }

  async #checkShoppers(): Promise<void> {
    for (const shopper of this.shoppers) {
      if (shopper.user === null) continue
      const seen = await this.#finish(this.#lookUntilComplete(shopper), settleLimitMs)
      if (seen === null) {
        this.cluster.violation(`progress: ${shopper.name} can't see the cart although all is well`)
        continue
      }
      if (!seen.cart.complete)
        this.cluster.violation(`progress: the cart of ${shopper.name} stays incomplete`)
      for (const problem of shopper.settledProblems(seen.cart)) this.cluster.violation(problem)
      checkConservation(this.cluster, shopper, seen.cart.items)
    }
  }

  async #lookUntilComplete(shopper: Shopper): ReturnType<Shopper['look']> {
    for (let look = 1; ; look += 1) {
      const seen = await shopper.look()
      const isGood = seen?.cart.complete === true && shopper.settledProblems(seen.cart).length === 0
      if (isGood || look >= completeLooks) return seen
      await this.cluster.sleep(completeLookMs)
    }
  }

  /** A new shopper comes and buys: the cluster works. */
  async #lastOrder(): Promise<void> {
    const { cluster } = this
    if (!(await this.#finish(this.shop.reopen(), lastOrderLimitMs)))
      return cluster.violation('progress: the catalog can’t be changed although all is well')
    const shopper = this.#shopper('last', false)
    const order = await this.#finish(shopper.buySomething(), lastOrderLimitMs)
    if (order?.record?.status !== 'placed')
      cluster.violation(
        `progress: a new order is ${order?.record?.status ?? 'not answered'} although all is well`,
      )
  }

  /** Lets the world go on until this has its end; null when it has none in time. */
  async #finish<T>(promise: Promise<T>, limitMs: number): Promise<T | null> {
    let result: { value: T } | null = null
    void promise.then((value) => (result = { value }))
    await this.cluster.until(() => result !== null, limitMs)
    return (result as { value: T } | null)?.value ?? null
  }

  #shopper(name: string, hasAccount: boolean): Shopper {
    const { cluster, client, shop } = this
    return new Shopper({ name, cluster, client, shop, random: cluster.random.fork(name), hasAccount })
  }

  result(): WorldResult {
    const { cluster } = this
    return {
      seed: cluster.options.seed,
      violations: cluster.violations,
      events: cluster.events,
      faults: this.faults,
      tally: this.tally,
      totals: Object.fromEntries(cluster.totals()),
      seen: { ...this.watch.tally, ...cluster.tally },
      virtualMs: cluster.nowMs,
      operations: this.client.operations,
      steps: cluster.scheduler.processed,
      messages: cluster.network.delivered,
      terms: this.watch.terms,
      committed: this.watch.committedEntries,
      trace: cluster.network.trace,
      faultNames: this.nemesis.names,
    }
  }
}

/** Runs one seed to its end; never throws for what the cluster does. */
export async function runWorld(options: WorldOptions): Promise<WorldResult> {
  const world = new World(options)
  try {
    await world.run()
  } catch (error) {
    world.cluster.violation(`the simulation failed: ${error instanceof Error ? error.stack : String(error)}`)
  }
  const result = world.result()
  world.cluster.close()
  return result
}
