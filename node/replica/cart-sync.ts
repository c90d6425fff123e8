/**
 * Periodic delivery of carts (DESIGN.md section 5, "How a change travels", 3). Promises: home, or the keeper while home
 * is dead, sends what changed to the primary in bounded batches until every member of the set has acknowledged it;
 * whoever has something that home is not known to have (it was home before) brings it there; what
 * this node holds without being in the set is handed to the set and forgotten only after that; nothing is sent when
 * nothing changed.
 */
import { missingAt } from '../core/carts.ts'
import { isFault } from '../faults.ts'
import type { LogIndex, MemberId, UserId } from '../ids.ts'
import type { CartAck, CartItem } from '../messages.ts'
import { cartsPerMessageMax, frameSizeBytesMax } from '../messages.ts'
import type { CancelTimer } from '../ports.ts'
import type { DirtyCart, DirtyCarts } from './cart-dirty.ts'
import type { Replication } from './cart-replication.ts'
import { Settling } from './cart-settling.ts'
import type { CartShelf } from './cart-shelf.ts'
import type { Context, RequestHandlers } from './context.ts'
import type { Homes } from './homes.ts'
import { presenceSettledAfterMs } from './keeper.ts'

/** Bytes of carts in one message: half a frame, so that its envelope and the last cart surely fit. */
const batchSizeBytesMax = frameSizeBytesMax / 2
/** Batches of one turn: bounds how long a turn takes; the next one goes on. */
const batchesPerTurnMax = 10
/** The primary answers after it distributed, which it gives its own bound. */
const syncTimeoutMs = 5_000
/** One batch to one member. */
export const distributeTimeoutMs = 2_000
/** Members that have something this node lacks, asked in one turn. */
const reconciledPerTurnMax = 50
const reconcileTimeoutMs = 1_000
/** Carts looked at in one page of a scan, and the pause after it: a quarter of one core at most. */
const scanPageMax = 20
const scanDelayMs = 20

export class CartSync {
  readonly #context: Context
  readonly #homes: Homes
  readonly #shelf: CartShelf
  readonly #dirty: DirtyCarts
  readonly #replication: Replication
  readonly #reportUndecided: (user: UserId) => void
  /** Who has something that this node lacks. */
  readonly #differing = new Map<UserId, Set<MemberId>>()
  readonly settling: Settling
  readonly #timers = new Map<'turn' | 'scan' | 'settled', CancelTimer>()
  #stopped = false
  #isScanning = false
  #mustScanAgain = false
  readonly #createdAtMs: number

  constructor(
    context: Context,
    homes: Homes,
    shelf: CartShelf,
    dirty: DirtyCarts,
    replication: Replication,
    reportUndecided: (user: UserId) => void,
  ) {
    this.#context = context
    this.#homes = homes
    this.#shelf = shelf
    this.#dirty = dirty
    this.#replication = replication
    this.#reportUndecided = reportUndecided
    this.settling = new Settling(context, homes, dirty)
    this.#createdAtMs = context.clock.monotonicMs()
  }

  start(): void {
    const { presence, members, log } = this.#context
    presence.onChange((member, alive) => {
      this.#dirty.hurryMember(member)
      // The carts of a dead home may be this node's to keep.
      if (!alive) this.scan()
    })
    members.onChange(() => this.scan())
    log.onPrimaryChange(() => this.#dirty.hurryAll(() => true))
    this.#later('settled', presenceSettledAfterMs, () => this.scan())
    this.scan()
    this.#again()
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#timers.values()) cancel()
  }

  #later(name: 'turn' | 'scan' | 'settled', delayMs: number, work: () => void): void {
    this.#timers.get(name)?.()
    this.#timers.set(
      name,
      this.#context.clock.timer(delayMs, () => {
        if (!this.#stopped) work()
      }),
    )
  }

  #again(): void {
    this.#later('turn', this.#context.settings.cartSyncIntervalMs, () => {
      this.turn().then(
        () => this.#again(),
        (error: unknown) => {
          if (this.#stopped) return
          this.#context.logger.error(
            { error: String(error) },
            'carts could not be synced; again in the next turn',
          )
          this.#again()
        },
      )
    })
  }

  /** Carts of which another member has something that this node is about to fetch. */
  get differing(): number {
    return this.#differing.size
  }

  /** A member acknowledged another content than was sent: it has more, and is asked for it in the next turn. */
  differs(user: UserId, member: MemberId): void {
    this.#differing.set(user, (this.#differing.get(user) ?? new Set()).add(member))
  }

  handlers(): Pick<RequestHandlers, 'home-records'> {
    return {
      'home-records': async (from, request) => {
        await this.#replication.learnMembers(from, request.membersVersion)
        return await this.#dirty.keeperNews.answer(from, request, (user) => this.#dirty.hurry(user))
      },
    }
  }

  // ---------------------------------------------------------------- scan

  /** Looks at every cart on disk, a page at a time: at start, and when members or homes changed. */
  scan(): void {
    if (this.#isScanning) {
      this.#mustScanAgain = true
      return
    }
    this.#isScanning = true
    const { clock, members } = this.#context
    const isPresenceSettled = clock.monotonicMs() - this.#createdAtMs >= presenceSettledAfterMs
    this.#scanPage(null, isPresenceSettled ? members.version() : 0)
  }

  /** `version`: that of the members when the scan began; 0 when it was not known yet who lives. */
  #scanPage(after: UserId | null, version: LogIndex): void {
    const users = this.#context.stores.local.cartUsers(after, scanPageMax)
    for (const user of users) this.#lookAt(user)
    const last = users.at(-1)
    if (last !== undefined && users.length === scanPageMax) {
      this.#later('scan', scanDelayMs, () => this.#scanPage(last, version))
      return
    }
    this.#isScanning = false
    this.settling.scanned(version)
    if (!this.#mustScanAgain) return
    this.#mustScanAgain = false
    this.#later('scan', scanDelayMs, () => this.scan())
  }

  #lookAt(user: UserId): void {
    try {
      this.#dirty.look(user)
    } catch (error) {
      if (!isFault(error)) throw error
      this.#context.logger.error({ code: error.code, reason: error.message }, 'a stored cart can not be read')
    }
  }

  // ---------------------------------------------------------------- one turn

  async turn(): Promise<void> {
    for (const user of this.#dirty.undecided) this.#reportUndecided(user)
    if (await this.#dirty.keeperNews.turn()) this.scan()
    await this.#reconcile()
    const due = this.#dirty.due(cartsPerMessageMax * batchesPerTurnMax)
    const own = due.filter(({ role }) => role === 'home' || role === 'keeper')
    for (const batch of this.#batches(own)) await this.#sync(batch)
    for (const batch of this.#batches(due.filter(({ role }) => role === 'foreign')))
      await this.handOver(batch)
    await Promise.all(due.filter(({ role }) => role === 'bystander').map(({ user }) => this.#bringHome(user)))
    await this.#shelf.writeDelivery()
    this.settling.turn()
  }

  /** A bystander has something that home, or the keeper while home is dead, is not known to have. */
  async #bringHome(user: UserId): Promise<void> {
    this.#dirty.look(user)
    if (this.#dirty.get(user)?.role !== 'bystander') return
    for (const looker of this.#dirty.lacking(user)) {
      if (this.#homes.asker.isKnownDead(looker)) continue
      const isTaken = await this.#replication.sendTo(user, looker, null, 'bulk')
      const primary = this.#context.log.primary()
      const item = isTaken ? null : this.#replication.fullItem(user)
      // The primary may reach a home that this node does not.
      if (item !== null && primary !== null) await this.#syncThrough(primary.id, [item])
    }
    this.#dirty.tried(user)
  }

  async #reconcile(): Promise<void> {
    const some = [...this.#differing].slice(0, reconciledPerTurnMax)
    for (const [user] of some) this.#differing.delete(user)
    await Promise.all(
      some.map(async ([user, members]) => {
        if (!this.#homes.isInSet(user)) return
        for (const member of members) {
          const options = { timeoutMs: reconcileTimeoutMs, purpose: 'reconcile' } as const
          if (await this.#replication.pullFrom(user, member, options)) this.#dirty.hurry(user)
        }
      }),
    )
  }

  /** Items with the bytes on disk, at most so many and so large in one message. */
  *#batches(carts: readonly DirtyCart[]): Iterable<CartItem[]> {
    let batch: CartItem[] = []
    let sizeBytes = 0
    for (const { user } of carts) {
      const item = this.#replication.fullItem(user)
      if (item === null) {
        this.#dirty.look(user)
        continue
      }
      if (
        batch.length >= cartsPerMessageMax ||
        (batch.length > 0 && sizeBytes + item.bytes.length > batchSizeBytesMax)
      ) {
        yield batch
        batch = []
        sizeBytes = 0
      }
      batch.push(item)
      sizeBytes += item.bytes.length
    }
    if (batch.length > 0) yield batch
  }

  /** Nothing can be done for it now: the primary has it, and who lacks it is dead. */
  #waitsForTheDead(item: CartItem): boolean {
    const cart = this.#shelf.get(item.user)
    if (cart === null || cart.syncedHash !== item.hash) return false
    return this.#missing(item).every((member) => this.#homes.asker.isKnownDead(member))
  }

  #missing(item: CartItem): MemberId[] {
    const delivered = this.#shelf.get(item.user)?.delivered ?? {}
    return missingAt(this.#context.selfId, this.#homes.serverSet(item.user), delivered, item.hash)
  }

  async #sync(batch: readonly CartItem[]): Promise<void> {
    const items = batch.filter((item) => !this.#waitsForTheDead(item))
    const primary = this.#context.log.primary()
    const isSynced = items.length > 0 && primary !== null && (await this.#syncThrough(primary.id, items))
    for (const item of items) {
      const attempts = this.#dirty.get(item.user)?.attempts ?? 0
      // Without a primary, or when it can't reach a member that this node can: directly.
      if (!isSynced || attempts > 0) await this.#sendToMissing(item)
    }
    for (const { user } of batch) this.#dirty.tried(user)
  }

  async #syncThrough(primary: MemberId, items: CartItem[]): Promise<boolean> {
    const { members, counters, peers } = this.#context
    counters.add('cart_syncs_total')
    try {
      const { acks } = await peers.ask(
        primary,
        { kind: 'cart-sync', items, membersVersion: members.version() },
        { timeoutMs: syncTimeoutMs, lane: 'bulk' },
      )
      this.#noteAcks(items, acks, primary)
      return true
    } catch (error) {
      if (!isFault(error)) throw error
      this.#homes.asker.noteFailure('cart-sync', primary, error)
      return false
    }
  }

  #noteAcks(items: readonly CartItem[], acks: readonly CartAck[], primary: MemberId): void {
    const byUser = new Map(items.map((item) => [item.user, item]))
    for (const ack of acks) {
      const item = byUser.get(ack.user)
      if (item === undefined || ack.needFull) continue
      if (ack.member === primary) this.#shelf.noteDelivery(ack.user, {}, item.hash)
      if (ack.member !== this.#context.selfId) this.#replication.noteAck(item, ack.member, ack)
    }
  }

  async #sendToMissing(item: CartItem): Promise<void> {
    const live = this.#missing(item).filter((member) => !this.#homes.asker.isKnownDead(member))
    await Promise.all(live.map((member) => this.#replication.sendTo(item.user, member, null, 'bulk')))
  }

  // ---------------------------------------------------------------- carts of others

  /** Sends carts to their sets, unchanged; the acknowledgements of everybody who took one. */
  async distribute(items: readonly CartItem[], except: MemberId): Promise<CartAck[]> {
    const { selfId } = this.#context
    const byMember = new Map<MemberId, CartItem[]>()
    for (const item of items) {
      for (const member of this.#homes.serverSet(item.user)) {
        if (member === selfId || member === except || this.#homes.asker.isKnownDead(member)) continue
        byMember.set(member, [...(byMember.get(member) ?? []), item])
      }
    }
    const acks = await Promise.all([...byMember].map(([member, own]) => this.#distributeTo(member, own)))
    return acks.flat()
  }

  async #distributeTo(member: MemberId, items: CartItem[]): Promise<CartAck[]> {
    const { members, peers } = this.#context
    try {
      const answer = await peers.ask(
        member,
        { kind: 'cart-distribute', items, membersVersion: members.version() },
        { timeoutMs: distributeTimeoutMs, lane: 'bulk' },
      )
      return answer.acks.filter((ack) => ack.member === member)
    } catch (error) {
      if (!isFault(error)) throw error
      this.#homes.asker.noteFailure('cart-distribute', member, error)
      return []
    }
  }

  /** Hands carts that this node should not have to their sets, and forgets those that are safe there. */
  async handOver(items: readonly CartItem[]): Promise<void> {
    await this.noteHandedOver(items, await this.distribute(items, this.#context.selfId))
  }

  /** An acknowledgement of the whole cart says that its content is on that disk, whatever else is there. */
  async noteHandedOver(items: readonly CartItem[], acks: readonly CartAck[]): Promise<void> {
    const byUser = new Map(items.map((item) => [item.user, item]))
    for (const { user, member, needFull } of acks) {
      const item = byUser.get(user)
      if (item !== undefined && !needFull) this.#shelf.noteDelivery(user, { [member]: item.hash })
    }
    for (const item of items) {
      if (this.#homes.isInSet(item.user) || !this.#isSafe(item)) {
        this.#dirty.tried(item.user)
        continue
      }
      if (await this.#shelf.forget(item.user, item.hash)) await this.#homes.sessions.forget(item.user)
      this.#dirty.look(item.user)
    }
  }

  /** Every live member of the set has it, and on as many disks as were asked for. */
  #isSafe(item: CartItem): boolean {
    const set = this.#homes.serverSet(item.user)
    const missing = this.#missing(item)
    const wanted = Math.min(this.#context.settings.cartAcks, set.length)
    const isMissingAlive = missing.some((member) => !this.#homes.asker.isKnownDead(member))
    return !isMissingAlive && set.length > 0 && set.length - missing.length >= wanted
  }
}
