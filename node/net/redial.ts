/**
 * Connections to all members, for ever. libp2p 3 has no dialler of its own, and its KEEP_ALIVE tag gives up
 * after 31 s (LIMITS.md, "libp2p connections"). Pure on its ports, so the simulator runs it too.
 *
 * Of two members the one with the lower peer id dials, so that two connections are rare; the other one does so
 * when the lower one has not come for a while, because it may not know the address or the membership yet. A node
 * that has just started always dials at once: the others only find out that it is back by its coming.
 */
import type { MemberId } from '../ids.ts'
import type { CancelTimer, Clock, Logger, Random } from '../ports.ts'

/** First dials after a start are spread over this, so that 25 nodes that start together don't collide. */
const firstSpreadMs = 100
/** Wait before the first redial; doubles up to the cap. */
const backoffMinMs = 100
/** Between members in one data centre a dial costs little, and a healed link should be used at once. */
const backoffMaxMs = 2_000
/** So long the higher peer id waits for the lower one to come. */
const higherWaitsMs = 3_000
/** A dial that the peer refused after the hello is tried again, but not in haste: a person has to act first. */
const refusedDelayMs = 3_000

export type RedialOptions = {
  selfId: MemberId
  clock: Clock
  random: Random
  logger: Logger
  /** Resolves when a connection is there (its hello may still be under way), rejects when there is none. */
  dial: (peer: Peer) => Promise<void>
  /** There is a connection to the peer, whether its hello is through or not. */
  hasConnection: (peer: MemberId) => boolean
}

export type Peer = { readonly id: MemberId; readonly p2p: string }
type Target = { peer: Peer; attempts: number; cancel: CancelTimer | null; dialling: boolean }

export class Redialer {
  readonly #options: RedialOptions
  readonly #targets = new Map<MemberId, Target>()
  #running = false

  constructor(options: RedialOptions) {
    this.#options = options
  }

  start(): void {
    this.#running = true
    for (const target of this.#targets.values()) this.#schedule(target, this.#firstDelayMs())
  }

  stop(): void {
    this.#running = false
    for (const target of this.#targets.values()) target.cancel?.()
    this.#targets.clear()
  }

  setPeers(peers: readonly Peer[]): void {
    const wanted = new Map(peers.map((peer) => [peer.id, peer]))
    for (const [id, target] of this.#targets) {
      if (wanted.has(id)) continue
      target.cancel?.()
      this.#targets.delete(id)
    }
    for (const peer of peers) {
      if (peer.id === this.#options.selfId) continue
      const known = this.#targets.get(peer.id)
      if (known !== undefined) {
        if (known.peer.p2p !== peer.p2p) this.#moved(known, peer)
        continue
      }
      const target: Target = { peer, attempts: 0, cancel: null, dialling: false }
      this.#targets.set(peer.id, target)
      if (this.#running) this.#schedule(target, this.#firstDelayMs())
    }
  }

  /** The hello went through: the next break starts with a short wait again. */
  opened(id: MemberId): void {
    const target = this.#targets.get(id)
    if (target !== undefined) target.attempts = 0
  }

  /** The last connection to the peer closed. `refused`: one of the two did not accept the other's hello. */
  closed(id: MemberId, refused: boolean): void {
    const target = this.#targets.get(id)
    if (target === undefined || !this.#running) return
    this.#schedule(target, refused ? this.#jittered(refusedDelayMs) : this.#nextDelayMs(target))
  }

  /** The peer announced another address: worth a try at once. */
  #moved(target: Target, peer: Peer): void {
    target.peer = peer
    target.attempts = 0
    if (this.#running) this.#schedule(target, this.#firstDelayMs())
  }

  #jittered(delayMs: number): number {
    return delayMs * (0.5 + this.#options.random.next())
  }

  #firstDelayMs(): number {
    return this.#options.random.next() * firstSpreadMs
  }

  #nextDelayMs(target: Target): number {
    const waitsForOther = this.#options.selfId > target.peer.id && target.attempts === 0
    if (waitsForOther) return this.#jittered(higherWaitsMs)
    return this.#jittered(Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(target.attempts, 16)))
  }

  #schedule(target: Target, delayMs: number): void {
    target.cancel?.()
    target.cancel = this.#options.clock.timer(delayMs, () => {
      target.cancel = null
      this.#dial(target)
    })
  }

  #dial(target: Target): void {
    const { hasConnection, dial, logger } = this.#options
    // With a connection there is nothing to do: `closed` comes when it ends.
    if (target.dialling || hasConnection(target.peer.id)) return
    target.dialling = true
    target.attempts += 1
    const { id, p2p } = target.peer
    dial(target.peer).then(
      () => {
        target.dialling = false
        // It may have been opened and closed again before this turn.
        if (!hasConnection(id)) this.closed(id, false)
      },
      (error: unknown) => {
        target.dialling = false
        logger.debug({ peer: id, p2p, attempts: target.attempts, reason: String(error) }, 'a dial failed')
        if (this.#running && this.#targets.get(id) === target && !hasConnection(id))
          this.#schedule(target, this.#nextDelayMs(target))
      },
    )
  }
}
