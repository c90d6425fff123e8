/**
 * What shoppers may count on while things break (issue "chaos"): reads of the catalog at a live node never fail, cart
 * changes succeed within two seconds of retries while the set has two live members, and orders are accepted again within
 * two seconds of a majority of the voters being alive and in touch.
 */
import { cartChangeKinds } from '../history.ts'
import type { Attempt, History, Operation } from '../history.ts'
import type { Timeline } from '../timeline.ts'
import type { Checker, Violation } from './violation.ts'

export const limits = {
  cartChangeMs: 2_000,
  cartChangeShare: 0.999,
  orderMs: 2_000,
} as const

/** A read that is not answered in its time says nothing when the machine stood still for so much of it. */
const stalledReadMs = 1_000

/** A refusal of what does not exist (any more) is an answer. */
const answers: ReadonlySet<number> = new Set([200, 304, 404])

/** Time in which the machine had no processor for the clients, or for a node, is not the cluster's. */
export function stalledMs({ stalls }: History, fromMs: number, toMs: number): number {
  return stalls
    .filter(({ atMs, lastedMs }) => atMs - lastedMs < toMs && atMs > fromMs)
    .reduce((sum, { lastedMs }) => sum + lastedMs, 0)
}

function readsOfCatalog(history: History, timeline: Timeline): Violation[] {
  const isFailure = (attempt: Attempt): boolean => {
    const { kind, node, status, problem, asked, calledMs, returnedMs } = attempt
    if (kind !== 'catalog.list' && kind !== 'catalog.read') return false
    if (status !== null && answers.has(status)) return false
    // Honest: the node says that it has not what the client saw elsewhere.
    if (problem === 'behind' && asked.seenVersion !== undefined) return false
    if (stalledMs(history, calledMs, returnedMs) > stalledReadMs) return false
    return timeline.isServing(node, calledMs, returnedMs)
  }
  return history.attempts.filter(isFailure).map((attempt) => ({
    promise: 'progress',
    text: `a read of the catalog at live ${attempt.node} came to ${attempt.status} ${attempt.problem ?? attempt.answered.detail ?? ''}`,
    atMs: attempt.returnedMs,
  }))
}

type ToldSet = { readonly atMs: number; readonly set: readonly string[] }

/** The set of a user as it was told last before a moment; null when the members may have changed since. */
export function serverSets(history: History): (user: string, atMs: number) => readonly string[] | null {
  const told = new Map<string, ToldSet[]>()
  for (const { answered, returnedMs } of history.attempts) {
    if (answered.user === undefined || answered.serverSet === undefined) continue
    const sets = told.get(answered.user) ?? []
    sets.push({ atMs: returnedMs, set: answered.serverSet })
    told.set(answered.user, sets)
  }
  const came = new Map<string, number>()
  for (const { node, atMs } of history.nodes) came.set(node, Math.min(came.get(node) ?? atMs, atMs))
  const lost = history.nodes.filter(({ condition }) => condition === 'wiped' || condition === 'removed')
  const membersChangedMs = [...came.values(), ...lost.map(({ atMs }) => atMs)]
  return (user, atMs) => {
    const newest = told.get(user)?.findLast((one) => one.atMs <= atMs)
    if (newest === undefined || membersChangedMs.some((ms) => ms > newest.atMs && ms <= atMs)) return null
    return newest.set
  }
}

export type CartChanges = {
  /** Changes of users whose set had two live members all the time. */
  readonly counted: number
  readonly late: readonly Operation[]
}

/** Which changes of carts took longer than they may, of those that count. */
export function cartChanges(history: History, timeline: Timeline): CartChanges {
  const limitMs = limits.cartChangeMs * history.run.patience
  const setOf = serverSets(history)
  const changes = history.operations.filter(({ kind }) =>
    (cartChangeKinds as readonly string[]).includes(kind),
  )
  const counted = changes.filter(({ asked, calledMs, returnedMs }) => {
    const untilMs = Math.min(returnedMs, calledMs + limitMs)
    if (timeline.hasAtMostBroken(1, calledMs, untilMs)) return true
    const set = setOf(asked.user ?? '', untilMs)
    return set !== null && timeline.hasWhole(set, 2, calledMs, untilMs)
  })
  const late = counted.filter((operation) => isLate(history, operation, operation.calledMs, limitMs))
  return { counted: counted.length, late }
}

/** A refusal is in time, too: what is not for sale any more can't be added. */
function isLate(
  history: History,
  { returnedMs }: Pick<Operation, 'returnedMs'>,
  sinceMs: number,
  limitMs: number,
): boolean {
  return returnedMs - sinceMs - stalledMs(history, sinceMs, returnedMs) > limitMs
}

function cartsInTime(history: History, timeline: Timeline): Violation[] {
  const { counted, late } = cartChanges(history, timeline)
  // One of a small number proves nothing about one in a thousand.
  const allowed = Math.max(1, Math.floor(counted * (1 - limits.cartChangeShare)))
  if (late.length <= allowed) return []
  const worst = late.toSorted((a, b) => b.returnedMs - b.calledMs - (a.returnedMs - a.calledMs)).slice(0, 10)
  const told = worst.map(
    ({ number, calledMs, returnedMs }) => `${number} (${Math.round(returnedMs - calledMs)} ms)`,
  )
  const text = `${late.length} of ${counted} cart changes took too long, ${allowed} may: operations ${told.join(', ')}`
  return [{ promise: 'progress', text, atMs: late[0]?.returnedMs ?? 0 }]
}

/** What is told of a cart once all of it is known: it is empty, not the one agreed to, or costs something else. */
const cartRefusals: ReadonlySet<string | null> = new Set(['cart-changed', 'empty-cart', 'price-changed'])

/**
 * When it was answered. Who orders what is not in the cart is refused only when nothing of it can be missing; until then
 * the home says so, and whoever has the rest may be down: no order that could have been accepted.
 */
function answeredMs({ last, attempts, returnedMs }: Operation): number {
  if (!cartRefusals.has(last.problem)) return returnedMs
  const told = attempts.find(({ answered }) => answered.detail?.startsWith('not all of the cart is known'))
  return told?.returnedMs ?? returnedMs
}

/** Spent with nodes that could not answer: how long a shopper waits for one of those is the shopper's affair. */
function askedInVainMs(timeline: Timeline, { attempts }: Operation, sinceMs: number): number {
  return attempts
    .filter(({ node, calledMs, returnedMs }) => !timeline.isServing(node, calledMs, returnedMs))
    .reduce((sum, { calledMs, returnedMs }) => sum + Math.max(0, returnedMs - Math.max(calledMs, sinceMs)), 0)
}

/** A home whose disk is full refuses what it can't write, at once, until there is space (issue "consensus", "Disk"). */
function fullUntilMs({ nodes }: History, { attempts }: Operation): number {
  const isFull = ({ server, calledMs }: Attempt): boolean =>
    nodes.findLast(({ node, atMs }) => node === server && atMs <= calledMs)?.condition === 'full'
  const refused = attempts.findLast((attempt) => attempt.problem === 'disk-full' && isFull(attempt))
  return refused?.returnedMs ?? Number.NEGATIVE_INFINITY
}

/** Orders that were not accepted in time, each with what it took since it could have been. */
export function lateOrders(history: History, timeline: Timeline): { operation: Operation; tookMs: number }[] {
  const limitMs = limits.orderMs * history.run.patience
  return history.operations.flatMap((operation) => {
    const { kind, calledMs } = operation
    const returnedMs = answeredMs(operation)
    if (kind !== 'order.place') return []
    const calmMs = timeline.calmMajoritySince(returnedMs)
    // The home must be there as well: at most one node is broken.
    if (calmMs === null || !timeline.hasAtMostBroken(1, Math.max(calledMs, calmMs), returnedMs)) return []
    const beganMs = Math.max(calledMs, calmMs, fullUntilMs(history, operation))
    const sinceMs = beganMs + askedInVainMs(timeline, operation, beganMs)
    if (!isLate(history, { returnedMs }, sinceMs, limitMs)) return []
    return [{ operation, tookMs: returnedMs - sinceMs }]
  })
}

function ordersInTime(history: History, timeline: Timeline): Violation[] {
  return lateOrders(history, timeline).map(({ operation, tookMs }) => ({
    promise: 'progress',
    text: `order (operation ${operation.number} of ${operation.process}) was not accepted for ${Math.round(tookMs)} ms with a majority in touch: ${operation.last.status} ${operation.last.problem ?? ''}`,
    atMs: operation.returnedMs,
  }))
}

export const availability: Checker = {
  name: 'availability',
  check: (history, timeline) => [
    ...readsOfCatalog(history, timeline),
    ...cartsInTime(history, timeline),
    ...ordersInTime(history, timeline),
  ],
}
