/**
 * Homes: which member of a user's server set serves the user (DESIGN.md section 6). Promises: a request is redirected
 * only to a member that has just confirmed that it is home; a higher record that is heard is taken, and whoever thought
 * to be home below it stops serving; a dead home is replaced by the best live member of the set at a raised epoch; no
 * request is redirected more than twice, whatever each node believes. Every wait has a bound.
 */
import { decideHome, isHigher, redirectsMax } from '../core/homes.ts'
import type { HomeAnswer, HomeDecision } from '../core/homes.ts'
import { capacityInUse, serverSet } from '../core/placement.ts'
import type { Load } from '../core/placement.ts'
import { Fault, assert } from '../faults.ts'
import type { LogIndex, MemberId, UserId } from '../ids.ts'
import type { HomeRecord, PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { Assignment, NodeAddress, Route } from '../replica-api.ts'
import { HomeAsker } from './cart-asker.ts'
import { EarlierSets } from './cart-sets.ts'
import { LruMap } from './cart-lru.ts'
import { Mover } from './cart-mover.ts'
import { Sessions } from './cart-sessions.ts'
import type { Context, HomesView, RequestHandlers } from './context.ts'
import { GroupCommit } from './group-commit.ts'

/** A member that confirmed that it is home is believed for this long (DESIGN.md section 6). */
const confirmedLifeMs = 1_000
/** Times one request looks again after it learned something new; each raises what is known, so few suffice. */
const roundsMax = 4
/** Users whose set or confirmed home is remembered in memory. */
const cachedUsersMax = 20_000

type MemberRecords = Parameters<typeof serverSet>[1]
type Confirmed = { record: HomeRecord; untilMs: number }

/** What homes need of carts. */
export interface HomeCarts {
  /** Makes sure that this node has the cart (takeover), before it serves it. */
  open(user: UserId): Promise<void>
  /** The user was made just now: there is nothing to fetch. */
  begin(user: UserId): void
  /** Another member is home now. */
  close(user: UserId): void
  /** Sends the cart to a member; false when it has not confirmed the same content. */
  deliver(user: UserId, to: MemberId): Promise<boolean>
}

function noHome(why: string): Fault {
  return new Fault('no-home', why, {}, { retryAfterSeconds: 1 })
}

export class Homes implements HomesView {
  readonly #context: Context
  readonly #mover: Mover
  readonly asker: HomeAsker
  readonly sessions: Sessions
  /** Shared with the carts, so that a cart and its record are written together. */
  readonly commit: GroupCommit
  #carts: HomeCarts | null
  #sets = new LruMap<UserId, MemberId[]>(cachedUsersMax)
  #setsVersion: LogIndex = -1
  /** Sets of a user before the present one. */
  readonly earlier: EarlierSets
  #members: MemberRecords = []
  readonly #confirmed = new LruMap<UserId, Confirmed>(cachedUsersMax)
  readonly #routing = new Map<string, Promise<Route>>()
  /** Homes given since a member last said how many users it has: many at once must not all go to one member. */
  readonly #given = new Map<MemberId, { heardAtMs: number; count: number }>()

  constructor(context: Context, carts: HomeCarts | null = null) {
    this.#context = context
    this.#carts = carts
    this.commit = new GroupCommit(context.clock, context.stores.local)
    this.sessions = new Sessions(context.clock, context.stores.local, this.commit)
    this.asker = new HomeAsker(context, this)
    this.earlier = new EarlierSets(context)
    this.#mover = new Mover(context, this)
  }

  /** The carts register themselves, because they know this object already when they are made. */
  attach(carts: HomeCarts): void {
    this.#carts = carts
  }

  get carts(): HomeCarts {
    assert(this.#carts !== null, 'homes serve carts: CartService attaches itself')
    return this.#carts
  }

  start(): void {
    this.#refreshSets()
    this.#context.members.onChange(() => {
      if (this.#refreshSets()) this.#mover.membersChanged()
    })
    this.#mover.start()
  }

  stop(): void {
    this.#mover.stop()
  }

  /** All users of this node have another home; only while it is draining. */
  drained(): boolean {
    return this.isDraining() && this.#context.stores.local.sessionCount(this.#context.selfId) === 0
  }

  isDraining(): boolean {
    return this.#context.members.get(this.#context.selfId)?.draining ?? false
  }

  // ---------------------------------------------------------------- sets and records

  serverSet(user: UserId): MemberId[] {
    this.#refreshSets()
    const known = this.#sets.get(user)
    if (known !== undefined) return known
    const set = serverSet(user, this.#members, this.#context.settings.serverSetSize)
    this.#sets.set(user, set)
    return set
  }

  earlierSets(user: UserId): MemberId[][] {
    return this.earlier.of(user, this.serverSet(user))
  }

  /** Where older copies may be: those sets, and what was noted with the user's record. */
  olderCopies(user: UserId): MemberId[][] {
    const noted = this.earlier.areSettled ? [] : (this.sessions.get(user)?.previousMembers ?? [])
    return [...this.earlierSets(user), ...(noted.length > 0 ? [noted] : [])]
  }

  /** True when the list has changed since the last look. */
  #refreshSets(): boolean {
    const { members } = this.#context
    if (members.version() === this.#setsVersion) return false
    this.#setsVersion = members.version()
    this.#members = [...members.list()]
    if (this.#members.length > 0) this.earlier.setPresent(this.#members, this.#setsVersion)
    this.#sets.clear()
    return true
  }

  record(user: UserId): HomeRecord | null {
    return this.sessions.record(user)
  }

  isInSet(user: UserId): boolean {
    return this.serverSet(user).includes(this.#context.selfId)
  }

  /** This node is the recorded home, and may be (it is in the set). */
  isHome(user: UserId): boolean {
    return this.record(user)?.home === this.#context.selfId && this.isInSet(user)
  }

  /**
   * Takes a record from another node if it is higher than the own; on disk when this resolves, if this node is in the
   * set. A node that was home below it stops serving, until it has opened the cart again if it is home at this one too.
   */
  async take(user: UserId, record: HomeRecord | null): Promise<boolean> {
    if (record === null || !isHigher(record, this.record(user))) return false
    const { selfId, stores } = this.#context
    // Nothing of an erased account is written any more.
    if (stores.local.isErased(user)) return false
    const wasHome = this.record(user)?.home === selfId
    const taken = this.sessions.take(user, record, this.serverSet(user), {
      persist: this.isInSet(user),
      keepOlder: record.home === selfId,
    })
    // Also when it stays home: somebody else may have been home in between, so the cart is pulled again.
    if (wasHome) {
      this.#confirmed.delete(user)
      this.carts.close(user)
    }
    return await taken
  }

  loadOf(member: MemberId): Load {
    const info = this.#context.presence.get(member)
    const known = this.#context.members.get(member)
    const capacity = known === null ? 0 : capacityInUse(known)
    const given = this.#given.get(member)
    const extra = given !== undefined && info !== null && given.heardAtMs === info.heardAtMs ? given.count : 0
    return { users: (info?.users ?? 0) + extra, loadPercent: info?.loadPercent ?? 0, capacity }
  }

  /** A user went to the member since it last said how many it has. */
  countGiven(member: MemberId): void {
    const info = this.#context.presence.get(member)
    // What this node says about itself is always fresh.
    if (info === null || member === this.#context.selfId) return
    const given = this.#given.get(member)
    const isSame = given?.heardAtMs === info.heardAtMs
    this.#given.set(member, { heardAtMs: info.heardAtMs, count: isSame ? given.count + 1 : 1 })
  }

  // ---------------------------------------------------------------- who serves

  /** See `Carts.route`. */
  async route(user: UserId, hops: number): Promise<Route> {
    const name = `${Math.min(hops, redirectsMax)} ${user}`
    const running = this.#routing.get(name)
    if (running !== undefined) return await running
    const routing = this.#route(user, hops).finally(() => this.#routing.delete(name))
    this.#routing.set(name, routing)
    return await routing
  }

  async #route(user: UserId, hops: number): Promise<Route> {
    for (let round = 0; round < roundsMax; round += 1) {
      const found = await this.#find(user, hops)
      if (found.home !== this.#context.selfId) {
        const home = this.#context.members.address(found.home)
        if (home === null) throw noHome('the home of this user is not a member any more')
        this.#context.counters.add('redirects_total')
        const clockAheadMs = this.asker.clockAheadMs(found.home)
        const route: Route = { kind: 'redirect', home, epoch: found.epoch }
        return clockAheadMs === 0 ? route : { ...route, clockAheadMs }
      }
      await this.carts.open(user)
      // Opening asks others, and may have heard of a higher record.
      const record = this.record(user)
      if (record === null || !this.isHome(user)) continue
      this.sessions.touch(user)
      this.#mover.visited(user)
      return { kind: 'here', epoch: record.epoch }
    }
    throw noHome('the home of this user is changing')
  }

  async assign(user: UserId, isNew: boolean): Promise<Assignment> {
    return this.#assignment(user, await this.#find(user, 0, isNew))
  }

  async locate(user: UserId): Promise<Assignment> {
    return this.#assignment(user, await this.find(user))
  }

  #assignment(user: UserId, record: HomeRecord): Assignment {
    const addressOf = (member: MemberId): NodeAddress[] => {
      const address = this.#context.members.address(member)
      return address === null ? [] : [address]
    }
    const home = addressOf(record.home)[0]
    if (home === undefined) throw noHome('the home of this user is not a member any more')
    return { home, epoch: record.epoch, serverSet: this.serverSet(user).flatMap(addressOf) }
  }

  /** The confirmed home of a user, made if there is none. Fault `no-home`. */
  async find(user: UserId): Promise<HomeRecord> {
    return await this.#find(user, 0)
  }

  /** Home that has just confirmed, or this node, which then is in the set and recorded. */
  async #find(user: UserId, hops: number, isNew = false): Promise<HomeRecord> {
    const unwilling = new Set<MemberId>()
    for (let round = 0; round < roundsMax; round += 1) {
      const own = this.record(user)
      if (own !== null && this.isHome(user)) return own
      const confirmed = this.#confirmedHome(user, hops)
      if (confirmed !== null) return confirmed
      const answers = hops >= redirectsMax ? new Map<MemberId, HomeAnswer>() : await this.asker.askAll(user)
      const decision = this.#decide(user, hops, answers, unwilling)
      switch (decision.kind) {
        case 'serve':
          await this.take(user, decision.record)
          return decision.record
        case 'redirect':
          await this.#confirm(user, decision.record)
          return decision.record
        case 'assume': {
          const assumed = await this.#assume(user, decision.record, isNew)
          if (assumed !== null) return assumed
          unwilling.add(decision.record.home)
          break
        }
        case 'unreachable':
          throw noHome('no member of this user’s server set can be reached')
        default: {
          const never: never = decision
          throw new Error(`unknown decision ${String(never)}`)
        }
      }
    }
    throw noHome('no member of this user’s server set became home in time')
  }

  #decide(
    user: UserId,
    hops: number,
    answers: Map<MemberId, HomeAnswer>,
    unwilling: Set<MemberId>,
  ): HomeDecision {
    return decideHome({
      self: this.#context.selfId,
      isSelfDraining: this.isDraining(),
      set: this.serverSet(user),
      record: this.record(user),
      hops,
      answers,
      unwilling,
      loadOf: (member) => this.loadOf(member),
    })
  }

  #confirmedHome(user: UserId, hops: number): HomeRecord | null {
    if (hops >= redirectsMax) return null
    const confirmed = this.#confirmed.get(user)
    if (confirmed === undefined || confirmed.untilMs < this.#context.clock.monotonicMs()) return null
    if (!this.#context.presence.alive(confirmed.record.home)) return null
    return isHigher(this.record(user), confirmed.record) ? null : confirmed.record
  }

  async #confirm(user: UserId, record: HomeRecord): Promise<void> {
    const untilMs = this.#context.clock.monotonicMs() + confirmedLifeMs
    this.#confirmed.set(user, { record, untilMs })
    await this.take(user, record)
  }

  // ---------------------------------------------------------------- becoming home

  /** Makes the record's home home at it; the record that it serves at, or null when it does not. */
  async #assume(user: UserId, record: HomeRecord, isNew: boolean): Promise<HomeRecord | null> {
    const { selfId, counters } = this.#context
    if (record.home === selfId) {
      if (record.epoch > 1) counters.add('takeovers_total')
      await this.take(user, record)
      if (isNew) this.carts.begin(user)
      return this.record(user)?.home === selfId ? this.record(user) : null
    }
    const answer = await this.asker.assume(user, record, isNew)
    if (answer === null) return null
    if (!answer.serving || answer.record.home !== record.home) {
      await this.take(user, answer.record)
      return null
    }
    this.countGiven(record.home)
    await this.#confirm(user, answer.record)
    return answer.record
  }

  handlers(): Pick<RequestHandlers, 'home-ask' | 'home-assume'> {
    return {
      'home-ask': (_from, request) => this.#answerAsk(request.user),
      'home-assume': async (_from, request) => ({
        ...(await this.#answerAssume(request)),
        wallMs: this.#context.clock.wallMs(),
      }),
    }
  }

  async #answerAsk(user: UserId): Promise<PeerResponseOf<'home-ask'>> {
    const { loadPercent } = this.loadOf(this.#context.selfId)
    return {
      record: this.record(user),
      serving: this.isHome(user),
      draining: this.isDraining(),
      loadPercent,
      wallMs: this.#context.clock.wallMs(),
    }
  }

  async #answerAssume({
    user,
    record,
    isNew = false,
  }: PeerRequestOf<'home-assume'>): Promise<PeerResponseOf<'home-assume'>> {
    const { selfId, members, counters } = this.#context
    if (record.home !== selfId) throw new Fault('invalid-request', 'the record names another home')
    if (!this.isInSet(user)) {
      throw new Fault('conflict', 'this node is not in the user’s server set', {
        membersVersion: members.version(),
      })
    }
    const own = this.record(user)
    if (own !== null && !isHigher(record, own)) return { record: own, serving: this.isHome(user) }
    if (this.isDraining() && this.#hasOtherHome(user)) {
      if (own === null) throw new Fault('no-home', 'this node is draining', {}, { retryAfterSeconds: 1 })
      return { record: own, serving: this.isHome(user) }
    }
    if (own !== null && own.home !== selfId && record.epoch > 1) counters.add('takeovers_total')
    await this.take(user, record)
    if (isNew) this.carts.begin(user)
    else this.#openSoon(user)
    const taken = this.record(user) ?? record
    return { record: taken, serving: this.isHome(user) }
  }

  /** A draining node becomes home only when nobody else can (DESIGN.md section 6). */
  #hasOtherHome(user: UserId): boolean {
    const { selfId, presence, members } = this.#context
    return this.serverSet(user).some(
      (member) => member !== selfId && presence.alive(member) && !(members.get(member)?.draining ?? false),
    )
  }

  /** The redirected shopper is on the way: the cart may as well be fetched meanwhile. */
  #openSoon(user: UserId): void {
    this.carts.open(user).catch((error: unknown) => {
      this.#context.logger.debug({ reason: String(error) }, 'a cart could not be opened ahead of its user')
    })
  }
}
