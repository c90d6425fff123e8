/**
 * Reading orders (DESIGN.md section 7): decided ones at a voter, undecided ones at the user's home. Promises: what the
 * log decided outranks what a home believes; without a majority of the voters the newest known copy is read; every wait
 * has a bound.
 */
import { z } from 'zod'
import { orderRecordSchema } from '../commands.ts'
import type { OrderRecord } from '../commands.ts'
import { Fault, isFault } from '../faults.ts'
import type { MemberId, OrderId, UserId } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf, VoterQuery } from '../messages.ts'
import type { Orders } from '../replica-api.ts'
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

type OrderQuery = Parameters<Orders['list']>[0]
export type OrderPage = { items: OrderRecord[]; next: string | null }

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
  async find(id: OrderId, user?: UserId): Promise<OrderRecord | null> {
    const query = { kind: 'order', order: id } as const
    const decided = await this.#settled(this.#read(query, () => this.#context.stores.shop.read.order(id)))
    if ('value' in decided && decided.value !== null) return parseOrder(decided.value)
    const pending = user === undefined ? [] : await this.pending(user)
    const found = pending.find((order) => order.id === id)
    if (found !== undefined) return found
    if ('fault' in decided) throw decided.fault
    return null
  }

  async list(query: OrderQuery): Promise<OrderPage> {
    const { user, status, limit, cursor } = query
    const isFirst = cursor === undefined
    const wantsPending = isFirst && user !== undefined && (status === undefined || status === 'pending')
    const pending = wantsPending ? await this.pending(user) : []
    // The log holds decided orders only.
    if (status === 'pending')
      return { items: (await this.#stillPending(pending)).slice(0, limit), next: null }
    const decided = await this.#settled(
      this.#read({ kind: 'orders', ...query }, () => this.listLocal({ ...query })),
    )
    if ('fault' in decided) {
      if (pending.length === 0) throw decided.fault
      return { items: pending.slice(0, limit), next: null }
    }
    const page = orderPageSchema.parse(decided.value) as OrderPage
    const isOnPage = new Set(page.items.map(({ id }) => id))
    const others = pending.filter(({ id }) => !isOnPage.has(id))
    // A page that is not the last may leave out an order that was decided since home was asked.
    const open = page.next === null ? others : await this.#stillPending(others)
    return { items: [...open, ...page.items], next: page.next }
  }

  listLocal({ user, status, limit, cursor }: OrderQuery): OrderPage {
    return this.#context.stores.shop.orders({
      limit,
      ...(user === undefined ? {} : { user }),
      ...(status === undefined ? {} : { status }),
      ...(cursor === undefined ? {} : { cursor }),
    })
  }

  /** A current read, else the newest copy that any voter has, else the own rows if this node follows the log. */
  async #read(query: VoterQuery, own: () => unknown): Promise<unknown> {
    const { log, logger } = this.#context
    try {
      return await log.query(query, { timeoutMs: currentTimeoutMs })
    } catch (error) {
      if (!isFault(error)) throw error
      if (error.code !== 'no-primary') throw error
      logger.debug({ query: query.kind }, 'no majority confirmed a read; the newest known copy is read')
      const known = await this.#known(query, own, error)
      // A copy that may be old can't say that there is no such order.
      if (known === null) throw error
      return known
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

  async #settled(work: Promise<unknown>): Promise<{ value: unknown } | { fault: Fault }> {
    try {
      return { value: await work }
    } catch (error) {
      if (!isFault(error) || error.code !== 'no-primary') throw error
      return { fault: error }
    }
  }

  async #stillPending(orders: readonly OrderRecord[]): Promise<OrderRecord[]> {
    const looked = await Promise.all(
      orders.map(async (order) => {
        const found = await this.#settled(
          this.#read({ kind: 'order', order: order.id }, () =>
            this.#context.stores.shop.read.order(order.id),
          ),
        )
        return 'fault' in found || found.value === null || found.value === undefined ? order : null
      }),
    )
    return looked.filter((order) => order !== null)
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
