/**
 * When the primary lowers what is asked of a member (DESIGN.md section 6: "the primary may lower while a member is
 * overloaded for long (a members change)"). Promises: only a member that was busy without a break while others were
 * not; one step of one member at a time, and then a look at what it did; never below a quarter; given back when the
 * member was idle for longer than it was busy. Each step moves the server sets of some users, so nothing here is quick.
 */
import type { MemberId } from '../ids.ts'

/** Mean processor load from which a member counts as overloaded. */
const overloadedPercent = 85
/** And the others must have room: those that live are this much less busy on average, or nothing would be gained. */
const othersLessPercent = 30
/** From here on a member has room for more again. */
const calmPercent = 50
/** Without a break. */
const overloadedAfterMs = 120_000
/** Longer, so that a load that comes and goes does not move users to and fro. */
const calmAfterMs = 600_000
/** Samples are averaged over so long: a load of one second is none. */
const averageOverMs = 30_000
/** Steps of the share of its capacity that a member is left with. */
const shareStep = 0.25
const shareLeast = 0.25

export type WatchedMember = {
  readonly id: MemberId
  readonly alive: boolean
  readonly loadPercent: number
  /** Share of its capacity that it is asked for now, 0.25 to 1. */
  readonly share: number
}
export type ShareChange = { readonly id: MemberId; readonly share: number }

type Watched = { averagePercent: number; overloadedSinceMs: number | null; calmSinceMs: number | null }

export class OverloadWatch {
  #members = new Map<MemberId, Watched>()
  #lookedAtMs: number | null = null

  /** Everything is observed anew: after a change, and at a new primary. */
  reset(): void {
    this.#members.clear()
    this.#lookedAtMs = null
  }

  /** One sample of all members, some second after the one before. Returns the change that is due, if one is. */
  look(members: readonly WatchedMember[], nowMs: number): ShareChange | null {
    const live = members.filter(({ alive }) => alive)
    const weight = this.#weightOf(nowMs)
    const known = new Map<MemberId, Watched>()
    for (const member of live) known.set(member.id, this.#average(member, weight))
    this.#members = known
    for (const { id } of live) this.#judge(id, nowMs)
    return this.#due(live, nowMs)
  }

  #weightOf(nowMs: number): number {
    const sinceMs = this.#lookedAtMs === null ? averageOverMs : nowMs - this.#lookedAtMs
    this.#lookedAtMs = nowMs
    return 1 - Math.exp(-Math.max(0, sinceMs) / averageOverMs)
  }

  #average({ id, loadPercent }: WatchedMember, weight: number): Watched {
    const known = this.#members.get(id)
    if (known === undefined)
      return { averagePercent: loadPercent, overloadedSinceMs: null, calmSinceMs: null }
    const averagePercent = known.averagePercent + weight * (loadPercent - known.averagePercent)
    return { ...known, averagePercent }
  }

  #judge(id: MemberId, nowMs: number): void {
    const watched = this.#members.get(id)
    if (watched === undefined) return
    const others = [...this.#members].filter(([other]) => other !== id)
    const othersPercent =
      others.reduce((sum, [, { averagePercent }]) => sum + averagePercent, 0) / others.length
    const isOverloaded =
      others.length > 0 &&
      watched.averagePercent >= overloadedPercent &&
      watched.averagePercent - othersPercent >= othersLessPercent
    watched.overloadedSinceMs = isOverloaded ? (watched.overloadedSinceMs ?? nowMs) : null
    const isCalm = watched.averagePercent <= calmPercent
    watched.calmSinceMs = isCalm ? (watched.calmSinceMs ?? nowMs) : null
  }

  /** The one that has been overloaded for the longest comes first; giving back waits until nobody is. */
  #due(live: readonly WatchedMember[], nowMs: number): ShareChange | null {
    const since = (id: MemberId, kind: 'overloadedSinceMs' | 'calmSinceMs'): number =>
      this.#members.get(id)?.[kind] ?? Number.POSITIVE_INFINITY
    const first = (kind: 'overloadedSinceMs' | 'calmSinceMs', of: readonly WatchedMember[]) =>
      of.toSorted((one, other) => since(one.id, kind) - since(other.id, kind))[0]
    const busy = first(
      'overloadedSinceMs',
      live.filter(({ share }) => share > shareLeast),
    )
    if (busy !== undefined && nowMs - since(busy.id, 'overloadedSinceMs') >= overloadedAfterMs)
      return { id: busy.id, share: Math.max(shareLeast, busy.share - shareStep) }
    const idle = first(
      'calmSinceMs',
      live.filter(({ share }) => share < 1),
    )
    if (idle !== undefined && nowMs - since(idle.id, 'calmSinceMs') >= calmAfterMs)
      return { id: idle.id, share: Math.min(1, idle.share + shareStep) }
    return null
  }
}
