/**
 * A cluster of bare consensus cores in one process: fake disks that survive a crash, a network that the
 * test controls, and the checks of Raft's Figure 3 after every step. Time is virtual.
 */
import { decodeConfig, emptyConfig } from '../../node/core/raft/config.ts'
import { Raft } from '../../node/core/raft/raft.ts'
import type {
  HardState,
  LogEntry,
  LogReader,
  RaftConfig,
  RaftEffects,
  RaftInput,
  RaftMessage,
  RaftOptions,
} from '../../node/core/raft/types.ts'
import type { LogIndex, MemberId, Term } from '../../node/ids.ts'
import { RaftChecks } from './raft-checks.ts'

/** What a member's `log.db` holds. */
export class MemoryLog implements LogReader {
  #entries: LogEntry[] = []
  #base: { index: LogIndex; term: Term; config: RaftConfig }

  constructor(config: RaftConfig = emptyConfig) {
    this.#base = { index: 0, term: 0, config }
  }

  snapshotIndex(): LogIndex {
    return this.#base.index
  }

  snapshotTerm(): Term {
    return this.#base.term
  }

  snapshotConfig(): RaftConfig {
    return this.#base.config
  }

  lastIndex(): LogIndex {
    return this.#base.index + this.#entries.length
  }

  termAt(index: LogIndex): Term | undefined {
    if (index === this.#base.index) return this.#base.term
    return this.#entries[index - this.#base.index - 1]?.term
  }

  entries(from: LogIndex, through: LogIndex, sizeBytesMax: number): readonly LogEntry[] {
    const found: LogEntry[] = []
    if (from <= this.#base.index) return found
    let sizeBytes = 0
    for (const entry of this.#entries.slice(from - this.#base.index - 1, through - this.#base.index)) {
      sizeBytes += entry.data.length
      if (found.length > 0 && sizeBytes > sizeBytesMax) break
      found.push(entry)
    }
    return found
  }

  truncateFrom(index: LogIndex): void {
    this.#entries.length = Math.max(0, Math.min(this.#entries.length, index - this.#base.index - 1))
  }

  append(entry: LogEntry): void {
    if (entry.index !== this.lastIndex() + 1)
      throw new Error(`gap on disk: ${entry.index} after ${this.lastIndex()}`)
    this.#entries.push(entry)
  }

  configAt(index: LogIndex): RaftConfig {
    let config = this.#base.config
    for (const entry of this.#entries) {
      if (entry.kind === 'config' && entry.index <= index) config = decodeConfig(entry.data) ?? config
    }
    return config
  }

  /** Drops the entries through `index`, which a snapshot covers. */
  compact(index: LogIndex): void {
    if (index <= this.#base.index) return
    const base = { index, term: this.termAt(index) ?? 0, config: this.configAt(index) }
    this.#entries = this.#entries.slice(index - this.#base.index)
    this.#base = base
  }

  install(index: LogIndex, term: Term, config: RaftConfig): void {
    this.#entries = []
    this.#base = { index, term, config }
  }
}

export type Disk = { hardState: HardState; readonly log: MemoryLog; applied: LogIndex }
export type Envelope = { from: MemberId; to: MemberId; message: RaftMessage }
export type ClusterNode = { readonly id: MemberId; readonly disk: Disk; raft: Raft | null }

/** Where a crash may come in the driver's turn. */
export type Moment = 'stepped' | 'persisted' | 'sending' | 'sent' | 'applied'

/** Ways in which a test breaks the driver, to see that the checks notice. */
export type BrokenDriver = 'vote-not-persisted' | 'sent-before-persisted'

export type ClusterOptions = {
  readonly ids: readonly string[]
  /** Default: all of `ids` are voters. */
  readonly config?: RaftConfig
  readonly random?: () => number
  readonly timing?: Partial<
    Pick<RaftOptions, 'heartbeatTicks' | 'electionTicksMin' | 'electionTicksMax' | 'leaseMs'>
  >
  readonly brokenDriver?: BrokenDriver
}

export function memberId(name: string): MemberId {
  return name as MemberId
}

export class RaftCluster {
  readonly nodes = new Map<MemberId, ClusterNode>()
  readonly checks = new RaftChecks()
  readonly #options: ClusterOptions
  nowMs = 0
  /** Takes each message that a member sends; replaced by the test. */
  onSend: (envelope: Envelope) => void = () => {}
  onEffects: (node: ClusterNode, effects: RaftEffects) => void = () => {}
  /** True: the member crashes at this moment of its turn. */
  crashesAt: (node: ClusterNode, moment: Moment) => boolean = () => false
  #nextRef = 1

  constructor(options: ClusterOptions) {
    this.#options = options
    const config = options.config ?? { voters: options.ids.map(memberId), learners: [] }
    for (const name of options.ids) this.addNode(name, config)
  }

  /** A new member with an empty disk. One outside the configuration starts with none, as a joiner does. */
  addNode(name: string, config: RaftConfig): ClusterNode {
    const id = memberId(name)
    const log = new MemoryLog(config.voters.includes(id) ? config : emptyConfig)
    const node: ClusterNode = {
      id,
      disk: { hardState: { term: 0, vote: null }, log, applied: 0 },
      raft: null,
    }
    this.nodes.set(id, node)
    return node
  }

  node(name: string): ClusterNode {
    const node = this.nodes.get(memberId(name))
    if (node === undefined) throw new Error(`no node ${name}`)
    return node
  }

  raft(name: string): Raft {
    const { raft } = this.node(name)
    if (raft === null) throw new Error(`${name} is down`)
    return raft
  }

  start(node: ClusterNode): void {
    const { hardState, log, applied } = node.disk
    node.raft = new Raft({
      self: node.id,
      heartbeatTicks: 2,
      electionTicksMin: 10,
      electionTicksMax: 20,
      leaseMs: 400,
      ...this.#options.timing,
      random: this.#options.random ?? (() => 0),
      log,
      hardState,
      committedIndex: Math.max(applied, log.snapshotIndex()),
    })
    this.checks.started(node)
  }

  startAll(): void {
    for (const node of this.nodes.values()) this.start(node)
  }

  crash(node: ClusterNode): void {
    node.raft = null
  }

  ref(): number {
    return this.#nextRef++
  }

  /** One turn of a driver, and the one with `persisted` that follows from it. */
  turn(node: ClusterNode, inputs: readonly RaftInput[]): void {
    let next: readonly RaftInput[] = inputs
    while (next.length > 0 && node.raft !== null) {
      const effects: RaftEffects = node.raft.step(next, this.nowMs)
      this.checks.stepped(node, effects)
      next = this.#perform(node, effects) ? [...ownPersisted(effects)] : []
    }
  }

  /** False when the member crashed on the way. */
  #perform(node: ClusterNode, effects: RaftEffects): boolean {
    if (this.#crash(node, 'stepped')) return false
    const sendsFirst = this.#options.brokenDriver === 'sent-before-persisted'
    if (sendsFirst && (!this.#send(node, effects) || this.#crash(node, 'sent'))) return false
    this.#persist(node.disk, effects)
    if (this.#crash(node, 'persisted')) return false
    if (!sendsFirst && !this.#send(node, effects)) return false
    if (this.#crash(node, 'sent')) return false
    node.disk.applied = Math.max(node.disk.applied, effects.commitIndex)
    this.checks.applied(node, effects, this.nodes)
    if (this.#crash(node, 'applied')) return false
    this.onEffects(node, effects)
    return true
  }

  #crash(node: ClusterNode, moment: Moment): boolean {
    if (!this.crashesAt(node, moment)) return false
    this.crash(node)
    return true
  }

  #send(node: ClusterNode, effects: RaftEffects): boolean {
    for (const { to, message } of effects.messages) {
      if (this.#crash(node, 'sending')) return false
      this.checks.sent(node, to, message)
      this.onSend({ from: node.id, to, message })
    }
    return true
  }

  #persist(disk: Disk, effects: RaftEffects): void {
    if (effects.hardState !== null) {
      const forgets = this.#options.brokenDriver === 'vote-not-persisted'
      disk.hardState = forgets ? { term: effects.hardState.term, vote: null } : effects.hardState
    }
    if (effects.truncateFrom !== null) disk.log.truncateFrom(effects.truncateFrom)
    for (const entry of effects.append) disk.log.append(entry)
  }

  /** What a snapshot of `node` made now would say, and its log shortened accordingly. */
  compact(node: ClusterNode, index: LogIndex): void {
    node.disk.log.compact(Math.min(index, node.disk.applied))
  }

  /** The receiving driver: checks, installs all or nothing, tells the core. */
  installSnapshot(node: ClusterNode, index: LogIndex, term: Term, config: RaftConfig): void {
    if (node.raft === null || !node.raft.wantsSnapshot(index, term)) return
    node.disk.log.install(index, term, config)
    node.disk.applied = index
    this.turn(node, [{ kind: 'snapshot-installed', index, term, config }])
  }

  /** The running member with the highest term that calls itself primary. */
  primary(): ClusterNode | null {
    let best: ClusterNode | null = null
    for (const node of this.nodes.values()) {
      if (node.raft?.role !== 'primary') continue
      if (best === null || node.raft.term > (best.raft?.term ?? 0)) best = node
    }
    return best
  }
}

function ownPersisted(effects: RaftEffects): RaftInput[] {
  const last = effects.append.at(-1)
  return last === undefined ? [] : [{ kind: 'persisted', index: last.index, term: last.term }]
}

/** A log given by the terms of its entries, as the paper's figures draw it. */
export function logOfTerms(terms: readonly Term[]): LogEntry[] {
  return terms.map((term, place) => ({
    index: place + 1,
    term,
    kind: 'command',
    data: `"${place + 1}@${term}"`,
  }))
}
