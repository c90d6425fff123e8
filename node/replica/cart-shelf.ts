/**
 * The carts on this node's disk, and the documents of them that are open. Promises: one operation at a time per user;
 * what an operation changed is on disk when it resolves; after a failed write the document is thrown away and read
 * again, and whoever edits next numbers under a fresh writer (CART.md, "Dot"); memory is bounded.
 */
import { CartDocument, newLineage, writerId } from '../../crdt/cart.ts'
import type { UserId } from '../ids.ts'
import type { CartRow } from '../ports.ts'
import { LruMap } from './cart-lru.ts'
import type { Context } from './context.ts'
import type { GroupCommit } from './group-commit.ts'

/** Open documents: about 50 kB each in memory at worst. */
const openCartsMax = 2_000
/** Content hash of a cart in which nothing ever was. */
const emptyHash = CartDocument.create({ clientId: 0, lineage: newLineage(new Uint8Array(12)) }).contentHash()
/** Milliseconds of an hour, in which request keys age (CART.md). */
const hourMs = 3_600_000

/** Changes that another member may be behind by when a rebase reaches it, and take it as it is all the same. */
const earlierMax = 8

/** A document with what the disk says about it. */
export type OpenCart = {
  readonly user: UserId
  document: CartDocument
  /** Content hash on disk; empty for a cart that is not stored. */
  hash: string
  held: CartRow['held']
  delivered: { [member: string]: string }
  syncedHash: string | null
  readonly writer: string
  /** Contents that it had lately, the newest first: other members may still be at one of them when it is rebased. */
  earlier: readonly string[]
}

/** What `update` did. `before` and `after` are content hashes. */
export type UpdateResult<T> = { value: T; changed: boolean; before: string; after: string; rebased: boolean }

export type UpdateOptions = {
  /** How a cart that was not here is held. A `set` cart never becomes a `passing` one here. */
  held?: CartRow['held']
  /** This node is home: a document that has grown is made small again. */
  mayRebase?: boolean
  /** Called in the same transaction as the cart is written in. */
  alsoWrite?: () => void
}

/** Runs tasks of one key after each other, those of different keys side by side. */
class KeyedQueue<Key> {
  readonly #tails = new Map<Key, Promise<void>>()

  has(key: Key): boolean {
    return this.#tails.has(key)
  }

  async run<T>(key: Key, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key)
    const result = before === undefined ? task() : before.then(task)
    const tail = result.then(
      () => undefined,
      () => undefined,
    )
    this.#tails.set(key, tail)
    try {
      return await result
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
  }
}

export class CartShelf {
  readonly #context: Context
  readonly #commit: GroupCommit
  readonly #queue = new KeyedQueue<UserId>()
  readonly #open = new LruMap<UserId, OpenCart>(openCartsMax, (user) => this.#queue.has(user))
  /** Bookkeeping that is not on disk yet; losing it only means that carts are sent once more. */
  readonly #unwritten = new Map<UserId, Pick<CartRow, 'delivered' | 'syncedHash'>>()

  /**
   * Carts that this life let go. One that comes back may lack what was written to it here before (who has that may be
   * dead), so that a writer who counted on would give an entry's name to another one, and the two would contradict
   * each other for ever: it gets another writer.
   */
  #forgotten = 0

  constructor(context: Context, commit: GroupCommit) {
    this.#context = context
    this.#commit = commit
  }

  /** The cart as it is held here, opened if need be; null when it is not held. */
  get(user: UserId): OpenCart | null {
    const open = this.#open.get(user)
    if (open !== undefined) return open.hash === '' ? null : open
    const row = this.#context.stores.local.cart(user)
    return row === null ? null : this.#remember(this.#fromRow(row))
  }

  #fromRow(row: CartRow): OpenCart {
    const unwritten = this.#unwritten.get(row.user)
    return {
      user: row.user,
      document: CartDocument.load(row.state, { clientId: this.#clientId() }),
      hash: row.hash,
      held: row.held,
      delivered: { ...(unwritten?.delivered ?? row.delivered) },
      syncedHash: unwritten === undefined ? row.syncedHash : unwritten.syncedHash,
      writer: this.#writer(row.user),
      earlier: [row.hash],
    }
  }

  #remember(cart: OpenCart): OpenCart {
    this.#open.set(cart.user, cart)
    return cart
  }

  #create(user: UserId, held: CartRow['held']): OpenCart {
    const { random } = this.#context
    const document = CartDocument.create({
      clientId: this.#clientId(),
      lineage: newLineage(random.bytes(12)),
    })
    const writer = this.#writer(user)
    return this.#remember({
      user,
      document,
      hash: '',
      held,
      delivered: {},
      syncedHash: null,
      writer,
      earlier: [],
    })
  }

  #clientId(): number {
    return Buffer.from(this.#context.random.bytes(4)).readUInt32BE(0)
  }

  #writer(user: UserId): string {
    const { selfId, starts } = this.#context
    return writerId(user, selfId, starts, this.#commit.failures + this.#forgotten)
  }

  /** A scratch document for bytes from a peer. Faults as `CartDocument.load`. */
  load(bytes: Uint8Array): CartDocument {
    return CartDocument.load(bytes, { clientId: this.#clientId() })
  }

  /** Runs `task` when no operation on the user's cart is under way. */
  async exclusively<T>(user: UserId, task: () => Promise<T> | T): Promise<T> {
    return await this.#queue.run(user, async () => await task())
  }

  /**
   * Runs `work` on the user's document (a new one if there is none) and stores what it changed. When `work` throws,
   * nothing has changed.
   */
  async update<T>(
    user: UserId,
    work: (cart: OpenCart) => T,
    options: UpdateOptions = {},
  ): Promise<UpdateResult<T>> {
    return await this.#queue.run(user, async () => {
      const cart = this.get(user) ?? this.#create(user, options.held ?? 'set')
      const { hash: before, held: heldBefore } = cart
      const lineage = cart.document.lineage
      try {
        const value = work(cart)
        if (options.held === 'set') cart.held = 'set'
        // Only together with an edit: a rebase is a new content to be brought to everybody, and who merely looks (at a
        // guest's cart that has gone to an account, every other second) would never see it settle.
        const isEdited = cart.document.contentHash() !== before
        const rebased = options.mayRebase === true && isEdited && cart.document.needsRebase()
        if (rebased) this.#rebase(cart)
        const after = cart.document.contentHash()
        const differs = after !== before || cart.document.lineage !== lineage || cart.held !== heldBefore
        // A new cart without anything in it is not worth a row.
        const changed = before === '' ? after !== emptyHash : differs
        if (changed) await this.#store(cart, after, options.alsoWrite)
        else if (options.alsoWrite !== undefined) await this.#commit.write(options.alsoWrite)
        return { value, changed, before, after, rebased }
      } catch (error) {
        // Whatever the document took in is not on disk: the next operation reads what is.
        this.#open.delete(user)
        throw error
      } finally {
        if (cart.hash === '') this.#open.delete(user)
      }
    })
  }

  #rebase(cart: OpenCart): void {
    const { clock, random } = this.#context
    cart.document = cart.document.rebase({
      clientId: this.#clientId(),
      lineage: newLineage(random.bytes(12)),
      hour: Math.floor(clock.wallMs() / hourMs),
      earlier: cart.earlier,
    })
  }

  async #store(cart: OpenCart, hash: string, alsoWrite: (() => void) | undefined): Promise<void> {
    const { local } = this.#context.stores
    const { user, held, syncedHash } = cart
    const row: CartRow = {
      user,
      state: cart.document.encode(),
      hash,
      delivered: { ...cart.delivered },
      syncedHash,
      held,
      updatedAtMs: this.#context.clock.wallMs(),
    }
    await this.#commit.write(() => {
      local.putCart(row)
      alsoWrite?.()
    })
    cart.hash = hash
    cart.earlier = [hash, ...cart.earlier].slice(0, earlierMax)
  }

  /** Notes who has which content; written to disk with the next `writeDelivery`. */
  noteDelivery(user: UserId, acks: { readonly [member: string]: string }, syncedHash?: string): void {
    const cart = this.get(user)
    if (cart === null) return
    Object.assign(cart.delivered, acks)
    if (syncedHash !== undefined) cart.syncedHash = syncedHash
    this.#unwritten.set(user, { delivered: { ...cart.delivered }, syncedHash: cart.syncedHash })
  }

  /** Members that are in the set no more need not be remembered. */
  forgetDelivery(user: UserId, keep: readonly string[]): void {
    const cart = this.get(user)
    if (cart === null) return
    const isKept = ([member]: [string, string]): boolean => keep.includes(member)
    cart.delivered = Object.fromEntries(Object.entries(cart.delivered).filter(isKept))
    this.#unwritten.set(user, { delivered: { ...cart.delivered }, syncedHash: cart.syncedHash })
  }

  async writeDelivery(): Promise<void> {
    if (this.#unwritten.size === 0) return
    const { local } = this.#context.stores
    const batch = [...this.#unwritten]
    await this.#commit.write(() => {
      for (const [user, { delivered, syncedHash }] of batch) local.setDelivery(user, delivered, syncedHash)
    })
    for (const [user, written] of batch) {
      if (this.#unwritten.get(user) === written) this.#unwritten.delete(user)
    }
  }

  /** The user's account was erased: cart, session and what can be erased of its orders leave this disk. */
  async erase(user: UserId): Promise<void> {
    await this.#queue.run(user, async () => {
      this.#unwritten.delete(user)
      await this.#commit.write(() => this.#context.stores.local.eraseUser(user))
      this.#open.delete(user)
    })
  }

  /** Deletes the cart if its content is still `hash`; false when it changed meanwhile. */
  async forget(user: UserId, hash: string): Promise<boolean> {
    return await this.#queue.run(user, async () => {
      const cart = this.get(user)
      if (cart === null) return true
      if (cart.hash !== hash) return false
      this.#unwritten.delete(user)
      await this.#commit.write(() => this.#context.stores.local.deleteCart(user))
      this.#open.delete(user)
      this.#forgotten += 1
      return true
    })
  }
}
