/**
 * The two reads that a shop is asked for most, `GET /api/products` and `GET /api/products/{handle}`, answered straight
 * from Node's request, with headers made once: the same rules and texts as in routes/catalog.ts, without what a
 * framework costs for each request (LIMITS.md, "HTTP"). Whatever is unusual (a condition, a version to wait for, an
 * odd address, a problem) is left to the routes. What is asked for again and again is kept as bytes, for as long as the
 * catalog does not change.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isFault } from '../node/faults.ts'
import { parseHandle } from '../node/ids.ts'
import { checkQuery } from './input.ts'
import type { RouteCounter } from './metrics.ts'
import { isActive, listText, revalidate, versionOf } from './routes/catalog.ts'
import { productsQuery } from './schemas.ts'
import type { Shop } from './shop.ts'

const listPath = '/api/products'
const productPath = '/api/products/'

/** Answers kept: some thousands of addresses are what a shop is asked for over and over. */
const answersMax = 4_096
/** Their bytes altogether; a list of 24 products has some 20 kB. */
const answersSizeBytesMax = 48 * 1024 * 1024
/** A longer address is typed or made by nobody twice. */
const addressLengthMax = 512
/** Addresses remembered in order to know which are asked for again; the others are not worth keeping. */
const seenMax = 8_192

type Answer = { readonly body: Buffer; readonly headers: readonly string[] }

export class HotAnswers {
  readonly #shop: Shop
  readonly #lists: RouteCounter
  readonly #products: RouteCounter
  /** Oldest use first. */
  readonly #answers = new Map<string, Answer>()
  readonly #seen = new Set<string>()
  #sizeBytes = 0
  /** What the answers are of. */
  #generation = -1
  #version = -1
  #versionText = ''

  constructor(shop: Shop) {
    this.#shop = shop
    this.#lists = shop.metrics.route('GET', listPath)
    this.#products = shop.metrics.route('GET', `${productPath}{handle}`)
  }

  /** False: this request is for the routes. With `onlyKept` it is answered only if that takes no work. */
  serve(request: IncomingMessage, response: ServerResponse, onlyKept = false): boolean {
    const { method, url, headers } = request
    if (method !== 'GET' || url === undefined || !url.startsWith(listPath)) return false
    if (headers['if-none-match'] !== undefined || headers['expect'] !== undefined) return false
    this.#forgetOld()
    if (!this.#hasVersion(headers['souk-catalog-version'])) return false
    const answer = onlyKept ? this.#kept(url) : (this.#kept(url) ?? this.#fresh(url))
    if (answer === null) return false
    const counter = url.charCodeAt(listPath.length) === 0x2f ? this.#products : this.#lists
    counter.begin()
    response.writeHead(200, answer.headers as string[])
    response.end(answer.body)
    return true
  }

  #forgetOld(): void {
    const { catalog } = this.#shop.replica
    const generation = catalog.generation()
    const version = catalog.version()
    if (generation === this.#generation && version === this.#version) return
    this.#answers.clear()
    this.#sizeBytes = 0
    this.#generation = generation
    this.#version = version
    this.#versionText = String(version)
  }

  /** DESIGN.md section 4: the version that a client saw elsewhere. */
  #hasVersion(wanted: string | string[] | undefined): boolean {
    if (wanted === undefined) return true
    return typeof wanted === 'string' && /^\d{1,15}$/.test(wanted) && Number(wanted) <= this.#version
  }

  #kept(url: string): Answer | null {
    const known = this.#answers.get(url)
    if (known === undefined) return null
    this.#answers.delete(url)
    this.#answers.set(url, known)
    return known
  }

  #fresh(url: string): Answer | null {
    const made = this.#make(url)
    if (made !== null && url.length <= addressLengthMax) this.#keep(url, made)
    return made
  }

  /** Null for what the routes must look at. */
  #make(url: string): Answer | null {
    try {
      if (url.startsWith(productPath)) return this.#product(url.slice(productPath.length))
      if (url.length === listPath.length) return this.#list('')
      return url[listPath.length] === '?' ? this.#list(url.slice(listPath.length + 1)) : null
    } catch (error) {
      if (isFault(error) || error instanceof URIError) return null
      throw error
    }
  }

  #list(text: string): Answer | null {
    const query = queryOf(text)
    if (query === null) return null
    const { catalog } = this.#shop.replica
    return this.#of(listText(catalog, checkQuery(query, productsQuery), 'active'), [])
  }

  #product(name: string): Answer | null {
    if (!/^[\w.-]+$/.test(name)) return null
    const text = this.#shop.replica.catalog.productJson(parseHandle(name))
    if (text === null || !isActive(text)) return null
    return this.#of(text, ['ETag', `"${versionOf(text)}"`])
  }

  #of(text: string, more: readonly string[]): Answer {
    const body = Buffer.from(text)
    const fixed = ['Content-Type', 'application/json', 'Cache-Control', revalidate['Cache-Control']]
    const own = ['Souk-Node', this.#shop.replica.self.node, 'Souk-Catalog-Version', this.#versionText]
    return { body, headers: [...fixed, ...more, ...own, 'Content-Length', String(body.length)] }
  }

  /** The second time an address is asked for; a crawler goes through all of them once. */
  #keep(url: string, answer: Answer): void {
    if (!this.#seen.has(url)) {
      if (this.#seen.size >= seenMax) this.#seen.clear()
      this.#seen.add(url)
      return
    }
    this.#answers.set(url, answer)
    this.#sizeBytes += answer.body.length
    for (const [oldest, { body }] of this.#answers) {
      if (this.#answers.size <= answersMax && this.#sizeBytes <= answersSizeBytesMax) return
      this.#answers.delete(oldest)
      this.#sizeBytes -= body.length
    }
  }
}

/** The first value of each name, as the routes read it. Null for names that are no parameters. Throws URIError. */
function queryOf(text: string): { [name: string]: string } | null {
  const query: { [name: string]: string } = {}
  if (text === '') return query
  for (const pair of text.split('&')) {
    const at = pair.indexOf('=')
    const [name, value] = at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)]
    if (!/^[A-Za-z]+$/.test(name)) return null
    query[name] ??= /[%+]/.test(value) ? decodeURIComponent(value.replaceAll('+', ' ')) : value
  }
  return query
}
