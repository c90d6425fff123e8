/**
 * A shopper: looks around, changes the cart, orders, logs on and off, one thing after the other. Does not judge what it is
 * answered; that is for the checkers.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../sim/random.ts'
import type { Asked, CartSeen, Kind } from '../history.ts'
import type { SessionDocument } from './answers.ts'
import type { Reading } from './answers.ts'
import type { Client, Doing, Done } from './client.ts'
import type { Request } from './http.ts'
import type { Wares } from './wares.ts'

/** Between two things that a shopper does. */
const thinkMinMs = 60
const thinkMaxMs = 420
/**
 * An attempt that takes longer is left for another node. Orders wait a second for their decision at the node; of the two
 * seconds in which one must be accepted there must be some left for that other node.
 */
const cartTimeoutMs = 900
const orderTimeoutMs = 1_300
const userTimeoutMs = 4_000
/** A log-off is heard of everywhere within a second. */
const logOffHeardMs = 1_100
const quantityMax = 3
const ordersRemembered = 20

export type ShopperOptions = {
  readonly name: string
  readonly client: Client
  readonly random: SeededRandom
  readonly wares: Wares
  readonly hasAccount: boolean
  readonly patience: number
  readonly isOver: () => boolean
}

export type Identity = { readonly process: string; readonly user: string; readonly token: string }
type Ordered = { readonly key: string; readonly hash: string; readonly seen: CartSeen; id: string | null }

/** Repeated names are more frequent. */
// prettier-ignore
const habits = [
  'add', 'add', 'add', 'add', 'add', 'add', 'add', 'view', 'view', 'view', 'set', 'set', 'remove', 'remove', 'clear',
  'order', 'order', 'order', 'orderAgain', 'readOrder', 'listOrders', 'cancel', 'browse', 'browse', 'session', 'identity',
] as const
type Habit = (typeof habits)[number]

export class Shopper {
  readonly #options: ShopperOptions
  #identities = 0
  #keys = 0
  #token: string | null = null
  #email: string | null = null
  user = ''
  /** Node that served the cart last. */
  home: string | null = null
  #orders: Ordered[] = []
  #lastCart: CartSeen | null = null
  /** Clients that it was, each with the session that it had last. */
  readonly #past: Identity[] = []
  /** Something was never answered: who knows what this client did? Another one takes its place. */
  #isLost = false

  constructor(options: ShopperOptions) {
    this.#options = options
  }

  /** Each identity is a client of its own. */
  get process(): string {
    return `${this.#options.name}/${this.#identities}`
  }

  get token(): string | null {
    return this.#token
  }

  /** Everybody that it was; without those who logged off and did not come back. */
  identities(): Identity[] {
    const { process, user } = this
    return [...this.#past, ...(this.#token === null ? [] : [{ process, user, token: this.#token }])]
  }

  async shop(): Promise<void> {
    const { isOver, random } = this.#options
    while (!isOver()) {
      await sleep(random.between(thinkMinMs, thinkMaxMs))
      if (this.#isLost) this.#forget()
      if (this.#token === null) await this.#arrive()
      else await this.#act(random.pick(habits) as Habit)
    }
  }

  async #act(habit: Habit): Promise<void> {
    const { random, wares } = this.#options
    switch (habit) {
      case 'add': {
        const [sku, quantity] = [wares.anySku(random), 1 + random.below(quantityMax)]
        return await this.#change('cart.add', 'POST', '/api/cart/items', { sku, quantity })
      }
      case 'set': {
        const [sku, quantity] = [wares.anySku(random), 1 + random.below(quantityMax)]
        return await this.#change('cart.set', 'PUT', `/api/cart/items/${sku}`, { sku, quantity })
      }
      case 'remove': {
        const sku = wares.anySku(random)
        return await this.#change('cart.remove', 'DELETE', `/api/cart/items/${sku}`, { sku })
      }
      case 'clear':
        return await this.#change('cart.clear', 'DELETE', '/api/cart', {})
      case 'view':
        return void (await this.#view())
      case 'order':
        return await this.#order()
      case 'orderAgain':
        return await this.#orderAgain()
      case 'readOrder':
        return await this.#readOrder('order.read', 'GET', '')
      case 'cancel':
        return random.chance(0.5) ? await this.#readOrder('order.cancel', 'POST', '/cancel') : undefined
      case 'listOrders':
        return void (await this.#ask('order.list', 'GET', '/api/orders', {}, 'orders', userTimeoutMs))
      case 'browse':
        return await this.#browse()
      case 'session':
        return void (await this.#ask('session', 'GET', '/api/session', {}, 'session', userTimeoutMs))
      case 'identity':
        return await this.#changeIdentity()
      default: {
        const never: never = habit
        return never
      }
    }
  }

  // ---------------------------------------------------------------- requests

  #key(): string {
    this.#keys += 1
    return `${this.process}-${this.#keys}`
  }

  async #ask(
    kind: Kind,
    method: string,
    path: string,
    asked: Asked,
    reading: Reading,
    timeoutMs: number,
    more: Partial<Doing> & { json?: unknown; key?: string; headers?: Request['headers'] } = {},
  ): Promise<Done> {
    const { client, patience } = this.#options
    const { json, key, headers, ...doing } = more
    const request: Request = {
      method,
      timeoutMs: timeoutMs * patience,
      ...(this.#token === null ? {} : { token: this.#token }),
      ...(json === undefined ? {} : { json }),
      ...(key === undefined ? {} : { key }),
      ...(headers === undefined ? {} : { headers }),
    }
    const who = this.user === '' ? {} : { user: this.user }
    const named = { ...who, ...(key === undefined ? {} : { key }), ...asked }
    return await client.operate({
      process: this.process,
      kind,
      path,
      request,
      asked: named,
      reading,
      insists: true,
      ...doing,
    })
  }

  async #change(kind: Kind, method: string, path: string, asked: Asked): Promise<void> {
    const { sku, quantity } = asked
    const json = method === 'POST' ? { sku, quantity } : method === 'PUT' ? { quantity } : undefined
    const more = { key: this.#key(), ...(json === undefined ? {} : { json }) }
    const done = await this.#ask(kind, method, path, asked, 'cart', cartTimeoutMs, more)
    this.#noteCart(done)
    if (done.outcome === 'unknown') this.#isLost = true
  }

  #noteCart({ attempt }: Done): CartSeen | null {
    const { cart } = attempt.answered
    if (cart === undefined) return null
    this.home = cart.home
    this.#lastCart = cart
    return cart
  }

  async #view(): Promise<CartSeen | null> {
    return this.#noteCart(await this.#ask('cart.view', 'GET', '/api/cart', {}, 'cart', cartTimeoutMs))
  }

  /** Now and then of a cart seen a while ago, or of whatever is in it. */
  async #order(): Promise<void> {
    const { random } = this.#options
    const seen = random.chance(0.8) ? await this.#view() : this.#lastCart
    if (seen === null || (seen.items.length === 0 && random.chance(0.9))) return
    const hash = random.chance(0.85) ? seen.hash : '*'
    const ordered: Ordered = { key: this.#key(), hash, seen, id: null }
    this.#orders = [...this.#orders, ordered].slice(-ordersRemembered)
    await this.#place(ordered, random.chance(0.7))
  }

  async #place(ordered: Ordered, chases: boolean): Promise<void> {
    const { key, hash, seen } = ordered
    const asked = { hash, seen: seen.items }
    const more = { key, json: { hash }, chases }
    const done = await this.#ask('order.place', 'POST', '/api/orders', asked, 'order', orderTimeoutMs, more)
    ordered.id = done.attempt.answered.order?.id ?? ordered.id
  }

  /** The same request with the same key: nothing may change by it. */
  async #orderAgain(): Promise<void> {
    if (this.#orders.length > 0) await this.#place(this.#options.random.pick(this.#orders), true)
  }

  async #readOrder(kind: Kind, method: string, suffix: string): Promise<void> {
    const known = this.#orders.flatMap(({ id }) => id ?? [])
    if (known.length === 0) return
    const order = this.#options.random.pick(known)
    await this.#ask(kind, method, `/api/orders/${order}${suffix}`, { order }, 'order', userTimeoutMs)
  }

  async #browse(): Promise<void> {
    const { client, random, wares } = this.#options
    await wares.browse(client, random, this.process)
  }

  // ---------------------------------------------------------------- who

  #forget(): void {
    const { process, user } = this
    if (this.#token !== null) this.#past.push({ process, user, token: this.#token })
    this.#identities += 1
    this.#token = null
    this.#email = null
    this.user = ''
    this.home = null
    this.#orders = []
    this.#lastCart = null
    this.#isLost = false
  }

  async #arrive(): Promise<void> {
    const { random, hasAccount } = this.#options
    if (this.#email !== null && random.chance(0.5)) return await this.#logOn(null)
    const done = await this.#ask('guest', 'POST', '/api/guests', {}, 'session', userTimeoutMs)
    this.#take(done)
    if (done.outcome !== 'ok' || !hasAccount || this.#email !== null) return
    if (random.chance(0.3)) await this.#register()
  }

  #take({ outcome, answer }: Done): void {
    if (outcome !== 'ok') return
    const { token, user, home } = answer.json as SessionDocument
    this.#token = token
    this.user = user.id
    this.home = home.node
  }

  async #changeIdentity(): Promise<void> {
    const { hasAccount, random } = this.#options
    if (!hasAccount) return random.chance(0.1) ? this.#forget() : undefined
    if (this.#email === null) return await this.#register()
    if (this.user.startsWith('g')) return await this.#logOn(this.user)
    await this.#logOff()
  }

  async #register(): Promise<void> {
    const email = `${this.process.replace('/', '.')}@chaos.test`
    const json = { email, password: 'correct horse' }
    const more = { json, key: this.#key() }
    const asked = { guest: this.user }
    const done = await this.#ask('register', 'POST', '/api/accounts', asked, 'session', userTimeoutMs, more)
    if (done.outcome === 'ok') this.#email = email
    this.#becomes(done)
  }

  async #logOn(guest: string | null): Promise<void> {
    const json = { email: this.#email, password: 'correct horse' }
    const asked = guest === null ? {} : { guest }
    const done = await this.#ask('log-on', 'POST', '/api/session', asked, 'session', userTimeoutMs, { json })
    this.#becomes(done)
  }

  /** The cart of a guest may have gone to the account without a word: nobody knows where it is to be found. */
  #becomes(done: Done): void {
    if (done.outcome === 'unknown') this.#token = null
    if (done.outcome !== 'ok') this.#isLost = true
    this.#take(done)
  }

  /** A second later the token is good nowhere any more. */
  async #logOff(): Promise<void> {
    const mark = this.#key()
    const asked = { key: mark }
    const done = await this.#ask('log-off', 'DELETE', '/api/session', asked, 'nothing', userTimeoutMs)
    const { outcome } = done
    if (outcome === 'ok') {
      await sleep(logOffHeardMs * this.#options.patience)
      await this.#ask('session', 'GET', '/api/session', asked, 'session', userTimeoutMs, { insists: false })
    }
    this.#token = null
    this.user = ''
  }
}
