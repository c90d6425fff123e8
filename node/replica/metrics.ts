/** Counters and gauges of one node, as plain numbers; `http/metrics.ts` writes the format. */
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
  carts: () => DirtyCounts & { held: number }
}

export class MetricsService implements MetricsReads {
  readonly #options: MetricsOptions

  constructor(options: MetricsOptions) {
    this.#options = options
  }

  counters(): Metric[] {
    return this.#options.counters.all()
  }

  gauges(): Metric[] {
    const view = this.#options.reads.view()
    const carts = this.#options.carts()
    const sizes = this.#options.databaseSizes()
    const isPrimary = view.primary?.node === view.node
    return [
      gauge('term', 'Raft term this node knows.', view.term),
      gauge('is_primary', '1 while this node holds the lease.', isPrimary ? 1 : 0),
      gauge('lease_remaining_ms', 'Milliseconds the own lease still runs.', view.leaseRemainingMs),
      gauge('commit_index', 'Highest committed log index known.', view.commitIndex),
      gauge('applied_index', 'Log index applied.', view.appliedIndex),
      gauge('halted', '1 while this node applies nothing more from the log.', view.halted === null ? 0 : 1),
      gauge('catalog_version', 'Catalog version of the own copy.', view.catalog.version),
      gauge('members', 'Members of the cluster.', view.members.length),
      gauge(
        'members_alive',
        'Members that this node takes for alive.',
        view.members.filter((member) => member.alive).length,
      ),
      gauge('outbox_orders', 'Orders without a decision in the own outbox.', this.#options.outbox()),
      gauge('carts_held', 'Carts on the own disk.', carts.held),
      gauge('carts_undelivered', 'Carts that not every member of their server set has.', carts.undelivered),
      gauge('carts_under_replicated', 'Carts on fewer disks than asked for.', carts.underReplicated),
      gauge(
        'carts_undelivered_oldest_ms',
        'Milliseconds that the oldest undelivered cart has been waiting.',
        carts.oldestUndeliveredMs,
      ),
      gauge(
        'carts_under_replicated_oldest_ms',
        'Milliseconds that the oldest cart on too few disks has been waiting.',
        carts.oldestUnderReplicatedMs,
      ),
      gauge('log_database_bytes', 'Size of log.db.', sizes.log),
      gauge('shop_database_bytes', 'Size of shop.db.', sizes.shop),
    ]
  }
}

function gauge(name: string, help: string, value: number): Metric {
  return { name: `souk_${name}`, help, value }
}
