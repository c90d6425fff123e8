/**
 * Puts a large catalog into the databases of a stopped node, as if its log had brought it and been cut since: an import
 * through the API takes a minute for 100,000 products, and what is tested here comes after it.
 */
import { commandVersion } from '../../node/commands.ts'
import type { Command, CommandBody, ProductChange, ProductFields } from '../../node/commands.ts'
import { applyEntry } from '../../node/core/apply.ts'
import type { CommandId, Handle, Sku } from '../../node/ids.ts'
import type { OpenedStores } from '../../node/store/index.ts'
import { openStores } from '../../node/store/index.ts'

const productsPerVersion = 200
const words =
  'amber brass cedar denim ember fleece glass hazel ivory jute khaki linen maple nylon olive pearl quartz rattan slate teak umber velvet walnut yarn zinc'.split(
    ' ',
  )
const word = (number: number): string => words[number % words.length] as string

/** Some 800 bytes of JSON, as products of shops have. The digits differ, so that packing it is no child's play. */
function change(number: number): ProductChange {
  const scattered = (number * 2_654_435_761) % 4_294_967_296
  const title = `${word(number)} ${word(scattered)} lamp ${number}`
  const description = `<p>A ${word(number * 3)} thing of ${word(Math.floor(scattered / 8))} and ${word(number * 11)}, number ${scattered.toString(36)}. Useful in every home and in many an office.</p>`
  const fields: ProductFields = {
    title,
    description,
    vendor: `Vendor ${scattered % 200}`,
    category: `Category ${number % 50}`,
    tags: [word(number), word(scattered % 1_000)],
    images: [{ src: `https://example.com/${scattered.toString(16)}.jpg`, alt: title }],
    status: 'active',
    options: [{ name: 'Size', values: ['S', 'L'] }],
    variants: ['S', 'L'].map((size) => ({
      sku: `SKU-${number}-${size}` as Sku,
      title: size,
      options: { Size: size },
      price: { amount: 1_000 + (scattered % 5_000), currency: 'USD' },
    })),
  }
  return { op: 'replace', handle: `product-${number}` as Handle, fields }
}

function apply(stores: OpenedStores, body: CommandBody): void {
  const { index, term, config } = stores.shop.applied()
  const id = `seeded-${index + 1}` as CommandId
  const command: Command = { v: commandVersion, id, atMs: Date.UTC(2026, 0, 1), body }
  stores.shop.transaction((tables) => {
    const { result } = applyEntry(tables, command, index + 1)
    if (!result.ok) throw new Error(`a seeded product was refused: ${result.message}`)
    stores.shop.setApplied({ index: index + 1, term, config })
  })
}

/** `directory`: of a node that is alone in its cluster and stopped. */
export function seedCatalog(directory: string, products: number): void {
  const stores = openStores(directory, {
    createIdentity: () => {
      throw new Error(`${directory} has no databases`)
    },
  })
  for (let from = 0; from < products; from += productsPerVersion) {
    const count = Math.min(productsPerVersion, products - from)
    const changes = Array.from({ length: count }, (_, position) => change(from + position))
    apply(stores, { kind: 'catalog.change', changes, by: 'seed' })
  }
  const { index, term, config } = stores.shop.applied()
  stores.log.resetTo(index, term, config)
  stores.close()
}
