/**
 * Wires the parts of one replica. The only place where they meet: each gets narrow views of the others
 * (context.ts), and late ones by functions, because they know each other in circles.
 */
import type { ClusterId, MemberId } from '../ids.ts'
import type { GossipMessage } from '../messages.ts'
import type { Replica } from '../replica-api.ts'
import type { ReplicaOptions } from '../replica.ts'
import { createApi, localFirst } from './api.ts'
import { Announcer } from './announcer.ts'
import type { Applied } from './applier.ts'
import { CartService } from './carts.ts'
import { CatalogFeed } from './catalog-feed.ts'
import { Catalog } from './catalog.ts'
import { ClusterControlService } from './cluster-control.ts'
import { ClusterReads } from './cluster-view.ts'
import { Consensus } from './consensus.ts'
import type { Bounds, Context, RequestHandlers } from './context.ts'
import { Counters } from './counters.ts'
import { Events, memberEvents } from './events.ts'
import { Homes } from './homes.ts'
import { ReplicaLogClient } from './log-client.ts'
import { Membership } from './membership.ts'
import { OrderService } from './orders.ts'
import { Presence } from './presence.ts'
import type { OwnPresence } from './presence.ts'
import { PrimaryDuties } from './primary-duties.ts'
import { Snapshots } from './snapshots.ts'
import { StateChecks } from './state-checks.ts'
import { UserService } from './users.ts'
import { Voting } from './voting.ts'

export type PartsHooks = {
  started: () => boolean
  clusterKnown: (clusterId: ClusterId) => void
  fatal: (error: unknown) => void
}

export class Parts {
  readonly #options: ReplicaOptions
  readonly #hooks: PartsHooks
  /** What nearly every part needs. */
  readonly #base
  readonly selfId: MemberId
  readonly counters = new Counters()
  readonly consensus: Consensus
  readonly announcer: Announcer
  readonly voting: Voting
  readonly log: ReplicaLogClient
  readonly membership: Membership
  readonly presence: Presence
  readonly snapshots: Snapshots
  readonly catalogFeed: CatalogFeed
  readonly duties: PrimaryDuties
  readonly stateChecks: StateChecks
  readonly context: Context
  readonly events: Events
  readonly homes: Homes
  readonly carts: CartService
  readonly orders: OrderService
  readonly users: UserService
  readonly reads: ClusterReads
  readonly handlers: RequestHandlers
  readonly api: Replica
  #lastPrimary = ''

  constructor(options: ReplicaOptions & { readonly bounds: Bounds }, hooks: PartsHooks) {
    this.#options = options
    this.#hooks = hooks
    const { stores } = options
    const { starts, memberId } = stores.log.identity()
    this.selfId = memberId
    const { shop } = stores
    const consensus = (): Consensus => this.consensus
    this.#base = { ...options, selfId: memberId, starts, shop, counters: this.counters, consensus }
    this.membership = this.#createMembership()
    this.announcer = this.#createAnnouncer()
    this.voting = this.#createVoting()
    this.presence = this.#createPresence()
    this.log = this.#createLogClient()
    this.consensus = this.#createConsensus()
    this.snapshots = this.#createSnapshots()
    this.catalogFeed = this.#createCatalogFeed()
    this.duties = this.#createDuties()
    this.stateChecks = new StateChecks({ ...this.#base, ...hooks, log: this.log })
    this.context = this.#createContext()
    this.events = new Events()
    this.homes = new Homes(this.context)
    this.carts = new CartService(this.context, this.homes)
    this.orders = new OrderService(this.context, this.carts, this.homes, this.events)
    this.users = new UserService(this.context, this.homes, this.carts)
    this.reads = this.#createReads()
    const control = this.#createControl()
    const catalog = this.#createCatalog()
    this.handlers = this.#collectHandlers(control)
    this.api = createApi(this, catalog, control, options)
    this.#connect()
  }

  start(): void {
    const { shop } = this.#options.stores
    for (const part of [this.membership, this.presence, this.announcer]) part.start()
    if (shop.feed() === 'log' || this.#options.stores.log.lastIndex() > 0) this.consensus.wakeUp()
    const { consensus, duties, stateChecks, catalogFeed, homes, carts, orders, users } = this
    for (const part of [consensus, duties, stateChecks, catalogFeed, homes, carts, orders, users])
      part.start()
  }

  /** Ends every timer and wait; nothing is sent or written from here on. */
  stop(): void {
    this.users.stop()
    this.orders.stop()
    this.carts.stop()
    this.homes.stop()
    this.duties.stop()
    this.stateChecks.stop()
    this.consensus.stop()
    this.log.abandon()
    this.announcer.stop()
    this.presence.stop()
    this.membership.stop()
    this.catalogFeed.stop()
    this.snapshots.stop()
    this.events.stop()
  }

  // ---------------------------------------------------------------- what happened

  /** Everything that follows from applied entries, in the order in which others may look. */
  #applied(batch: readonly Applied[]): void {
    const membersChanged = batch.some(({ outcome }) => outcome?.membersChanged === true)
    if (membersChanged) this.membership.refresh()
    this.catalogFeed.applied(batch)
    this.log.applied(batch)
    this.stateChecks.applied(batch)
    this.orders.applied(batch)
    const isNoticed = ({ command, outcome }: Applied): boolean =>
      (outcome !== null && outcome.decided !== null) || command?.body.kind === 'account.delete'
    if (batch.some(isNoticed)) {
      this.carts.noticeOrders(this.#options.stores.shop.ordersIndex())
      this.announcer.soon()
    }
    if (membersChanged) this.announcer.soon()
    this.duties.perform()
  }

  #consensusChanged(): void {
    const { raft } = this.consensus
    this.#primaryMayHaveChanged()
    if (raft.role === 'primary') this.announcer.soon()
  }

  #primaryMayHaveChanged(): void {
    const primary = this.voting.primaryHint()
    const seen = `${primary?.term} ${primary?.id}`
    if (seen === this.#lastPrimary) return
    this.#lastPrimary = seen
    if (primary?.id === this.selfId) this.counters.add('terms_won_total')
    const term = primary?.term ?? this.consensus.raft.term
    const node = primary === null ? null : (this.membership.get(primary.id)?.node ?? primary.id)
    if (node !== null) this.#options.logger.info({ term, primary: node }, 'there is a primary')
    else if (term > 0) this.#options.logger.info({ term }, 'no primary is known')
    this.log.primaryChanged()
    this.events.cluster({ kind: 'primary', data: { term, primary: this.reads.primaryAddress() } })
  }

  #heardLease(message: GossipMessage<'lease'>, from: MemberId): void {
    this.membership.noticeVersion(message.membersVersion, from)
    this.catalogFeed.noticeVersion(message.catalogVersion, message.catalogDigest)
    this.carts.noticeOrders(message.ordersIndex)
    const hint = this.announcer.hint()
    if (hint !== null) this.voting.heardHint(hint)
    this.#primaryMayHaveChanged()
  }

  #snapshotInstalled(kind: 'full' | 'catalog'): void {
    if (kind === 'full') {
      this.voting.snapshotInstalled()
      this.log.reads.indexReached(this.consensus.appliedIndex)
    }
    this.membership.refresh()
    this.catalogFeed.refresh()
  }

  #connect(): void {
    this.carts.onCart((user, view) => {
      if (this.events.hasListener(user)) this.events.user(user, { kind: 'cart', data: view() })
    })
    this.catalogFeed.onVersion(({ version, digest }) =>
      this.events.cluster({ kind: 'catalog', data: { version, digest } }),
    )
    this.presence.onChange((id, alive) => {
      const node = this.membership.get(id)?.node
      if (node !== undefined)
        this.events.cluster({ kind: 'member', data: { node, change: alive ? 'alive' : 'dead' } })
      this.#options.logger.info(
        { member: node ?? id, alive },
        alive ? 'a member is alive' : 'a member is dead or silent',
      )
    })
    let members = this.membership.list()
    this.membership.onChange(() => {
      for (const event of memberEvents(members, this.membership.list())) this.events.cluster(event)
      members = this.membership.list()
    })
  }

  #own(): OwnPresence {
    const { held, undelivered, underReplicated, ...ages } = this.carts.counts()
    const { version, digest } = this.catalogFeed.state()
    return {
      draining: this.membership.get(this.selfId)?.draining ?? false,
      users: this.#options.stores.local.sessionCount(this.selfId),
      carts: held,
      undeliveredCarts: undelivered,
      underReplicatedCarts: underReplicated,
      ...ages,
      loadPercent: Math.max(0, this.#options.loadPercent()),
      catalogVersion: version,
      catalogDigest: digest,
      membersVersion: this.membership.version(),
    }
  }

  // ---------------------------------------------------------------- construction

  #createMembership(): Membership {
    return new Membership({
      ...this.#base,
      log: () => this.log,
      presence: () => this.presence,
      followsLog: () => this.voting.followsLog(),
      catalogVersion: () => this.catalogFeed.state().version,
      heardCatalogVersion: (version) => this.catalogFeed.noticeVersion(version),
      clusterKnown: this.#hooks.clusterKnown,
    })
  }

  #createAnnouncer(): Announcer {
    return new Announcer({
      ...this.#base,
      members: this.membership,
      isPrimary: () => this.consensus.isPrimary(),
      term: () => this.consensus.raft.term,
      heard: (message, from) => this.#heardLease(message, from),
    })
  }

  #createVoting(): Voting {
    return new Voting({
      ...this.#base,
      hint: () => this.announcer.hint(),
      lastHeard: () => this.announcer.lastHeard(),
    })
  }

  #createPresence(): Presence {
    return new Presence({
      ...this.#base,
      members: this.membership,
      own: () => this.#own(),
      gone: (member) => this.consensus.input({ kind: 'peer-gone', member }),
    })
  }

  #createLogClient(): ReplicaLogClient {
    return new ReplicaLogClient({
      ...this.#base,
      presence: this.presence,
      primaryHint: () => this.voting.primaryHint(),
      voters: () => this.voting.voters(),
      followsLog: () => this.voting.followsLog(),
    })
  }

  #createConsensus(): Consensus {
    return new Consensus({
      ...this.#base,
      hooks: {
        applied: (batch) => this.#applied(batch),
        changed: () => this.#consensusChanged(),
        snapshotWanted: (member) => this.duties.sendSnapshot(member),
        stateWanted: () => {
          const primary = this.voting.primaryHint()
          if (primary !== null) this.voting.wantSnapshot(primary.id)
        },
        oldestRead: () => this.snapshots.shelf.pinnedIndex(),
        fatal: this.#hooks.fatal,
      },
    })
  }

  #createSnapshots(): Snapshots {
    return new Snapshots({
      ...this.#base,
      fatal: this.#hooks.fatal,
      installed: (kind) => this.#snapshotInstalled(kind),
      isPrimary: (member) => this.voting.primaryHint()?.id === member,
    })
  }

  #createCatalogFeed(): CatalogFeed {
    return new CatalogFeed({
      ...this.#base,
      members: this.membership,
      presence: this.presence,
      followsLog: () => this.voting.followsLog(),
      isPrimary: () => this.consensus.isPrimary(),
      primary: () => this.voting.primaryHint()?.id ?? null,
      voters: () => this.voting.voters(),
      isHeld: () => this.snapshots.holdsCatalog(),
      pullSnapshot: (from, isRight) => this.snapshots.pullCatalog(from, isRight),
      fatal: this.#hooks.fatal,
    })
  }

  #createDuties(): PrimaryDuties {
    return new PrimaryDuties({
      ...this.#base,
      members: this.membership,
      presence: this.presence,
      log: this.log,
      snapshots: this.snapshots,
    })
  }

  #createContext(): Context {
    const { membership: members, presence, log } = this
    return {
      ...this.#base,
      members,
      presence,
      log,
      peers: localFirst(this.selfId, this.#base.transport, () => this.handlers),
    }
  }

  #createReads(): ClusterReads {
    return new ClusterReads({
      ...this.#base,
      members: this.membership,
      presence: this.presence,
      catalog: () => this.catalogFeed.state(),
      highestHeardVersion: () => this.catalogFeed.highestHeard(),
      term: () => this.voting.primaryHint()?.term ?? this.voting.newestTerm(),
      primary: () => this.voting.primaryToTell(),
      leaseRemainingMs: () => this.consensus.leaseRemainingMs(),
      commitIndex: () => this.consensus.raft.commitIndex,
      appliedIndex: () => this.consensus.appliedIndex,
      voters: () => this.voting.voters(),
      unsettled: () => {
        const counts = this.carts.counts()
        return this.#options.stores.local.outbox().length + counts.undelivered + counts.underReplicated
      },
      halted: () => this.consensus.halted ?? this.catalogFeed.audit.problem(),
      started: this.#hooks.started,
      hasHeard: () => this.membership.hasHeard() || this.announcer.hint() !== null,
    })
  }

  #createControl(): ClusterControlService {
    return new ClusterControlService({
      ...this.#base,
      members: this.membership,
      log: this.log,
      peers: this.context.peers,
      reads: this.reads,
      voters: () => this.voting.voters(),
    })
  }

  #createCatalog(): Catalog {
    return new Catalog({
      ...this.#base,
      feed: this.catalogFeed,
      log: this.log,
      currency: () => this.membership.currency() ?? this.#options.settings.currency,
    })
  }

  #collectHandlers(control: ClusterControlService): RequestHandlers {
    return {
      ...this.membership.handlers,
      ...this.log.handlers,
      ...this.log.reads.handlers,
      ...this.snapshots.handlers,
      ...this.duties.handlers,
      ...this.stateChecks.handlers,
      ...this.catalogFeed.handlers,
      ...control.handlers,
      ...this.homes.handlers(),
      ...this.carts.handlers(),
      ...this.orders.handlers(),
    }
  }
}
