/**
 * Refuses what a node can't do in time, at the door and for next to nothing (API.md: 503 `overloaded` with Retry-After),
 * so that all that it lets in is done as fast as ever. Two things tell that there is too much:
 *
 * - A turn of the event loop finds all requests that came during the turn before. They are served one after the other
 *   until the turn has lasted `turnBudgetMs`; those that are left over would wait longer and longer. A pause for another
 *   reason (a collection of garbage, a snapshot that is put in place, a machine that is busy with something else) refuses
 *   nobody: each turn begins anew, and one with few requests in it was not made long by them.
 * - Requests that wait, for a disk, other members or the primary, cost memory and not time: they are counted.
 *
 * Answers that are kept as bytes (http/hot.ts) cost no more than a refusal, so they are always given. Health, metrics and
 * whatever is about the cluster are answered whatever happens: who looks after an overloaded node needs them most.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Fault } from '../node/faults.ts'
import type { Logger, Replica } from '../node/replica-api.ts'
import { overloadLogEveryMs, requestsInFlightMax, turnBudgetMs, turnRequestsMin } from './limits.ts'
import type { RequestMetrics } from './metrics.ts'
import { problemOf } from './problems.ts'

const neverRefused =
  /^\/(healthz|readyz|metrics|cluster|api\/cluster(\/events)?|api\/admin\/cluster\/[^?]*)(\?|$)/

const detail = 'this server has more to do than it can; nothing was done'
const { status, body, retryAfterSeconds } = problemOf(new Fault('overloaded', detail))

type Refusal = { readonly text: string; readonly headers: readonly string[] }

/** Made beforehand: at several times what a node can do, most of what it does is to refuse. */
function refusal(type: string, text: string): Refusal {
  const content = ['Content-Type', type, 'Content-Length', String(Buffer.byteLength(text))]
  return {
    text,
    headers: [...content, 'Cache-Control', 'no-store', 'Retry-After', String(retryAfterSeconds)],
  }
}

const problem = refusal('application/problem+json', JSON.stringify(body))
/** Without anything that would have to be fetched from a server that has too much to do already. */
const page = refusal(
  'text/html; charset=utf-8',
  `<!doctype html><html lang="en"><head><title>Overloaded · Souk</title></head><body><article class="problem">` +
    `<h1>Overloaded</h1><p>${detail}</p><p>Try again in a moment.</p></article></body></html>`,
)

export class LoadShedder {
  readonly #replica: Replica
  readonly #metrics: RequestMetrics
  readonly #logger: Logger
  readonly #nowMs: () => number
  #inTurn = false
  #turnBeganMs = 0
  #foundInTurn = 0
  #inFlight = 0
  #refusedSinceLog = 0
  #loggedAtMs = Number.NEGATIVE_INFINITY

  /** `nowMs` is monotonic. */
  constructor(
    replica: Replica,
    metrics: RequestMetrics,
    logger: Logger,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#replica = replica
    this.#metrics = metrics
    this.#logger = logger
    this.#nowMs = nowMs
  }

  /** Requests that the app has not answered yet. A stream is answered when it begins; it has bounds of its own. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** To be asked once for each request, before anything is done for it. */
  isTooMuch(url: string): boolean {
    if (!this.#inTurn) this.#beginTurn()
    this.#foundInTurn += 1
    const isLate = this.#foundInTurn > turnRequestsMin && this.#nowMs() - this.#turnBeganMs > turnBudgetMs
    return (isLate || this.#inFlight >= requestsInFlightMax) && !neverRefused.test(url)
  }

  readonly #endTurn = (): void => {
    this.#inTurn = false
  }

  #beginTurn(): void {
    this.#inTurn = true
    this.#foundInTurn = 0
    this.#turnBeganMs = this.#nowMs()
    // Immediates run when all sockets that were ready have been read.
    setImmediate(this.#endTurn)
  }

  /** Runs what answers a request, and counts it until it has answered. */
  async count<T>(answer: Promise<T>): Promise<T> {
    this.#inFlight += 1
    try {
      return await answer
    } finally {
      this.#inFlight -= 1
    }
  }

  refuse({ headers: { accept } }: IncomingMessage, response: ServerResponse): void {
    const { self, catalog } = this.#replica
    const { text, headers } = accept?.includes('text/html') === true ? page : problem
    const own = ['Souk-Node', self.node, 'Souk-Catalog-Version', String(catalog.version())]
    response.writeHead(status, [...headers, ...own])
    response.end(text)
    this.#metrics.problem('overloaded')
    this.#note()
  }

  /** A line in the log now and then, not one for each. */
  #note(): void {
    this.#refusedSinceLog += 1
    const nowMs = this.#nowMs()
    if (nowMs - this.#loggedAtMs < overloadLogEveryMs) return
    const counts = { refused: this.#refusedSinceLog, inFlight: this.#inFlight }
    this.#logger.warn(
      counts,
      'more requests come than this node can serve; the rest is answered 503 overloaded',
    )
    this.#loggedAtMs = nowMs
    this.#refusedSinceLog = 0
  }
}
