/**
 * The rows of the whole table that the README shows, so that nobody copies a figure by hand: `npm run bench` writes them
 * between two marks, and `test/unit/bench-summary.test.ts` compares them with `docs/bench/bench.json`.
 */
import { cellsOf, columns, isMet, tableOf } from './kit.ts'
import type { Measure, Result } from './kit.ts'

/** By the name in `plan.ts`: how the measures begin that say most to who chooses a shop, in the order of the table. */
const headlines: readonly (readonly [entry: string, starts: readonly string[]])[] = [
  [
    'catalog',
    ['detail, distinct, 2,465', 'list of 24, distinct, 2,465', 'list of 24, hottest thousand, 2,465'],
  ],
  ['carts', ['on 2 disks', 'their 99th percentile']],
  ['orders', ['orders,', 'their 99th percentile']],
  ['log', ['committed, 1 in flight, p50', 'committed, 128 in flight']],
  ['broadcast', ['one change on all of 3 nodes', 'one change on all of 10 nodes']],
  ['import', ['products a second']],
  ['failover', ['median', 'longest']],
  ['failover-silent', ['median', 'longest']],
  ['takeover', ['median', '99th percentile']],
  ['snapshot', ['a fourth node: ready after']],
  ['cart-memory', ['from the start of a process', 'growth']],
  ['overload', ['best work', 'work done meanwhile', 'wait for what is done']],
  ['scaling', ['3 nodes: processor', '3 nodes: resident', '25 nodes: processor', '25 nodes: from nothing']],
  ['load', ['elections']],
  ['soak', ['resident memory: growth in this time', 'order, each minute']],
]

const shown = ['benchmark', ...columns.filter((column) => column !== 'runs')]
const runsCell = columns.indexOf('runs')

function rowOf(entry: string, measure: Measure): string[] {
  return [entry, ...cellsOf(measure).filter((_, cell) => cell !== runsCell)]
}

/** How many aims there are and how many were met, and the table; a measure that there is no result of has no row. */
export function headlinesOf(results: readonly Result[]): string {
  const rows = headlines.flatMap(([entry, starts]) => {
    const measures = results.filter((result) => result.entry === entry).flatMap((result) => result.measures)
    return starts.flatMap((start) => {
      const measure = measures.find(({ what }) => what.startsWith(start))
      return measure === undefined ? [] : [rowOf(entry, measure)]
    })
  })
  const verdicts = results.flatMap(({ measures }) => measures.map(isMet)).filter((met) => met !== undefined)
  const met = verdicts.filter(Boolean).length
  return [`${met} of ${verdicts.length} aims were met; of the table:`, '', ...tableOf(shown, rows)].join('\n')
}

const begin = '<!-- bench: begin, written by npm run bench -->'
const end = '<!-- bench: end -->'

/** The document with what is between its marks replaced. Throws when it has no marks. */
export function withHeadlines(document: string, results: readonly Result[]): string {
  const [from, to] = [document.indexOf(begin), document.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`the README has no "${begin}" and "${end}"`)
  const before = document.slice(0, from + begin.length)
  return `${before}\n\n${headlinesOf(results)}\n\n${document.slice(to)}`
}
