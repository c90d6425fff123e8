/** The beat of the consensus driver: virtual time for the core, by the monotonic clock, and a word when it falls behind. */
import type { CancelTimer, Clock, Logger } from '../ports.ts'

/** A tick later than this many intervals means that this process stood still: it is skipped, messages go first. */
const lateTicksMax = 3

export type TicksOptions = {
  readonly clock: Clock
  readonly logger: Logger
  readonly intervalMs: number
  /** A delay of an election timeout may have cost one. */
  readonly electionTimeoutMaxMs: number
  /** `isLate`: the process stood still, and the messages that arrived meanwhile must be drained before time goes on. */
  readonly beat: (isLate: boolean) => void
}

export class Ticks {
  readonly #options: TicksOptions
  #cancel: CancelTimer | null = null

  constructor(options: TicksOptions) {
    this.#options = options
  }

  start(): void {
    const { clock, intervalMs, beat } = this.#options
    const dueMs = clock.monotonicMs() + intervalMs
    this.#cancel = clock.timer(intervalMs, () => {
      const lateMs = clock.monotonicMs() - dueMs
      const isLate = lateMs > lateTicksMax * intervalMs
      if (isLate) this.#stoodStill(lateMs)
      beat(isLate)
      this.start()
    })
  }

  stop(): void {
    this.#cancel?.()
  }

  /** Normal for a moment on a busy machine; worth a warning when an election could have come of it. */
  #stoodStill(lateMs: number): void {
    const { logger, electionTimeoutMaxMs } = this.#options
    const message = 'this process stood still; messages go before ticks'
    if (lateMs < electionTimeoutMaxMs) logger.debug({ lateMs: Math.round(lateMs) }, message)
    else logger.warn({ lateMs: Math.round(lateMs) }, message)
  }
}
