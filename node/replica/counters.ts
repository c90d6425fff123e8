/**
 * Counters of one node by name. Plain numbers, so that every part can count without knowing the metrics
 * format; `http/metrics.ts` turns them into Prometheus text.
 */
export const counterHelp = {
  elections_started_total: 'Times this node began a (pre-)election.',
  terms_won_total: 'Times this node became primary.',
  hand_overs_total: 'Leases this node handed over.',
  commands_proposed_total: 'Commands proposed at this node as primary.',
  commands_applied_total: 'Log entries applied.',
  commands_forwarded_total: 'Commands this node sent to the primary.',
  log_flushes_total: 'Transactions on log.db (group commits).',
  state_checks_total: 'Digest checks of the voters’ states that this node proposed as primary.',
  state_divergences_total: 'Times this voter’s state was found not to be what a majority has.',
  log_disk_full_total: 'Times the disk under log.db was found full.',
  snapshots_sent_total: 'Snapshots this node handed to others.',
  snapshots_installed_total: 'Snapshots this node installed.',
  catalog_broadcasts_total: 'Catalog versions this node published.',
  catalog_versions_applied_total: 'Catalog versions this node applied, from log or broadcast.',
  catalog_pulls_total: 'Times this node pulled missing catalog versions.',
  catalog_divergences_total: 'Times a catalog digest did not agree.',
  catalog_repairs_total: 'Times this node replaced a wrong catalog by a copy.',
  catalog_alarms_total: 'Times the catalog was wrong again after that: an operator must look.',
  cart_changes_total: 'Cart changes acknowledged at this node as home.',
  cart_changes_under_replicated_total: 'Cart changes acknowledged on fewer disks than --cart-acks.',
  cart_syncs_total: 'Sync batches sent to the primary.',
  cart_merges_total: 'Times a cart took in changes from another server.',
  cart_updates_refused_total: 'Cart updates from peers that were refused.',
  takeovers_total: 'Times this node became home because the home was dead.',
  takeovers_incomplete_total: 'Takeovers served before enough members had answered.',
  migrations_total: 'Idle users given another home.',
  redirects_total: 'Requests sent to another home.',
  orders_placed_total: 'Orders decided as placed, applied at this node.',
  orders_refused_total: 'Orders decided as refused, applied at this node.',
  orders_cancelled_total: 'Orders cancelled, applied at this node.',
  orders_pending_total: 'Orders answered 202.',
  peer_requests_failed_total: 'Requests to peers that got no answer.',
} as const satisfies { [name: string]: string }

export type CounterName = keyof typeof counterHelp

export class Counters {
  readonly #values = new Map<CounterName, number>()

  add(name: CounterName, amount = 1): void {
    this.#values.set(name, (this.#values.get(name) ?? 0) + amount)
  }

  value(name: CounterName): number {
    return this.#values.get(name) ?? 0
  }

  all(): { name: string; help: string; value: number }[] {
    return (Object.keys(counterHelp) as CounterName[]).map((name) => ({
      name: `souk_${name}`,
      help: counterHelp[name],
      value: this.value(name),
    }))
  }
}
