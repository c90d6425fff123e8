/**
 * Reads that must be current (dissertation, section 6.4, ReadIndex): the commit index is remembered, a
 * majority confirms by a round sent after the read came in that the primary still is the primary, and
 * the read is served once that index is applied. One round serves all reads that wait for it.
 */
import type { LogIndex } from '../../ids.ts'

/** Reads waiting at once; more are refused, so that a cut-off primary does not collect them. */
export const readsWaitingMax = 16_384

type Batch = { round: number; index: LogIndex; refs: number[] }

export class ReadQueue {
  /** Came in, and no round was sent for them yet. */
  #fresh: number[] = []
  /** Wait for a majority's echo of their round; oldest first. */
  #batches: Batch[] = []
  #waiting = 0

  /** False when too many are waiting. */
  add(ref: number): boolean {
    if (this.#waiting >= readsWaitingMax) return false
    this.#fresh.push(ref)
    this.#waiting += 1
    return true
  }

  /** True when a round should be sent for reads: some are fresh and none is on its way. */
  get wantsRound(): boolean {
    return this.#fresh.length > 0 && this.#batches.length === 0
  }

  /** `round` is being sent to everybody in this step, and `index` is committed. */
  attach(round: number, index: LogIndex): void {
    if (this.#fresh.length === 0) return
    this.#batches.push({ round, index, refs: this.#fresh })
    this.#fresh = []
  }

  /** The reads that a majority's echo of `round` confirms. */
  confirmed(round: number): { ref: number; index: LogIndex }[] {
    const reads: { ref: number; index: LogIndex }[] = []
    while ((this.#batches[0]?.round ?? Infinity) <= round) {
      const batch = this.#batches.shift()
      for (const ref of batch?.refs ?? []) reads.push({ ref, index: batch?.index ?? 0 })
    }
    this.#waiting -= reads.length
    return reads
  }

  /** Gives up on all of them. */
  drain(): number[] {
    const refs = [...this.#batches.flatMap((batch) => batch.refs), ...this.#fresh]
    this.#batches = []
    this.#fresh = []
    this.#waiting = 0
    return refs
  }
}
