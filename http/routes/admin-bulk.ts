/** One change to many products: `POST /api/admin/products/bulk`. */
import { z } from '@hono/zod-openapi'
import { changeMany } from '../bulk.ts'
import { bulkDocument } from '../documents.ts'
import { idempotencyKey, readJson, readQuery } from '../input.ts'
import { productSizeBytesMax } from '../limits.ts'
import { adminNameField, bulkBody, importQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { define } from '../shop.ts'

export function adminBulkRoutes(shop: Shop): void {
  define(
    shop,
    {
      method: 'post',
      path: '/api/admin/products/bulk',
      summary:
        'Publishes, archives or prices many products, each only as it was at `catalogVersion`; dryRun=true tells what it would do, and that version',
      tag: 'administration',
      auth: 'administrator',
      query: importQuery,
      headers: z.object({
        'Souk-Admin': adminNameField,
        'Idempotency-Key': z.string().min(1).max(200).optional(),
      }),
      body: { media: { 'application/json': bulkBody }, required: true },
      answers: { 200: bulkDocument },
      problems: ['no-primary', 'outcome-unknown', 'overloaded', 'disk-full'],
    },
    async (context) => {
      shop.gate.admin(context)
      const { dryRun } = readQuery(context, importQuery)
      const body = await readJson(context, bulkBody, { sizeBytesMax: productSizeBytesMax })
      const options = {
        dryRun: dryRun === true,
        key: idempotencyKey(context),
        by: shop.gate.adminName(context),
      }
      return shop.answers.json(await changeMany(shop, body, options))
    },
  )
}
