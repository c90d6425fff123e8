/** Health, metrics, the OpenAPI document, and what problems mean. */
import { z } from '@hono/zod-openapi'
import { Fault } from '../../node/faults.ts'
import { define, register } from '../shop.ts'
import type { Endpoint, Shop } from '../shop.ts'
import { openApiDocument } from '../openapi.ts'
import { pageRoute } from '../pages/layout.ts'
import { problemPage, problemsPage } from '../pages/problems.ts'
import { docsPage } from '../pages/docs.ts'
import { isProblemName } from '../problems.ts'

function healthRoutes(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/healthz',
      summary: 'The process answers',
      tag: 'system',
      auth: 'nobody',
      answers: { 200: z.object({ status: z.literal('ok') }) },
    },
    () => shop.answers.json({ status: 'ok' }),
  )
  define(
    shop,
    {
      method: 'get',
      path: '/readyz',
      summary: 'The node is a member, listens and has the highest catalog version it heard of',
      tag: 'system',
      auth: 'nobody',
      answers: { 200: z.object({ status: z.literal('ready') }) },
    },
    () => {
      const { ready, reason } = shop.replica.cluster.ready()
      if (!ready) throw new Fault('behind', `not ready: ${reason}`)
      return shop.answers.json({ status: 'ready' })
    },
  )
  define(
    shop,
    {
      method: 'get',
      path: '/metrics',
      summary: 'Metrics in the Prometheus text format',
      tag: 'system',
      auth: 'nobody',
      answers: { 200: { 'text/plain': z.string() } },
    },
    async () => {
      const { text, contentType } = await shop.metrics.text({
        openStreams: shop.streams.size,
        requestsInFlight: shop.load.inFlight,
      })
      return shop.answers.raw(text, 200, { 'Content-Type': contentType, 'Cache-Control': 'no-store' })
    },
  )
}

/** Pages that are part of the interface are named in the document, and served as pages. */
function tellOfPage(shop: Shop, page: Pick<Endpoint, 'path' | 'summary' | 'params' | 'problems'>): void {
  const answers = { 200: { 'text/html': z.string() } }
  register(shop, { ...page, method: 'get', tag: 'system', auth: 'nobody', answers })
}

export function systemRoutes(shop: Shop): void {
  healthRoutes(shop)
  // Made from the routes once they are all there, and kept.
  let document: object | null = null
  const openApi = (): object => (document ??= openApiDocument(shop))
  define(
    shop,
    {
      method: 'get',
      path: '/openapi.json',
      summary: 'This document',
      tag: 'system',
      auth: 'nobody',
      answers: { 200: z.looseObject({ openapi: z.string() }) },
    },
    () => shop.answers.json(openApi()),
  )
  tellOfPage(shop, { path: '/docs', summary: 'This document as a page' })
  tellOfPage(shop, {
    path: '/problems/{name}',
    summary: 'What a problem means and what to do',
    params: z.object({ name: z.string() }),
    problems: ['not-found'],
  })
  pageRoute(shop, 'get', '/docs', () => docsPage(shop, openApi()))
  pageRoute(shop, 'get', '/problems', () => problemsPage(shop))
  pageRoute(shop, 'get', '/problems/:name', (context) => {
    const name = context.req.param('name') ?? ''
    if (!isProblemName(name)) throw new Fault('not-found', 'there is no such problem')
    return problemPage(shop, name)
  })
}
