/**
 * A shopper who adds, sets and removes through random nodes without a pause, and compares each answer with an obvious
 * cart of its own: what was acknowledged must be there, whatever happens to the nodes meanwhile (promise P5).
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { seededRandom } from '../sim/random.ts'
import type { SeededRandom } from '../sim/random.ts'

export const sampleSkus = ['LAMP', 'RUG', 'TRAY'] as const

export type BusyShopperOptions = {
  readonly seed: number
  /** Every status other than 200, 201 and 307 is an error, and so is a broken connection. */
  readonly isStrict: boolean
  /** Between two changes: the nodes share their processor with the shoppers. */
  readonly pauseMs: number
}

type Answer = { status: number; body: Record<string, unknown>; acks: string | null }
type Cart = {
  items: { sku: string; quantity: number }[]
  complete: boolean
  home: { node: string }
}

/** API.md: one request meets at most two 307s. */
const redirectsMax = 2
/** A node that is silent for so long is left for another one. */
const requestTimeoutMs = 3_000
/** Somebody must serve the cart again within this. */
const retryForMs = 30_000
const retryDelayMs = 20

export class BusyShopper {
  readonly name: string
  /** Node that served the last request. */
  home = ''
  /** Acknowledged changes. */
  changes = 0
  /** Answers that said themselves that something may be missing: a member did not answer its new home within two seconds. */
  incomplete = 0
  readonly statuses = new Set<number>()
  #urls: readonly string[]
  readonly #options: BusyShopperOptions
  readonly #random: SeededRandom
  readonly #expected = new Map<string, number>()
  #token = ''
  #hasLeft = false

  constructor(name: string, urls: readonly string[], options: BusyShopperOptions) {
    this.name = name
    this.#urls = urls
    this.#options = options
    this.#random = seededRandom(options.seed)
  }

  async arrive(): Promise<void> {
    const { status, body } = await this.#insist('POST', '/api/guests')
    assert.equal(status, 201, `${this.name} is no guest: ${JSON.stringify(body)}`)
    this.#token = body['token'] as string
    this.home = (body['home'] as { node: string }).node
  }

  /** Until `leave`. */
  async shop(): Promise<void> {
    while (!this.#hasLeft) {
      await this.#change()
      await sleep(this.#options.pauseMs)
    }
  }

  /** From now on only through these nodes. */
  goThrough(urls: readonly string[]): void {
    this.#urls = urls
  }

  leave(): void {
    this.#hasLeft = true
  }

  /** Looks at the cart at a random node, until it is complete: exactly what was acknowledged is in it. */
  async check(): Promise<void> {
    await this.#untilComplete(({ status }, cart) => void this.#isRight('GET', status, cart))
  }

  async #change(): Promise<void> {
    const sku = this.#random.pick(sampleSkus)
    const quantity = 1 + this.#random.below(3)
    const dice = this.#random.below(6)
    if (dice === 0) await this.#do('DELETE', sku, 0)
    else if (dice === 1) await this.#do('PUT', sku, quantity)
    else await this.#do('POST', sku, quantity)
  }

  async #do(method: 'DELETE' | 'PUT' | 'POST', sku: string, quantity: number): Promise<void> {
    const path = method === 'POST' ? '/api/cart/items' : `/api/cart/items/${sku}`
    const json = { DELETE: undefined, PUT: { quantity }, POST: { sku, quantity } }[method]
    const { status, body } = await this.#insist(method, path, json)
    const before = method === 'POST' ? (this.#expected.get(sku) ?? 0) : 0
    this.#expected.set(sku, before + quantity)
    this.changes += 1
    if (this.#isRight(`${method} ${sku}`, status, body as unknown as Cart)) return
    // What an incomplete cart did not show was not removed by it (DESIGN.md section 5): once more when it is whole.
    this.incomplete += 1
    if (method === 'POST') return await this.check()
    await this.#untilComplete(() => undefined)
    await this.#do(method, sku, quantity)
  }

  async #untilComplete(look: (answer: Answer, cart: Cart) => void): Promise<void> {
    const deadlineMs = performance.now() + retryForMs
    for (;;) {
      const answer = await this.#insist('GET', '/api/cart')
      const cart = answer.body as unknown as Cart
      if (cart.complete || answer.status !== 200) return look(answer, cart)
      assert.ok(performance.now() < deadlineMs, `${this.name}: the cart does not become complete`)
      await sleep(retryDelayMs)
    }
  }

  /** False when the answer says itself that something may be missing; throws when it is wrong. */
  #isRight(what: string, status: number, cart: Cart): boolean {
    const words = `${this.name}, change ${this.changes}, ${what} at ${cart.home?.node}, before that at ${this.home}`
    assert.equal(status, 200, `${words}: ${JSON.stringify(cart)}`)
    this.home = cart.home.node
    if (!cart.complete) return false
    const expected = Object.fromEntries([...this.#expected].filter(([, quantity]) => quantity > 0))
    const found = Object.fromEntries(cart.items.map(({ sku, quantity }) => [sku, quantity]))
    assert.deepEqual(found, expected, words)
    return true
  }

  /** With one key, at one random node after the other, until there is an answer. */
  async #insist(method: string, path: string, json?: unknown): Promise<Answer> {
    const key = randomUUID()
    const deadlineMs = performance.now() + retryForMs
    for (;;) {
      let failure: string
      try {
        const answer = await this.#follow(method, this.#random.pick(this.#urls), path, key, json)
        const isOnOneDisk = answer.acks !== null && answer.acks.startsWith('1/')
        // On one disk only is no promise: the same request again brings it to more (API.md, "Souk-Cart-Acks").
        if (answer.status !== 503 && answer.status !== 504 && !isOnOneDisk) return answer
        failure = `${answer.status} ${answer.acks} ${JSON.stringify(answer.body)}`
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        failure = inspect(error, { depth: 3 })
      }
      if ((this.#options.isStrict && !failure.startsWith('200 1/')) || performance.now() > deadlineMs)
        throw new Error(`${this.name}: ${method} ${path}: ${failure}`)
      await sleep(retryDelayMs)
    }
  }

  async #follow(method: string, url: string, path: string, key: string, json: unknown): Promise<Answer> {
    let target = `${url}${path}`
    for (let redirects = 0; ; redirects += 1) {
      const response = await fetch(target, {
        method,
        headers: {
          // Nodes are killed and started: a kept connection would be one to a former life.
          connection: 'close',
          ...(this.#token === '' ? {} : { authorization: `Bearer ${this.#token}` }),
          ...(method === 'GET' ? {} : { 'idempotency-key': key }),
          ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        },
        redirect: 'manual',
        signal: AbortSignal.timeout(requestTimeoutMs),
        ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      })
      const text = await response.text()
      this.statuses.add(response.status)
      if (response.status !== 307) {
        const body = text === '' ? {} : (JSON.parse(text) as Answer['body'])
        return { status: response.status, body, acks: response.headers.get('souk-cart-acks') }
      }
      assert.ok(redirects < redirectsMax, `${this.name}: more than ${redirectsMax} redirects`)
      target = response.headers.get('location') ?? ''
    }
  }
}
