/**
 * One lane between this node and one peer: hello both ways, then frames. Knows nothing of libp2p; a `Pipe` carries
 * the frames, a stream in production and a simulated wire in tests.
 */
import { Fault, assert, isFault } from '../faults.ts'
import type { MemberId } from '../ids.ts'
import type {
  Hello,
  PeerFault,
  PeerRequest,
  PeerRequestKind,
  PeerRequestOf,
  PeerResponseOf,
  RaftMessage,
} from '../messages.ts'
import type { Clock, Lane, Logger } from '../ports.ts'
import { faultFromWire, faultToWire } from './frames.ts'
import type { Frame, ParsedFrame } from './frames.ts'
import type { LogLimiter } from './limiter.ts'
import { PendingRequests, notSent } from './requests.ts'

/** `full`: the peer does not take what was sent before; nothing was queued. */
export type PipeResult = 'queued' | 'full' | 'too-large'

export interface Pipe {
  send(frame: Frame): PipeResult
  /** Hands what is queued to the network now; otherwise that happens at the end of this turn of the event loop. */
  flush(): void
  /** The peer is trusted from now on to send frames of full size. */
  trusted(): void
  /** Sends what is queued and closes the whole connection that this lane belongs to. */
  close(reason: string): void
}

/** What a link asks of the node that it belongs to. */
export interface LinkHost {
  readonly clock: Clock
  readonly logger: Logger
  readonly limiter: LogLimiter
  hello(to: MemberId): Hello
  /** Throws the Fault for which the peer is refused. */
  accept(from: MemberId, hello: Hello): void
  /** This node and the peer are in one cluster, as far as their newest hellos say. */
  sameCluster(hello: Hello): boolean
  /** Hellos went through both ways, for the first time or again. */
  linkReady(link: Link): void
  /** One side refused the other. */
  linkRefused(link: Link, fault: Fault): void
  raft(from: MemberId, message: RaftMessage): void
  request(from: MemberId, request: PeerRequest): Promise<unknown>
}

/** A refused peer gets so long to read why; it closes the connection itself when it has. */
const refusalGraceMs = 300
/** Requests of one peer that may be in progress here; the rest is told to come back. */
const requestsInProgressMax = 1_024

export class Link {
  readonly peer: MemberId
  readonly lane: Lane
  readonly #pipe: Pipe
  readonly #host: LinkHost
  readonly #pending: PendingRequests
  #theirs: Hello | null = null
  /** Own hellos that the peer has not answered. */
  #unanswered = 0
  #inProgress = 0
  #closed = false
  #refused = false

  constructor(options: { peer: MemberId; lane: Lane; pipe: Pipe; host: LinkHost }) {
    this.peer = options.peer
    this.lane = options.lane
    this.#pipe = options.pipe
    this.#host = options.host
    this.#pending = new PendingRequests(options.host)
  }

  /** Both hellos were accepted. */
  get ready(): boolean {
    return !this.#closed && this.#theirs !== null && this.#unanswered === 0
  }

  get hello(): Hello | null {
    return this.#theirs
  }

  /** Says hello: when the stream opens, and again when this node has become part of a cluster. */
  sayHello(): void {
    if (this.#closed) return
    this.#unanswered += 1
    this.#pipe.send({ kind: 'hello', hello: this.#host.hello(this.peer) })
  }

  /** The stream or its connection is gone. */
  closed(): void {
    if (this.#closed) return
    this.#closed = true
    this.#pending.closeAll()
  }

  /** False when the message was dropped because the peer is slow. */
  sendRaft(message: RaftMessage): PipeResult {
    return this.#pipe.send({ kind: 'raft', message })
  }

  /** What was sent leaves now, not at the end of this turn. */
  flush(): void {
    if (!this.#closed) this.#pipe.flush()
  }

  ask<K extends PeerRequestKind>(request: PeerRequestOf<K>, timeoutMs: number): Promise<PeerResponseOf<K>> {
    return this.#pending.ask(request, timeoutMs, (id, sent) => {
      const result = this.#pipe.send({ kind: 'request', id, request: sent })
      if (result === 'full') throw notSent('overloaded', 'the peer does not take what was sent before')
      if (result === 'too-large') throw notSent('too-large', `${sent.kind} does not fit into a frame`)
    })
  }

  receive(parsed: ParsedFrame): void {
    if (this.#closed) return
    if (parsed.ok) this.#handle(parsed.frame)
    else this.#malformed(parsed)
  }

  #malformed({ reason, requestId }: Extract<ParsedFrame, { ok: false }>): void {
    const { limiter, logger } = this.#host
    if (limiter.allows(`malformed ${this.peer}`))
      logger.warn(
        { peer: this.peer, lane: this.lane, reason },
        'a peer sent a malformed frame; it is dropped',
      )
    if (this.#theirs === null)
      this.#refuse(new Fault('invalid-request', `the first frame is no hello: ${reason}`))
    else if (requestId !== null) this.#answerFault(requestId, new Fault('invalid-request', reason))
  }

  #handle(frame: Frame): void {
    if (frame.kind === 'refused') return this.#wasRefused(frame.fault)
    if (this.#refused) return
    if (frame.kind === 'hello') return this.#takeHello(frame.hello)
    // A welcome may overtake nothing: the peer said hello before it read ours.
    if (this.#theirs === null)
      return this.#refuse(new Fault('unauthorized', `a ${frame.kind} before the hello`))
    switch (frame.kind) {
      case 'welcome':
        if (this.#unanswered === 0) return
        this.#unanswered -= 1
        return this.#maybeReady()
      case 'raft':
        // A node without a cluster has no say in this one's log.
        if (this.#host.sameCluster(this.#theirs)) this.#host.raft(this.peer, frame.message)
        return
      case 'request':
        return this.#serve(frame.id, frame.request)
      case 'answer':
        return this.#pending.answered(frame.id, frame.value)
      case 'fault':
        return this.#pending.failed(frame.id, frame.fault)
      default: {
        const never: never = frame
        assert(false, `an unknown frame ${JSON.stringify(never)} must not pass the parser`)
      }
    }
  }

  #takeHello(hello: Hello): void {
    try {
      this.#host.accept(this.peer, hello)
    } catch (error) {
      if (!isFault(error)) throw error
      return this.#refuse(error)
    }
    this.#theirs = hello
    this.#pipe.trusted()
    this.#pipe.send({ kind: 'welcome' })
    this.#maybeReady()
  }

  #maybeReady(): void {
    if (!this.ready) return
    this.#host.linkReady(this)
  }

  #refuse(fault: Fault): void {
    if (this.#refused) return
    this.#refused = true
    this.#theirs = null
    this.#pipe.send({ kind: 'refused', fault: faultToWire(fault) })
    this.#host.linkRefused(this, fault)
    this.#host.clock.timer(refusalGraceMs, () => this.#pipe.close(fault.message))
  }

  #wasRefused(wire: PeerFault): void {
    const fault = faultFromWire(wire)
    this.#host.linkRefused(this, new Fault(fault.code, `the peer refused this node: ${fault.message}`))
    this.#pipe.close('refused by the peer')
  }

  #serve(id: number, request: PeerRequest): void {
    const theirs = this.#theirs as Hello
    if (request.kind !== 'join' && !this.#host.sameCluster(theirs))
      return this.#answerFault(
        id,
        new Fault('forbidden', 'a node that is in no cluster may only ask to join'),
      )
    if (this.#inProgress >= requestsInProgressMax)
      return this.#answerFault(id, notSent('overloaded', 'too many requests of this peer are in progress'))
    this.#inProgress += 1
    this.#host.request(this.peer, request).then(
      (value) => {
        this.#inProgress -= 1
        this.#answer(id, request.kind, value)
      },
      (error: unknown) => {
        this.#inProgress -= 1
        if (!isFault(error))
          this.#host.logger.error(
            { peer: this.peer, request: request.kind, err: error },
            'a request of a peer failed here',
          )
        this.#answerFault(id, error)
      },
    )
  }

  #answer(id: number, kind: PeerRequestKind, value: unknown): void {
    if (this.#closed) return
    const result = this.#pipe.send({ kind: 'answer', id, value })
    if (result === 'queued') return
    // It was done, so "overloaded" would be a lie; without an answer the peer counts the outcome as unknown.
    if (this.#host.limiter.allows(`answer ${result} ${this.peer}`))
      this.#host.logger.warn({ peer: this.peer, request: kind, result }, 'an answer to a peer was dropped')
    if (result === 'too-large')
      this.#answerFault(id, new Fault('outcome-unknown', 'the answer does not fit into a frame'))
  }

  #answerFault(id: number, error: unknown): void {
    if (!this.#closed) this.#pipe.send({ kind: 'fault', id, fault: faultToWire(error) })
  }
}
