/**
 * Homes and carts of a few nodes in one process: real stores in memory, virtual time, and a network, members, presence
 * and a primary that the test decides about.
 */
import { Fault } from '../../node/faults.ts'
import { guestId } from '../../node/ids.ts'
import type { Handle, LogIndex, MemberId, NodeName, OrderId, Sku, Tag, UserId } from '../../node/ids.ts'
import type { MemberRecord, Product } from '../../node/commands.ts'
import type { MemberList, PeerRequest } from '../../node/messages.ts'
import { peerRequestSchemas, peerResponseSchemas } from '../../node/messages.ts'
import type { Logger, SoldNotice, Stores } from '../../node/ports.ts'
import { CartService } from '../../node/replica/carts.ts'
import type { Context, PresenceInfo, RequestHandlers, Settings } from '../../node/replica/context.ts'
import { Counters } from '../../node/replica/counters.ts'
import { Homes } from '../../node/replica/homes.ts'
import { openStores } from '../../node/store/index.ts'
import type { OpenedStores, StoreImages } from '../../node/store/index.ts'
import { seededRandom } from '../sim/random.ts'
import type { SeededRandom } from '../sim/random.ts'
import { Scheduler, SimClock } from '../sim/scheduler.ts'

/** One way through the fake network. */
const latencyMs = 2

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

function product(): Product {
  const variant = (sku: string, amount: number): Product['variants'][number] => ({
    sku: sku as Sku,
    title: 'Default Title',
    options: {},
    price: { amount, currency: 'USD' },
  })
  return {
    handle: 'lamp' as Handle,
    title: 'Lamp',
    description: '',
    vendor: '',
    category: '',
    tags: [],
    images: [],
    status: 'active',
    options: [],
    variants: [variant('LAMP', 1_000), variant('SHADE', 250)],
    catalogVersion: 1,
    updatedAt: '2026-01-01T00:00:00Z',
  }
}

/** What travelled, for tests that count. */
export type Sent = { from: MemberId; to: MemberId; request: PeerRequest }

export class CartNode {
  readonly name: string
  readonly id: MemberId
  readonly world: CartWorld
  stores: OpenedStores
  clock: SimClock
  homes!: Homes
  carts!: CartService
  context!: Context
  isUp = true
  /** Process exists and connections stay open, but nothing answers. */
  isSilent = false
  readonly presenceListeners: ((id: MemberId, alive: boolean) => void)[] = []
  readonly membersListeners: (() => void)[] = []
  readonly primaryListeners: (() => void)[] = []
  /** Members that this node takes for dead. */
  readonly dead = new Set<MemberId>()
  #handlers!: Partial<RequestHandlers>

  constructor(world: CartWorld, name: string) {
    this.world = world
    this.name = name
    this.id = `member${name}` as MemberId
    this.clock = new SimClock(world.scheduler)
    this.stores = this.#open({})
    this.stores.shop.transaction((tables) => {
      tables.setCurrency('USD')
      tables.putProduct(product())
    })
    this.#begin()
  }

  #open(images: Partial<StoreImages>): OpenedStores {
    const createIdentity = (): { memberId: MemberId; privateKey: Uint8Array } => ({
      memberId: this.id,
      privateKey: new Uint8Array([1]),
    })
    return openStores({ memory: images }, { createIdentity })
  }

  #begin(): void {
    const { world } = this
    const counters = new Counters()
    const random = world.random.fork(`${this.name} ${this.stores.log.identity().starts}`)
    this.presenceListeners.length = 0
    this.membersListeners.length = 0
    this.primaryListeners.length = 0
    this.context = {
      settings: world.settings(this.name),
      selfId: this.id,
      starts: this.stores.log.identity().starts,
      clock: this.clock,
      random,
      logger: silent,
      hasher: { hash: async () => '', verify: async () => false },
      transport: null as unknown as Context['transport'],
      stores: this.stores as Stores,
      counters,
      members: world.membersView(this),
      presence: world.presenceView(this),
      log: world.logClient(this),
      peers: { ask: (to, request, { timeoutMs }) => world.ask(this, to, request, timeoutMs) },
    }
    this.homes = new Homes(this.context)
    this.carts = new CartService(this.context, this.homes)
    this.#handlers = { ...this.homes.handlers(), ...this.carts.handlers() }
    this.homes.start()
    this.carts.start()
  }

  async answer(from: MemberId, request: PeerRequest): Promise<unknown> {
    if (request.kind === 'members') return this.world.memberList()
    const handler = this.#handlers[request.kind] as (from: MemberId, request: PeerRequest) => Promise<unknown>
    return await handler(from, request)
  }

  /** kill -9: what is on disk stays. */
  crash(): void {
    this.isUp = false
    this.clock.stop()
    this.homes.stop()
    this.carts.stop()
    for (const other of this.world.nodes) if (other !== this && other.isUp) other.sees(this, false)
  }

  start(): void {
    const image = this.stores.image()
    this.stores.close()
    this.clock = new SimClock(this.world.scheduler)
    this.stores = this.#open(image)
    this.dead.clear()
    this.isUp = true
    this.#begin()
    for (const other of this.world.nodes) {
      if (other === this) continue
      if (!other.isUp) this.dead.add(other.id)
      else other.sees(this, true)
    }
  }

  sees(other: CartNode, alive: boolean): void {
    if (alive) this.dead.delete(other.id)
    else this.dead.add(other.id)
    for (const listener of this.presenceListeners) listener(other.id, alive)
  }

  get url(): string {
    return `http://${this.name}.test`
  }
}

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
  readonly notices: SoldNotice[] = []
  /** Answers are checked against the schemas, as the real transport does. */
  readonly faults: unknown[] = []

  constructor(
    count: number,
    options: { seed?: number; primary?: string | null; settings?: Partial<Settings> } = {},
  ) {
    this.random = seededRandom(options.seed ?? 1)
    this.more = options.settings ?? {}
    this.primaryName = options.primary === undefined ? 'n1' : options.primary
    for (let number = 1; number <= count; number += 1) this.records.push(this.#record(`n${number}`))
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

  join(name: string): CartNode {
    this.records.push(this.#record(name))
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
      get: (id) => this.#presence(id),
      onChange: (listener) => void node.presenceListeners.push(listener),
    }
  }

  #presence(id: MemberId): PresenceInfo {
    const node = this.nodes.find((one) => one.id === id)
    return {
      member: id,
      draining: this.records.find((record) => record.id === id)?.draining ?? false,
      users: node?.stores.local.sessionCount(id) ?? 0,
      carts: 0,
      undeliveredCarts: 0,
      underReplicatedCarts: 0,
      loadPercent: 0,
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
            if (!(error instanceof Fault)) this.faults.push(error)
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
    const homes = (this.nodes[0] as CartNode).homes
    for (;;) {
      const user = this.guest()
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

  close(): void {
    for (const node of this.nodes) {
      node.homes.stop()
      node.carts.stop()
      node.stores.close()
    }
  }
}

export const orderOf = (digit: string): OrderId => `o${digit.repeat(32)}` as OrderId
export const tagsOf = (node: CartNode, user: UserId): Tag[] => [
  ...(node.carts.peek(user)?.checkout().tags ?? []),
]
