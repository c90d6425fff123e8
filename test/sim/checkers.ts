/**
 * Promises that are watched all the time from inside: P1 (one primary a term, one lease, log matching, leader
 * completeness, committed entries), P7 (versions and digests). Counts what consensus did on the way.
 */
import type { LogEntry, RaftConfig } from '../../node/core/raft/types.ts'
import type { Cluster, Observer } from './cluster.ts'
import type { Tally } from './client.ts'
import type { HardState } from '../../node/ports.ts'
import type { LogWrite } from './disk.ts'
import type { Host, Life } from './host.ts'

type Seen = {
  /** Term and vote as last written. */
  hardState: HardState | null
  /** By index, as on this machine's disk; what a snapshot covers is missing. */
  readonly log: Map<number, LogEntry>
  /** Through which a snapshot took the place of entries. */
  resetIndex: number
  /** Commit index through which its log was compared. */
  comparedIndex: number
  version: number
}

type Committed = {
  readonly entry: LogEntry
  /** Highest term in which it can have been committed: that of the first node seen to know it. */
  readonly term: number
}

const nothingSeen = (): Seen => ({
  hardState: null,
  log: new Map(),
  resetIndex: 0,
  comparedIndex: 0,
  version: 0,
})

function isSame(one: LogEntry, other: LogEntry): boolean {
  return one.term === other.term && one.kind === other.kind && one.data === other.data
}

function say({ term, kind, data }: LogEntry): string {
  return `${kind} of term ${term} ${data.slice(0, 160)}`
}

export class Watch implements Observer {
  readonly #cluster: Cluster
  readonly #seen = new Map<Host, Seen>()
  readonly #primaries = new Map<number, string>()
  readonly #committed = new Map<number, Committed>()
  /** `index term` → the entry and the term before it, wherever it was first written. */
  readonly #written = new Map<string, { entry: LogEntry; previousTerm: number | null; where: string }>()
  readonly #digests = new Map<number, string>()
  #config: { index: number; config: RaftConfig } | null = null
  /** How many voted before the newest of them came. */
  #votersBefore = 0
  /** What consensus did. */
  readonly tally: Tally = {}
  highestCommitted = 0

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  get terms(): number {
    return this.#primaries.size
  }

  get committedEntries(): number {
    return this.#committed.size
  }

  /** After every event: terms, leases, commits. */
  look(): void {
    let holder: Host | null = null
    for (const host of this.#cluster.hosts) {
      if (host.life === null) continue
      const { consensus } = host.life.replica.parts
      const { raft } = consensus
      if (raft.role === 'primary') {
        this.#lookAtPrimary(host, raft.term)
        // DESIGN.md section 3: the lease is dropped before the successor is told.
        if (raft.isTransferring && consensus.isPrimary())
          this.#cluster.violation(`P1: ${host.name} keeps its lease while it hands it over`)
        if (consensus.isPrimary()) {
          if (holder !== null)
            this.#cluster.violation(`P1: ${holder.name} and ${host.name} hold the lease at one moment`)
          holder = host
        }
      }
      if (raft.commitIndex > this.#of(host).comparedIndex) this.#lookAtCommits(host, raft)
    }
  }

  started(host: Host, life: Life): void {
    this.#lookAtDisk(host, life)
    // Commit indexes begin anew with each life, what is committed stays.
    this.#of(host).comparedIndex = 0
  }

  /** The disk is gone; the node that has another one is another member. */
  wiped(host: Host): void {
    this.#seen.delete(host)
  }

  logWritten(host: Host, { hardState, truncateFrom, append }: LogWrite): void {
    const seen = this.#of(host)
    const { log } = seen
    seen.hardState = hardState ?? seen.hardState
    if (truncateFrom !== null) this.#truncated(host, log, truncateFrom)
    for (const entry of append) {
      this.#checkMatching(host, log.get(entry.index - 1)?.term ?? null, entry)
      log.set(entry.index, entry)
    }
  }

  /** A snapshot took the place of the log; what the log held may have been anything. */
  logReset(host: Host, index: number): void {
    const seen = this.#of(host)
    seen.log.clear()
    seen.resetIndex = index
    // An installed snapshot may bring a later term to disk.
    seen.hardState = null
  }

  logCut(): void {
    this.#count('logs cut')
  }

  snapshotInstalled(_host: Host, kind: 'full' | 'catalog'): void {
    this.#count(`${kind} snapshots installed`)
  }

  /** P7: versions only rise, and each has one content everywhere. */
  shopWritten(host: Host): void {
    const { life } = host
    if (life === null) return
    const seen = this.#of(host)
    const { version, digest } = life.stores.shop.read.catalog()
    if (version < seen.version)
      this.#cluster.violation(
        `P7: the catalog of ${host.name} went from version ${seen.version} to ${version}`,
      )
    seen.version = version
    const known = this.#digests.get(version)
    if (known === undefined) this.#digests.set(version, digest)
    else if (known !== digest)
      this.#cluster.violation(`P7: version ${version} at ${host.name} has another digest than elsewhere`)
  }

  #count(what: string): void {
    this.tally[what] = (this.tally[what] ?? 0) + 1
  }

  #of(host: Host): Seen {
    const known = this.#seen.get(host) ?? nothingSeen()
    this.#seen.set(host, known)
    return known
  }

  /** What a write returned from is what the next life finds: votes and acknowledgements rest on it. */
  #lookAtDisk(host: Host, { stores }: Life): void {
    const { hardState, log } = this.#of(host)
    const found = stores.log.hardState()
    if (hardState !== null && (found.term !== hardState.term || found.vote !== hardState.vote))
      this.#cluster.violation(`P1: the disk of ${host.name} forgot its vote in term ${hardState.term}`)
    for (const [index, entry] of log)
      if (index > stores.log.snapshotIndex() && entry.term !== stores.log.termAt(index))
        this.#cluster.violation(`P1: the disk of ${host.name} forgot entry ${index}`)
  }

  #truncated(host: Host, log: Map<number, LogEntry>, truncateFrom: number): void {
    let dropped = 0
    for (const [index, entry] of log) {
      if (index < truncateFrom) continue
      const known = this.#committed.get(index)
      if (known !== undefined && isSame(known.entry, entry))
        this.#cluster.violation(`P1: ${host.name} drops its entry ${index}, which is committed`)
      log.delete(index)
      dropped += 1
    }
    if (dropped > 0) this.#count('conflicts truncated')
  }

  /**
   * Log Matching (Raft, section 5.3): equal index and term, equal entry; and because each entry also determines the term
   * before it, equal logs all the way down.
   */
  #checkMatching(host: Host, previousTerm: number | null, entry: LogEntry): void {
    const place = `${entry.index} ${entry.term}`
    const known = this.#written.get(place)
    if (known === undefined) {
      this.#written.set(place, { entry, previousTerm, where: host.name })
      return
    }
    if (!isSame(known.entry, entry))
      this.#cluster.violation(
        `P1: entry ${place} is ${say(entry)} at ${host.name} and ${say(known.entry)} at ${known.where}`,
      )
    if (known.previousTerm === null) known.previousTerm = previousTerm
    else if (previousTerm !== null && previousTerm !== known.previousTerm)
      this.#cluster.violation(
        `P1: entry ${place} follows term ${previousTerm} at ${host.name} and ${known.previousTerm} at ${known.where}`,
      )
  }

  #lookAtPrimary(host: Host, term: number): void {
    const known = this.#primaries.get(term)
    if (known === host.name) return
    if (known !== undefined) {
      this.#cluster.violation(`P1: ${known} and ${host.name} are primary of term ${term}`)
      return
    }
    this.#primaries.set(term, host.name)
    this.#cluster.note(`${host.name} is primary of term ${term}`)
    this.#checkCompleteness(host, term)
  }

  /** Leader Completeness (Raft, section 5.4): a primary has everything that was committed in earlier terms. */
  #checkCompleteness(host: Host, term: number): void {
    const { log, resetIndex } = this.#of(host)
    for (const [index, committed] of this.#committed) {
      if (index <= resetIndex || committed.term >= term) continue
      const own = log.get(index)
      if (own === undefined || !isSame(own, committed.entry))
        this.#cluster.violation(
          `P1: ${host.name}, primary of term ${term}, lacks the committed entry ${index}`,
        )
    }
  }

  #lookAtCommits(host: Host, raft: { commitIndex: number; term: number }): void {
    const seen = this.#of(host)
    for (let index = seen.comparedIndex + 1; index <= raft.commitIndex; index += 1) {
      const entry = seen.log.get(index)
      if (entry === undefined) continue
      const known = this.#committed.get(index)
      if (known === undefined) this.#committedFirst(entry, raft.term)
      else if (!isSame(known.entry, entry))
        this.#cluster.violation(
          `P1: entry ${index} is committed as ${say(known.entry)} and, at ${host.name}, as ${say(entry)}`,
        )
    }
    seen.comparedIndex = raft.commitIndex
  }

  #committedFirst(entry: LogEntry, term: number): void {
    this.#committed.set(entry.index, { entry, term })
    this.highestCommitted = Math.max(this.highestCommitted, entry.index)
    if (entry.kind !== 'config' || entry.index <= (this.#config?.index ?? 0)) return
    const config = JSON.parse(entry.data) as RaftConfig
    this.#cluster.note(`entry ${entry.index} is committed: ${entry.data}`)
    this.#countChange(this.#config?.config ?? null, config)
    this.#config = { index: entry.index, config }
  }

  #countChange(before: RaftConfig | null, now: RaftConfig): void {
    this.#count('membership changes')
    const voters = before?.voters ?? []
    if (now.voters.length > voters.length) {
      this.#count('voters added')
      this.#votersBefore = voters.length
    }
    if (now.voters.length >= voters.length) return
    this.#count('voters removed')
    // Somebody came, so that somebody else could go: the number is what it was before both.
    if (this.#votersBefore === now.voters.length) this.#count('voters replaced')
  }
}
