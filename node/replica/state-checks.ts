/**
 * Digest checks in the log (DESIGN.md section 3; core/apply/state.ts): the primary proposes them, voters that disagree
 * with a claim ask all voters what theirs came to at that place. Only who differs from a majority is wrong: it halts and
 * takes a snapshot, and steps down if it is the primary. Without a majority for one digest nobody throws anything away.
 */
import type { StateMark } from '../commands.ts'
import { commandLevels, lowestLevel } from '../commands.ts'
import { agreedByMajority } from '../core/quorum.ts'
import type { Digest, MemberId } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { CancelTimer, Clock, Logger, ShopStore, Transport } from '../ports.ts'
import type { Applied } from './applier.ts'
import type { Consensus } from './consensus.ts'
import type { LogClient } from './context.ts'
import type { Counters } from './counters.ts'

/** One entry of the log per interval, while anything changes. */
export const stateCheckIntervalMs = 10_000
const askTimeoutMs = 2_000
/** A voter that differs again so soon after its repair has a cause that a snapshot does not mend. */
const repairMemoryMs = 30 * 60_000

export type StateChecksOptions = {
  selfId: MemberId
  clock: Clock
  logger: Logger
  transport: Transport
  shop: ShopStore
  counters: Counters
  log: LogClient
  consensus: () => Consensus
  /** The verdict could not be written down. */
  fatal: (error: unknown) => void
}

export class StateChecks {
  readonly #options: StateChecksOptions
  #cancel: CancelTimer | null = null
  #isAuditing = false
  #repairedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: StateChecksOptions) {
    this.#options = options
  }

  start(): void {
    this.#cancel = this.#options.clock.timer(stateCheckIntervalMs, () => {
      this.#propose()
      this.start()
    })
  }

  stop(): void {
    this.#cancel?.()
  }

  #propose(): void {
    const { shop, log, logger, counters } = this.#options
    const consensus = this.#options.consensus()
    if (!consensus.isPrimary() || !consensus.raft.hasCommittedInTerm || !this.#isDue(consensus)) return
    counters.add('state_checks_total')
    const claim = shop.read.stateMarks().at(-1) ?? null
    log.run(log.freshCommandId(), { kind: 'state.check', claim }).catch((error: unknown) => {
      logger.debug({ reason: String(error) }, 'the state could not be checked now; the next primary will')
    })
  }

  /** Not when nothing has changed since the last mark and that was claimed; nor while a member knows no checks. */
  #isDue(consensus: Consensus): boolean {
    const { read } = this.#options.shop
    if (lowestLevel(read.members()) < commandLevels['state.check']) return false
    const [last, newest] = read.stateMarks().slice(-2)
    if (last === undefined || newest === undefined) return true
    return consensus.appliedIndex > newest.index || newest.index > last.index + 1
  }

  /** The driver tells what was applied. */
  applied(batch: readonly Applied[]): void {
    for (const { outcome } of batch) {
      if (outcome !== null && outcome.disagreement !== null) this.#audit(outcome.disagreement)
    }
  }

  /** Asks all voters; one audit at a time, because the next check brings the same again. */
  #audit(own: StateMark): void {
    const consensus = this.#options.consensus()
    const { voters } = consensus.config
    if (this.#isAuditing || consensus.halted !== null || !voters.includes(this.#options.selfId)) return
    this.#isAuditing = true
    Promise.all(voters.map(async (voter) => [voter, await this.#digestAt(voter, own)] as const))
      .then((answers) => this.#judge(own, voters, new Map(answers)))
      .catch(this.#options.fatal)
      .finally(() => {
        this.#isAuditing = false
      })
  }

  async #digestAt(voter: MemberId, mark: StateMark): Promise<Digest | null> {
    const { selfId, transport, logger } = this.#options
    if (voter === selfId) return mark.digest
    try {
      const answer = await transport.request(
        voter,
        { kind: 'state-digest', mark },
        { timeoutMs: askTimeoutMs },
      )
      return answer.digest
    } catch (error) {
      logger.debug({ voter, reason: String(error) }, 'a voter did not say what its state came to')
      return null
    }
  }

  #judge(own: StateMark, voters: readonly MemberId[], digests: ReadonlyMap<MemberId, Digest | null>): void {
    const { logger } = this.#options
    const agreed = agreedByMajority(voters, (voter) => digests.get(voter) ?? null)
    if (agreed === null) {
      const states = Object.fromEntries(digests)
      const message =
        'the voters’ states differ and no majority agrees; nothing is repaired, an operator must look'
      logger.error({ index: own.index, states }, message)
    } else if (agreed === own.digest) {
      const others = voters.filter((voter) => digests.get(voter) !== agreed && digests.get(voter) !== null)
      logger.warn({ index: own.index, others }, 'another voter’s state differs from the majority’s')
    } else {
      this.#diverged(own.index)
    }
  }

  #diverged(index: number): void {
    const { logger, counters, clock } = this.#options
    const consensus = this.#options.consensus()
    if (consensus.halted !== null) return
    const nowMs = clock.monotonicMs()
    const repair = nowMs - this.#repairedAtMs >= repairMemoryMs
    this.#repairedAtMs = nowMs
    counters.add('state_divergences_total')
    const reason = `the state at log index ${index} differs from the majority's`
    const next = repair
      ? 'a snapshot replaces it'
      : 'it was replaced before and differs again; a restart tries once more'
    logger.error({ index, repair }, `${reason}; nothing more is applied; ${next}`)
    consensus.haltDiverged(reason, { repair })
  }

  readonly handlers = {
    'state-digest': async (
      _from: MemberId,
      { mark }: PeerRequestOf<'state-digest'>,
    ): Promise<PeerResponseOf<'state-digest'>> => {
      if (this.#options.consensus().halted !== null) return { digest: null }
      const own = this.#options.shop.read.stateMarks().find(({ index }) => index === mark.index)
      // The claim was this primary's own, or of one that is wrong in the same way: only by being asked it learns.
      if (own !== undefined && own.digest !== mark.digest) this.#audit(own)
      return { digest: own?.digest ?? null }
    },
  }
}
