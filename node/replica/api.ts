/** The replica's public face, put together from the parts that implement it. */
import type { Replica } from '../replica-api.ts'
import type { ReplicaOptions } from '../replica.ts'
import type { Catalog } from './catalog.ts'
import type { ClusterControlService } from './cluster-control.ts'
import { MetricsService } from './metrics.ts'
import type { Parts } from './parts.ts'
import type { Peers, RequestHandlers } from './context.ts'
import type { MemberId } from '../ids.ts'
import type { Transport } from '../ports.ts'

export function createApi(
  parts: Pick<Parts, 'users' | 'carts' | 'orders' | 'events' | 'reads' | 'counters'>,
  catalog: Catalog,
  cluster: ClusterControlService,
  { settings, stores, transport }: ReplicaOptions,
): Replica {
  const { users, carts, orders, events, reads, counters } = parts
  const metrics = new MetricsService({
    counters,
    reads,
    databaseSizes: () => ({ log: stores.log.sizeBytes(), shop: stores.shop.sizeBytes() }),
    gossip: () => transport.gossipTraffic(),
    outbox: () => stores.local.outbox().length,
    carts: () => carts.counts(),
  })
  return {
    self: { node: settings.node, url: settings.publicUrl },
    catalog,
    users,
    carts,
    orders,
    cluster,
    metrics,
    onUserEvent: (user, listener) => events.onUser(user, listener),
    onClusterEvent: (listener) => events.onCluster(listener),
  }
}

/** A request to this node itself takes the same handler, without the network. */
export function localFirst(selfId: MemberId, transport: Transport, handlers: () => RequestHandlers): Peers {
  return {
    ask: (to, request, options) => {
      if (to !== selfId) return transport.request(to, request, options)
      const handler = handlers()[request.kind] as unknown as (from: MemberId, asked: typeof request) => never
      return handler(selfId, request)
    },
  }
}
