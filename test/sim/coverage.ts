/**
 * What must have happened in a run that is large enough to tell: a fault that never struck, or a rule of consensus that
 * never came to be needed, was not tested, whatever the checkers say (TigerBeetle's coverage marks are the model).
 */

/** In so many worlds everything below happens many times over; a run of fewer is only looked at. */
const coverageSeedsMin = 50
/** What comes up in one world of thirty. */
const rareSeedsMin = 500
const rare = ['orders decided refused already-sold']

type Totals = { readonly [name: string]: number }

/** What nodes count (node/replica/counters.ts). */
const counted = [
  'elections_started_total',
  'terms_won_total',
  'hand_overs_total',
  'commands_forwarded_total',
  'snapshots_sent_total',
  'snapshots_installed_total',
  'catalog_broadcasts_total',
  'catalog_pulls_total',
  'cart_changes_under_replicated_total',
  'cart_merges_total',
  'cart_syncs_total',
  'takeovers_total',
  'takeovers_incomplete_total',
  'migrations_total',
  'redirects_total',
  'orders_placed_total',
  'orders_refused_total',
  'orders_cancelled_total',
  'orders_pending_total',
]

/** What the checkers saw of consensus and disks. */
const seen = [
  'conflicts truncated',
  'logs cut',
  'full snapshots installed',
  'catalog snapshots installed',
  'membership changes',
  'voters added',
  'voters removed',
  'voters replaced',
  'writes refused for want of space',
  'nodes ended by a failed disk',
]

/** What clients were answered. */
const met = [
  'incomplete carts',
  'under-replicated answers',
  'no-home',
  'no-primary',
  'disk-full',
  'lost answers',
  'orders answered pending',
  'orders decided placed',
  'orders decided refused cart-changed',
  'orders decided refused not-for-sale',
  'orders decided refused price-changed',
  'cancellations done',
  'registrations done',
]

export type Sums = { faults: Totals; seen: Totals; totals: Totals; tally: Totals }

/** What never happened although it should have; `faults` are the names of everything that may go wrong. */
export function neverHappened(sums: Sums, faults: readonly string[], seeds: number): string[] {
  if (seeds < coverageSeedsMin) return []
  const missing = (names: readonly string[], totals: Totals): string[] =>
    names.filter((name) => (totals[name] ?? 0) === 0)
  return [
    ...missing(faults, sums.faults),
    ...missing(seen, sums.seen),
    ...missing(counted, sums.totals),
    ...missing(seeds < rareSeedsMin ? met : [...met, ...rare], sums.tally),
  ]
}
