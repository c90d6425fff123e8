/**
 * `--recover`: a majority of the voters is lost for ever, and one survivor becomes a cluster of its own. Offline, on the
 * survivor's directory. The new cluster has a random id, so that the lost members, should they come back, are refused.
 *
 * Every entry of the survivor's log is kept and applied, also those that it does not know to be committed: any of them may
 * have been, and then a shopper was told so; Raft keeps them in the same way when a survivor is elected (Raft, section
 * 5.4.2). What only the lost majority had is gone, and nobody can say what it was; the report says where that begins.
 */
import { Fault, StoreFailure, assert } from '../faults.ts'
import type { ClusterId, LogIndex, Term } from '../ids.ts'
import type { MemberRecord } from '../commands.ts'
import type { Logger, Random } from '../ports.ts'
import { Applier } from '../replica/applier.ts'
import { Counters } from '../replica/counters.ts'
import type { Beginning, RecoveryStores } from '../store/recovery.ts'

/** Digits of the cluster id that the operator types: enough not to confuse two clusters. */
const confirmationDigits = 8

/** What the survivor has, and what the new cluster begins with. */
export type Survivor = {
  readonly clusterId: ClusterId
  readonly member: MemberRecord
  /** Holds every order and account through `lastIndex`: it was a voter, or was about to be one. */
  readonly hasOrders: boolean
  readonly lastIndex: LogIndex
  readonly lastTerm: Term
  readonly appliedIndex: LogIndex
  /** Sold notices were taken in through this index, perhaps from members whose log was longer. */
  readonly heardIndex: LogIndex
  readonly others: readonly string[]
  readonly counts: { readonly [what in 'orders' | 'accounts' | 'carts' | 'outbox']: number }
  readonly catalogVersion: number
}

function refuse(reason: string): never {
  throw new StoreFailure('--recover', reason)
}

/** Looks only. Throws StoreFailure when this node can't be recovered from. */
export function survey(stores: RecoveryStores): Survivor {
  const { log, shop, local } = stores
  const clusterId = stores.marker()?.from ?? log.identity().clusterId
  const selfId = log.identity().memberId
  const members = shop.read.members()
  const member = members.find(({ id }) => id === selfId)
  if (clusterId === null || shop.read.currency() === null)
    return refuse('this node never was in a cluster that had begun: there is nothing to recover')
  if (member === undefined)
    return refuse('this node is no member of its cluster: it was removed, or never joined')
  const applied = shop.applied()
  const hasOrders = stores.marker()?.hasOrders ?? shop.feed() === 'log'
  if (hasOrders && applied.index < log.snapshotIndex())
    return refuse(
      `shop.db ends at entry ${applied.index}, and the log begins after ${log.snapshotIndex()}: what lies between was lost with ` +
        'an earlier shop.db; recover another survivor',
    )
  return {
    clusterId,
    member,
    hasOrders,
    lastIndex: Math.max(log.lastIndex(), applied.index),
    lastTerm: log.termAt(log.lastIndex()) ?? applied.term,
    appliedIndex: applied.index,
    heardIndex: local.soldWatermark(),
    others: members.filter(({ id }) => id !== selfId).map(({ node }) => node),
    counts: {
      orders: stores.count('orders'),
      accounts: stores.count('accounts'),
      carts: stores.count('carts'),
      outbox: stores.count('outbox'),
    },
    catalogVersion: shop.read.catalog().version,
  }
}

/** What must be typed after `--confirm`: it names the cluster that is given up, and the loss if it is a large one. */
export function confirmationFor({ clusterId, hasOrders }: Survivor): string {
  return `${clusterId.slice(0, confirmationDigits)}${hasOrders ? '' : '-without-orders'}`
}

/** What this survivor has and what may be missing, one statement a line. */
export function describe(survivor: Survivor): string[] {
  const { member, clusterId, lastIndex, lastTerm, appliedIndex, heardIndex, counts, others } = survivor
  const lines = [
    `node ${member.node} (member ${member.id}) of cluster ${clusterId}`,
    `catalog version ${survivor.catalogVersion}, ${counts.carts} carts, ${counts.outbox} orders waiting for a decision`,
  ]
  if (survivor.hasOrders) {
    lines.push(
      `log through entry ${lastIndex} of term ${lastTerm}; ${counts.orders} orders, ${counts.accounts} accounts`,
    )
    if (lastIndex > appliedIndex)
      lines.push(
        `entries ${appliedIndex + 1} to ${lastIndex} are not known to be committed; they are kept, because they may have been`,
        '(a change whose sender was told that it did not happen may then have happened)',
      )
    lines.push(
      `may be missing: catalog changes, orders and accounts that the others accepted after entry ${lastIndex}`,
    )
  } else {
    lines.push(
      'THIS NODE WAS NO VOTER: it does not hold the orders and accounts. What it has of them, if anything, is as old as its',
      `last day as a voter: ${counts.orders} orders, ${counts.accounts} accounts. Recover a voter, if any of them is left`,
    )
  }
  if (survivor.hasOrders && heardIndex > lastIndex)
    lines.push(
      `certainly missing: decisions of orders between entry ${lastIndex} and ${heardIndex}, of which the carts here know`,
    )
  lines.push(
    'may be missing: carts, and changes of carts, that were kept by other members only',
    `given up: ${others.length === 0 ? 'no other member' : others.join(', ')}`,
  )
  return lines
}

/** Applies what is left in the log, committed as far as anybody can know or not. */
function applyAll({ log, shop }: RecoveryStores, logger: Logger): void {
  const applier = new Applier({ log, shop, logger, counters: new Counters() })
  while (applier.applied.index < log.lastIndex()) {
    if (applier.applyNext(log.lastIndex()).length > 0) continue
    refuse(applier.halted ?? `entry ${applier.applied.index + 1} of the log can't be applied`)
  }
}

/**
 * Makes the survivor a cluster of its own, and returns its id. A recovery that was cut off anywhere goes on when this is
 * called again; Fault `disk-full` is such a case.
 */
export function recover(stores: RecoveryStores, ports: { random: Random; logger: Logger }): ClusterId {
  const survivor = survey(stores)
  const drawn = Buffer.from(ports.random.bytes(16)).toString('hex') as ClusterId
  const { clusterId: from, hasOrders } = survivor
  const marker = stores.marker() ?? { from, to: drawn, hasOrders }
  stores.begin(marker)
  if (stores.clusterIdOf('shop') !== marker.to) {
    if (survivor.hasOrders) applyAll(stores, ports.logger)
    const member = { ...survivor.member, eligible: true, draining: false }
    stores.rebindShop(marker.to, member, beginningOf(stores, survivor))
  }
  if (stores.clusterIdOf('local') !== marker.to) stores.rebindLocal(marker.to, survivor.member.id)
  if (stores.clusterIdOf('log') !== marker.to) stores.rebindLog(marker.to, stores.shop.applied())
  for (const name of ['log', 'shop', 'local'] as const)
    assert(stores.clusterIdOf(name) === marker.to, 'a recovery ends with three files of one cluster')
  stores.finish()
  return marker.to
}

/**
 * Behind everything that anybody here has heard of by index (members, sold notices), and in a term of its own, so that no
 * index and no term means two things.
 */
function beginningOf({ log, shop }: RecoveryStores, { lastIndex, heardIndex, member }: Survivor): Beginning {
  const index = Math.max(lastIndex, heardIndex, shop.read.membersVersion(), shop.ordersIndex()) + 1
  return { index, term: log.hardState().term + 1, config: { voters: [member.id], learners: [] } }
}

/** The command: looks, refuses without the confirmation, recovers. Returns what to tell the operator. */
export function runRecovery(
  stores: RecoveryStores,
  confirm: string | null,
  ports: { random: Random; logger: Logger },
): string {
  const survivor = survey(stores)
  const facts = describe(survivor)
    .map((line) => `  ${line}\n`)
    .join('')
  const expected = confirmationFor(survivor)
  if (confirm !== expected)
    refuse(
      `${confirm === null ? 'it needs a confirmation' : `${confirm} is not the confirmation`}; nothing was changed.\n${facts}` +
        `Only when the others are lost for ever: stop whatever is left of them, then repeat with --confirm ${expected}`,
    )
  try {
    const clusterId = recover(stores, ports)
    return (
      `recovered as cluster ${clusterId}:\n${facts}` +
      'Start this node as before; it needs neither --init nor --join. Every other node: empty its directory, then start it\n' +
      'with --join and this node’s address. The old members are refused.\n'
    )
  } catch (error) {
    if (error instanceof Fault && error.code === 'disk-full')
      throw new StoreFailure(
        '--recover',
        'the disk is full; make space and repeat the command: it goes on where it stopped',
        error,
      )
    throw error
  }
}
