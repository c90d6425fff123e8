/** Histories of chaos runs in which the catalog, a node, a door or progress went wrong, each in one way. */
import type { Attempt } from '../chaos/history.ts'
import { finalOf, isAttempt, isFullView, isPlaced, placesOf, replaceOne } from './chaos-spoilers.ts'
import type { Bad, FinalProducts, FinalViews, ViewLine } from './chaos-spoilers.ts'

const isBrowse = isAttempt(({ kind, outcome }) => kind === 'catalog.list' && outcome === 'ok')

export const catalogFaults: Bad[] = [
  {
    what: 'a version of a product has two prices',
    promise: 'P7',
    words: /costs/,
    spoil: replaceOne(isBrowse, (line) => ({
      ...line,
      answered: {
        ...line.answered,
        products: (line.answered.products ?? []).map((product) => ({
          ...product,
          amount: product.amount + 1,
        })),
      },
    })),
  },
  {
    what: 'a change was applied twice',
    promise: 'P1',
    words: /was applied in version/,
    spoil: replaceOne(isBrowse, (line) => ({
      ...line,
      answered: {
        ...line.answered,
        products: (line.answered.products ?? []).map((product) => ({
          ...product,
          version: product.version + 500,
        })),
      },
    })),
  },
  {
    what: 'a refused change was made',
    promise: 'P1',
    words: /was refused/,
    spoil: (lines) => {
      const last = lines.findLast(
        isAttempt(({ kind, outcome }) => kind === 'product.put' && outcome === 'ok'),
      )
      if (last === undefined) return false
      lines.forEach((line, index) => {
        if (line.type === 'attempt' && line.operation === last.operation)
          lines[index] = { ...line, outcome: 'fail', status: 503, problem: 'no-primary' }
      })
      const seen = last.answered.products ?? []
      const browse = placesOf(lines, isBrowse)
      const place = browse.find((index) => (lines[index] as Attempt).returnedMs > last.returnedMs)
      if (place === undefined) return false
      const line = lines[place] as Attempt
      lines[place] = { ...line, answered: { ...line.answered, products: seen } }
      return true
    },
  },
  {
    what: 'a conditional change overwrote what its author had not seen',
    promise: 'P1',
    words: /was to follow/,
    spoil: (lines) => {
      const changes = placesOf(
        lines,
        isAttempt(({ outcome, asked }) => outcome === 'ok' && asked.amount !== undefined),
      )
      for (const place of changes.toReversed()) {
        const line = lines[place] as Attempt
        const before = changes.filter((other) => other < place).map((other) => lines[other] as Attempt)
        const same = before.filter(({ asked }) => asked.handle === line.asked.handle)
        if (same.length < 2) continue
        const asked = { ...line.asked, ifMatch: same.at(-2)?.answered.products?.[0]?.version ?? 0 }
        lines.forEach((one, index) => {
          if (one.type === 'attempt' && one.operation === line.operation) lines[index] = { ...one, asked }
        })
        return true
      }
      return false
    },
  },
  {
    what: 'a client that saw a version is shown an older one',
    promise: 'P7',
    words: /who had seen/,
    spoil: replaceOne(isBrowse, (line) => ({
      ...line,
      asked: { seenVersion: (line.answered.version ?? 0) + 1 },
    })),
  },
  {
    what: 'a product is older than the version that the client saw',
    promise: 'P7',
    words: /showed/,
    spoil: (lines) => {
      const browses = placesOf(lines, isBrowse)
      const [first] = browses
      const later = browses.find((place) => {
        const [one, other] = [lines[first ?? 0] as Attempt, lines[place] as Attempt]
        return one.answered.products?.some(
          ({ handle, version }) =>
            (other.answered.products?.find((product) => product.handle === handle)?.version ?? 0) > version,
        )
      })
      if (first === undefined || later === undefined) return false
      const [old, line] = [lines[first] as Attempt, lines[later] as Attempt]
      const version = line.answered.version ?? 0
      const answered = { version, products: old.answered.products ?? [] }
      // The sight that tells of the change stays elsewhere: in the answer to whoever made it.
      lines[later] = { ...line, asked: { seenVersion: version }, answered }
      return true
    },
  },
  {
    what: 'the catalog of a node goes back',
    promise: 'P7',
    words: /went from version/,
    spoil: (lines) => {
      const place = placesOf(lines, (line): line is ViewLine => line.type === 'view').at(-1)
      if (place === undefined) return false
      const view = lines[place] as ViewLine
      lines[place] = { ...view, catalog: { version: 0, digest: 'digest 0' } }
      return view.catalog.version > 0
    },
  },
  {
    what: 'two nodes differ at one version',
    promise: 'P7',
    words: /another digest/,
    spoil: replaceOne(
      (line): line is ViewLine => line.type === 'view',
      (line) => ({ ...line, catalog: { ...line.catalog, digest: 'other' } }),
    ),
  },
  {
    what: 'an acknowledged change is lost in the end',
    promise: 'P1',
    words: /in the end/,
    spoil: replaceOne(finalOf<FinalProducts>('products'), (line) => ({
      ...line,
      products: line.products.map((product) => ({ ...product, version: product.version - 1 })),
    })),
  },
]

export const nodeFaults: Bad[] = [
  {
    what: 'a term has two primaries',
    promise: 'P1',
    words: /are primary of term/,
    spoil: replaceOne(
      (line): line is ViewLine => line.type === 'view',
      (line) => ({ ...line, primary: 'n9' }),
    ),
  },
  {
    what: 'a node ends by itself',
    promise: 'P9',
    words: /ended by itself/,
    spoil: (lines) => {
      lines.push({ type: 'exit', node: 'n1', code: 1, signal: null, expected: false, atMs: 100 })
      return true
    },
  },
  {
    what: 'catalogs differ in the end',
    promise: 'P7',
    words: /catalogs/,
    spoil: replaceOne(finalOf<FinalViews>('views'), (line) => ({
      ...line,
      views: line.views.map((view, index) =>
        index === 0 ? { ...view, catalog: { version: 1, digest: 'other' } } : view,
      ),
    })),
  },
  {
    what: 'books of orders differ in the end',
    promise: 'P2',
    words: /books/,
    spoil: replaceOne(finalOf<FinalViews>('views'), (line) => ({
      ...line,
      views: line.views.map((view, index) =>
        index === 0 ? { ...view, orders: { count: 0, digest: '' } } : view,
      ),
    })),
  },
  {
    what: 'nothing settles',
    promise: 'progress',
    words: /healed/,
    spoil: (lines) => {
      lines.push({ type: 'final', of: 'stuck', why: 'n1 does not settle', atMs: 1 })
      return true
    },
  },
]

const malformed = (status: number): Partial<Attempt> => ({
  kind: 'malformed',
  status,
  outcome: 'ok',
  asked: { what: 'x' },
})

export const doorFaults: Bad[] = [
  {
    what: 'a malformed request is taken',
    promise: 'P9',
    words: /was answered 200/,
    spoil: replaceOne(isBrowse, (line) => ({ ...line, ...malformed(200) })),
  },
  {
    what: 'a request makes a node fail',
    promise: 'P9',
    words: /was answered 500/,
    spoil: replaceOne(isBrowse, (line) => ({
      ...line,
      status: 500,
      outcome: 'unknown',
      answered: { detail: 'x' },
    })),
  },
  {
    what: 'a stranger gets in',
    promise: 'P10',
    words: /was answered 200/,
    spoil: replaceOne(isBrowse, (line) => ({ ...line, ...malformed(200), kind: 'intrusion' })),
  },
  {
    what: 'somebody sees the cart of another',
    promise: 'P10',
    words: /what is of/,
    spoil: replaceOne(isAttempt(isFullView), (line) => ({
      ...line,
      asked: { ...line.asked, user: 'somebody else' },
    })),
  },
  {
    what: 'a session goes on after it was logged off',
    promise: 'P10',
    words: /logged off/,
    spoil: (lines) => {
      const like = lines.find(isBrowse)
      if (like === undefined) return false
      const asked = { user: 'a1', key: 'token 1' }
      lines.push({ ...like, kind: 'log-off', operation: 9_001, asked, calledMs: 1, returnedMs: 2 })
      // After all that the nodes went through.
      const off = { type: 'attempt', kind: 'session', operation: 9_002, asked } as const
      const atMs = 1e7
      lines.push({ ...like, kind: 'log-off', operation: 9_001, asked, calledMs: atMs, returnedMs: atMs + 1 })
      lines.push({ ...like, ...off, calledMs: atMs + 5_000, returnedMs: atMs + 5_001 })
      return true
    },
  },
]

/** Far behind everything else, where nothing breaks any more. */
const laterMs = 1e6

export const progressFaults: Bad[] = [
  {
    what: 'a live node does not show the catalog',
    promise: 'progress',
    words: /a read of the catalog at live n1/,
    spoil: replaceOne(isBrowse, (line) => ({
      ...line,
      node: 'n1',
      status: null,
      outcome: 'unknown',
      answered: {},
    })),
  },
  {
    what: 'cart changes take too long',
    promise: 'progress',
    words: /cart changes took too long/,
    spoil: (lines) => {
      const changes = placesOf(
        lines,
        isAttempt(({ kind }) => kind === 'cart.add'),
      )
      for (const place of changes.slice(0, 4)) {
        const line = lines[place] as Attempt
        const calledMs = line.calledMs + laterMs
        lines.push({
          ...line,
          operation: line.operation + 5_000,
          process: 'slow',
          calledMs,
          returnedMs: calledMs + 2_100,
        })
      }
      return changes.length >= 4
    },
  },
  {
    what: 'an order is not accepted in time',
    promise: 'progress',
    words: /was not accepted for/,
    spoil: replaceOne(isAttempt(isPlaced), (line) => ({
      ...line,
      calledMs: line.calledMs + laterMs,
      returnedMs: line.returnedMs + laterMs + 2_100,
    })),
  },
]
