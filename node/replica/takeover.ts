/**
 * Fetches a cart before it is served (DESIGN.md section 5, "Takeover"). Promises: with S − W + 1 answers of the current
 * set and of each set before it, nothing that was acknowledged on W disks is missing; without them it ends after a
 * bounded wait and says so.
 */
import { isTakeoverComplete } from '../core/homes.ts'
import type { MemberId, UserId } from '../ids.ts'
import type { CartReplicas } from './cart-types.ts'
import type { Context } from './context.ts'
import type { Homes } from './homes.ts'

/**
 * A cart is served after this long, whoever has not answered. DESIGN.md section 5 says two seconds; but within two seconds
 * orders must be accepted again (issue "chaos"), and a shopper leaves a node that does not answer for one.
 */
const pullWaitMs = 1_000
/** Once enough have answered, the others get this long: what they alone have was never promised. */
const graceMs = 50
/** One request to one member. */
const pullTimeoutMs = 500
/** Between two requests to a member that did not answer. */
const againDelayMs = 150
/** When all that is missing is known to be dead, waiting longer is pointless; unless this node has just started. */
const deadWaitMs = 200
/** By then this node has heard of every member that lives. */
const settledAfterMs = 5_000

export class Takeover {
  readonly #context: Context
  readonly #homes: Homes
  readonly #replicas: CartReplicas
  readonly #startedAtMs: number
  #stopped = false

  constructor(context: Context, homes: Homes, replicas: CartReplicas) {
    this.#context = context
    this.#homes = homes
    this.#replicas = replicas
    this.#startedAtMs = context.clock.monotonicMs()
  }

  stop(): void {
    this.#stopped = true
  }

  /** Merges what the others have; true when nothing acknowledged can be missing. */
  async pull(user: UserId): Promise<boolean> {
    const { selfId, settings, members } = this.#context
    const isMember = (member: MemberId): boolean => members.get(member) !== null
    const answered = new Set<MemberId>([selfId])
    // Anew after each answer: it may name earlier sets that this node did not know of.
    const others = (): MemberId[] => this.#others(user, this.#groups(user)).filter(isMember)
    const isComplete = (): boolean =>
      isTakeoverComplete(this.#groups(user), answered, settings.cartAcks, isMember)
    await this.#collect(user, others, answered, isComplete)
    return isComplete()
  }

  #groups(user: UserId): (readonly MemberId[])[] {
    return [this.#homes.serverSet(user), ...this.#homes.olderCopies(user)]
  }

  /** Everybody who may have a copy: both sets, the homes, the primary, and whoever acknowledged one before. */
  #others(user: UserId, groups: readonly (readonly MemberId[])[]): MemberId[] {
    const { selfId, log } = this.#context
    const acknowledged = Object.keys(this.#replicas.deliveredTo(user)) as MemberId[]
    const primary = log.primary()?.id
    const home = this.#homes.record(user)?.home
    const all = [...groups.flat(), ...acknowledged, ...[primary, home].filter((id) => id !== undefined)]
    return [...new Set(all)].filter((member) => member !== selfId)
  }

  #collect(
    user: UserId,
    others: () => readonly MemberId[],
    answered: Set<MemberId>,
    isComplete: () => boolean,
  ): Promise<void> {
    const { clock } = this.#context
    return new Promise((resolve, reject) => {
      let isOver = false
      const end = (): void => {
        isOver = true
        for (const cancel of timers) cancel()
        resolve()
      }
      const timers = [clock.timer(pullWaitMs, end)]
      const asked = new Set<MemberId>()
      const missing = (): MemberId[] => others().filter((member) => !answered.has(member))
      const look = (): void => {
        if (isOver) return
        if (missing().length === 0) end()
        else if (isComplete()) timers.push(clock.timer(this.#allDead(missing()) ? 0 : graceMs, end))
      }
      look()
      timers.push(
        clock.timer(deadWaitMs, () => {
          if (!isOver && this.#hasSettled() && this.#allDead(missing())) end()
        }),
      )
      const ask = (member: MemberId): void => {
        if (isOver || this.#stopped) return
        this.#replicas.pullFrom(user, member, pullTimeoutMs).then((hasAnswered) => {
          if (hasAnswered) {
            answered.add(member)
            askNew()
          } else timers.push(clock.timer(againDelayMs, () => ask(member)))
          look()
        }, reject)
      }
      const askNew = (): void => {
        for (const member of others().filter((other) => !asked.has(other))) {
          asked.add(member)
          ask(member)
        }
      }
      askNew()
    })
  }

  #allDead(members: readonly MemberId[]): boolean {
    return members.every((member) => this.#homes.asker.isKnownDead(member))
  }

  #hasSettled(): boolean {
    return this.#context.clock.monotonicMs() - this.#startedAtMs > settledAfterMs
  }
}
