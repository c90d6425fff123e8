/** What all benchmarks together are written as: one table, one chart (bench/summary.ts), and lines (bench/trend.ts). */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { withHeadlines } from '../../bench/headlines.ts'
import { machine } from '../../bench/kit.ts'
import type { Measure, Result } from '../../bench/kit.ts'
import { plan } from '../../bench/plan.ts'
import { chartOf, markdownOf, shareOfAim, withNew } from '../../bench/summary.ts'
import { trendOf } from '../../bench/trend.ts'
import { repositoryFiles, root } from '../support/sources.ts'

function resultOf(bench: string, measures: readonly Measure[], load = 0): Result {
  const withMedian = measures.map((measure) => ({ ...measure, median: measure.runs[0] ?? null }))
  return {
    bench,
    title: bench,
    date: '2026-01-01T00:00:00Z',
    machine: { ...machine(), load },
    measures: withMedian,
    notes: [],
  }
}
const orders: Measure = {
  what: 'orders',
  unit: 'a second',
  runs: [900, 1_000, 1_100],
  p99Ms: [3, 4, 5],
  aim: { least: 500 },
  baseline: 2_000,
}
const wait: Measure = { what: 'a <wait>', unit: 'ms', runs: [20], aim: { below: 10 } }
const run = {
  date: '2026-01-01T00:00:00Z',
  isQuick: false,
  results: [resultOf('one', [orders, wait])],
  failures: [],
}
const rows = (markdown: string): string[] => markdown.split('\n').filter((line) => line.startsWith('| '))

describe('the table', () => {
  test('has a row for each measure, with its aim and the bare server beside it', () => {
    expect(rows(markdownOf(run))).toEqual([
      '| benchmark | what | median | p99 | runs | aim | met | to the bare server |',
      '| one | orders | 1,000 a second | 4.00 ms | 900 – 1,100 | ≥ 500 | yes | 0.50 × of 2,000 |',
      '| one | a <wait> | 20.00 ms |  | 20.00 – 20.00 | < 10.00 | **no** |  |',
    ])
  })

  test('names what failed, a busy machine and a quick pass', () => {
    const failures = [{ bench: 'two', reason: 'ended with 1' }]
    const results = [resultOf('one', [orders], 99)]
    const markdown = markdownOf({ ...run, results, failures, isQuick: true })
    expect(rows(markdown).at(-1)).toBe('| two | **failed: ended with 1** |  |  |  |  |  |  |')
    expect(markdown).toContain('**The machine was not idle for: one.**')
    expect(markdown).toContain('none of these figures can be quoted')
  })

  test('can be written when nothing succeeded, and from what was read back from JSON', () => {
    const nothing = { ...run, results: [], failures: [{ bench: 'two', reason: 'ended with 1' }] }
    expect(rows(markdownOf(nothing))).toHaveLength(2)
    const unknown: Measure = { what: 'unknown', unit: 'ms', runs: [Number.NaN], aim: { below: 1 } }
    const readBack = JSON.parse(JSON.stringify(resultOf('one', [unknown]))) as Result
    expect(rows(markdownOf({ ...run, results: [readBack] })).at(-1)).toContain('| — ms |')
    expect(chartOf({ ...run, results: [readBack] })).not.toContain('unknown')
  })
})

describe('a run that goes on with the table of an earlier one', () => {
  const ran = (entry: string, date: string): Result => ({ ...resultOf(entry, [orders]), entry, date })
  const [log, soak] = [ran('log', '2026-01-01T10:00:00Z'), ran('soak', '2026-01-01T11:00:00Z')]

  test('replaces what is run again, and keeps the order of the plan', () => {
    const [carts, again] = [ran('carts', '2026-01-03T10:00:00Z'), ran('log', '2026-01-03T11:00:00Z')]
    expect(withNew([log, soak], 'carts', [carts])).toEqual([log, carts, soak])
    expect(withNew([log, carts, soak], 'log', [again])).toEqual([again, carts, soak])
    expect(withNew([log, soak], 'log', [])).toEqual([soak])
  })

  test('says on which days, and on which machines if there were several', () => {
    expect(markdownOf({ ...run, results: [log, soak] })).toContain('`npm run bench`, 2026-01-01T00:00:00Z.')
    const elsewhere = {
      ...ran('carts', '2026-01-03T10:00:00Z'),
      machine: { ...machine(), processor: 'Other' },
    }
    const markdown = markdownOf({ ...run, results: [log, elsewhere, soak] })
    expect(markdown).toContain('`npm run bench`, 2026-01-01 to 2026-01-03.')
    expect(markdown).toMatch(/^- log, soak: .*\n- carts: Other/mu)
  })
})

describe('the rows in the README', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')

  test('are those of the table', () => {
    const { results } = JSON.parse(readFileSync(join(root, 'docs/bench/bench.json'), 'utf8')) as {
      results: readonly Result[]
    }
    expect(withHeadlines(readme, results)).toBe(readme)
  })

  test('say how many aims were met, and replace those of an earlier run alone', () => {
    const load = { ...orders, what: 'elections', aim: { least: 5_000 } }
    const results = [{ ...resultOf('one', [orders, load]), entry: 'load' }]
    const changed = withHeadlines(readme, results)
    expect(changed).toContain('1 of 2 aims were met')
    expect(changed).toContain('| load | elections | 1,000 a second | 4.00 ms | ≥ 5,000 | **no** | 0.50 × |')
    expect(changed).not.toContain('| orders |')
    expect(withHeadlines(changed, results)).toBe(changed)
    const outside = (text: string): string => text.replace(/<!-- bench: begin[^]*<!-- bench: end -->/u, '')
    expect(outside(changed)).toBe(outside(readme))
    expect(() => withHeadlines('no marks', results)).toThrow('the README has no')
  })
})

describe('the chart', () => {
  test.each([
    [{ runs: [1_000], aim: { least: 500 } }, 2],
    [{ runs: [20], aim: { below: 10 } }, 0.5],
    [{ runs: [0], aim: { below: 1 } }, Infinity],
    [{ runs: [-5], aim: { below: 10 } }, Infinity],
    [{ runs: [0], aim: { least: 10 } }, 0],
    [{ runs: [20] }, null],
  ])('%j reached %s times its aim', (measure, share) => {
    expect(shareOfAim(measure)).toBe(share)
  })

  test('has a bar for each aim, to the right of the line when it is met', () => {
    const chart = chartOf({ ...run, results: [resultOf('one', [orders, wait, { ...wait, runs: [-3] }])] })
    expect(chart.match(/fill="#2e7d32"/g)).toHaveLength(2)
    expect(chart.match(/fill="#c62828"/g)).toHaveLength(1)
    expect(chart).toContain('one: a &lt;wait&gt;')
    expect(chart).not.toMatch(/NaN|Infinity/)
  })
})

test('a line through points tells how fast they rise', () => {
  const points = [0, 1, 2, 3].map((x) => ({ x, y: 10 + 2 * x }))
  expect(trendOf(points)).toEqual({ slope: 2, mean: 13, growthPercent: (100 * 6) / 13 })
  expect(trendOf(points.map(({ x }) => ({ x, y: 0 })))).toEqual({ slope: 0, mean: 0, growthPercent: 0 })
  expect(trendOf([{ x: 1, y: 1 }]).slope).toBeNaN()
})

test('every benchmark of the plan is a file', () => {
  const files = new Set(repositoryFiles())
  expect(plan.map(({ file }) => `bench/${file}`).filter((file) => !files.has(file))).toEqual([])
})
