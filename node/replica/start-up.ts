/** Before a node's parts exist: begins a cluster on empty stores, and mends what a crash left between two files. */
import type { ClusterId } from '../ids.ts'
import type { Logger, Random, Stores } from '../ports.ts'
import type { Settings } from './context.ts'

export type StartUpOptions = { stores: Stores; settings: Settings; random: Random; logger: Logger }

/** Idempotent: a crash in the middle is mended by the next start. */
export function prepareStores(options: StartUpOptions): void {
  const { stores, settings, logger } = options
  const { clusterId } = stores.log.identity()
  if (clusterId === null) {
    if (settings.init) beginCluster(options)
    return
  }
  if (settings.init) logger.info({ cluster: clusterId }, '--init is ignored: there is data of a cluster here')
  if (stores.shop.clusterId() === null) stores.shop.setClusterId(clusterId)
  if (stores.local.clusterId() === null) stores.local.setClusterId(clusterId)
  ensureConfig(stores)
  const { log, shop } = stores
  const applied = shop.applied()
  if (shop.feed() === 'log' && applied.index > log.lastIndex()) {
    // A snapshot was swapped in, and the process died before the log began anew behind it.
    log.resetTo(applied.index, applied.term, applied.config)
  } else if (isLost(stores)) {
    // What it held comes back from the log, or from a snapshot where the log was cut.
    shop.startFromLog()
    ensureConfig(stores)
  }
}

/** There is a log, and nothing of it was ever applied: shop.db was lost. A former voter's has what it applied then. */
function isLost({ log, shop }: Stores): boolean {
  const isEmpty = shop.applied().index === 0 && shop.read.catalog().version === 0
  return shop.feed() === 'broadcast' && isEmpty && log.lastIndex() > 0
}

/**
 * The configuration that the log begins with is in force although no entry brought it: what announces, sends or cuts
 * after what was applied must know it, or a cluster that never had another one would be told that nobody votes.
 */
function ensureConfig({ log, shop }: Stores): void {
  const applied = shop.applied()
  const config = log.snapshotConfig()
  if (shop.feed() !== 'log' || applied.config.voters.length > 0 || config.voters.length === 0) return
  shop.setApplied({ ...applied, config })
}

/** A random cluster id and a configuration with this node as the only voter. log.db last: it is what counts. */
function beginCluster({ stores, random }: StartUpOptions): void {
  const self = stores.log.identity().memberId
  // A begin that a crash cut short goes on with the id that is on disk already.
  const drawn = Buffer.from(random.bytes(16)).toString('hex') as ClusterId
  const clusterId = stores.local.clusterId() ?? stores.shop.clusterId() ?? drawn
  if (stores.local.clusterId() === null) stores.local.setClusterId(clusterId)
  if (stores.shop.clusterId() === null) stores.shop.setClusterId(clusterId)
  stores.shop.setFeed('log')
  stores.log.resetTo(0, 0, { voters: [self], learners: [] })
  ensureConfig(stores)
  stores.log.setClusterId(clusterId)
}
