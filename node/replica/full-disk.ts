/**
 * What a node does while the disk under its log is full. It can't append, vote or take up a term then, so it takes no
 * part in elections and acknowledges nothing; it goes on following the primary's heartbeats, so that reads are still
 * confirmed by a majority, and tries the disk again with back-off (DESIGN.md section 3: persist, then send).
 */
import type { Raft } from '../core/raft/raft.ts'
import type { RaftInput } from '../core/raft/types.ts'
import { isFault } from '../faults.ts'
import type { Fault } from '../faults.ts'
import type { MemberId, Term } from '../ids.ts'
import type { Clock, LogStore, Logger } from '../ports.ts'

/** The wait before the disk is tried again, at most: each failure costs a look through the log, and space comes back by an operator's hand. */
const retryDelayMaxMs = 4_000

export class FullDisk {
  readonly #ports: { log: LogStore; clock: Clock; logger: Logger }
  readonly #retryDelayMinMs: number
  #fault: Fault | null = null
  #failures = 0
  #retryAtMs = 0

  /**
   * `electionTimeoutMs`: the longest one. The core that begins anew has forgotten that it heard from a primary; by the
   * time it may vote again, that primary's lease is over (dissertation, section 6.4.1).
   */
  constructor(ports: { log: LogStore; clock: Clock; logger: Logger }, electionTimeoutMs: number) {
    this.#ports = ports
    this.#retryDelayMinMs = electionTimeoutMs
  }

  /** Why writes are refused; null while the disk takes them. */
  get fault(): Fault | null {
    return this.#fault
  }

  /** A write to the log found no space. True when the disk counted as usable until now. */
  failed(fault: Fault): boolean {
    const isNews = this.#fault === null
    this.#fault = fault
    const delayMs = this.#retryDelayMinMs * 2 ** this.#failures
    if (delayMs < retryDelayMaxMs) this.#failures += 1
    const boundedMs = Math.max(this.#retryDelayMinMs, Math.min(retryDelayMaxMs, delayMs))
    this.#retryAtMs = this.#ports.clock.monotonicMs() + boundedMs
    return isNews
  }

  /** What the core asked for is on disk. */
  written(): void {
    this.#failures = 0
  }

  /**
   * What the core may take in this turn: all of it, or while the disk is full what needs no write. Everything else is
   * dropped, as if the network had lost it (Raft sends again), or refused. When that is due, the disk is tried first.
   */
  admitted(
    inputs: RaftInput[],
    term: Term,
    refuse: (ref: number, fault: Fault) => void,
  ): readonly RaftInput[] {
    if (this.#fault !== null && this.#ports.clock.monotonicMs() >= this.#retryAtMs) this.#try()
    const fault = this.#fault
    if (fault === null) return inputs
    return inputs.filter((input) => {
      const isTaken = needsNoWrite(input, term)
      if (!isTaken && 'ref' in input) refuse(input.ref, fault)
      return isTaken
    })
  }

  /** Writes what is on disk already. Whether the space suffices, the next real write shows: until then the back-off stays. */
  #try(): void {
    const { log, logger } = this.#ports
    try {
      log.persist({ hardState: log.hardState(), truncateFrom: null, append: [] })
    } catch (error) {
      if (!isDiskFull(error)) throw error
      this.failed(error)
      return
    }
    this.#fault = null
    logger.info({}, 'the disk has space again; the log takes writes')
  }
}

/** For writes that may as well come later: false when there is no space now. */
export function whileThereIsSpace(logger: Logger, meanwhile: string, work: () => void): boolean {
  try {
    work()
    return true
  } catch (error) {
    if (!isDiskFull(error)) throw error
    logger.warn({ meanwhile }, 'the disk is full')
    return false
  }
}

export function isDiskFull(error: unknown): error is Fault {
  return isFault(error) && error.code === 'disk-full'
}

/** True for inputs that can't make the core write. */
function needsNoWrite(input: RaftInput, term: Term): boolean {
  switch (input.kind) {
    case 'message':
      return input.message.kind === 'heartbeat' && input.message.term === term
    case 'read':
    case 'transfer':
    case 'persisted':
    case 'snapshot-sent':
    case 'snapshot-installed':
    case 'can-lead':
    case 'peer-connected':
    case 'peer-disconnected':
      return true
    case 'tick':
    case 'propose':
    case 'change-config':
    case 'peer-gone':
      return false
    default: {
      const never: never = input
      return never
    }
  }
}

/** Whom a primary that can't write any more asks to take over: the voter with the longest equal log that answers. */
export function successorOf(raft: Raft): MemberId | null {
  if (raft.role !== 'primary') return null
  let best: { id: MemberId; matchIndex: number } | null = null
  for (const [id, { recentActive, matchIndex }] of raft.progress()) {
    if (!recentActive || !raft.config.voters.includes(id)) continue
    if (best === null || matchIndex > best.matchIndex) best = { id, matchIndex }
  }
  return best?.id ?? null
}
