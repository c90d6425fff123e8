/**
 * Homes and carts of a few nodes in one process: real stores in memory, virtual time, and a network, members, presence
 * and a primary that the test decides about.
 */
import { Fault } from '../../node/faults.ts'
import { accountId, guestId } from '../../node/ids.ts'
import type { LogIndex, MemberId, NodeName, OrderId, Sku, Tag, UserId } from '../../node/ids.ts'
import type { MemberRecord } from '../../node/commands.ts'
import type { MemberList, PeerRequest } from '../../node/messages.ts'
import { peerRequestSchemas, peerResponseSchemas } from '../../node/messages.ts'
import type { Context, PresenceInfo, Settings } from '../../node/replica/context.ts'
import { seededRandom } from '../sim/random.ts'
import type { SeededRandom } from '../sim/random.ts'
import { Scheduler } from '../sim/scheduler.ts'
import { CartNode } from './cart-service-node.ts'

/** One way through the fake network. */
const latencyMs = 2

/** What travelled, for tests that count. */
export type Sent = { from: MemberId; to: MemberId; request: PeerRequest }

export class CartWorld {
  readonly scheduler = new Scheduler()
  readonly random: SeededRandom
  readonly nodes: CartNode[] = []
  readonly sent: Sent[] = []
  /** `from to` of links that are cut, one way. */
  readonly cut = new Set<string>()
  readonly more: Partial<Settings>
  membersVersion: LogIndex = 1
  readonly records: MemberRecord[] = []
  primaryName: string | null
  /** What handlers threw that is no Fault. */
  readonly bugs: unknown[] = []
  /** How busy the processors are, by name; 0 where nothing is said. */
  readonly loadPercents = new Map<string, number>()
  /** How old what members know of each other's load may be; 0: always fresh. */
  readonly #gossipMs: number
  readonly #gossip = new Map<MemberId, PresenceInfo>()

  constructor(
    count: number,
    options: {
      seed?: number
      primary?: string | null
      settings?: Partial<Settings>
      capacities?: readonly number[]
      gossipMs?: number
    } = {},
  ) {
    this.#gossipMs = options.gossipMs ?? 0
    this.random = seededRandom(options.seed ?? 1)
    this.more = options.settings ?? {}
    this.primaryName = options.primary === undefined ? 'n1' : options.primary
    for (let number = 1; number <= count; number += 1) {
      const capacity = options.capacities?.[number - 1] ?? 1
      this.records.push({ ...this.#record(`n${number}`), capacity })
    }
    for (let number = 1; number <= count; number += 1) this.nodes.push(new CartNode(this, `n${number}`))
  }

  #record(name: string): MemberRecord {
    return {
      id: `member${name}` as MemberId,
      node: name as NodeName,
      url: `http://${name}.test`,
      p2p: '10.0.0.1:7000',
      eligible: true,
      draining: false,
      capacity: 1,
      joinedIndex: 1,
    }
  }

  node(name: string | MemberId): CartNode {
    const found = this.nodes.find((node) => node.name === name || node.id === name)
    if (found === undefined) throw new Error(`no node ${name}`)
    return found
  }

  settings(name: string): Settings {
    return {
      node: name as NodeName,
      publicUrl: `http://${name}.test`,
      p2p: '10.0.0.1:7000',
      eligible: true,
      capacity: 1,
      init: false,
      join: [],
      currency: 'USD',
      serverSetSize: 3,
      cartAcks: 2,
      cartSyncIntervalMs: 2_000,
      orderWaitMs: 3_000,
      idleAfterMs: 600_000,
      guestCartDays: 30,
      heartbeatMs: 100,
      electionTimeoutMinMs: 500,
      electionTimeoutMaxMs: 1_000,
      replaceVoterAfterMs: 20_000,
      ...this.more,
    }
  }

  /** Adds a node to the cluster, or changes a member. */
  changeMembers(change: () => void): void {
    change()
    this.membersVersion += 1
    for (const node of this.nodes) if (node.isUp) for (const listener of node.membersListeners) listener()
  }

  setDraining(name: string, draining: boolean): void {
    this.changeMembers(() => Object.assign(this.records[this.#indexOf(name)] as MemberRecord, { draining }))
  }

  #indexOf(name: string): number {
    return this.records.findIndex(({ node }) => node === name)
  }

  /** A member is removed for good and its node is gone; another one takes its place. */
  replace(name: string, by: string): CartNode {
    const index = this.#indexOf(name)
    const { capacity } = this.records[index] as MemberRecord
    this.records.splice(index, 1)
    return this.join(by, capacity)
  }

  join(name: string, capacity = 1): CartNode {
    this.records.push({ ...this.#record(name), capacity })
    const node = new CartNode(this, name)
    this.nodes.push(node)
    this.changeMembers(() => undefined)
    return node
  }

  memberList(): MemberList {
    return {
      clusterId: 'a'.repeat(32) as MemberList['clusterId'],
      currency: 'USD',
      membersVersion: this.membersVersion,
      members: this.records,
      removed: [],
      term: 1,
      primary: null,
      catalogVersion: 0,
    }
  }

  membersView(node: CartNode): Context['members'] {
    const get = (id: MemberId): MemberRecord | null => this.records.find((record) => record.id === id) ?? null
    return {
      version: () => this.membersVersion,
      list: () => this.records,
      get,
      byName: (name) => this.records.find((record) => record.node === name) ?? null,
      isRemoved: () => false,
      address: (id) => {
        const record = get(id)
        return record === null ? null : { node: record.node, url: record.url }
      },
      selfIsMember: () => get(node.id) !== null,
      take: () => undefined,
      onChange: (listener) => void node.membersListeners.push(listener),
    }
  }

  presenceView(node: CartNode): Context['presence'] {
    return {
      alive: (id) => id === node.id || !node.dead.has(id),
      get: (id) => (id === node.id ? this.#presence(id) : this.#heard(id)),
      onChange: (listener) => void node.presenceListeners.push(listener),
    }
  }

  #heard(id: MemberId): PresenceInfo {
    const nowMs = this.scheduler.nowMs
    const known = this.#gossip.get(id)
    if (known !== undefined && nowMs - known.heardAtMs < this.#gossipMs) return known
    const info = { ...this.#presence(id), heardAtMs: nowMs }
    this.#gossip.set(id, info)
    return info
  }

  #presence(id: MemberId): PresenceInfo {
    const node = this.nodes.find((one) => one.id === id)
    const said = node?.isUp === true ? node.carts.counts() : this.#gossip.get(id)
    return {
      member: id,
      draining: this.records.find((record) => record.id === id)?.draining ?? false,
      users: node?.stores.local.sessionCount(id) ?? 0,
      carts: 0,
      undeliveredCarts: 0,
      underReplicatedCarts: 0,
      oldestUndeliveredMs: 0,
      oldestUnderReplicatedMs: 0,
      placedVersion: said?.placedVersion ?? 0,
      settledVersion: said?.settledVersion ?? 0,
      loadPercent: this.loadPercents.get(node?.name ?? '') ?? 0,
      catalogVersion: 1,
      catalogDigest: '0'.repeat(64) as PresenceInfo['catalogDigest'],
      heardAtMs: 0,
    }
  }

  logClient(node: CartNode): Context['log'] {
    const primary = (): CartNode | null => {
      const found = this.primaryName === null ? null : this.node(this.primaryName)
      return found !== null && found.isUp ? found : null
    }
    return {
      run: async () => {
        throw new Error('carts run no commands')
      },
      query: async () => {
        throw new Error('carts read no orders')
      },
      primary: () => {
        const found = primary()
        return found === null ? null : { id: found.id, term: 1 }
      },
      isPrimary: () => primary() === node,
      freshCommandId: () => {
        throw new Error('carts run no commands')
      },
      onPrimaryChange: (listener) => void node.primaryListeners.push(listener),
    }
  }

  movePrimary(name: string | null): void {
    this.primaryName = name
    for (const node of this.nodes) if (node.isUp) for (const listener of node.primaryListeners) listener()
  }

  /** The fake network: both ways through it, time-outs, silence, and what is not connected. */
  ask<T>(from: CartNode, toId: MemberId, request: PeerRequest, timeoutMs: number): Promise<T> {
    const to = this.nodes.find((node) => node.id === toId)
    if (to === from) return from.answer(from.id, request) as Promise<T>
    this.sent.push({ from: from.id, to: toId, request })
    const isCut = (one: CartNode, other: CartNode): boolean => this.cut.has(`${one.name} ${other.name}`)
    if (to === undefined || !to.isUp)
      return Promise.reject(new Fault('internal', 'not connected', { notSent: true }))
    const { kind, ...body } = request
    const checked = { kind, ...peerRequestSchemas[kind].parse(structuredClone(body)) } as PeerRequest
    return new Promise((resolve, reject) => {
      const cancel = from.clock.timer(timeoutMs, () =>
        reject(new Fault('outcome-unknown', 'no answer in time')),
      )
      const back = (settle: () => void): void => {
        if (isCut(to, from) || !to.isUp) return
        from.clock.timer(latencyMs, () => {
          cancel()
          settle()
        })
      }
      if (isCut(from, to)) return
      to.clock.timer(latencyMs, () => {
        if (to.isSilent) return
        to.answer(from.id, checked).then(
          (answer) => back(() => resolve(peerResponseSchemas[kind].parse(structuredClone(answer)) as T)),
          (error: unknown) => {
            if (!(error instanceof Fault)) this.bugs.push(error)
            back(() => reject(error as Error))
          },
        )
      })
    })
  }

  cutBothWays(one: CartNode, other: CartNode): void {
    this.cut.add(`${one.name} ${other.name}`).add(`${other.name} ${one.name}`)
  }

  heal(): void {
    this.cut.clear()
  }

  /** Waits for a promise in virtual time. */
  async run<T>(promise: Promise<T>, limitMs = 20_000): Promise<T> {
    return await this.scheduler.settle(promise, limitMs)
  }

  async until(condition: () => boolean, limitMs = 120_000): Promise<boolean> {
    return await this.scheduler.runUntil(condition, limitMs)
  }

  guest(): UserId {
    return guestId(this.nodes[0]?.clock.wallMs() ?? 0, this.random.bytes(12))
  }

  /** A user whose server set begins with these nodes, in this order. */
  guestOf(...names: string[]): UserId {
    return this.#drawn(() => this.guest(), names)
  }

  accountOf(...names: string[]): UserId {
    return this.#drawn(() => accountId(this.random.bytes(16)), names)
  }

  /** A user whose set begins with these nodes. */
  #drawn(draw: () => UserId, names: readonly string[]): UserId {
    const homes = (this.nodes[0] as CartNode).homes
    for (;;) {
      const user = draw()
      const set = homes.serverSet(user)
      if (names.every((name, index) => set[index] === this.node(name).id)) return user
    }
  }

  /** A request as HTTP would do it: follows redirects. Returns the node that serves, and the hops. */
  async follow(user: UserId, at: CartNode): Promise<{ node: CartNode; hops: number }> {
    let node = at
    for (let hops = 0; hops <= 3; hops += 1) {
      const route = await this.run(node.carts.route(user, hops))
      if (route.kind === 'here') return { node, hops }
      node = this.node(route.home.node)
    }
    throw new Error('more than three hops')
  }

  async add(
    user: UserId,
    at: CartNode,
    quantity = 1,
    key?: string,
  ): Promise<{ node: CartNode; acks: number }> {
    const { node } = await this.follow(user, at)
    const change = { kind: 'add', sku: 'LAMP' as Sku, quantity } as const
    const { acks } = await this.run(node.carts.change(user, change, key))
    return { node, acks }
  }

  quantities(user: UserId): (number | null)[] {
    return this.nodes.map((node) => {
      if (!node.isUp) return null
      const view = node.carts.localView(user)
      return view === null ? null : view.items.reduce((sum, item) => sum + item.quantity, 0)
    })
  }

  /** Ends the world; throws when a handler met a bug. */
  close(): void {
    for (const node of this.nodes) {
      node.homes.stop()
      node.carts.stop()
      node.stores.close()
    }
    if (this.bugs.length > 0) throw new Error('a handler failed', { cause: this.bugs[0] })
  }
}

export type { CartNode }

export const orderOf = (digit: string): OrderId => `o${digit.repeat(32)}` as OrderId
export const tagsOf = (node: CartNode, user: UserId): Tag[] => [
  ...(node.carts.peek(user)?.checkout().tags ?? []),
]
