/**
 * The outbox at work (DESIGN.md section 7): every order without a decision is put to the log again and again, through
 * any number of changes of the primary, one attempt at a time per order; its decision settles the cart and ends it.
 * Promises: nothing but a decision ends an order; memory and attempts under way are bounded.
 */
import { z } from 'zod'
import { orderRecordSchema, tagSchema } from '../commands.ts'
import type { OrderRecord } from '../commands.ts'
import { backOffMs, planOutbox } from '../core/outbox.ts'
import type { OutboxEntry } from '../core/outbox.ts'
import { Fault, assert, isFault } from '../faults.ts'
import type { CommandId, OrderId, Tag, UserId } from '../ids.ts'
import type { CancelTimer } from '../ports.ts'
import type { CartsView, Context } from './context.ts'
import type { GroupCommit } from './group-commit.ts'
import { checkedIntent, decisionOf, withContact } from './order-intents.ts'
import type { CheckedIntent } from './order-intents.ts'

/** One attempt: the log client itself looks for a primary for so long. */
const attemptTimeoutMs = 5_000
/** Orders followed at one time; each holds its intent in memory. Further ones wait in their carts until seen again. */
const ordersFollowedMax = 10_000

/** The log's answer to `order.place`: the order and the entries that it took. */
const placingSchema = orderRecordSchema.extend({ tags: z.array(tagSchema) })

type Task = {
  -readonly [Name in keyof OutboxEntry]: OutboxEntry[Name]
} & {
  readonly user: UserId
  /** Every intent known under this id; the log's first one wins, whichever is sent. */
  readonly intents: Map<string, CheckedIntent>
  inOutbox: boolean
  failures: number
  record: OrderRecord | null
  /** The entries that the decided order took. */
  tags: readonly Tag[]
  waiters: Set<Waiter>
}
type Waiter = { resolve: (order: OrderRecord | null) => void; reject: (error: unknown) => void }

export type ForwarderHooks = {
  /** There is a decision, and the carts at this node know it. */
  settled(order: OrderRecord): void
}

export class OrderForwarder {
  readonly #context: Context
  readonly #carts: Pick<CartsView, 'peek' | 'settle' | 'mutate'>
  readonly #commit: Pick<GroupCommit, 'write'>
  readonly #hooks: ForwarderHooks
  readonly #tasks = new Map<OrderId, Task>()
  #isLooking = false
  #stopped = false
  #cancelWake: CancelTimer = () => undefined

  constructor(
    context: Context,
    carts: Pick<CartsView, 'peek' | 'settle' | 'mutate'>,
    commit: Pick<GroupCommit, 'write'>,
    hooks: ForwarderHooks,
  ) {
    this.#context = context
    this.#carts = carts
    this.#commit = commit
    this.#hooks = hooks
  }

  /** Goes on with what was in the outbox when this node stopped. */
  start(): void {
    this.#context.log.onPrimaryChange(() => this.#retryAll())
    for (const { order, intent } of this.#context.stores.local.outbox()) {
      const checked = checkedIntent(intent)
      if (checked !== null) this.#resume(checked)
      else this.#context.logger.error({ order }, 'a row of the outbox can’t be an order; it is left alone')
    }
    this.#lookSoon()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelWake()
    const gone = new Fault('outcome-unknown', 'this node is stopping')
    for (const task of this.#tasks.values()) {
      for (const waiter of task.waiters) {
        if (task.stage === 'freezing') waiter.reject(gone)
        else waiter.resolve(task.record)
      }
    }
    this.#tasks.clear()
  }

  /** A crash between the outbox and the cart leaves the row alone: the cart is frozen before the log is asked. */
  #resume(intent: CheckedIntent): void {
    this.#follow(intent, true)
    const isFrozen =
      this.#carts
        .peek(intent.user)
        ?.intents()
        .some(({ id }) => id === intent.id) ?? false
    if (isFrozen) return
    this.#context.logger.info(
      { order: intent.id },
      'an order in the outbox is not in its cart; it is frozen again',
    )
    const task = this.#tasks.get(intent.id)
    assert(task !== undefined, 'it has just been followed')
    task.stage = 'freezing'
    this.#carts
      .mutate(intent.user, (document) => {
        document.freeze(intent)
      })
      .then(
        () => this.begin(intent, true),
        (error: unknown) => {
          // Another home has the cart now: the decision reaches it as a sold notice.
          this.#context.logger.info(
            { order: intent.id, reason: String(error) },
            'an order goes on without its cart',
          )
          this.begin(intent, true)
        },
      )
  }

  // ---------------------------------------------------------------- what is followed

  /** Intents of an order that is followed here; empty while it is being frozen, null when it is not followed. */
  intentsOf(order: OrderId): CheckedIntent[] | null {
    const task = this.#tasks.get(order)
    return task === undefined ? null : [...task.intents.values()]
  }

  /** Intents of orders that have no decision yet, one per order. */
  undecided(user: UserId): CheckedIntent[] {
    const open = [...this.#tasks.values()].filter((task) => task.user === user && task.record === null)
    return open.flatMap(({ intents }) => [...intents.values()].slice(0, 1))
  }

  /** Reserves an order whose cart is being frozen. Fault `overloaded`. Ended by `begin` or `abandon`. */
  reserve(order: OrderId, user: UserId): void {
    assert(!this.#tasks.has(order), 'an order is frozen by one request at a time')
    if (this.#tasks.size >= ordersFollowedMax) {
      throw new Fault('overloaded', 'too many orders wait for a decision', {}, { retryAfterSeconds: 2 })
    }
    this.#tasks.set(order, newTask(order, user, 'freezing'))
  }

  /** The intent is in the outbox and in the cart: from now on only a decision ends it. */
  begin(intent: CheckedIntent, inOutbox: boolean): void {
    const task = this.#tasks.get(intent.id)
    if (task === undefined) return
    task.intents.set(intent.bodyHash, intent)
    task.inOutbox ||= inOutbox
    if (task.stage === 'freezing') task.stage = task.record === null ? 'open' : 'decided'
    this.#lookSoon()
  }

  /** Nothing was frozen: whoever waits for the same order is told why. */
  abandon(order: OrderId, error: unknown): void {
    const task = this.#tasks.get(order)
    if (task?.stage !== 'freezing') return
    this.#tasks.delete(order)
    for (const waiter of task.waiters) waiter.reject(error)
  }

  /** The log had decided it already: whoever waits for the same order gets that. */
  finish(order: OrderRecord): void {
    const task = this.#tasks.get(order.id)
    if (task?.stage !== 'freezing') return
    this.#tasks.delete(order.id)
    for (const waiter of task.waiters) waiter.resolve(order)
  }

  /** An undecided intent was seen in a cart. Nothing happens when there is no room: it will be seen again. */
  see(intent: CheckedIntent): void {
    if (this.#stopped) return
    if (!this.#tasks.has(intent.id) && this.#tasks.size >= ordersFollowedMax) return
    this.#follow(intent, false)
    this.#lookSoon()
  }

  #follow(intent: CheckedIntent, inOutbox: boolean): void {
    const task = this.#tasks.get(intent.id) ?? newTask(intent.id, intent.user, 'open')
    this.#tasks.set(intent.id, task)
    task.intents.set(intent.bodyHash, intent)
    task.inOutbox ||= inOutbox
  }

  /** The decision, or null when there is none within `timeoutMs`. Rejects when freezing was abandoned. */
  async wait(order: OrderId, timeoutMs: number): Promise<OrderRecord | null> {
    const task = this.#tasks.get(order)
    assert(task !== undefined, 'only an order that is followed can be waited for')
    if (task.record !== null) return task.record
    task.urgent = true
    this.#lookSoon()
    return await new Promise((resolve, reject) => {
      const waiter: Waiter = {
        resolve: (record) => {
          cancel()
          task.waiters.delete(waiter)
          task.urgent = task.waiters.size > 0
          resolve(record)
        },
        reject: (error) => {
          cancel()
          task.waiters.delete(waiter)
          reject(error)
        },
      }
      const cancel = this.#context.clock.timer(timeoutMs, () => waiter.resolve(null))
      task.waiters.add(waiter)
    })
  }

  /** A decision that this node applied itself. */
  applied(order: OrderRecord): void {
    const task = this.#tasks.get(order.id)
    if (task === undefined || task.record !== null) return
    this.#decide(task, order, this.#context.stores.shop.read.orderTags(order.id))
  }

  /** There should be a decision by now. */
  hurry(order: OrderId): void {
    const task = this.#tasks.get(order)
    if (task?.stage !== 'open') return
    task.dueAtMs = 0
    this.#lookSoon()
  }

  // ---------------------------------------------------------------- doing it

  /** Another primary: nobody needs to sit out a back-off that was meant for the one before. */
  #retryAll(): void {
    for (const task of this.#tasks.values()) if (task.stage === 'open') task.dueAtMs = 0
    this.#lookSoon()
  }

  /** Once a turn, however much happened in it. */
  #lookSoon(): void {
    if (this.#isLooking || this.#stopped) return
    this.#isLooking = true
    this.#context.clock.defer(() => {
      this.#isLooking = false
      this.#look()
    })
  }

  #look(): void {
    if (this.#stopped) return
    const { clock } = this.#context
    const nowMs = clock.monotonicMs()
    const plan = planOutbox(this.#tasks.values(), nowMs)
    for (const order of plan.send) this.#inBackground(order, 'under-way', (task) => this.#send(task))
    for (const order of plan.settle) this.#inBackground(order, 'settling', (task) => this.#settle(task))
    this.#cancelWake()
    if (plan.wakeAtMs !== null)
      this.#cancelWake = clock.timer(Math.max(1, plan.wakeAtMs - nowMs), () => this.#look())
  }

  #inBackground(order: OrderId, stage: 'under-way' | 'settling', work: (task: Task) => Promise<void>): void {
    const task = this.#tasks.get(order)
    assert(task !== undefined, 'the plan is made from these very tasks')
    task.stage = stage
    work(task).then(
      () => this.#lookSoon(),
      (error: unknown) => this.#failed(task, stage, error),
    )
  }

  async #send(task: Task): Promise<void> {
    const intent = task.intents.values().next().value
    assert(intent !== undefined, 'an order that is open has an intent')
    const id = `order:${task.order}` as CommandId
    const body = { kind: 'order.place', intent } as const
    const value = await this.#context.log.run(id, body, { timeoutMs: attemptTimeoutMs })
    const { tags, ...order } = placingSchema.parse(value)
    if (task.record === null) this.#decide(task, order as OrderRecord, tags)
  }

  #decide(task: Task, order: OrderRecord, tags: readonly Tag[]): void {
    const intent = task.intents.get(order.bodyHash)
    task.record = intent === undefined ? order : withContact(order, intent)
    task.tags = tags
    task.failures = 0
    task.dueAtMs = 0
    // While the cart is being frozen, what is frozen must be known before it can be settled.
    if (task.stage !== 'freezing') task.stage = 'decided'
    this.#lookSoon()
  }

  async #settle(task: Task): Promise<void> {
    const { record } = task
    assert(record !== null, 'only what is decided is settled')
    try {
      await this.#carts.settle(task.user, task.order, decisionOf(record, task.tags))
    } finally {
      // The decision stands whether or not it is in this cart yet.
      for (const waiter of task.waiters) waiter.resolve(record)
    }
    if (task.inOutbox) await this.#commit.write(() => this.#context.stores.local.deleteOutbox(task.order))
    if (this.#stopped) return
    this.#tasks.delete(task.order)
    this.#hooks.settled(record)
  }

  #failed(task: Task, stage: 'under-way' | 'settling', error: unknown): void {
    // A decision that came by another way while the log was being asked has moved it on.
    if (this.#stopped || task.stage !== stage) return
    const { clock, random, logger } = this.#context
    const { order } = task
    if (isFault(error)) logger.debug({ order, code: error.code }, 'an order has no decision yet')
    else logger.error({ order, reason: String(error) }, 'following an order failed; it is tried again')
    task.stage = stage === 'settling' ? 'decided' : 'open'
    task.failures += 1
    task.dueAtMs = clock.monotonicMs() + backOffMs(task.failures, random.next())
    this.#lookSoon()
  }
}

function newTask(order: OrderId, user: UserId, stage: 'freezing' | 'open'): Task {
  return {
    order,
    user,
    stage,
    dueAtMs: 0,
    urgent: false,
    intents: new Map(),
    inOutbox: false,
    failures: 0,
    record: null,
    tags: [],
    waiters: new Set(),
  }
}
