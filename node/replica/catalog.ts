/**
 * The catalog as `http/` uses it: reads of the own copy, changes through the log, and the wait for a version that
 * a client has seen elsewhere (DESIGN.md section 4).
 */
import { z } from 'zod'
import { applyEntry } from '../core/apply.ts'
import type { ApplyOutcome } from '../core/apply.ts'
import { catalogHistoryEntrySchema, commandVersion } from '../commands.ts'
import type { CatalogChangeResult, Command, CommandBody, ProductChange } from '../commands.ts'
import { Fault, isFault } from '../faults.ts'
import type { CommandId, Handle, NodeName } from '../ids.ts'
import type {
  CancelTimer,
  CatalogHistoryPage,
  CatalogHistoryQuery,
  Clock,
  ProductFacets,
  ProductPage,
  ProductQuery,
  ShopStore,
} from '../ports.ts'
import type { CatalogPreview, CatalogReads, CatalogWrites } from '../replica-api.ts'
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
/** Somebody waits before a page; a voter answers in milliseconds. */
const historyTimeoutMs = 1_500

const historyPageSchema = z.object({ items: z.array(catalogHistoryEntrySchema), next: z.string().nullable() })

export type CatalogOptions = {
  clock: Clock
  shop: ShopStore
  feed: CatalogFeed
  log: LogClient
  currency: () => string
  settings: { readonly node: NodeName }
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

  generation(): number {
    return this.#options.shop.catalogGeneration()
  }

  currency(): string {
    return this.#options.currency()
  }

  productJson(handle: Handle): string | null {
    return this.#options.shop.productJson(handle)
  }

  productAt(handle: Handle, version: number): string | null {
    const record = this.#options.shop.versionsAfter(version - 1, 1)?.[0]
    const product = record?.changes.find((change) => change.handle === handle)?.product ?? null
    return product === null ? null : JSON.stringify(product)
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

  async change(
    changes: readonly ProductChange[],
    by: string,
    id?: CommandId,
    options: { readonly ownVersion?: number } = {},
  ): Promise<CatalogChangeResult> {
    const { log } = this.#options
    const commandId = id ?? log.freshCommandId()
    const { node } = this.#options.settings
    const body: CommandBody = { kind: 'catalog.change', changes: [...changes], by, node }
    const value = (await log.run(commandId, body, { timeoutMs: changeTimeoutMs })) as CatalogChangeResult
    await this.#reached(options.ownVersion ?? value.version, localWaitMs)
    return value
  }

  preview(changes: readonly ProductChange[]): CatalogPreview {
    const { shop, clock } = this.#options
    const id = this.#options.log.freshCommandId()
    const body: CommandBody = { kind: 'catalog.change', changes: [...changes], by: 'preview' }
    const command: Command = { v: commandVersion, id, atMs: clock.wallMs(), body }
    // Decided by the same code as the real change, then rolled back: a preview can't drift from what it previews.
    const rollBack = new RollBack()
    try {
      shop.transaction((tables) => {
        rollBack.outcome = applyEntry(tables, command, shop.applied().index + 1)
        throw rollBack
      })
    } catch (error) {
      if (error !== rollBack) throw error
    }
    if (rollBack.outcome === null) throw new Fault('internal', 'the preview was not decided')
    const { result, history } = rollBack.outcome
    if (!result.ok) throw new Fault(result.code, result.message, result.data)
    return { ...(result.value as CatalogChangeResult), history }
  }

  async history(query: CatalogHistoryQuery): Promise<CatalogHistoryPage> {
    const { log } = this.#options
    const asked = { kind: 'catalog-history', ...query } as const
    try {
      return historyPageSchema.parse(await log.query(asked, { timeoutMs: historyTimeoutMs }))
    } catch (error) {
      if (!isFault(error) || error.code !== 'no-primary') throw error
      // Nothing is decided by it: what any voter knows is better than nothing while there is no majority.
      return historyPageSchema.parse(await log.query(asked, { current: false, timeoutMs: historyTimeoutMs }))
    }
  }
}

class RollBack extends Error {
  outcome: ApplyOutcome | null = null
}
