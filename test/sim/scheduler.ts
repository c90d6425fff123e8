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

/**
 * Events of one turn of the real event loop. Each is a macrotask of its own, so all microtasks of one come before the next
 * one (Node.js drains them between immediates); but asking the system for I/O between any two cost a tenth of a run.
 */
const eventsPerLoop = 32

export class Scheduler {
  readonly #queue = new EventQueue()
  #nowMs = 0
  #order = 0
  #processed = 0
  /** Runs that are under way: one, unless one waits inside another. */
  #pumps = 0
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
    const before = this.#processed
    await this.#pump(() => (this.#processed > before || !this.#runNext() ? 'done' : 'more'))
    return this.#processed > before
  }

  /** Goes on for so much virtual time. */
  async runFor(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs
    await this.#pump(() => {
      const next = this.#nextAtMs()
      if (next !== null && next <= untilMs) return this.#runNext() ? 'more' : 'done'
      this.#nowMs = untilMs
      return 'done'
    })
  }

  /** Goes on until `condition` holds; false when it does not within `limitMs` of virtual time. */
  async runUntil(condition: () => boolean, limitMs: number): Promise<boolean> {
    const untilMs = this.#nowMs + limitMs
    let holds = false
    await this.#pump(() => {
      holds = condition()
      if (holds) return 'done'
      const next = this.#nextAtMs()
      if (next !== null && next <= untilMs) return this.#runNext() ? 'more' : 'done'
      this.#nowMs = untilMs
      holds = condition()
      return 'done'
    })
    return holds
  }

  /** Runs the next event; the caller sees to it that its promises come to rest before the one after it. */
  #runNext(): boolean {
    if (this.#nextAtMs() === null) return false
    const event = this.#queue.pop() as Event
    this.#nowMs = event.atMs
    this.#processed += 1
    event.run?.()
    return true
  }

  /**
   * Calls `turn` in one macrotask after the other, whatever was started before the first one, until it says `done`. Who
   * runs the world while somebody else does (a test that waits for a helper that waits) shares it with him turn by turn.
   */
  #pump(turn: () => 'more' | 'done'): Promise<void> {
    this.#pumps += 1
    return new Promise<void>((resolve, reject) => {
      let isOver = false
      const run = (): void => {
        try {
          if (this.#failure !== null) throw this.#failure.error
          isOver = turn() === 'done'
          if (isOver) resolve()
        } catch (error) {
          isOver = true
          reject(error)
        }
        if (isOver) this.#pumps -= 1
      }
      const more = (): void => {
        if (!isOver && this.#pumps === 1) run()
      }
      const loop = (): void => {
        if (!isOver) run()
        if (!isOver) schedule()
      }
      const schedule = (): void => {
        for (let event = 1; event < eventsPerLoop; event += 1) setImmediate(more)
        setImmediate(loop)
      }
      schedule()
    })
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
