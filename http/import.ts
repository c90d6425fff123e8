/** Imports: a file, read whole, becomes bounded catalog changes, one log entry each, in order (API.md, "CSV"). */
import { createHash, randomUUID } from 'node:crypto'
import type { ChangeCounts } from './catalog-batches.ts'
import { Rejections, Tally, logRun, previewRun, runAll } from './catalog-batches.ts'
import type { Rejected } from './csv/products.ts'
import type { ImportType } from './import-read.ts'
import { spoolChanges } from './import-read.ts'
import type { Shop } from './shop.ts'
import { Spool } from './spool.ts'

export type { ImportType } from './import-read.ts'

export type ImportAnswer = ChangeCounts & { rejected: Rejected[] }

/** A file that was received whole. `hash`: of its bytes. */
export type ImportFile = { readonly type: ImportType; readonly file: Spool; readonly hash: string }
export type ImportOptions = {
  readonly dryRun: boolean
  readonly key: string | undefined
  readonly by: string
}
/** What is known while it runs. `products` is 0 until the file has been read whole. */
export type ImportProgress = {
  readonly state: 'reading' | 'changing'
  readonly read: number
  readonly products: number
  readonly done: number
  readonly created: number
  readonly updated: number
  readonly unchanged: number
  readonly rejectedLines: number
}

/**
 * Imports a file. With an Idempotency-Key the repeated request goes on where the first one stopped, at any node,
 * because the ids of the batches come from key and content. Without one, the ids are fresh: the same file sent again
 * later must undo what happened in between.
 */
export async function importProducts(
  shop: Shop,
  source: ImportFile,
  options: ImportOptions,
  told: (progress: ImportProgress) => void,
): Promise<ImportAnswer> {
  const rejections = new Rejections()
  const catalogVersion = shop.replica.catalog.version()
  const answer: ImportAnswer = { created: 0, updated: 0, unchanged: 0, rejected: [], catalogVersion }
  if (options.dryRun) answer.diff = []
  const tally = new Tally(answer, rejections)
  let products = 0
  const tell = (state: ImportProgress['state'], read: number): void => {
    const { created, updated, unchanged } = answer
    const rejectedLines = rejections.count
    told({ state, read, products, done: tally.done, created, updated, unchanged, rejectedLines })
  }
  const key = options.key ?? randomUUID()
  const keyHash = createHash('sha256').update(key).update('\0').update(source.hash).digest('hex')
  const run = options.dryRun ? previewRun(shop) : logRun(shop, keyHash, options.by)
  const changes = await Spool.open()
  try {
    let read = 0
    await spoolChanges(shop, source, changes, rejections, (count) => tell('reading', (read = count)))
    products = read
    await runAll(changes.lines(), run, tally, () => tell('changing', read))
  } finally {
    await changes.close()
  }
  answer.rejected = rejections.inOrder()
  return answer
}
