/** Callers that wait for what the consensus core decides: the place of a proposal, a confirmed read, a hand-over. */
import type { ProposalResult, RaftEffects } from '../core/raft/types.ts'
import { Fault } from '../faults.ts'
import type { LogIndex, Term } from '../ids.ts'
import { outcomeUnknown } from './waiting.ts'

type Waiter<T> = { resolve: (value: T) => void; reject: (fault: Fault) => void }
type Refusal = Extract<ProposalResult, { accepted: false }>['reason']

/** What each kind of request resolves with. */
type Answers = { proposal: { index: LogIndex; term: Term }; read: LogIndex; transfer: boolean }

export class ConsensusWaiters {
  readonly #proposal = new Map<number, Waiter<Answers['proposal']>>()
  readonly #read = new Map<number, Waiter<Answers['read']>>()
  readonly #transfer = new Map<number, Waiter<Answers['transfer']>>()
  #nextRef = 1

  proposal(enqueue: (ref: number) => void): Promise<Answers['proposal']> {
    return this.#wait(this.#proposal, enqueue)
  }

  read(enqueue: (ref: number) => void): Promise<Answers['read']> {
    return this.#wait(this.#read, enqueue)
  }

  transfer(enqueue: (ref: number) => void): Promise<Answers['transfer']> {
    return this.#wait(this.#transfer, enqueue)
  }

  #wait<T>(waiters: Map<number, Waiter<T>>, enqueue: (ref: number) => void): Promise<T> {
    const ref = this.#nextRef++
    return new Promise<T>((resolve, reject) => {
      waiters.set(ref, { resolve, reject })
      enqueue(ref)
    })
  }

  /** What a step decided; its writes are on disk. */
  settle(effects: RaftEffects): void {
    for (const result of effects.proposals) {
      if (result.accepted) {
        this.#proposal.get(result.ref)?.resolve({ index: result.index, term: result.term })
        this.#proposal.delete(result.ref)
      } else this.refuse(result.ref, refusal(result.reason))
    }
    for (const { ref, index } of effects.reads) {
      this.#read.get(ref)?.resolve(index)
      this.#read.delete(ref)
    }
    for (const ref of effects.readsFailed) {
      this.#read.get(ref)?.reject(refusal('not-primary'))
      this.#read.delete(ref)
    }
    for (const { ref, ok } of effects.transfers) {
      this.#transfer.get(ref)?.resolve(ok)
      this.#transfer.delete(ref)
    }
  }

  /**
   * A step that found no space on the disk. Of its proposals, those behind `sentThrough` were never on a disk nor sent,
   * and never will be; the others may still be committed by who got them (API.md, "Outcome rule"). The core that knew of
   * the reads and hand-overs is gone.
   */
  takeBack(effects: RaftEffects, fault: Fault, sentThrough: LogIndex): void {
    for (const result of effects.proposals) {
      const isSent = result.accepted && result.index <= sentThrough
      const reason = result.accepted ? fault : refusal(result.reason)
      this.refuse(result.ref, isSent ? outcomeUnknown() : reason)
    }
    for (const waiter of this.#read.values()) waiter.reject(refusal('not-primary'))
    this.#read.clear()
    for (const waiter of this.#transfer.values()) waiter.resolve(false)
    this.#transfer.clear()
  }

  /** One proposal that is not in the log and won't be from here. */
  refuse(ref: number, fault: Fault): void {
    this.#proposal.get(ref)?.reject(fault)
    this.#proposal.delete(ref)
  }

  /** The node stops: whatever is still waiting fails. */
  rejectAll(fault: Fault): void {
    for (const waiters of [this.#proposal, this.#read, this.#transfer]) {
      for (const waiter of waiters.values()) waiter.reject(fault)
      waiters.clear()
    }
  }
}

function refusal(reason: Refusal): Fault {
  switch (reason) {
    case 'too-many':
      return new Fault('overloaded', 'too many commands are in flight', {}, { retryAfterSeconds: 1 })
    case 'change-pending':
    case 'invalid-change':
      return new Fault('conflict', `the voters can't be changed now: ${reason}`)
    case 'not-primary':
    case 'transferring':
      return new Fault('no-primary', 'this node is not the primary', {}, { retryAfterSeconds: 1 })
    default: {
      const never: never = reason
      return never
    }
  }
}
