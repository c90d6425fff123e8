/** The simulator's operators look before they destroy a disk (test/sim/losses.ts): what they count as a copy. */
import { afterEach, expect, test } from 'vitest'
import { CartDocument, newLineage } from '../../crdt/cart.ts'
import type { Sku, UserId } from '../../node/ids.ts'
import { Cluster } from '../sim/cluster.ts'
import type { Host } from '../sim/host.ts'
import { soleCopies } from '../sim/losses.ts'

const user = 'g20454-000000000000000000000001' as UserId
const bootLimitMs = 30_000

let cluster: Cluster
afterEach(() => cluster.close())

function put(host: Host, held: 'set' | 'passing'): void {
  const document = CartDocument.create({ clientId: 1, lineage: newLineage(new Uint8Array(12)) })
  document.edit({ kind: 'add', sku: 'SKU-1' as Sku, quantity: 2 }, 'abcdefghijkl')
  const row = { user, delivered: {}, syncedHash: null, held, updatedAtMs: 0 }
  host.life?.stores.local.putCart({ ...row, state: document.encode(), hash: document.contentHash() })
}

test('only a copy of another member of the set is one that stays', async () => {
  cluster = new Cluster({ seed: 1, nodes: 4, eligible: 4, idleAfterMs: 600_000, trace: false })
  expect(await cluster.boot(bootLimitMs)).toBe(true)
  const ids = cluster.lives()[0]?.life.replica.parts.homes.serverSet(user) ?? []
  const [home, second] = cluster.hosts.filter(({ id }) => ids.includes(id)) as [Host, Host]
  const [outside] = cluster.hosts.filter(({ id }) => !ids.includes(id)) as [Host]
  expect(soleCopies(cluster, home, [user])).toEqual([])
  put(home, 'set')
  put(outside, 'passing')
  // The primary, say, forgets its copy once it believes that the set has the cart.
  expect(soleCopies(cluster, home, [user])).toEqual([user])
  put(second, 'set')
  expect(soleCopies(cluster, home, [user])).toEqual([])
  second.isRemoved = true
  expect(soleCopies(cluster, home, [user])).toEqual([user])
})
