/**
 * Order-independent digests of the catalog and of the orders, updated incrementally, so that two nodes compare
 * themselves in 32 bytes (DESIGN.md section 4): the sum modulo 2^256 of SHA-256 over each row's canonical text.
 *
 * Bellare and Micciancio call this AdHash ("A New Paradigm for Collision-free Hashing", 1997); LtHash is its
 * wider successor. At 256 bits an attacker who chooses rows freely can find collisions (generalised birthday).
 * That is no concern here: everybody who can write rows is trusted with all of them, and the digest is a check
 * against bugs, loss and rot, for which the sum is as good as the hash beneath it.
 */
import { hash } from 'node:crypto'
import type { AccountRecord, OrderRecord, Product, Variant } from '../commands.ts'
import type { Digest } from '../ids.ts'

/** Digest of nothing: what an empty catalog and an empty orders table have. */
export const emptyDigest = '0'.repeat(64) as Digest

const modulusMask = (1n << 256n) - 1n

function rowValue(text: string): bigint {
  return BigInt(`0x${hash('sha256', text, 'hex')}`)
}

/** A digest being updated; `toDigest` gives its 64 hex digits. */
export class RunningDigest {
  #sum: bigint

  constructor(start: Digest = emptyDigest) {
    this.#sum = BigInt(`0x${start}`)
  }

  add(text: string): void {
    this.#sum = (this.#sum + rowValue(text)) & modulusMask
  }

  remove(text: string): void {
    this.#sum = (this.#sum - rowValue(text)) & modulusMask
  }

  toDigest(): Digest {
    return this.#sum.toString(16).padStart(64, '0') as Digest
  }
}

/** Options in the order in which the product names them, others behind by name: the same however they were sent. */
function canonicalOptions(options: Variant['options'], names: readonly string[]): { [name: string]: string } {
  const place = (name: string): number => {
    const index = names.indexOf(name)
    return index < 0 ? names.length : index
  }
  const byPlace = (a: string, b: string): number => place(a) - place(b) || (a < b ? -1 : a > b ? 1 : 0)
  return Object.fromEntries(
    Object.keys(options)
      .sort(byPlace)
      .map((name) => [name, options[name] ?? '']),
  )
}

/**
 * The product with its members in the one order in which it is stored, hashed, exported and answered. Two equal
 * products have one text, whatever path they came by.
 */
export function canonicalProduct(product: Product): Product {
  const names = product.options.map((option) => option.name)
  return {
    handle: product.handle,
    title: product.title,
    description: product.description,
    vendor: product.vendor,
    category: product.category,
    tags: [...product.tags],
    images: product.images.map(({ src, alt }) => ({ src, alt })),
    status: product.status,
    options: product.options.map(({ name, values }) => ({ name, values: [...values] })),
    variants: product.variants.map((variant) => ({
      sku: variant.sku,
      title: variant.title,
      options: canonicalOptions(variant.options, names),
      price: { amount: variant.price.amount, currency: variant.price.currency },
    })),
    catalogVersion: product.catalogVersion,
    updatedAt: product.updatedAt,
  }
}

/** Canonical text of a product: what is stored, answered and hashed. */
export function productText(product: Product): string {
  return JSON.stringify(canonicalProduct(product))
}

/** Recomputes the catalog's digest from stored (canonical) product texts. */
export function catalogDigestOf(productTexts: Iterable<string>): Digest {
  const digest = new RunningDigest()
  for (const text of productTexts) digest.add(text)
  return digest.toDigest()
}

/** What two voters must agree on about an order; contact and note are left out because they can be erased. */
export function orderText(order: OrderRecord): string {
  return JSON.stringify([
    order.id,
    order.number,
    order.user,
    order.status,
    order.currency,
    order.lines.map((line) => [line.sku, line.title, line.quantity, line.unitPrice]),
    order.total,
    order.reason ?? null,
  ])
}

/** What two voters must agree on about an account. */
export function accountText(account: AccountRecord): string {
  return JSON.stringify([
    account.id,
    account.email,
    account.name ?? null,
    account.passwordHash,
    account.createdAt,
  ])
}

/** Recomputes the orders' count and digest from the records. */
export function ordersDigestOf(orders: Iterable<OrderRecord>): { count: number; digest: Digest } {
  const digest = new RunningDigest()
  let count = 0
  for (const order of orders) {
    digest.add(orderText(order))
    count += 1
  }
  return { count, digest: digest.toDigest() }
}
