/**
 * What comes in and what goes out (P9, P10): bad and unauthorized requests are refused with a clear error, nobody sees
 * another's cart or orders, and a token that was logged off is refused everywhere a second later.
 */
import type { Attempt, History } from '../history.ts'
import type { Timeline } from '../timeline.ts'
import type { Checker, Violation } from './violation.ts'

/** API.md: a logged-off token is refused by connected nodes within a second. */
const logOffMs = 1_000

function refusals({ attempts }: History): Violation[] {
  return attempts.flatMap(({ kind, status, server, asked, returnedMs }) => {
    if (status === null || status === 503 || status === 429) return []
    if (kind === 'malformed' && (status < 400 || status >= 500))
      return [{ promise: 'P9', text: `${asked.what} was answered ${status} by ${server}`, atMs: returnedMs }]
    if (kind === 'intrusion' && ![401, 403, 404].includes(status))
      return [{ promise: 'P10', text: `${asked.what} was answered ${status} by ${server}`, atMs: returnedMs }]
    return []
  })
}

function strangers({ attempts }: History): Violation[] {
  return attempts.flatMap((attempt) => {
    const { asked, answered, outcome, server, returnedMs, kind } = attempt
    if (outcome !== 'ok' || asked.user === undefined || kind === 'log-on' || kind === 'register') return []
    const { cart, order, orders: list } = answered
    const seen = [cart?.user, order?.user, ...(list ?? []).map(({ user }) => user)]
    const other = seen.find((user) => user !== undefined && user !== asked.user)
    if (other === undefined) return []
    return [{ promise: 'P10', text: `${server} showed ${asked.user} what is of ${other}`, atMs: returnedMs }]
  })
}

/** Only while every node could hear of it: a cut or stopped one hears of it later. */
function loggedOff(history: History, timeline: Timeline): Violation[] {
  const ended = new Map<string, number>()
  for (const { kind, outcome, asked, returnedMs } of history.operations)
    if (kind === 'log-off' && outcome === 'ok' && asked.key !== undefined) ended.set(asked.key, returnedMs)
  const isLate = ({ kind, outcome, asked, calledMs }: Attempt): boolean => {
    const endedMs = ended.get(asked.key ?? '')
    return (
      kind === 'session' &&
      outcome === 'ok' &&
      endedMs !== undefined &&
      calledMs > endedMs + logOffMs * history.run.patience &&
      timeline.hasAtMostBroken(0, endedMs - logOffMs, calledMs)
    )
  }
  return history.attempts.filter(isLate).map(({ server, asked, returnedMs }) => ({
    promise: 'P10',
    text: `${server} took a session of ${asked.user} that was logged off`,
    atMs: returnedMs,
  }))
}

/** 5xx without a meaning: the node met something that it did not expect. */
function internalErrors({ attempts }: History): Violation[] {
  return attempts.flatMap(({ status, server, kind, answered, returnedMs }) =>
    status === 500
      ? [
          {
            promise: 'P9',
            text: `${kind} was answered 500 by ${server}: ${answered.detail}`,
            atMs: returnedMs,
          },
        ]
      : [],
  )
}

export const doors: Checker = {
  name: 'doors',
  check: (history, timeline) => [
    ...refusals(history),
    ...strangers(history),
    ...loggedOff(history, timeline),
    ...internalErrors(history),
  ],
}
