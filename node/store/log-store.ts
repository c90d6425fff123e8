import { InvariantError, assert } from '../faults.ts'
import type { ClusterId, LogIndex, MemberId, Term } from '../ids.ts'
import type { HardState, Identity, LogEntry, LogStore, RaftConfig } from '../ports.ts'
import type { Connection } from './connection.ts'
import { LogTail, entrySizeBytes } from './log-tail.ts'

type NodeRow = {
  member_id: string
  private_key: Uint8Array
  cluster_id: string | null
  starts: number
  term: number
  vote: string | null
  snapshot_index: number
  snapshot_term: number
  snapshot_config: string
}
type PeerStarts = { starts: number; lastTerm: Term; lastIndex: LogIndex }
type Write = Parameters<LogStore['persist']>[0]

/** The size is asked for after each batch that is applied, and asking SQLite costs as much as a few entries. */
const measureAfterBytes = 256 * 1024
const noConfig: RaftConfig = { voters: [], learners: [] }
const selectEntry = 'SELECT "index", term, kind, data FROM entries WHERE "index" = ?'

/** Writes the identity of a new `log.db`. */
export function createNode(connection: Connection, memberId: MemberId, privateKey: Uint8Array): void {
  connection.run(
    `INSERT INTO node (id, member_id, private_key, starts, term, snapshot_index, snapshot_term, snapshot_config)
     VALUES (1, ?, ?, 0, 0, 0, 0, ?)`,
    memberId,
    Buffer.from(privateKey),
    JSON.stringify(noConfig),
  )
}

/** `LogStore` over SQLite. What is read often (last index, term, snapshot) is kept in memory and follows each commit. */
export class SqliteLogStore implements LogStore {
  readonly #connection: Connection
  readonly #tail = new LogTail()
  #identity: Identity
  #hardState: HardState
  #snapshot: { index: LogIndex; term: Term; config: RaftConfig }
  #lastIndex: LogIndex
  /** Size of the database when it was last asked for, null after something was deleted, and what was written since. */
  #measuredBytes: number | null = null
  #addedBytes = 0

  /** Counts this start, on disk. */
  constructor(connection: Connection) {
    this.#connection = connection
    connection.run('UPDATE node SET starts = starts + 1')
    const row = connection.one<NodeRow>('SELECT * FROM node')
    assert(row !== undefined, 'log.db has its identity from the moment it exists')
    this.#identity = {
      memberId: row.member_id as MemberId,
      privateKey: new Uint8Array(row.private_key),
      clusterId: row.cluster_id as ClusterId | null,
      starts: row.starts,
    }
    this.#hardState = { term: row.term, vote: row.vote as MemberId | null }
    const config = JSON.parse(row.snapshot_config) as RaftConfig
    this.#snapshot = { index: row.snapshot_index, term: row.snapshot_term, config }
    const last = connection.one<{ last: number | null }>('SELECT max("index") AS last FROM entries')
    this.#lastIndex = last?.last ?? this.#snapshot.index
  }

  identity(): Identity {
    return this.#identity
  }

  setClusterId(clusterId: ClusterId): void {
    const own = this.#identity.clusterId
    assert(own === null || own === clusterId, 'a node belongs to one cluster for life')
    if (own !== null) return
    this.#connection.run('UPDATE node SET cluster_id = ?', clusterId)
    this.#identity = { ...this.#identity, clusterId }
  }

  hardState(): HardState {
    return this.#hardState
  }

  snapshotIndex(): LogIndex {
    return this.#snapshot.index
  }

  snapshotTerm(): Term {
    return this.#snapshot.term
  }

  snapshotConfig(): RaftConfig {
    return this.#snapshot.config
  }

  lastIndex(): LogIndex {
    return this.#lastIndex
  }

  termAt(index: LogIndex): Term | undefined {
    if (index === this.#snapshot.index) return this.#snapshot.term
    if (index < this.#snapshot.index || index > this.#lastIndex) return undefined
    return this.#tail.get(index)?.term ?? this.#connection.one<LogEntry>(selectEntry, index)?.term
  }

  entries(from: LogIndex, through: LogIndex, sizeBytesMax: number): readonly LogEntry[] {
    const entries: LogEntry[] = []
    let sizeBytes = 0
    for (
      let index = Math.max(from, this.#snapshot.index + 1);
      index <= Math.min(through, this.#lastIndex);
      index += 1
    ) {
      const entry = this.#tail.get(index) ?? this.#connection.one<LogEntry>(selectEntry, index)
      if (entry === undefined)
        throw new InvariantError(`the log has no entry ${index} between its first and last`)
      sizeBytes += entry.data.length
      if (entries.length > 0 && sizeBytes > sizeBytesMax) break
      entries.push(entry)
    }
    return entries
  }

  persist(write: Write): void {
    const { hardState, truncateFrom, append } = write
    const lastKept = truncateFrom === null ? this.#lastIndex : Math.min(this.#lastIndex, truncateFrom - 1)
    assert(lastKept >= this.#snapshot.index, 'what a snapshot covers is committed and never truncated')
    append.forEach((entry, position) =>
      assert(entry.index === lastKept + 1 + position, 'the log has no gaps and no entry twice'),
    )
    if (hardState !== null) assert(hardState.term >= this.#hardState.term, 'the term must not go back')
    this.#connection.transaction(() => this.#write(write))
    if (hardState !== null) this.#hardState = hardState
    if (truncateFrom !== null) {
      this.#tail.truncateFrom(truncateFrom)
      this.#measuredBytes = null
    }
    this.#tail.append(append)
    for (const entry of append) this.#addedBytes += entrySizeBytes(entry)
    this.#lastIndex = lastKept + append.length
  }

  #write({ hardState, truncateFrom, append }: Write): void {
    if (hardState !== null)
      this.#connection.run('UPDATE node SET term = ?, vote = ?', hardState.term, hardState.vote)
    if (truncateFrom !== null) this.#connection.run('DELETE FROM entries WHERE "index" >= ?', truncateFrom)
    for (const { index, term, kind, data } of append)
      this.#connection.run('INSERT INTO entries VALUES (?, ?, ?, ?)', index, term, kind, data)
  }

  compact(index: LogIndex, term: Term, config: RaftConfig): void {
    if (index <= this.#snapshot.index) return
    assert(index <= this.#lastIndex, 'only entries that exist are dropped')
    assert(this.termAt(index) === term, 'the state that covers the dropped entries was applied from them')
    this.#startAfter(index, term, config, index + 1)
    this.#tail.dropThrough(index)
  }

  resetTo(index: LogIndex, term: Term, config: RaftConfig): void {
    assert(index >= this.#snapshot.index, 'an installed snapshot is never older than the one before')
    this.#connection.transaction(() => {
      this.#startAfter(index, term, config, Number.MAX_SAFE_INTEGER)
      // The sender may be of a term of which no message came before it. A node that starts must not find an entry of a
      // term that it never heard of; and in a new term it has not voted (Raft, section 5.1).
      if (term > this.#hardState.term) this.#connection.run('UPDATE node SET term = ?, vote = NULL', term)
    })
    if (term > this.#hardState.term) this.#hardState = { term, vote: null }
    this.#tail.clear()
    this.#lastIndex = index
  }

  #startAfter(index: LogIndex, term: Term, config: RaftConfig, keepFrom: LogIndex): void {
    this.#connection.transaction(() => {
      this.#connection.run('DELETE FROM entries WHERE "index" < ?', keepFrom)
      this.#connection.run(
        'UPDATE node SET snapshot_index = ?, snapshot_term = ?, snapshot_config = ?',
        index,
        term,
        JSON.stringify(config),
      )
    })
    this.#snapshot = { index, term, config }
    this.#measuredBytes = null
  }

  peerStarts(peer: MemberId): PeerStarts | null {
    const sql =
      'SELECT starts, last_term AS lastTerm, last_index AS lastIndex FROM peer_starts WHERE peer = ?'
    return this.#connection.one<PeerStarts>(sql, peer) ?? null
  }

  setPeerStarts(peer: MemberId, seen: PeerStarts): void {
    const sql = 'INSERT OR REPLACE INTO peer_starts (peer, starts, last_term, last_index) VALUES (?, ?, ?, ?)'
    this.#connection.run(sql, peer, seen.starts, seen.lastTerm, seen.lastIndex)
  }

  sizeBytes(): number {
    if (this.#measuredBytes === null || this.#addedBytes >= measureAfterBytes) {
      this.#measuredBytes = this.#connection.sizeBytes()
      this.#addedBytes = 0
    }
    return this.#measuredBytes + this.#addedBytes
  }

  close(): void {
    this.#connection.close()
  }
}
