/** The nodes themselves: one primary a term (P1), none ends by itself (P9), and all agree in the end (P2, P7). */
import type { History } from '../history.ts'
import type { Checker, Violation } from './violation.ts'

function primaries({ views }: History): Violation[] {
  const known = new Map<number, string>()
  return views.flatMap(({ node, term, primary, atMs }) => {
    if (primary === null) return []
    const other = known.get(term)
    known.set(term, primary)
    if (other === undefined || other === primary) return []
    return [{ promise: 'P1', text: `${other} and, by ${node}, ${primary} are primary of term ${term}`, atMs }]
  })
}

function exits(history: History): Violation[] {
  return history.exits
    .filter(({ expected }) => !expected)
    .map(({ node, code, signal, atMs }) => ({
      promise: 'P9',
      text: `${node} ended by itself (exit code ${code}, signal ${signal})`,
      atMs,
    }))
}

function agreement(history: History): Violation[] {
  const found: Violation[] = history
    .final('stuck')
    .map(({ why, atMs }) => ({ promise: 'progress', text: `when all had healed: ${why}`, atMs }))
  for (const { views, atMs } of history.final('views')) {
    const catalogs = new Set(views.map(({ catalog }) => `${catalog.version} ${catalog.digest}`))
    if (catalogs.size > 1)
      found.push({ promise: 'P7', text: `in the end there are ${catalogs.size} catalogs`, atMs })
    const books = new Set(views.flatMap(({ orders }) => (orders ? [`${orders.count} ${orders.digest}`] : [])))
    if (books.size > 1)
      found.push({
        promise: 'P2',
        text: `in the end voters have ${books.size} different books of orders`,
        atMs,
      })
    for (const { node, halted, settled } of views) {
      if (halted !== null) found.push({ promise: 'P1', text: `${node} has halted: ${halted}`, atMs })
      if (!settled) found.push({ promise: 'progress', text: `${node} does not settle`, atMs })
    }
  }
  return found
}

export const nodes: Checker = {
  name: 'nodes',
  check: (history) => [...primaries(history), ...exits(history), ...agreement(history)],
}
