/** The properties of Raft's Figure 3, and what follows from them, checked after every step of every member. */
import { majorityOf } from '../../node/core/quorum.ts'
import type { LogEntry, RaftEffects, RaftMessage } from '../../node/core/raft/types.ts'
import type { LogIndex, MemberId, Term } from '../../node/ids.ts'
import type { ClusterNode } from './raft-cluster.ts'

export class RaftViolation extends Error {
  override readonly name = 'RaftViolation'
}

function demand(condition: boolean, what: string): void {
  if (!condition) throw new RaftViolation(what)
}

type Nodes = ReadonlyMap<MemberId, ClusterNode>

export class RaftChecks {
  /** How often each thing happened, so that a run that exercises nothing can't pass unnoticed. */
  readonly counts = new Map<string, number>()
  readonly #primaries = new Map<Term, MemberId>()
  readonly #votes = new Map<string, MemberId>()
  /** The term before an entry is unknown when a snapshot covers it. */
  readonly #entries = new Map<string, { entry: LogEntry; previousTerm: Term | undefined }>()
  /** `inTerm` is the term of whoever was first seen to commit it. */
  readonly #committed = new Map<LogIndex, { entry: LogEntry; inTerm: Term }>()
  readonly #checkedThrough = new Map<MemberId, LogIndex>()
  readonly #commitIndexOf = new Map<MemberId, LogIndex>()
  readonly #readFloors = new Map<number, LogIndex>()
  #committedMax: LogIndex = 0

  get committedMax(): LogIndex {
    return this.#committedMax
  }

  count(what: string, times = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times)
  }

  started(node: ClusterNode): void {
    this.#commitIndexOf.delete(node.id)
    this.#checkedThrough.delete(node.id)
  }

  /** A read begins: it must see at least what is committed anywhere now. */
  readBegins(ref: number): void {
    this.#readFloors.set(ref, this.#committedMax)
  }

  stepped(node: ClusterNode, effects: RaftEffects): void {
    const { raft, id } = node
    if (raft === null) return
    this.#checkPrimary(node, effects)
    demand(effects.commitIndex >= (this.#commitIndexOf.get(id) ?? 0), `the commit index of ${id} moved back`)
    this.#commitIndexOf.set(id, effects.commitIndex)
    if (effects.truncateFrom !== null) this.count('conflicts truncated')
    for (const entry of effects.append) {
      // Log Matching: one (index, term) means one entry, and one predecessor, everywhere and for ever.
      const previousTerm = raft.entries(entry.index - 1, entry.index - 1, 1)[0]?.term
      const key = `${entry.index}@${entry.term}`
      const known = this.#entries.get(key) ?? { entry, previousTerm }
      demand(isSame(known.entry, entry), `Log Matching: ${key} is not the same at ${id} as elsewhere`)
      const isUnknown = previousTerm === undefined || known.previousTerm === undefined
      const isSameBefore = isUnknown || known.previousTerm === previousTerm
      demand(
        isSameBefore,
        `Log Matching: before ${key} comes term ${known.previousTerm} and, at ${id}, ${previousTerm}`,
      )
      this.#entries.set(key, { entry, previousTerm: previousTerm ?? known.previousTerm })
    }
    for (const read of effects.reads) {
      const floor = this.#readFloors.get(read.ref) ?? 0
      demand(
        read.index >= floor,
        `ReadIndex: ${id} serves a read at ${read.index}, ${floor} was committed before it`,
      )
      this.count('reads confirmed')
    }
  }

  #checkPrimary(node: ClusterNode, effects: RaftEffects): void {
    const { raft, id } = node
    if (raft?.role !== 'primary') return
    const known = this.#primaries.get(raft.term)
    demand(
      known === undefined || known === id,
      `Election Safety: ${known} and ${id} are primary of term ${raft.term}`,
    )
    if (known === undefined) {
      this.#primaries.set(raft.term, id)
      this.count('elections')
      this.#checkCompleteness(node)
    } else {
      demand(effects.truncateFrom === null, `Leader Append-Only: primary ${id} deletes entries`)
    }
  }

  /** Leader Completeness: a new primary has every entry that was committed before. */
  #checkCompleteness({ raft, id, disk }: ClusterNode): void {
    for (const [index, { entry, inTerm }] of this.#committed) {
      if (index <= disk.log.snapshotIndex() || inTerm >= (raft?.term ?? 0)) continue
      const own = raft?.entries(index, index, 1)[0]?.term
      const what = `${index}@${entry.term}`
      demand(own === entry.term, `Leader Completeness: primary ${id} of term ${raft?.term} lacks ${what}`)
    }
  }

  sent(node: ClusterNode, to: MemberId, message: RaftMessage): void {
    let vote: MemberId
    if (message.kind === 'vote') vote = node.id
    else if (message.kind === 'vote-reply' && message.granted) vote = to
    else return
    const key = `${node.id} in term ${message.term}`
    const known = this.#votes.get(key)
    demand(known === undefined || known === vote, `one vote per term: ${key} voted for ${known} and ${vote}`)
    this.#votes.set(key, vote)
  }

  /** The member's disk holds what the step asked for; entries through commitIndex are applied. */
  applied(node: ClusterNode, effects: RaftEffects, nodes: Nodes): void {
    const { disk, id, raft } = node
    const from = Math.max(disk.log.snapshotIndex(), this.#checkedThrough.get(id) ?? 0) + 1
    this.#checkedThrough.set(id, effects.commitIndex)
    for (const entry of disk.log.entries(from, effects.commitIndex, Infinity)) {
      const known = this.#committed.get(entry.index)
      if (known === undefined) this.#committed.set(entry.index, { entry, inTerm: raft?.term ?? 0 })
      const was = known?.entry ?? entry
      demand(
        isSame(was, entry),
        `State Machine Safety: ${id} applies ${entry.index}@${entry.term}, elsewhere it was @${was.term}`,
      )
    }
    if (effects.commitIndex <= this.#committedMax) return
    this.#committedMax = effects.commitIndex
    this.#checkDurable(node, effects.commitIndex, nodes)
  }

  /** Committed means: on the disks of a majority of the voters. */
  #checkDurable(node: ClusterNode, index: LogIndex, nodes: Nodes): void {
    const { raft, id } = node
    const term = this.#committed.get(index)?.entry.term
    if (raft?.role !== 'primary' || term === undefined) return
    const holders = raft.config.voters.filter((voter) => {
      const log = nodes.get(voter)?.disk.log
      return log !== undefined && (index < log.snapshotIndex() || log.termAt(index) === term)
    })
    const needed = majorityOf(raft.config.voters.length)
    demand(
      holders.length >= needed,
      `${id} committed ${index}@${term}, which is only on ${holders.join(', ')}`,
    )
  }

  /** At most one member holds the lease at any moment (as long as clocks are good and nobody was declared gone). */
  leases(nodes: Nodes, nowMs: number): void {
    const holders = [...nodes.values()].filter(({ raft }) => raft !== null && raft.leaseUntilMs > nowMs)
    const names = holders.map(({ id }) => id).join(' and ')
    demand(holders.length <= 1, `${names} hold the lease at once`)
  }
}

function isSame(one: LogEntry, other: LogEntry): boolean {
  return one.term === other.term && one.kind === other.kind && one.data === other.data
}
