/** What every route is given, and how a route becomes part of the app and of the OpenAPI document. */
import type { OpenAPIHono, RouteConfig, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { Fault, isFault } from '../node/faults.ts'
import type { FaultCode } from '../node/faults.ts'
import type { Logger, Replica } from '../node/replica-api.ts'
import type { Answers } from './answers.ts'
import type { Gate } from './auth.ts'
import { answerHeaders, problemDocument, requestHeaders } from './documents.ts'
import { invalidRequest } from './input.ts'
import type { LoadShedder } from './load-shedder.ts'
import type { RequestMetrics } from './metrics.ts'
import { problemKinds } from './problems.ts'
import type { RateGuard } from './rates.ts'
import type { Streams } from './sse.ts'
import type { Tickets } from './tickets.ts'
import type { SessionTokens } from './tokens.ts'

export type Shop = {
  readonly app: OpenAPIHono
  readonly replica: Replica
  readonly logger: Logger
  readonly now: () => number
  readonly version: string
  readonly answers: Answers
  readonly gate: Gate
  readonly tokens: SessionTokens
  readonly tickets: Tickets
  readonly streams: Streams
  readonly rates: RateGuard
  readonly metrics: RequestMetrics
  readonly load: LoadShedder
}

export type Handler = (context: Context) => Response | Promise<Response>

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete'
type Media = { readonly [type: string]: z.ZodType }

/** A route as the OpenAPI document tells it. */
export type Endpoint = {
  readonly method: Method
  /** OpenAPI form: `/api/products/{handle}`. */
  readonly path: string
  readonly summary: string
  readonly tag: string
  readonly auth: 'nobody' | 'shopper' | 'administrator' | 'either'
  readonly params?: z.ZodObject
  readonly query?: z.ZodObject
  readonly headers?: z.ZodObject
  readonly body?: { readonly media: Media; readonly required: boolean }
  /** Schema or media of each success; a string alone is a description of an answer without a body. */
  readonly answers: { readonly [status: number]: z.ZodType | Media | string }
  /** Headers of the successes beyond those that every answer has. */
  readonly headersOut?: z.ZodObject
  readonly problems?: readonly FaultCode[]
}

/** Adds the route; its handler runs once the node has the catalog version that the request asks for. */
export function define(shop: Shop, endpoint: Endpoint, handler: Handler): void {
  register(shop, endpoint)
  const path = endpoint.path.replace(/\{(\w+)\}/g, ':$1')
  shop.app.on(endpoint.method.toUpperCase(), path, counted(shop, endpoint, atVersion(shop, handler)))
}

/** Only tells of the route, in the OpenAPI document. */
export function register(shop: Shop, endpoint: Endpoint): void {
  shop.app.openAPIRegistry.registerPath(routeConfig(endpoint))
}

function counted(shop: Shop, endpoint: Endpoint, handler: Handler): Handler {
  const counter = shop.metrics.route(endpoint.method.toUpperCase(), endpoint.path)
  return (context) => {
    counter.begin()
    return handler(context)
  }
}

const versionPattern = /^\d+$/

/** DESIGN.md section 4: a client may ask for the version that it saw. Stays synchronous when the node has it. */
export function atVersion(shop: Shop, handler: Handler): Handler {
  return (context) => {
    const wanted = headerOf(context, 'souk-catalog-version')
    if (wanted === undefined) return handler(context)
    if (!versionPattern.test(wanted)) throw invalidRequest('Souk-Catalog-Version: not a version')
    const version = Number(wanted)
    if (version <= shop.replica.catalog.version()) return handler(context)
    return waited(shop, version, () => handler(context))
  }
}

async function waited(
  shop: Shop,
  version: number,
  go: () => Response | Promise<Response>,
): Promise<Response> {
  if (await reaches(shop, version)) return await go()
  throw new Fault(
    'behind',
    `this node is at catalog version ${shop.replica.catalog.version()}, not at the one asked for`,
    {
      catalogVersion: shop.replica.catalog.version(),
    },
  )
}

/** Versions that nobody can have seen are refused at once, as API.md says of all that this node has not: `behind`. */
async function reaches(shop: Shop, version: number): Promise<boolean> {
  if (!Number.isSafeInteger(version)) return false
  try {
    return await shop.replica.catalog.waitForVersion(version)
  } catch (error) {
    if (isFault(error) && error.code === 'invalid-request') return false
    throw error
  }
}

type NodeEnvironment = {
  incoming?: {
    headers: { [name: string]: string | string[] | undefined }
    socket: { remoteAddress?: string }
  }
}

/** A header without building a Headers object when Node has parsed it already. `name` in lower case. */
export function headerOf(context: Context, name: string): string | undefined {
  const incoming = (context.env as NodeEnvironment | undefined)?.incoming
  if (incoming === undefined) return context.req.header(name)
  const value = incoming.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** Network address of the client, for rate limits only. */
export function clientAddress(context: Context): string {
  return (context.env as NodeEnvironment | undefined)?.incoming?.socket.remoteAddress ?? 'unknown'
}

const secured = {
  shopper: ['session', 'cookie'],
  administrator: ['administrator'],
  either: ['session', 'cookie', 'administrator'],
}

/** `getApiProductsHandle`: generated clients name their functions after it. */
function operationIdOf(method: Method, path: string): string {
  const words = path.match(/[A-Za-z]+/g) ?? []
  return method + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
}

function routeConfig(endpoint: Endpoint): RouteConfig {
  const { method, path, summary, tag, auth, params, query, headers, body } = endpoint
  return {
    method,
    path,
    operationId: operationIdOf(method, path),
    summary,
    tags: [tag],
    ...(auth === 'nobody' ? {} : { security: secured[auth].map((name) => ({ [name]: [] })) }),
    request: {
      ...(params === undefined ? {} : { params }),
      ...(query === undefined ? {} : { query }),
      headers: headers === undefined ? requestHeaders : requestHeaders.extend(headers.shape),
      ...(body === undefined ? {} : { body: { required: body.required, content: contentOf(body.media) } }),
    },
    responses: { ...successes(endpoint), ...failures(endpoint) },
  }
}

function contentOf(media: Media): { [type: string]: { schema: z.ZodType } } {
  return Object.fromEntries(Object.entries(media).map(([type, schema]) => [type, { schema }]))
}

function isSchema(answer: z.ZodType | Media): answer is z.ZodType {
  return typeof (answer as { safeParse?: unknown }).safeParse === 'function'
}

function successes(endpoint: Endpoint): RouteConfig['responses'] {
  const responses: RouteConfig['responses'] = {}
  const headers =
    endpoint.headersOut === undefined ? answerHeaders : answerHeaders.extend(endpoint.headersOut.shape)
  for (const [status, answer] of Object.entries(endpoint.answers)) {
    if (typeof answer === 'string') responses[status] = { description: answer, headers }
    else {
      const media = isSchema(answer) ? { 'application/json': answer } : answer
      responses[status] = { description: endpoint.summary, headers, content: contentOf(media) }
    }
  }
  return responses
}

/** Problems grouped by status; those that any route may answer are added. */
function failures(endpoint: Endpoint): RouteConfig['responses'] {
  const codes = new Set<FaultCode>(['invalid-request', 'behind', 'internal', 'overloaded'])
  for (const code of endpoint.problems ?? []) codes.add(code)
  if (endpoint.auth !== 'nobody') codes.add('unauthorized').add('forbidden')
  if (endpoint.body !== undefined) codes.add('unsupported-type').add('too-large')
  const byStatus = Map.groupBy(codes, (code) => problemKinds[code].status)
  const responses: RouteConfig['responses'] = {}
  for (const [status, names] of byStatus) {
    responses[status] = {
      description: names.map((name) => `${name}: ${problemKinds[name].title}`).join('; '),
      headers: answerHeaders,
      content: { 'application/problem+json': { schema: problemDocument } },
    }
  }
  return responses
}
