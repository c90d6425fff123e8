/** What a node refuses when more comes than it can do (http/load-shedder.ts), and what it never refuses. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { requestsInFlightMax, turnBudgetMs, turnRequestsMin } from '../../http/limits.ts'
import { LoadShedder } from '../../http/load-shedder.ts'
import { RequestMetrics } from '../../http/metrics.ts'
import type { HttpServer } from '../../http/server.ts'
import { fakeShop, stock } from '../support/http-door.ts'
import type { FakeDoor, FakeShop } from '../support/http-door.ts'

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('the load shedder', () => {
  let nowMs = 0
  let load: LoadShedder
  beforeEach(() => {
    const { replica } = fakeShop('n1').doors[0] as FakeDoor
    const quiet = () => undefined
    const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
    load = new LoadShedder(replica, new RequestMetrics(replica, '1'), logger, () => nowMs)
  })

  /** Requests that a turn finds; none is refused. */
  const find = (count: number): void => {
    for (let left = count; left > 0; left -= 1) expect(load.isTooMuch('/api/cart')).toBe(false)
  }

  test('lets in what a turn can do, and begins anew with the next one', async () => {
    find(turnRequestsMin)
    nowMs += turnBudgetMs
    expect(load.isTooMuch('/api/cart')).toBe(false)
    nowMs += 1
    expect(load.isTooMuch('/api/cart')).toBe(true)
    await nextTurn()
    // However long the turn before was, and whatever came between.
    nowMs += 10 * turnBudgetMs
    expect(load.isTooMuch('/api/cart')).toBe(false)
  })

  test('refuses nobody in a turn that is long for another reason', () => {
    find(turnRequestsMin - 1)
    nowMs += 10 * turnBudgetMs
    expect([load.isTooMuch('/api/cart'), load.isTooMuch('/api/cart')]).toEqual([false, true])
  })

  test('bounds what waits', async () => {
    const answers = Array.from({ length: requestsInFlightMax }, () => Promise.withResolvers<string>())
    const counted = answers.map(({ promise }) => load.count(promise))
    expect([load.inFlight, load.isTooMuch('/api/orders')]).toEqual([requestsInFlightMax, true])
    answers[0]?.resolve('one is answered')
    expect(await counted[0]).toBe('one is answered')
    expect(load.isTooMuch('/api/orders')).toBe(false)
    answers[1]?.reject(new Error('and one fails'))
    await expect(counted[1]).rejects.toThrow('and one fails')
    expect(load.inFlight).toBe(requestsInFlightMax - 2)
  })

  test.each([
    ['/healthz', false],
    ['/readyz', false],
    ['/metrics', false],
    ['/cluster', false],
    ['/api/cluster', false],
    ['/api/cluster?x=1', false],
    ['/api/cluster/events', false],
    ['/api/admin/cluster/primary', false],
    ['/api/admin/cluster/members/n2?x', false],
    ['/healthzz', true],
    ['/api/cluster/', true],
    ['/api/admin/products?status=/healthz', true],
    ['/api/products', true],
    ['/', true],
    ['', true],
  ])('%s can be refused: %s', (url, canBe) => {
    find(turnRequestsMin)
    nowMs += turnBudgetMs + 1
    expect(load.isTooMuch(url)).toBe(canBe)
  })
})

describe('an overloaded door', () => {
  let shop: FakeShop
  let server: HttpServer
  beforeEach(async () => {
    shop = fakeShop('n1')
    await stock(shop.doors[0] as FakeDoor)
    server = await (shop.doors[0] as FakeDoor).door.listen('127.0.0.1', 0)
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    await shop.doors[0]?.door.close()
  })

  /** Sends all at once, so that one turn finds them; resolves with all answers when the last one closes the connection. */
  async function pipelined(...requests: string[]): Promise<string[]> {
    const socket = connect(server.port, '127.0.0.1')
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    socket.write(requests.join(''))
    await once(socket, 'close')
    return text.split(/(?=HTTP\/1\.1 \d{3} )/)
  }
  const get = (path: string, ...headers: string[]): string =>
    `${[`GET ${path} HTTP/1.1`, 'Host: shop.example', ...headers].join('\r\n')}\r\n\r\n`
  const letIn = Array.from({ length: turnRequestsMin }, () => get('/api/categories'))
  const statuses = (answers: string[]): string[] => answers.map((answer) => answer.slice(9, 12))

  /** Each look at the clock takes so long that a turn has no room for more than it must. */
  function slowDown(): void {
    let nowMs = 0
    vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += 2 * turnBudgetMs))
  }

  test('serves what it let in, and answers the rest with 503, on a connection that goes on', async () => {
    slowDown()
    const post =
      'POST /api/cart/items HTTP/1.1\r\nHost: shop.example\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'
    const answers = await pipelined(
      ...letIn,
      post,
      get('/api/categories'),
      get('/healthz'),
      get('/api/cluster'),
      get('/api/products?q=linen'),
      get('/orders', 'Accept: text/html', 'Connection: close'),
    )
    const after = answers.slice(letIn.length)
    expect(new Set(statuses(answers.slice(0, letIn.length)))).toEqual(new Set(['200']))
    expect(statuses(after)).toEqual(['503', '503', '200', '200', '503', '503'])
    const [refused = ''] = after
    const [head = '', body = ''] = refused.split('\r\n\r\n')
    expect(head).toMatch(/\r\nContent-Type: application\/problem\+json\r\n/)
    expect(head).toMatch(/\r\nRetry-After: [1-9]\d*\r\n/)
    expect(head).toMatch(/\r\nSouk-Node: n1\r\nSouk-Catalog-Version: 3\r\n/)
    expect(JSON.parse(body)).toMatchObject({ type: '/problems/overloaded', status: 503 })
    expect(answers.at(-1)).toMatch(/\r\nContent-Type: text\/html; charset=utf-8\r\n/)
    expect(answers.at(-1)).toMatch(/\r\nRetry-After: [1-9]\d*\r\n/)
    vi.restoreAllMocks()
    const [metrics] = await pipelined(get('/metrics', 'Connection: close'))
    expect(metrics).toContain('souk_http_problems_total{problem="overloaded"} 4')
    expect(metrics).toMatch(/souk_http_requests_in_flight 0\n/)
    expect(shop.logged.filter(({ message }) => message.includes('overloaded'))).toHaveLength(1)
  })

  test('gives what it has as bytes all the same', async () => {
    const path = '/api/products/lamp'
    // Kept from the second time on.
    await pipelined(get(path), get(path), get(path, 'Connection: close'))
    slowDown()
    const answers = await pipelined(...letIn, get(path), get('/api/products/shirt', 'Connection: close'))
    expect(statuses(answers).slice(letIn.length)).toEqual(['200', '503'])
  })
})
