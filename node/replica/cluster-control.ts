/** What operators do to a running cluster: hand-over, changes of members, removal (API.md, "admin/cluster"). */
import { Fault, isFault } from '../faults.ts'
import type { MemberId, NodeName, Term } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { Clock } from '../ports.ts'
import type { ClusterControl, ClusterView, MemberView } from '../replica-api.ts'
import type { ClusterReads } from './cluster-view.ts'
import type { Consensus } from './consensus.ts'
import type { LogClient, MembersView, Peers } from './context.ts'
import type { Counters } from './counters.ts'
import { noPrimary, withTimeout } from './waiting.ts'

/** A hand-over takes a few round trips; after this it is undone by the consensus core itself. */
const handOverTimeoutMs = 4_000
/** How long an answer waits until this node knows the new primary itself; an announcement takes some 10 ms. */
const successorKnownMs = 1_000
/** How often a change of primary is looked for; operators hand over now and then, not all the time. */
const primaryPollMs = 10
/** Another voter in the place of a removed one: a learner's catching up, two changes, and the word of them by gossip. */
const retirementTimeoutMs = 10_000
const retirementLookMs = 20

export type ClusterControlOptions = {
  selfId: MemberId
  clock: Clock
  members: MembersView
  log: LogClient
  peers: Peers
  reads: ClusterReads
  counters: Counters
  consensus: () => Consensus
  voters: () => readonly MemberId[]
}

export class ClusterControlService implements ClusterControl {
  readonly #options: ClusterControlOptions

  constructor(options: ClusterControlOptions) {
    this.#options = options
  }

  view(): ClusterView {
    return this.#options.reads.view()
  }

  ready(): { ready: boolean; reason: string } {
    return this.#options.reads.ready()
  }

  async handOver(to: NodeName | null): Promise<{ node: NodeName; term: number }> {
    const { members, clock, voters } = this.#options
    const target = to === null ? null : this.#memberId(to)
    if (target !== null && !voters().includes(target)) throw new Fault('conflict', `${to} is not a voter`)
    const deadlineMs = clock.monotonicMs() + handOverTimeoutMs
    const answer = await this.#askPrimary({ kind: 'hand-over', to: target }, deadlineMs)
    // Who lives on gossip hears of the new primary a moment later; what is asked of this node next is for that one.
    await this.#primaryWhen(({ term }) => term >= answer.term, clock.monotonicMs() + successorKnownMs)
    const node = members.get(answer.primary)?.node
    if (node === undefined) throw new Fault('internal', 'the new primary is not in the member list')
    return { node, term: answer.term }
  }

  /** Asks whoever is primary: the one that this node knows may have handed the lease on a moment ago. */
  async #askPrimary(
    request: PeerRequestOf<'hand-over'>,
    deadlineMs: number,
  ): Promise<PeerResponseOf<'hand-over'>> {
    const { clock, peers } = this.#options
    let refusedBy: { id: MemberId; term: Term } | null = null
    for (;;) {
      const before: { id: MemberId; term: Term } | null = refusedBy
      const isNews = (primary: { id: MemberId; term: Term }): boolean =>
        before === null || primary.id !== before.id || primary.term !== before.term
      const primary = await this.#primaryWhen(isNews, deadlineMs)
      if (primary === null) throw noPrimary('there is no primary to hand the lease over')
      const timeoutMs = Math.max(1, deadlineMs - clock.monotonicMs())
      try {
        return await peers.ask(primary.id, request, { timeoutMs })
      } catch (error) {
        if (!isFault(error) || error.data['notPrimary'] !== true) throw error
        refusedBy = primary
      }
    }
  }

  /** The primary as this node knows it, as soon as it passes `test`; null when the time is over. */
  async #primaryWhen(
    test: (primary: { id: MemberId; term: Term }) => boolean,
    deadlineMs: number,
  ): Promise<{ id: MemberId; term: Term } | null> {
    const { clock, log } = this.#options
    for (;;) {
      const primary = log.primary()
      if (primary !== null && test(primary)) return primary
      if (clock.monotonicMs() >= deadlineMs) return null
      await new Promise<void>((resolve) => {
        clock.timer(primaryPollMs, resolve)
      })
    }
  }

  async patchMember(
    node: NodeName,
    patch: { eligible?: boolean; draining?: boolean; capacity?: number },
  ): Promise<MemberView> {
    const id = this.#memberId(node)
    const { log, reads, members } = this.#options
    const version = members.version()
    await log.run(log.freshCommandId(), { kind: 'member.update', id, ...patch }, { waitLocal: true })
    await this.#listNewerThan(version)
    const view = reads.member(id)
    if (view === null) throw new Fault('not-found', `${node} is not a member any more`)
    return view
  }

  async removeMember(node: NodeName): Promise<void> {
    const id = this.#memberId(node)
    const { log, members, voters } = this.#options
    if (voters().includes(id)) await this.#retire(id)
    const version = members.version()
    await log.run(log.freshCommandId(), { kind: 'member.remove', id }, { waitLocal: true })
    await this.#listNewerThan(version)
  }

  /**
   * A voter gives its place away before it is removed: once it is, nobody takes its log any more (it may be the only
   * one that has it), and whoever asked may stop it and empty its disk at once.
   */
  async #retire(id: MemberId): Promise<void> {
    const { clock, log, voters } = this.#options
    await log.run(log.freshCommandId(), { kind: 'member.update', id, eligible: false })
    const deadlineMs = clock.monotonicMs() + retirementTimeoutMs
    while (voters().length === 0 || voters().includes(id)) {
      if (clock.monotonicMs() >= deadlineMs)
        throw noPrimary(
          'no other member could take its place as a voter yet; it is not eligible any more, ask again',
        )
      await new Promise<void>((resolve) => {
        clock.timer(retirementLookMs, resolve)
      })
    }
  }

  #memberId(node: NodeName): MemberId {
    // Who was not let in yet knows nobody, and must not say that somebody does not exist.
    if (this.#options.members.version() === 0) throw noPrimary('this node is not in a cluster yet')
    const member = this.#options.members.byName(node)
    if (member === null) throw new Fault('not-found', `no member is called ${node}`)
    return member.id
  }

  /** The answer shows the change also at a node that gets the member list by gossip. */
  async #listNewerThan(version: number): Promise<void> {
    const { members, log, peers, selfId } = this.#options
    const primary = log.primary()
    if (members.version() > version || primary === null || primary.id === selfId) return
    const list = await peers.ask(primary.id, { kind: 'members' }, { timeoutMs: handOverTimeoutMs })
    members.take(list)
  }

  async #handOverHere(to: MemberId | null): Promise<{ primary: MemberId; term: Term }> {
    const { clock, selfId, counters } = this.#options
    const consensus = this.#options.consensus()
    if (!consensus.isPrimary())
      throw new Fault(
        'no-primary',
        'this node is not the primary',
        { notPrimary: true },
        { retryAfterSeconds: 1 },
      )
    if (to === selfId) return { primary: selfId, term: consensus.raft.term }
    if (consensus.config.voters.length < 2)
      throw new Fault('conflict', 'there is no other voter to hand the lease to')
    const termBefore = consensus.raft.term
    const done = await withTimeout(clock, consensus.transfer(to), handOverTimeoutMs, () =>
      noPrimary('the lease was not taken over in time'),
    )
    if (!done) throw noPrimary('the other voter did not take the lease; this node keeps it')
    counters.add('hand_overs_total')
    return this.#successor(termBefore)
  }

  /** Who took the lease: known as soon as the new primary's first message is here. */
  async #successor(termBefore: Term): Promise<{ primary: MemberId; term: Term }> {
    const deadlineMs = this.#options.clock.monotonicMs() + handOverTimeoutMs
    const primary = await this.#primaryWhen(({ term }) => term > termBefore, deadlineMs)
    if (primary === null) throw noPrimary('the lease was given away, but no successor was heard of in time')
    return { primary: primary.id, term: primary.term }
  }

  readonly handlers = {
    'hand-over': (
      _from: MemberId,
      request: PeerRequestOf<'hand-over'>,
    ): Promise<PeerResponseOf<'hand-over'>> => this.#handOverHere(request.to),
  }
}
