/**
 * Two ways to put load on a server. A closed loop asks again when it has an answer, so that it never asks for more than
 * the server does. An open loop asks at a rate, whatever becomes of what it asked before, as shoppers do.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { PostConnection } from './posts.ts'
import type { Answer } from './posts.ts'

export type Request = {
  readonly kind: string
  readonly send: (connection: PostConnection) => Promise<Answer>
}
/** `status` 0: no answer. `isRefusal`: 503 that says when to come again. */
export type Sample = {
  readonly kind: string
  readonly status: number
  readonly isRefusal: boolean
  readonly tookMs: number
}
export type LoopResult = { readonly samples: readonly Sample[]; readonly tookMs: number }

/** Connections of an open loop: what is due while all of them wait is late, which counts as waiting. */
const openConnections = 1_000
/** Fewer than the kernel keeps for a listening socket. */
const openedAtOnce = 100
/** What is due is sent so often; turning without a pause would take the processor from the server. */
const lookEveryMs = 1
/** An open loop ends when what it asked for is answered, or after this. */
const lastAnswersMs = 10_000

async function ask(connection: PostConnection, request: Request, dueMs: number): Promise<Sample> {
  const { kind } = request
  try {
    const { status, retryAfter } = await request.send(connection)
    const isRefusal = status === 503 && retryAfter !== null
    return { kind, status, isRefusal, tookMs: performance.now() - dueMs }
  } catch {
    return { kind, status: 0, isRefusal: false, tookMs: performance.now() - dueMs }
  }
}

/** The connections are spread evenly over the servers. */
export async function closedLoop(
  bases: readonly string[],
  { connections, durationMs }: { connections: number; durationMs: number },
  next: () => Request,
): Promise<LoopResult> {
  const samples: Sample[] = []
  const open = await Promise.all(
    Array.from({ length: connections }, (_, number) =>
      PostConnection.open(bases[number % bases.length] as string),
    ),
  )
  const startedMs = performance.now()
  await Promise.all(
    open.map(async (connection) => {
      for (let nowMs = startedMs; nowMs - startedMs < durationMs; nowMs = performance.now())
        samples.push(await ask(connection, next(), nowMs))
    }),
  )
  const tookMs = performance.now() - startedMs
  for (const connection of open) connection.close()
  return { samples, tookMs }
}

/** Requests that are due wait for a connection in turn. A connection that failed is not replaced. */
class OpenLoop {
  readonly samples: Sample[] = []
  readonly #make: () => Request
  readonly #idle: PostConnection[]
  readonly #dueMs: number[] = []
  /** Place in `#dueMs` of the next one: an array that is long is not moved for each. */
  #next = 0
  #asking = 0

  constructor(connections: PostConnection[], next: () => Request) {
    this.#idle = connections
    this.#make = next
  }

  get isQuiet(): boolean {
    return this.#asking === 0 && this.#next === this.#dueMs.length
  }

  due(dueMs: number): void {
    this.#dueMs.push(dueMs)
    const connection = this.#idle.pop()
    if (connection !== undefined) void this.#work(connection)
  }

  async #work(connection: PostConnection): Promise<void> {
    for (;;) {
      const dueMs = this.#dueMs[this.#next]
      if (dueMs === undefined) break
      this.#next += 1
      this.#asking += 1
      const sample = await ask(connection, this.#make(), dueMs)
      this.#asking -= 1
      this.samples.push(sample)
      if (sample.status === 0) return
    }
    this.#idle.push(connection)
  }
}

/**
 * The connections are there before it begins, as those of shoppers are who look around: a Node.js server takes one new
 * connection in each turn of its event loop, and the turns of a server with much to do are long.
 */
export async function openLoop(
  base: string,
  { perSecond, durationMs }: { perSecond: number; durationMs: number },
  next: () => Request,
): Promise<LoopResult> {
  const connections: PostConnection[] = []
  while (connections.length < openConnections) {
    const more = Math.min(openedAtOnce, openConnections - connections.length)
    connections.push(...(await Promise.all(Array.from({ length: more }, () => PostConnection.open(base)))))
  }
  const loop = new OpenLoop([...connections], next)
  const startedMs = performance.now()
  const intervalMs = 1_000 / perSecond
  let dueMs = startedMs
  for (let nowMs = startedMs; nowMs - startedMs < durationMs; nowMs = performance.now()) {
    for (; dueMs <= nowMs; dueMs += intervalMs) loop.due(dueMs)
    await sleep(lookEveryMs)
  }
  while (!loop.isQuiet && performance.now() - startedMs < durationMs + lastAnswersMs) await sleep(lookEveryMs)
  const tookMs = performance.now() - startedMs
  for (const connection of connections) connection.close()
  return { samples: loop.samples, tookMs }
}
