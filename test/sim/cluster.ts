/** A whole cluster in one process: N machines over one simulated network in virtual time (DESIGN.md section 10). */
import type { NodeName, UserId } from '../../node/ids.ts'
import type { SessionRow } from '../../node/ports.ts'
import { productionBounds } from '../../node/replica/context.ts'
import type { Bounds, Settings } from '../../node/replica/context.ts'
import { counterHelp } from '../../node/replica/counters.ts'
import type { CounterName } from '../../node/replica/counters.ts'
import type { Tally } from './client.ts'
import type { LogWrite } from './disk.ts'
import { Host } from './host.ts'
import type { HostEvents, Life } from './host.ts'
import { SimNetwork } from './network.ts'
import { seededRandom } from './random.ts'
import type { SeededRandom } from './random.ts'
import { Scheduler } from './scheduler.ts'

/** As production's defaults (LIMITS.md). */
const times = {
  cartSyncIntervalMs: 2_000,
  orderWaitMs: 3_000,
  heartbeatMs: 100,
  electionTimeoutMinMs: 500,
  electionTimeoutMaxMs: 1_000,
}

/** Between two looks at whether all have joined. */
const bootLookMs = 50

export type Observer = {
  /** After every event of the simulation: cheap checks only. */
  look(): void
  started(host: Host, life: Life): void
  wiped?(host: Host): void
  logWritten(host: Host, write: LogWrite): void
  logReset(host: Host, index: number): void
  logCut?(host: Host): void
  shopWritten?(host: Host): void
  snapshotInstalled?(host: Host, kind: 'full' | 'catalog'): void
}

export type ClusterOptions = {
  seed: number
  nodes: number
  /** Nodes from this number on are not eligible. */
  eligible: number
  idleAfterMs: number
  /** By default production's, and a steady clock. */
  replaceVoterAfterMs?: number
  bounds?: Bounds
  catalogVersionsMax?: number
  drift?: number
  trace: boolean
  endsAtViolation?: boolean
}

export class Cluster {
  readonly options: ClusterOptions
  readonly scheduler = new Scheduler()
  readonly random: SeededRandom
  readonly network: SimNetwork
  readonly hosts: Host[] = []
  readonly violations: string[] = []
  readonly events: string[] = []
  /** Of the machines themselves. */
  readonly tally: Tally = {}
  /** When the first disk held a home record: `user epoch home` → virtual milliseconds. */
  readonly #recordsBegan = new Map<string, number>()
  readonly #totals = new Map<CounterName, number>()
  observer: Observer | null = null

  constructor(options: ClusterOptions) {
    this.options = options
    this.random = seededRandom(options.seed)
    this.network = new SimNetwork(this.scheduler, this.random.fork('network'))
    for (let number = 1; number <= options.nodes; number += 1) this.hosts.push(this.#host(number))
  }

  get nowMs(): number {
    return this.scheduler.nowMs
  }

  /** A line for the trace: what happened, in the order in which it did. */
  note(text: string): void {
    if (this.options.trace) this.events.push(`${(this.nowMs / 1_000).toFixed(3)} ${text}`)
  }

  /** A promise was broken. The run goes to its end nevertheless, for the rest of the picture, unless that is not wanted. */
  violation(text: string): void {
    this.note(`VIOLATION ${text}`)
    if (this.violations.length < 20) this.violations.push(`at ${(this.nowMs / 1_000).toFixed(3)} s: ${text}`)
    if (this.options.endsAtViolation === true) this.scheduler.fail(new Error('a promise was broken'))
  }

  host(name: NodeName): Host {
    const found = this.hosts.find((host) => host.name === name)
    if (found === undefined) throw new Error(`no node is named ${name}`)
    return found
  }

  /** The machines that belong to the cluster, or will. */
  get inService(): Host[] {
    return this.hosts.filter(({ isRetired }) => !isRetired)
  }

  count(what: string): void {
    this.tally[what] = (this.tally[what] ?? 0) + 1
  }

  lives(): { host: Host; life: Life }[] {
    return this.hosts.flatMap((host) => (host.life === null ? [] : [{ host, life: host.life }]))
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.scheduler.after(delayMs, resolve))
  }

  /** Runs until the condition holds, looking at every event. */
  async until(condition: () => boolean, limitMs: number): Promise<boolean> {
    return await this.scheduler.runUntil(() => {
      this.observer?.look()
      return condition()
    }, limitMs)
  }

  async runFor(durationMs: number): Promise<void> {
    const untilMs = this.nowMs + durationMs
    await this.until(() => this.nowMs >= untilMs, durationMs)
  }

  /** First moment at which a disk held this record of a home; null when none did. */
  recordBeganMs(user: UserId, epoch: number, home: NodeName): number | null {
    return this.#recordsBegan.get(`${user} ${epoch} ${home}`) ?? null
  }

  /** Begins with the first node and lets the others join; true when all are members and there is a primary. */
  async boot(limitMs: number): Promise<boolean> {
    for (const host of this.hosts) host.start()
    let dueMs = 0
    return await this.until(() => {
      if (this.nowMs < dueMs) return false
      dueMs = this.nowMs + bootLookMs
      const lives = this.lives()
      return lives.every(({ life }) => {
        const view = life.api.cluster.view()
        return view.members.length === this.hosts.length && view.primary !== null
      })
    }, limitMs)
  }

  /** A new machine, which joins through any of those that are there. */
  addHost(): Host {
    const host = this.#host(this.hosts.length + 1)
    host.settings = { ...host.settings, eligible: true, join: this.addressesBut(host) }
    this.hosts.push(host)
    return host
  }

  addressesBut(host: Host): string[] {
    return this.inService.filter((other) => other !== host).map(({ settings }) => settings.p2p)
  }

  /** What happened so far, over all lives of all nodes. */
  totals(): Map<CounterName, number> {
    const sums = new Map(this.#totals)
    for (const { life } of this.lives()) addCounters(sums, life)
    return sums
  }

  close(): void {
    for (const host of this.hosts) host.close()
  }

  #host(number: number): Host {
    const { nodes, eligible, idleAfterMs, replaceVoterAfterMs = 20_000 } = this.options
    const { bounds = productionBounds, catalogVersionsMax = 2_000, drift = 0.03 } = this.options
    const name = `n${number}`
    const others = Array.from({ length: Math.min(3, nodes) }, (_, index) => `10.0.0.${index + 1}:7000`)
    const p2p = `10.0.0.${number}:7000`
    const settings: Settings = {
      node: name as NodeName,
      publicUrl: `http://${name}.test`,
      p2p,
      eligible: number <= eligible,
      capacity: 1,
      init: number === 1,
      join: number === 1 ? [] : others.filter((address) => address !== p2p),
      currency: 'USD',
      serverSetSize: 3,
      cartAcks: 2,
      idleAfterMs,
      guestCartDays: 30,
      replaceVoterAfterMs,
      ...times,
    }
    const host: Host = new Host({
      name,
      settings,
      bounds,
      catalogVersionsMax,
      drift,
      network: this.network,
      random: this.random.fork(name),
      events: this.#events(() => host),
    })
    return host
  }

  #events(host: () => Host): HostEvents {
    return {
      failed: (error) => {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
        this.violation(`P9: ${host().name} failed: ${text}`)
        host().kill()
      },
      started: (life) => {
        life.onEnd(() => addCounters(this.#totals, life))
        this.observer?.started(host(), life)
      },
      logWritten: (write) => this.observer?.logWritten(host(), write),
      logReset: (index) => this.observer?.logReset(host(), index),
      logCut: () => this.observer?.logCut?.(host()),
      shopWritten: () => this.observer?.shopWritten?.(host()),
      snapshotInstalled: (kind) => this.observer?.snapshotInstalled?.(host(), kind),
      sessionWritten: (row) => this.#sessionWritten(row),
      refused: () => this.count('writes refused for want of space'),
      diskFailed: () => this.count('nodes ended by a failed disk'),
      wiped: () => this.observer?.wiped?.(host()),
      logged: (level, data, message) => {
        if (this.options.trace && level !== 'debug')
          this.note(`${host().name} ${level}: ${message} ${describe(data)}`)
        if (level !== 'error') return
        // An error in the log of a node is a bug, or something that an operator must see; neither belongs here.
        const text = `${message} ${describe(data)}`
        if (!isExpected(host(), text)) this.violation(`P9: ${host().name} logged: ${text}`)
      },
    }
  }

  #sessionWritten({ user, record }: SessionRow): void {
    const home = this.hosts.find(({ ids }) => ids.includes(record.home))?.name
    const name = `${user} ${record.epoch} ${home}`
    if (!this.#recordsBegan.has(name)) this.#recordsBegan.set(name, this.nowMs)
  }
}

/** What an operator must see, and is told because the simulation did it. */
function isExpected(host: Host, text: string): boolean {
  if (/the disk (of this node )?is full/.test(text)) return host.life?.disk.wasFull === true
  return host.isRemoved && text.startsWith('this node was removed from the cluster')
}

function addCounters(sums: Map<CounterName, number>, life: Life): void {
  for (const name of Object.keys(counterHelp) as CounterName[])
    sums.set(name, (sums.get(name) ?? 0) + life.replica.parts.counters.value(name))
}

function describe(data: object): string {
  return JSON.stringify(data, (_key, value: unknown) =>
    value instanceof Error ? (value.stack ?? value.message) : value,
  )
}
