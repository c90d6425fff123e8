/**
 * Rounds and the lease (dissertation, section 6.4.1, with rounds in the place of heartbeat timers). A
 * round is what the primary sends in one step. When a majority echoed a round, the primary was primary
 * when it *sent* it; the lease is counted from there. It is a hint: safety rests on majorities alone.
 */

/** Rounds remembered; when there are more, every second one is forgotten, which only shortens the lease. */
export const roundsKeptMax = 1024

export class Lease {
  readonly #leaseMs: number
  #latestRound = 0
  /** Oldest first. */
  #rounds: { round: number; sentAtMs: number }[] = []
  #untilMs = -Infinity
  /** Rounds before it don't count any more (a hand-over was begun and given up since). */
  #firstValidRound = 1

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs
  }

  get latestRound(): number {
    return this.#latestRound
  }

  /** -Infinity when it has lapsed at `nowMs`. */
  untilMs(nowMs: number): number {
    return this.#untilMs > nowMs ? this.#untilMs : -Infinity
  }

  beginRound(nowMs: number): number {
    this.#latestRound += 1
    this.#rounds.push({ round: this.#latestRound, sentAtMs: nowMs })
    if (this.#rounds.length > roundsKeptMax) this.#rounds = this.#rounds.filter((_, place) => place % 2 === 0)
    return this.#latestRound
  }

  /** A majority echoed `round` or a newer one: the newest remembered one not above it counts. */
  confirm(round: number): void {
    let place = this.#rounds.length - 1
    while (place >= 0 && (this.#rounds[place]?.round ?? 0) > round) place -= 1
    const confirmed = this.#rounds[place]
    if (confirmed === undefined) return
    this.#rounds.splice(0, place)
    if (confirmed.round < this.#firstValidRound) return
    this.#untilMs = Math.max(this.#untilMs, confirmed.sentAtMs + this.#leaseMs)
  }

  /** Only rounds sent from now on count. */
  drop(): void {
    this.#untilMs = -Infinity
    this.#firstValidRound = this.#latestRound + 1
  }
}
