/**
 * What the primary knows of one other member (etcd-io/raft, `tracker/progress.go`).
 *
 * probe: it is not known where the logs agree; one append at a time. replicate: appends are pipelined
 * within the bounds below. snapshot: the log no longer holds what the member lacks; nothing is sent
 * until the driver reports how the snapshot transfer ended.
 */
import type { LogIndex } from '../../ids.ts'
import type { ProgressState } from './types.ts'

/** Entries on their way to one member: 100 ms of the fastest stream of commits that we aim at. */
export const inflightEntriesMax = 4096
/** The same in bytes: what a stalled member may hold up in buffers, per member. */
export const inflightBytesMax = 8 * 1024 * 1024

type Inflight = { throughIndex: LogIndex; entries: number; sizeBytes: number; round: number }

export class Progress {
  state: ProgressState = 'probe'
  matchIndex: LogIndex = 0
  nextIndex: LogIndex
  /** Newest round of the current term that the member echoed. */
  ackedRound = 0
  lastContactTick: number
  /** False until it answered in this term. */
  contacted = false
  /** probe: one append is out, and nothing more goes until there is an answer of any kind. */
  paused = false
  /** Commit index that the member will know once everything sent has arrived. */
  commitSent: LogIndex = 0
  #inflights: Inflight[] = []
  #inflightEntries = 0
  #inflightBytes = 0
  /** `matchIndex` at the last heartbeat reply: no progress between two means that appends were lost. */
  #matchAtHeartbeat: LogIndex = -1

  constructor(nextIndex: LogIndex, tick: number) {
    this.nextIndex = nextIndex
    this.lastContactTick = tick
  }

  heardFrom(tick: number, round: number, latestRound: number): void {
    this.contacted = true
    this.lastContactTick = tick
    // A round that was never sent proves nothing.
    if (round <= latestRound && round > this.ackedRound) this.ackedRound = round
  }

  isRecent(tick: number, withinTicks: number): boolean {
    return this.contacted && tick - this.lastContactTick < withinTicks
  }

  /** The driver proved that the member is gone: it does not count as there until it answers. */
  gone(): void {
    this.contacted = false
    this.lastContactTick = -Infinity
  }

  mayAppend(): boolean {
    if (this.state === 'snapshot') return false
    if (this.state === 'probe') return !this.paused
    return this.#inflightEntries < inflightEntriesMax && this.#inflightBytes < inflightBytesMax
  }

  sent(throughIndex: LogIndex, entries: number, sizeBytes: number, round: number): void {
    if (this.state === 'probe') {
      this.paused = true
      return
    }
    if (entries === 0) return
    this.nextIndex = throughIndex + 1
    this.#inflights.push({ throughIndex, entries, sizeBytes, round })
    this.#inflightEntries += entries
    this.#inflightBytes += sizeBytes
  }

  /** The member's disk holds the log through `index`. An older or repeated answer changes nothing. */
  matched(index: LogIndex): void {
    if (index > this.matchIndex) this.matchIndex = index
    this.nextIndex = Math.max(this.nextIndex, this.matchIndex + 1)
    while ((this.#inflights[0]?.throughIndex ?? Infinity) <= this.matchIndex) {
      const done = this.#inflights.shift()
      this.#inflightEntries -= done?.entries ?? 0
      this.#inflightBytes -= done?.sizeBytes ?? 0
    }
  }

  becomeProbe(nextIndex: LogIndex): void {
    this.#reset('probe')
    this.nextIndex = Math.max(nextIndex, this.matchIndex + 1)
  }

  becomeReplicate(): void {
    this.#reset('replicate')
    this.nextIndex = this.matchIndex + 1
  }

  becomeSnapshot(): void {
    this.#reset('snapshot')
  }

  #reset(state: ProgressState): void {
    this.state = state
    this.paused = false
    this.#inflights = []
    this.#inflightEntries = 0
    this.#inflightBytes = 0
    this.#matchAtHeartbeat = -1
  }

  /**
   * True when appends sent before `round` are unanswered, and nothing was acknowledged since the last
   * heartbeat reply: connections keep the order, so they are lost.
   */
  lostAppends(round: number): boolean {
    const stalled = this.#matchAtHeartbeat === this.matchIndex
    this.#matchAtHeartbeat = this.matchIndex
    return stalled && (this.#inflights[0]?.round ?? Infinity) < round
  }
}
