/**
 * Who belongs to the cluster. Voters read the list from the log; everybody else takes the newest list (by log
 * index) from any peer that proved the secret. A node that is no member yet asks to join, for ever.
 * DESIGN.md sections 2 to 4.
 */
import { commandLevel } from '../commands.ts'
import type { MemberRecord } from '../commands.ts'
import { Fault, StoreFailure, isFault } from '../faults.ts'
import type { CatalogVersion, ClusterId, CommandId, LogIndex, MemberId, NodeName } from '../ids.ts'
import type { MemberList, PeerRequestOf } from '../messages.ts'
import type { CancelTimer, Clock, Logger, Random, Stores, Transport } from '../ports.ts'
import type { NodeAddress } from '../replica-api.ts'
import type { LogClient, MembersView, PresenceView, Settings } from './context.ts'

/** A joiner goes round its addresses so often; jittered so that 25 joiners don't knock together. */
const joinRetryDelayMs = 400
const joinDialTimeoutMs = 3_000
const joinRequestTimeoutMs = 6_000
const memberListTimeoutMs = 1_500
/** The newer list is announced within 30 ms, and once a second. */
const farewellMs = 1_500
/** How often a node compares its own entry in the list with its flags. */
const reconcileDelayMs = 2_000

export type MembershipOptions = {
  settings: Settings
  selfId: MemberId
  clock: Clock
  random: Random
  logger: Logger
  transport: Transport
  stores: Stores
  log: () => LogClient
  presence: () => PresenceView
  /** This node applies the log, so that its rows change by commands alone. */
  followsLog: () => boolean
  catalogVersion: () => CatalogVersion
  /** A peer said which catalog version it has. */
  heardCatalogVersion: (version: CatalogVersion) => void
  /** The cluster is known now (first join): hellos and topics change. */
  clusterKnown: (clusterId: ClusterId) => void
}

export class Membership implements MembersView {
  readonly #options: MembershipOptions
  readonly #listeners: (() => void)[] = []
  /** Newest list known: the own rows, or a newer one from a peer that the log has not brought here yet. */
  #version: LogIndex = 0
  #members: readonly MemberRecord[] = []
  #byId = new Map<MemberId, MemberRecord>()
  #removed = new Set<MemberId>()
  #currency: string | null = null
  #fetching = false
  /** Somebody was just removed, and is refused in a moment. */
  #refusing = false
  #joinRound = 0
  #hasHeard = false
  #cancelTimers = new Set<CancelTimer>()
  #stopped = false

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  start(): void {
    this.refresh()
    if (this.#options.stores.log.identity().clusterId === null) this.#join()
    else this.#reconcileLater()
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#cancelTimers) cancel()
    this.#cancelTimers.clear()
  }

  version(): LogIndex {
    return this.#version
  }

  list(): readonly MemberRecord[] {
    return this.#members
  }

  get(id: MemberId): MemberRecord | null {
    return this.#byId.get(id) ?? null
  }

  byName(node: NodeName): MemberRecord | null {
    return this.#members.find((member) => member.node === node) ?? null
  }

  isRemoved(id: MemberId): boolean {
    return this.#removed.has(id)
  }

  address(id: MemberId): NodeAddress | null {
    const member = this.#byId.get(id)
    return member === undefined ? null : { node: member.node, url: member.url }
  }

  selfIsMember(): boolean {
    return this.#byId.has(this.#options.selfId)
  }

  currency(): string | null {
    return this.#currency
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Reads the own rows again after applying or installing something. */
  refresh(): void {
    const tables = this.#options.stores.shop.read
    this.#currency = tables.currency() ?? this.#currency
    if (tables.membersVersion() <= this.#version && this.#version > 0) return
    this.#adopt(tables.membersVersion(), tables.members(), tables.removedMembers())
  }

  #adopt(version: LogIndex, members: readonly MemberRecord[], removed: readonly MemberId[]): void {
    const isFirst = this.#version === 0
    const isNews = !isFirst && removed.some((id) => !this.#removed.has(id))
    this.#version = version
    this.#members = members
    this.#byId = new Map(members.map((member) => [member.id, member]))
    this.#removed = new Set(removed)
    const others = members.filter((member) => member.id !== this.#options.selfId)
    if (isNews) this.#refuseSoon()
    else if (!this.#refusing) this.#options.transport.setRemoved(removed)
    this.#options.transport.setPeers(others.map(({ id, p2p }) => ({ id, p2p })))
    if (this.#removed.has(this.#options.selfId)) {
      this.#options.logger.error(
        { node: this.#options.settings.node },
        'this node was removed from the cluster; stop it',
      )
    }
    for (const listener of this.#listeners) listener()
  }

  /**
   * Who was just removed keeps its connections for a moment, in which it hears of the newer list and fetches it: it must
   * learn that it is none of us any more, or it goes on serving carts that nobody has. One that was away then asks for
   * the list when it comes back (`introduce`).
   */
  #refuseSoon(): void {
    if (this.#refusing) return
    this.#refusing = true
    const cancel = this.#options.clock.timer(farewellMs, () => {
      this.#cancelTimers.delete(cancel)
      this.#refusing = false
      this.#options.transport.setRemoved([...this.#removed])
    })
    this.#cancelTimers.add(cancel)
  }

  /** A list from a peer: taken when it is newer by log index. Kept on disk unless the log will bring it. */
  take(list: MemberList): void {
    if (list.membersVersion <= this.#version) return
    const { shop } = this.#options.stores
    if (!this.#options.followsLog()) {
      shop.transaction((tables) => {
        if (tables.currency() === null) tables.setCurrency(list.currency)
        const present = new Set(list.members.map((member) => member.id))
        for (const member of tables.members()) if (!present.has(member.id)) tables.removeMember(member.id)
        for (const id of list.removed) tables.removeMember(id)
        for (const member of list.members) tables.putMember(member)
        tables.setMembersVersion(list.membersVersion)
      })
    }
    this.#currency ??= list.currency
    this.#adopt(list.membersVersion, list.members, list.removed)
  }

  /** Somebody announced a higher members version: fetch the list from `from`. */
  noticeVersion(version: LogIndex, from: MemberId): void {
    if (version <= this.#version || this.#fetching || from === this.#options.selfId) return
    this.#fetching = true
    this.#options.transport
      .request(from, { kind: 'members' }, { timeoutMs: memberListTimeoutMs })
      .then((list) => this.take(list))
      .catch((error: unknown) => {
        this.#options.logger.debug(
          { from, reason: String(error) },
          'the member list could not be fetched; the next announcement tries again',
        )
      })
      .finally(() => {
        this.#fetching = false
      })
  }

  memberList(): MemberList {
    const clusterId = this.#options.stores.log.identity().clusterId
    const currency = this.#currency
    if (clusterId === null || currency === null) {
      throw new Fault('no-primary', 'this node is not in a cluster yet', {}, { retryAfterSeconds: 1 })
    }
    const primary = this.#options.log().primary()
    return {
      clusterId,
      currency,
      membersVersion: this.#version,
      members: [...this.#members],
      removed: [...this.#removed],
      term: primary?.term ?? 0,
      primary: primary?.id ?? null,
      catalogVersion: this.#options.catalogVersion(),
    }
  }

  /**
   * A connection came up: ask the peer what it knows. Gossip would bring the same within a second or two; a node that
   * starts should not wait that long, and one that was away may not know the new members (DESIGN.md section 4).
   */
  introduce(peer: MemberId): void {
    if (this.#options.stores.log.identity().clusterId === null) return
    this.#options.transport
      .request(peer, { kind: 'members' }, { timeoutMs: memberListTimeoutMs })
      .then((list) => {
        if (this.#stopped) return
        this.#hasHeard = true
        this.#options.heardCatalogVersion(list.catalogVersion)
        this.take(list)
      })
      .catch((error: unknown) => {
        // A disk that failed ends the node, whoever met it first; nobody waits for this.
        if (!isFault(error) && !(error instanceof StoreFailure)) throw error
        this.#options.logger.debug(
          { peer, reason: String(error) },
          'a peer did not say what it knows, or there is no space for it; gossip will',
        )
      })
  }

  /** Another member has said what it knows, in this life of the node. */
  hasHeard(): boolean {
    return this.#hasHeard
  }

  // ---------------------------------------------------------------- joining

  #later(delayMs: number, work: () => void): void {
    const cancel = this.#options.clock.timer(delayMs, () => {
      this.#cancelTimers.delete(cancel)
      if (!this.#stopped) work()
    })
    this.#cancelTimers.add(cancel)
  }

  /** Goes through the `--join` addresses until one takes this node in. */
  #join(): void {
    const addresses = this.#options.settings.join
    if (addresses.length === 0) return
    const address = addresses[this.#joinRound % addresses.length] as string
    this.#joinRound += 1
    this.#joinThrough(address).then(
      () => this.#reconcileLater(),
      (error: unknown) => {
        const reason = isFault(error) ? `${error.code}: ${error.message}` : String(error)
        const quiet = this.#joinRound % (addresses.length * 10) !== addresses.length
        if (quiet) this.#options.logger.debug({ address, reason }, 'could not join through this address yet')
        else
          this.#options.logger.info({ address, reason }, 'could not join through this address yet; trying on')
        this.#later(joinRetryDelayMs * (0.5 + this.#options.random.next()), () => this.#join())
      },
    )
  }

  async #joinThrough(address: string): Promise<void> {
    const { transport, stores, settings, selfId } = this.#options
    const peer = await transport.dial(address, joinDialTimeoutMs)
    const { node, publicUrl: url, p2p, eligible, capacity } = settings
    const member = { id: selfId, node, url, p2p, eligible, capacity, level: commandLevel }
    const list = await transport.request(
      peer.id,
      { kind: 'join', member },
      { timeoutMs: joinRequestTimeoutMs },
    )
    if (this.#stopped) return
    // log.db last: with the cluster id there, this node counts as one that has joined.
    stores.local.setClusterId(list.clusterId)
    stores.shop.setClusterId(list.clusterId)
    stores.log.setClusterId(list.clusterId)
    this.#options.clusterKnown(list.clusterId)
    this.take(list)
    this.#options.logger.info({ cluster: list.clusterId, through: address }, 'joined the cluster')
  }

  /** Keeps the own entry true: a node that restarts with other addresses, or another program, says so through the log. */
  #reconcileLater(): void {
    this.#later(reconcileDelayMs, () => {
      this.#reconcile()
        .catch((error: unknown) => {
          this.#options.logger.debug(
            { reason: String(error) },
            'the own member entry could not be updated yet',
          )
        })
        .finally(() => this.#reconcileLater())
    })
  }

  async #reconcile(): Promise<void> {
    const { settings, selfId } = this.#options
    const log = this.#options.log()
    const own = this.get(selfId)
    if (own === null || this.#isTrue(own)) return
    await log.run(log.freshCommandId(), {
      kind: 'member.update',
      id: selfId,
      url: settings.publicUrl,
      p2p: settings.p2p,
      level: commandLevel,
    })
  }

  #isTrue({ url, p2p, level }: MemberRecord): boolean {
    const { settings } = this.#options
    return url === settings.publicUrl && p2p === settings.p2p && level === commandLevel
  }

  /** A stranger with the secret asks to be a member. A name that a live member bears is not given away. */
  async #admitJoiner(from: MemberId, request: PeerRequestOf<'join'>): Promise<MemberList> {
    const log = this.#options.log()
    const { member } = request
    if (member.id !== from) throw new Fault('forbidden', 'a node can only ask for itself')
    const known = this.get(from)
    if (
      known === null ||
      known.node !== member.node ||
      known.url !== member.url ||
      known.p2p !== member.p2p ||
      known.level !== member.level
    ) {
      const bearer = this.byName(member.node)
      if (bearer !== null && bearer.id !== from && this.#options.presence().alive(bearer.id)) {
        throw new Fault('conflict', `the name ${member.node} belongs to a live member of this cluster`)
      }
      const id = `join:${from}:${Buffer.from(this.#options.random.bytes(8)).toString('hex')}` as CommandId
      await log.run(id, { kind: 'member.join', member }, { waitLocal: true })
      await this.#catchUpOnMembers()
    }
    if (this.get(from) === null)
      throw new Fault('no-primary', 'the member list is not up to date yet', {}, { retryAfterSeconds: 1 })
    return this.memberList()
  }

  /** Members that don't follow the log ask the primary, which has applied what it answered. */
  async #catchUpOnMembers(): Promise<void> {
    const primary = this.#options.log().primary()
    if (this.#options.followsLog() || primary === null || primary.id === this.#options.selfId) return
    this.take(
      await this.#options.transport.request(
        primary.id,
        { kind: 'members' },
        { timeoutMs: memberListTimeoutMs },
      ),
    )
  }

  readonly handlers = {
    join: (from: MemberId, request: PeerRequestOf<'join'>) => this.#admitJoiner(from, request),
    members: async () => this.memberList(),
  }
}
