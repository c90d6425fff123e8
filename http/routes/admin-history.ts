/** The history of the catalog: who changed what and when, for all products or one. */
import { z } from '@hono/zod-openapi'
import type { Handle } from '../../node/ids.ts'
import { parseHandle } from '../../node/ids.ts'
import type { CatalogHistoryPage } from '../../node/replica-api.ts'
import { catalogHistoryDocument, listOf } from '../documents.ts'
import { check, pathId, readQuery } from '../input.ts'
import { handleField, historyQuery, pageQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { define } from '../shop.ts'
import { handleParams } from './catalog.ts'

/** `handle` raw, as it stands in a query: one that can't be a handle is `invalid-request`. */
export async function historyPage(
  shop: Shop,
  { handle, limit, cursor }: z.output<typeof historyQuery>,
): Promise<CatalogHistoryPage> {
  const of: Handle | undefined =
    handle === undefined ? undefined : check(handleField, handle, 'query: handle')
  return await shop.replica.catalog.history({
    limit,
    ...(of === undefined ? {} : { handle: of }),
    ...(cursor === undefined ? {} : { cursor }),
  })
}

export function adminHistoryRoutes(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/history',
      summary: 'Changes of the catalog, the newest first (the last 200,000 are kept)',
      tag: 'administration',
      auth: 'administrator',
      query: historyQuery,
      answers: { 200: listOf(catalogHistoryDocument) },
      problems: ['no-primary'],
    },
    async (context) => {
      shop.gate.admin(context)
      return shop.answers.json(await historyPage(shop, readQuery(context, historyQuery)))
    },
  )
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/products/{handle}/history',
      summary: 'Changes of one product, the newest first; also of one that is deleted',
      tag: 'administration',
      auth: 'administrator',
      params: handleParams,
      query: pageQuery,
      answers: { 200: listOf(catalogHistoryDocument) },
      problems: ['not-found', 'no-primary'],
    },
    async (context) => {
      shop.gate.admin(context)
      const handle = pathId(context, 'handle', parseHandle, 'product')
      return shop.answers.json(await historyPage(shop, { ...readQuery(context, pageQuery), handle }))
    },
  )
}
