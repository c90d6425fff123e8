/** Counters and gauges of one node, as plain numbers; `http/metrics.ts` writes the format. */
import type { GossipTraffic } from '../ports.ts'
import type { MetricsReads } from '../replica-api.ts'
import type { DirtyCounts } from './cart-dirty.ts'
import type { ClusterReads } from './cluster-view.ts'
import type { Counters } from './counters.ts'

type Metric = { name: string; help: string; value: number; labels?: Record<string, string> }

export type MetricsOptions = {
  counters: Counters
  reads: ClusterReads
  /** Sizes in bytes of the databases that grow. */
  databaseSizes: () => { log: number; shop: number }
  outbox: () => number
  gossip: () => GossipTraffic
  carts: () => DirtyCounts & { held: number }
}

export class MetricsService implements MetricsReads {
  readonly #options: MetricsOptions

  constructor(options: MetricsOptions) {
    this.#options = options
  }

  counters(): Metric[] {
    const { sentBytes, receivedBytes } = this.#options.gossip()
    return [
      ...this.#options.counters.all(),
      metric('gossip_sent_bytes_total', 'Bytes of gossip sent, what is passed on included.', sentBytes),
      metric('gossip_received_bytes_total', 'Bytes of gossip received, repetitions included.', receivedBytes),
    ]
  }

  gauges(): Metric[] {
    const view = this.#options.reads.view()
    const carts = this.#options.carts()
    const sizes = this.#options.databaseSizes()
    const isPrimary = view.primary?.node === view.node
    return [
      metric('term', 'Raft term this node knows.', view.term),
      metric('is_primary', '1 while this node holds the lease.', isPrimary ? 1 : 0),
      metric('lease_remaining_ms', 'Milliseconds the own lease still runs.', view.leaseRemainingMs),
      metric('commit_index', 'Highest committed log index known.', view.commitIndex),
      metric('applied_index', 'Log index applied.', view.appliedIndex),
      metric('halted', '1 while this node applies nothing more from the log.', view.halted === null ? 0 : 1),
      metric('catalog_version', 'Catalog version of the own copy.', view.catalog.version),
      metric('members', 'Members of the cluster.', view.members.length),
      metric(
        'members_alive',
        'Members that this node takes for alive.',
        view.members.filter((member) => member.alive).length,
      ),
      metric('outbox_orders', 'Orders without a decision in the own outbox.', this.#options.outbox()),
      metric('carts_held', 'Carts on the own disk.', carts.held),
      metric('carts_undelivered', 'Carts that not every member of their server set has.', carts.undelivered),
      metric('carts_under_replicated', 'Carts on fewer disks than asked for.', carts.underReplicated),
      metric(
        'carts_undelivered_oldest_ms',
        'Milliseconds that the oldest undelivered cart has been waiting.',
        carts.oldestUndeliveredMs,
      ),
      metric(
        'carts_under_replicated_oldest_ms',
        'Milliseconds that the oldest cart on too few disks has been waiting.',
        carts.oldestUnderReplicatedMs,
      ),
      metric('log_database_bytes', 'Size of log.db.', sizes.log),
      metric('shop_database_bytes', 'Size of shop.db.', sizes.shop),
    ]
  }
}

function metric(name: string, help: string, value: number): Metric {
  return { name: `souk_${name}`, help, value }
}
