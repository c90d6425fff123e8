/** Stores and commands for tests of storing and applying. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type {
  Command,
  CommandBody,
  MemberJoin,
  OrderIntent,
  Product,
  ProductChange,
  ProductFields,
  ProductPatch,
} from '../../node/commands.ts'
import { applyEntry } from '../../node/core/apply.ts'
import type { ApplyOutcome } from '../../node/core/apply.ts'
import { canonicalProduct } from '../../node/core/digest.ts'
import type {
  ClusterId,
  CommandId,
  Handle,
  MemberId,
  NodeName,
  OrderId,
  Sku,
  Tag,
  UserId,
} from '../../node/ids.ts'
import type { ShopStore } from '../../node/ports.ts'
import { openStores } from '../../node/store/index.ts'
import type { OpenOptions, OpenedStores, StoreImages } from '../../node/store/index.ts'

export const clusterId = '0123456789abcdef0123456789abcdef' as ClusterId
export const otherClusterId = 'ffffffffffffffffffffffffffffffff' as ClusterId
export const user = `a${'1'.repeat(32)}` as UserId
export const otherUser = `a${'2'.repeat(32)}` as UserId

let identities = 0

export function options(more: Partial<OpenOptions> = {}): OpenOptions {
  return {
    createIdentity: () => {
      identities += 1
      return { memberId: `member${identities}` as MemberId, privateKey: new Uint8Array([1, 2, identities]) }
    },
    ...more,
  }
}

/** Removed when the test is over. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'souk-store-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A place for stores that can be opened again: what a test does to both kinds. */
export type World = {
  readonly kind: 'files' | 'memory'
  open(more?: Partial<OpenOptions>): OpenedStores
  /** Ends a life of the node (its disk stays) and begins the next one. */
  reopen(stores: OpenedStores): OpenedStores
}

export function fileWorld(): World {
  const directory = temporaryDirectory()
  const open = (more: Partial<OpenOptions> = {}): OpenedStores => openStores(directory, options(more))
  return {
    kind: 'files',
    open,
    reopen: (stores) => {
      stores.close()
      return open()
    },
  }
}

export function memoryWorld(): World {
  let image: Partial<StoreImages> = {}
  const open = (more: Partial<OpenOptions> = {}): OpenedStores => openStores({ memory: image }, options(more))
  return {
    kind: 'memory',
    open,
    reopen: (stores) => {
      image = stores.image()
      stores.close()
      return open()
    },
  }
}

export const worlds: readonly (readonly [string, () => World])[] = [
  ['files', fileWorld],
  ['memory', memoryWorld],
]

export function memoryStores(): OpenedStores {
  const stores = memoryWorld().open()
  setCluster(stores)
  return stores
}

export function setCluster(stores: OpenedStores, id = clusterId): void {
  stores.log.setClusterId(id)
  stores.shop.setClusterId(id)
  stores.local.setClusterId(id)
}

export function memberJoin(name: string, id = `id${name}`): MemberJoin {
  return {
    id: id as MemberId,
    node: name as NodeName,
    url: `http://${name}:8080`,
    p2p: `${name}:9080`,
    eligible: true,
    capacity: 1,
  }
}

/** Applies commands as a voter does, one log entry each. */
export class Applying {
  readonly shop: ShopStore
  index: number

  constructor(shop: ShopStore) {
    this.shop = shop
    this.index = shop.applied().index
  }

  run(body: CommandBody, id = `c${this.index + 1}`): ApplyOutcome {
    this.index += 1
    const command: Command = {
      v: 1,
      id: id as CommandId,
      atMs: Date.UTC(2026, 0, 1) + this.index * 1_000,
      body,
    }
    return this.shop.transaction((tables) => {
      const outcome = applyEntry(tables, command, this.index)
      this.shop.setApplied({ index: this.index, term: 1, config: { voters: [], learners: [] } })
      return outcome
    })
  }

  begin(): this {
    this.run({ kind: 'cluster.begin', currency: 'USD', member: memberJoin('n1') })
    this.shop.setFeed('log')
    return this
  }

  change(...changes: ProductChange[]): ApplyOutcome {
    return this.run({ kind: 'catalog.change', changes, by: 'test' })
  }

  place(more: Partial<OrderIntent> = {}, id?: string): ApplyOutcome {
    return this.run({ kind: 'order.place', intent: intent(more) }, id)
  }
}

export function applying(): Applying {
  return new Applying(memoryStores().shop).begin()
}

export const handle = (text: string): Handle => text as Handle
export const sku = (text: string): Sku => text as Sku
export const tag = (text: string): Tag => text as Tag
export const orderId = (number: number): OrderId => `o${String(number).padStart(32, '0')}` as OrderId

export function variant(name: string, amount = 1_000): ProductFields['variants'][number] {
  return { sku: sku(name), title: '', options: {}, price: { amount, currency: 'USD' } }
}

export function fields(title: string, more: Partial<ProductFields> = {}): ProductFields {
  return {
    title,
    description: '',
    vendor: '',
    category: '',
    tags: [],
    images: [],
    status: 'active',
    options: [],
    variants: [variant(`${title}-sku`)],
    ...more,
  }
}

export function replace(name: string, more: Partial<ProductFields> = {}): ProductChange {
  return { op: 'replace', handle: handle(name), fields: fields(name, more) }
}

export function merge(name: string, patch: ProductPatch): ProductChange {
  return { op: 'merge', handle: handle(name), fields: patch }
}

export function remove(name: string): ProductChange {
  return { op: 'delete', handle: handle(name) }
}

export function intent(more: Partial<OrderIntent> = {}): OrderIntent {
  return {
    id: orderId(1),
    user,
    bodyHash: 'body',
    cartHash: 'cart',
    currency: 'USD',
    lines: [{ sku: sku('lamp-sku'), quantity: 2, unitPrice: 1_000 }],
    tags: [tag('w.1')],
    dots: ['w.1'],
    catalogVersion: 1,
    verdict: 'agreed',
    createdAtMs: Date.UTC(2026, 0, 1),
    ...more,
  }
}

/** Moves a snapshot from one store to another. */
export async function copySnapshot(
  from: ShopStore,
  to: ShopStore,
  kind: 'full' | 'catalog',
  chunk = 10_000,
): Promise<void> {
  const source = await from.snapshot(kind)
  const sink = to.receive(kind)
  for (let offset = 0; offset < source.sizeBytes; offset += chunk)
    await sink.write(await source.read(offset, chunk))
  await source.close()
  await sink.install()
}

export function product(name: string, version: number, more: Partial<Product> = {}): Product {
  const stamps = { handle: handle(name), catalogVersion: version, updatedAt: '2026-01-01T00:00:00.000Z' }
  return canonicalProduct({ ...fields(name), ...stamps, ...more })
}

export function put(shop: ShopStore, ...products: Product[]): void {
  shop.transaction((tables) => products.forEach((one) => tables.putProduct(one)))
}
