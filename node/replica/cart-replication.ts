/**
 * Brings a cart change to the other members of the user's server set, and takes theirs (DESIGN.md section 5, "How a
 * change travels"). Promises: an update is on the own disk before it is sent, and on the receiver's before it is
 * acknowledged; an update from a peer is checked by crdt/ before it is taken; only what this node may hold is taken or
 * answered; every wait has a bound.
 */
import { isExpiredGuest } from '../core/carts.ts'
import { isHigher } from '../core/homes.ts'
import { earlierSetsMax } from '../messages.ts'
import type { CartLine } from '../../crdt/cart.ts'
import { Fault, isFault } from '../faults.ts'
import type { LogIndex, MemberId, UserId } from '../ids.ts'
import type { CartAck, CartItem, PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { CartRow, Lane } from '../ports.ts'
import type { CartShelf } from './cart-shelf.ts'
import type { Context, RequestHandlers } from './context.ts'
import type { Homes } from './homes.ts'

/** A shopper waits for other disks at most this long; then the answer says on how many the change is. */
const pushTimeoutMs = 1_000
/** Most undecided intents named beside a cart (messages.ts); the others are named once these are decided. */
const undecidedMax = 100

const nothingNew = { kind: 'merged', additions: [] } as const

/** What happened to a cart through a peer; the owner of the carts decides what follows. */
export type ReplicationHooks = {
  /** A peer's update was stored. `additions`: what came into view by it. */
  merged(user: UserId, additions: readonly CartLine[]): void
  /** A member has something that this node lacks. */
  differs(user: UserId, member: MemberId): void
  /** Delivery bookkeeping of a cart changed. */
  delivered(user: UserId): void
}

/** One change to be sent: `delta` brings content `before` to `after`; null when only the whole document will do. */
export type Change = { delta: Uint8Array | null; before: string; after: string }

export class Replication {
  readonly #context: Context
  readonly #homes: Homes
  readonly #shelf: CartShelf
  readonly #hooks: ReplicationHooks

  constructor(context: Context, homes: Homes, shelf: CartShelf, hooks: ReplicationHooks) {
    this.#context = context
    this.#homes = homes
    this.#shelf = shelf
    this.#hooks = hooks
  }

  // ---------------------------------------------------------------- sending

  /** The cart as it is on disk, ready to be sent; null when none is held. */
  fullItem(user: UserId): CartItem | null {
    const row = this.#context.stores.local.cart(user)
    if (row === null) return null
    return this.#item(user, row.state, row.hash)
  }

  #item(user: UserId, bytes: Uint8Array, hash: string): CartItem {
    const undecided = this.#shelf.get(user)?.document.undecidedIntents() ?? []
    return {
      user,
      record: this.#homes.record(user),
      bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
      hash,
      undecided: [...new Set(undecided.map(({ id }) => id))].slice(0, undecidedMax),
    }
  }

  /**
   * Sends a change to all other members of the set at once. Resolves with the number of disks that have it, this one
   * included: as soon as `wanted` do, or when every live member has answered or failed, or after `pushTimeoutMs`.
   */
  async push(user: UserId, change: Change, wanted: number): Promise<number> {
    const { selfId, clock } = this.#context
    const live = this.#homes
      .serverSet(user)
      .filter((member) => member !== selfId && !this.#homes.asker.isKnownDead(member))
    return await new Promise((resolve, reject) => {
      let disks = 1
      let waitingFor = live.length
      const cancel = clock.timer(pushTimeoutMs, () => resolve(disks))
      const look = (): void => {
        if (disks < wanted && waitingFor > 0) return
        cancel()
        resolve(disks)
      }
      look()
      for (const member of live) {
        this.sendTo(user, member, change).then((taken) => {
          waitingFor -= 1
          if (taken) disks += 1
          look()
        }, reject)
      }
    })
  }

  /** Sends the change, or the whole cart if need be; true once it is on the member's disk. */
  async sendTo(user: UserId, member: MemberId, change: Change | null, lane: Lane = 'main'): Promise<boolean> {
    const known = this.#shelf.get(user)?.delivered[member]
    const { delta } = change ?? { delta: null }
    try {
      if (change !== null && delta !== null && known === change.before) {
        const ack = await this.#sendItem(member, this.#item(user, delta, change.after), lane)
        if (!ack.needFull) return true
      }
      const full = this.fullItem(user)
      if (full === null) return false
      return !(await this.#sendItem(member, full, lane)).needFull
    } catch (error) {
      if (!isFault(error)) throw error
      this.#homes.asker.noteFailure('cart-push', member, error)
      await this.learnMembers(member, error.data['membersVersion'])
      return false
    }
  }

  async #sendItem(member: MemberId, item: CartItem, lane: Lane): Promise<CartAck> {
    const membersVersion = this.#context.members.version()
    const { ack, record } = await this.#context.peers.ask(
      member,
      { kind: 'cart-push', item, membersVersion },
      { timeoutMs: pushTimeoutMs, lane },
    )
    await this.#homes.take(item.user, record)
    this.noteAck(item, member, ack)
    return ack
  }

  /** Remembers what a member has; one that has more than was sent is asked for it. */
  noteAck(
    item: Pick<CartItem, 'user' | 'hash'>,
    member: MemberId,
    ack: Pick<CartAck, 'hash' | 'needFull'>,
  ): void {
    if (ack.needFull) return
    this.#shelf.noteDelivery(item.user, { [member]: ack.hash })
    if (ack.hash !== item.hash) this.#hooks.differs(item.user, member)
    this.#hooks.delivered(item.user)
  }

  /** A peer knows a newer members list: asks for it. Bounded, and never fails: gossip brings it too. */
  async learnMembers(from: MemberId, version: unknown): Promise<void> {
    const { members, peers } = this.#context
    if (typeof version !== 'number' || version <= members.version() || from === this.#context.selfId) return
    try {
      members.take(await peers.ask(from, { kind: 'members' }, { timeoutMs: pushTimeoutMs }))
    } catch (error) {
      if (!isFault(error)) throw error
      this.#homes.asker.noteFailure('members', from, error)
    }
  }

  // ---------------------------------------------------------------- receiving

  handlers(): Pick<RequestHandlers, 'cart-push' | 'cart-pull'> {
    return {
      'cart-push': (from, request) => this.#answerPush(from, request),
      'cart-pull': (from, request) => this.#answerPull(from, request),
    }
  }

  async #answerPush(
    from: MemberId,
    request: PeerRequestOf<'cart-push'>,
  ): Promise<PeerResponseOf<'cart-push'>> {
    const { item, membersVersion } = request
    await this.#checkMayHold(from, item.user, membersVersion)
    const ack = await this.receive(from, item, 'set')
    const record = this.#homes.record(item.user)
    return { ack, record: isHigher(record, item.record) ? record : null }
  }

  async #checkMayHold(from: MemberId, user: UserId, membersVersion: LogIndex): Promise<void> {
    if (!this.#homes.isInSet(user)) await this.learnMembers(from, membersVersion)
    if (this.#homes.isInSet(user)) return
    throw new Fault('conflict', 'this node is not in the user’s server set', {
      membersVersion: this.#context.members.version(),
    })
  }

  /** Takes a peer's cart; the acknowledgement says that it is on this disk. Faults: whatever crdt/ refuses. */
  async receive(from: MemberId, item: CartItem, held: CartRow['held']): Promise<CartAck> {
    const { settings, clock, counters, selfId, stores } = this.#context
    const { user } = item
    if (isExpiredGuest(user, clock.wallMs(), settings.guestCartDays))
      throw new Fault('forbidden', 'this guest’s cart has expired')
    if (stores.local.isErased(user)) throw new Fault('forbidden', 'this account was erased')
    const bytes = Buffer.from(item.bytes, 'base64')
    try {
      const [, { value: merge, changed, after, before }] = await Promise.all([
        this.#homes.take(user, item.record),
        this.#shelf.update(
          user,
          (cart) => {
            const result = cart.document.hasAlready(item.hash, bytes)
              ? nothingNew
              : cart.document.merge(bytes)
            // Only the sender is known to have it: home may be dead, and a keeper have sent it.
            if (cart.document.contentHash() === item.hash) cart.delivered[from] = item.hash
            return result
          },
          { held },
        ),
      ])
      if (merge.kind === 'need-full') return { user, member: selfId, hash: before, needFull: true }
      if (changed) this.#hooks.merged(user, merge.additions)
      else this.#hooks.delivered(user)
      return { user, member: selfId, hash: after, needFull: false }
    } catch (error) {
      if (isFault(error)) {
        counters.add('cart_updates_refused_total')
        this.#context.logger.debug({ from, code: error.code, reason: error.message }, 'a cart was refused')
      }
      throw error
    }
  }

  /** A member answers only for what the asker may hold (DESIGN.md section 8). */
  async #answerPull(
    from: MemberId,
    { user, membersVersion }: PeerRequestOf<'cart-pull'>,
  ): Promise<PeerResponseOf<'cart-pull'>> {
    const mayAsk = (): boolean =>
      this.#homes.serverSet(user).includes(from) || this.#homes.record(user)?.home === from
    if (!mayAsk()) await this.learnMembers(from, membersVersion)
    if (!mayAsk()) {
      throw new Fault('conflict', 'the asker is not in the user’s server set', {
        membersVersion: this.#context.members.version(),
      })
    }
    const row = this.#context.stores.local.cart(user)
    return {
      record: this.#homes.record(user),
      bytes: row === null ? null : Buffer.from(row.state).toString('base64'),
      hash: row === null ? null : row.hash,
      // A newcomer does not know by itself where older copies may be.
      earlierSets: this.#homes.olderCopies(user).slice(0, earlierSetsMax),
    }
  }

  /**
   * Fetches a cart from a member and merges it; false when it gave no (valid) answer. Only a takeover listens to where
   * older copies may be, because only it looks there, and forgets it then: others would hold it against their successors.
   */
  async pullFrom(
    user: UserId,
    member: MemberId,
    { timeoutMs, purpose }: { timeoutMs: number; purpose: 'takeover' | 'reconcile' },
  ): Promise<boolean> {
    const membersVersion = this.#context.members.version()
    try {
      const answer = await this.#context.peers.ask(
        member,
        { kind: 'cart-pull', user, membersVersion },
        { timeoutMs },
      )
      await this.#homes.take(user, answer.record)
      if (purpose === 'takeover') this.#homes.earlier.heard(user, answer.earlierSets ?? [])
      if (answer.bytes === null || answer.hash === null) return true
      const item = { user, record: answer.record, bytes: answer.bytes, hash: answer.hash, undecided: [] }
      const ack = await this.receive(member, item, 'set')
      return !ack.needFull
    } catch (error) {
      if (!isFault(error)) throw error
      this.#homes.asker.noteFailure('cart-pull', member, error)
      await this.learnMembers(member, error.data['membersVersion'])
      return false
    }
  }
}
