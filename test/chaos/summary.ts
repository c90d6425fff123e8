/** What a run did, and what it did to shoppers: numbers for people (Markdown) and programs (JSON). */
import { cartChanges, lateOrders } from './checkers/availability.ts'
import type { Violation } from './checkers/violation.ts'
import type { Abilities } from './harness/abilities.ts'
import { cartChangeKinds } from './history.ts'
import type { History, Operation } from './history.ts'
import { Timeline } from './timeline.ts'

/** What is asked for so long after a fault began may still feel it. */
const feltAfterMs = 3_000
const violationsShown = 40

type Spread = { readonly median: number; readonly p99: number; readonly most: number }
type Row = { readonly [what: string]: number | string }
export type Summary = {
  readonly command: string
  readonly seconds: number
  readonly abilities: { readonly [name: string]: string }
  readonly faults: number
  readonly operations: number
  readonly attempts: number
  readonly operationsByKind: readonly Row[]
  readonly faultsByKind: readonly Row[]
  readonly cartChanges: { readonly counted: number; readonly late: number }
  readonly lateOrders: number
  readonly stalledSeconds: number
  readonly violations: readonly Violation[]
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
  return { median: at(0.5), p99: at(0.99), most: Math.round(sorted.at(-1) ?? 0) }
}

function byName([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1
}

function tookMs({ calledMs, returnedMs }: Operation): number {
  return returnedMs - calledMs
}

function kindRows(history: History): Row[] {
  const byKind = Map.groupBy(history.operations, ({ kind }) => kind)
  return [...byKind].toSorted(byName).map(([kind, operations]) => {
    const count = (outcome: string): number => operations.filter((one) => one.outcome === outcome).length
    const { median, p99, most } = spreadOf(operations.map(tookMs))
    const attempts = operations.reduce((sum, one) => sum + one.attempts.length, 0)
    const counts = { operations: operations.length, ok: count('ok'), refused: count('fail') }
    const times = { 'median ms': median, 'p99 ms': p99, 'most ms': most }
    return { kind, ...counts, unknown: count('unknown'), attempts, ...times }
  })
}

type Span = { readonly kind: string; readonly fromMs: number; readonly toMs: number }

function spansOf(history: History): Span[] {
  const begun = history.faults.filter(({ phase }) => phase === 'begin')
  return begun.map(({ fault, kind, atMs }) => {
    const end = history.faults.find((line) => line.fault === fault && line.phase === 'end')
    return { kind, fromMs: atMs, toMs: end?.atMs ?? atMs }
  })
}

/** The longest that any one operation of these took, by the fault that it fell into. */
function longest(spans: readonly Span[], operations: readonly Operation[]): number[] {
  return spans.map(({ fromMs, toMs }) => {
    const untilMs = Math.max(toMs, fromMs + feltAfterMs)
    const during = operations.filter(({ calledMs }) => calledMs >= fromMs - 500 && calledMs <= untilMs)
    return Math.max(0, ...during.map(tookMs))
  })
}

function faultRows(history: History): Row[] {
  const ofCarts = history.operations.filter(({ kind }) =>
    (cartChangeKinds as readonly string[]).includes(kind),
  )
  const ofOrders = history.operations.filter(({ kind }) => kind === 'order.place')
  const isRead = (kind: string): boolean => kind === 'catalog.read' || kind === 'catalog.list'
  const ofReads = history.operations.filter(({ kind, outcome }) => isRead(kind) && outcome === 'ok')
  const byKind = Map.groupBy(spansOf(history), ({ kind }) => kind)
  return [...byKind].toSorted(byName).map(([kind, spans]) => {
    const lasted = spreadOf(spans.map(({ fromMs, toMs }) => toMs - fromMs))
    const row: { [what: string]: number | string } = {
      kind,
      faults: spans.length,
      'lasted ms': lasted.median,
    }
    for (const [name, operations] of [
      ['cart change', ofCarts],
      ['order', ofOrders],
      ['catalog read', ofReads],
    ] as const) {
      const { median, most } = spreadOf(longest(spans, operations))
      row[`slowest ${name} ms`] = `${median} (${most})`
    }
    return row
  })
}

export function summarize(history: History, abilities: Abilities | null, violations: Violation[]): Summary {
  const timeline = new Timeline(history)
  const { counted, late } = cartChanges(history, timeline)
  const told = Object.entries(abilities ?? {}).map(([name, { available, why }]): [string, string] => [
    name,
    available ? why : `not here: ${why}`,
  ])
  return {
    command: history.run.command,
    seconds: Math.round(Math.max(0, ...history.attempts.map(({ returnedMs }) => returnedMs)) / 1_000),
    abilities: Object.fromEntries(told),
    faults: spansOf(history).length,
    operations: history.operations.length,
    attempts: history.attempts.length,
    operationsByKind: kindRows(history),
    faultsByKind: faultRows(history),
    cartChanges: { counted, late: late.length },
    lateOrders: lateOrders(history, timeline).length,
    stalledSeconds: Math.round(history.stalls.reduce((sum, { lastedMs }) => sum + lastedMs, 0) / 1_000),
    violations,
  }
}

function table(rows: readonly Row[]): string[] {
  const names = Object.keys(rows[0] ?? {})
  const line = (cells: readonly (string | number | undefined)[]): string => `| ${cells.join(' | ')} |`
  return [
    line(names),
    line(names.map(() => '---')),
    ...rows.map((row) => line(names.map((name) => row[name]))),
  ]
}

/** The summary for people. */
export function markdownOf(summary: Summary): string {
  const { command, seconds, faults, operations, attempts, violations, stalledSeconds } = summary
  const { counted, late } = summary.cartChanges
  const abilities = Object.entries(summary.abilities).map(([name, what]) => `- ${name}: ${what}`)
  const found = violations
    .slice(0, violationsShown)
    .map(({ promise, text, atMs }) => `- **${promise}** at ${(atMs / 1_000).toFixed(1)} s: ${text}`)
  const more = violations.length - found.length
  return [
    `# Chaos: ${violations.length === 0 ? 'clean' : `${violations.length} violations`}`,
    '',
    `\`${command}\``,
    '',
    `${faults} faults, ${operations} operations (${attempts} requests) in ${seconds} s.`,
    `${late} of ${counted} cart changes that count took longer than they may, and ${summary.lateOrders} orders.`,
    `For ${stalledSeconds} s the machine had no processor for a node or the clients; that time is not counted.`,
    '',
    '## What this machine allowed',
    '',
    ...abilities,
    '',
    '## Faults, and the slowest request that fell into one: median over the faults (most)',
    '',
    ...table(summary.faultsByKind),
    '',
    '## Operations',
    '',
    ...table(summary.operationsByKind),
    '',
    ...(found.length === 0 ? [] : ['## Violations', '', ...found]),
    ...(more > 0 ? [`- and ${more} more`] : []),
  ].join('\n')
}
