/**
 * What the primary tells everybody by gossip, and what everybody makes of it: who is primary, which catalog and
 * members versions there are, who votes, how far orders are decided. Terms heard by gossip are hints, never stored
 * (DESIGN.md section 4).
 */
import type { LogIndex, MemberId, Term } from '../ids.ts'
import type { GossipMessage, GossipVerdict } from '../messages.ts'
import type { CancelTimer, Clock, ShopStore, Transport } from '../ports.ts'
import type { MembersView } from './context.ts'

/** Repeated once a second for those who missed the last one. */
const announceIntervalMs = 1_000
/** Changes are announced at once, but many in a row as one. */
const announceSoonDelayMs = 30
/** Without a word for this long the primary that was heard of counts as unknown. */
const hintLifeMs = 4_000

export type LeaseHint = {
  readonly primary: MemberId
  readonly term: Term
  readonly voters: readonly MemberId[]
  readonly learners: readonly MemberId[]
  readonly configIndex: LogIndex
  readonly heardAtMs: number
}

export type AnnouncerOptions = {
  selfId: MemberId
  clock: Clock
  transport: Transport
  shop: ShopStore
  members: MembersView
  isPrimary: () => boolean
  term: () => Term
  /** A newer announcement was taken. */
  heard: (message: GossipMessage<'lease'>, from: MemberId) => void
}

export class Announcer {
  readonly #options: AnnouncerOptions
  #hint: LeaseHint | null = null
  #cancelInterval: CancelTimer | null = null
  #cancelSoon: CancelTimer | null = null

  constructor(options: AnnouncerOptions) {
    this.#options = options
  }

  start(): void {
    this.#cancelInterval = this.#options.clock.timer(announceIntervalMs, () => {
      this.#announce()
      this.start()
    })
  }

  stop(): void {
    this.#cancelInterval?.()
    this.#cancelSoon?.()
  }

  /** The newest announcement heard, while it is fresh. */
  hint(): LeaseHint | null {
    const hint = this.#hint
    if (hint === null || this.#options.clock.monotonicMs() - hint.heardAtMs > hintLifeMs) return null
    return hint
  }

  /**
   * The newest announcement heard, however old: a primary that is gone is primary no more, but who votes stays true
   * until somebody announces other voters. Reads that need no majority are asked of them meanwhile.
   */
  lastHeard(): LeaseHint | null {
    return this.#hint
  }

  /** Something worth announcing changed. A primary just elected has its lease a moment later, so that is asked then. */
  soon(): void {
    if (this.#cancelSoon !== null) return
    this.#cancelSoon = this.#options.clock.timer(announceSoonDelayMs, () => {
      this.#cancelSoon = null
      this.#announce()
    })
  }

  #announce(): void {
    const { shop, selfId, transport, isPrimary, term, members } = this.#options
    if (!members.selfIsMember()) return
    const { version, digest } = shop.read.catalog()
    const { index, config } = shop.applied()
    const message: GossipMessage<'lease'> = {
      term: term(),
      primary: selfId,
      catalogVersion: version,
      catalogDigest: digest,
      membersVersion: members.version(),
      ordersIndex: shop.ordersIndex(),
      voters: [...config.voters],
      learners: [...config.learners],
      configIndex: index,
    }
    // State first, then the clock, then the word (DESIGN.md section 3, "The lease").
    if (!isPrimary()) return
    this.#take(message)
    transport.publish('lease', message)
  }

  receive(message: GossipMessage<'lease'>, from: MemberId): GossipVerdict {
    if (message.primary !== from || this.#options.members.isRemoved(from)) return 'reject'
    // A peer that is not known yet may be the new primary of a changed cluster: let its members version be fetched.
    if (this.#isOld(message)) return 'ignore'
    this.#take(message)
    this.#options.heard(message, from)
    return this.#options.members.get(from) === null ? 'ignore' : 'accept'
  }

  /** Gossip takes many ways, so a word of a moment ago may come after the latest one of the same primary. */
  #isOld({ term, configIndex }: GossipMessage<'lease'>): boolean {
    const hint = this.#hint
    return hint !== null && (term < hint.term || (term === hint.term && configIndex < hint.configIndex))
  }

  #take(message: GossipMessage<'lease'>): void {
    const { primary, term, voters, learners, configIndex } = message
    const heardAtMs = this.#options.clock.monotonicMs()
    this.#hint = { primary, term, voters, learners, configIndex, heardAtMs }
  }
}
