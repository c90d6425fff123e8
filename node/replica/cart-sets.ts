/**
 * Server sets of users before the present ones, where older copies of their carts may be. Promises: what this node saw
 * change is remembered for a while, also when all nodes are restarted meanwhile: whoever then came into the sets would
 * take a cart for complete that only the one who is still down has. What others tell of a time before this node came
 * is remembered while the cart is being opened. Both are bounded.
 */
import { capacityInUse, placeAlike, serverSet } from '../core/placement.ts'
import type { PlacementMember } from '../core/placement.ts'
import type { LogIndex, MemberId, UserId } from '../ids.ts'
import { earlierSetsMax } from '../messages.ts'
import { LruMap } from './cart-lru.ts'
import type { Context } from './context.ts'
import { whileThereIsSpace } from './full-disk.ts'

/** Earlier member lists of which sets are remembered: joins come back to back when a cluster grows. */
const earlierListsMax = 8
/** By then what was under way when the list changed has long been delivered, or noted on disk. From the start of a life. */
const earlierListLifeMs = 600_000
/** Sets by an earlier list that are kept ready: while a cart is being opened, its user's are asked for again and again. */
const readySetsMax = 1_000
/** Users of whom sets were heard: a few hundred bytes each, and only while their cart is being opened. */
const heardUsersMax = 20_000

type EarlierList = {
  readonly members: readonly PlacementMember[]
  /** Members version of the list that came after it; of an earlier life, that of the first list in this one. */
  readonly replacedVersion: LogIndex
  readonly untilMs: number
  readonly ready: LruMap<UserId, MemberId[]>
}

const nameOf = (set: readonly MemberId[]): string => [...set].sort().join()

export class EarlierSets {
  readonly #context: Context
  /** Null until the first list of this life. */
  #present: readonly PlacementMember[] | null = null
  /** Of the members when that list was taken; of an earlier life's list, of the first members in this one. */
  #presentVersion: LogIndex = Number.POSITIVE_INFINITY
  #settledVersion: LogIndex = 0
  /** Newest first, for users whose set has changed. */
  #lists: EarlierList[] = []
  readonly #heard = new LruMap<UserId, MemberId[][]>(heardUsersMax)

  constructor(context: Context) {
    this.#context = context
  }

  /** Users are placed by these members from now on; what was before that is remembered, from an earlier life too. */
  setPresent(members: readonly PlacementMember[], version: LogIndex): void {
    const { local } = this.#context.stores
    const placements = members.map((member) => ({ id: member.id, capacity: capacityInUse(member) }))
    if (this.#present === null) {
      const [last = [], ...earlier] = local.placements()
      this.#present = last
      this.#lists = earlier.map((list) => this.#list(list, version))
      this.#presentVersion = version
    }
    if (placeAlike(this.#present, placements)) return
    if (this.#present.length > 0) this.#lists.unshift(this.#list(this.#present, version))
    this.#lists = this.#lists.slice(0, earlierListsMax)
    this.#present = placements
    this.#presentVersion = version
    this.#save()
  }

  #list(members: readonly PlacementMember[], replacedVersion: LogIndex): EarlierList {
    const untilMs = this.#context.clock.monotonicMs() + earlierListLifeMs
    return { members, replacedVersion, untilMs, ready: new LruMap<UserId, MemberId[]>(readySetsMax) }
  }

  #save(): void {
    const lists = [this.#present ?? [], ...this.#lists.map(({ members }) => members)]
    const { logger, stores } = this.#context
    whileThereIsSpace(logger, 'earlier members are remembered in memory alone', () =>
      stores.local.setPlacements(lists),
    )
  }

  /** Each once, without the present one; none when they do not matter any more. */
  of(user: UserId, present: readonly MemberId[]): MemberId[][] {
    this.#forgetOld()
    if (this.areSettled) return []
    const seen = this.#lists.map((list) => this.#setBy(list, user))
    const distinct = new Map([...seen, ...(this.#heard.peek(user) ?? [])].map((set) => [nameOf(set), set]))
    distinct.delete(nameOf(present))
    return [...distinct.values()]
  }

  #forgetOld(): void {
    const nowMs = this.#context.clock.monotonicMs()
    const left = this.#lists.filter((list) => list.untilMs > nowMs)
    if (left.length === this.#lists.length) return
    this.#lists = left
    this.#save()
  }

  /** All that was acknowledged before this members version is in the sets by it (cart-settling.ts). */
  settle(version: LogIndex): void {
    this.#settledVersion = Math.max(this.#settledVersion, version)
    const left = this.#lists.filter(({ replacedVersion }) => replacedVersion > this.#settledVersion)
    if (left.length === this.#lists.length) return
    this.#lists = left
    this.#save()
  }

  /** The present sets have everything: no older copy is needed, whatever is noted or heard of one. */
  get areSettled(): boolean {
    return this.#settledVersion >= this.#presentVersion
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
    if (sets.length === 0 || this.areSettled) return
    const all = [...(this.#heard.peek(user) ?? []), ...sets]
    const distinct = new Map(all.map((set) => [nameOf(set), [...set]]))
    this.#heard.set(user, [...distinct.values()].slice(-earlierSetsMax))
  }

  /** What the earlier sets had is here. */
  forgetHeard(user: UserId): void {
    this.#heard.delete(user)
  }
}
