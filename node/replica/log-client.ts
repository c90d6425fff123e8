/**
 * The log as every node uses it: runs a command exactly once at whoever is primary, and reads orders and
 * accounts at a voter. A retry carries the same command id, so that it gets the first result, also at another
 * primary (DESIGN.md section 3, "Commands").
 */
import type { Command, CommandBody, CommandResult } from '../commands.ts'
import { commandLevels, commandSchema, commandVersion, lowestLevel } from '../commands.ts'
import { Fault, isFault } from '../faults.ts'
import type { CommandId, LogIndex, MemberId, Term } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf, VoterQuery } from '../messages.ts'
import type { CancelTimer, Clock, Random, ShopStore, Transport } from '../ports.ts'
import type { Applied } from './applier.ts'
import type { Consensus } from './consensus.ts'
import type { LogClient, PresenceView } from './context.ts'
import { VoterReads } from './voter-reads.ts'
import { noPrimary, outcomeUnknown, withTimeout } from './waiting.ts'
import type { Counters } from './counters.ts'
import { isDiskFull } from './full-disk.ts'

/** How long a caller waits for the log when it names no time: longer than an election, shorter than a browser's patience. */
const commandWaitMs = 5_000
/** One attempt at one primary: a silent primary must not use up the caller's whole time. */
const attemptTimeoutMs = 1_500
/** Wait between attempts while there is no primary; a change of primary ends it early. */
const retryDelayMs = 50
/** Commands under way from this node; each holds its body in memory. */
const commandsUnderWayMax = 10_000
/** A command must fit the 4 MiB of a log entry with room for its envelope. */
const commandSizeBytesMax = 3 * 1024 * 1024
/** Reads wait so long for the own copy to reach the confirmed index. */
const applyWaitMs = 2_000

type Waiter = {
  id: CommandId
  resolve: (outcome: { result: CommandResult; index: LogIndex }) => void
  reject: (fault: Fault) => void
}

export type LogClientOptions = {
  selfId: MemberId
  clock: Clock
  random: Random
  transport: Transport
  shop: ShopStore
  presence: PresenceView
  counters: Counters
  consensus: () => Consensus
  /** Where the primary and the voters are, as this node knows (log or gossip). */
  primaryHint: () => { id: MemberId; term: Term } | null
  voters: () => readonly MemberId[]
  /** This node applies the log (voter or learner). */
  followsLog: () => boolean
}

export class ReplicaLogClient implements LogClient {
  readonly #options: LogClientOptions
  readonly #waiters = new Map<LogIndex, Waiter>()
  readonly #underWay = new Map<CommandId, Promise<{ result: CommandResult; index: LogIndex }>>()
  readonly #reads: VoterReads
  readonly #primaryListeners: (() => void)[] = []
  readonly #wakeUps = new Set<() => void>()
  #running = 0
  #lastAtMs = 0

  constructor(options: LogClientOptions) {
    this.#options = options
    this.#reads = new VoterReads(options, {
      waitForPrimary: () => this.#waitForPrimary(retryDelayMs),
      whilePrimary: (primary, answer) => this.#whilePrimary(primary, answer),
    })
  }

  /** Reads that only voters answer; its handlers are this node's. */
  get reads(): VoterReads {
    return this.#reads
  }

  primary(): { id: MemberId; term: Term } | null {
    return this.#options.primaryHint()
  }

  isPrimary(): boolean {
    return this.#options.consensus().isPrimary()
  }

  freshCommandId(): CommandId {
    return `c:${Buffer.from(this.#options.random.bytes(16)).toString('hex')}` as CommandId
  }

  onPrimaryChange(listener: () => void): void {
    this.#primaryListeners.push(listener)
  }

  /** The driver tells that role, term or known primary changed. */
  primaryChanged(): void {
    for (const wakeUp of this.#wakeUps) wakeUp()
    for (const listener of this.#primaryListeners) listener()
  }

  /** The driver tells what was applied. */
  applied(batch: readonly Applied[]): void {
    for (const { index, command, outcome } of batch) {
      const waiter = this.#waiters.get(index)
      if (waiter === undefined) continue
      this.#waiters.delete(index)
      if (command !== null && outcome !== null && command.id === waiter.id) {
        waiter.resolve({ result: outcome.result, index })
      } else {
        waiter.reject(lostPlace())
      }
    }
    this.#reads.indexReached(batch.at(-1)?.index ?? 0)
  }

  async run(
    id: CommandId,
    body: CommandBody,
    options: { timeoutMs?: number; waitLocal?: boolean } = {},
  ): Promise<unknown> {
    if (this.#running >= commandsUnderWayMax) {
      throw new Fault(
        'overloaded',
        'too many commands are under way at this node',
        {},
        { retryAfterSeconds: 1 },
      )
    }
    this.#running += 1
    try {
      const { result, index } = await this.#runUntil(id, body, options.timeoutMs ?? commandWaitMs)
      if (options.waitLocal === true && this.#options.followsLog())
        await this.#reads.waitApplied(index, applyWaitMs)
      if (!result.ok) throw new Fault(result.code, result.message, result.data)
      return result.value
    } finally {
      this.#running -= 1
    }
  }

  async #runUntil(
    id: CommandId,
    body: CommandBody,
    timeoutMs: number,
  ): Promise<{ result: CommandResult; index: LogIndex }> {
    const startMs = this.#options.clock.monotonicMs()
    const deadlineMs = startMs + timeoutMs
    let maybeSent = false
    let refused: Fault | null = null
    for (;;) {
      const remainingMs = deadlineMs - this.#options.clock.monotonicMs()
      if (remainingMs <= 0)
        throw maybeSent ? outcomeUnknown() : (refused ?? noPrimary('no primary could be reached'))
      const primary = this.#primaryToAsk()
      // However much time the command itself may take: nobody waits that long only to hear that there is no primary.
      if (!maybeSent && this.#options.clock.monotonicMs() - startMs >= commandWaitMs)
        throw refused ?? noPrimary('no primary takes commands now')
      if (primary !== null) {
        try {
          return await this.#attempt(primary.id, id, body, Math.min(remainingMs, attemptTimeoutMs))
        } catch (error) {
          const verdict = retryVerdict(error)
          // What a second primary refused may still be in the log from the first.
          if (verdict === 'final') throw maybeSent && isRefusedForNow(error) ? outcomeUnknown() : error
          if (verdict === 'unknown') maybeSent = true
          // A primary whose disk is full gives way to a voter that has space; the only voter has nobody to give way to.
          if (isDiskFull(error)) refused = error
          if (refused !== null && !maybeSent && this.#options.voters().length === 1) throw refused
        }
      }
      await this.#waitForPrimary(
        Math.min(retryDelayMs, Math.max(1, deadlineMs - this.#options.clock.monotonicMs())),
      )
    }
  }

  /** A voter that is the only one stays the one to ask while its disk is full: it says so. */
  #primaryToAsk(): { id: MemberId; term: Term } | null {
    const { primaryHint, consensus, voters, selfId, followsLog } = this.#options
    const known = primaryHint()
    if (known !== null || !followsLog() || consensus().diskFull === null) return known
    return voters().join() === selfId ? { id: selfId, term: consensus().raft.term } : null
  }

  async #attempt(
    primary: MemberId,
    id: CommandId,
    body: CommandBody,
    timeoutMs: number,
  ): Promise<{ result: CommandResult; index: LogIndex }> {
    if (primary === this.#options.selfId) return this.proposeHere(id, body, timeoutMs)
    this.#options.counters.add('commands_forwarded_total')
    const attemptMs = Math.max(1, Math.ceil(timeoutMs))
    const request = { kind: 'propose', id, body, timeoutMs: attemptMs } as const
    const answer = this.#options.transport.request(primary, request, { timeoutMs: attemptMs })
    return this.#whilePrimary(primary, answer)
  }

  /** A primary that fell silent is not waited for once there is another: what it took may be in the log, or not. */
  async #whilePrimary<T>(primary: MemberId, answer: Promise<T>): Promise<T> {
    const another = Promise.withResolvers<never>()
    const look = (): void => {
      const known = this.#options.primaryHint()
      if (known !== null && known.id !== primary) another.reject(outcomeUnknown())
    }
    this.#wakeUps.add(look)
    try {
      return await Promise.race([answer, another.promise])
    } finally {
      this.#wakeUps.delete(look)
    }
  }

  /**
   * Proposes at this node. Fault `no-primary` or `disk-full`: it is not in the log and won't be from here;
   * `outcome-unknown`: appended, but not decided in time.
   */
  proposeHere(
    id: CommandId,
    body: CommandBody,
    timeoutMs: number,
  ): Promise<{ result: CommandResult; index: LogIndex }> {
    const { diskFull } = this.#options.consensus()
    if (diskFull !== null) return Promise.reject(diskFull)
    if (!this.#takesCommands()) {
      const primary = this.#options.primaryHint()
      return Promise.reject(
        new Fault(
          'no-primary',
          'this node is not the primary',
          { primary: primary?.id ?? null },
          { retryAfterSeconds: 1 },
        ),
      )
    }
    const stored = this.#options.shop.read.result(id)
    if (stored !== null)
      return Promise.resolve({ result: stored, index: this.#options.consensus().appliedIndex })
    const underWay = this.#underWay.get(id) ?? this.#append(id, body)
    return withTimeout(this.#options.clock, underWay, timeoutMs, outcomeUnknown)
  }

  /**
   * A primary that was elected a moment ago takes commands before its first round is back: they are decided behind the
   * entry that begins its term, or not at all. Whoever asks would only come again 50 ms later.
   */
  #takesCommands(): boolean {
    const { raft, halted } = this.#options.consensus()
    const isNew = raft.role === 'primary' && !raft.hasCommittedInTerm && halted === null
    return isNew || this.isPrimary()
  }

  #append(id: CommandId, body: CommandBody): Promise<{ result: CommandResult; index: LogIndex }> {
    // Stamps never go back within one primary, so that histories read in order.
    this.#lastAtMs = Math.max(this.#lastAtMs, this.#options.clock.wallMs())
    const command: Command = { v: commandVersion, id, atMs: this.#lastAtMs, body }
    // What no voter could parse would stop them all at its entry: it must not get into the log.
    const invalid = commandSchema.safeParse(command).error
    if (invalid !== undefined) {
      const issue = invalid.issues[0]
      const where = issue?.path.join('.') ?? ''
      return Promise.reject(
        new Fault('invalid-request', `not a valid command: ${where} ${issue?.message ?? ''}`),
      )
    }
    const level = commandLevels[body.kind]
    if (level > 1 && lowestLevel(this.#options.shop.read.members()) < level)
      return Promise.reject(new Fault('conflict', `not every member's program understands ${body.kind} yet`))
    const data = JSON.stringify(command)
    if (Buffer.byteLength(data) > commandSizeBytesMax) {
      return Promise.reject(new Fault('too-large', 'the change is too large for one command'))
    }
    this.#options.counters.add('commands_proposed_total')
    const appended = this.#options
      .consensus()
      .propose(data)
      .then(({ index }) => this.#decided(id, index))
    this.#underWay.set(id, appended)
    const forget = (): void => {
      this.#underWay.delete(id)
    }
    appended.then(forget, forget)
    return appended
  }

  /** Waits until the entry at `index` is applied, which may have happened in the turn that appended it. */
  #decided(id: CommandId, index: LogIndex): Promise<{ result: CommandResult; index: LogIndex }> {
    if (this.#options.consensus().appliedIndex >= index) {
      const result = this.#options.shop.read.result(id)
      return result === null ? Promise.reject(lostPlace()) : Promise.resolve({ result, index })
    }
    // Whoever waited for this place was overwritten: its entry is not in the log.
    this.#waiters.get(index)?.reject(lostPlace())
    return new Promise((resolve, reject) => {
      this.#waiters.set(index, { id, resolve, reject })
    })
  }

  /** Ends every wait for commands that were appended here; used when the node stops or lost its place in the log. */
  abandon(): void {
    for (const waiter of this.#waiters.values()) waiter.reject(outcomeUnknown())
    this.#waiters.clear()
  }

  query(query: VoterQuery, options: { current?: boolean; timeoutMs?: number } = {}): Promise<unknown> {
    return this.#reads.query(query, options)
  }

  #waitForPrimary(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      let cancel: CancelTimer = () => undefined
      const wakeUp = (): void => {
        this.#wakeUps.delete(wakeUp)
        cancel()
        resolve()
      }
      this.#wakeUps.add(wakeUp)
      cancel = this.#options.clock.timer(timeoutMs, wakeUp)
    })
  }

  readonly handlers = {
    propose: async (_from: MemberId, request: PeerRequestOf<'propose'>): Promise<PeerResponseOf<'propose'>> =>
      this.proposeHere(request.id, request.body, request.timeoutMs),
  }
}

/** What an attempt's failure means: `final` goes to the caller, `not-done` and `unknown` are tried again with the same id. */
function retryVerdict(error: unknown): 'final' | 'not-done' | 'unknown' {
  if (!isFault(error)) return 'final'
  switch (error.code) {
    case 'no-primary':
    case 'disk-full':
      return 'not-done'
    case 'outcome-unknown':
      return 'unknown'
    case 'internal':
      return error.data['notSent'] === true ? 'not-done' : 'unknown'
    default:
      return 'final'
  }
}

/** Says that it did not happen because of the moment (503), not because of the command. */
function isRefusedForNow(error: unknown): boolean {
  return isFault(error) && error.code === 'overloaded'
}

/** Another primary's entry took the place, so the command is not in the log from here. */
function lostPlace(): Fault {
  return noPrimary('the primary changed before the command was committed')
}
