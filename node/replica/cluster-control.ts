/** What operators do to a running cluster: hand-over, changes of members, removal (API.md, "admin/cluster"). */
import { Fault } from '../faults.ts'
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
    const { log, members, peers } = this.#options
    const primary = log.primary()
    if (primary === null) throw noPrimary('there is no primary to hand the lease over')
    const target = to === null ? null : this.#memberId(to)
    if (target !== null && !this.#options.voters().includes(target)) {
      throw new Fault('conflict', `${to} is not a voter`)
    }
    const request = { kind: 'hand-over', to: target } as const
    const answer = await peers.ask(primary.id, request, { timeoutMs: handOverTimeoutMs })
    const node = members.get(answer.primary)?.node
    if (node === undefined) throw new Fault('internal', 'the new primary is not in the member list')
    return { node, term: answer.term }
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
    const { log, members } = this.#options
    const version = members.version()
    await log.run(log.freshCommandId(), { kind: 'member.remove', id }, { waitLocal: true })
    await this.#listNewerThan(version)
  }

  #memberId(node: NodeName): MemberId {
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
    if (!consensus.isPrimary()) throw noPrimary('this node is not the primary')
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
    const { clock, log } = this.#options
    const deadlineMs = clock.monotonicMs() + handOverTimeoutMs
    while (clock.monotonicMs() < deadlineMs) {
      const primary = log.primary()
      if (primary !== null && primary.term > termBefore) return { primary: primary.id, term: primary.term }
      await new Promise<void>((resolve) => {
        clock.timer(10, resolve)
      })
    }
    throw noPrimary('the lease was given away, but no successor was heard of in time')
  }

  readonly handlers = {
    'hand-over': (
      _from: MemberId,
      request: PeerRequestOf<'hand-over'>,
    ): Promise<PeerResponseOf<'hand-over'>> => this.#handOverHere(request.to),
  }
}
