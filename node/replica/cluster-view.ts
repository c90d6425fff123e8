/** `GET /api/cluster` and readiness: what this node knows of itself and has heard of the others (API.md, "cluster"). */
import { capacityInUse } from '../core/placement.ts'
import type { LogIndex, MemberId, Term } from '../ids.ts'
import type { CatalogState, Clock, ShopStore } from '../ports.ts'
import type { ClusterView, MemberView, NodeAddress } from '../replica-api.ts'
import type { Counters } from './counters.ts'
import type { MembersView, PresenceInfo, PresenceView, Settings } from './context.ts'

/** Shown as the age of the last word from a member that this life of the node never heard. */
const neverHeardMs = 2_147_483_647
/** A node that started and hears nobody for so long is cut off, and serves what it has (DESIGN.md section 9, P8). */
const cutOffAfterMs = 3_000

export type ClusterViewOptions = {
  settings: Settings
  selfId: MemberId
  clock: Clock
  shop: ShopStore
  counters: Counters
  members: MembersView
  presence: PresenceView & { lastSeenMs(id: MemberId): number | null }
  catalog: () => CatalogState
  highestHeardVersion: () => number
  term: () => Term
  primary: () => MemberId | null
  leaseRemainingMs: () => number
  commitIndex: () => LogIndex
  appliedIndex: () => LogIndex
  voters: () => readonly MemberId[]
  /** Orders in the outbox, carts not delivered, carts on too few disks. */
  unsettled: () => number
  halted: () => string | null
  started: () => boolean
  /** Another member has said which versions there are, in this life of the node. */
  hasHeard: () => boolean
}

export class ClusterReads {
  readonly #options: ClusterViewOptions
  readonly #createdAtMs: number

  constructor(options: ClusterViewOptions) {
    this.#options = options
    this.#createdAtMs = options.clock.monotonicMs()
  }

  view(): ClusterView {
    const { settings, selfId, shop, members, counters } = this.#options
    const voters = this.#options.voters()
    const primary = this.#options.primary()
    const { count, digest } = shop.read.ordersDigest()
    return {
      node: settings.node,
      term: this.#options.term(),
      primary: primary === null ? null : members.address(primary),
      leaseRemainingMs: Math.round(this.#options.leaseRemainingMs()),
      commitIndex: this.#options.commitIndex(),
      appliedIndex: this.#options.appliedIndex(),
      catalog: this.#options.catalog(),
      orders: voters.includes(selfId) ? { count, digest } : null,
      settled: this.#options.unsettled() === 0,
      homes: {
        takeovers: counters.value('takeovers_total'),
        migrations: counters.value('migrations_total'),
        merges: counters.value('cart_merges_total'),
      },
      halted: this.#options.halted(),
      members: members
        .list()
        .map((member) => this.member(member.id) as MemberView)
        .sort((a, b) => a.node.localeCompare(b.node, 'en', { numeric: true })),
    }
  }

  /** One row of the view; null for a stranger. */
  member(id: MemberId): MemberView | null {
    const { members, presence } = this.#options
    const member = members.get(id)
    if (member === null) return null
    const info: PresenceInfo | null = presence.get(id)
    const lastSeenMs = presence.lastSeenMs(id)
    return {
      node: member.node,
      peerId: member.id,
      url: member.url,
      eligible: member.eligible,
      voter: this.#options.voters().includes(id),
      alive: presence.alive(id),
      primary: this.#options.primary() === id,
      draining: member.draining || (info?.draining ?? false),
      capacity: member.capacity,
      capacityInUse: capacityInUse(member),
      catalogVersion: info?.catalogVersion ?? 0,
      catalogDigest: info?.catalogDigest ?? '',
      users: info?.users ?? 0,
      carts: info?.carts ?? 0,
      undeliveredCarts: info?.undeliveredCarts ?? 0,
      underReplicatedCarts: info?.underReplicatedCarts ?? 0,
      oldestUndeliveredMs: info?.oldestUndeliveredMs ?? 0,
      oldestUnderReplicatedMs: info?.oldestUnderReplicatedMs ?? 0,
      loadPercent: Math.round(info?.loadPercent ?? 0),
      lastSeenMs: lastSeenMs === null || !Number.isFinite(lastSeenMs) ? neverHeardMs : Math.round(lastSeenMs),
    }
  }

  /** `/readyz`: a member that listens and has the highest catalog version it heard of. A missing primary is no reason. */
  ready(): { ready: boolean; reason: string } {
    const { members, selfId } = this.#options
    if (!this.#options.started()) return { ready: false, reason: 'starting' }
    const halted = this.#options.halted()
    if (halted !== null) return { ready: false, reason: halted }
    if (members.isRemoved(selfId)) return { ready: false, reason: 'removed from the cluster' }
    if (!members.selfIsMember()) return { ready: false, reason: 'not a member yet' }
    const upMs = this.#options.clock.monotonicMs() - this.#createdAtMs
    if (members.list().length > 1 && !this.#options.hasHeard() && upMs < cutOffAfterMs) {
      return { ready: false, reason: 'has not heard from another member yet' }
    }
    const own = this.#options.catalog().version
    const highest = this.#options.highestHeardVersion()
    if (own < highest) return { ready: false, reason: `at catalog version ${own} of ${highest}` }
    return { ready: true, reason: 'ready' }
  }

  primaryAddress(): NodeAddress | null {
    const primary = this.#options.primary()
    return primary === null ? null : this.#options.members.address(primary)
  }
}
