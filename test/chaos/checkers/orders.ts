/**
 * Orders (P2, P3, P4, P7): what was answered 201 or 202 is there in the end, at every voter, exactly once and unchanged;
 * what was refused is not; nothing is there that nobody asked for; prices are those that the shopper saw.
 */
import type { UserId } from '../../../node/ids.ts'
import { orderIdOf } from '../../../node/replica/order-intents.ts'
import type { Attempt, History, Line, Operation, OrderSeen } from '../history.ts'
import type { Checker, Violation } from './violation.ts'

/** Placed at some time: it has a number, whatever became of it later. */
export function wasPlaced(order: OrderSeen): boolean {
  return order.number !== null
}

/** One key of one user is one order (DESIGN.md section 7). */
export function orderOf({ asked }: Pick<Operation, 'asked'>): string {
  return orderIdOf((asked.user ?? '') as UserId, asked.key ?? '')
}

/** What the voters have in the end: of the first one, since all must have the same. */
export function finalOrders(history: History): Map<string, OrderSeen> {
  const [first] = history.final('orders')
  return new Map(first?.orders.map((order) => [order.id, order]))
}

function linesOf(lines: readonly Line[]): string {
  const texts = lines.map(({ sku, quantity, unitPrice }) => `${quantity} ${sku} at ${unitPrice}`)
  return texts.sort().join(', ')
}

/** What a decision fixed for ever. Being shipped or cancelled later does not touch it. */
function factsOf(order: OrderSeen): string {
  const { number, reason, user, total, lines } = order
  return JSON.stringify([number, reason, user, total, linesOf(lines)])
}

type Told = { readonly order: OrderSeen; readonly atMs: number; readonly where: string }

class OrderCheck {
  readonly #history: History
  readonly #kept: Map<string, OrderSeen>
  readonly #endMs: number
  readonly #found: Violation[] = []

  constructor(history: History) {
    this.#history = history
    this.#kept = finalOrders(history)
    this.#endMs = history.final('orders')[0]?.atMs ?? 0
  }

  run(): Violation[] {
    if (this.#history.final('orders').length === 0) return []
    const placing = this.#history.operations.filter(({ kind }) => kind === 'order.place')
    this.#checkVoters()
    for (const operations of Map.groupBy(placing, orderOf).values()) this.#checkAnswers(operations)
    this.#checkStrangers(placing)
    this.#checkUnchanged()
    this.#checkShipped()
    return this.#found
  }

  #violation(promise: string, text: string, atMs = this.#endMs): void {
    this.#found.push({ promise, text, atMs })
  }

  #checkVoters(): void {
    const [first, ...others] = this.#history.final('orders')
    for (const { node, orders } of this.#history.final('orders')) {
      const ids = orders.map(({ id }) => id)
      const twice = ids.filter((id, index) => ids.indexOf(id) !== index)
      for (const id of twice) this.#violation('P2', `order ${id} is there twice at ${node}`)
    }
    for (const { node, orders } of others) {
      const theirs = new Map(orders.map((order) => [order.id, JSON.stringify(order)]))
      for (const id of new Set([...theirs.keys(), ...this.#kept.keys()])) {
        const mine = this.#kept.get(id)
        if (theirs.get(id) !== (mine === undefined ? undefined : JSON.stringify(mine)))
          this.#violation('P2', `order ${id} at ${node} differs from the one at ${first?.node}`)
      }
    }
    const numbers = new Map<string, string>()
    for (const { id, number } of this.#kept.values()) {
      if (number === null) continue
      const other = numbers.get(number)
      if (other !== undefined) this.#violation('P2', `orders ${other} and ${id} have number ${number}`)
      numbers.set(number, id)
    }
  }

  /** All requests with one key. */
  #checkAnswers(operations: readonly Operation[]): void {
    const id = orderOf(operations[0] as Operation)
    const attempts = operations.flatMap((operation) => operation.attempts)
    const kept = this.#kept.get(id)
    for (const attempt of attempts) this.#checkAnswer(id, attempt, kept)
    const isRefusal = ({ outcome, status }: Attempt): boolean => outcome === 'fail' && status !== 409
    if (attempts.every(isRefusal) && kept !== undefined && wasPlaced(kept))
      this.#violation('P2', `order ${id} was always refused, and is placed as ${kept.number}`)
    for (const operation of operations) this.#checkPrices(operation, kept)
  }

  #checkAnswer(id: string, attempt: Attempt, kept: OrderSeen | undefined): void {
    const { outcome, status, problem, answered, returnedMs } = attempt
    const told = answered.order
    if (outcome === 'ok' && told?.id !== id)
      this.#violation('P4', `the key of order ${id} was answered with order ${told?.id}`, returnedMs)
    if (outcome === 'ok' && kept === undefined)
      this.#violation('P2', `order ${id} was answered ${status}, and is lost`)
    if (outcome === 'ok' && status === 201 && kept !== undefined && !wasPlaced(kept))
      this.#violation('P2', `order ${id} was answered 201, and is ${kept.status} in the end`)
    if (outcome === 'ok' && status === 202 && kept?.status === 'pending')
      this.#violation('P3', `order ${id} was answered 202, and is pending in the end`)
    if (status === 409 && kept !== undefined && wasPlaced(kept))
      this.#violation('P4', `order ${id} was refused (${problem}), and is placed as ${kept.number}`)
    if (problem === 'key-reused')
      this.#violation('P4', `the same request with the key of ${id} was answered key-reused`, returnedMs)
  }

  /** P7: what is charged is what was seen. */
  #checkPrices({ asked }: Operation, kept: OrderSeen | undefined): void {
    if (kept === undefined || !wasPlaced(kept) || asked.hash === '*' || asked.seen === undefined) return
    const [charged, seen] = [linesOf(kept.lines), linesOf(asked.seen)]
    if (charged !== seen) this.#violation('P7', `order ${kept.id} is of ${charged}; the shopper saw ${seen}`)
  }

  #checkStrangers(placing: readonly Operation[]): void {
    const asked = new Set(placing.map(orderOf))
    for (const { id, number } of this.#kept.values())
      if (!asked.has(id)) this.#violation('P4', `nobody asked for order ${id} (${number})`)
  }

  /** P2: what was ever read of a decided order is what it is in the end. */
  #checkUnchanged(): void {
    for (const { order, atMs, where } of toldOrders(this.#history)) {
      if (order.status === 'pending') continue
      const kept = this.#kept.get(order.id)
      if (kept === undefined) this.#violation('P2', `order ${order.id}, read at ${where}, is lost`, atMs)
      else if (factsOf(kept) !== factsOf(order)) {
        const text = `order ${order.id} was ${factsOf(order)} at ${where}, and is ${factsOf(kept)} in the end`
        this.#violation('P2', text, atMs)
      }
    }
  }

  #checkShipped(): void {
    for (const { kind, outcome, asked, returnedMs } of this.#history.operations) {
      if (kind !== 'order.status' || outcome !== 'ok') continue
      const kept = this.#kept.get(asked.order ?? '')
      if (kept?.status !== asked.status)
        this.#violation(
          'P2',
          `order ${asked.order} became ${asked.status}, and is ${kept?.status}`,
          returnedMs,
        )
    }
  }
}

function toldOrders({ attempts }: History): Told[] {
  return attempts.flatMap(({ outcome, answered, returnedMs, server, node }) => {
    if (outcome !== 'ok') return []
    const orders = [...(answered.orders ?? []), ...(answered.order === undefined ? [] : [answered.order])]
    return orders.map((order) => ({ order, atMs: returnedMs, where: server ?? node }))
  })
}

export const orders: Checker = { name: 'orders', check: (history) => new OrderCheck(history).run() }
