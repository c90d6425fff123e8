/** The listening socket: bounded against slow and many clients, and closed without failing a request. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { RequestError, getRequestListener } from '@hono/node-server'
import { Fault, assert } from '../node/faults.ts'
import {
  closeGraceMs,
  connectionsCheckingIntervalMs,
  connectionsMax,
  headersSizeBytesMax,
  headersTimeoutMs,
  keepAliveTimeoutMs,
  requestTimeoutMs,
} from './limits.ts'
import { HotAnswers } from './hot.ts'
import { internalProblem, problemOf } from './problems.ts'
import type { Shop } from './shop.ts'

export type HttpServer = {
  readonly host: string
  /** The real port, also when 0 was asked for. */
  readonly port: number
  /**
   * Stops accepting, ends event streams, lets requests in flight finish (at most `closeGraceMs`), then closes
   * what is left. Resolves when no socket is open.
   */
  close(): Promise<void>
}

/** How often closing looks for connections that became idle. */
const idleSweepMs = 50

/** Requests that HTTP parsing itself refuses never reach the app, but are answered in the same form. */
function refuseBroken(shop: Shop, error: NodeJS.ErrnoException, socket: Socket): void {
  shop.logger.debug({ code: error.code }, 'a connection was given up: what came is not a request')
  // Nobody asked when nothing came in time: an answer now would pass for that of the client's next request.
  if (!socket.writable || socket.destroyed || error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    socket.destroy()
    return
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW'
  refuseSocket(shop, socket, tooLarge ? 'the headers are too large' : 'not an HTTP request')
}

/** An answer written by hand, where there is no response to write it with. */
function refuseSocket(shop: Shop, socket: Duplex, detail: string): void {
  const body = JSON.stringify(problemOf(new Fault('invalid-request', detail)).body)
  const lines = [
    'HTTP/1.1 400 Bad Request',
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `Souk-Node: ${shop.replica.self.node}`,
    `Souk-Catalog-Version: ${shop.replica.catalog.version()}`,
    'Connection: close',
  ]
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`)
}

/** What the adapter can make no request of (`*`, a backslash in the path, a broken absolute address). */
function refuseTarget(shop: Shop, error: unknown): Response {
  if (error instanceof RequestError)
    return shop.answers.fault(new Fault('invalid-request', 'the address is not a path', {}, { cause: error }))
  const requestId = randomUUID()
  shop.logger.error({ requestId, err: error }, 'a request failed before the app saw it')
  return shop.answers.problem(internalProblem(requestId))
}

function build(shop: Shop): Server {
  const { load } = shop
  const answer: typeof shop.app.fetch = (request, environment) => {
    const made = shop.app.fetch(request, environment)
    return made instanceof Promise ? load.count(made) : made
  }
  const serve = getRequestListener(answer, {
    errorHandler: (error: unknown) => refuseTarget(shop, error),
  })
  const options = {
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: connectionsCheckingIntervalMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    maxHeaderSize: headersSizeBytesMax,
    noDelay: true,
    requireHostHeader: false,
  }
  const hot = new HotAnswers(shop)
  const server = createServer(options, (request, response) => {
    const isTooMuch = load.isTooMuch(request.url ?? '')
    if (refuseHost(shop, request, response) || hot.serve(request, response, isTooMuch)) return
    if (isTooMuch) load.refuse(request, response)
    else void serve(request, response)
  })
  server.maxConnections = connectionsMax
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    refuseBroken(shop, error, socket),
  )
  // Node would close the connection without a word: this is no proxy.
  server.on('connect', (_request: IncomingMessage, socket: Duplex) =>
    refuseSocket(shop, socket, 'CONNECT is for proxies'),
  )
  // An expectation that nobody knows may be left unmet (RFC 9110, section 10.1.1); Node's 417 is no problem document.
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
    server.emit('request', request, response),
  )
  return server
}

/** True: the Host is missing or broken, and the request is answered; the adapter would do it without a word. */
function refuseHost(shop: Shop, request: IncomingMessage, response: ServerResponse): boolean {
  // HTTP/1.0 knows no Host (RFC 1945); the adapter needs one.
  if (request.httpVersion === '1.0') request.headers.host ??= new URL(shop.replica.self.url).host
  if (isPlainHost(request)) return false
  const { status, body } = problemOf(new Fault('invalid-request', 'the Host header is missing or broken'))
  response.writeHead(status, {
    'Content-Type': 'application/problem+json',
    'Souk-Node': shop.replica.self.node,
    'Souk-Catalog-Version': String(shop.replica.catalog.version()),
    Connection: 'close',
  })
  response.end(JSON.stringify(body))
  return true
}

/** The Host that was found right last: nearly every request has the same one. */
let lastPlainHost = ''

function isPlainHost({ headers: { host }, rawHeaders }: IncomingMessage): boolean {
  if (host === undefined) return false
  // Of two Hosts, Node keeps one, and somebody in front of it may have kept the other (RFC 9112, section 3.2).
  let count = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]
    if (name?.length === 4 && name.toLowerCase() === 'host') count += 1
  }
  if (count > 1) return false
  if (host === lastPlainHost) return true
  if (!/^[A-Za-z0-9.\-:[\]_]+$/.test(host) || !URL.canParse(`http://${host}`)) return false
  lastPlainHost = host
  return true
}

async function closing(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)))
  })
  const sweep = setInterval(() => server.closeIdleConnections(), idleSweepMs)
  const end = setTimeout(() => server.closeAllConnections(), closeGraceMs)
  try {
    await closed
  } finally {
    clearInterval(sweep)
    clearTimeout(end)
  }
}

/** Listens. Rejects when the address can't be had (EADDRINUSE and so on). */
export async function listen(shop: Shop, host: string, port: number): Promise<HttpServer> {
  const server = build(shop)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const address = server.address() as AddressInfo | string | null
  assert(address !== null && typeof address === 'object', 'a listening TCP server has an address')
  let closed: Promise<void> | null = null
  return {
    host: address.address,
    port: address.port,
    close: async () => {
      closed ??= (shop.streams.stop(), closing(server))
      await closed
    },
  }
}
