/**
 * One seeded run of a small cluster of bare cores: faults of every kind for a while, then healing, then a
 * demand for progress. Everything that happens follows from the seed.
 */
import { appendBytesMax } from '../../node/core/raft/replication.ts'
import type { RaftConfig, RaftInput } from '../../node/core/raft/types.ts'
import type { MemberId } from '../../node/ids.ts'
import {
  memberId,
  RaftCluster,
  type BrokenDriver,
  type ClusterNode,
  type ClusterOptions,
  type Envelope,
} from './raft-cluster.ts'
import { RaftViolation } from './raft-checks.ts'

/** Mulberry32: small, fast and good enough to draw faults with. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const tickMs = 50
const filler = ' '.repeat(appendBytesMax)
const hurtMs = 30_000
const healMs = 20_000
type Timing = NonNullable<ClusterOptions['timing']>
const usual: Timing = { heartbeatTicks: 2, electionTicksMin: 10, electionTicksMax: 20, leaseMs: 400 }
/** Timeouts near the network's delays and close together: many candidates at once. */
const contended: Timing = { heartbeatTicks: 1, electionTicksMin: 3, electionTicksMax: 4, leaseMs: 90 }

export type SimulationOptions = {
  readonly brokenDriver?: BrokenDriver
  readonly trace?: (line: string) => void
}

const faults = ['crash', 'cut', 'one-way', 'heal', 'heal', 'pause', 'primary', 'link'] as const
/** New primaries one after the other, each with entries that nobody else has (Raft, Figures 7 and 8). */
const moving = ['primary', 'primary', 'cut', 'heal', 'crash'] as const

class Simulation {
  readonly #random: () => number
  readonly #cluster: RaftCluster
  readonly #events = new Map<number, (() => void)[]>()
  readonly #cut = new Set<string>()
  readonly #pausedUntilMs = new Map<MemberId, number>()
  readonly #inboxes = new Map<MemberId, RaftInput[]>()
  readonly #trace: (line: string) => void
  /** Runs without restarts, hand-overs and reports of gone primaries also check that leases exclude each other. */
  readonly #isCalm: boolean
  #isHurting = true
  /** Many elections at once, and crashes so quick that a member comes back in the midst of one. */
  readonly #isHectic: boolean
  /** Changes of the configuration, and primaries cut off in the midst of them. */
  readonly #isShuffling: boolean
  #lossRate: number
  #crashRate: number

  constructor(seed: number, options: SimulationOptions) {
    this.#random = randomFrom(seed)
    this.#trace = options.trace ?? (() => {})
    this.#isCalm = seed % 4 === 0
    this.#lossRate = this.#random() < 0.5 ? 0.02 : 0.2
    this.#isHectic = seed % 4 === 1
    this.#isShuffling = seed % 4 === 3
    this.#crashRate = this.#isCalm ? 0 : this.#isHectic ? 0.02 : this.#pick([0.0005, 0.003])
    const names = ['n1', 'n2', 'n3', 'n4', 'n5']
    const voters = names.slice(0, this.#pick(this.#isCalm ? [1, 3, 3, 5] : [1, 3, 3, 4, 5])).map(memberId)
    this.#cluster = new RaftCluster({
      ids: names,
      config: { voters, learners: [] },
      random: this.#random,
      timing: this.#isHectic ? contended : usual,
      ...(options.brokenDriver === undefined ? {} : { brokenDriver: options.brokenDriver }),
    })
    this.#cluster.onSend = (envelope) => this.#send(envelope)
    this.#cluster.onEffects = (node, effects) => {
      for (const to of effects.snapshotsWanted) this.#sendSnapshot(node, to)
    }
    this.#cluster.crashesAt = (node, moment) => {
      if (!this.#isHurting || this.#random() >= this.#crashRate) return false
      this.#trace(`${this.#now} ${node.id} crashes when ${moment}`)
      this.#crashed(node)
      return true
    }
  }

  get #now(): number {
    return this.#cluster.nowMs
  }

  #pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.#random() * items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  #at(inMs: number, action: () => void): void {
    const atMs = this.#now + Math.max(1, Math.floor(inMs))
    const actions = this.#events.get(atMs)
    if (actions === undefined) this.#events.set(atMs, [action])
    else actions.push(action)
  }

  #every(periodMs: () => number, action: () => void): void {
    this.#at(periodMs(), () => {
      action()
      this.#every(periodMs, action)
    })
  }

  #runUntil(endMs: number, isDone: () => boolean): boolean {
    while (this.#now < endMs) {
      this.#cluster.nowMs += 1
      const actions = this.#events.get(this.#now) ?? []
      this.#events.delete(this.#now)
      for (const action of actions) action()
      if (actions.length > 0 && this.#isCalm) this.#cluster.checks.leases(this.#cluster.nodes, this.#now)
      if (isDone()) return true
    }
    return false
  }

  // ---- the network ----

  #send(envelope: Envelope): void {
    const copies = this.#random() < this.#lossRate ? 0 : this.#random() < this.#lossRate / 2 ? 2 : 1
    for (let copy = 0; copy < copies; copy += 1) {
      const isSlow = this.#isHurting && this.#random() < (this.#isShuffling ? 0.08 : 0.02)
      const delayMs = isSlow ? 3000 : this.#isHectic && this.#isHurting ? 60 : 8
      this.#at(1 + this.#random() * delayMs, () => this.#deliver(envelope))
    }
  }

  #deliver({ from, to, message }: Envelope): void {
    const node = this.#cluster.nodes.get(to)
    if (node === undefined || this.#cut.has(`${from}>${to}`)) return
    this.#trace(`${this.#now} ${from} > ${to} ${JSON.stringify(message).replaceAll(filler, '…')}`)
    this.#input(node, { kind: 'message', from, message })
  }

  /** A paused member gets what arrived meanwhile first, and then at most one tick (DESIGN.md section 3). */
  #input(node: ClusterNode, input: RaftInput): void {
    if (node.raft === null) return
    if ((this.#pausedUntilMs.get(node.id) ?? 0) > this.#now) {
      const inbox = this.#inboxes.get(node.id) ?? []
      if (input.kind !== 'tick') inbox.push(input)
      this.#inboxes.set(node.id, inbox)
      return
    }
    const inbox = this.#inboxes.get(node.id) ?? []
    this.#inboxes.delete(node.id)
    this.#cluster.turn(node, [...inbox, input])
  }

  #sendSnapshot(from: ClusterNode, to: MemberId): void {
    const { log } = from.disk
    const [index, term, config] = [log.snapshotIndex(), log.snapshotTerm(), log.snapshotConfig()]
    const isLost = this.#random() < this.#lossRate
    const sender = from.raft
    this.#at(5 + this.#random() * 200, () => {
      const target = this.#cluster.nodes.get(to)
      const arrives =
        !isLost && target !== undefined && target.raft !== null && !this.#cut.has(`${from.id}>${to}`)
      if (arrives) {
        this.#trace(`${this.#now} ${to} gets snapshot ${index} from ${from.id}`)
        this.#cluster.checks.count('snapshots installed')
        this.#cluster.installSnapshot(target, index, term, config)
      }
      if (from.raft === sender) this.#input(from, { kind: 'snapshot-sent', to, ok: arrives, index })
    })
  }

  // ---- faults ----

  #crashed(node: ClusterNode): void {
    this.#cluster.checks.count('crashes')
    this.#inboxes.delete(node.id)
    this.#at(1 + this.#random() * (this.#isHectic ? 30 : 3000), () => {
      if (node.raft === null) this.#cluster.start(node)
    })
    if (this.#isHectic || this.#random() < 0.5) return
    for (const other of this.#cluster.nodes.values()) {
      this.#at(1 + this.#random() * 15, () => this.#input(other, { kind: 'peer-gone', member: node.id }))
    }
  }

  #fault(): void {
    const { checks, nodes } = this.#cluster
    const node = this.#pick([...nodes.values()])
    const kind = this.#pick(this.#isShuffling ? moving : faults)
    if (kind === 'crash' && !this.#isCalm) this.#kill(node)
    if (kind === 'primary') this.#isolate(this.#cluster.primary() ?? node)
    if (kind === 'cut') this.#isolate(node)
    if (kind === 'heal') this.#cut.clear()
    if (kind === 'one-way') this.#cut.add(`${node.id}>${this.#pick([...nodes.keys()])}`)
    if (kind === 'pause') this.#pausedUntilMs.set(node.id, this.#now + this.#random() * 2000)
    if (kind === 'link') {
      const isUp = this.#random() < 0.5
      const member = this.#pick([...nodes.keys()])
      this.#input(node, { kind: isUp ? 'peer-connected' : 'peer-disconnected', member })
    }
    this.#trace(`${this.#now} fault ${kind} ${node.id}`)
    checks.count(`fault ${kind}`)
  }

  #kill(node: ClusterNode): void {
    if (node.raft === null) return
    this.#cluster.crash(node)
    this.#crashed(node)
  }

  /** A random group, with `node` in it, is cut off from the others. */
  #isolate(node: ClusterNode): void {
    this.#cut.clear()
    const group = [...this.#cluster.nodes.keys()].filter((id) => id === node.id || this.#random() < 0.3)
    for (const id of this.#cluster.nodes.keys()) {
      for (const inside of group) {
        if (group.includes(id)) continue
        this.#cut.add(`${inside}>${id}`)
        this.#cut.add(`${id}>${inside}`)
      }
    }
  }

  // ---- work ----

  #work(): void {
    const node = this.#pick([...this.#cluster.nodes.values()].filter(({ raft }) => raft?.role === 'primary'))
    const kind = this.#random()
    const ref = this.#cluster.ref()
    if (this.#isShuffling && kind < 0.4) this.#changeConfig(node, ref)
    else if (kind < 0.6) this.#propose(node, ref)
    else if (kind < 0.8) this.#read(node, ref)
    else if (kind < 0.88) this.#changeConfig(node, ref)
    else if (kind < 0.92 && !this.#isCalm) this.#transfer(node, ref)
    else this.#compact()
  }

  /** Now and then one that fills an append, so that what comes after it travels alone (Raft, Figure 8). */
  #propose(node: ClusterNode, ref: number): void {
    const isBig = !this.#isCalm && this.#random() < 0.15
    this.#input(node, { kind: 'propose', ref, data: `"${ref}${isBig ? filler : ''}"` })
  }

  #read(node: ClusterNode, ref: number): void {
    this.#cluster.checks.readBegins(ref)
    this.#input(node, { kind: 'read', ref })
  }

  #transfer(node: ClusterNode, ref: number): void {
    const to = this.#random() < 0.5 ? null : this.#pick([...this.#cluster.nodes.keys()])
    this.#cluster.checks.count('transfers')
    this.#input(node, { kind: 'transfer', ref, to })
  }

  #compact(): void {
    const node = this.#pick([...this.#cluster.nodes.values()])
    this.#cluster.compact(node, node.disk.applied - Math.floor(this.#random() * 20))
  }

  #changeConfig(node: ClusterNode, ref: number): void {
    const config = node.raft?.config ?? { voters: [], learners: [] }
    const member = this.#pick([...this.#cluster.nodes.keys()])
    const without = (ids: readonly MemberId[]): MemberId[] => ids.filter((id) => id !== member)
    const { voters, learners } = config
    let next: RaftConfig
    if (learners.includes(member)) next = { voters: [...voters, member], learners: without(learners) }
    else if (!voters.includes(member)) next = { voters, learners: [...learners, member] }
    else next = { voters: without(voters), learners: this.#random() < 0.3 ? [...learners, member] : learners }
    const isShrinking = next.voters.length < voters.length
    if (isShrinking && (this.#isShuffling ? voters.length <= 3 : this.#random() < 0.6)) return
    this.#cluster.checks.count('configuration changes asked for')
    this.#input(node, { kind: 'change-config', ref, config: next })
  }

  // ---- the run ----

  run(): ReadonlyMap<string, number> {
    for (const node of this.#cluster.nodes.values()) {
      this.#cluster.start(node)
      this.#at(this.#random() * tickMs, () =>
        this.#every(
          () => tickMs,
          () => this.#input(node, { kind: 'tick' }),
        ),
      )
    }
    this.#every(
      () => 5 + this.#random() * 60,
      () => {
        if (this.#cluster.primary() !== null) this.#work()
      },
    )
    this.#every(
      () => 100 + this.#random() * (this.#isShuffling ? 500 : 1000),
      () => {
        if (this.#isHurting) this.#fault()
      },
    )
    this.#runUntil(hurtMs, () => false)
    this.#heal()
    return this.#cluster.checks.counts
  }

  /** With everything up and connected there must be a primary, and a new command on every voter's disk. */
  #heal(): void {
    this.#isHurting = false
    this.#lossRate = 0
    this.#cut.clear()
    this.#pausedUntilMs.clear()
    for (const node of this.#cluster.nodes.values()) if (node.raft === null) this.#cluster.start(node)
    const floor = this.#cluster.checks.committedMax
    this.#trace(`${this.#now} healed`)
    const isDone = (): boolean => {
      const raft = this.#cluster.primary()?.raft
      if (raft === undefined || raft === null || !raft.hasCommittedInTerm) return false
      return raft.config.voters.every((id) => (this.#cluster.nodes.get(id)?.disk.applied ?? 0) > floor + 20)
    }
    if (this.#runUntil(hurtMs + healMs, isDone)) return
    const states = [...this.#cluster.nodes.values()].map(({ id, raft, disk }) => {
      const where = `${raft?.role} t${raft?.term} last ${raft?.lastIndex} commit ${raft?.commitIndex} applied ${disk.applied}`
      return `${id}: ${where} ${JSON.stringify(raft?.config)}`
    })
    throw new RaftViolation(`no progress after healing (from ${floor}):\n${states.join('\n')}`)
  }
}

/** Runs one seed; throws what went wrong, with the seed and how to see it again. */
export function simulate(seed: number, options: SimulationOptions = {}): ReadonlyMap<string, number> {
  try {
    return new Simulation(seed, options).run()
  } catch (error) {
    const why = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    const replay = `RAFT_SEED=${seed} npm run vitest -- test/property/raft-simulation.test.ts -t seeds`
    throw new Error(`seed ${seed}: ${why}\nreplay: ${replay}`, { cause: error })
  }
}
