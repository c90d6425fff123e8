/**
 * Server-sent events (WHATWG HTML, "Server-sent events"): bounded streams with a heartbeat, and channels that
 * remember a few events for clients that come back with Last-Event-ID.
 */
import { randomUUID } from 'node:crypto'
import { Fault, isFault } from '../node/faults.ts'
import {
  heartbeatMs,
  replayEventsMax,
  replayLifetimeMs,
  sessionCheckMs,
  streamQueueSizeBytesMax,
  streamsMax,
  streamsPerUserMax,
} from './limits.ts'

const encoder = new TextEncoder()

/** `id` null: an event that can't be resumed from (a snapshot of an earlier moment). */
export type Frame = { readonly id: string | null; readonly event: string; readonly data: string }

export function frameText(frame: Frame): string {
  const id = frame.id === null ? '' : `id: ${frame.id}\n`
  return `${id}event: ${frame.event}\ndata: ${frame.data}\n\n`
}

/** One open stream. */
export class EventStream {
  readonly body: ReadableStream<Uint8Array>
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null
  readonly #ended: () => void

  constructor(ended: () => void) {
    this.#ended = ended
    const strategy = new ByteLengthQueuingStrategy({ highWaterMark: streamQueueSizeBytesMax })
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        cancel: () => this.#end(false),
      },
      strategy,
    )
  }

  send(frame: Frame): void {
    this.#write(frameText(frame))
  }

  comment(): void {
    this.#write(': alive\n\n')
  }

  close(): void {
    this.#end(true)
  }

  #write(text: string): void {
    const controller = this.#controller
    if (controller === null) return
    // A client that reads too slowly is cut off; it reconnects and gets a snapshot.
    if ((controller.desiredSize ?? 0) <= 0) return this.#end(true)
    controller.enqueue(encoder.encode(text))
  }

  #end(closing: boolean): void {
    const controller = this.#controller
    if (controller === null) return
    this.#controller = null
    if (closing) controller.close()
    this.#ended()
  }
}

/** What keeps a stream true; false ends it. */
export type StillGood = {
  /** Not logged off: looked at every half second, so it must cost next to nothing. */
  readonly session: () => boolean
  /** Home is still here: looked at with every heartbeat. */
  readonly home: () => Promise<boolean>
}

/** All open streams of the node, their heartbeat, and the bound on their number. */
export class Streams {
  readonly #open = new Map<EventStream, { owner: string; stillGood: StillGood | null }>()
  #timers: NodeJS.Timeout[] = []
  #stopped = false

  get size(): number {
    return this.#open.size
  }

  /** Fault `overloaded` when too many are open. `closed` is called once, however the stream ends. */
  open(owner: string, stillGood: StillGood | null, closed: () => void): EventStream {
    if (this.#stopped) throw new Fault('overloaded', 'the node is stopping')
    if (this.#open.size >= streamsMax) throw new Fault('overloaded', 'too many event streams')
    if (stillGood !== null && this.#countOf(owner) >= streamsPerUserMax)
      throw new Fault('too-many-requests', `a user may have ${streamsPerUserMax} event streams`)
    const stream: EventStream = new EventStream(() => {
      this.#open.delete(stream)
      if (this.#open.size === 0) this.#stopTimers()
      closed()
    })
    this.#open.set(stream, { owner, stillGood })
    if (this.#timers.length === 0) {
      this.#timers = [
        setInterval(() => this.beat(), heartbeatMs).unref(),
        setInterval(() => this.#checkSessions(), sessionCheckMs).unref(),
      ]
    }
    return stream
  }

  /** One heartbeat. */
  beat(): void {
    for (const [stream, { stillGood }] of this.#open) {
      stream.comment()
      if (stillGood !== null) void this.#verify(stream, stillGood)
    }
  }

  #checkSessions(): void {
    for (const [stream, { stillGood }] of this.#open) {
      if (stillGood !== null && !stillGood.session()) stream.close()
    }
  }

  async #verify(stream: EventStream, stillGood: StillGood): Promise<void> {
    try {
      if (!(await stillGood.home())) stream.close()
    } catch (error) {
      // The client asks again and gets the reason as a problem; a bug is not the stream's to hide.
      stream.close()
      if (!isFault(error)) throw error
    }
  }

  #countOf(owner: string): number {
    let count = 0
    for (const entry of this.#open.values()) if (entry.owner === owner) count += 1
    return count
  }

  #stopTimers(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#timers = []
  }

  /** Ends all streams; no new ones are opened. */
  stop(): void {
    this.#stopped = true
    for (const stream of this.#open.keys()) stream.close()
  }
}

/** Events of one subject (a user, or the cluster) numbered, so that a stream can go on where one broke off. */
export class Channel {
  readonly #id = randomUUID().slice(0, 8)
  readonly #recent: Frame[] = []
  readonly #listeners = new Set<EventStream>()
  #count = 0

  get idle(): boolean {
    return this.#listeners.size === 0
  }

  publish(event: string, data: string): void {
    this.#count += 1
    const frame = { id: `${this.#id}-${this.#count}`, event, data }
    this.#recent.push(frame)
    if (this.#recent.length > replayEventsMax) this.#recent.shift()
    for (const stream of this.#listeners) stream.send(frame)
  }

  /** Id of the newest event, which a snapshot taken now stands for. */
  get newest(): string {
    return `${this.#id}-${this.#count}`
  }

  /** Events after the one of this id; null when this channel can't tell, and a snapshot is needed. */
  since(lastEventId: string): Frame[] | null {
    if (lastEventId === this.newest) return []
    const [id, number] = lastEventId.split('-')
    const seen = Number(number)
    if (id !== this.#id || !Number.isSafeInteger(seen) || seen > this.#count) return null
    const oldest = this.#count - this.#recent.length
    return seen < oldest ? null : this.#recent.slice(seen - oldest)
  }

  add(stream: EventStream): void {
    this.#listeners.add(stream)
  }

  remove(stream: EventStream): void {
    this.#listeners.delete(stream)
  }
}

/** Channels by subject, kept for a while after their last stream, so that a short break loses nothing. */
export class Channels {
  readonly #channels = new Map<string, { channel: Channel; stop: () => void; idleSinceMs: number | null }>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /** The subject's channel; `subscribe` feeds a new one and returns how to stop that. */
  get(subject: string, subscribe: (channel: Channel) => () => void): Channel {
    this.#sweep()
    const known = this.#channels.get(subject)
    if (known !== undefined) return known.channel
    const channel = new Channel()
    this.#channels.set(subject, { channel, stop: subscribe(channel), idleSinceMs: this.#now() })
    return channel
  }

  /** Says that a stream of the subject came or went. */
  touched(subject: string): void {
    const entry = this.#channels.get(subject)
    if (entry !== undefined) entry.idleSinceMs = entry.channel.idle ? this.#now() : null
    this.#sweep()
  }

  #sweep(): void {
    const idle = [...this.#channels].filter(([, entry]) => entry.idleSinceMs !== null)
    // Idle channels are bounded like streams: beyond that the oldest go first (insertion order).
    const excess = Math.max(0, idle.length - streamsMax)
    idle.forEach(([subject, entry], index) => {
      const old = this.#now() - (entry.idleSinceMs ?? 0) > replayLifetimeMs
      if (!old && index >= excess) return
      entry.stop()
      this.#channels.delete(subject)
    })
  }

  stop(): void {
    for (const entry of this.#channels.values()) entry.stop()
    this.#channels.clear()
  }
}
