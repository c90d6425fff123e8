/**
 * One of the three processes of `bench/log.ts`: the consensus driver, the stores and the transport of production, without
 * the rest of a node. Does what its parent tells it over the channel between them.
 */
import { Consensus } from '../node/replica/consensus.ts'
import { productionBounds } from '../node/replica/context.ts'
import type { Applied } from '../node/replica/applier.ts'
import type { AppliedState, ShopStore, Tables } from '../node/ports.ts'
import { Counters } from '../node/replica/counters.ts'
import { commandSchema, commandVersion } from '../node/commands.ts'
import { parseFlags } from '../node/flags.ts'
import { parseClusterId, parseNodeName } from '../node/ids.ts'
import type { LogIndex, MemberId } from '../node/ids.ts'
import { parseKeyring } from '../node/keyring.ts'
import { createIdentity, createTransport } from '../node/net/transport.ts'
import { openStores } from '../node/store/index.ts'
import { systemClock, systemLogger, systemRandom } from '../node/system.ts'
import { quantile } from './kit.ts'

/** `none`: tables that hold nothing, so that only the log is measured; `real`: shop.db, with a transaction of its own. */
export type ShopKind = 'none' | 'real'
export type Opening = {
  readonly directory: string
  readonly p2p: string
  readonly secret: string
  readonly shop: ShopKind
}
export type Round = { readonly inFlight: number; readonly durationMs: number }
export type RoundResult = {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuMicros: number
  /** Entries per transaction on log.db. */
  readonly entriesPerFlush: number
}
export type ToNode =
  | { kind: 'open'; opening: Opening }
  | { kind: 'start'; members: readonly { readonly id: MemberId; readonly p2p: string }[] }
  | { kind: 'run'; round: Round }
  | { kind: 'stop' }
export type FromNode =
  { kind: 'opened'; id: MemberId } | { kind: 'primary' } | { kind: 'result'; result: RoundResult }

const commandSizeBytes = 600
/** Of account ids that nobody has: applying looks the account up, finds none, and keeps that answer. */
const nobody = `a${'0'.repeat(32)}`

const filling = 'f'.repeat(commandSizeBytes)
const body = { kind: 'account.delete', user: nobody, previousHash: 'none' } as const

/** A command that is cheap to apply, of exactly the size; what fills it is dropped by its schema. */
function commandText(number: number): string {
  const id = `bench:${process.pid}:${number}`
  const fill = filling.slice(emptyLength + id.length)
  return JSON.stringify({ v: commandVersion, id, atMs: 0, body, fill })
}
const emptyLength = JSON.stringify({ v: commandVersion, id: '', atMs: 0, body, fill: '' }).length

/** What applying asks of a shop for these commands, answered without a database. */
function emptyShop(voters: readonly MemberId[]): ShopStore {
  let applied: AppliedState = { index: 0, term: 0, config: { voters, learners: [] } }
  const tables = { result: () => null, putResult: () => undefined, account: () => null } as unknown as Tables
  return {
    applied: () => applied,
    setApplied: (state: AppliedState) => (applied = state),
    feed: () => 'log',
    diverged: () => null,
    erasedIndex: () => 0,
    transaction: (work: (tables: Tables) => unknown) => work(tables),
  } as unknown as ShopStore
}

function settingsOf(p2p: string) {
  const needed = { name: 'bench', data: 'unused', http: '127.0.0.1:1', p2p }
  const files = { 'secret-file': 'unused', 'admin-token-file': 'unused' }
  const args = Object.entries({ ...needed, ...files }).flatMap(([name, value]) => [`--${name}`, value])
  const parsed = parseFlags(args, {})
  if (parsed.kind !== 'run') throw new Error('these are flags of a run')
  return parsed.flags.settings
}

class LogNode {
  readonly #opening: Opening
  readonly #clock = systemClock()
  readonly #random = systemRandom()
  readonly #logger = systemLogger({ level: 'warn', base: { node: process.pid } })
  readonly #stores
  readonly #waiters = new Map<LogIndex, () => void>()
  readonly #counters = new Counters()
  #consensus: Consensus | null = null
  #commands = 0

  constructor(opening: Opening) {
    this.#opening = opening
    this.#stores = openStores(opening.directory, { createIdentity })
  }

  get id(): MemberId {
    return this.#stores.log.identity().memberId
  }

  async start(members: readonly { readonly id: MemberId; readonly p2p: string }[]): Promise<void> {
    const voters = members.map(({ id }) => id)
    const { p2p, secret, shop } = this.#opening
    const stores = this.#stores
    stores.log.resetTo(0, 0, { voters, learners: [] })
    stores.shop.setFeed('log')
    stores.shop.setApplied({ index: 0, term: 0, config: { voters, learners: [] } })
    const identity = stores.log.identity()
    const base = { clock: this.#clock, random: this.#random, logger: this.#logger }
    const transport = createTransport({ ...base, identity, listen: p2p, keyring: parseKeyring(secret) })
    transport.setHello({
      clusterId: parseClusterId('b'.repeat(32)),
      node: parseNodeName('bench'),
      starts: identity.starts,
      lastTerm: 0,
      lastIndex: 0,
    })
    const consensus = new Consensus({
      ...base,
      settings: settingsOf(p2p),
      bounds: productionBounds,
      selfId: this.id,
      transport,
      stores: shop === 'real' ? stores : { ...stores, shop: emptyShop(voters) },
      counters: this.#counters,
      hooks: {
        applied: (batch) => this.#applied(batch),
        changed: () => {
          if (consensus.raft.role === 'primary') say({ kind: 'primary' })
          else if (this.#commands > 0)
            throw new Error('the primary changed meanwhile: these figures say nothing')
        },
        snapshotWanted: (member) => this.#logger.error({ member }, 'nobody falls behind here'),
        stateWanted: () => this.#logger.error({}, 'nobody lacks its state here'),
        oldestRead: () => null,
        fatal: (error) => {
          throw error
        },
      },
    })
    this.#consensus = consensus
    await transport.start({
      peerConnected: ({ id }) => consensus.input({ kind: 'peer-connected', member: id }),
      peerDisconnected: (member) => consensus.input({ kind: 'peer-disconnected', member }),
      raft: (from, message) => consensus.receive(from, message),
      request: () => Promise.reject(new Error('there are no requests here')),
      gossip: () => 'ignore',
      admit: () => undefined,
    })
    transport.setPeers(members.filter(({ id }) => id !== this.id))
    consensus.start()
  }

  #applied(batch: readonly Applied[]): void {
    if (this.#waiters.size === 0) return
    for (const { index } of batch) {
      this.#waiters.get(index)?.()
      this.#waiters.delete(index)
    }
  }

  async #commit(consensus: Consensus): Promise<void> {
    this.#commands += 1
    const { index } = await consensus.propose(commandText(this.#commands))
    if (consensus.appliedIndex < index)
      await new Promise<void>((resolve) => this.#waiters.set(index, resolve))
  }

  async run({ inFlight, durationMs }: Round): Promise<RoundResult> {
    const consensus = this.#consensus
    if (consensus === null) throw new Error('not started')
    // Applying halts at a command that it does not know, and nothing would ever end.
    commandSchema.parse(JSON.parse(commandText(0)))
    const latenciesMs: number[] = []
    const startMs = performance.now()
    const startCpu = process.cpuUsage()
    const flushesBefore = this.#counters.value('log_flushes_total')
    const worker = async (): Promise<void> => {
      for (;;) {
        const sentAtMs = performance.now()
        if (sentAtMs - startMs >= durationMs) return
        await this.#commit(consensus)
        latenciesMs.push(performance.now() - sentAtMs)
      }
    }
    await Promise.all(Array.from({ length: inFlight }, worker))
    const elapsedMs = performance.now() - startMs
    const { user, system } = process.cpuUsage(startCpu)
    const flushes = this.#counters.value('log_flushes_total') - flushesBefore
    return {
      perSecond: (latenciesMs.length / elapsedMs) * 1_000,
      p50Ms: quantile(latenciesMs, 0.5),
      p99Ms: quantile(latenciesMs, 0.99),
      cpuMicros: (user + system) / latenciesMs.length,
      entriesPerFlush: latenciesMs.length / flushes,
    }
  }
}

function say(message: FromNode): void {
  process.send?.(message)
}

let node: LogNode | null = null

async function obey(message: ToNode): Promise<void> {
  switch (message.kind) {
    case 'open':
      node = new LogNode(message.opening)
      say({ kind: 'opened', id: node.id })
      return
    case 'start':
      await node?.start(message.members)
      return
    case 'run':
      if (node !== null) say({ kind: 'result', result: await node.run(message.round) })
      return
    case 'stop':
      process.exit(0)
  }
}

process.on('message', (message: ToNode) => void obey(message))
process.on('disconnect', () => process.exit(0))
