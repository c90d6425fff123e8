/**
 * Reading orders (DESIGN.md section 7): decided ones at a voter, undecided ones at the user's home. Promises: what the
 * log decided outranks what a home believes; without a majority of the voters the newest known copy is read, and
 * marked as stale; every wait has a bound.
 */
import { z } from 'zod'
import { orderRecordSchema } from '../commands.ts'
import type { OrderRecord } from '../commands.ts'
import { Fault, isFault } from '../faults.ts'
import type { MemberId, OrderId, UserId } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf, VoterQuery } from '../messages.ts'
import type { OrderPageQuery } from '../ports.ts'
import type { OrderFound, OrderPage } from '../replica-api.ts'
import type { Context, HomesView } from './context.ts'
import { pendingOrder } from './order-intents.ts'
import type { CheckedIntent } from './order-intents.ts'

/** A current read is given this long; then the newest known copy will do. */
const currentTimeoutMs = 2_000
const knownTimeoutMs = 1_000
/** A home that does not answer in this time must not hold up a list. */
const pendingTimeoutMs = 700
/** Undecided orders of one user that a list shows; more wait only when somebody tries to fill the outbox. */
const pendingOrdersMax = 100

const orderPageSchema = z.object({ items: z.array(orderRecordSchema), next: z.string().nullable() })

export class OrderReads {
  readonly #context: Context
  readonly #homes: Pick<HomesView, 'record' | 'serverSet'>
  /** Undecided intents of a user that this node knows, one per order. */
  readonly #undecided: (user: UserId) => CheckedIntent[]

  constructor(
    context: Context,
    homes: Pick<HomesView, 'record' | 'serverSet'>,
    undecided: (user: UserId) => CheckedIntent[],
  ) {
    this.#context = context
    this.#homes = homes
    this.#undecided = undecided
  }

  /** What the log decided, as a majority confirms; null when it decided nothing. Faults: `no-primary`, `overloaded`. */
  async decided(id: OrderId): Promise<OrderRecord | null> {
    return parseOrder(
      await this.#context.log.query({ kind: 'order', order: id }, { timeoutMs: currentTimeoutMs }),
    )
  }

  /** The order, undecided ones too when the user is named; null when nobody knows it. */
  async find(id: OrderId, user?: UserId): Promise<OrderFound | null> {
    const query = { kind: 'order', order: id } as const
    const decided = await this.#settled(this.#read(query, () => this.#context.stores.shop.read.order(id)))
    if ('value' in decided) {
      const order = parseOrder(decided.value)
      if (order !== null) return { order, stale: decided.stale }
    }
    const pending = user === undefined ? [] : await this.pending(user)
    const found = pending.find((order) => order.id === id)
    // Without a majority nobody can say that it is still undecided.
    if (found !== undefined) return { order: found, stale: 'fault' in decided }
    if ('fault' in decided) throw decided.fault
    return null
  }

  async list(query: OrderPageQuery): Promise<OrderPage> {
    const { user, status, limit, cursor, number, q, from, to } = query
    const isPlain = [cursor, number, q, from, to].every((given) => given === undefined)
    const wantsPending = isPlain && user !== undefined && (status === undefined || status === 'pending')
    const pending = wantsPending ? await this.pending(user) : []
    // The log holds decided orders only.
    if (status === 'pending') {
      const { orders, stale } = await this.#stillPending(pending)
      return { items: orders.slice(0, limit), next: null, stale }
    }
    const decided = await this.#settled(this.#read({ kind: 'orders', ...query }, () => this.listLocal(query)))
    if ('fault' in decided) {
      if (pending.length === 0) throw decided.fault
      return { items: pending.slice(0, limit), next: null, stale: true }
    }
    const page = orderPageSchema.parse(decided.value) as Omit<OrderPage, 'stale'>
    const isOnPage = new Set(page.items.map(({ id }) => id))
    const others = pending.filter(({ id }) => !isOnPage.has(id))
    // A page that is not the last may leave out an order that was decided since home was asked.
    const open = page.next === null ? others : (await this.#stillPending(others)).orders
    return { items: [...open, ...page.items], next: page.next, stale: decided.stale }
  }

  listLocal(query: OrderPageQuery): { items: OrderRecord[]; next: string | null } {
    return this.#context.stores.shop.orders(query)
  }

  /** A current read, else the newest copy that any voter has, else the own rows if this node follows the log. */
  async #read(query: VoterQuery, own: () => unknown): Promise<{ value: unknown; stale: boolean }> {
    const { log, logger } = this.#context
    try {
      return { value: await log.query(query, { timeoutMs: currentTimeoutMs }), stale: false }
    } catch (error) {
      if (!isFault(error)) throw error
      if (error.code !== 'no-primary') throw error
      logger.debug({ query: query.kind }, 'no majority confirmed a read; the newest known copy is read')
      const known = await this.#known(query, own, error)
      // A copy that may be old can't say that there is no such order.
      if (known === null) throw error
      return { value: known, stale: true }
    }
  }

  async #known(query: VoterQuery, own: () => unknown, unconfirmed: Fault): Promise<unknown> {
    const { log, stores } = this.#context
    try {
      return await log.query(query, { current: false, timeoutMs: knownTimeoutMs })
    } catch (error) {
      if (!isFault(error)) throw error
      if (stores.shop.feed() !== 'log') throw unconfirmed
      return own()
    }
  }

  async #settled(
    work: Promise<{ value: unknown; stale: boolean }>,
  ): Promise<{ value: unknown; stale: boolean } | { fault: Fault }> {
    try {
      return await work
    } catch (error) {
      if (!isFault(error) || error.code !== 'no-primary') throw error
      return { fault: error }
    }
  }

  /** Those that the log has not decided; stale when it can't be asked about one of them. */
  async #stillPending(orders: readonly OrderRecord[]): Promise<{ orders: OrderRecord[]; stale: boolean }> {
    const looked = await Promise.all(
      orders.map(async (order) => {
        const found = await this.#settled(
          this.#read({ kind: 'order', order: order.id }, () =>
            this.#context.stores.shop.read.order(order.id),
          ),
        )
        if ('fault' in found) return { order, stale: true }
        return { order: (found.value ?? null) === null ? order : null, stale: found.stale }
      }),
    )
    return {
      orders: looked.flatMap(({ order }) => (order === null ? [] : [order])),
      stale: looked.some(({ stale }) => stale),
    }
  }

  // ---------------------------------------------------------------- undecided orders

  /** What this node and the members of the user's set know; members that don't answer are left out. */
  async pending(user: UserId): Promise<OrderRecord[]> {
    const { selfId, presence } = this.#context
    const home = this.#homes.record(user)?.home
    const members = new Set([...(home === undefined ? [] : [home]), ...this.#homes.serverSet(user)])
    const asked = [...members].filter((member) => member !== selfId && presence.alive(member))
    const answers = await Promise.all(asked.map((member) => this.#askPending(member, user)))
    const all = [...this.pendingHere(user), ...answers.flat()]
    const byId = new Map(all.map((order) => [order.id, order]))
    return [...byId.values()].toSorted((one, other) => (one.createdAt < other.createdAt ? 1 : -1))
  }

  pendingHere(user: UserId): OrderRecord[] {
    return this.#undecided(user).slice(0, pendingOrdersMax).map(pendingOrder)
  }

  async #askPending(member: MemberId, user: UserId): Promise<OrderRecord[]> {
    const { peers, counters, logger } = this.#context
    try {
      const request = { kind: 'pending-orders', user } as const
      const { orders } = await peers.ask(member, request, { timeoutMs: pendingTimeoutMs })
      const parsed = z.array(orderRecordSchema).max(pendingOrdersMax).parse(orders) as OrderRecord[]
      return parsed.filter((order) => order.user === user && order.status === 'pending')
    } catch (error) {
      if (!isFault(error) && !(error instanceof z.ZodError)) throw error
      counters.add('peer_requests_failed_total')
      logger.debug({ member, reason: error.message }, 'a member did not say which orders are undecided')
      return []
    }
  }

  async answerPending({ user }: PeerRequestOf<'pending-orders'>): Promise<PeerResponseOf<'pending-orders'>> {
    return { orders: this.pendingHere(user) }
  }
}

function parseOrder(value: unknown): OrderRecord | null {
  return (value ?? null) === null ? null : (orderRecordSchema.parse(value) as OrderRecord)
}
