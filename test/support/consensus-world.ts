/** The driver of the consensus core on a few nodes: real stores in memory whose disks can fill or fail, virtual time. */
import { commandVersion } from '../../node/commands.ts'
import { Fault, StoreFailure } from '../../node/faults.ts'
import type { LogEntry, RaftMessage } from '../../node/core/raft/types.ts'
import type { CommandId, MemberId } from '../../node/ids.ts'
import type { Logger, LogStore, Stores, Transport } from '../../node/ports.ts'
import { Consensus } from '../../node/replica/consensus.ts'
import { productionBounds } from '../../node/replica/context.ts'
import type { Settings } from '../../node/replica/context.ts'
import { Counters } from '../../node/replica/counters.ts'
import { openStores } from '../../node/store/index.ts'
import { seededRandom } from '../sim/random.ts'
import type { SeededRandom } from '../sim/random.ts'
import { Scheduler, SimClock } from '../sim/scheduler.ts'
import { options, replace, setCluster } from './store-world.ts'

const delayMs = 1
const settings = {
  heartbeatMs: 100,
  electionTimeoutMinMs: 500,
  electionTimeoutMaxMs: 1_000,
} as Settings
const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** `full`: writes find no space. `failing`: the next write meets an I/O error. */
export type DiskState = 'fine' | 'full' | 'failing'

const writes = new Set(['persist', 'compact', 'resetTo', 'setPeerStarts', 'transaction', 'setFeed'])

export class ConsensusNode {
  readonly id: MemberId
  readonly consensus: Consensus
  readonly stores: Stores
  readonly counters = new Counters()
  readonly clock: SimClock
  log: DiskState = 'fine'
  shop: DiskState = 'fine'
  isCut = false
  failure: unknown = null
  /** Writes to log.db that were refused so far. */
  refusals = 0
  readonly sent: { to: MemberId; message: RaftMessage }[] = []
  readonly #world: ConsensusWorld

  constructor(world: ConsensusWorld, id: MemberId, voters: readonly MemberId[]) {
    this.#world = world
    this.id = id
    this.clock = new SimClock(world.scheduler)
    const opened = openStores({ memory: {} }, options())
    setCluster(opened)
    opened.log.resetTo(0, 0, { voters: [...voters], learners: [] })
    opened.shop.setFeed('log')
    this.stores = {
      log: this.#guard(opened.log, () => this.log),
      shop: this.#guard(opened.shop, () => this.shop),
      local: opened.local,
    }
    this.consensus = this.#createConsensus()
  }

  #createConsensus(): Consensus {
    const transport = {
      send: (to: MemberId, message: RaftMessage) => {
        this.sent.push({ to, message })
        this.#world.deliver(this, to, message)
      },
      flush: () => undefined,
    } as unknown as Transport
    return new Consensus({
      settings,
      bounds: productionBounds,
      selfId: this.id,
      clock: this.clock,
      random: this.#world.random.fork(this.id),
      transport,
      stores: this.stores,
      logger: silent,
      counters: this.counters,
      hooks: {
        applied: () => undefined,
        changed: () => undefined,
        snapshotWanted: () => undefined,
        stateWanted: () => undefined,
        oldestRead: () => null,
        fatal: (error) => {
          this.failure = error
        },
      },
    })
  }

  #guard<T extends object>(store: T, state: () => DiskState): T {
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        return (...values: unknown[]): unknown => {
          if (writes.has(String(name)) && state() !== 'fine') this.#refuse(state())
          return (value as (...values: unknown[]) => unknown).apply(target, values)
        }
      },
    })
  }

  #refuse(state: DiskState): never {
    this.refusals += 1
    if (state === 'full')
      throw new Fault('disk-full', 'the disk of this node is full', {}, { retryAfterSeconds: 5 })
    throw new StoreFailure('log.db', 'can’t be used (SQLITE_IOERR_FSYNC)')
  }

  get isPrimary(): boolean {
    return this.consensus.isPrimary() && this.consensus.raft.hasCommittedInTerm
  }

  entries(): readonly LogEntry[] {
    const log: LogStore = this.stores.log
    return log.entries(1, log.lastIndex(), Infinity)
  }

  /** Command ids in the log on disk, in order. */
  commands(): string[] {
    const found = this.entries().filter(({ kind }) => kind === 'command')
    return found.map(({ data }) => (JSON.parse(data) as { id: string }).id)
  }
}

export class ConsensusWorld {
  readonly scheduler = new Scheduler()
  readonly random: SeededRandom
  readonly nodes: ConsensusNode[]

  constructor(count: number, seed = 1) {
    this.random = seededRandom(seed)
    const ids = Array.from({ length: count }, (_, place) => `n${place + 1}` as MemberId)
    this.nodes = ids.map((id) => new ConsensusNode(this, id, ids))
    for (const { consensus } of this.nodes) consensus.start()
  }

  deliver(from: ConsensusNode, to: MemberId, message: RaftMessage): void {
    const target = this.nodes.find(({ id }) => id === to)
    if (target === undefined || from.isCut) return
    this.scheduler.after(delayMs, () => {
      if (!target.isCut && !from.isCut) target.consensus.receive(from.id, message)
    })
  }

  primary(): ConsensusNode | null {
    return this.nodes.find((node) => node.isPrimary && !node.isCut) ?? null
  }

  /** Waits for a primary (other than `not`); throws when there is none in time. */
  async elected(limitMs = 5_000, not: ConsensusNode | null = null): Promise<ConsensusNode> {
    await this.until('there is a primary', () => this.primary() !== null && this.primary() !== not, limitMs)
    return this.primary() as ConsensusNode
  }

  async until(what: string, condition: () => boolean, limitMs = 5_000): Promise<void> {
    if (!(await this.scheduler.runUntil(condition, limitMs)))
      throw new Error(`not within ${limitMs} ms: ${what}`)
  }

  /** Proposes a command; resolves with `index term`, or with the fault's code. */
  async propose(node: ConsensusNode, id: string): Promise<string> {
    const body = { kind: 'catalog.change', changes: [replace(id)], by: 'test' }
    const data = JSON.stringify({ v: commandVersion, id: id as CommandId, atMs: 1, body })
    const outcome = node.consensus.propose(data).then(
      ({ index, term }) => `${index} ${term}`,
      (error: unknown) => (error instanceof Fault ? error.code : String(error)),
    )
    return await this.scheduler.settle(outcome, 5_000)
  }
}
