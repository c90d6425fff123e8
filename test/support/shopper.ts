/** A shopper as tests play one: fetch, redirects followed by hand (fetch drops credentials across ports), retries with one key. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

export type Answer = { status: number; body: Record<string, unknown>; headers: Headers; url: string }
export type CartAnswer = {
  user: string
  items: { sku: string; quantity: number; unitPrice: { amount: number } }[]
  hash: string
  complete: boolean
  home: { node: string; url: string }
}
export type OrderAnswer = {
  id: string
  number: string | null
  status: string
  lines: { sku: string; quantity: number }[]
}
type Body = { method?: string; json?: unknown; key?: string; text?: string; type?: string }

/** API.md: one request meets at most two 307s. */
const redirectsMax = 2
/** One attempt at a node that may be silent. */
const requestTimeoutMs = 8_000
const retryForMs = 20_000
const retryDelayMs = 50

export class Shopper {
  token = ''
  user = ''
  /** Node URLs to go through, in turn. */
  readonly urls: readonly string[]

  constructor(urls: readonly string[]) {
    this.urls = urls
  }

  /** One request to one node, redirects followed. Throws when the connection breaks. */
  async at(url: string, path: string, { method = 'GET', json, key, text, type }: Body = {}): Promise<Answer> {
    const headers: Record<string, string> = {}
    if (this.token !== '') headers['authorization'] = `Bearer ${this.token}`
    if (json !== undefined) headers['content-type'] = 'application/json'
    if (type !== undefined) headers['content-type'] = type
    if (key !== undefined) headers['idempotency-key'] = key
    const payload = json === undefined ? text : JSON.stringify(json)
    let target = `${url}${path}`
    for (let redirects = 0; ; redirects += 1) {
      const response = await fetch(target, {
        method,
        headers,
        redirect: 'manual',
        signal: AbortSignal.timeout(requestTimeoutMs),
        ...(payload === undefined ? {} : { body: payload }),
      })
      const raw = await response.text()
      const location = response.headers.get('location')
      if (response.status === 307 && location !== null) {
        if (redirects >= redirectsMax) throw new Error(`more than ${redirectsMax} redirects for ${path}`)
        target = location
        continue
      }
      const body = raw.startsWith('{') ? (JSON.parse(raw) as Record<string, unknown>) : { text: raw }
      return { status: response.status, body, headers: response.headers, url: target }
    }
  }

  /** Asks again, with the same key, at one node after the other until the answer is not 503, 504 or a broken connection. */
  async insist(path: string, body: Body = {}, first = 0): Promise<Answer> {
    const key = body.key ?? (body.method === undefined ? undefined : randomUUID())
    const deadlineMs = performance.now() + retryForMs
    let last = 'nothing was tried'
    for (let attempt = first; ; attempt += 1) {
      const url = this.urls[attempt % this.urls.length] as string
      try {
        const answer = await this.at(url, path, { ...body, ...(key === undefined ? {} : { key }) })
        if (answer.status !== 503 && answer.status !== 504 && answer.status !== 429) return answer
        last = `${url}: ${answer.status} ${JSON.stringify(answer.body)}`
      } catch (error) {
        last = `${url}: ${String(error)}`
      }
      if (performance.now() > deadlineMs)
        throw new Error(`${body.method ?? 'GET'} ${path} had no luck: ${last}`)
      await sleep(retryDelayMs)
    }
  }

  async becomeGuest(): Promise<this> {
    const { status, body } = await this.insist('/api/guests', { method: 'POST' })
    if (status !== 201) throw new Error(`no guest: ${status} ${JSON.stringify(body)}`)
    this.token = body['token'] as string
    this.user = (body['user'] as { id: string }).id
    return this
  }

  async cart(first = 0): Promise<CartAnswer> {
    const { status, body } = await this.insist('/api/cart', {}, first)
    if (status !== 200) throw new Error(`no cart: ${status} ${JSON.stringify(body)}`)
    return body as unknown as CartAnswer
  }

  add(sku: string, quantity: number, first = 0): Promise<Answer> {
    return this.insist('/api/cart/items', { method: 'POST', json: { sku, quantity } }, first)
  }

  async order(
    hash: string,
    key: string = randomUUID(),
    first = 0,
  ): Promise<{ status: number; order: OrderAnswer }> {
    const { status, body } = await this.insist('/api/orders', { method: 'POST', json: { hash }, key }, first)
    return { status, order: body as unknown as OrderAnswer }
  }
}

export function quantities(cart: CartAnswer): Record<string, number> {
  return Object.fromEntries(cart.items.map(({ sku, quantity }) => [sku, quantity]))
}
