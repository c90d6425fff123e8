/** One node of `CartWorld`: real stores in memory under a fake network and clock. */
import type { Handle, MemberId, Sku } from '../../node/ids.ts'
import type { Product } from '../../node/commands.ts'
import type { PeerRequest } from '../../node/messages.ts'
import type { Logger, Stores } from '../../node/ports.ts'
import { CartService } from '../../node/replica/carts.ts'
import type { Context, RequestHandlers } from '../../node/replica/context.ts'
import { Counters } from '../../node/replica/counters.ts'
import { Homes } from '../../node/replica/homes.ts'
import { openStores } from '../../node/store/index.ts'
import type { OpenedStores, StoreImages } from '../../node/store/index.ts'
import { SimClock } from '../sim/scheduler.ts'
import type { CartWorld } from './cart-service-world.ts'

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
