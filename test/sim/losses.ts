/**
 * What the cluster can afford to lose for good. The promises are about disks that come back, or about one that does not:
 * a majority of the voters' disks, or the last copy of a cart, may not go.
 */
import { CartDocument } from '../../crdt/cart.ts'
import type { MemberRecord } from '../../node/commands.ts'
import { serverSet } from '../../node/core/placement.ts'
import type { RaftConfig } from '../../node/core/raft/types.ts'
import type { MemberId, UserId } from '../../node/ids.ts'
import type { CartRow, Stores } from '../../node/ports.ts'
import type { Cluster } from './cluster.ts'
import type { Host } from './host.ts'

/** Entries are read in one go: the logs here are short. */
const entriesBytesMax = 64 * 1024 * 1024

/** The configuration in force by this disk: the newest in its log, committed or not. */
function configOf({ log }: Stores): RaftConfig {
  const entries = log.entries(log.snapshotIndex() + 1, log.lastIndex(), entriesBytesMax)
  const newest = entries.findLast(({ kind }) => kind === 'config')
  return newest === undefined ? log.snapshotConfig() : (JSON.parse(newest.data) as RaftConfig)
}

/** Those whose disks count: removed ones are as good as gone. */
function staying(cluster: Cluster): Host[] {
  return cluster.inService.filter(({ isRemoved }) => !isRemoved)
}

/** The voters of a configuration, and those that there will be when its learners, one or two, have caught up. */
function electorates({ voters, learners }: RaftConfig): (readonly MemberId[])[] {
  return [voters, ...learners.map((learner) => [...voters, learner]), [...voters, ...learners]]
}

/** Would the voters of some configuration have no majority any more, for ever, without this machine's disk? */
export function breaksMajority(cluster: Cluster, host: Host): boolean {
  const left = new Set(
    staying(cluster)
      .filter((other) => other !== host)
      .map(({ id }) => id),
  )
  return cluster.inService.some(({ stores }) => {
    if (stores === null || stores.shop.feed() !== 'log') return false
    return electorates(configOf(stores)).some(
      (ids) => ids.includes(host.id) && ids.filter((id) => left.has(id)).length <= ids.length / 2,
    )
  })
}

/** The newest list that anybody has. */
export function newestMembers(cluster: Cluster): readonly MemberRecord[] {
  const lists = cluster.lives().map(({ life }) => life.replica.parts.membership)
  const newest = lists.reduce<(typeof lists)[number] | null>(
    (best, list) => (best === null || list.version() > best.version() ? list : best),
    null,
  )
  return newest?.list() ?? []
}

/**
 * Users of whose cart this disk holds something that no other member of their set holds. A copy elsewhere (at the primary,
 * at a member that has left the set) goes as soon as its holder believes that the set has the cart, and whoever it
 * believes that of may be the one who is lost here (DESIGN.md section 5).
 */
export function soleCopies(cluster: Cluster, host: Host, users: readonly UserId[]): UserId[] {
  const members = newestMembers(cluster)
  const left = staying(cluster).filter((other) => other !== host)
  return users.filter((user) => {
    const own = copyOf(host, user)
    if (own === null) return false
    const set = serverSet(user, members, host.settings.serverSetSize)
    const others = left.filter(({ id }) => set.includes(id))
    const copies = others.map((other) => copyOf(other, user)).filter((copy) => copy !== null)
    if (copies.some(({ hash }) => hash === own.hash)) return false
    const union = openCart(copies)
    if (union === null) return true
    const before = union.contentHash()
    union.merge(own.state)
    return union.contentHash() !== before
  })
}

function copyOf(host: Host, user: UserId): CartRow | null {
  return host.stores?.local.cart(user) ?? null
}

function openCart([first, ...rest]: readonly CartRow[]): CartDocument | null {
  if (first === undefined) return null
  const document = CartDocument.load(first.state, { clientId: 1 })
  for (const { state } of rest) document.merge(state)
  return document
}
