/**
 * A node's disk as the nemesis sees it: the real stores in memory, with a kill or a failure possible just before or just
 * after any write, space that runs out, and a copy of the log's entries for the checkers. After a kill nothing reaches
 * the disk any more.
 */
import type { LogEntry } from '../../node/core/raft/types.ts'
import { Fault, StoreFailure } from '../../node/faults.ts'
import type { CatalogVersion } from '../../node/ids.ts'
import type { HardState, SessionRow, SnapshotSink, Stores } from '../../node/ports.ts'

/** What code of a killed process runs into: it must not go on. */
export class Killed extends Error {
  override readonly name = 'Killed'
}

export type LogWrite = {
  hardState: HardState | null
  truncateFrom: number | null
  append: readonly LogEntry[]
}
export type StoreName = keyof Stores

/** `kill`: the process is gone. `fail`: the disk answers with an I/O error, after which it can't be trusted. */
export type Blow = { kind: 'kill' | 'fail'; after: boolean }

export type DiskHooks = {
  /** The kill fires: the process is dead from here on. */
  killed: () => void
  /** As `OpenOptions.onFailure` of the real stores: the process ends itself. */
  failed: (failure: StoreFailure) => void
  /** A write found no space. */
  refused: () => void
  logWritten: (write: LogWrite) => void
  logReset: (index: number) => void
  logCut: () => void
  shopWritten: () => void
  snapshotInstalled: (kind: 'full' | 'catalog') => void
  sessionWritten: (row: SessionRow) => void
}

const writes = new Set([
  'persist',
  'compact',
  'resetTo',
  'setClusterId',
  'setPeerStarts',
  'transaction',
  'setFeed',
  'startFromLog',
  'setDiverged',
  'putCart',
  'setDelivery',
  'deleteCart',
  'putSession',
  'deleteSession',
  'putOutbox',
  'deleteOutbox',
  'revoke',
  'dropRevokedBefore',
  'setSoldWatermark',
])

type Method = (...values: unknown[]) => unknown

export class FaultyDisk {
  readonly stores: Stores
  readonly #hooks: DiskHooks
  readonly #versions: Stores['shop']['read']
  #frozen = false
  #depth = 0
  #writesLeft: number | null = null
  #blow: Blow = { kind: 'kill', after: false }
  #full: ReadonlySet<StoreName> = new Set()
  /** A production disk keeps 2,000 versions of the catalog for those that lag (store/versions.ts). */
  readonly #catalogVersionsMax: number
  /** Until asked otherwise, nobody goes on from a version. */
  #oldestVersionNeeded: () => CatalogVersion | null = () => null
  /** There was a time in this life without space. */
  wasFull = false
  written = 0

  constructor(stores: Stores, hooks: DiskHooks, catalogVersionsMax: number) {
    this.#hooks = hooks
    this.#versions = stores.shop.read
    this.#catalogVersionsMax = catalogVersionsMax
    this.stores = {
      log: this.#wrap('log', stores.log),
      shop: this.#wrap('shop', stores.shop),
      local: this.#wrap('local', stores.local),
    }
  }

  /** Strikes at the `count`-th write from now: before it happens, or when it is on disk and nobody was told. */
  strikeAtWrite(count: number, blow: Blow): void {
    this.#writesLeft = count
    this.#blow = blow
  }

  spare(): void {
    this.#writesLeft = null
  }

  /** From now on these files can't grow; none when there is space again. */
  fill(names: readonly StoreName[]): void {
    this.#full = new Set(names)
    this.wasFull ||= names.length > 0
  }

  get isFull(): boolean {
    return this.#full.size > 0
  }

  /** The process is dead: whatever still runs of it changes nothing. */
  freeze(): void {
    this.#frozen = true
  }

  /** Not a Proxy: these are called tens of thousands of times in each world. */
  #wrap<T extends object>(store: StoreName, real: T): T {
    const wrapped: { [name: string]: unknown } = {}
    for (let level: object = real; level !== Object.prototype; level = Object.getPrototypeOf(level) as object)
      for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(level))) {
        if (name === 'constructor' || Object.hasOwn(wrapped, name)) continue
        if (typeof value === 'function')
          wrapped[name] = this.#wrapped(store, name, value.bind(real) as Method)
        else Object.defineProperty(wrapped, name, { get: (): unknown => Reflect.get(real, name, real) })
      }
    return wrapped as T
  }

  #wrapped(store: StoreName, name: string, method: Method): Method {
    if (name === 'receive')
      return (kind) => this.#sink(kind as 'full' | 'catalog', method(kind) as SnapshotSink)
    if (name === 'keepVersionsAfter')
      return (oldest) => {
        this.#oldestVersionNeeded = oldest as () => CatalogVersion | null
        method(oldest)
      }
    if (name === 'versionsAfter')
      return (after, sizeBytesMax) =>
        this.#isKept((after as CatalogVersion) + 1) ? method(after, sizeBytesMax) : null
    return writes.has(name) ? (...values) => this.#write(store, name, method, values) : method
  }

  /** Whether the node still has this version by the rule of store/versions.ts; the checkers have all of them. */
  #isKept(version: number): boolean {
    const newest = this.#versions.catalog().version
    const needed = this.#oldestVersionNeeded() ?? newest
    return version > newest - this.#catalogVersionsMax || version > needed
  }

  /** A snapshot becomes this node's whole state in one write, which may be struck like any other. */
  #sink(kind: 'full' | 'catalog', sink: SnapshotSink): SnapshotSink {
    return {
      write: (bytes) => sink.write(bytes),
      install: (swapped) => this.#install(kind, sink, swapped),
      abandon: () => sink.abandon(),
    }
  }

  #write(store: StoreName, name: string, method: Method, values: unknown[]): unknown {
    if (this.#frozen) throw new Killed('this process was killed')
    const isOutermost = this.#depth === 0
    const strikes = isOutermost && this.#counts()
    if (strikes && !this.#blow.after) this.#strike(store)
    this.#depth += 1
    let result: unknown
    try {
      if (isOutermost && this.#full.has(store)) this.#refuse(name, method, values)
      result = method(...values)
    } finally {
      this.#depth -= 1
    }
    this.#notice(store, name, values)
    if (strikes) this.#strike(store)
    return result
  }

  /** `after` is between the swap and the log that begins anew behind it: start-up finds the two apart. */
  async #install(kind: 'full' | 'catalog', sink: SnapshotSink, swapped?: () => void): Promise<void> {
    if (this.#frozen) throw new Killed('this process was killed')
    const strikes = this.#counts()
    if (strikes && !this.#blow.after) this.#strike('shop')
    if (this.#full.has('shop')) this.#refuse('install', () => undefined, [])
    await sink.install(() => {
      this.#notice('shop', 'install', [kind])
      if (strikes) this.#strike('shop')
      swapped?.()
    })
  }

  /** As SQLITE_FULL: at the end of a transaction, which is rolled back, or at once. */
  #refuse(name: string, method: Method, values: unknown[]): never {
    this.#hooks.refused()
    const full = new Fault('disk-full', 'the disk of this node is full', {}, { retryAfterSeconds: 5 })
    if (name !== 'transaction') throw full
    const work = values[0] as Method
    method((...tables: unknown[]) => {
      work(...tables)
      throw full
    })
    throw full
  }

  #counts(): boolean {
    this.written += 1
    if (this.#writesLeft === null) return false
    this.#writesLeft -= 1
    return this.#writesLeft <= 0
  }

  #strike(store: StoreName): never {
    this.#writesLeft = null
    if (this.#blow.kind === 'kill') {
      this.#hooks.killed()
      throw new Killed('this process was killed at a write')
    }
    const failure = new StoreFailure(`${store}.db`, 'can’t be used (SQLITE_IOERR, simulated)')
    this.#hooks.failed(failure)
    throw failure
  }

  #notice(store: StoreName, name: string, values: unknown[]): void {
    if (name === 'persist') this.#hooks.logWritten(values[0] as LogWrite)
    else if (name === 'resetTo') this.#hooks.logReset(values[0] as number)
    else if (name === 'compact') this.#hooks.logCut()
    else if (name === 'putSession') this.#hooks.sessionWritten(values[0] as SessionRow)
    else if (name === 'install') this.#hooks.snapshotInstalled(values[0] as 'full' | 'catalog')
    if (store === 'shop') this.#hooks.shopWritten()
  }
}
