import { assert } from '../faults.ts'
import type { CatalogVersion, ClusterId, Handle, LogIndex } from '../ids.ts'
import type {
  AppliedState,
  CatalogHistoryPage,
  CatalogHistoryQuery,
  CatalogVersionRecord,
  ErasedNotice,
  OrderPageQuery,
  ProductFacets,
  ProductPage,
  ProductQuery,
  ShopStore,
  SnapshotSink,
  SnapshotSource,
  SoldNotice,
  Tables,
} from '../ports.ts'
import type { Connection } from './connection.ts'
import { Meta } from './meta.ts'
import { ProductFacetCounts } from './product-facets.ts'
import { ProductLists } from './product-lists.ts'
import { ShopTables } from './shop-tables.ts'
import { nothingApplied, stateOf } from './snapshot-copy.ts'
import type { ShopState, SnapshotKind } from './snapshot-copy.ts'
import type { SinkOptions } from './snapshot-sink.ts'
import { FileSink, MemorySink } from './snapshot-sink.ts'
import { SnapshotThreads } from './snapshot-thread.ts'
import { fileSnapshot, memorySnapshot } from './snapshot.ts'

/** Names for temporary files beside `shop.db`; whatever carries them at a start is left over and removed. */
export const snapshotFilePrefix = 'shop.db.snapshot-'
export const incomingFilePrefix = 'shop.db.incoming-'

/** `ShopStore` over SQLite. */
export class SqliteShopStore implements ShopStore {
  readonly #connection: Connection
  readonly #directory: string | null
  readonly #meta: Meta
  readonly #tables: ShopTables
  readonly #lists: ProductLists
  readonly #facets: ProductFacetCounts
  readonly #threads = new SnapshotThreads()
  #temporaryFiles = 0

  /** `directory`: where `shop.db` is, null for one in memory. */
  constructor(connection: Connection, directory: string | null) {
    this.#connection = connection
    this.#directory = directory
    this.#meta = new Meta(connection)
    this.#tables = new ShopTables(connection, this.#meta)
    this.#lists = new ProductLists(connection, this.#tables.products)
    this.#facets = new ProductFacetCounts(connection, this.#tables.products)
  }

  get read(): Tables {
    return this.#tables
  }

  transaction<T>(work: (tables: Tables) => T): T {
    return this.#connection.transaction(() => work(this.#tables))
  }

  clusterId(): ClusterId | null {
    return this.#meta.get<ClusterId | null>('cluster_id', null)
  }

  setClusterId(clusterId: ClusterId): void {
    const own = this.clusterId()
    assert(own === null || own === clusterId, 'a node belongs to one cluster for life')
    if (own === null) this.#meta.set('cluster_id', clusterId)
  }

  applied(): AppliedState {
    return this.#meta.get('applied', nothingApplied)
  }

  setApplied(applied: AppliedState): void {
    this.#meta.set('applied', { index: applied.index, term: applied.term, config: applied.config })
  }

  feed(): 'log' | 'broadcast' {
    return this.#meta.get<'log' | 'broadcast'>('feed', 'broadcast')
  }

  setFeed(feed: 'log' | 'broadcast'): void {
    this.#meta.set('feed', feed)
  }

  startFromLog(): void {
    assert(this.#tables.catalog().version === 0, 'a catalog version is not applied twice')
    this.#connection.transaction(() => {
      for (const table of ['members', 'removed_members']) this.#connection.run(`DELETE FROM ${table}`)
      for (const key of ['members_version', 'currency', 'applied']) this.#meta.delete(key)
      this.#meta.set('feed', 'log')
    })
  }

  diverged(): string | null {
    return this.#meta.get<string | null>('diverged', null)
  }

  setDiverged(reason: string): void {
    this.#meta.set('diverged', reason)
  }

  productJson(handle: Handle): string | null {
    return this.#tables.products.text(handle)
  }

  catalogGeneration(): number {
    return this.#tables.products.generation
  }

  products(query: ProductQuery): ProductPage {
    return this.#lists.page(query)
  }

  facets(query: ProductQuery): ProductFacets {
    return this.#facets.of(query)
  }

  categories(): { name: string; count: number }[] {
    return this.#tables.products.categories()
  }

  allProducts(): Iterable<string> {
    return this.#tables.products.texts()
  }

  versionsAfter(afterVersion: CatalogVersion, sizeBytesMax: number): CatalogVersionRecord[] | null {
    return this.#tables.versions.after(afterVersion, this.#tables.catalog().version, sizeBytesMax)
  }

  catalogHistory(query: CatalogHistoryQuery): CatalogHistoryPage {
    return this.#tables.history.page(query)
  }

  orders(query: OrderPageQuery): ReturnType<ShopStore['orders']> {
    return this.#tables.orders.page(query)
  }

  soldSince(afterIndex: LogIndex, limit: number): SoldNotice[] {
    return this.#tables.orders.soldSince(afterIndex, limit)
  }

  erasedSince(afterIndex: LogIndex, limit: number): ErasedNotice[] {
    return this.#tables.accounts.erasedSince(afterIndex, limit)
  }

  erasedIndex(): LogIndex {
    return this.#tables.accounts.newestErasedIndex()
  }

  ordersIndex(): LogIndex {
    return Math.max(this.#tables.orders.newestIndex(), this.#tables.accounts.newestErasedIndex())
  }

  async snapshot(kind: SnapshotKind): Promise<SnapshotSource> {
    if (this.#directory === null) return memorySnapshot(this.#connection, kind)
    const path = this.#temporaryFile(snapshotFilePrefix)
    return fileSnapshot(this.#connection.file, kind, path, this.#threads)
  }

  receive(kind: SnapshotKind): SnapshotSink {
    const options: SinkOptions = {
      kind,
      connection: this.#connection,
      own: () => this.#stateToKeep(),
    }
    return this.#directory === null
      ? new MemorySink(options)
      : new FileSink(options, this.#temporaryFile(incomingFilePrefix), this.#threads)
  }

  keepVersionsAfter(oldest: () => CatalogVersion | null): void {
    this.#tables.versions.oldestNeeded = oldest
  }

  sizeBytes(): number {
    return this.#connection.sizeBytes()
  }

  close(): void {
    this.#threads.close()
    this.#connection.close()
  }

  /** A copy must not be older than this. The catalog of rows that are known to be wrong is no measure. */
  #stateToKeep(): ShopState {
    const state = stateOf(this.#meta, this.#tables)
    return this.diverged() === null ? state : { ...state, catalog: { ...state.catalog, version: 0 } }
  }

  #temporaryFile(prefix: string): string {
    this.#temporaryFiles += 1
    return `${this.#directory ?? '.'}/${prefix}${this.#temporaryFiles}`
  }
}
