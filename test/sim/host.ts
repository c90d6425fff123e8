/** One simulated machine: a disk that outlives its process, and at most one life of the process at a time. */
import type { MemberId, NodeName } from '../../node/ids.ts'
import type { Logger, PasswordHasher, Stores } from '../../node/ports.ts'
import { createReplica } from '../../node/replica.ts'
import type { ReplicaNode } from '../../node/replica.ts'
import type { Bounds, Settings } from '../../node/replica/context.ts'
import { openStores } from '../../node/store/index.ts'
import type { OpenedStores, StoreImages } from '../../node/store/index.ts'
import { FaultyDisk } from './disk.ts'
import type { DiskHooks } from './disk.ts'
import type { SimNetwork } from './network.ts'
import type { SeededRandom } from './random.ts'
import { SimClock } from './scheduler.ts'
import type { SimClockOptions } from './scheduler.ts'

/** What a machine reports to its cluster. */
export type HostEvents = Omit<DiskHooks, 'killed' | 'failed'> & {
  /** The disk failed and the process ended itself because of it. */
  diskFailed: () => void
  /** The disk was replaced by an empty one. */
  wiped: () => void
  /** An exception outside of everything, or a replica that says that it can't go on: a bug. */
  failed: (error: unknown) => void
  started: (life: Life) => void
  logged: (level: 'debug' | 'info' | 'warn' | 'error', data: object, message: string) => void
}

export type HostOptions = {
  name: string
  settings: Settings
  bounds: Bounds
  catalogVersionsMax: number
  /** How far the monotonic clock of a life may be off: 0.05 is 5 % fast or slow. */
  drift: number
  network: SimNetwork
  random: SeededRandom
  events: HostEvents
}

/** A clock whose callbacks may throw: that ends the simulation, unless the process is dead anyway. */
class GuardedClock extends SimClock {
  readonly #failed: (error: unknown) => void

  constructor(network: SimNetwork, options: SimClockOptions, failed: (error: unknown) => void) {
    super(network.scheduler, options)
    this.#failed = failed
  }

  override run(callback: () => void): void {
    super.run(() => {
      try {
        callback()
      } catch (error) {
        this.#failed(error)
      }
    })
  }
}

/** Passwords cost nothing here: scrypt would be nearly all of the time. */
const quickHasher: PasswordHasher = {
  hash: async (password) => `quick$${password}`,
  verify: async (password, hash) => hash === `quick$${password}`,
}

/** One process: from its start to the moment it is killed. */
export class Life {
  readonly clock: SimClock
  readonly stores: OpenedStores
  readonly disk: FaultyDisk
  readonly replica: ReplicaNode
  readonly #endings = new Set<() => void>()
  alive = true

  constructor(parts: { clock: SimClock; stores: OpenedStores; disk: FaultyDisk; replica: ReplicaNode }) {
    this.clock = parts.clock
    this.stores = parts.stores
    this.disk = parts.disk
    this.replica = parts.replica
  }

  get api(): ReplicaNode['api'] {
    return this.replica.api
  }

  /** Called once when this process ends; returns a way to be left alone. */
  onEnd(listener: () => void): () => void {
    this.#endings.add(listener)
    return () => this.#endings.delete(listener)
  }

  end(): void {
    this.alive = false
    for (const listener of this.#endings) listener()
    this.#endings.clear()
  }
}

export class Host {
  readonly name: NodeName
  settings: Settings
  readonly #options: HostOptions
  #images: Partial<StoreImages> = {}
  /** The stores of the life that ended; its bytes are what is on the disk. */
  #remains: OpenedStores | null = null
  life: Life | null = null
  starts = 0
  /** Out of service: removed by an operator, and not set up again. */
  isRetired = false
  /** An operator asked to remove this member. */
  isRemoved = false
  /** What its processor is said to be busy with. */
  loadPercent = 5
  #disks = 1

  constructor(options: HostOptions) {
    this.#options = options
    this.settings = options.settings
    this.name = options.settings.node
  }

  /** Bound to the disk. */
  get id(): MemberId {
    return this.#idOfDisk(this.#disks)
  }

  /** Of all disks that this machine ever had. */
  get ids(): MemberId[] {
    return Array.from({ length: this.#disks }, (_, index) => this.#idOfDisk(index + 1))
  }

  #idOfDisk(number: number): MemberId {
    return (number === 1 ? `${this.name}peer` : `${this.name}peer${number}`) as MemberId
  }

  get isUp(): boolean {
    return this.life !== null
  }

  get isPaused(): boolean {
    return this.life?.clock.paused ?? false
  }

  /** Starts the process on what is on the disk. */
  start(): Life {
    if (this.life !== null) return this.life
    const { network, random, events, bounds, drift, catalogVersionsMax } = this.#options
    this.starts += 1
    const lifeRandom = random.fork(`life ${this.starts}`)
    const rate = lifeRandom.between(1 - drift, 1 + drift)
    const wallOffsetMs = lifeRandom.between(-2_000, 2_000)
    const clock = new GuardedClock(network, { rate, wallOffsetMs }, (error) => this.#failed(clock, error))
    const stores = this.#open()
    const hooks = {
      ...events,
      killed: () => this.kill(),
      failed: () => {
        this.kill()
        events.diskFailed()
      },
    }
    const disk = new FaultyDisk(stores, hooks, catalogVersionsMax)
    const logger = this.#logger(clock)
    const transport = network.transport({
      id: this.id,
      p2p: this.settings.p2p,
      clock,
      random: lifeRandom.fork('transport'),
      logger,
    })
    const replica = createReplica({
      settings: this.settings,
      clock,
      random: lifeRandom.fork('replica'),
      transport,
      stores: disk.stores,
      hasher: quickHasher,
      logger,
      loadPercent: () => this.loadPercent,
      onFatal: (error) => this.#failed(clock, error),
      bounds,
    })
    const life = new Life({ clock, stores, disk, replica })
    this.life = life
    events.started(life)
    replica.start().catch((error: unknown) => this.#failed(clock, error))
    return life
  }

  /** kill -9. `dark`: the machine is gone with it, so nothing answers at its address. */
  kill(options: { dark?: boolean } = {}): void {
    const life = this.life
    if (life === null) return
    this.life = null
    this.#remains = life.stores
    life.disk.freeze()
    this.#options.network.crash(this.id, options)
    life.replica.crash()
    life.end()
  }

  /** Puts a copy of an earlier disk in the place of this one, as an operator must not. */
  restore(images: StoreImages): void {
    this.#remains?.close()
    this.#remains = null
    this.#images = images
  }

  /** A clean stop, then gone. */
  async stop(): Promise<void> {
    const life = this.life
    if (life === null) return
    try {
      await life.replica.stop()
    } catch (error) {
      // Killed in the middle of it: then there is nobody to say anything.
      if (life.alive) this.#options.events.failed(error)
    }
    if (this.life === life) this.kill()
  }

  /** What the databases say: of the running process, or of the one that ended; null when there is nothing yet. */
  get stores(): Stores | null {
    return this.life?.stores ?? this.#remains
  }

  /** The disk is lost, carts, log, identity and all; what starts here next joins as a new member. */
  wipe(join: readonly string[]): void {
    this.kill()
    this.#remains?.close()
    this.#remains = null
    this.#images = {}
    this.#disks += 1
    this.isRemoved = false
    this.settings = { ...this.settings, init: false, join }
    this.#options.events.wiped()
  }

  /** Frees the databases; the world is over. */
  close(): void {
    this.kill()
    this.#remains?.close()
    this.#remains = null
  }

  #open(): OpenedStores {
    if (this.#remains !== null) {
      this.#images = this.#remains.image()
      this.#remains.close()
      this.#remains = null
    }
    return openStores(
      { memory: this.#images },
      {
        createIdentity: () => ({ memberId: this.id, privateKey: new Uint8Array([1]) }),
      },
    )
  }

  #failed(clock: SimClock, error: unknown): void {
    if (!clock.stopped) this.#options.events.failed(error)
  }

  #logger(clock: SimClock): Logger {
    const { events } = this.#options
    const at =
      (level: 'debug' | 'info' | 'warn' | 'error') =>
      (data: object, message: string): void => {
        if (!clock.stopped) events.logged(level, data, message)
      }
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  }
}
