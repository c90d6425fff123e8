/** The listening socket: bounded against slow and many clients, and closed without failing a request. */
import type { IncomingMessage, Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
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
import { problemOf } from './problems.ts'
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
  if (!socket.writable || socket.destroyed) {
    socket.destroy()
    return
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW'
  const detail = tooLarge ? 'the headers are too large' : 'not an HTTP request'
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

function build(shop: Shop): Server {
  const server = createAdaptorServer({
    fetch: shop.app.fetch,
    createServer,
    serverOptions: {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: connectionsCheckingIntervalMs,
      keepAliveTimeout: keepAliveTimeoutMs,
      maxHeaderSize: headersSizeBytesMax,
      noDelay: true,
    },
  }) as Server
  server.maxConnections = connectionsMax
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    refuseBroken(shop, error, socket),
  )
  // Requests that the adapter refuses before the app sees them (a broken Host) carry the node's name too.
  server.prependListener('request', (request: IncomingMessage, response) => {
    if (isPlainHost(request)) return
    response.setHeader('Souk-Node', shop.replica.self.node)
    response.setHeader('Souk-Catalog-Version', String(shop.replica.catalog.version()))
  })
  return server
}

function isPlainHost(request: IncomingMessage): boolean {
  return /^[A-Za-z0-9.\-:[\]]+$/.test(request.headers.host ?? '')
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
