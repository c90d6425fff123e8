/** The checkers of chaos runs: no false alarm on histories of a shop that keeps its promises, and every spoilt one is found. */
import { describe, expect, test } from 'vitest'
import { checkHistory } from '../chaos/checkers/all.ts'
import { lateOrders } from '../chaos/checkers/availability.ts'
import { History, parseHistory } from '../chaos/history.ts'
import type { Attempt, HistoryLine } from '../chaos/history.ts'
import { Timeline } from '../chaos/timeline.ts'
import { seededRandom } from '../sim/random.ts'
import { PerfectShop } from '../support/chaos-history.ts'
import { catalogFaults, doorFaults, nodeFaults, progressFaults } from '../support/chaos-spoilt-nodes.ts'
import { cartFaults, orderFaults } from '../support/chaos-spoilt-orders.ts'

const goodSeeds = 60
const badSeeds = 15

const everything = [
  ...orderFaults,
  ...cartFaults,
  ...catalogFaults,
  ...nodeFaults,
  ...doorFaults,
  ...progressFaults,
]

describe('the checkers of chaos runs', () => {
  test('find nothing in histories of a shop that keeps its promises', () => {
    for (let seed = 1; seed <= goodSeeds; seed += 1) {
      const found = checkHistory(new History(new PerfectShop(seed).run()))
      expect({ seed, found }).toEqual({ seed, found: [] })
    }
  })

  test.each(everything)('$promise: $what', ({ promise, words, spoil }) => {
    let spoilt = 0
    for (let seed = 1; seed <= badSeeds; seed += 1) {
      const lines = new PerfectShop(seed).run()
      if (!spoil(lines, seededRandom(seed))) continue
      spoilt += 1
      const found = checkHistory(new History(lines)).filter(
        (one) => one.promise === promise && words.test(one.text),
      )
      expect({ seed, found: found.length > 0 }).toEqual({ seed, found: true })
    }
    expect(spoilt).toBeGreaterThan(2)
  })

  test('a history that was cut off in its last line is read up to there', () => {
    const lines = new PerfectShop(1).run()
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
    expect(parseHistory(text).lines).toEqual(lines)
    expect(parseHistory(text.slice(0, -5)).lines).toEqual(lines.slice(0, -1))
  })
})

const began: HistoryLine[] = [
  { type: 'run', seed: 1, nodes: 3, minutes: 1, command: '', patience: 1, atMs: 0 },
  ...['n1', 'n2', 'n3'].map((node): HistoryLine => ({ type: 'node', node, condition: 'live', atMs: 0 })),
  {
    type: 'view',
    calledMs: 0,
    atMs: 1,
    node: 'n1',
    term: 1,
    primary: 'n1',
    catalog: { version: 1, digest: '' },
    orders: null,
    settled: true,
    halted: null,
    members: ['n1', 'n2', 'n3'],
    voters: ['n1', 'n2', 'n3'],
    oldestMs: 0,
  },
]

describe('the timeline of a run', () => {
  const timelineOf = (more: HistoryLine[]): Timeline => new Timeline(new History([...began, ...more]))

  test('a majority must be alive and in touch, both ways', () => {
    const dead: HistoryLine = { type: 'node', node: 'n1', condition: 'dead', atMs: 10 }
    const back: HistoryLine = { type: 'node', node: 'n1', condition: 'live', atMs: 30 }
    const cut: HistoryLine = { type: 'cut', pairs: [['n2', 'n3']], atMs: 20 }
    const timeline = timelineOf([dead, cut, back])
    expect([5, 15, 25, 35].map((atMs) => timeline.hasMajorityAt(atMs))).toEqual([true, true, false, true])
    expect([15, 25, 35].map((atMs) => timeline.calmMajoritySince(atMs))).toEqual([10, null, 30])
  })

  test('a node serves reads unless it is starting, paused or gone, at any moment of the time', () => {
    const paused: HistoryLine = { type: 'node', node: 'n1', condition: 'paused', atMs: 10 }
    const back: HistoryLine = { type: 'node', node: 'n1', condition: 'live', atMs: 20 }
    const timeline = timelineOf([paused, back])
    expect(timeline.isServing('n1', 1, 9)).toBe(true)
    expect(timeline.isServing('n1', 5, 25)).toBe(false)
    expect(timeline.isServing('n1', 20, 25)).toBe(true)
    expect(timeline.isServing('n9', 20, 25)).toBe(false)
    expect(timeline.hasWhole(['n1', 'n2'], 2, 5, 25)).toBe(false)
    expect(timeline.hasAtMostBroken(1, 5, 25)).toBe(true)
    expect(timeline.wasDisturbed(0, 9)).toBe(false)
    expect(timeline.wasDisturbed(0, 11)).toBe(true)
  })
})

describe('orders in time', () => {
  const attempt = (atMs: number, more: Partial<Attempt>): Attempt => ({
    type: 'attempt',
    process: 's1',
    operation: 1,
    kind: 'order.place',
    node: 'n1',
    server: 'n1',
    calledMs: atMs,
    returnedMs: atMs + 10,
    outcome: 'fail',
    status: 503,
    problem: 'no-home',
    asked: {},
    answered: {},
    ...more,
  })
  const lateIn = (attempts: Attempt[], more: HistoryLine[] = []): number => {
    const history = new History([...began, ...more, ...attempts])
    return lateOrders(history, new Timeline(history)).length
  }
  const lacking = {
    answered: { detail: 'not all of the cart is known at this node yet; nothing was ordered' },
  }
  const refused = { status: 409, problem: 'empty-cart' }

  test('a refusal waits until all of the cart is known, if the shopper was told so in time', () => {
    expect(lateIn([attempt(100, lacking), attempt(5_000, refused)])).toBe(0)
    expect(lateIn([attempt(100, {}), attempt(5_000, refused)])).toBe(1)
    expect(lateIn([attempt(100, {}), attempt(4_000, lacking), attempt(5_000, refused)])).toBe(1)
    const placed = { outcome: 'ok', status: 201, problem: null } as const
    const refusedFull = [attempt(100, {}), attempt(4_000, { problem: 'disk-full' }), attempt(5_000, placed)]
    const full: HistoryLine = { type: 'node', node: 'n1', condition: 'full', atMs: 50 }
    expect([lateIn(refusedFull), lateIn(refusedFull, [full])]).toEqual([1, 0])
    expect(lateIn([attempt(100, { problem: 'disk-full' }), attempt(5_000, placed)])).toBe(1)
    expect(lateIn([attempt(100, lacking), attempt(5_000, placed)])).toBe(1)
  })
})
