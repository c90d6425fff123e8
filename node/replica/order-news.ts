/**
 * Orders that changed while this node looked elsewhere: at a member that does not apply the log, and for what a snapshot
 * brought, only the sold notices say so. Whoever listens here is told, with the order as the log has it. Promises:
 * nothing is read for users whom nobody listens for; reads and what waits for them are bounded; an order is not told
 * older than the notice of it.
 */
import { isFault } from '../faults.ts'
import type { OrderId } from '../ids.ts'
import type { OrderRecord } from '../commands.ts'
import type { CancelTimer, SoldNotice } from '../ports.ts'
import type { Context } from './context.ts'
import type { Events } from './events.ts'
import type { OrderReads } from './order-reads.ts'

/** Reads under way: news may wait behind requests, never the other way round. */
const readsMax = 8
/** Orders that wait to be read, at most one for each stream of events that a node may have (http/limits.ts), and a page. */
const waitingMax = 2_500
/** While no voter answers. */
const againDelayMs = 1_000

export class OrderNews {
  readonly #context: Context
  readonly #reads: Pick<OrderReads, 'find'>
  readonly #events: Pick<Events, 'hasListener'>
  readonly #tell: (order: OrderRecord) => void
  /** In the order in which they were heard of; an order that changed again is read once. */
  readonly #waiting = new Map<OrderId, SoldNotice>()
  #underWay = 0
  #stopped = false
  #cancel: CancelTimer = () => undefined

  constructor(
    context: Context,
    reads: Pick<OrderReads, 'find'>,
    events: Pick<Events, 'hasListener'>,
    tell: (order: OrderRecord) => void,
  ) {
    this.#context = context
    this.#reads = reads
    this.#events = events
    this.#tell = tell
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
    this.#waiting.clear()
  }

  heard(notices: readonly SoldNotice[]): void {
    const { shop } = this.#context.stores
    for (const notice of notices) {
      if (!this.#events.hasListener(notice.user)) continue
      const own = shop.feed() === 'log' ? shop.read.order(notice.order) : null
      // What was applied here was told here; then telling it again does nothing.
      if (own !== null) this.#tell(own)
      else this.#wait(notice)
    }
    this.#go()
  }

  #wait(notice: SoldNotice): void {
    if (this.#waiting.size < waitingMax || this.#waiting.has(notice.order))
      this.#waiting.set(notice.order, notice)
  }

  #go(): void {
    for (const [order, notice] of this.#waiting) {
      if (this.#stopped || this.#underWay >= readsMax) return
      this.#waiting.delete(order)
      this.#underWay += 1
      this.#read(notice).then(
        (isDone) => this.#ended(notice, isDone),
        (error: unknown) => {
          this.#context.logger.warn({ order, reason: String(error) }, 'news of an order could not be read')
          this.#ended(notice, true)
        },
      )
    }
  }

  #ended(notice: SoldNotice, isDone: boolean): void {
    this.#underWay -= 1
    if (this.#stopped) return
    if (isDone) return this.#go()
    if (!this.#waiting.has(notice.order)) this.#wait(notice)
    this.#cancel()
    this.#cancel = this.#context.clock.timer(againDelayMs, () => this.#go())
  }

  /** False when it must be tried again. */
  async #read(notice: SoldNotice): Promise<boolean> {
    if (!this.#events.hasListener(notice.user)) return true
    try {
      const found = await this.#reads.find(notice.order)
      if (found === null) return true
      // A copy that no majority confirmed may be from before the notice.
      if (found.stale && found.order.status !== notice.status) return false
      this.#tell(found.order)
      return true
    } catch (error) {
      if (!isFault(error)) throw error
      return false
    }
  }
}
