/** What the benchmarks of carts sell: one product in many sizes. */
import type { Sku } from '../node/ids.ts'
import type { TestCluster } from '../test/support/cluster.ts'

export const skus = Array.from({ length: 20 }, (_, number) => `SKU-${number}` as Sku)

/** Puts the product into the catalog; resolves when it is acknowledged. */
export async function stock(cluster: TestCluster): Promise<void> {
  const variants = skus.map((sku, number) => ({
    sku,
    options: { Size: `${number}` },
    price: { amount: 1_000 + number, currency: 'USD' },
  }))
  const response = await fetch(cluster.url('n1', '/api/admin/products/lamp'), {
    method: 'PUT',
    headers: { ...cluster.adminHeaders(), 'content-type': 'application/json' },
    body: JSON.stringify({
      title: 'Lamp',
      options: [{ name: 'Size', values: skus.map((_, number) => `${number}`) }],
      variants,
    }),
  })
  if (response.status !== 200) throw new Error(`no product: ${response.status} ${await response.text()}`)
}
