/**
 * The catalog as `http/` uses it: reads of the own copy, changes through the log, and the wait for a version that
 * a client has seen elsewhere (DESIGN.md section 4).
 */
import { applyEntry } from '../core/apply.ts'
import { commandVersion } from '../commands.ts'
import type { CatalogChangeResult, Command, CommandBody, ProductChange } from '../commands.ts'
import { Fault } from '../faults.ts'
import type { CommandId, Handle } from '../ids.ts'
import type { CancelTimer, Clock, ProductFacets, ProductPage, ProductQuery, ShopStore } from '../ports.ts'
import type { CatalogReads, CatalogWrites } from '../replica-api.ts'
import type { CatalogFeed } from './catalog-feed.ts'
import type { LogClient } from './context.ts'

/** A node that is behind waits so long for the broadcast before it says so. */
const behindWaitMs = 1_500
/** Requests that wait for a version at once; each holds a connection. */
const behindWaitersMax = 1_000
/** A version further ahead than this of anything heard of was not seen at any node of this cluster. */
const versionsAheadMax = 10_000
/** An import's batch writes hundreds of rows at every voter. */
const changeTimeoutMs = 15_000
/** After the answer of the primary, the own copy is waited for. */
const localWaitMs = 2_000

export type CatalogOptions = {
  clock: Clock
  shop: ShopStore
  feed: CatalogFeed
  log: LogClient
  currency: () => string
}

export class Catalog implements CatalogReads, CatalogWrites {
  readonly #options: CatalogOptions
  #waiters = 0

  constructor(options: CatalogOptions) {
    this.#options = options
  }

  version(): number {
    return this.#options.feed.state().version
  }

  digest(): string {
    return this.#options.feed.state().digest
  }

  currency(): string {
    return this.#options.currency()
  }

  productJson(handle: Handle): string | null {
    return this.#options.shop.productJson(handle)
  }

  products(query: ProductQuery): ProductPage {
    return this.#options.shop.products(query)
  }

  facets(query: ProductQuery): ProductFacets {
    return this.#options.shop.facets(query)
  }

  categories(): { name: string; count: number }[] {
    return this.#options.shop.categories()
  }

  allProducts(): Iterable<string> {
    return this.#options.shop.allProducts()
  }

  async waitForVersion(version: number): Promise<boolean> {
    if (version <= this.version()) return true
    if (version > this.#options.feed.highestHeard() + versionsAheadMax) {
      throw new Fault('invalid-request', `no node of this cluster can have shown catalog version ${version}`)
    }
    return this.#reached(version, behindWaitMs)
  }

  async #reached(version: number, waitMs: number): Promise<boolean> {
    if (version <= this.version()) return true
    if (this.#waiters >= behindWaitersMax) return false
    this.#waiters += 1
    try {
      return await new Promise<boolean>((resolve) => {
        let cancel: CancelTimer = () => undefined
        const stop = this.#options.feed.whenReached(version, () => {
          cancel()
          resolve(true)
        })
        cancel = this.#options.clock.timer(waitMs, () => {
          stop()
          resolve(false)
        })
      })
    } finally {
      this.#waiters -= 1
    }
  }

  async change(changes: readonly ProductChange[], by: string, id?: CommandId): Promise<CatalogChangeResult> {
    const { log } = this.#options
    const commandId = id ?? log.freshCommandId()
    const body: CommandBody = { kind: 'catalog.change', changes: [...changes], by }
    const value = (await log.run(commandId, body, { timeoutMs: changeTimeoutMs })) as CatalogChangeResult
    await this.#reached(value.version, localWaitMs)
    return value
  }

  preview(changes: readonly ProductChange[]): CatalogChangeResult {
    const { shop, clock } = this.#options
    const id = this.#options.log.freshCommandId()
    const body: CommandBody = { kind: 'catalog.change', changes: [...changes], by: 'preview' }
    const command: Command = { v: commandVersion, id, atMs: clock.wallMs(), body }
    // Decided by the same code as the real change, then rolled back: a preview can't drift from what it previews.
    const rollBack = new RollBack()
    try {
      shop.transaction((tables) => {
        rollBack.result = applyEntry(tables, command, shop.applied().index + 1).result
        throw rollBack
      })
    } catch (error) {
      if (error !== rollBack) throw error
    }
    const { result } = rollBack
    if (result === null) throw new Fault('internal', 'the preview was not decided')
    if (!result.ok) throw new Fault(result.code, result.message, result.data)
    return result.value as CatalogChangeResult
  }
}

class RollBack extends Error {
  result: ReturnType<typeof applyEntry>['result'] | null = null
}
