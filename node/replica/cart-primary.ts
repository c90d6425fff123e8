/**
 * What the primary does for carts: stores what homes send, forwards the bytes unchanged to the members of each user's
 * set, and reports undecided intents (DESIGN.md section 5). Also the members' side of it. Promises: an acknowledgement
 * means disk; a cart that is refused costs only itself, never its batch; carts of sets that this node is not in are
 * forgotten once the set has them.
 */
import { Fault, isFault } from '../faults.ts'
import type { MemberId, UserId } from '../ids.ts'
import type { CartAck, CartItem, PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { CartReceiver, UndecidedReports } from './cart-types.ts'
import type { CartSync } from './cart-sync.ts'
import type { Context, RequestHandlers } from './context.ts'
import type { Homes } from './homes.ts'

export class CartPrimary {
  readonly #context: Context
  readonly #homes: Homes
  readonly #receiver: CartReceiver
  readonly #sync: CartSync
  readonly #reports: UndecidedReports

  constructor(
    context: Context,
    homes: Homes,
    receiver: CartReceiver,
    sync: CartSync,
    reports: UndecidedReports,
  ) {
    this.#context = context
    this.#homes = homes
    this.#receiver = receiver
    this.#sync = sync
    this.#reports = reports
  }

  handlers(): Pick<RequestHandlers, 'cart-sync' | 'cart-distribute'> {
    return {
      'cart-sync': (from, request) => this.#answerSync(from, request),
      'cart-distribute': (from, request) => this.#answerDistribute(from, request),
    }
  }

  async #answerSync(
    from: MemberId,
    request: PeerRequestOf<'cart-sync'>,
  ): Promise<PeerResponseOf<'cart-sync'>> {
    const { log } = this.#context
    if (!log.isPrimary()) {
      const primary = log.primary()?.id ?? null
      throw new Fault('no-primary', 'this node is not the primary', { primary }, { retryAfterSeconds: 1 })
    }
    await this.#receiver.learnMembers(from, request.membersVersion)
    const own = await this.#takeAll(from, request.items)
    const stored = request.items.filter((item) => own.some((ack) => ack.user === item.user))
    for (const { user, undecided } of stored) if (undecided.length > 0) this.#reports.reportUndecided(user)
    const others = await this.#sync.distribute(stored, from)
    const passing = stored.filter((item) => !this.#homes.isInSet(item.user))
    // The sender has what it sent.
    const sent = passing.map(({ user, hash }) => ({ user, member: from, hash, needFull: false }))
    await this.#sync.noteHandedOver(passing, [...sent, ...others])
    return { acks: [...own, ...others] }
  }

  async #takeAll(from: MemberId, items: readonly CartItem[]): Promise<CartAck[]> {
    const acks = await Promise.all(items.map((item) => this.#take(from, item)))
    return acks.filter((ack) => ack !== null)
  }

  async #take(from: MemberId, item: CartItem): Promise<CartAck | null> {
    const { selfId } = this.#context
    if (from === selfId) return { user: item.user, member: selfId, hash: item.hash, needFull: false }
    try {
      const held = this.#homes.isInSet(item.user) ? 'set' : 'passing'
      const ack = await this.#receiver.receive(from, item, held)
      return ack.needFull ? null : ack
    } catch (error) {
      // Counted and logged where it was refused; the sender sees that the acknowledgement is missing.
      if (!isFault(error)) throw error
      return null
    }
  }

  async #answerDistribute(
    from: MemberId,
    request: PeerRequestOf<'cart-distribute'>,
  ): Promise<PeerResponseOf<'cart-distribute'>> {
    const isMine = (user: UserId): boolean => this.#homes.isInSet(user)
    if (!request.items.every((item) => isMine(item.user)))
      await this.#receiver.learnMembers(from, request.membersVersion)
    return {
      acks: await this.#takeAll(
        from,
        request.items.filter((item) => isMine(item.user)),
      ),
    }
  }
}
