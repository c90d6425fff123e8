import type {
  AccountRecord,
  CatalogHistoryEntry,
  CommandResult,
  MemberRecord,
  OrderRecord,
  Product,
  StateMark,
} from '../commands.ts'
import type { CommandId, Digest, Handle, LogIndex, MemberId, OrderId, Sku, Tag, UserId } from '../ids.ts'
import type { CatalogState, CatalogVersionRecord, SkuInfo, Tables } from '../ports.ts'
import { AccountTable } from './accounts.ts'
import type { Connection } from './connection.ts'
import { HistoryTable } from './history.ts'
import { MemberTables } from './members.ts'
import type { Meta } from './meta.ts'
import { OrderTables } from './orders.ts'
import { ProductTables } from './products.ts'
import { ResultTable } from './results.ts'
import { VersionTable } from './versions.ts'

type OrdersDigest = { count: number; digest: Digest }

/** The digest of no rows (node/core/digest.ts, `emptyDigest`). */
const noDigest = '0'.repeat(64) as Digest
const noCatalog: CatalogState = { version: 0, digest: noDigest }
const noOrders: OrdersDigest = { count: 0, digest: noDigest }

/** `Tables` over SQLite: delegates to one class per table family. */
export class ShopTables implements Tables {
  readonly products: ProductTables
  readonly versions: VersionTable
  readonly history: HistoryTable
  readonly orders: OrderTables
  readonly #members: MemberTables
  readonly accounts: AccountTable
  readonly #results: ResultTable
  readonly #meta: Meta

  constructor(connection: Connection, meta: Meta) {
    this.#meta = meta
    this.products = new ProductTables(connection)
    this.versions = new VersionTable(connection)
    this.history = new HistoryTable(connection)
    this.orders = new OrderTables(connection)
    this.#members = new MemberTables(connection)
    this.accounts = new AccountTable(connection)
    this.#results = new ResultTable(connection)
  }

  currency(): string | null {
    return this.#meta.get<string | null>('currency', null)
  }

  setCurrency(currency: string): void {
    this.#meta.set('currency', currency)
  }

  catalog(): CatalogState {
    return this.#meta.get('catalog', noCatalog)
  }

  setCatalog(state: CatalogState): void {
    this.#meta.set('catalog', { version: state.version, digest: state.digest })
  }

  product(handle: Handle): Product | null {
    return this.products.get(handle)
  }

  skuOwner(sku: Sku): Handle | null {
    return this.products.skuOwner(sku)
  }

  putProduct(product: Product): void {
    this.products.put(product)
  }

  deleteProduct(handle: Handle): void {
    this.products.delete(handle)
  }

  appendVersion(record: CatalogVersionRecord): void {
    this.versions.append(record)
  }

  appendHistory(entries: readonly CatalogHistoryEntry[]): void {
    this.history.append(entries)
  }

  sku(sku: Sku): SkuInfo | null {
    return this.products.sku(sku)
  }

  members(): MemberRecord[] {
    return this.#members.all()
  }

  membersVersion(): LogIndex {
    return this.#meta.get('members_version', 0)
  }

  setMembersVersion(version: LogIndex): void {
    this.#meta.set('members_version', version)
  }

  putMember(member: MemberRecord): void {
    this.#members.put(member)
  }

  removeMember(id: MemberId): void {
    this.#members.remove(id)
  }

  removedMembers(): MemberId[] {
    return this.#members.removed()
  }

  order(id: OrderId): OrderRecord | null {
    return this.orders.get(id)
  }

  soldTo(_user: UserId, tag: Tag): OrderId | null {
    return this.orders.soldTo(tag)
  }

  orderTags(id: OrderId): Tag[] {
    return this.orders.tagsOf(id)
  }

  insertSold(user: UserId, tag: Tag, order: OrderId): void {
    this.orders.insertSold(user, tag, order)
  }

  nextOrderNumber(): number {
    const number = this.#meta.get('order_number', 0) + 1
    this.#meta.set('order_number', number)
    return number
  }

  insertOrder(order: OrderRecord, index: LogIndex, tags: readonly Tag[]): void {
    this.orders.insert(order, index, tags)
  }

  updateOrder(order: OrderRecord, index: LogIndex): void {
    this.orders.update(order, index)
  }

  ordersDigest(): OrdersDigest {
    return this.#meta.get('orders_digest', noOrders)
  }

  setOrdersDigest(state: OrdersDigest): void {
    this.#meta.set('orders_digest', { count: state.count, digest: state.digest })
  }

  account(id: UserId): AccountRecord | null {
    return this.accounts.get(id)
  }

  accountByEmail(email: string): AccountRecord | null {
    return this.accounts.byEmail(email)
  }

  putAccount(account: AccountRecord): void {
    this.accounts.put(account)
  }

  deleteAccount(id: UserId, index: LogIndex): void {
    this.accounts.delete(id, index)
  }

  isErasedAccount(id: UserId): boolean {
    return this.accounts.isErased(id)
  }

  eraseContacts(user: UserId): void {
    this.orders.eraseContacts(user)
  }

  accountsDigest(): Digest {
    return this.#meta.get('accounts_digest', noDigest)
  }

  setAccountsDigest(digest: Digest): void {
    this.#meta.set('accounts_digest', digest)
  }

  stateMarks(): readonly StateMark[] {
    return this.#meta.get<readonly StateMark[]>('state_marks', [])
  }

  setStateMarks(marks: readonly StateMark[]): void {
    this.#meta.set('state_marks', marks)
  }

  result(id: CommandId): CommandResult | null {
    return this.#results.get(id)
  }

  putResult(id: CommandId, index: LogIndex, result: CommandResult): void {
    this.#results.put(id, index, result)
  }
}
