/** Requests of this node that one link carries and that have no answer yet. */
import { Fault, isFault } from '../faults.ts'
import type { PeerFault, PeerRequest, PeerRequestKind, PeerRequestOf, PeerResponseOf } from '../messages.ts'
import type { CancelTimer, Clock, Logger } from '../ports.ts'
import { faultFromWire, parseAnswer } from './frames.ts'

/** One slow peer must not hold this node's memory: more than a busy second's worth is refused. */
const pendingRequestsMax = 4_096

type Pending = {
  kind: PeerRequestKind
  resolve: (value: never) => void
  reject: (fault: Fault) => void
  cancelTimer: CancelTimer
}

/** Nothing left this node: the caller may go elsewhere at once. */
export function notSent(code: 'internal' | 'overloaded' | 'too-large', message: string): Fault {
  return new Fault(code, message, { notSent: true }, code === 'overloaded' ? { retryAfterSeconds: 1 } : {})
}

export class PendingRequests {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #pending = new Map<number, Pending>()
  #nextId = 1

  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = clock
    this.#logger = logger
  }

  get count(): number {
    return this.#pending.size
  }

  /**
   * Registers a request and gives it to `send`, which throws when nothing left this node. The promise rejects with
   * the peer's Fault, or `outcome-unknown` when no answer comes in time.
   */
  ask<K extends PeerRequestKind>(
    request: PeerRequestOf<K>,
    timeoutMs: number,
    send: (id: number, request: PeerRequest) => void,
  ): Promise<PeerResponseOf<K>> {
    if (this.#pending.size >= pendingRequestsMax)
      return Promise.reject(notSent('overloaded', 'too many requests to this peer have no answer yet'))
    const id = this.#nextId++
    const { kind } = request
    try {
      send(id, request)
    } catch (error) {
      if (isFault(error)) return Promise.reject(error)
      throw error
    }
    return new Promise((resolve, reject) => {
      const cancelTimer = this.#clock.timer(timeoutMs, () => {
        this.#pending.delete(id)
        reject(new Fault('outcome-unknown', `no answer to ${kind} within ${timeoutMs} ms`))
      })
      this.#pending.set(id, { kind, resolve, reject, cancelTimer })
    })
  }

  /** An answer that nobody waits for any more is late, not wrong. */
  answered(id: number, value: unknown): void {
    const pending = this.#take(id)
    if (pending === null) return
    const parsed = parseAnswer(pending.kind, value)
    if (parsed.ok) {
      pending.resolve(parsed.value as never)
      return
    }
    // A member that was let in sends what no program of ours should: whoever asked goes elsewhere, and may never succeed.
    this.#logger.warn({ request: pending.kind, reason: parsed.reason }, 'the answer of a peer is malformed')
    pending.reject(
      new Fault('outcome-unknown', `the answer to ${pending.kind} is malformed: ${parsed.reason}`),
    )
  }

  failed(id: number, fault: PeerFault): void {
    this.#take(id)?.reject(faultFromWire(fault))
  }

  /** The link broke: whatever was asked may or may not have happened. */
  closeAll(): void {
    for (const { kind, reject, cancelTimer } of this.#pending.values()) {
      cancelTimer()
      reject(new Fault('outcome-unknown', `the connection broke before ${kind} was answered`))
    }
    this.#pending.clear()
  }

  #take(id: number): Pending | null {
    const pending = this.#pending.get(id)
    if (pending === undefined) return null
    this.#pending.delete(id)
    pending.cancelTimer()
    return pending
  }
}
