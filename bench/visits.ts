/** What happens in a shop all at once: shoppers who look around, fill carts and order, and an administrator. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestCluster } from '../test/support/cluster.ts'
import { Shopper } from '../test/support/shopper.ts'
import { getJson } from './get.ts'

const pagesAVisit = 3
const additionsAVisit = 2
const changeEveryMs = 100
const requestTimeoutMs = 10_000

export type Kind = 'read' | 'addition' | 'order' | 'price change'
export type Sample = {
  readonly kind: Kind
  readonly endedAtMs: number
  readonly tookMs: number
  readonly outcome: string
}

export type VisitsOptions = {
  readonly cluster: TestCluster
  readonly nodes: readonly string[]
  readonly durationMs: number
  readonly pick: <T>(from: readonly T[]) => T
  /** A shopper's pause between two requests. */
  readonly pauseMs: number
}

export class Visits {
  readonly samples: Sample[] = []
  readonly #options: VisitsOptions
  #handles: readonly string[] = []
  #skus: readonly string[] = []
  #endsAtMs = Infinity

  constructor(options: VisitsOptions) {
    this.#options = options
  }

  get isOver(): boolean {
    return performance.now() >= this.#endsAtMs
  }

  /** Reads what there is to buy; time counts from then on. */
  async begin(): Promise<void> {
    const { items } = await getJson<{ items: { handle: string; variants: { sku: string | null }[] }[] }>(
      this.#anyUrl('/api/products?limit=48'),
    )
    this.#handles = items.map(({ handle }) => handle)
    this.#skus = items.flatMap(({ variants }) => variants.flatMap(({ sku }) => (sku === null ? [] : [sku])))
    this.#endsAtMs = performance.now() + this.#options.durationMs
  }

  async #timed<T extends { readonly status: number }>(kind: Kind, ask: Promise<T>): Promise<T | null> {
    const startedMs = performance.now()
    const note = (outcome: string): void => {
      const endedAtMs = performance.now()
      this.samples.push({ kind, endedAtMs, tookMs: endedAtMs - startedMs, outcome })
    }
    try {
      const answer = await ask
      note(String(answer.status))
      return answer
    } catch (error) {
      note(error instanceof Error ? error.name : String(error))
      return null
    } finally {
      if (this.#options.pauseMs > 0) await sleep(this.#options.pauseMs)
    }
  }

  #anyUrl(path = ''): string {
    return this.#options.cluster.url(this.#options.pick(this.#options.nodes), path)
  }

  /** One visit after the other, each of a new guest. */
  async shop(): Promise<void> {
    const { cluster, nodes, pick } = this.#options
    while (!this.isOver) {
      const shopper = await new Shopper(nodes.map((node) => cluster.url(node))).becomeGuest()
      for (let page = 0; page < pagesAVisit; page += 1)
        await this.#timed(
          'read',
          shopper.at(this.#anyUrl(), `/api/products?limit=24&q=${pick(['a', 'co', 'ta', 'br'])}`),
        )
      for (let addition = 0; addition < additionsAVisit; addition += 1) {
        const ask = { method: 'POST', json: { sku: pick(this.#skus), quantity: 1 }, key: randomUUID() }
        await this.#timed('addition', shopper.at(this.#anyUrl(), '/api/cart/items', ask))
      }
      const ask = { method: 'POST', json: { hash: '*' }, key: randomUUID() }
      await this.#timed('order', shopper.at(this.#anyUrl(), '/api/orders', ask))
    }
  }

  async changeProducts(): Promise<void> {
    for (let number = 0; !this.isOver; number += 1) {
      const ask = fetch(this.#anyUrl(`/api/admin/products/${this.#options.pick(this.#handles)}`), {
        method: 'PATCH',
        headers: {
          ...this.#options.cluster.adminHeaders(),
          'content-type': 'application/merge-patch+json',
        },
        body: JSON.stringify({ vendor: `vendor ${number}` }),
        signal: AbortSignal.timeout(requestTimeoutMs),
      })
      await (await this.#timed('price change', ask))?.arrayBuffer()
      await sleep(changeEveryMs)
    }
  }
}
