/** All results of a run in one table (Markdown) and one chart (SVG). Pure: what it is given, it writes. */
import { cellsOf, columns, figure, machineLines, median, tableOf } from './kit.ts'
import type { Measure, Result } from './kit.ts'
import { plan } from './plan.ts'

export type Failure = { readonly bench: string; readonly reason: string }

export type Run = {
  /** When it began, RFC 3339. */
  readonly date: string
  /** The short pass: it shows that everything works, and nothing else. */
  readonly isQuick: boolean
  readonly results: readonly Result[]
  readonly failures: readonly Failure[]
}

/** The results with those of one benchmark put in the place of what it had, in the order of the plan. */
export function withNew(
  results: readonly Result[],
  entry: string,
  more: readonly Result[],
): readonly Result[] {
  const place = (result: Result): number => plan.findIndex(({ name }) => name === result.entry)
  return [...results.filter((result) => result.entry !== entry), ...more].sort((a, b) => place(a) - place(b))
}

/** As who wants to run it again names it. */
const nameOf = ({ entry, bench }: Pick<Result, 'entry' | 'bench'>): string => entry ?? bench

/** One line when all ran on the same machine with the same versions, else a line for each of them. */
function machinesOf(results: readonly Result[]): string[] {
  const lines = new Map<string, string[]>()
  for (const result of results) {
    const line = machineLines(result.machine)[0] as string
    lines.set(line, [...(lines.get(line) ?? []), nameOf(result)])
  }
  if (lines.size <= 1) return [...lines.keys()]
  return [...lines].map(([line, benches]) => `- ${benches.join(', ')}: ${line}`)
}

/** From when to when, in days: a run that was cut off may have gone on later. */
function datesOf(date: string, results: readonly Result[]): string {
  const days = [date, ...results.map((result) => result.date)].map((each) => each.slice(0, 10)).sort()
  const [first, last] = [days[0], days.at(-1)] as [string, string]
  return first === last ? date : `${first} to ${last}`
}

export function markdownOf({ date, isQuick, results, failures }: Run): string {
  const machines = machinesOf(results)
  const quick = '**A quick pass, which shows that everything works: none of these figures can be quoted.**'
  const busy = results.filter(({ machine }) => machineLines(machine).length > 1).map(nameOf)
  const rows = results.flatMap((result) =>
    result.measures.map((measure) => [nameOf(result), ...withBaseline(measure)]),
  )
  const failed = failures.map(({ bench, reason }) => [
    bench,
    `**failed: ${reason}**`,
    ...columns.slice(1).map(() => ''),
  ])
  const notes = results.flatMap((result) =>
    result.notes.length === 0 ? [] : [`- ${nameOf(result)} (${result.title}): ${result.notes.join(' ')}`],
  )
  return [
    '# Benchmarks',
    '',
    `\`npm run bench\`, ${datesOf(date, results)}. Medians of several runs, with the least and the greatest of them beside.`,
    ...(isQuick ? ['', quick] : []),
    ...(machines.length === 0 ? [] : ['', ...machines]),
    ...(busy.length === 0 ? [] : ['', `**The machine was not idle for: ${busy.join(', ')}.**`]),
    '',
    ...tableOf(['benchmark', ...columns], [...rows, ...failed]),
    '',
    '![Share of each aim that was reached](bench.svg)',
    ...(notes.length === 0 ? [] : ['', ...notes]),
    '',
  ].join('\n')
}

/** The bare server's own figure beside the ratio. */
function withBaseline(measure: Measure): string[] {
  const cells = cellsOf(measure)
  if (measure.baseline === undefined) return cells
  return [...cells.slice(0, -1), `${cells.at(-1)} of ${figure(measure.baseline)}`]
}

/** How many times its aim a measure reached: 1 is the aim, more is better. Null without an aim or a figure. */
export function shareOfAim({ aim, runs }: Pick<Measure, 'aim' | 'runs'>): number | null {
  const value = median(runs)
  // In JSON a figure that there is none of is null.
  if (aim === undefined || value === null || Number.isNaN(value)) return null
  if ('least' in aim) return aim.least === 0 ? Infinity : value / aim.least
  // What shrinks, or never happens, is as good as it can be.
  return value <= 0 ? Infinity : aim.below / value
}

/** Twice the aim is as far from the line as half of it. Bars end here. */
const doublingsMax = 3
const rowPx = 20
const topPx = 46
const labelPx = 470
const doublingPx = 60
const linePx = labelPx + doublingsMax * doublingPx
const widthPx = linePx + doublingsMax * doublingPx + 20

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function bar(label: string, share: number, row: number): string {
  const y = topPx + row * rowPx
  const doublings = Math.max(-doublingsMax, Math.min(doublingsMax, Math.log2(share)))
  const length = Math.max(1, Math.abs(doublings) * doublingPx)
  const x = doublings < 0 ? linePx - length : linePx
  const colour = share >= 1 ? '#2e7d32' : '#c62828'
  const text = Number.isFinite(share) ? `${figure(share)} ×` : 'whole'
  const inside = doublings < 0 ? linePx + 6 : linePx - 6
  return (
    `<text x="${labelPx - 8}" y="${y + 13}" text-anchor="end">${escaped(label)}</text>` +
    `<rect x="${x}" y="${y + 3}" width="${length}" height="${rowPx - 7}" fill="${colour}"/>` +
    `<text x="${inside}" y="${y + 13}" text-anchor="${doublings < 0 ? 'start' : 'end'}">${text}</text>`
  )
}

/** The chart of how much of each aim was reached: bars to the right of the line are better than the aim. */
export function chartOf({ isQuick, results }: Run): string {
  const bars = results
    .flatMap((result) =>
      result.measures.map((measure) => ({
        label: `${nameOf(result)}: ${measure.what}`,
        share: shareOfAim(measure),
      })),
    )
    .flatMap(({ label, share }) => (share === null ? [] : [{ label, share }]))
  const heightPx = topPx + bars.length * rowPx + 16
  const ticks = Array.from({ length: 2 * doublingsMax + 1 }, (_, index) => index - doublingsMax).map(
    (doubling) => {
      const x = linePx + doubling * doublingPx
      const name = doubling < 0 ? `1/${2 ** -doubling}` : `${2 ** doubling} ×`
      return `<line x1="${x}" y1="${topPx - 6}" x2="${x}" y2="${heightPx - 10}" stroke="${doubling === 0 ? '#333' : '#ddd'}"/><text x="${x}" y="${topPx - 10}" text-anchor="middle">${name}</text>`
    },
  )
  const title = `Share of each aim that was reached${isQuick ? ' (a quick pass: not to be quoted)' : ''}`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${widthPx} ${heightPx}" width="${widthPx}" height="${heightPx}" font-family="system-ui, sans-serif" font-size="11" fill="#222">`,
    `<title>${title}</title><rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="12" y="20" font-size="14" font-weight="bold">${title}</text>`,
    ...ticks,
    ...bars.map(({ label, share }, row) => bar(label, share, row)),
    '</svg>',
    '',
  ].join('\n')
}
