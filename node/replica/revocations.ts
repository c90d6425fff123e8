/**
 * Tokens that were logged off, one by one or all of a user (DESIGN.md section 6). Promises: a revoked token is refused
 * here at once, after a restart too, and by connected nodes within a second; a node that was away learns when it connects again; what has expired is
 * dropped, and the number kept is bounded.
 */
import type { GossipMessage, GossipVerdict } from '../messages.ts'
import type { CancelTimer } from '../ports.ts'
import type { Context } from './context.ts'
import { whileThereIsSpace } from './full-disk.ts'

/** Ids in one gossip message (messages.ts). */
const tokensPerMessageMax = 1_000
/** Ids kept and told to who was away: far more than a shop logs off in the life of a token, 20 messages. */
const revocationsMax = 20_000
/** Many peers connect at once when a node starts; they are told once. */
const tellDelayMs = 250
/** Expired ids are dropped this often; they do no harm meanwhile. */
const dropIntervalMs = 600_000
/** No session lives so long; a later expiry is a mistake or an attempt to fill the table. */
const lifetimeMaxMs = 400 * 86_400_000

type Revoked = { id: string; expiresAtMs: number }

export class Revocations {
  readonly #context: Context
  #count = 0
  #stopped = false
  #cancelTell: CancelTimer | null = null
  #cancelDrop: CancelTimer = () => undefined

  constructor(context: Context) {
    this.#context = context
  }

  start(): void {
    this.#drop()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTell?.()
    this.#cancelDrop()
  }

  #isKnown({ id, expiresAtMs }: Revoked): boolean {
    return this.#context.stores.local.revokedUntilMs(id) >= expiresAtMs
  }

  /** On the own disk when this returns, then told to everybody. The own shoppers' log-offs are kept beyond the bound. */
  revoke(tokenId: string, expiresAtMs: number): void {
    if (expiresAtMs <= this.#context.clock.wallMs() || this.#isKnown({ id: tokenId, expiresAtMs })) return
    this.#context.stores.local.revoke(tokenId, expiresAtMs)
    this.#count += 1
    this.#context.transport.publish('revocations', { tokens: [{ id: tokenId, expiresAtMs }] })
  }

  /** A peer has just connected and may have been away: it is told everything that is still of use. */
  peerConnected(): void {
    if (this.#stopped || this.#cancelTell !== null) return
    this.#cancelTell = this.#context.clock.timer(tellDelayMs, () => {
      this.#cancelTell = null
      this.#tellAll()
    })
  }

  #tellAll(): void {
    const { stores, clock, transport } = this.#context
    const tokens = stores.local.revokedAfter(clock.wallMs(), revocationsMax)
    for (let from = 0; from < tokens.length; from += tokensPerMessageMax) {
      transport.publish('revocations', { tokens: tokens.slice(from, from + tokensPerMessageMax) })
    }
  }

  /** What is known already is passed on too: it may be meant for a node that was away. */
  heard({ tokens }: GossipMessage<'revocations'>): GossipVerdict {
    const nowMs = this.#context.clock.wallMs()
    if (tokens.some(({ id }) => id.length === 0)) return 'reject'
    const useful = tokens.filter(
      ({ expiresAtMs }) => expiresAtMs > nowMs && expiresAtMs <= nowMs + lifetimeMaxMs,
    )
    if (useful.length === 0) return 'ignore'
    this.#keep(useful.filter((revoked) => !this.#isKnown(revoked)))
    return 'accept'
  }

  #keep(added: readonly Revoked[]): void {
    const { stores, logger } = this.#context
    const kept = added.slice(0, Math.max(0, revocationsMax - this.#count))
    if (kept.length < added.length)
      logger.warn({ dropped: added.length - kept.length }, 'too many revoked tokens; some are not kept')
    if (kept.length === 0) return
    const isWritten = whileThereIsSpace(
      logger,
      'what was logged off elsewhere is told again when a member connects',
      () =>
        stores.local.transaction(() => {
          for (const { id, expiresAtMs } of kept) stores.local.revoke(id, expiresAtMs)
        }),
    )
    if (isWritten) this.#count += kept.length
  }

  #drop(): void {
    if (this.#stopped) return
    const { stores, clock, logger } = this.#context
    const nowMs = clock.wallMs()
    whileThereIsSpace(logger, 'expired revocations stay', () => stores.local.dropRevokedBefore(nowMs))
    this.#count = stores.local.revokedAfter(nowMs, revocationsMax).length
    this.#cancelDrop = clock.timer(dropIntervalMs, () => this.#drop())
  }
}
