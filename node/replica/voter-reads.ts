/**
 * Reads of orders and accounts, which only voters hold. A current read is confirmed by a round to a majority
 * (ReadIndex, dissertation section 6.4): never by the clock alone.
 */
import { withoutAbsent } from '../commands.ts'
import { Fault, isFault } from '../faults.ts'
import type { LogIndex, MemberId } from '../ids.ts'
import type { PeerRequestOf, PeerResponseOf, VoterQuery } from '../messages.ts'
import type { ShopStore } from '../ports.ts'
import type { LogClientOptions } from './log-client.ts'
import { noPrimary, withTimeout } from './waiting.ts'

/** One attempt of a read at one voter. */
const queryAttemptTimeoutMs = 700
const queryWaitMs = 3_000

export type PrimaryWatch = {
  /** Ends soon, or when the primary changed. */
  waitForPrimary: () => Promise<void>
  /** The answer; Fault `outcome-unknown` as soon as another primary is known than the one that is asked. */
  whilePrimary: <T>(primary: MemberId, answer: Promise<T>) => Promise<T>
}

type IndexWaiter = { index: LogIndex; resolve: () => void }

export class VoterReads {
  readonly #options: LogClientOptions
  readonly #primary: PrimaryWatch
  readonly #applyWaiters = new Set<IndexWaiter>()

  constructor(options: LogClientOptions, primary: PrimaryWatch) {
    this.#options = options
    this.#primary = primary
  }

  /** Everything through `index` is applied here. */
  indexReached(index: LogIndex): void {
    for (const waiter of this.#applyWaiters) {
      if (waiter.index > index) continue
      this.#applyWaiters.delete(waiter)
      waiter.resolve()
    }
  }

  async query(query: VoterQuery, options: { current?: boolean; timeoutMs?: number } = {}): Promise<unknown> {
    const current = options.current ?? true
    const deadlineMs = this.#options.clock.monotonicMs() + (options.timeoutMs ?? queryWaitMs)
    let lastFault: Fault | null = null
    for (let attempt = 0; ; attempt += 1) {
      const remainingMs = deadlineMs - this.#options.clock.monotonicMs()
      if (remainingMs <= 0) break
      const voter = this.#pickVoter(attempt)
      if (voter !== null) {
        try {
          return await this.#queryAt(voter, query, current, Math.min(remainingMs, queryAttemptTimeoutMs))
        } catch (error) {
          // A query that can't be answered (a cursor of another list) is the same at every voter.
          if (!isFault(error) || error.code === 'invalid-request') throw error
          lastFault = error
        }
      }
      await this.#primary.waitForPrimary()
    }
    throw lastFault?.code === 'overloaded'
      ? lastFault
      : noPrimary('no voter could confirm a current read in time')
  }

  #pickVoter(attempt: number): MemberId | null {
    const { selfId, presence } = this.#options
    const voters = this.#options.voters()
    if (attempt === 0 && voters.includes(selfId)) return selfId
    // Whom any other voter has to ask as well: one of them may be silent, and not be known to be.
    const primary = this.#options.primaryHint()?.id
    if (attempt % 2 === 1 && primary !== undefined && voters.includes(primary)) return primary
    const live = voters.filter((voter) => presence.alive(voter))
    const candidates = live.length > 0 ? live : voters
    if (candidates.length === 0) return null
    const start = Math.floor(this.#options.random.next() * candidates.length)
    return candidates[(start + attempt) % candidates.length] ?? null
  }

  async #queryAt(voter: MemberId, query: VoterQuery, current: boolean, timeoutMs: number): Promise<unknown> {
    if (voter === this.#options.selfId) return this.queryHere(query, current, timeoutMs)
    const request = { kind: 'voter-query', query, current } as const
    const answer = this.#options.transport.request(voter, request, { timeoutMs })
    const isPrimary = this.#options.primaryHint()?.id === voter
    const { value } = await (isPrimary ? this.#primary.whilePrimary(voter, answer) : answer)
    return value
  }

  /** Answers a read from the own rows; `current` first confirms with a majority that nothing newer was decided. */
  async queryHere(query: VoterQuery, current: boolean, timeoutMs: number): Promise<unknown> {
    if (!this.#options.voters().includes(this.#options.selfId)) throw noPrimary('this node is not a voter')
    // What these rows say is wrong, or as old as what they stopped at.
    if (this.#options.consensus().halted !== null) throw noPrimary('this voter has stopped applying the log')
    if (current) {
      const index = await withTimeout(this.#options.clock, this.#confirmedIndex(timeoutMs), timeoutMs, () =>
        noPrimary('no majority of the voters confirmed the read'),
      )
      await this.waitApplied(index, timeoutMs)
    }
    return answerQuery(this.#options.shop, query)
  }

  async #confirmedIndex(timeoutMs: number): Promise<LogIndex> {
    if (this.#options.consensus().raft.role === 'primary') return this.#options.consensus().readIndex()
    const primary = this.#options.primaryHint()
    if (primary === null || primary.id === this.#options.selfId) throw noPrimary('there is no primary now')
    const answer = this.#options.transport.request(primary.id, { kind: 'read-index' }, { timeoutMs })
    const { index } = await this.#primary.whilePrimary(primary.id, answer)
    return index
  }

  async waitApplied(index: LogIndex, timeoutMs: number): Promise<void> {
    if (this.#options.consensus().appliedIndex >= index) return
    const waiter: IndexWaiter = { index, resolve: () => undefined }
    const reached = new Promise<void>((resolve) => {
      waiter.resolve = resolve
      this.#applyWaiters.add(waiter)
    })
    try {
      await withTimeout(
        this.#options.clock,
        reached,
        timeoutMs,
        () =>
          new Fault(
            'behind',
            'this node has not applied the newest log entries yet',
            {},
            { retryAfterSeconds: 1 },
          ),
      )
    } finally {
      this.#applyWaiters.delete(waiter)
    }
  }

  readonly handlers = {
    'read-index': async (): Promise<PeerResponseOf<'read-index'>> => ({
      index: await this.#options.consensus().readIndex(),
    }),
    'voter-query': async (
      _from: MemberId,
      request: PeerRequestOf<'voter-query'>,
    ): Promise<PeerResponseOf<'voter-query'>> => ({
      value: await this.queryHere(request.query, request.current, queryAttemptTimeoutMs),
    }),
  }
}

function answerQuery(shop: ShopStore, query: VoterQuery): unknown {
  switch (query.kind) {
    case 'order':
      return shop.read.order(query.order)
    case 'orders': {
      const { kind: _kind, ...asked } = query
      return shop.orders(withoutAbsent(asked))
    }
    case 'account-by-email':
      return shop.read.accountByEmail(query.email)
    case 'account':
      return shop.read.account(query.user)
    case 'catalog-history': {
      const { kind: _kind, handle, limit, cursor } = query
      return shop.catalogHistory({
        limit,
        ...(handle === undefined ? {} : { handle }),
        ...(cursor === undefined ? {} : { cursor }),
      })
    }
  }
}
