/** Administration of products: list with drafts, PUT, PATCH, DELETE with If-Match. */
import { createHash } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { ProductChange, ProductOutcome } from '../../node/commands.ts'
import type { FaultCode } from '../../node/faults.ts'
import { Fault } from '../../node/faults.ts'
import type { CommandId, Handle } from '../../node/ids.ts'
import { parseCommandId, parseHandle } from '../../node/ids.ts'
import { productDocument } from '../documents.ts'
import { idempotencyKey, invalidRequest, pathId, readBytes, readJson, readQuery } from '../input.ts'
import { jsonSizeBytesMax, productSizeBytesMax } from '../limits.ts'
import { fieldsOf, mergeOf, requireHandle } from '../products.ts'
import { adminNameField, adminProductsQuery, productBody, productPatchBody } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { define } from '../shop.ts'
import { handleParams, listText, productAnswer, productList, versionOf } from './catalog.ts'

type IfMatch = ProductChange['ifMatch']

/** One entity tag of ours: the catalog version that last changed the product. */
function versionOfTag(tag: string): number | null {
  const digits = /^"(\d{1,15})"$/.exec(tag)?.[1]
  return digits === undefined ? null : Number(digits)
}

/**
 * RFC 9110, sections 13.1.1 and 13.1.2. The log compares with one version, so of a list the one that is
 * current here counts. A weak or foreign tag never matches: version 0, which no product has.
 */
export function preconditionOf(context: Context, current: string | null): IfMatch {
  const ifMatch = context.req.header('if-match')?.trim()
  const ifNoneMatch = context.req.header('if-none-match')?.trim()
  if (ifMatch === undefined) return ifNoneMatch === '*' ? 'none' : undefined
  if (ifMatch === '*') return '*'
  const tags = ifMatch.split(',').map((tag) => tag.trim())
  if (!tags.every((tag) => /^(W\/)?"[^"]*"$/.test(tag)))
    throw invalidRequest('If-Match: not an entity tag', [{ path: 'If-Match', message: 'not an entity tag' }])
  const versions = tags.map(versionOfTag)
  const here = current === null ? null : Number(versionOf(current))
  return versions.find((version) => version !== null && version === here) ?? versions[0] ?? 0
}

/** With a key: the same request again gets the first result. The content is part of the id. */
function commandIdOf(context: Context, change: ProductChange): CommandId | undefined {
  const key = idempotencyKey(context)
  if (key === undefined) return undefined
  const content = JSON.stringify([key, context.req.method, change])
  return parseCommandId(`product:${createHash('sha256').update(content).digest('hex')}`)
}

/** `version`: that of the catalog after it. */
type Changed = ProductOutcome & { readonly version: number }

/** One change through the log under the administrator's name. Faults of its rejection; `id` makes a repeat one change. */
export async function runChange(
  shop: Shop,
  change: ProductChange,
  by: string,
  id?: CommandId,
): Promise<Changed> {
  const { outcomes, version } = await shop.replica.catalog.change([change], by, id)
  const outcome = outcomes[0]
  if (outcome === undefined) throw new Error('a change has no outcome')
  if (outcome.outcome !== 'rejected') return { ...outcome, version }
  throw new Fault(outcome.code ?? 'invalid-request', outcome.reason ?? 'the change was rejected')
}

async function run(shop: Shop, context: Context, change: ProductChange): Promise<Changed> {
  return await runChange(shop, change, shop.gate.adminName(context), commandIdOf(context, change))
}

/**
 * The product as the change left it, whatever others made of it since: it was done, and a refusal would say that it was
 * not (API.md, "Outcome rule").
 */
function changedProduct(shop: Shop, context: Context, handle: Handle, { version }: Changed): Response {
  const { catalog } = shop.replica
  const text = catalog.productAt(handle, version) ?? catalog.productJson(handle)
  if (text === null || catalog.version() < version)
    throw new Fault('outcome-unknown', `changed by version ${version}, which this node can not show`)
  return productAnswer(shop, context, text)
}

const problems: readonly FaultCode[] = [
  'not-found',
  'precondition-failed',
  'conflict',
  'no-primary',
  'outcome-unknown',
  'overloaded',
  'disk-full',
]
const matchHeaders = z.object({
  'Souk-Admin': adminNameField,
  'If-Match': z.string().optional(),
  'Idempotency-Key': z.string().min(1).max(200).optional(),
})

function readRoutes(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/products',
      summary: 'Products of every status',
      tag: 'administration',
      auth: 'administrator',
      query: adminProductsQuery,
      answers: { 200: productList },
    },
    (context) => {
      shop.gate.admin(context)
      const query = readQuery(context, adminProductsQuery)
      return shop.answers.jsonText(listText(shop.replica.catalog, query, query.status))
    },
  )
  define(
    shop,
    {
      method: 'get',
      path: '/api/admin/products/{handle}',
      summary: 'One product of any status',
      tag: 'administration',
      auth: 'administrator',
      params: handleParams,
      answers: { 200: productDocument, 304: 'Not changed' },
      problems: ['not-found'],
    },
    (context) => {
      shop.gate.admin(context)
      const text = shop.replica.catalog.productJson(pathId(context, 'handle', parseHandle, 'product'))
      if (text === null) throw new Fault('not-found', 'there is no such product')
      return productAnswer(shop, context, text)
    },
  )
}

function putRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'put',
      path: '/api/admin/products/{handle}',
      summary: 'Creates or replaces a product',
      tag: 'administration',
      auth: 'administrator',
      params: handleParams,
      headers: matchHeaders,
      body: { media: { 'application/json': productBody }, required: true },
      answers: { 200: productDocument },
      problems,
    },
    async (context) => {
      shop.gate.admin(context)
      const handle = parseHandle(context.req.param('handle'))
      const body = await readJson(context, productBody, { sizeBytesMax: productSizeBytesMax })
      requireHandle(handle, body.handle)
      const ifMatch = preconditionOf(context, shop.replica.catalog.productJson(handle))
      const change: ProductChange = { op: 'replace', handle, fields: fieldsOf(body) }
      const changed = await run(shop, context, ifMatch === undefined ? change : { ...change, ifMatch })
      return changedProduct(shop, context, handle, changed)
    },
  )
}

function patchRoute(shop: Shop): void {
  const types = ['application/json', 'application/merge-patch+json']
  define(
    shop,
    {
      method: 'patch',
      path: '/api/admin/products/{handle}',
      summary: 'Changes a product (JSON Merge Patch, RFC 7396)',
      tag: 'administration',
      auth: 'administrator',
      params: handleParams,
      headers: matchHeaders,
      body: {
        media: { 'application/merge-patch+json': productPatchBody, 'application/json': productPatchBody },
        required: true,
      },
      answers: { 200: productDocument },
      problems,
    },
    async (context) => {
      shop.gate.admin(context)
      const handle = pathId(context, 'handle', parseHandle, 'product')
      const patch = await readJson(context, productPatchBody, { sizeBytesMax: productSizeBytesMax, types })
      requireHandle(handle, patch.handle)
      const given = preconditionOf(context, shop.replica.catalog.productJson(handle))
      const change: ProductChange = { op: 'merge', handle, fields: mergeOf(patch), ifMatch: given ?? '*' }
      const changed = await run(shop, context, change).catch((error: unknown) => {
        throw given === undefined ? missing(error) : error
      })
      return changedProduct(shop, context, handle, changed)
    },
  )
}

/** A patch that named no condition must exist all the same; the log calls that a failed precondition. */
function missing(error: unknown): unknown {
  if (!(error instanceof Fault) || error.code !== 'precondition-failed') return error
  return new Fault('not-found', 'there is no such product', {}, { cause: error })
}

function deleteRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'delete',
      path: '/api/admin/products/{handle}',
      summary: 'Deletes a product',
      tag: 'administration',
      auth: 'administrator',
      params: handleParams,
      headers: matchHeaders,
      answers: { 204: 'Deleted' },
      problems,
    },
    async (context) => {
      shop.gate.admin(context)
      const handle = pathId(context, 'handle', parseHandle, 'product')
      await readBytes(context, jsonSizeBytesMax)
      const ifMatch = preconditionOf(context, shop.replica.catalog.productJson(handle))
      const change: ProductChange = { op: 'delete', handle }
      const outcome = await run(shop, context, ifMatch === undefined ? change : { ...change, ifMatch })
      if (outcome.outcome === 'absent') throw new Fault('not-found', 'there is no such product')
      return shop.answers.empty(204)
    },
  )
}

export function adminProductRoutes(shop: Shop): void {
  readRoutes(shop)
  putRoute(shop)
  patchRoute(shop)
  deleteRoute(shop)
}
