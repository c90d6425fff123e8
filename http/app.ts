/** Puts the HTTP side together. The one thing that main needs from here. */
import { randomUUID } from 'node:crypto'
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { Fault, isFault } from '../node/faults.ts'
import type { FaultCode } from '../node/faults.ts'
import type { Logger, Replica } from '../node/replica-api.ts'
import { Answers } from './answers.ts'
import { Gate } from './auth.ts'
import { LoadShedder } from './load-shedder.ts'
import { RequestMetrics } from './metrics.ts'
import { problemPageAnswer, wantsPage } from './pages/layout.ts'
import { pages } from './pages/routes.ts'
import { internalProblem, problemOf } from './problems.ts'
import { RateGuard } from './rates.ts'
import { ImportJobs } from './import-jobs.ts'
import { importRoutes } from './routes/admin-import.ts'
import { adminBulkRoutes } from './routes/admin-bulk.ts'
import { adminHistoryRoutes } from './routes/admin-history.ts'
import { adminOrderRoutes } from './routes/admin-orders.ts'
import { adminProductRoutes } from './routes/admin-products.ts'
import { cartRoutes } from './routes/cart.ts'
import { catalogRoutes } from './routes/catalog.ts'
import { clusterRoutes } from './routes/cluster.ts'
import { eventRoutes } from './routes/events.ts'
import { orderRoutes } from './routes/orders.ts'
import { systemRoutes } from './routes/system.ts'
import { userRoutes } from './routes/users.ts'
import type { HttpServer } from './server.ts'
import { listen } from './server.ts'
import type { Shop } from './shop.ts'
import { atVersion } from './shop.ts'
import { Channels, Streams } from './sse.ts'
import { Tickets } from './tickets.ts'
import type { TokenSigner } from './tokens.ts'
import { SessionTokens } from './tokens.ts'

export type HttpOptions = {
  readonly replica: Replica
  readonly signer: TokenSigner
  /** The administrator's token in clear; only its hash is kept. */
  readonly adminToken: string
  readonly logger: Logger
  /** Wall clock, milliseconds since 1970. */
  readonly now: () => number
  /** Version of the program, for /openapi.json and /metrics. */
  readonly version: string
  /** Behind TLS: cookies are marked Secure. */
  readonly secureCookies: boolean
}

export type HttpDoor = {
  readonly app: OpenAPIHono
  listen(host: string, port: number): Promise<HttpServer>
  /** Ends event streams, stops listening, and resolves when requests in flight are answered. */
  close(): Promise<void>
}

/** Methods that a 405 may name. */
const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

/** A path that exists with other methods is 405; any other is 404. */
function unknownRoute(shop: Shop, context: Context): Fault {
  const { path } = context.req
  const allow: string[] = methods.filter((method) => shop.app.router.match(method, path)[0].length > 0)
  if (allow.length === 0) return new Fault('not-found', 'there is nothing at this address')
  if (allow.includes('GET')) allow.push('HEAD')
  return new Fault('method-not-allowed', `this address knows ${allow.join(', ')}`, { allow })
}

const codesByStatus: { readonly [status: number]: FaultCode } = {
  400: 'invalid-request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  413: 'too-large',
  415: 'unsupported-type',
}

/** Expected failures become their problem; what nobody expected is logged under an id and told as `internal`. */
function failure(shop: Shop, context: Context, error: Error): Response {
  const fault = error instanceof HTTPException ? httpFault(error) : error
  if (isFault(fault) && fault.code !== 'internal') {
    shop.metrics.problem(fault.code)
    return shop.answers.fault(fault)
  }
  const requestId = randomUUID()
  const { method, path } = context.req
  // Only the path: the query may hold a ticket.
  shop.logger.error({ requestId, method, path, err: error }, 'a request failed in an unexpected way')
  shop.metrics.problem('internal')
  return shop.answers.problem(internalProblem(requestId))
}

/** Hono's own refusals in our words. */
function httpFault(error: HTTPException): Error {
  const code = codesByStatus[error.status]
  return code === undefined ? error : new Fault(code, error.message, {}, { cause: error })
}

function routes(shop: Shop, channels: Channels): void {
  const imports = new ImportJobs()
  catalogRoutes(shop)
  userRoutes(shop)
  cartRoutes(shop)
  orderRoutes(shop)
  eventRoutes(shop, channels)
  adminProductRoutes(shop)
  adminBulkRoutes(shop)
  adminHistoryRoutes(shop)
  importRoutes(shop, imports, channels)
  adminOrderRoutes(shop)
  clusterRoutes(shop)
  systemRoutes(shop)
  pages(shop, imports)
}

export function createHttp(options: HttpOptions): HttpDoor {
  const { replica, signer, adminToken, logger, now, version, secureCookies } = options
  const app = new OpenAPIHono()
  const tokens = new SessionTokens(signer, now)
  const metrics = new RequestMetrics(replica, version)
  const shop: Shop = {
    app,
    replica,
    logger,
    now,
    version,
    tokens,
    answers: new Answers(replica),
    gate: new Gate(replica, tokens, { adminToken, secureCookies, now }),
    tickets: new Tickets(signer, now),
    streams: new Streams(),
    rates: new RateGuard(),
    metrics,
    load: new LoadShedder(replica, metrics, logger),
  }
  const channels = new Channels(now)
  routes(shop, channels)
  app.onError((error, context) => failure(shop, context, error))
  app.notFound(
    atVersion(shop, async (context) => {
      const fault = unknownRoute(shop, context)
      if (fault.code === 'not-found' && !context.req.path.startsWith('/api/') && wantsPage(context))
        return await problemPageAnswer(shop, context, problemOf(fault))
      return shop.answers.fault(fault)
    }),
  )
  const servers: HttpServer[] = []
  return {
    app,
    listen: async (host, port) => {
      const server = await listen(shop, host, port)
      servers.push(server)
      return server
    },
    close: async () => {
      shop.streams.stop()
      channels.stop()
      await Promise.all(servers.map(async (server) => await server.close()))
    },
  }
}
