/**
 * Who looks after a cart (DESIGN.md section 5, "Keeper"). Promises: while the home of a cart is dead and its user stays
 * away, the first live member of the set does the home's syncing and reports the undecided intents, so that nothing
 * waits for the user to return. Presence is a hint: two keepers at once only send twice.
 */
import { cartRole } from '../core/carts.ts'
import type { CartRole } from '../core/carts.ts'
import { keeperOf } from '../core/homes.ts'
import type { MemberId, UserId } from '../ids.ts'
import type { Context } from './context.ts'
import type { Homes } from './homes.ts'

/** By then a node that has started knows who lives: silence means something only from here on. */
export const presenceSettledAfterMs = 5_000

export class Keeper {
  readonly #context: Context
  readonly #homes: Homes
  readonly #startedAtMs: number

  constructor(context: Context, homes: Homes) {
    this.#context = context
    this.#homes = homes
    this.#startedAtMs = context.clock.monotonicMs()
  }

  #isAlive(member: MemberId): boolean {
    const { presence, clock } = this.#context
    if (presence.alive(member)) return true
    const isSettled = clock.monotonicMs() - this.#startedAtMs >= presenceSettledAfterMs
    return !isSettled && presence.get(member) === null
  }

  /** Why this node looks after the cart, if it does. */
  roleOf(user: UserId): CartRole {
    const set = this.#homes.serverSet(user)
    const record = this.#homes.record(user)
    return cartRole({ self: this.#context.selfId, set, record, keeper: this.keeperOf(user) })
  }

  /** Null while the home lives, or nobody of the set does. */
  keeperOf(user: UserId): MemberId | null {
    const set = this.#homes.serverSet(user)
    return keeperOf(set, this.#homes.record(user), (member) => this.#isAlive(member))
  }

  /**
   * Who must have the cart so that it is looked after: the recorded home, and while that is dead the keeper, who may be
   * new in the set and have nothing yet.
   */
  lookersAfter(user: UserId): MemberId[] {
    const set = this.#homes.serverSet(user)
    const lookers = [this.#homes.record(user)?.home ?? null, this.keeperOf(user)]
    return set.filter((member) => lookers.includes(member))
  }
}
