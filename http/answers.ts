/**
 * The one place where answers are made, so that each carries Souk-Node and Souk-Catalog-Version without a
 * middleware: an awaiting one costs more than the query (LIMITS.md, "HTTP").
 */
import type { Fault } from '../node/faults.ts'
import type { Replica } from '../node/replica-api.ts'
import type { Problem } from './problems.ts'
import { problemOf } from './problems.ts'

/** Texts, bytes, or a stream of them. */
export type Body = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>
export type HeaderList = Record<string, string>

export class Answers {
  readonly #replica: Replica

  constructor(replica: Replica) {
    this.#replica = replica
  }

  /** Any answer. `body` null: none. */
  raw(body: Body | null, status: number, headers: HeaderList): Response {
    headers['Souk-Node'] = this.#replica.self.node
    headers['Souk-Catalog-Version'] = String(this.#replica.catalog.version())
    return new Response(body, { status, headers })
  }

  json(value: unknown, status = 200, headers: HeaderList = {}): Response {
    return this.jsonText(JSON.stringify(value), status, headers)
  }

  /** `text` is JSON already: stored documents are concatenated, not parsed. */
  jsonText(text: string, status = 200, headers: HeaderList = {}): Response {
    headers['Content-Type'] = 'application/json'
    headers['Cache-Control'] ??= 'no-store'
    return this.raw(text, status, headers)
  }

  html(text: string, status = 200, headers: HeaderList = {}): Response {
    headers['Content-Type'] = 'text/html; charset=utf-8'
    headers['Cache-Control'] ??= 'no-store'
    return this.raw(text, status, headers)
  }

  empty(status: 204 | 303 | 304, headers: HeaderList = {}): Response {
    return this.raw(null, status, headers)
  }

  problem(given: Problem, headers: HeaderList = {}): Response {
    if (given.retryAfterSeconds !== null) headers['Retry-After'] = String(given.retryAfterSeconds)
    if (given.status === 401) headers['WWW-Authenticate'] ??= 'Bearer realm="souk"'
    headers['Content-Type'] = 'application/problem+json'
    headers['Cache-Control'] = 'no-store'
    return this.raw(JSON.stringify(given.body), given.status, headers)
  }

  fault(fault: Fault, headers: HeaderList = {}): Response {
    const { allow, accepts, acceptsEncodings } = fault.data
    if (fault.code === 'method-not-allowed' && Array.isArray(allow)) headers['Allow'] = allow.join(', ')
    if (fault.code === 'unsupported-type' && Array.isArray(accepts)) headers['Accept'] = accepts.join(', ')
    if (fault.code === 'unsupported-type' && Array.isArray(acceptsEncodings))
      headers['Accept-Encoding'] = acceptsEncodings.join(', ')
    return this.problem(problemOf(fault), headers)
  }
}
