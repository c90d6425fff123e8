/**
 * One order, and a crash at every moment of it: `node test/sim/order-steps.ts`. The home, the primary, both, or a home that
 * is the primary is killed after the Nth event since the order was sent, and after its Nth write to a disk, for each N until
 * nothing more happens, and started again. Then the order is there exactly once (P2, P4) or not at all, it ends (P3), and
 * its entries are sold or back in the cart. Each step of the protocol (DESIGN.md section 7) must have been met by a crash
 * of each victim, or the program fails: that is what makes "every step" a fact. `--victim V --after KIND --at N` runs one again.
 */
import { parseArgs } from 'node:util'
import { CartDocument } from '../../crdt/cart.ts'
import type { OrderRecord } from '../../node/commands.ts'
import type { OrderId, Sku, UserId } from '../../node/ids.ts'
import type { OrderAnswer } from '../../node/replica-api.ts'
import { orderIdOf } from '../../node/replica/order-intents.ts'
import { Watch } from './checkers.ts'
import { Client } from './client.ts'
import { Cluster } from './cluster.ts'
import { Killed } from './disk.ts'
import type { Host, Life } from './host.ts'
import { undecided, unequalCarts, unsettled, voters } from './settled.ts'

const victims = ['home', 'primary', 'both', 'home and primary in one'] as const
type Victim = (typeof victims)[number]

/** What had happened by the time of the crash, each step implying those before it. */
const steps = [
  'nothing',
  'intent in outbox and cart at home',
  'intent on another disk',
  'in the log of the primary',
  'decided at the primary',
  'settled in the cart of the home',
  'outbox empty',
] as const
type Step = (typeof steps)[number]

const sku = 'LAMP' as Sku
const bootLimitMs = 30_000
const settleLimitMs = 60_000
/** A killed node comes back after an election's time, so that both ways of going on happen. */
const downMs = 700
/** One order is some 30 events, the heartbeats of all nodes among them. */
const crashesMax = 500
/** A step may last for less than one event of another node; each sweep has delays of its own. */
const sweepsMax = 6

type Answered = { answer: OrderAnswer | null; failed: boolean }
type Round = {
  readonly user: UserId
  readonly id: OrderId
  readonly key: string
  readonly home: Host
  readonly primary: Host
  readonly victim: Victim
  /** Their processes when the order was sent; what they wrote can be read when they are dead. */
  readonly lives: { readonly home: Life; readonly primary: Life }
}
const moments = ['event', 'write'] as const
type Moment = (typeof moments)[number]

function cartOn({ stores }: Life, user: UserId): CartDocument | null {
  const row = stores.local.cart(user)
  return row === null ? null : CartDocument.load(row.state, { clientId: 1 })
}

function isLogged({ stores: { log } }: Life, id: OrderId): boolean {
  const from = Math.max(log.snapshotIndex() + 1, log.lastIndex() - 8)
  return log.entries(from, log.lastIndex(), 1_000_000).some(({ data }) => data.includes(`"order:${id}"`))
}

class Steps {
  readonly cluster: Cluster
  readonly client: Client
  readonly seen = new Map<Victim, Set<Step>>(victims.map((victim) => [victim, new Set()]))
  rounds = 0

  constructor(seed: number) {
    this.cluster = new Cluster({ seed, nodes: 3, eligible: 3, idleAfterMs: 600_000, trace: false })
    this.cluster.observer = new Watch(this.cluster)
    this.client = new Client(this.cluster, this.cluster.random.fork('client'), {})
  }

  async open(): Promise<void> {
    const { cluster } = this
    if (!(await cluster.boot(bootLimitMs))) throw new Error('the cluster did not come up')
    const fields = {
      title: 'Lamp',
      variants: [{ sku, title: '', options: {}, price: { amount: 5, currency: 'USD' } }],
    }
    const change = { op: 'merge', handle: 'lamp', fields } as never
    const changed = this.client.anywhere((api) => api.catalog.change([change], 'steps'))
    await cluster.scheduler.settle(changed, bootLimitMs)
    await this.#settle([])
  }

  /** False when the order was over before that. */
  async round(victim: Victim, after: Moment, at: number): Promise<boolean> {
    const round = await this.#prepare(victim, `${victim} ${after} ${at}`)
    const answered: Answered = { answer: null, failed: false }
    const { disk, api } = round.lives.home
    const first = this.#victimOf(round)
    const firstDisk = first === round.home ? disk : round.lives.primary.disk
    if (after === 'write' && at > 0) firstDisk.strikeAtWrite(at, { kind: 'kill', after: true })
    api.orders.place(round.user, { key: round.key, hash: '*' }).then(
      (answer) => (answered.answer = answer),
      () => (answered.failed = true),
    )
    const isOver = (): boolean => answered.answer !== null && this.#reached(round) === 'outbox empty'
    if (after === 'event') await this.#step(at)
    else if (at > 0) await this.cluster.until(() => !first.isUp || isOver(), settleLimitMs)
    const wasOver = after === 'event' ? isOver() : first.isUp && at > 0
    firstDisk.spare()
    this.seen.get(victim)?.add(this.#reached(round))
    const killed = new Set(victim === 'both' ? [round.home, round.primary] : [first])
    for (const host of killed) host.kill()
    await this.cluster.runFor(downMs)
    for (const host of killed) host.start()
    // Every other shopper never comes back: then whoever is left must finish it, or nothing happened.
    await this.#check(round, answered, at % 2 === 0)
    return !wasOver
  }

  async #step(count: number): Promise<void> {
    for (let event = 0; event < count; event += 1) await this.cluster.scheduler.step()
  }

  #victimOf({ victim, home, primary }: Round): Host {
    return victim === 'primary' ? primary : home
  }

  #primary(): Host {
    const found = this.cluster.lives().find(({ life }) => life.replica.parts.consensus.isPrimary())
    if (found === undefined) throw new Error('there is no primary')
    return found.host
  }

  /** A shopper with one lamp in the cart, whose home is where the round needs it. */
  async #prepare(victim: Victim, key: string): Promise<Round> {
    const { cluster, client } = this
    const { scheduler } = cluster
    const primary = this.#primary()
    for (;;) {
      const made = await scheduler.settle(
        client.anywhere((api) => api.users.createGuest()),
        settleLimitMs,
      )
      if (made.outcome.kind !== 'done') throw new Error('nobody makes a guest')
      const { user, assignment } = made.outcome.value
      const home = cluster.host(assignment.home.node)
      if ((home === primary) !== (victim === 'home and primary in one')) continue
      const add = { kind: 'add', sku, quantity: 1 } as const
      await scheduler.settle(
        client.atHome(user.id, (api) => api.carts.change(user.id, add, `add ${key}`)),
        settleLimitMs,
      )
      await this.#settle([user.id])
      this.rounds += 1
      const lives = { home: home.life as Life, primary: primary.life as Life }
      return { user: user.id, id: orderIdOf(user.id, key), key, home, primary, victim, lives }
    }
  }

  /** By what is on the disks, also of the dead. */
  #reached({ user, id, home, lives }: Round): Step {
    const isOf = (intent: { id: OrderId }): boolean => intent.id === id
    const cart = cartOn(lives.home, user)
    const inOutbox = lives.home.stores.local.outboxEntry(id) !== null
    const isSettled = cart?.intents().some(isOf) === true && cart.outcomeOf(id) !== null
    const isDecided = lives.primary.stores.shop.read.order(id) !== null
    if (isDecided && isSettled) return inOutbox ? 'settled in the cart of the home' : 'outbox empty'
    if (isDecided) return 'decided at the primary'
    if (isLogged(lives.primary, id)) return 'in the log of the primary'
    const others = this.cluster.lives().filter(({ host }) => host !== home)
    if (others.some(({ life }) => cartOn(life, user)?.intents().some(isOf) === true))
      return 'intent on another disk'
    return inOutbox ? 'intent in outbox and cart at home' : 'nothing'
  }

  async #settle(users: readonly UserId[]): Promise<void> {
    let why: string | null = null
    const { cluster } = this
    let dueMs = 0
    const settled = await cluster.until(() => {
      if (cluster.nowMs < dueMs) return false
      dueMs = cluster.nowMs + 50
      why = unsettled(cluster) ?? undecided(cluster, users) ?? unequalCarts(cluster, users)
      return why === null
    }, settleLimitMs)
    if (!settled) cluster.violation(`progress: not settled: ${why}`)
  }

  async #check(round: Round, answered: Answered, comesBack: boolean): Promise<void> {
    const { cluster, client } = this
    const { user, id, key } = round
    if (comesBack) {
      const again = client.atHome(user, (api) => api.orders.place(user, { key, hash: '*' }))
      const { outcome } = await cluster.scheduler.settle(again, settleLimitMs)
      if (outcome.kind === 'done') answered.answer = this.#same(round, answered.answer, outcome.value)
      else if (outcome.kind === 'refused') cluster.violation(`P2: ${key} ended with ${outcome.fault.code}`)
    }
    await this.#settle([user])
    const kept = voters(cluster.lives()).map(({ life }) => life.stores.shop.read.order(id))
    const texts = new Set(kept.map((order) => JSON.stringify(order)))
    const order = kept[0] ?? null
    if (texts.size !== 1) cluster.violation(`P2: voters differ about ${key}: ${[...texts].join(' | ')}`)
    if (order === null && (comesBack || answered.answer !== null))
      cluster.violation(`P3: ${key} was answered ${answered.answer?.order.status}, and there is no order`)
    if (order !== null) this.#checkPlaced(round, order, answered)
    const lamps = cluster
      .lives()
      .map(({ life }) =>
        life.api.carts.localView(user)?.items.reduce((sum, { quantity }) => sum + quantity, 0),
      )
    const wanted = order === null ? 1 : 0
    if (lamps.some((count) => count !== wanted))
      cluster.violation(`P4: after ${key} the carts hold ${lamps.join(', ')} lamps, not ${wanted}`)
  }

  #same({ key }: Round, before: OrderAnswer | null, now: OrderAnswer): OrderAnswer {
    const wasDecided = before !== null && before.order.status !== 'pending'
    if (wasDecided && before.order.number !== now.order.number)
      this.cluster.violation(
        `P4: ${key} was ${before.order.number}, and is ${now.order.number} the second time`,
      )
    return now
  }

  #checkPlaced({ user, key }: Round, order: OrderRecord, { answer }: Answered): void {
    const { cluster } = this
    if (order.status !== 'placed' || order.total !== 5)
      cluster.violation(`P2: ${key} is ${order.status} ${order.reason ?? ''} of ${order.total}`)
    if (answer !== null && answer.order.number !== null && answer.order.number !== order.number)
      cluster.violation(`P2: ${key} was answered ${answer.order.number}, and is ${order.number}`)
    const { life } = voters(cluster.lives())[0] as { life: Life }
    const all = life.stores.shop.orders({ user, limit: 10 }).items
    if (all.length !== 1) cluster.violation(`P4: ${user} has ${all.length} orders`)
  }
}

const unhandled: unknown[] = []
process.on('unhandledRejection', (error) => {
  if (!(error instanceof Killed)) unhandled.push(error)
})

async function sweep(run: Steps, victim: Victim, after: Moment, only: number | null): Promise<number> {
  for (let at = only ?? 0; at < crashesMax; at += 1) {
    const goesOn = await run.round(victim, after, at)
    for (const violation of [...run.cluster.violations.splice(0), ...unhandled.splice(0).map(String)]) {
      console.log(`${victim}, after ${after} ${at} FAILED: ${violation}`)
      const again = `--seed ${run.cluster.options.seed} --victim '${victim}' --after ${after} --at ${at}`
      console.log(`  again: node test/sim/order-steps.ts ${again}`)
      process.exitCode = 1
    }
    if (!goesOn || only !== null) return at
  }
  throw new Error('an order does not end')
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const
  const options = { seed: { ...text, default: '1' }, victim: text, after: text, at: text }
  const { values } = parseArgs({ options })
  const only = values.at === undefined ? null : Number(values.at)
  const startedMs = performance.now()
  let rounds = 0
  for (const victim of victims) {
    if (values.victim !== undefined && values.victim !== victim) continue
    // A cluster of its own, so that what is met does not depend on whoever was killed before, and one victim runs again alone.
    const run = new Steps(Number(values.seed))
    await run.open()
    const counts: string[] = []
    const missing = (): Step[] => steps.filter((step) => run.seen.get(victim)?.has(step) !== true)
    for (
      let sweeps = 1;
      sweeps === 1 || (only === null && missing().length > 0 && sweeps <= sweepsMax);
      sweeps += 1
    )
      for (const after of moments) {
        if (values.after !== undefined && values.after !== after) continue
        counts.push(`${await sweep(run, victim, after, only)} ${after}s`)
      }
    const missed = missing()
    console.log(
      `${victim}: killed after each of ${counts.join(' and ')}; missed: ${missed.join(', ') || 'nothing'}`,
    )
    if (missed.length > 0 && only === null && values.after === undefined) process.exitCode = 1
    rounds += run.rounds
    run.cluster.close()
  }
  console.log(`${rounds} orders in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`)
}

await main()
process.exit()
