/** Histories of chaos runs in which orders or carts went wrong, each in one way. */
import type { Attempt } from '../chaos/history.ts'
import {
  finalOf,
  isAttempt,
  isFullView,
  isPlaced,
  lostItem,
  placesOf,
  replaceOne,
  spoilBooks,
  spoilTold,
  told,
} from './chaos-spoilers.ts'
import type { Bad, FinalCart, FinalOrders, FinalReplicas } from './chaos-spoilers.ts'

export const orderFaults: Bad[] = [
  {
    what: 'an order that was answered 201 is lost',
    promise: 'P2',
    words: /is lost/,
    spoil: spoilTold((id) => (orders) => orders.filter((order) => order.id !== id)),
  },
  {
    what: 'an order that was answered 201 is refused in the end',
    promise: 'P2',
    words: /answered 201, and is refused/,
    spoil: spoilTold(
      (id) => (orders) =>
        orders.map((order) => (order.id === id ? { ...order, status: 'refused', number: null } : order)),
    ),
  },
  {
    what: 'an order has other lines in the end',
    promise: 'P2',
    words: /was .* and is .* in the end/,
    spoil: spoilTold(
      (id) => (orders) =>
        orders.map((order) => (order.id === id ? { ...order, total: order.total + 1 } : order)),
    ),
  },
  {
    what: 'an order is at one voter only',
    promise: 'P2',
    words: /differs/,
    spoil: replaceOne(finalOf<FinalOrders>('orders'), (line) => ({ ...line, orders: line.orders.slice(1) })),
  },
  {
    what: 'an order is there twice',
    promise: 'P2',
    words: /twice/,
    spoil: spoilBooks((orders) => [...orders, ...orders.slice(0, 1)]),
  },
  {
    what: 'two orders have one number',
    promise: 'P2',
    words: /have number/,
    spoil: spoilBooks((orders) =>
      orders.filter(({ number }) => number !== null).length < 2
        ? orders
        : orders.map((order) => (order.number === null ? order : { ...order, number: 'S-1' })),
    ),
  },
  {
    what: 'an order is pending for ever',
    promise: 'P3',
    words: /is pending in the end/,
    spoil: (lines, random) => {
      const id = told(lines)
      const place = placesOf(
        lines,
        isAttempt((attempt) => attempt.answered.order?.id === id),
      )[0]
      if (place === undefined) return false
      const line = lines[place] as Attempt
      lines[place] = { ...line, status: 202 }
      return spoilBooks((orders) =>
        orders.map((order) => (order.id === id ? { ...order, status: 'pending', number: null } : order)),
      )(lines, random)
    },
  },
  {
    what: 'nobody asked for an order',
    promise: 'P4',
    words: /nobody asked/,
    spoil: spoilBooks((orders) =>
      orders.map((order, index) => (index === 0 ? { ...order, id: 'o0' } : order)),
    ),
  },
  {
    what: 'a refused order is placed',
    promise: 'P4',
    words: /was refused \(empty-cart\), and is placed/,
    spoil: (lines) => {
      const place = placesOf(lines, isAttempt(isPlaced))[0]
      if (place === undefined) return false
      const line = lines[place] as Attempt
      lines[place] = { ...line, outcome: 'fail', status: 409, problem: 'empty-cart', answered: {} }
      return true
    },
  },
  {
    what: 'an order that was always answered 503 is placed',
    promise: 'P2',
    words: /always refused/,
    spoil: (lines) => {
      const id = told(lines)
      const places = placesOf(
        lines,
        isAttempt((attempt) => attempt.kind === 'order.place' && attempt.answered.order?.id === id),
      )
      const operation = (lines[places[0] ?? 0] as Attempt).operation
      for (const place of placesOf(
        lines,
        isAttempt((attempt) => attempt.operation === operation),
      ))
        lines[place] = {
          ...(lines[place] as Attempt),
          outcome: 'fail',
          status: 503,
          problem: 'no-primary',
          answered: {},
        }
      return places.length > 0
    },
  },
  {
    what: 'one key is two orders',
    promise: 'P4',
    words: /was answered with order/,
    spoil: replaceOne(isAttempt(isPlaced), (line) => ({
      ...line,
      answered: { order: { ...(line.answered.order as never as { id: string }), id: 'o1' } as never },
    })),
  },
  {
    what: 'another price is charged than was seen',
    promise: 'P7',
    words: /the shopper saw/,
    spoil: (lines) => {
      const operation = lines.find(isAttempt(isPlaced))?.operation
      const places = placesOf(
        lines,
        isAttempt((attempt) => attempt.operation === operation),
      )
      for (const place of places) {
        const line = lines[place] as Attempt
        const seen = (line.asked.seen ?? []).map((one) => ({ ...one, unitPrice: 1 }))
        lines[place] = { ...line, asked: { ...line.asked, seen } }
      }
      return places.length > 0
    },
  },
]

export const cartFaults: Bad[] = [
  {
    what: 'a node that names another one as home calls the cart complete',
    promise: 'P5',
    words: /calls the cart complete, and names/,
    spoil: replaceOne(
      isAttempt(({ outcome, answered }) => outcome === 'ok' && answered.cart?.complete === true),
      (line) => ({ ...line, server: 'n9' }),
    ),
  },
  {
    what: 'an acknowledged addition is missing at the next look',
    promise: 'P5',
    words: /at least \d+ were acknowledged/,
    spoil: replaceOne(
      isAttempt(
        (attempt) =>
          attempt.kind === 'cart.add' &&
          attempt.outcome === 'ok' &&
          (attempt.answered.cart?.items.length ?? 0) > 0,
      ),
      lostItem,
    ),
  },
  {
    what: 'an acknowledged addition is missing in the end',
    promise: 'P5',
    words: /in the end, once/,
    spoil: (lines) => {
      const like = lines.find(
        isAttempt(
          ({ kind, outcome, answered }) => kind === 'cart.add' && outcome === 'ok' && answered.acks === 2,
        ),
      )
      const cart = like?.answered.cart
      if (like === undefined || cart === undefined) return false
      const asked = { ...like.asked, user: 'once', sku: 'A', quantity: 1 }
      const items = [{ sku: 'A', quantity: 1, unitPrice: 1 }]
      const answered = { ...like.answered, cart: { ...cart, user: 'once', items } }
      lines.push({ ...like, process: 'once', operation: 9_000, asked, answered })
      const empty = { ...cart, user: 'once', items: [] }
      lines.push({ type: 'final', of: 'cart', process: 'once', user: 'once', cart: empty, atMs: 1e7 })
      return true
    },
  },
  {
    what: 'more is in the cart than was ever put in',
    promise: 'P6',
    words: /at most \d+ can be there/,
    spoil: replaceOne(isAttempt(isFullView), (line) => {
      const cart = line.answered.cart
      if (cart === undefined) return line
      const items = cart.items.map((item) => ({ ...item, quantity: item.quantity + 1_000 }))
      return { ...line, answered: { ...line.answered, cart: { ...cart, items } } }
    }),
  },
  {
    what: 'a removed entry is back',
    promise: 'P6',
    words: /at most 0 can be there/,
    spoil: replaceOne(
      isAttempt(({ kind, outcome }) => kind === 'cart.clear' && outcome === 'ok'),
      (line) => {
        const cart = line.answered.cart
        if (cart === undefined) return line
        const items = [{ sku: 'Z', quantity: 1, unitPrice: 1 }]
        return { ...line, answered: { ...line.answered, cart: { ...cart, items } } }
      },
    ),
  },
  {
    what: 'more was ordered than was put in',
    promise: 'P4',
    words: /put in \d+ at most/,
    spoil: spoilBooks((orders) =>
      orders.map((order) => ({
        ...order,
        lines: order.lines.map((line) => ({ ...line, quantity: line.quantity + 10_000 })),
      })),
    ),
  },
  {
    what: 'copies of a cart differ',
    promise: 'P6',
    words: /copies/,
    spoil: replaceOne(finalOf<FinalReplicas>('replicas'), (line) => ({
      ...line,
      copies: { ...line.copies, n3: '' },
    })),
  },
  {
    what: 'a cart stays incomplete',
    promise: 'P5',
    words: /not complete/,
    spoil: replaceOne(finalOf<FinalCart>('cart'), (line) => ({
      ...line,
      cart: { ...line.cart, complete: false },
    })),
  },
]
