/**
 * Gives users another home without being asked: those of a draining node, those whose home left their set, and idle
 * ones of a node that is clearly more loaded than another member of their set. Promises: the cart is at the new home
 * before the record is raised there; a bounded number of users at a time; no flapping (the gap that starts a migration
 * is far wider than what it closes).
 */
import {
  fewestUsers,
  hasClearlyMoreUsers,
  hasMoreUsers,
  isMuchBusier,
  leastLoaded,
} from '../core/placement.ts'
import type { Load } from '../core/placement.ts'
import { isFault } from '../faults.ts'
import type { MemberId, UserId } from '../ids.ts'
import type { CancelTimer, SessionRow } from '../ports.ts'
import type { Context } from './context.ts'
import type { Homes } from './homes.ts'

/** How often this node looks whether somebody should move. */
const moveIntervalMs = 1_000
/** Users of a draining node moved at once: each costs two requests and two writes. */
const drainUsersMax = 100
/** Users moved to even loads out in one turn: slow enough that presence shows what it changed before the next turn. */
const evenedUsersMax = 10
/** Users who were just answered, looked at in one turn; more only wait for their next request. */
const visitorsMax = 1_000
/** Rows looked at in one turn; the next turn goes on after them. */
const rowsPerTurnMax = 500
/** Pause between pages while previous sets are noted after a change of members. */
const pageDelayMs = 5

export class Mover {
  readonly #context: Context
  readonly #homes: Homes
  #cancel: CancelTimer | null = null
  #cancelPage: CancelTimer | null = null
  #stopped = false
  #cursor: UserId | null = null
  /** Users whose requests were served here since the last turn. */
  readonly #visitors = new Set<UserId>()
  /** Members that users are moved to until the numbers are even. */
  readonly #relievers = new Set<MemberId>()

  constructor(context: Context, homes: Homes) {
    this.#context = context
    this.#homes = homes
  }

  start(): void {
    this.#cancel = this.#context.clock.timer(moveIntervalMs, () => {
      this.#turn().then(
        () => this.#again(),
        (error: unknown) => {
          if (this.#stopped) return
          this.#context.logger.error({ error: String(error) }, 'moving users failed; it is tried again')
          this.#again()
        },
      )
    })
  }

  #again(): void {
    if (!this.#stopped) this.start()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
    this.#cancelPage?.()
  }

  /** The user was served here: after a change of members the next request is a good moment for another home. */
  visited(user: UserId): void {
    if (this.#visitors.size < visitorsMax) this.#visitors.add(user)
  }

  /** Notes the set before the change with each session, so that a takeover finds older copies (DESIGN.md section 5). */
  membersChanged(): void {
    this.#cancelPage?.()
    this.#notePage(null)
  }

  #notePage(after: UserId | null): void {
    if (this.#stopped) return
    const page = this.#homes.sessions.page(after, rowsPerTurnMax)
    const writes = page.map((row) => this.#notePrevious(row))
    Promise.all(writes).catch((error: unknown) => {
      this.#context.logger.warn({ reason: String(error) }, 'previous server sets could not be written')
    })
    const last = page.at(-1)
    if (last === undefined || page.length < rowsPerTurnMax) return
    this.#cancelPage = this.#context.clock.timer(pageDelayMs, () => this.#notePage(last.user))
  }

  async #notePrevious(row: SessionRow): Promise<void> {
    const now = this.#homes.serverSet(row.user)
    const before = this.#homes.earlierSets(row.user)[0]
    if (
      before === undefined ||
      (before.length === now.length && before.every((member) => now.includes(member)))
    )
      return
    await this.#homes.sessions.setPrevious(row.user, [row.record.home, ...before])
  }

  async #turn(): Promise<void> {
    const { members, selfId } = this.#context
    if (!members.selfIsMember()) return
    const page = this.#homes.sessions.page(this.#cursor, rowsPerTurnMax)
    this.#cursor = page.length < rowsPerTurnMax ? null : (page.at(-1)?.user ?? null)
    const mine = page.filter((row) => row.record.home === selfId)
    await this.#homes.sessions.writeActivity(mine.map((row) => row.user))
    const isDraining = this.#homes.isDraining()
    const misplaced = mine
      .filter((row) => isDraining || !this.#homes.isInSet(row.user))
      .slice(0, drainUsersMax)
    await Promise.all(misplaced.map((row) => this.#moveAway(row)))
    const visitors = [...this.#visitors]
    this.#visitors.clear()
    if (!isDraining) await this.#evenOut(mine, visitors)
  }

  /** Live members of the set that are not draining. */
  #candidates(user: UserId): MemberId[] {
    const { selfId, presence, members } = this.#context
    return this.#homes
      .serverSet(user)
      .filter(
        (member) => member !== selfId && presence.alive(member) && !(members.get(member)?.draining ?? true),
      )
  }

  async #moveAway(row: SessionRow): Promise<void> {
    const target = leastLoaded(this.#candidates(row.user), (member) => this.#homes.loadOf(member))
    if (target !== null) await this.#move(row, target)
  }

  /**
   * Gives users to members that have clearly fewer: those that were here just now, because their next request brings
   * them to the other home anyway, and those that have been idle for long. None of them notices more than a redirect.
   */
  async #evenOut(rows: readonly SessionRow[], visitors: readonly UserId[]): Promise<void> {
    const { clock, settings, selfId } = this.#context
    const idleSinceMs = clock.wallMs() - settings.idleAfterMs
    const isIdle = (row: SessionRow): boolean => row.lastActiveAtMs <= idleSinceMs
    const visiting = visitors.flatMap((user) => this.#homes.sessions.get(user) ?? [])
    // Once a turn: counting the own users is a query.
    const own = this.#homes.loadOf(selfId)
    let moved = 0
    for (const row of this.#shuffled([...visiting, ...rows.filter(isIdle)])) {
      if (moved >= evenedUsersMax) return
      if (row.record.home !== selfId) continue
      const target = this.#reliever(row.user, { ...own, users: own.users - moved }, isIdle(row))
      if (target === null || !(await this.#move(row, target))) continue
      this.#homes.countGiven(target)
      moved += 1
    }
  }

  /**
   * Some of both kinds: with the visitors first, a member that comes back gets everybody who shops and nobody who is
   * idle, and its processor is the busiest one before it has its share of the users.
   */
  #shuffled(rows: readonly SessionRow[]): SessionRow[] {
    const { random } = this.#context
    return rows
      .map((row) => ({ row, place: random.next() }))
      .sort((one, other) => one.place - other.place)
      .map(({ row }) => row)
  }

  /** The member that the user should move to; null when the loads are even enough. */
  #reliever(user: UserId, own: Load, isIdle: boolean): MemberId | null {
    const loadOf = (member: MemberId): Load => this.#homes.loadOf(member)
    const candidates = this.#candidates(user)
    // Numbers are evened out with whoever has the fewest, however the processors differ from second to second; but a
    // member that is so busy that it would give its idle users away gets nobody.
    const fewest = fewestUsers(
      candidates.filter((member) => !isMuchBusier(loadOf(member), own)),
      loadOf,
    )
    if (fewest !== null) {
      const other = loadOf(fewest)
      if (hasClearlyMoreUsers(own, other)) this.#relievers.add(fewest)
      else if (!hasMoreUsers(own, other)) this.#relievers.delete(fewest)
      if (this.#relievers.has(fewest)) return fewest
    }
    // Only the idle flee a busy processor: what makes it busy may be over with the next request.
    const idlest = isIdle ? leastLoaded(candidates, loadOf) : null
    return idlest !== null && isMuchBusier(own, loadOf(idlest)) ? idlest : null
  }

  /** Cart first, record after it; false when either did not work, and everything stays as it was. */
  async #move(row: SessionRow, target: MemberId): Promise<boolean> {
    const { counters, selfId } = this.#context
    try {
      if (!(await this.#homes.carts.deliver(row.user, target))) return false
    } catch (error) {
      if (!isFault(error)) throw error
      this.#homes.asker.noteFailure('cart-push', target, error)
      return false
    }
    const now = this.#homes.record(row.user)
    if (this.#stopped || now === null || now.home !== selfId) return false
    const answer = await this.#homes.asker.assume(row.user, { epoch: now.epoch + 1, home: target })
    if (answer === null) return false
    await this.#homes.take(row.user, answer.record)
    if (!answer.serving) return false
    counters.add('migrations_total')
    return true
  }
}
