/**
 * A replica in memory, good enough for everything that http/ asks of one. Several share one `FakeWorld`, so
 * that redirects between nodes can be tried; catalog rules are those of node/core.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

import { Fault } from '../../node/faults.ts'
import type { NodeName, Sku, UserId } from '../../node/ids.ts'
import { accountId, guestId, isGuest, parseNodeName } from '../../node/ids.ts'

import type {
  Assignment,
  ClusterEvent,
  ClusterView,
  NodeAddress,
  Replica,
  UserEvent,
  UserInfo,
} from '../../node/replica-api.ts'
import type { TokenSigner } from '../../http/tokens.ts'

import { FakeCarts, FakeOrders } from './fake-carts.ts'
import { FakeCatalog } from './fake-catalog.ts'
import { FakeWorld } from './fake-world.ts'
import type { FakeUser } from './fake-world.ts'

export const fakeSigner: TokenSigner = {
  sign: (label, payload) => ({ keyId: 'k1', signature: mac(label, payload) }),
  verify: (label, keyId, payload, signature) => {
    const wanted = Buffer.from(mac(label, payload))
    const given = Buffer.from(signature)
    return keyId === 'k1' && wanted.length === given.length && timingSafeEqual(wanted, given)
  },
}

function mac(label: string, payload: string): string {
  return createHmac('sha256', `test ${label}`).update(payload).digest('base64url')
}

class FakeUsers {
  readonly #world: FakeWorld
  constructor(world: FakeWorld) {
    this.#world = world
  }
  #add(info: UserInfo, password: string | null): { user: UserInfo; assignment: Assignment } {
    const home = this.#world.nodes[this.#world.users.size % this.#world.nodes.length] as NodeAddress
    this.#world.users.set(info.id, { info, password, home, epoch: 1 })
    return { user: info, assignment: this.#assignment(info.id) }
  }
  #assignment(user: UserId): Assignment {
    const known = this.#world.users.get(user)
    if (known === undefined) throw new Fault('unauthorized', 'unknown user')
    return { home: known.home, epoch: known.epoch, serverSet: this.#world.nodes.slice(0, 3) }
  }
  #merge(guest: UserId | undefined, account: UserId): void {
    if (guest === undefined) return
    const into = this.#world.carts.get(account) ?? new Map<Sku, number>()
    for (const [sku, quantity] of this.#world.carts.get(guest) ?? [])
      into.set(sku, (into.get(sku) ?? 0) + quantity)
    this.#world.carts.set(account, into)
    this.#world.carts.delete(guest)
  }
  async createGuest(): Promise<{ user: UserInfo; assignment: Assignment }> {
    const id = guestId(this.#world.nowMs, this.#world.random())
    return await Promise.resolve(this.#add({ id, kind: 'guest' }, null))
  }
  register: Replica['users']['register'] = async ({ email, password, name, guest }) => {
    await Promise.resolve()
    const normal = email.trim().toLowerCase()
    if ([...this.#world.users.values()].some(({ info }) => info.email === normal))
      throw new Fault('email-taken', 'there is an account with this address')
    const id = accountId(this.#world.random())
    const info: UserInfo = { id, kind: 'account', email: normal, ...(name === undefined ? {} : { name }) }
    const added = this.#add(info, password)
    this.#merge(guest, id)
    return added
  }
  logOn: Replica['users']['logOn'] = async ({ email, password, guest }) => {
    await Promise.resolve()
    const found = [...this.#world.users.values()].find(
      ({ info }) => info.email === email.trim().toLowerCase(),
    )
    if (found === undefined || found.password !== password)
      throw new Fault('unauthorized', 'wrong address or password')
    this.#merge(guest, found.info.id)
    return { user: found.info, assignment: this.#assignment(found.info.id) }
  }
  async describe(user: UserId): Promise<{ user: UserInfo; assignment: Assignment }> {
    const info = this.#world.users.get(user)?.info ?? { id: user, kind: isGuest(user) ? 'guest' : 'account' }
    return await Promise.resolve({ user: info, assignment: this.#assignment(user) })
  }
  revoke(tokenId: string): void {
    this.#world.revoked.add(tokenId)
  }
  revokeAll(user: UserId, untilMs: number): void {
    this.#world.revokedAll.set(user, untilMs)
  }
  revokedAllUntilMs(user: UserId): number {
    return this.#world.revokedAll.get(user) ?? 0
  }
  isOver({ id, user, expiresAtMs }: Parameters<Replica['users']['isOver']>[0]): boolean {
    return this.#world.revoked.has(id) || this.revokedAllUntilMs(user) >= expiresAtMs
  }
  #checked(user: UserId, password: string): FakeUser {
    const known = this.#world.users.get(user)
    if (known === undefined) throw new Fault('unauthorized', 'this account does not exist any more')
    if (known.password !== password) throw new Fault('forbidden', 'the current password is wrong')
    return known
  }
  changePassword: Replica['users']['changePassword'] = async ({ user, current, password }) => {
    await Promise.resolve()
    this.#checked(user, current).password = password
  }
  deleteAccount: Replica['users']['deleteAccount'] = async ({ user, password }) => {
    await Promise.resolve()
    this.#checked(user, password)
    this.#world.users.delete(user)
    this.#world.carts.delete(user)
  }
  isExpired(user: UserId): boolean {
    return isGuest(user) && user.startsWith('g1-')
  }
}

class FakeCluster {
  readonly #world: FakeWorld
  readonly #self: NodeAddress
  readiness = { ready: true, reason: '' }
  readonly removed = new Set<NodeName>()
  constructor(world: FakeWorld, self: NodeAddress) {
    this.#world = world
    this.#self = self
  }
  view(): ClusterView {
    const [primary = null] = this.#world.nodes
    const { version } = this.#world
    const digest = '0'.repeat(64)
    return {
      node: this.#self.node,
      term: 3,
      primary,
      leaseRemainingMs: 900,
      commitIndex: 10 + version,
      appliedIndex: 10 + version,
      catalog: { version, digest },
      orders: { count: this.#world.orders.size, digest },
      settled: true,
      homes: { takeovers: 0, migrations: 0, merges: 0 },
      halted: null,
      members: this.#world.nodes.map(({ node, url }, index) => ({
        node,
        peerId: `12D3KooW${node}`,
        url,
        eligible: true,
        voter: true,
        alive: true,
        primary: index === 0,
        draining: false,
        capacity: 1,
        capacityInUse: 1,
        catalogVersion: version,
        catalogDigest: digest,
        users: this.#world.users.size,
        carts: this.#world.carts.size,
        undeliveredCarts: 0,
        underReplicatedCarts: 0,
        oldestUndeliveredMs: 0,
        oldestUnderReplicatedMs: 0,
        loadPercent: 4 + index,
        lastSeenMs: index * 120,
      })),
    }
  }
  ready = (): { ready: boolean; reason: string } => this.readiness
  #member(node: NodeName): ClusterView['members'][number] {
    const member = this.view().members.find((candidate) => candidate.node === node)
    if (member === undefined || this.removed.has(node))
      throw new Fault('not-found', 'there is no such member')
    return member
  }
  handOver: Replica['cluster']['handOver'] = async (to) => {
    const node = to === null ? this.#self.node : this.#member(to).node
    return await Promise.resolve({ node, term: 4 })
  }
  patchMember: Replica['cluster']['patchMember'] = async (node, patch) =>
    await Promise.resolve({ ...this.#member(node), ...patch })
  removeMember: Replica['cluster']['removeMember'] = async (node) => {
    this.removed.add(this.#member(node).node)
    await Promise.resolve()
  }
}

export class FakeReplica implements Replica {
  readonly self: NodeAddress
  readonly world: FakeWorld
  readonly catalog: FakeCatalog
  readonly users: FakeUsers
  readonly carts: FakeCarts
  readonly orders: FakeOrders
  readonly cluster: FakeCluster

  constructor(world: FakeWorld, self: NodeAddress) {
    this.world = world
    this.self = self
    world.nodes.push(self)
    this.catalog = new FakeCatalog(world)
    this.users = new FakeUsers(world)
    this.carts = new FakeCarts(world, self)
    this.orders = new FakeOrders(world, this.carts)
    this.cluster = new FakeCluster(world, self)
  }
  readonly metrics: Replica['metrics'] = {
    counters: () => [{ name: 'souk_redirects_total', help: 'Requests sent to another home.', value: 3 }],
    gauges: () => [
      { name: 'souk_lease_remaining_ms', help: 'Rest of the lease.', value: 900, labels: { a: 'b' } },
    ],
  }
  onUserEvent(user: UserId, listener: (event: UserEvent) => void): () => void {
    const listeners = this.world.userListeners.get(user) ?? new Set()
    this.world.userListeners.set(user, listeners.add(listener))
    return () => listeners.delete(listener)
  }
  onClusterEvent(listener: (event: ClusterEvent) => void): () => void {
    this.world.clusterListeners.add(listener)
    return () => this.world.clusterListeners.delete(listener)
  }
}

/** Nodes of these names at http://NAME.test. */
export function fakeReplicas(...names: string[]): { world: FakeWorld; replicas: FakeReplica[] } {
  const world = new FakeWorld()
  const replicas = names.map(
    (name) => new FakeReplica(world, { node: parseNodeName(name), url: `http://${name}.test` }),
  )
  return { world, replicas }
}
