/** An administrator: changes prices with and without conditions, deletes products and makes them again, ships orders. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../sim/random.ts'
import type { Asked, Kind } from '../history.ts'
import type { OrderDocument, Reading } from './answers.ts'
import type { Client, Done } from './client.ts'
import type { Request } from './http.ts'
import type { Wares } from './wares.ts'

const thinkMinMs = 150
const thinkMaxMs = 900
const timeoutMs = 3_000
const ordersLookedAt = 20

export type AdministratorOptions = {
  readonly name: string
  readonly token: string
  readonly client: Client
  readonly random: SeededRandom
  readonly wares: Wares
  readonly patience: number
  readonly isOver: () => boolean
}

export class Administrator {
  readonly #options: AdministratorOptions
  #keys = 0

  constructor(options: AdministratorOptions) {
    this.#options = options
  }

  async work(): Promise<void> {
    const { random, isOver } = this.#options
    while (!isOver()) {
      await sleep(random.between(thinkMinMs, thinkMaxMs))
      const draw = random.next()
      if (draw < 0.55) await this.#reprice()
      else if (draw < 0.7) await this.#patch(this.#anyHandle(), undefined)
      else if (draw < 0.8) await this.put(this.#anyHandle())
      else if (draw < 0.86) await this.#comeAndGo()
      else await this.#handleOrder()
    }
  }

  #anyHandle(): string {
    return this.#options.random.pick(this.#options.wares.steady)
  }

  async #ask(
    kind: Kind,
    method: string,
    path: string,
    asked: Asked,
    reading: Reading,
    more: { json?: unknown; ifMatch?: number } = {},
  ): Promise<Done> {
    const { name, token, client, patience, wares } = this.#options
    const { json, ifMatch } = more
    this.#keys += 1
    const key = `${name}-${this.#keys}`
    const request: Request = {
      method,
      token,
      timeoutMs: timeoutMs * patience,
      ...(method === 'GET' ? {} : { key }),
      ...(json === undefined ? {} : { json }),
      ...(ifMatch === undefined ? {} : { headers: { 'if-match': `"${ifMatch}"` } }),
    }
    const done = await client.operate({ process: name, kind, path, request, asked, reading, insists: true })
    wares.note(done.attempt.answered.version)
    return done
  }

  /** Creates or replaces a product. */
  async put(handle: string): Promise<Done> {
    const amount = this.#options.wares.nextAmount()
    const sku = this.#options.wares.skuOf(handle)
    const json = { title: handle, variants: [{ sku, price: { amount, currency: 'USD' } }] }
    const path = `/api/admin/products/${handle}`
    return await this.#ask('product.put', 'PUT', path, { handle, amount }, 'product', { json })
  }

  async #patch(handle: string, ifMatch: number | undefined): Promise<void> {
    const amount = this.#options.wares.nextAmount()
    const sku = this.#options.wares.skuOf(handle)
    const json = { variants: [{ sku, price: { amount, currency: 'USD' } }] }
    const condition = ifMatch === undefined ? {} : { ifMatch }
    const path = `/api/admin/products/${handle}`
    const asked = { handle, amount, ...condition }
    await this.#ask('product.patch', 'PATCH', path, asked, 'product', { json, ...condition })
  }

  /** Reads a product and changes what it read, if nobody else has meanwhile. */
  async #reprice(): Promise<void> {
    const handle = this.#anyHandle()
    const path = `/api/admin/products/${handle}`
    const { attempt } = await this.#ask('product.read', 'GET', path, { handle }, 'product')
    const version = attempt.answered.products?.[0]?.version
    if (version !== undefined) await this.#patch(handle, version)
  }

  async #comeAndGo(): Promise<void> {
    const { random, wares } = this.#options
    const handle = random.pick(wares.fleeting)
    const path = `/api/admin/products/${handle}`
    await this.#ask('product.delete', 'DELETE', path, { handle }, 'nothing')
    await this.put(handle)
  }

  async #handleOrder(): Promise<void> {
    const { random } = this.#options
    const path = `/api/admin/orders?status=placed&limit=${ordersLookedAt}`
    const { answer } = await this.#ask('order.list', 'GET', path, {}, 'orders')
    const items = (answer.json as { items?: OrderDocument[] } | null)?.items ?? []
    if (items.length === 0) return
    const order = random.pick(items).id
    const status = random.pick(['shipped', 'cancelled'])
    const asked = { order, status }
    await this.#ask('order.status', 'PATCH', `/api/admin/orders/${order}`, asked, 'order', {
      json: { status },
    })
  }
}
