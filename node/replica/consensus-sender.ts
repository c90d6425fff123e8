/**
 * How the messages of a step leave this node: at once, except the news that entries are committed. Under load the next
 * append, one turn later, says the same, so that news waits for that turn and is dropped when it has an append: half
 * of all consensus messages were such heartbeats and their replies (dissertation, section 10.2, on batching).
 */
import type { RaftEffects, RaftMessage } from '../core/raft/types.ts'
import type { LogIndex, MemberId } from '../ids.ts'
import type { Transport } from '../ports.ts'

type Outgoing = RaftEffects['messages'][number]

/** The append tells all that the heartbeat would: commit index, and a round that is no older. */
function saysAsMuch({ to, message }: Outgoing, news: Outgoing): boolean {
  return (
    to === news.to &&
    message.kind === 'append' &&
    news.message.kind === 'heartbeat' &&
    message.term === news.message.term &&
    message.round >= news.message.round &&
    message.commitIndex >= news.message.commitIndex
  )
}

/** Appends, and everything else. */
export function appendsFirst(messages: RaftEffects['messages']): [Outgoing[], Outgoing[]] {
  const isAppend = ({ message }: Outgoing): boolean => message.kind === 'append'
  return [messages.filter(isAppend), messages.filter((outgoing) => !isAppend(outgoing))]
}

function lastIndexOf({ previousIndex, entries }: Extract<RaftMessage, { kind: 'append' }>): LogIndex {
  return previousIndex + entries.length
}

export class ConsensusSender {
  readonly #transport: Transport
  #news: Outgoing[] = []

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Something waits for the next turn, which must come soon. */
  get isWaiting(): boolean {
    return this.#news.length > 0
  }

  /** Sends what waited since the last turn, as far as the messages of this one don't say as much. */
  sendNews(messages: RaftEffects['messages']): void {
    const waiting = this.#news
    this.#news = []
    for (const news of waiting) {
      if (!messages.some((outgoing) => saysAsMuch(outgoing, news)))
        this.#transport.send(news.to, news.message)
    }
  }

  /**
   * Before the own disk has what a primary appends, the others get it, so that the disks write at the same time: it
   * counts itself only once its own has it (dissertation, section 10.2.1). Returns the last index that left, 0 if none.
   */
  sendAppends(appends: RaftEffects['messages']): LogIndex {
    this.send(appends, false)
    const through = appends.map(({ message }) => (message.kind === 'append' ? lastIndexOf(message) : 0))
    return Math.max(0, ...through)
  }

  /** Everything that a step wants sent is on disk. `isNews`: it committed entries, and its heartbeats tell that. */
  send(messages: RaftEffects['messages'], isNews: boolean): void {
    const receivers = new Set<MemberId>()
    for (const outgoing of messages) {
      if (isNews && outgoing.message.kind === 'heartbeat') this.#news.push(outgoing)
      else {
        this.#transport.send(outgoing.to, outgoing.message)
        receivers.add(outgoing.to)
      }
    }
    for (const receiver of receivers) this.#transport.flush(receiver)
  }
}
