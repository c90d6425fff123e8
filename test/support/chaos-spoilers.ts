/** How a good history of a chaos run is made a bad one: what is exchanged, and where. */
import type { Attempt, HistoryLine } from '../chaos/history.ts'
import type { SeededRandom } from '../sim/random.ts'

/** Changes lines, or returns false when this history has no place for it. */
export type Spoil = (lines: HistoryLine[], random: SeededRandom) => boolean
export type Bad = {
  readonly what: string
  readonly promise: string
  readonly words: RegExp
  readonly spoil: Spoil
}

export function placesOf<T extends HistoryLine>(
  lines: readonly HistoryLine[],
  is: (line: HistoryLine) => line is T,
): number[] {
  return lines.flatMap((line, index) => (is(line) ? [index] : []))
}

/** Puts another line in the place of a random one that fits. */
export function replaceOne<T extends HistoryLine>(
  is: (line: HistoryLine) => line is T,
  make: (line: T, lines: readonly HistoryLine[]) => HistoryLine,
): Spoil {
  return (lines, random) => {
    const places = placesOf(lines, is)
    if (places.length === 0) return false
    const place = random.pick(places)
    lines[place] = make(lines[place] as T, lines)
    return true
  }
}

export const isAttempt =
  (test: (attempt: Attempt) => boolean) =>
  (line: HistoryLine): line is Attempt =>
    line.type === 'attempt' && test(line)

export type FinalOrders = Extract<HistoryLine, { type: 'final'; of: 'orders' }>
export type FinalCart = Extract<HistoryLine, { type: 'final'; of: 'cart' }>
export type FinalReplicas = Extract<HistoryLine, { type: 'final'; of: 'replicas' }>
export type FinalProducts = Extract<HistoryLine, { type: 'final'; of: 'products' }>
export type FinalViews = Extract<HistoryLine, { type: 'final'; of: 'views' }>
export type ViewLine = Extract<HistoryLine, { type: 'view' }>
export const finalOf =
  <T extends HistoryLine>(of: string) =>
  (line: HistoryLine): line is T =>
    line.type === 'final' && line.of === of

/** The same in every voter's book, as if the log had decided it. */
export function spoilBooks(change: (orders: FinalOrders['orders']) => FinalOrders['orders']): Spoil {
  return (lines) => {
    let isChanged = false
    lines.forEach((line, index) => {
      if (!finalOf<FinalOrders>('orders')(line)) return
      const orders = change(line.orders)
      isChanged ||= JSON.stringify(orders) !== JSON.stringify(line.orders)
      lines[index] = { ...line, orders }
    })
    return isChanged
  }
}

export function isPlaced(attempt: Attempt): boolean {
  return attempt.kind === 'order.place' && attempt.status === 201
}

/** An order that a shopper was told of. */
export function told(lines: readonly HistoryLine[]): string {
  return lines.find(isAttempt(isPlaced))?.answered.order?.id ?? ''
}

export const spoilTold =
  (change: (id: string) => (orders: FinalOrders['orders']) => FinalOrders['orders']): Spoil =>
  (lines, random) =>
    spoilBooks(change(told(lines)))(lines, random)

export const lostItem = (line: Attempt): Attempt => {
  const { cart } = line.answered
  return cart === undefined ? line : { ...line, answered: { ...line.answered, cart: { ...cart, items: [] } } }
}

export function isFullView({ kind, outcome, answered }: Attempt): boolean {
  return kind === 'cart.view' && outcome === 'ok' && (answered.cart?.items.length ?? 0) > 0
}
