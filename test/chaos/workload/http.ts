/** One HTTP request on a connection of its own: nodes die and come back, and a kept connection would be one to a former life. */
import { request as open } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'

export type Request = {
  readonly method?: string
  readonly token?: string
  readonly key?: string
  readonly json?: unknown
  /** Sent as it is, for what is no JSON. */
  readonly raw?: string
  readonly headers?: { readonly [name: string]: string }
  readonly timeoutMs?: number
}

export type Answer = {
  /** Null: no whole answer came. */
  readonly status: number | null
  readonly headers: { readonly [name: string]: string | string[] | undefined }
  /** Null when there is no JSON in the body. */
  readonly json: unknown
  /** Of a problem: its name, and its words. Without an answer: what happened to the connection. */
  readonly problem: string | null
  readonly detail: string | null
  /** Nobody was there to take the connection: nothing can have happened. */
  readonly isUnsent: boolean
}

const timeoutDefaultMs = 5_000
const neverSent: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'])

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

function headersOf({ token, key, json, headers }: Request, body: string | undefined): Record<string, string> {
  return {
    connection: 'close',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(key === undefined ? {} : { 'idempotency-key': key }),
    ...(json === undefined ? {} : { 'content-type': 'application/json' }),
    ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
    ...headers,
  }
}

async function read(response: IncomingMessage): Promise<Answer> {
  const body = await text(response)
  const isJson = /^application\/(problem\+)?json/.test(response.headers['content-type'] ?? '')
  const json = isJson ? parsed(body) : null
  const { type, detail } = (json ?? {}) as { type?: unknown; detail?: unknown }
  return {
    status: response.statusCode ?? null,
    headers: response.headers,
    json,
    problem: typeof type === 'string' ? type.replace('/problems/', '') : null,
    detail: typeof detail === 'string' ? detail : null,
    isUnsent: false,
  }
}

/** Never throws because of the other side; no redirect is followed. */
export async function ask(url: string, request: Request): Promise<Answer> {
  const { method = 'GET', json, raw, timeoutMs = timeoutDefaultMs } = request
  const body = json === undefined ? raw : JSON.stringify(json)
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = open(url, { method, headers: headersOf(request, body), signal, agent: false }, resolve)
      outgoing.once('error', reject)
      outgoing.end(body)
    })
    return await read(response)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const detail = signal.aborted ? `no answer in ${timeoutMs} ms` : (code ?? message)
    return {
      status: null,
      headers: {},
      json: null,
      problem: null,
      detail,
      isUnsent: neverSent.has(code ?? ''),
    }
  }
}
