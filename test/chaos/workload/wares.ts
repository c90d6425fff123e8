/** What is for sale: products of one variant each, whose prices name the change that set them. */
import type { SeededRandom } from '../../sim/random.ts'
import type { Client } from './client.ts'

const readTimeoutMs = 4_000
/** These stay; the last ones are deleted and made again now and then. */
const steadyCount = 12
const fleetingCount = 2
/** No two changes ask for the same price. */
const firstAmount = 1_000

export class Wares {
  #amount = firstAmount
  /** Highest catalog version that any client was told of. */
  seenVersion = 0

  readonly steady = Array.from({ length: steadyCount }, (_, index) => `lamp-${index + 1}`)
  readonly fleeting = Array.from({ length: fleetingCount }, (_, index) => `bulb-${index + 1}`)

  nextAmount(): number {
    this.#amount += 1
    return this.#amount
  }

  skuOf(handle: string): string {
    return handle.toUpperCase()
  }

  /** Rarely one that may not be for sale any more. */
  anySku(random: SeededRandom): string {
    return this.skuOf(random.pick(random.chance(0.02) ? this.fleeting : this.steady))
  }

  /** One read of the catalog at any node, often with the version that somebody saw elsewhere. */
  async browse(client: Client, random: SeededRandom, process: string): Promise<void> {
    const isList = random.chance(0.4)
    const path = isList ? '/api/products?limit=50' : `/api/products/${random.pick(this.steady)}`
    const seen = random.chance(0.6) ? { seenVersion: this.seenVersion } : {}
    const headers: { [name: string]: string } = {}
    if (seen.seenVersion !== undefined) headers['souk-catalog-version'] = String(seen.seenVersion)
    const { attempt } = await client.operate({
      process,
      kind: isList ? 'catalog.list' : 'catalog.read',
      path,
      request: { timeoutMs: readTimeoutMs, headers },
      asked: seen,
      reading: isList ? 'products' : 'product',
      insists: false,
    })
    this.note(attempt.answered.version)
  }

  note(version: number | undefined): void {
    this.seenVersion = Math.max(this.seenVersion, version ?? 0)
  }
}
