/**
 * What a keeper has to hear (DESIGN.md section 5, "Keeper"): who is home. A member that was away when a user moved takes
 * an earlier home for the present one as long as nothing of the cart changes, and if the present home dies then nobody
 * would look after the cart: those who know of it wait for the keeper, and the keeper for a home that is none. So
 * whoever finds a home dead tells the keeper whose home that was. Promises: once for each record and keeper, in bounded
 * messages, again in the next turn until it is answered.
 */
import { isHigher } from '../core/homes.ts'
import { isFault } from '../faults.ts'
import type { MemberId, UserId } from '../ids.ts'
import { homeRecordsMax } from '../messages.ts'
import type { HomeRecord, PeerRequestOf, PeerResponseOf } from '../messages.ts'
import { LruMap } from './cart-lru.ts'
import type { Context } from './context.ts'
import type { Homes } from './homes.ts'
import type { Keeper } from './keeper.ts'

/** What was told is remembered of so many carts, some 200 bytes each; the others are told again when they are looked at. */
const toldUsersMax = 20_000
/** Carts that wait for a turn; those beyond it are looked for once there is room again. */
const waitingUsersMax = 20_000
/** A keeper looks up and writes some hundred records. */
const tellTimeoutMs = 2_000

type News = { readonly user: UserId; readonly record: HomeRecord }

export class KeeperNews {
  readonly #context: Context
  readonly #homes: Homes
  readonly #keeper: Keeper
  readonly #told = new LruMap<UserId, string>(toldUsersMax)
  readonly #waiting = new Set<UserId>()
  #someLeftOut = false

  constructor(context: Context, homes: Homes, keeper: Keeper) {
    this.#context = context
    this.#homes = homes
    this.#keeper = keeper
  }

  /** A cart that this node holds and somebody else looks after was looked at. */
  look(user: UserId): void {
    const due = this.#due(user)
    if (due === null) this.#waiting.delete(user)
    else if (this.#waiting.size < waitingUsersMax) this.#waiting.add(user)
    else this.#someLeftOut = true
  }

  /** Who is to be told what of this cart; null when there is nobody, or it has been told. */
  #due(user: UserId): { keeper: MemberId; record: HomeRecord; mark: string } | null {
    const record = this.#homes.record(user)
    const keeper = this.#keeper.keeperOf(user)
    if (record === null || keeper === null || keeper === this.#context.selfId) return null
    if (!this.#homes.isInSet(user)) return null
    const mark = `${record.epoch} ${record.home} ${keeper}`
    return this.#told.peek(user) === mark ? null : { keeper, record, mark }
  }

  /** True when all that waited is told, and there were more: every cart must be looked at again. */
  async turn(): Promise<boolean> {
    const byKeeper = new Map<MemberId, (News & { mark: string })[]>()
    for (const user of this.#waiting) {
      const due = this.#due(user)
      if (due === null) {
        this.#waiting.delete(user)
        continue
      }
      const news = byKeeper.get(due.keeper) ?? []
      byKeeper.set(due.keeper, news)
      if (news.length < homeRecordsMax) news.push({ user, record: due.record, mark: due.mark })
    }
    await Promise.all([...byKeeper].map(([keeper, news]) => this.#tell(keeper, news)))
    const isDue = this.#someLeftOut && this.#waiting.size === 0
    if (isDue) this.#someLeftOut = false
    return isDue
  }

  async #tell(keeper: MemberId, news: readonly (News & { mark: string })[]): Promise<void> {
    const { peers, members } = this.#context
    const records = news.map(({ user, record }) => ({ user, record }))
    try {
      const answer = await peers.ask(
        keeper,
        { kind: 'home-records', records, membersVersion: members.version() },
        { timeoutMs: tellTimeoutMs, lane: 'bulk' },
      )
      for (const { user, mark } of news) {
        this.#told.set(user, mark)
        this.#waiting.delete(user)
      }
      for (const { user, record } of answer.records) await this.#homes.take(user, record)
    } catch (error) {
      if (!isFault(error)) throw error
      this.#homes.asker.noteFailure('home-records', keeper, error)
    }
  }

  /** Takes what is news; answers with what is known better here. Only of users whose set both are in. */
  async answer(
    from: MemberId,
    { records }: PeerRequestOf<'home-records'>,
    changed: (user: UserId) => void,
  ): Promise<PeerResponseOf<'home-records'>> {
    const shared = records.filter(({ user }) => {
      const set = this.#homes.serverSet(user)
      return set.includes(from) && set.includes(this.#context.selfId)
    })
    const better: News[] = []
    await Promise.all(
      shared.map(async ({ user, record }) => {
        if (await this.#homes.take(user, record)) changed(user)
        const own = this.#homes.record(user)
        if (own !== null && isHigher(own, record)) better.push({ user, record: own })
      }),
    )
    return { records: better }
  }
}
