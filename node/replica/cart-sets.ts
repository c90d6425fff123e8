/**
 * Server sets of users before the present ones, where older copies of their carts may be. Promises: what this life of
 * the node saw change is remembered for a while, and so is what others tell of a time before this node came; both in
 * bounded memory. (What must outlive a restart is `previousMembers` of the session.)
 */
import { serverSet } from '../core/placement.ts'
import type { MemberId, UserId } from '../ids.ts'
import { earlierSetsMax } from '../messages.ts'
import { LruMap } from './cart-lru.ts'
import type { Context } from './context.ts'

/** Earlier member lists of which sets are remembered: joins come back to back when a cluster grows. */
const earlierListsMax = 8
/** By then what was under way when the list changed has long been delivered, or noted on disk. */
const earlierListLifeMs = 600_000
/** Sets by an earlier list that are kept ready: while a cart is being opened, its user's are asked for again and again. */
const readySetsMax = 1_000
/** Users of whom sets were heard: a few hundred bytes each, and only while their cart is being opened. */
const heardUsersMax = 20_000

type MemberRecords = Parameters<typeof serverSet>[1]

type EarlierList = {
  readonly members: MemberRecords
  readonly untilMs: number
  readonly ready: LruMap<UserId, MemberId[]>
}

const nameOf = (set: readonly MemberId[]): string => [...set].sort().join()

export class EarlierSets {
  readonly #context: Context
  /** Newest first, for users whose set has changed. */
  #lists: EarlierList[] = []
  readonly #heard = new LruMap<UserId, MemberId[][]>(heardUsersMax)

  constructor(context: Context) {
    this.#context = context
  }

  /** This list of members has just been replaced. */
  noteList(members: MemberRecords): void {
    const untilMs = this.#context.clock.monotonicMs() + earlierListLifeMs
    const ready = new LruMap<UserId, MemberId[]>(readySetsMax)
    this.#lists = [{ members, untilMs, ready }, ...this.#lists].slice(0, earlierListsMax)
  }

  /** Each once, without the present one. */
  of(user: UserId, present: readonly MemberId[]): MemberId[][] {
    const nowMs = this.#context.clock.monotonicMs()
    this.#lists = this.#lists.filter((list) => list.untilMs > nowMs)
    const seen = this.#lists.map((list) => this.#setBy(list, user))
    const distinct = new Map([...seen, ...(this.#heard.peek(user) ?? [])].map((set) => [nameOf(set), set]))
    distinct.delete(nameOf(present))
    return [...distinct.values()]
  }

  #setBy({ members, ready }: EarlierList, user: UserId): MemberId[] {
    const known = ready.peek(user)
    if (known !== undefined) return known
    const set = serverSet(user, members, this.#context.settings.serverSetSize)
    ready.set(user, set)
    return set
  }

  /** Who answered for a cart knows of sets that were before this node came: somebody in them may have more. */
  heard(user: UserId, sets: readonly (readonly MemberId[])[]): void {
    if (sets.length === 0) return
    const all = [...(this.#heard.peek(user) ?? []), ...sets]
    const distinct = new Map(all.map((set) => [nameOf(set), [...set]]))
    this.#heard.set(user, [...distinct.values()].slice(-earlierSetsMax))
  }

  /** What the earlier sets had is here. */
  forgetHeard(user: UserId): void {
    this.#heard.delete(user)
  }
}
