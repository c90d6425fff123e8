/**
 * Spares members that are overloaded for long (DESIGN.md section 6): as primary, looks at the load that each member
 * announces and puts a lower share of its capacity into the log, or a higher one again. What a new primary knows of
 * the past is nothing, so it takes its time anew.
 */
import { commandLevels, lowestLevel } from '../commands.ts'
import { OverloadWatch } from '../core/overload.ts'
import type { ShareChange } from '../core/overload.ts'
import { isFault } from '../faults.ts'
import type { Clock, Logger } from '../ports.ts'
import type { LogClient, MembersView, PresenceView } from './context.ts'

/** Members announce their load once a second. */
const lookIntervalMs = 1_000

export type CapacitySharesOptions = {
  clock: Clock
  logger: Logger
  members: MembersView
  presence: PresenceView
  log: LogClient
}

export class CapacityShares {
  readonly #options: CapacitySharesOptions
  readonly #watch = new OverloadWatch()
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #isChanging = false

  constructor(options: CapacitySharesOptions) {
    this.#options = options
  }

  /** This node is not the primary. */
  rest(): void {
    this.#watch.reset()
  }

  /** As primary; called more often than anything is due. */
  look(): void {
    const { clock, members, presence } = this.#options
    const nowMs = clock.monotonicMs()
    if (this.#isChanging || nowMs - this.#lookedAtMs < lookIntervalMs) return
    this.#lookedAtMs = nowMs
    if (lowestLevel(members.list()) < commandLevels['member.weigh']) return
    const watched = members.list().map(({ id, capacityShare = 1 }) => ({
      id,
      alive: presence.alive(id),
      loadPercent: presence.get(id)?.loadPercent ?? 0,
      share: capacityShare,
    }))
    const change = this.#watch.look(watched, nowMs)
    if (change !== null) this.#change(change)
  }

  #change({ id, share }: ShareChange): void {
    const { log, logger, members } = this.#options
    const data = { member: members.get(id)?.node ?? id, share }
    this.#isChanging = true
    log
      .run(log.freshCommandId(), { kind: 'member.weigh', id, share })
      .then(
        () => logger.info(data, 'a member is asked for another share of its capacity, by its load'),
        (error: unknown) => {
          if (!isFault(error)) throw error
          logger.info({ ...data, reason: error.message }, 'the share of a member could not be changed now')
        },
      )
      .finally(() => {
        this.#isChanging = false
        // What the change did is seen only from now on.
        this.#watch.reset()
      })
  }
}
