/**
 * The carts that this node serves as home in this life. Promises: a cart is opened (pulled from the others) before it
 * is served, once, however many ask; one that could not be pulled completely is pulled again in the background until it
 * is; a cart is closed when another home is heard of, and opened anew when this node is home again by a higher record:
 * between the two somebody else may have been home without this node hearing of it.
 */
import type { UserId } from '../ids.ts'
import { LruMap } from './cart-lru.ts'
import type { Context } from './context.ts'
import type { Homes } from './homes.ts'
import type { Takeover } from './takeover.ts'

/** Carts that count as opened; one that was forgotten is only pulled once more. */
const openedMax = 20_000
/** Incomplete carts pulled again in one turn. */
const incompletePerTurnMax = 20
/** Records that may go by while a cart is being opened; after that it is served as incomplete. */
const openRoundsMax = 3

export class ServedCarts {
  readonly #context: Context
  readonly #homes: Homes
  readonly #takeover: Takeover
  readonly #afterOpening: (user: UserId) => void
  readonly #opened = new LruMap<UserId, { complete: boolean; epoch: number | null }>(openedMax)
  readonly #opening = new Map<UserId, Promise<void>>()
  readonly #incomplete = new Set<UserId>()

  constructor(context: Context, homes: Homes, takeover: Takeover, afterOpening: (user: UserId) => void) {
    this.#context = context
    this.#homes = homes
    this.#takeover = takeover
    this.#afterOpening = afterOpening
  }

  isComplete(user: UserId): boolean {
    const opened = this.#opened.peek(user)
    return opened === undefined || (opened.complete && opened.epoch === this.#epoch(user))
  }

  #epoch(user: UserId): number | null {
    return this.#homes.record(user)?.epoch ?? null
  }

  isOpen(user: UserId): boolean {
    return this.#opened.peek(user) !== undefined
  }

  /** The user was made just now: whatever sets there were before, and whoever is dead, there is nothing to fetch. */
  begin(user: UserId): void {
    const record = this.#homes.record(user)
    if (record?.epoch === 1 && this.#homes.isHome(user)) this.#opened.set(user, { complete: true, epoch: 1 })
  }

  close(user: UserId): void {
    this.#opened.delete(user)
    this.#incomplete.delete(user)
  }

  async open(user: UserId): Promise<void> {
    for (let round = 0; round < openRoundsMax; round += 1) {
      const opened = this.#opened.get(user)
      if (opened !== undefined && opened.epoch === this.#epoch(user)) return
      await this.#openOnce(user)
      if (!this.#homes.isHome(user)) return
    }
  }

  async #openOnce(user: UserId): Promise<void> {
    const running = this.#opening.get(user)
    if (running !== undefined) return await running
    const opening = this.#pull(user).finally(() => this.#opening.delete(user))
    this.#opening.set(user, opening)
    return await opening
  }

  async #pull(user: UserId): Promise<void> {
    const epoch = this.#epoch(user)
    const complete = await this.#takeover.pull(user)
    // Whoever is home: what the earlier sets had is in this copy, and no successor needs them.
    if (complete) this.#homes.earlier.forgetHeard(user)
    // While the others were asked, one of them may have been heard to be home.
    if (!this.#homes.isHome(user)) return
    this.#opened.set(user, { complete, epoch })
    if (complete) {
      this.#incomplete.delete(user)
      await this.#forgetPrevious(user)
    } else {
      if (!this.#incomplete.has(user)) this.#context.counters.add('takeovers_incomplete_total')
      this.#incomplete.add(user)
    }
    this.#afterOpening(user)
  }

  /** What older sets had is here now, and goes to the present one. */
  async #forgetPrevious(user: UserId): Promise<void> {
    const set = this.#homes.serverSet(user)
    const previous = this.#homes.sessions.get(user)?.previousMembers ?? []
    if (previous.some((member) => !set.includes(member))) await this.#homes.sessions.setPrevious(user, set)
  }

  /** One turn of the background: asks again for what was missing. */
  async completeSome(): Promise<void> {
    for (const user of [...this.#incomplete].slice(0, incompletePerTurnMax)) {
      this.#incomplete.delete(user)
      if (!this.#homes.isHome(user) || !this.isOpen(user)) continue
      this.#incomplete.add(user)
      await this.#pull(user)
    }
  }
}
