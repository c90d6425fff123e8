/** Many product changes as a few catalog changes: bounded batches, one log entry each, in order; what became of them. */
import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import type {
  CatalogChangeResult,
  CatalogHistoryEntry,
  FieldChange,
  ProductChange,
} from '../node/commands.ts'
import { catalogChangeItemsMax, catalogChangeSizeBytesMax } from '../node/commands.ts'
import { Fault, isFault } from '../node/faults.ts'
import type { CommandId } from '../node/ids.ts'
import { parseCommandId } from '../node/ids.ts'
import type { LineChange, Rejected } from './csv/products.ts'
import { importDiffMax, importRetryMs, importRetryPauseMs, rejectedLinesMax } from './limits.ts'
import type { Shop } from './shop.ts'

/** Room in a change for what surrounds the products. */
const envelopeSizeBytes = 4_096
export const batchSizeBytesMax = catalogChangeSizeBytesMax - envelopeSizeBytes

export type ProductDifference = {
  handle: string
  line: number
  change: 'created' | 'updated'
  fields: readonly FieldChange[]
}
/** Counts of products. `diff`: of a preview, what would change, the first `importDiffMax` products. */
export type ChangeCounts = {
  created: number
  updated: number
  unchanged: number
  catalogVersion: number
  diff?: ProductDifference[]
}

/** Lines that were not taken: the first so many by name, the others by their number. */
export class Rejections {
  readonly #kept: Rejected[] = []
  count = 0

  push(...rejected: readonly Rejected[]): void {
    this.count += rejected.length
    this.#kept.push(...rejected.slice(0, rejectedLinesMax - this.#kept.length))
  }

  inOrder(): Rejected[] {
    return this.#kept.toSorted((a, b) => a.line - b.line)
  }
}

export type Batch = { readonly items: LineChange[] }

/** The spooled changes again, as many together as one catalog change may hold. */
export async function* batchesOf(lines: AsyncIterable<string>): AsyncGenerator<Batch> {
  let texts: string[] = []
  let sizeBytes = 0
  const batch = (): Batch => ({
    items: texts.map((text) => {
      const [line, change] = JSON.parse(text) as [number, ProductChange]
      return { line, change }
    }),
  })
  for await (const text of lines) {
    const more = Buffer.byteLength(text)
    if (texts.length > 0 && (texts.length >= catalogChangeItemsMax || sizeBytes + more > batchSizeBytesMax)) {
      yield batch()
      texts = []
      sizeBytes = 0
    }
    texts.push(text)
    sizeBytes += more
  }
  if (texts.length > 0) yield batch()
}

type Result = CatalogChangeResult & { readonly history?: readonly CatalogHistoryEntry[] }
export type Run = {
  readonly change: (batch: Batch, isFirst: boolean) => Promise<Result>
  /** After the last one: this node has them all, or it takes uncommonly long. */
  readonly end: () => Promise<void>
}

/** Adds up what became of the products. */
export class Tally {
  readonly answer: ChangeCounts
  readonly rejections: Rejections
  done = 0

  constructor(answer: ChangeCounts, rejections: Rejections) {
    this.answer = answer
    this.rejections = rejections
  }

  /** Returns the items that must be sent again, each alone: small changes of large products outgrow one version together. */
  add({ items }: Batch, result: Result): LineChange[] {
    const { answer } = this
    const again: LineChange[] = []
    answer.catalogVersion = result.version
    result.outcomes.forEach((outcome, index) => {
      const item = items[index] as LineChange
      if (outcome.code === 'too-large' && items.length > 1) return void again.push(item)
      this.done += 1
      if (outcome.outcome === 'rejected')
        this.rejections.push({ line: item.line, reason: outcome.reason ?? 'rejected' })
      else if (outcome.outcome === 'created') answer.created += 1
      else if (outcome.outcome === 'updated') answer.updated += 1
      else answer.unchanged += 1
    })
    this.#addDifferences(items, result.history ?? [])
    return again
  }

  #addDifferences(items: readonly LineChange[], history: readonly CatalogHistoryEntry[]): void {
    const { diff } = this.answer
    if (diff === undefined) return
    const lines = new Map(items.map(({ change, line }) => [change.handle, line]))
    for (const { handle, change, fields } of history) {
      if (diff.length >= importDiffMax) return
      if (change !== 'deleted') diff.push({ handle, line: lines.get(handle) ?? 0, change, fields })
    }
  }
}

/**
 * Of key, file and handles, never of their place: a repeated import that reads the file a little otherwise by now (a name
 * that somebody gave a variant is kept, which moves the borders of batches) can't take another batch's result for its own.
 */
function batchId(keyHash: string, changes: readonly ProductChange[]): CommandId {
  const handles = changes.map(({ handle }) => handle).join(' ')
  return parseCommandId(`batch:${createHash('sha256').update(keyHash).update(handles).digest('hex')}`)
}

/** Faults after which the same batch, under the same command id, may be sent again. */
const passing = new Set(['no-primary', 'overloaded', 'outcome-unknown', 'behind'])

/**
 * Sends batches to the log. The first may fail as it likes. Once one is in, the request is half done: a 503
 * would say that nothing happened (API.md, outcome rule), so later ones are tried again through an election,
 * and if that fails the outcome is told as unknown.
 */
export function logRun(shop: Shop, keyHash: string, by: string): Run {
  // While this node takes one batch up, the log decides the next: otherwise the nodes would work in turns.
  let ownVersion = 0
  const change: Run['change'] = async ({ items }, isFirst) => {
    const changes = items.map(({ change }) => change)
    const id = batchId(keyHash, changes)
    const endMs = shop.now() + importRetryMs
    for (;;) {
      try {
        const result = await shop.replica.catalog.change(changes, by, id, { ownVersion })
        ownVersion = result.version
        return result
      } catch (error) {
        if (isFirst || !isFault(error)) throw error
        if (!passing.has(error.code) || shop.now() > endMs)
          throw new Fault(
            'outcome-unknown',
            `a part is in, then it failed: ${error.message}; repeat the request with its Idempotency-Key`,
            {},
            { cause: error },
          )
        await setTimeout(importRetryPauseMs)
      }
    }
  }
  return { change, end: async () => void (await shop.replica.catalog.waitForVersion(ownVersion)) }
}

export function previewRun(shop: Shop): Run {
  return {
    change: async ({ items }) =>
      await Promise.resolve(shop.replica.catalog.preview(items.map(({ change }) => change))),
    end: () => Promise.resolve(),
  }
}

function single(item: LineChange): Batch {
  return { items: [item] }
}

/** Runs all changes, `[line, change]` as JSON each, one batch after the other; `told` after each. */
export async function runAll(
  lines: AsyncIterable<string>,
  run: Run,
  tally: Tally,
  told: () => void,
): Promise<void> {
  let isFirst = true
  for await (const batch of batchesOf(lines)) {
    const again = tally.add(batch, await run.change(batch, isFirst))
    isFirst = false
    for (const item of again) tally.add(single(item), await run.change(single(item), false))
    told()
  }
  await run.end()
}
