/** What all nodes of a fake cluster share; see fake-replica.ts. */
import { createHash } from 'node:crypto'
import type { CatalogChangeResult, CatalogHistoryEntry, OrderRecord, Product } from '../../node/commands.ts'

import { Fault } from '../../node/faults.ts'
import type { Handle, OrderId, Sku, UserId } from '../../node/ids.ts'

import type { ClusterEvent, NodeAddress, UserEvent, UserInfo } from '../../node/replica-api.ts'

export type FakeUser = { info: UserInfo; password: string | null; home: NodeAddress; epoch: number }

/** What all nodes of a fake cluster share. */
export class FakeWorld {
  nowMs = Date.UTC(2026, 0, 15)
  version = 0
  currency = 'USD'
  readonly products = new Map<Handle, Product>()
  /** Newest first. */
  readonly history: CatalogHistoryEntry[] = []
  readonly results = new Map<string, CatalogChangeResult>()
  readonly users = new Map<UserId, FakeUser>()
  readonly revoked = new Set<string>()
  readonly revokedAll = new Map<UserId, number>()
  readonly carts = new Map<UserId, Map<Sku, number>>()
  readonly keys = new Map<string, string>()
  readonly orders = new Map<OrderId, OrderRecord>()
  readonly userListeners = new Map<UserId, Set<(event: UserEvent) => void>>()
  readonly clusterListeners = new Set<(event: ClusterEvent) => void>()
  readonly nodes: NodeAddress[] = []
  /** Orders are answered `pending` while true. */
  slow = false
  /** Prices that shoppers agreed to in orders that were refused because of them. */
  readonly agreed = new Map<Sku, number>()
  /** Additions that came to every cart from another server. */
  merged: { sku: Sku; quantity: number }[] = []
  /** No majority confirms what is read. */
  stale = false
  /** Commands fail with this while set. */
  failure: Fault | null = null
  count = 0

  random(): Uint8Array {
    this.count += 1
    return createHash('sha256').update(`random ${this.count}`).digest()
  }

  product(sku: Sku): { product: Product; variant: Product['variants'][number] } | null {
    for (const product of this.products.values()) {
      const variant = product.variants.find((candidate) => candidate.sku === sku)
      if (variant !== undefined) return { product, variant }
    }
    return null
  }

  tell(user: UserId, event: UserEvent): void {
    for (const listener of this.userListeners.get(user) ?? []) listener(event)
  }
}
