/** Requests to real nodes, as a client that trusts nothing: what API.md says of every answer is checked of every answer. */
import assert from 'node:assert/strict'
import type { TestCluster } from './cluster.ts'

export type Json = { readonly [name: string]: unknown }
export type ApiAnswer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Empty when the body is no JSON object. */
  readonly json: Json
  readonly location: string | null
}
export type Ask = {
  readonly method?: string
  readonly token?: string
  readonly key?: string
  readonly json?: unknown
  readonly body?: string
  readonly type?: string
  readonly headers?: { readonly [name: string]: string }
}

/** No answer of a healthy cluster takes longer. */
const requestTimeoutMs = 10_000
const redirectsMax = 2

function headersOf({ token, key, json, type, headers }: Ask): Headers {
  const all = new Headers(headers)
  // Nodes are killed and started: a kept connection would be one to a former life.
  all.set('connection', 'close')
  if (token !== undefined) all.set('authorization', `Bearer ${token}`)
  if (key !== undefined) all.set('idempotency-key', key)
  if (json !== undefined) all.set('content-type', 'application/json')
  if (type !== undefined) all.set('content-type', type)
  return all
}

function checkProblem({ status, headers, json }: ApiAnswer, method: string): void {
  assert.equal(headers.get('content-type'), 'application/problem+json')
  if (status === 503 || status === 429) assert.match(headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  if (method === 'HEAD') return
  assert.match(String(json['type']), /^\/problems\/[a-z-]+$/)
  assert.deepEqual(
    [json['status'], typeof json['title'], typeof json['detail']],
    [status, 'string', 'string'],
  )
}

/** The status, and of a problem its type without the path: `409 empty-cart`. */
export function outcome({ status, json }: ApiAnswer): string {
  const type = json['type']
  return typeof type === 'string' ? `${status} ${type.replace('/problems/', '')}` : String(status)
}

export class ApiClient {
  readonly cluster: TestCluster
  readonly nodes: readonly string[]

  constructor(cluster: TestCluster, nodes: readonly string[]) {
    this.cluster = cluster
    this.nodes = nodes
  }

  get admin(): string {
    return this.cluster.adminToken()
  }

  /** One request to one URL; no redirect is followed. */
  async at(url: string, ask: Ask = {}): Promise<ApiAnswer> {
    const { method = 'GET', json, body } = ask
    const payload = json === undefined ? body : JSON.stringify(json)
    const response = await fetch(url, {
      method,
      headers: headersOf(ask),
      redirect: 'manual',
      signal: AbortSignal.timeout(requestTimeoutMs),
      ...(payload === undefined ? {} : { body: payload }),
    })
    const text = await response.text()
    const answer = {
      status: response.status,
      headers: response.headers,
      text,
      json: /^application\/(problem\+)?json$/.test(response.headers.get('content-type') ?? '')
        ? parsed(text)
        : {},
      location: response.headers.get('location'),
    }
    assert.match(answer.headers.get('souk-node') ?? '', /^n\d+$/)
    assert.match(answer.headers.get('souk-catalog-version') ?? '', /^\d+$/)
    if (answer.status >= 400 || answer.status === 307) checkProblem(answer, method)
    return answer
  }

  /** One request to a node; no redirect is followed. */
  async ask(node: string, path: string, ask: Ask = {}): Promise<ApiAnswer> {
    const answer = await this.at(this.cluster.url(node, path), ask)
    assert.equal(answer.headers.get('souk-node'), node)
    return answer
  }

  /** Follows redirects as curl -L does between ports: without credentials, the ticket stands for them. */
  async go(node: string, path: string, ask: Ask = {}): Promise<ApiAnswer> {
    let answer = await this.ask(node, path, ask)
    const { token: _dropped, ...rest } = ask
    for (let hops = 0; answer.status === 307 && hops < redirectsMax; hops += 1)
      answer = await this.at(answer.location ?? '', rest)
    return answer
  }

  /** What several nodes answer, one outcome for each. */
  async outcomes(path: string, ask: Ask = {}, nodes = this.nodes): Promise<string[]> {
    return await Promise.all(nodes.map(async (node) => outcome(await this.ask(node, path, ask))))
  }

  async guest(node: string): Promise<{ token: string; user: string; home: string; away: string[] }> {
    const { json } = await this.ask(node, '/api/guests', { method: 'POST' })
    const { token, user, home } = json as { token: string; user: { id: string }; home: { node: string } }
    return {
      token,
      user: user.id,
      home: home.node,
      away: this.nodes.filter((other) => other !== home.node),
    }
  }

  async putProduct(node: string, handle: string, amount: number, status = 'active'): Promise<ApiAnswer> {
    const variants = [{ sku: handle.toUpperCase(), price: { amount, currency: 'USD' } }]
    const json = { title: `Product ${handle}`, status, variants }
    const answer = await this.ask(node, `/api/admin/products/${handle}`, {
      method: 'PUT',
      token: this.admin,
      json,
    })
    assert.equal(answer.status, 200)
    return answer
  }

  async add(node: string, token: string, sku: string, quantity = 1, key?: string): Promise<ApiAnswer> {
    const json = { sku, quantity }
    const ask = { method: 'POST', token, json, ...(key === undefined ? {} : { key }) }
    return await this.go(node, '/api/cart/items', ask)
  }

  async order(node: string, token: string, key: string, json: unknown): Promise<ApiAnswer> {
    return await this.go(node, '/api/orders', { method: 'POST', token, key, json })
  }
}

function parsed(text: string): Json {
  return text === '' ? {} : (JSON.parse(text) as Json)
}
