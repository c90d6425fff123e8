/** The catalog of the simulated shop, as its administrator changes it, and all prices that were ever asked. */
import type { ProductChange, ProductFields } from '../../node/commands.ts'
import type { CommandId, Handle, Sku } from '../../node/ids.ts'
import type { Client } from './client.ts'
import type { Cluster } from './cluster.ts'
import type { SeededRandom } from './random.ts'

const productsCount = 8
const commandIdOf = (number: number): CommandId => `sim-admin-${number}` as CommandId

export class Shop {
  readonly skus: Sku[] = Array.from({ length: productsCount }, (_, index) => `SKU-${index}` as Sku)
  /** Every unit price that an administrator ever asked for, in minor units. */
  readonly prices = new Map<Sku, Set<number>>()
  readonly #cluster: Cluster
  readonly #client: Client
  readonly #random: SeededRandom
  #commands = 0
  #nextPrice = 1_000

  constructor(cluster: Cluster, client: Client, random: SeededRandom) {
    this.#cluster = cluster
    this.#client = client
    this.#random = random
  }

  /** Fills the catalog; true when it is there. */
  async open(): Promise<boolean> {
    const changes = this.skus.map((sku) => this.#replace(sku, 'active'))
    const { outcome } = await this.#change(changes)
    return outcome.kind === 'done'
  }

  /** Changes something for as long as `goesOn`. */
  async administrate(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      await this.#cluster.sleep(this.#random.between(200, 1_600))
      const changes = Array.from({ length: this.#random.below(3) + 1 }, () => this.#anyChange())
      const { outcome } = await this.#change(changes)
      this.#client.count(outcome.kind === 'done' ? 'catalog changes' : `catalog changes ${outcome.kind}`)
    }
  }

  /** Everything for sale again, so that what follows can be demanded. */
  async reopen(): Promise<boolean> {
    return await this.open()
  }

  async #change(changes: ProductChange[]) {
    this.#commands += 1
    const id = commandIdOf(this.#commands)
    return await this.#client.anywhere((api) => api.catalog.change(changes, 'sim', id))
  }

  #anyChange(): ProductChange {
    const sku = this.#random.pick(this.skus)
    const draw = this.#random.next()
    if (draw < 0.75) {
      const price = { amount: this.#price(sku), currency: 'USD' }
      return { op: 'merge', handle: handleOf(sku), fields: { variants: [{ sku, price }] } }
    }
    if (draw < 0.9) {
      const status = this.#random.chance(0.6) ? 'active' : 'archived'
      return { op: 'merge', handle: handleOf(sku), fields: { status } }
    }
    return draw < 0.95 ? { op: 'delete', handle: handleOf(sku) } : this.#replace(sku, 'active')
  }

  #replace(sku: Sku, status: ProductFields['status']): ProductChange {
    const fields: ProductFields = {
      title: `Thing ${sku}`,
      description: 'A thing.',
      vendor: 'Sim',
      category: 'Things',
      tags: [],
      images: [],
      status,
      options: [],
      variants: [{ sku, title: '', options: {}, price: { amount: this.#price(sku), currency: 'USD' } }],
    }
    return { op: 'replace', handle: handleOf(sku), fields }
  }

  /** Never the same twice, so that a price tells when it was asked. */
  #price(sku: Sku): number {
    this.#nextPrice += 1
    const known = this.prices.get(sku) ?? new Set()
    known.add(this.#nextPrice)
    this.prices.set(sku, known)
    return this.#nextPrice
  }
}

function handleOf(sku: Sku): Handle {
  return sku.toLowerCase() as Handle
}
