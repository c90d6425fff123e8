/** P7 in the end: every catalog's rows are what its digest says, and every order was taken at the price of its version. */
import { catalogDigestOf } from '../../node/core/digest.ts'
import type { CatalogVersion, Sku } from '../../node/ids.ts'
import type { Cluster } from './cluster.ts'
import type { Life } from './host.ts'
import { wasPlaced } from './order-book.ts'
import { allOrders, voters } from './settled.ts'

/** All versions of a simulated catalog together are far smaller. */
const historySizeBytesMax = 64 * 1024 * 1024

/** A digest that is only copied along would agree everywhere whatever the rows are. */
export function checkCatalogRows(cluster: Cluster): void {
  for (const { host, life } of cluster.lives()) {
    const { version, digest } = life.stores.shop.read.catalog()
    if (catalogDigestOf(life.stores.shop.allProducts()) !== digest)
      cluster.violation(`P7: the rows of ${host.name} are not those of version ${version}`)
  }
}

/** Price of each SKU that is for sale, version by version, from the versions that the store keeps. */
class PriceHistory {
  readonly #changes = new Map<Sku, { version: CatalogVersion; price: number | null }[]>()

  constructor(life: Life) {
    const owned = new Map<string, Sku[]>()
    const versions = life.stores.shop.versionsAfter(0, historySizeBytesMax)
    if (versions === null) throw new Error('a world has more versions than a store keeps')
    for (const { version, changes } of versions) {
      for (const { handle, product } of changes) {
        for (const sku of owned.get(handle) ?? []) this.#note(sku, version, null)
        const variants = product?.variants ?? []
        for (const { sku, price } of variants)
          this.#note(sku, version, product?.status === 'active' ? price.amount : null)
        owned.set(
          handle,
          variants.map(({ sku }) => sku),
        )
      }
    }
  }

  #note(sku: Sku, version: CatalogVersion, price: number | null): void {
    const known = this.#changes.get(sku) ?? []
    known.push({ version, price })
    this.#changes.set(sku, known)
  }

  /** Null: not for sale then. */
  at(sku: Sku, version: CatalogVersion): number | null {
    return this.#changes.get(sku)?.findLast((change) => change.version <= version)?.price ?? null
  }
}

/** An order is decided against the catalog of its place in the log: no price is taken that has moved before it. */
export function checkOrderPrices(cluster: Cluster): void {
  const life = voters(cluster.lives())[0]?.life
  if (life === undefined) return
  const history = new PriceHistory(life)
  for (const order of allOrders(life).values()) {
    if (!wasPlaced(order)) continue
    for (const { sku, unitPrice } of order.lines) {
      const price = history.at(sku, order.catalogVersion)
      if (price !== unitPrice)
        cluster.violation(
          `P7: order ${order.id} takes ${sku} at ${unitPrice}, in version ${order.catalogVersion} it is ${price ?? 'not for sale'}`,
        )
    }
  }
}
