/**
 * What a node does with a catalog version that was broadcast to it or that it pulled (DESIGN.md section 4). A
 * committed version has one content whoever sends it, so (version, previous digest → digest) decides, never a term.
 */
import type { CatalogVersionRecord } from '../messages.ts'
import type { CatalogState, Tables } from '../ports.ts'
import { RunningDigest, canonicalProduct, productText } from './digest.ts'

/**
 * - `apply`: the next version of a node that follows the broadcast.
 * - `agrees`: the version this node is at, with the same digest.
 * - `stale`: older than this node's version.
 * - `gap`: ahead. A follower of the broadcast pulls what lies between; a follower of the log keeps it to compare
 *   once it has applied that version from the log itself.
 * - `diverged`: same place, other content. The node recomputes its digest from its rows before it blames anybody.
 */
export type FeedDecision = 'apply' | 'stale' | 'gap' | 'agrees' | 'diverged'

export function decideFeed(input: {
  readonly own: CatalogState
  readonly feed: 'log' | 'broadcast'
  readonly record: Pick<CatalogVersionRecord, 'version' | 'previousDigest' | 'digest'>
}): FeedDecision {
  const { own, feed, record } = input
  if (record.version < own.version) return 'stale'
  if (record.version === own.version) return record.digest === own.digest ? 'agrees' : 'diverged'
  if (record.version > own.version + 1) return 'gap'
  if (record.previousDigest !== own.digest) return 'diverged'
  return feed === 'log' ? 'gap' : 'apply'
}

/** The rows and the digest that a version claims do not go together; nothing of it may stay. */
export class CatalogDivergence extends Error {
  override readonly name = 'CatalogDivergence'
}

/**
 * Puts the rows of the next version, inside a transaction of the store. Throws CatalogDivergence when the result
 * does not have the digest that the version claims: the transaction rolls back and the node is `diverged`.
 */
export function applyVersion(tables: Tables, record: CatalogVersionRecord): void {
  const own = tables.catalog()
  if (record.version !== own.version + 1 || record.previousDigest !== own.digest)
    throw new CatalogDivergence(`version ${record.version} does not follow version ${own.version} here`)
  const digest = new RunningDigest(own.digest)
  for (const change of record.changes) {
    if (change.product !== null && change.product.handle !== change.handle)
      throw new CatalogDivergence(`version ${record.version} has a product under another handle`)
    const before = tables.product(change.handle)
    if (before !== null) digest.remove(productText(before))
    if (change.product === null) {
      tables.deleteProduct(change.handle)
      continue
    }
    digest.add(productText(change.product))
    tables.putProduct(canonicalProduct(change.product))
  }
  const result = digest.toDigest()
  if (result !== record.digest)
    throw new CatalogDivergence(
      `version ${record.version} claims digest ${record.digest}, its rows give ${result}`,
    )
  tables.setCatalog({ version: record.version, digest: result })
  tables.appendVersion(record)
}
