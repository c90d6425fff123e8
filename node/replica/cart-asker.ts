/** Asks other members who a user's home is, and asks them to become it. Promises: every question has a bound. */
import { isHigher } from '../core/homes.ts'
import type { HomeAnswer } from '../core/homes.ts'
import type { Fault } from '../faults.ts'
import { isFault } from '../faults.ts'
import type { MemberId, UserId } from '../ids.ts'
import type { HomeRecord, PeerResponseOf } from '../messages.ts'
import type { Context } from './context.ts'

/** A silent home costs a shopper this long, once; a closed port answers at once (DESIGN.md section 6). */
const askTimeoutMs = 250
/** What clocks differ by less than this may be the way of the answer that told. */
const clockDifferenceMinMs = 1_000
/** Becoming home is a write to disk at the other member. */
const assumeTimeoutMs = 1_000

export type HomeKnowledge = {
  serverSet(user: UserId): MemberId[]
  record(user: UserId): HomeRecord | null
  isInSet(user: UserId): boolean
}

export class HomeAsker {
  readonly #context: Context
  readonly #homes: HomeKnowledge
  /** Of members that answered: by how much their wall clocks are ahead of this node's. */
  readonly #clockAheadMs = new Map<MemberId, number>()

  constructor(context: Context, homes: HomeKnowledge) {
    this.#context = context
    this.#homes = homes
  }

  /**
   * Presence says that it is dead, which is a hint; a member never heard of in this life is not known to be dead. Nor is
   * anybody at a node that was removed: it hears no presence any more, and has carts to hand over.
   */
  isKnownDead(member: MemberId): boolean {
    const { presence, members, selfId } = this.#context
    if (members.isRemoved(selfId)) return false
    return !presence.alive(member) && presence.get(member) !== null
  }

  /** By how much the member's wall clock is ahead, by its last answer; 0 when it agrees or never told. */
  clockAheadMs(member: MemberId): number {
    const aheadMs = this.#clockAheadMs.get(member) ?? 0
    return Math.abs(aheadMs) < clockDifferenceMinMs ? 0 : aheadMs
  }

  #noteClock(member: MemberId, wallMs: number | undefined): void {
    if (wallMs !== undefined) this.#clockAheadMs.set(member, wallMs - this.#context.clock.wallMs())
  }

  /** Asks the recorded home and all members of the set at once; ends early when the recorded home confirms. */
  async askAll(user: UserId): Promise<Map<MemberId, HomeAnswer>> {
    const { selfId, members } = this.#context
    const own = this.#homes.record(user)
    const all = [...new Set([...(own === null ? [] : [own.home]), ...this.#homes.serverSet(user)])]
    const asked = all.filter((member) => member !== selfId && members.get(member) !== null)
    const hopeful = asked.filter((member) => !this.isKnownDead(member))
    const answers = await this.#ask(user, hopeful, own)
    // Presence is a hint: before a request fails, those that it calls dead are asked as well.
    if (answers.size > 0 || this.#homes.isInSet(user)) return answers
    const others = asked.filter((member) => !hopeful.includes(member))
    return await this.#ask(user, others, own)
  }

  #ask(
    user: UserId,
    members: readonly MemberId[],
    own: HomeRecord | null,
  ): Promise<Map<MemberId, HomeAnswer>> {
    const answers = new Map<MemberId, HomeAnswer>()
    return new Promise((resolve, reject) => {
      let waitingFor = members.length
      if (waitingFor === 0) resolve(answers)
      for (const member of members) {
        this.#askOne(user, member).then((answer) => {
          if (answer !== null) answers.set(member, answer)
          const isOwnHome = own !== null && own.home === member && answer !== null
          const isConfirmed = isOwnHome && answer.serving && !isHigher(own, answer.record)
          waitingFor -= 1
          if (isConfirmed || waitingFor === 0) resolve(new Map(answers))
        }, reject)
      }
    })
  }

  async #askOne(user: UserId, member: MemberId): Promise<HomeAnswer | null> {
    try {
      const question = { kind: 'home-ask', user } as const
      const answer = await this.#context.peers.ask(member, question, { timeoutMs: askTimeoutMs })
      this.#noteClock(member, answer.wallMs)
      return answer
    } catch (error) {
      if (!isFault(error)) throw error
      this.noteFailure('home-ask', member, error)
      return null
    }
  }

  /** Asks another member to become home at a record; null when it can't be reached or refuses. */
  async assume(
    user: UserId,
    record: HomeRecord,
    isNew = false,
  ): Promise<PeerResponseOf<'home-assume'> | null> {
    const request = { kind: 'home-assume', user, record, ...(isNew ? { isNew } : {}) } as const
    try {
      const answer = await this.#context.peers.ask(record.home, request, { timeoutMs: assumeTimeoutMs })
      this.#noteClock(record.home, answer.wallMs)
      return answer
    } catch (error) {
      if (!isFault(error)) throw error
      this.noteFailure('home-assume', record.home, error)
      return null
    }
  }

  /** Counts a request that got no answer; what follows from it is up to the caller. */
  noteFailure(kind: string, member: MemberId, fault: Fault): void {
    this.#context.counters.add('peer_requests_failed_total')
    this.#context.logger.debug(
      { kind, member, code: fault.code, reason: fault.message },
      'a peer gave no answer',
    )
  }
}
