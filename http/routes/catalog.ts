/** The catalog as shoppers see it. Hot: synchronous, and stored product texts are concatenated, never parsed. */
import type { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { z as zod } from '@hono/zod-openapi'
import { Fault } from '../../node/faults.ts'
import { parseHandle } from '../../node/ids.ts'
import type { CatalogReads, ProductFacets, ProductPage, ProductQuery } from '../../node/replica-api.ts'
import { categoriesDocument, facetsDocument, listOf, productDocument } from '../documents.ts'
import { pathId, readQuery } from '../input.ts'
import { productsQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { define, headerOf } from '../shop.ts'

export const productList = listOf(productDocument, {
  total: zod.int(),
  catalogVersion: zod.int(),
  facets: facetsDocument.optional(),
})
export const handleParams = zod.object({ handle: zod.string() })

/** Catalog answers may be kept but must be asked about again: a version moves at any time. */
export const revalidate = { 'Cache-Control': 'no-cache' }

export function productQueryOf(
  query: z.output<typeof productsQuery>,
  status: ProductQuery['status'],
): ProductQuery {
  const { q, category, tag, vendor, minPrice, maxPrice, sort, limit, cursor } = query
  const words = q?.trim()
  const searching = words !== undefined && words !== ''
  // Without words nothing is more relevant than something else.
  const wanted = sort ?? (searching ? 'relevance' : 'title')
  return {
    ...(searching ? { q: words } : {}),
    ...(category === undefined ? {} : { category }),
    ...(tag === undefined ? {} : { tag }),
    ...(vendor === undefined ? {} : { vendor }),
    ...(minPrice === undefined ? {} : { minPrice }),
    ...(maxPrice === undefined ? {} : { maxPrice }),
    ...(status === undefined ? {} : { status }),
    ...(cursor === undefined ? {} : { cursor }),
    sort: wanted === 'relevance' && !searching ? 'title' : wanted,
    limit,
  }
}

function pageText(page: ProductPage, facets: ProductFacets | null, catalogVersion: number): string {
  const { items, next, total } = page
  const more = facets === null ? '' : `,"facets":${JSON.stringify(facets)}`
  return `{"items":[${items.join(',')}],"next":${JSON.stringify(next)},"total":${total},"catalogVersion":${catalogVersion}${more}}`
}

/** The answer to a query as JSON, facets only when they were asked for: they cost more than the page. */
export function listText(
  catalog: CatalogReads,
  query: z.output<typeof productsQuery>,
  status: ProductQuery['status'],
): string {
  const wanted = productQueryOf(query, status)
  const facets = query.facets === true ? catalog.facets(wanted) : null
  return pageText(catalog.products(wanted), facets, catalog.version())
}

/** The number of `"catalogVersion":N`. Only the product's own can match: all other values beside names are texts. */
export function versionOf(productText: string): string {
  return /"catalogVersion":(\d+)/.exec(productText)?.[1] ?? '0'
}

/** Parses only when the cheap look leaves a doubt (an option may be named "status"). */
export function isActive(productText: string): boolean {
  if (!productText.includes('"status":"draft"') && !productText.includes('"status":"archived"')) return true
  return (JSON.parse(productText) as { status: string }).status === 'active'
}

/** Weak comparison of If-None-Match (RFC 9110, section 13.1.2). */
export function matches(ifNoneMatch: string, etag: string): boolean {
  return ifNoneMatch.split(',').some((part) => {
    const given = part.trim()
    return given === '*' || given.replace(/^W\//, '') === etag
  })
}

/** A product, or 304. */
export function productAnswer(shop: Shop, context: Context, text: string): Response {
  const etag = `"${versionOf(text)}"`
  const seen = headerOf(context, 'if-none-match')
  if (seen !== undefined && matches(seen, etag)) return shop.answers.empty(304, { ETag: etag, ...revalidate })
  return shop.answers.jsonText(text, 200, { ETag: etag, ...revalidate })
}

export function catalogRoutes(shop: Shop): void {
  const { catalog } = shop.replica
  define(
    shop,
    {
      method: 'get',
      path: '/api/products',
      summary: 'Active products: search, filter, sort',
      tag: 'catalog',
      auth: 'nobody',
      query: productsQuery,
      answers: { 200: productList },
    },
    (context) => {
      const query = readQuery(context, productsQuery)
      return shop.answers.jsonText(listText(catalog, query, 'active'), 200, { ...revalidate })
    },
  )
  define(
    shop,
    {
      method: 'get',
      path: '/api/products/{handle}',
      summary: 'One active product',
      tag: 'catalog',
      auth: 'nobody',
      params: handleParams,
      answers: { 200: productDocument, 304: 'Not changed since the ETag in If-None-Match' },
      problems: ['not-found'],
    },
    (context) => {
      const text = catalog.productJson(pathId(context, 'handle', parseHandle, 'product'))
      if (text === null || !isActive(text)) throw new Fault('not-found', 'there is no such product')
      return productAnswer(shop, context, text)
    },
  )
  define(
    shop,
    {
      method: 'get',
      path: '/api/categories',
      summary: 'Categories of active products, with their counts',
      tag: 'catalog',
      auth: 'nobody',
      answers: { 200: categoriesDocument },
    },
    () => shop.answers.json({ items: catalog.categories() }, 200, { ...revalidate }),
  )
}
