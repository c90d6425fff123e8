/** Promises that are watched all the time from inside: P1 (terms, committed entries), P7 (versions and digests). */
import type { HardState } from '../../node/ports.ts'
import type { Observer, Cluster } from './cluster.ts'
import type { LogWrite } from './disk.ts'
import type { Host, Life } from './host.ts'

/** Versions are looked at so often in virtual time; terms and commits after every event. */
const versionsIntervalMs = 50

type Seen = {
  /** Term and vote as last written. */
  hardState: HardState | null
  /** `term data` by index, as on this machine's disk. */
  readonly log: Map<number, string>
  /** Commit index through which its log was compared. */
  comparedIndex: number
  version: number
}

export class Watch implements Observer {
  readonly #cluster: Cluster
  readonly #seen = new Map<Host, Seen>()
  readonly #primaries = new Map<number, string>()
  readonly #committed = new Map<number, string>()
  readonly #digests = new Map<number, string>()
  #versionsDueMs = 0

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  get terms(): number {
    return this.#primaries.size
  }

  get committedEntries(): number {
    return this.#committed.size
  }

  look(): void {
    for (const host of this.#cluster.hosts) {
      if (host.life === null) continue
      const { raft } = host.life.replica.parts.consensus
      if (raft.role === 'primary') this.#lookAtPrimary(host, raft.term)
      // DESIGN.md section 3: the lease is dropped before the successor is told.
      if (raft.isTransferring && host.life.replica.parts.consensus.isPrimary())
        this.#cluster.violation(`P1: ${host.name} keeps its lease while it hands it over`)
      if (raft.commitIndex > this.#of(host).comparedIndex) this.#lookAtCommits(host, raft.commitIndex)
    }
    if (this.#cluster.nowMs < this.#versionsDueMs) return
    this.#versionsDueMs = this.#cluster.nowMs + versionsIntervalMs
    for (const { host, life } of this.#cluster.lives()) this.#lookAtVersion(host, life)
  }

  started(host: Host, life: Life): void {
    this.#lookAtDisk(host, life)
    // Commit indexes begin anew with each life, what is committed stays.
    this.#of(host).comparedIndex = 0
  }

  logWritten(host: Host, { hardState, truncateFrom, append }: LogWrite): void {
    const seen = this.#of(host)
    const { log } = seen
    seen.hardState = hardState ?? seen.hardState
    if (truncateFrom !== null)
      for (const [index, entry] of log) {
        if (index < truncateFrom) continue
        if (this.#committed.get(index) === entry)
          this.#cluster.violation(`P1: ${host.name} drops its entry ${index}, which is committed`)
        log.delete(index)
      }
    for (const { index, term, data } of append) log.set(index, `${term} ${data}`)
  }

  /** A snapshot took the place of the log; what the log held may have been anything. */
  logReset(host: Host): void {
    this.#of(host).log.clear()
  }

  #of(host: Host): Seen {
    const known = this.#seen.get(host) ?? { hardState: null, log: new Map(), comparedIndex: 0, version: 0 }
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
      if (index > stores.log.snapshotIndex() && !entry.startsWith(`${stores.log.termAt(index)} `))
        this.#cluster.violation(`P1: the disk of ${host.name} forgot entry ${index}`)
  }

  #lookAtPrimary(host: Host, term: number): void {
    const known = this.#primaries.get(term)
    if (known === undefined) {
      this.#primaries.set(term, host.name)
      this.#cluster.note(`${host.name} is primary of term ${term}`)
    } else if (known !== host.name)
      this.#cluster.violation(`P1: ${known} and ${host.name} are primary of term ${term}`)
  }

  #lookAtCommits(host: Host, commitIndex: number): void {
    const seen = this.#of(host)
    for (let index = seen.comparedIndex + 1; index <= commitIndex; index += 1) {
      const entry = seen.log.get(index)
      if (entry === undefined) continue
      const known = this.#committed.get(index)
      if (known === undefined) this.#committed.set(index, entry)
      else if (known !== entry)
        this.#cluster.violation(
          `P1: entry ${index} is committed as ${known.slice(0, 200)} and, at ${host.name}, as ${entry.slice(0, 200)}`,
        )
    }
    seen.comparedIndex = commitIndex
  }

  #lookAtVersion(host: Host, life: Life): void {
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
}
