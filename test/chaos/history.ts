/**
 * What happened in a run, as JSON Lines: every request of every client with its call and return, what the nemesis did, how
 * the nodes looked meanwhile, and what was found when everything had healed. Checkers read nothing else.
 */
import { createWriteStream } from 'node:fs'
import type { WriteStream } from 'node:fs'
import { once } from 'node:events'

/** API.md, "Outcome rule". */
export type Outcome = 'ok' | 'fail' | 'unknown'

export const cartChangeKinds = ['cart.add', 'cart.set', 'cart.remove', 'cart.clear'] as const
export type CartChangeKind = (typeof cartChangeKinds)[number]
export type Kind =
  | CartChangeKind
  | 'cart.view'
  | 'order.place'
  | 'order.read'
  | 'order.list'
  | 'order.cancel'
  | 'order.status'
  | 'guest'
  | 'register'
  | 'log-on'
  | 'log-off'
  | 'session'
  | 'catalog.list'
  | 'catalog.read'
  | 'product.read'
  | 'product.put'
  | 'product.patch'
  | 'product.delete'
  /** Must be refused: P9 and P10. */
  | 'intrusion'
  | 'malformed'

export type Line = { readonly sku: string; readonly quantity: number; readonly unitPrice: number }
export type CartSeen = {
  readonly user: string
  readonly home: string
  readonly complete: boolean
  readonly hash: string
  readonly items: readonly Line[]
}
export type OrderSeen = {
  readonly id: string
  readonly number: string | null
  readonly user: string
  readonly status: string
  readonly reason: string | null
  readonly lines: readonly Line[]
  readonly total: number
}
/** `version`: the catalog version that changed it last; `amount`: its price, of which each is asked for only once. */
export type ProductSeen = { readonly handle: string; readonly version: number; readonly amount: number }

/** What was asked for, as far as a checker needs it. */
export type Asked = {
  /** Who asks: the user of the session. */
  readonly user?: string
  readonly key?: string
  readonly sku?: string
  readonly quantity?: number
  /** Of an order: the hash agreed to, and the cart that was seen with it. */
  readonly hash?: string
  readonly seen?: readonly Line[]
  readonly order?: string
  readonly status?: string
  /** At log-on: the guest whose cart is to be merged. */
  readonly guest?: string
  readonly handle?: string
  readonly amount?: number
  readonly ifMatch?: number
  /** Souk-Catalog-Version of the request. */
  readonly seenVersion?: number
  /** Of an intrusion or malformed request: what was tried. */
  readonly what?: string
}

/** What was answered, as far as a checker needs it. */
export type Answered = {
  /** Souk-Catalog-Version of the answer. */
  readonly version?: number
  readonly acks?: number
  readonly cart?: CartSeen
  readonly order?: OrderSeen
  readonly orders?: readonly OrderSeen[]
  readonly products?: readonly ProductSeen[]
  readonly user?: string
  readonly serverSet?: readonly string[]
  readonly stale?: boolean
  /** Of a refusal, its words. */
  readonly detail?: string
}

export type Attempt = {
  readonly type: 'attempt'
  /** One client with one identity, which does one thing after the other. */
  readonly process: string
  /** Attempts of one operation share its number; they are the same request, at other nodes perhaps. */
  readonly operation: number
  readonly kind: Kind
  /** Asked first; `server` answered in the end, after redirects. */
  readonly node: string
  readonly server: string | null
  readonly calledMs: number
  readonly returnedMs: number
  readonly outcome: Outcome
  readonly status: number | null
  readonly problem: string | null
  readonly asked: Asked
  readonly answered: Answered
}

/** `live`: ready to serve; `draining` and `full` serve too, but no set may count on them. */
export type NodeCondition =
  'live' | 'draining' | 'full' | 'starting' | 'failing' | 'paused' | 'stopping' | 'dead' | 'wiped' | 'removed'

export type FaultLine = {
  readonly type: 'fault'
  readonly fault: number
  readonly kind: string
  readonly nodes: readonly string[]
  readonly phase: 'begin' | 'end'
  readonly atMs: number
  readonly detail?: string
}
export type NodeLine = {
  readonly type: 'node'
  readonly node: string
  readonly condition: NodeCondition
  readonly atMs: number
}
/** Which packets are dropped from now on: all of them are named each time. */
export type CutLine = {
  readonly type: 'cut'
  readonly pairs: readonly (readonly [from: string, to: string])[]
  readonly atMs: number
}
/** A wall clock was set off by so much. */
export type ClockLine = {
  readonly type: 'clock'
  readonly node: string
  readonly offsetMs: number
  readonly atMs: number
}
export type View = {
  readonly node: string
  readonly term: number
  readonly primary: string | null
  readonly catalog: { readonly version: number; readonly digest: string }
  readonly orders: { readonly count: number; readonly digest: string } | null
  readonly settled: boolean
  readonly halted: string | null
  readonly members: readonly string[]
  readonly voters: readonly string[]
  /** Ages of what is not delivered, or on too few disks. */
  readonly oldestMs: number
}
export type ViewLine = { readonly type: 'view'; readonly calledMs: number; readonly atMs: number } & View
/** A process ended; `expected` when the nemesis had a hand in it. */
export type ExitLine = {
  readonly type: 'exit'
  readonly node: string
  readonly code: number | null
  readonly signal: string | null
  readonly expected: boolean
  readonly atMs: number
}
/**
 * The machine had no processor to spare: the clients' own process stood still for so long before this moment, or the node
 * that waited most had to wait for so long to be run. What was slow then may not have been the cluster.
 */
export type StallLine = {
  readonly type: 'stall'
  readonly who: 'clients' | 'nodes'
  readonly atMs: number
  readonly lastedMs: number
}
export type RunLine = {
  readonly type: 'run'
  readonly seed: number
  readonly nodes: number
  readonly minutes: number
  readonly command: string
  /** Time limits are multiplied by this: 1 on a machine that does nothing else. */
  readonly patience: number
  readonly atMs: number
}
/** What is found once everything has healed. */
export type FinalLine =
  | { readonly type: 'final'; readonly of: 'views'; readonly views: readonly View[]; readonly atMs: number }
  | {
      readonly type: 'final'
      readonly of: 'orders'
      readonly node: string
      readonly orders: readonly OrderSeen[]
      readonly atMs: number
    }
  | {
      readonly type: 'final'
      readonly of: 'products'
      readonly node: string
      readonly products: readonly ProductSeen[]
      readonly atMs: number
    }
  | {
      readonly type: 'final'
      readonly of: 'cart'
      readonly process: string
      readonly user: string
      readonly cart: CartSeen
      readonly atMs: number
    }
  | {
      readonly type: 'final'
      readonly of: 'replicas'
      readonly user: string
      /** By node that holds a copy: what is in it. */
      readonly copies: { readonly [node: string]: string }
      readonly atMs: number
    }
  /** Something that was waited for in vain. */
  | { readonly type: 'final'; readonly of: 'stuck'; readonly why: string; readonly atMs: number }

export type HistoryLine =
  RunLine | Attempt | FaultLine | NodeLine | CutLine | ClockLine | ViewLine | ExitLine | StallLine | FinalLine

/** One operation with all its attempts. */
export type Operation = {
  readonly process: string
  readonly number: number
  readonly kind: Kind
  readonly calledMs: number
  readonly returnedMs: number
  readonly outcome: Outcome
  readonly asked: Asked
  /** Of the attempt that succeeded, else of the last one. */
  readonly answered: Answered
  readonly last: Attempt
  readonly attempts: readonly Attempt[]
  /** Nothing but the answering attempt can have done it. */
  readonly isSole: boolean
}

/** What several attempts of one thing come to: done by any of them is done; undone only if all are refused. */
export function outcomeOf(attempts: readonly Attempt[]): Outcome {
  if (attempts.some(({ outcome }) => outcome === 'ok')) return 'ok'
  return attempts.every(({ outcome }) => outcome === 'fail') ? 'fail' : 'unknown'
}

function operationOf(attempts: readonly Attempt[]): Operation {
  const [first] = attempts
  const last = attempts.findLast(({ outcome }) => outcome === 'ok') ?? attempts.at(-1)
  if (first === undefined || last === undefined) throw new Error('an operation has attempts')
  return {
    process: first.process,
    number: first.operation,
    kind: first.kind,
    calledMs: first.calledMs,
    returnedMs: last.returnedMs,
    outcome: outcomeOf(attempts),
    asked: first.asked,
    answered: last.answered,
    last,
    attempts,
    isSole: attempts.every((attempt) => attempt === last || attempt.outcome === 'fail'),
  }
}

function ofType<T extends HistoryLine['type']>(
  lines: readonly HistoryLine[],
  type: T,
): Extract<HistoryLine, { type: T }>[] {
  return lines.filter((line): line is Extract<HistoryLine, { type: T }> => line.type === type)
}

/** The lines of a run, sorted into kinds; operations in the order in which they were called. */
export class History {
  readonly lines: readonly HistoryLine[]
  readonly run: RunLine
  readonly attempts: readonly Attempt[]
  readonly operations: readonly Operation[]
  readonly faults: readonly FaultLine[]
  readonly nodes: readonly NodeLine[]
  readonly cuts: readonly CutLine[]
  readonly views: readonly ViewLine[]
  readonly exits: readonly ExitLine[]
  readonly stalls: readonly StallLine[]
  readonly finals: readonly FinalLine[]

  constructor(lines: readonly HistoryLine[]) {
    this.lines = lines
    const [run] = ofType(lines, 'run')
    if (run === undefined) throw new Error('the history does not say which run it is of')
    this.run = run
    this.attempts = ofType(lines, 'attempt')
    this.faults = ofType(lines, 'fault')
    this.nodes = ofType(lines, 'node')
    this.cuts = ofType(lines, 'cut')
    this.views = ofType(lines, 'view')
    this.exits = ofType(lines, 'exit')
    this.stalls = ofType(lines, 'stall')
    this.finals = ofType(lines, 'final')
    const byNumber = Map.groupBy(this.attempts, ({ operation }) => operation)
    this.operations = [...byNumber.values()].map(operationOf).sort((a, b) => a.calledMs - b.calledMs)
  }

  final<Of extends FinalLine['of']>(of: Of): Extract<FinalLine, { of: Of }>[] {
    return this.finals.filter((line): line is Extract<FinalLine, { of: Of }> => line.of === of)
  }
}

/** Reads what a recorder wrote. A last line that was cut off is left out: the run was interrupted there. */
export function parseHistory(text: string): History {
  const raw = text.split('\n').filter((line) => line !== '')
  const isCut = text !== '' && !text.endsWith('\n')
  const whole = isCut ? raw.slice(0, -1) : raw
  return new History(whole.map((line) => JSON.parse(line) as HistoryLine))
}

/** Writes the history while it happens, so that an interrupted run leaves one too. */
export class Recorder {
  readonly #lines: HistoryLine[] = []
  readonly #file: WriteStream
  readonly #beganMs = performance.now()
  #operations = 0

  constructor(path: string) {
    this.#file = createWriteStream(path, { flags: 'wx' })
  }

  /** Milliseconds since the run began, on the monotonic clock. */
  nowMs(): number {
    return Math.round((performance.now() - this.#beganMs) * 10) / 10
  }

  nextOperation(): number {
    this.#operations += 1
    return this.#operations
  }

  get operations(): number {
    return this.#operations
  }

  add(line: HistoryLine): void {
    this.#lines.push(line)
    this.#file.write(`${JSON.stringify(line)}\n`)
  }

  async close(): Promise<History> {
    this.#file.end()
    await once(this.#file, 'finish')
    return new History(this.#lines)
  }
}
