/**
 * Carries a link's frames over one libp2p stream. Frames are gathered and written once per turn of the event loop
 * (132k instead of 33k requests a second, LIMITS.md); when the stream is full they wait here, within bounds,
 * because libp2p itself would buffer without end.
 */
import type { Stream, StreamMessageEvent } from '@libp2p/interface'
import type { MemberId } from '../ids.ts'
import { frameSizeBytesMax } from '../messages.ts'
import type { Clock, Lane, Logger } from '../ports.ts'
import { FrameReader, encodeFrame, parseFrame } from './frames.ts'
import type { Frame } from './frames.ts'
import type { LogLimiter } from './limiter.ts'
import type { Link, Pipe, PipeResult } from './link.ts'
import { gatherWindowUpdates } from './window-updates.ts'

/** Consensus sends again, so its messages are dropped first. Two full frames: a batch in flight and the next. */
const raftQueueBytesMax = 2 * frameSizeBytesMax
/** Requests are refused next; answers to what was done already have the most room. */
const requestQueueBytesMax = 3 * frameSizeBytesMax
const answerQueueBytesMax = 4 * frameSizeBytesMax
/** Written in one piece: large enough to gather a busy turn, small enough that `drain` comes often. */
const batchSizeBytes = 256 * 1024

function queueBytesMax(kind: Frame['kind']): number {
  switch (kind) {
    case 'raft':
      return raftQueueBytesMax
    case 'request':
      return requestQueueBytesMax
    case 'answer':
    case 'fault':
      return answerQueueBytesMax
    case 'hello':
    case 'welcome':
    case 'refused':
      // A handful per connection, and nothing works without them.
      return Number.POSITIVE_INFINITY
    default: {
      const never: never = kind
      return never
    }
  }
}

export type StreamPipeOptions = {
  stream: Stream
  peer: MemberId
  lane: Lane
  clock: Clock
  logger: Logger
  limiter: LogLimiter
  /** Closes the connection after what the stream took is sent; `abort` at once. */
  close: (reason: string) => void
  abort: (reason: string) => void
}

export class StreamPipe implements Pipe {
  readonly #options: StreamPipeOptions
  readonly #stream: Stream
  readonly #reader = new FrameReader()
  #queue: Buffer[] = []
  #queuedBytes = 0
  #flushScheduled = false
  #closing = false

  constructor(options: StreamPipeOptions) {
    this.#options = options
    this.#stream = options.stream
    gatherWindowUpdates(this.#stream)
    // libp2p's own listener runs first and sends what it holds in a microtask; this flush comes after it.
    this.#stream.addEventListener('drain', () => this.#scheduleFlush())
    this.#stream.addEventListener('close', () => this.#end('the stream closed'))
    this.#stream.addEventListener('remoteCloseWrite', () => this.#end('the peer closed the stream'))
  }

  /** Bytes that wait here or in libp2p for the peer to take them. */
  get queuedBytes(): number {
    return this.#queuedBytes + this.#stream.writeBufferLength
  }

  /** Hands incoming frames to the link from now on. */
  readInto(link: Link): void {
    this.#stream.addEventListener('message', (event: StreamMessageEvent) => {
      this.#reader.push(event.data.subarray())
      this.#deliver(link)
    })
  }

  trusted(): void {
    this.#reader.sizeBytesMax = frameSizeBytesMax
  }

  send(frame: Frame): PipeResult {
    if (this.#closing || this.queuedBytes > queueBytesMax(frame.kind)) return 'full'
    const bytes = encodeFrame(frame)
    if (bytes === null) return 'too-large'
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
    this.#scheduleFlush()
    return 'queued'
  }

  flush(): void {
    if (this.#closing) return
    try {
      while (this.#queue.length > 0 && !this.#stream.writableNeedsDrain) this.#stream.send(this.#nextBatch())
    } catch (error) {
      this.#options.logger.debug(
        { peer: this.#options.peer, reason: String(error) },
        'a write to a peer failed',
      )
      this.#end('a write failed')
    }
  }

  close(reason: string): void {
    if (this.#closing) return
    this.flush()
    this.#closing = true
    this.#options.close(reason)
  }

  #deliver(link: Link): void {
    try {
      for (let text = this.#reader.next(); text !== null; text = this.#reader.next())
        link.receive(parseFrame(text))
    } catch (error) {
      const { peer, lane, logger, limiter } = this.#options
      if (limiter.allows(`stream ${peer}`))
        logger.warn(
          { peer, lane, reason: String(error) },
          'the stream of a peer can’t be read on; it is closed',
        )
      this.#end('unreadable')
    }
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#closing) return
    this.#flushScheduled = true
    this.#options.clock.defer(() => {
      this.#flushScheduled = false
      this.flush()
    })
  }

  #nextBatch(): Buffer {
    let count = 0
    let sizeBytes = 0
    while (count < this.#queue.length && (count === 0 || sizeBytes < batchSizeBytes)) {
      sizeBytes += this.#queue[count]?.length ?? 0
      count += 1
    }
    const batch = count === 1 ? (this.#queue.shift() as Buffer) : Buffer.concat(this.#queue.splice(0, count))
    this.#queuedBytes -= sizeBytes
    return batch
  }

  /** A lane alone is of no use: the connection goes with it, and the redialler makes a new one. */
  #end(reason: string): void {
    if (this.#closing) return
    this.#closing = true
    this.#queue = []
    this.#queuedBytes = 0
    this.#options.abort(reason)
  }
}
