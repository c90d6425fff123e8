/**
 * Who is alive, as far as this node can tell: presence by gossip once a second, a closed connection whose port
 * refuses is dead at once, silence only after a few missed heartbeats. A hint, never a proof (DESIGN.md sections 2, 6).
 */
import type { Digest, MemberId } from '../ids.ts'
import type { GossipMessage, GossipVerdict } from '../messages.ts'
import type { CancelTimer, Clock, Logger, PeerInfo, Transport } from '../ports.ts'
import type { MembersView, PresenceInfo, PresenceView } from './context.ts'

/** DESIGN.md section 2: load and liveness travel once a second. */
const presenceIntervalMs = 1_000
/**
 * In a large cluster everybody hears everybody's heartbeat several times over: with 25 members on two cores that alone
 * kept both busy. So beyond this many members the interval grows with their number, and what each one hears does not.
 */
const membersAtFullRate = 10
/** Missed heartbeats after which a silent member counts as dead: three, so that one lost message is no death. */
const missedBeatsMax = 3.2
/** A port that is neither open nor refused is asked again so often. */
const probeAgainDelayMs = 500

type Seen = {
  info: PresenceInfo | null
  alive: boolean
  heardAtMs: number
  starts: number
  sequence: number
  /** It said that it is leaving; what it still says while it ends does not make it alive. */
  stopping: boolean
}

/** What this node says about itself. */
export type OwnPresence = Omit<PresenceInfo, 'member' | 'heardAtMs'> &
  Pick<GossipMessage<'presence'>, 'membersVersion'>

export type PresenceOptions = {
  selfId: MemberId
  starts: number
  clock: Clock
  logger: Logger
  transport: Transport
  members: MembersView
  own: () => OwnPresence
  /** A member's process is proved to be gone (port refuses, or a newer life of it said hello). */
  gone: (member: MemberId) => void
}

export class Presence implements PresenceView {
  readonly #options: PresenceOptions
  readonly #seen = new Map<MemberId, Seen>()
  readonly #listeners: ((id: MemberId, alive: boolean) => void)[] = []
  #sequence = 0
  #beatDueMs = Number.POSITIVE_INFINITY
  #cancelTimers = new Set<CancelTimer>()
  #stopped = false

  constructor(options: PresenceOptions) {
    this.#options = options
  }

  start(): void {
    this.#beat()
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#cancelTimers) cancel()
    this.#cancelTimers.clear()
  }

  alive(id: MemberId): boolean {
    return id === this.#options.selfId || (this.#seen.get(id)?.alive ?? false)
  }

  get(id: MemberId): PresenceInfo | null {
    if (id === this.#options.selfId) return this.#ownInfo()
    return this.#seen.get(id)?.info ?? null
  }

  /** Age of the last word from a member; null when nothing was heard in this life. */
  lastSeenMs(id: MemberId): number | null {
    if (id === this.#options.selfId) return 0
    const seen = this.#seen.get(id)
    return seen === undefined ? null : Math.max(0, this.#options.clock.monotonicMs() - seen.heardAtMs)
  }

  onChange(listener: (id: MemberId, alive: boolean) => void): void {
    this.#listeners.push(listener)
  }

  /** Says now how this node is; `stopping` is the last word of a clean stop. */
  announce(stopping = false): void {
    if (!this.#options.members.selfIsMember()) return
    const { selfId, starts, transport } = this.#options
    this.#sequence += 1
    transport.publish('presence', {
      member: selfId,
      starts,
      sequence: this.#sequence,
      stopping,
      ...this.#options.own(),
    })
  }

  peerConnected(peer: PeerInfo): void {
    const seen = this.#entry(peer.id)
    if (peer.hello.starts > seen.starts) {
      // A newer life said hello: whatever the old one held in memory (a lease above all) is gone.
      if (seen.starts > 0) this.#options.gone(peer.id)
      seen.starts = peer.hello.starts
      // It counts its words from 1 again; measured by the old life's count they would all seem stale.
      seen.sequence = -1
    }
    seen.stopping = false
    seen.heardAtMs = this.#options.clock.monotonicMs()
    this.#set(peer.id, seen, true)
    this.announce()
  }

  /** Any word from a member, of whatever kind, shows that it is there. */
  touch(from: MemberId): void {
    const seen = this.#seen.get(from)
    if (seen === undefined || seen.stopping) return
    seen.heardAtMs = this.#options.clock.monotonicMs()
    this.#set(from, seen, true)
  }

  peerDisconnected(peer: MemberId): void {
    this.#probe(peer)
  }

  heard(message: GossipMessage<'presence'>, from: MemberId): GossipVerdict {
    if (message.member !== from) return 'reject'
    if (this.#options.members.isRemoved(from)) return 'reject'
    if (this.#options.members.get(from) === null) return 'ignore'
    const seen = this.#entry(from)
    const stale =
      message.starts < seen.starts || (message.starts === seen.starts && message.sequence <= seen.sequence)
    if (stale) return 'ignore'
    seen.starts = message.starts
    seen.sequence = message.sequence
    seen.stopping = message.stopping
    seen.heardAtMs = this.#options.clock.monotonicMs()
    seen.info = infoOf(message, seen.heardAtMs, seen.info)
    this.#set(from, seen, !message.stopping)
    return 'accept'
  }

  #entry(id: MemberId): Seen {
    const known = this.#seen.get(id)
    if (known !== undefined) return known
    const fresh: Seen = {
      info: null,
      alive: false,
      heardAtMs: Number.NEGATIVE_INFINITY,
      starts: 0,
      sequence: -1,
      stopping: false,
    }
    this.#seen.set(id, fresh)
    return fresh
  }

  #set(id: MemberId, seen: Seen, alive: boolean): void {
    if (seen.alive === alive) return
    seen.alive = alive
    for (const listener of this.#listeners) listener(id, alive)
  }

  #isConnected(id: MemberId): boolean {
    return this.#options.transport.connected().some((peer) => peer.id === id)
  }

  /** The last connection closed: only a refused port proves that the process is gone. */
  #probe(id: MemberId): void {
    const member = this.#options.members.get(id)
    if (member === null || this.#stopped) return
    this.#options.transport.probe(member.p2p).then(
      (result) => {
        const seen = this.#entry(id)
        if (this.#stopped || this.#isConnected(id)) return
        if (result === 'refused') {
          this.#set(id, seen, false)
          this.#options.gone(id)
        } else if (seen.alive) {
          this.#later(probeAgainDelayMs, () => {
            if (!this.#isConnected(id) && this.#entry(id).alive) this.#probe(id)
          })
        }
      },
      (error: unknown) => this.#options.logger.debug({ member: id, reason: String(error) }, 'a probe failed'),
    )
  }

  #beat(): void {
    this.announce()
    const nowMs = this.#options.clock.monotonicMs()
    // While this process stood still it could not hear anybody: that is no silence of theirs.
    const intervalMs = this.#intervalMs()
    const stoodStillMs = Math.max(0, nowMs - this.#beatDueMs - intervalMs)
    this.#beatDueMs = nowMs + intervalMs
    for (const [id, seen] of this.#seen) {
      if (stoodStillMs > 0) seen.heardAtMs += stoodStillMs
      if (this.#options.members.get(id) === null) this.#seen.delete(id)
      else if (seen.alive && nowMs - seen.heardAtMs > missedBeatsMax * intervalMs) this.#set(id, seen, false)
    }
    this.#later(intervalMs, () => this.#beat())
  }

  #intervalMs(): number {
    return presenceIntervalMs * Math.max(1, this.#options.members.list().length / membersAtFullRate)
  }

  #later(delayMs: number, work: () => void): void {
    const cancel = this.#options.clock.timer(delayMs, () => {
      this.#cancelTimers.delete(cancel)
      if (!this.#stopped) work()
    })
    this.#cancelTimers.add(cancel)
  }

  #ownInfo(): PresenceInfo {
    const own = this.#options.own()
    return { ...own, member: this.#options.selfId, heardAtMs: this.#options.clock.monotonicMs() }
  }
}

function infoOf(
  message: GossipMessage<'presence'>,
  heardAtMs: number,
  before: PresenceInfo | null,
): PresenceInfo {
  return {
    member: message.member,
    draining: message.draining,
    users: message.users,
    carts: message.carts,
    undeliveredCarts: message.undeliveredCarts,
    underReplicatedCarts: message.underReplicatedCarts,
    oldestUndeliveredMs: message.oldestUndeliveredMs ?? 0,
    oldestUnderReplicatedMs: message.oldestUnderReplicatedMs ?? 0,
    // What an earlier life of the same disk brought to its place is there; the new one has not looked yet.
    placedVersion: Math.max(message.placedVersion ?? 0, before?.placedVersion ?? 0),
    settledVersion: Math.max(message.settledVersion ?? 0, before?.settledVersion ?? 0),
    loadPercent: message.loadPercent,
    catalogVersion: message.catalogVersion,
    catalogDigest: message.catalogDigest as Digest,
    heardAtMs,
  }
}
