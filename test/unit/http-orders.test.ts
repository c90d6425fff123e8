/** Orders over HTTP: the mark of what no majority confirmed, filters, and exports. */
import { parse } from 'csv-parse/sync'
import { describe, expect, test } from 'vitest'
import type { OrderRecord } from '../../node/commands.ts'
import type { OrderId } from '../../node/ids.ts'
import type { FakeWorld } from '../support/fake-world.ts'
import { ask, asAdmin, fakeShop, guest, stock } from '../support/http-door.ts'
import type { Answered, FakeDoor } from '../support/http-door.ts'

async function shop(): Promise<{ door: FakeDoor; world: FakeWorld }> {
  const { doors, world } = fakeShop('n1')
  const [door] = doors
  if (door === undefined) throw new Error('one node was asked for')
  await stock(door)
  return { door, world }
}

/** Orders of LAMP by one shopper, one a day. */
async function ordered(door: FakeDoor, world: FakeWorld, notes: readonly string[]): Promise<string> {
  world.nowMs = Date.UTC(2026, 0, 1)
  const { token } = await guest(door)
  for (const [day, note] of notes.entries()) {
    world.nowMs = Date.UTC(2026, 0, 1 + day, 12)
    const item = { sku: 'LAMP', quantity: day + 1 }
    expect((await ask(door, '/api/cart/items', { token, json: item })).status).toBe(200)
    const json = { hash: '*', note, contact: { name: '=HYPERLINK("x")', address: 'Lane 1\nTown, "A"' } }
    const answer = await ask(door, '/api/orders', { token, json, headers: { 'idempotency-key': `k${day}` } })
    expect(answer.status).toBe(201)
  }
  return token
}

const items = ({ json }: Answered): { note: string }[] => json['items'] as never

describe('what no majority of the voters confirmed', () => {
  test('is marked in header and body, for shoppers and administrators; what is confirmed is not', async () => {
    const { door, world } = await shop()
    const token = await ordered(door, world, ['a'])
    const [order] = world.orders.values()
    const reads = [
      ['/api/orders', { token }],
      [`/api/orders/${order?.id}`, { token }],
      ['/api/admin/orders', { headers: asAdmin }],
      [`/api/admin/orders/${order?.id}`, { headers: asAdmin }],
    ] as const
    for (const stale of [false, true]) {
      world.stale = stale
      for (const [path, how] of reads) {
        const { status, headers, json } = await ask(door, path, how)
        expect([path, status, headers.get('souk-stale'), json['stale']]).toEqual(
          stale ? [path, 200, 'true', true] : [path, 200, null, undefined],
        )
      }
      const exported = await ask(door, '/api/admin/orders/export', { headers: asAdmin })
      expect(exported.headers.get('souk-stale')).toBe(stale ? 'true' : null)
    }
    // The own rows of a node are what they are.
    const local = await ask(door, '/api/admin/orders?local=true', { headers: asAdmin })
    expect([local.headers.get('souk-stale'), local.json['stale']]).toEqual([null, undefined])
    const headers = { cookie: `souk_session=${token}` }
    for (const path of ['/orders', `/orders/${order?.id}`])
      expect((await ask(door, path, { headers })).text).toContain('keep the books')
  })
})

describe('administrators find orders', () => {
  test('by number, words, time, user and status; odd filters are 400', async () => {
    const { door, world } = await shop()
    await ordered(door, world, ['first', 'second', 'third'])
    const find = async (query: string) => await ask(door, `/api/admin/orders?${query}`, { headers: asAdmin })
    const notes = async (query: string): Promise<string[]> => items(await find(query)).map(({ note }) => note)
    expect(await notes('number=1001')).toEqual(['second'])
    expect(await notes('q=ir')).toEqual(['first', 'third'])
    expect(await notes('from=2026-01-02')).toEqual(['second', 'third'])
    expect(await notes('to=2026-01-02')).toEqual(['first'])
    expect(await notes('from=2026-01-01T13:00:00%2B02:00&to=2026-01-02T12:00:00.001Z')).toEqual([
      'first',
      'second',
    ])
    expect(await notes('status=shipped')).toEqual([])
    for (const query of [
      'from=yesterday',
      'to=2026-13-01',
      'number=',
      'q=',
      'user=%20',
      `q=${'x'.repeat(300)}`,
    ])
      expect([query, (await find(query)).status]).toEqual([query, 400])
  })
})

describe('exports', () => {
  test('CSV: a row for each line, exact amounts, formulas disarmed; JSON Lines: the documents', async () => {
    const { door, world } = await shop()
    await ordered(door, world, ['plain', '@note', 'a "b", c\nd'])
    const csv = await ask(door, '/api/admin/orders/export', { headers: asAdmin })
    expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8')
    expect(csv.headers.get('content-disposition')).toContain('orders.csv')
    const rows: Record<string, string>[] = parse(csv.text, { columns: true })
    expect(rows.map((row) => row['Note'])).toEqual(['plain', "'@note", 'a "b", c\nd'])
    expect(rows[2]).toMatchObject({
      Number: '1002',
      Status: 'placed',
      Currency: 'USD',
      'Line SKU': 'LAMP',
      'Line quantity': '3',
      'Line total': rows[2]?.['Total'] ?? '',
      'Contact name': '\'=HYPERLINK("x")',
      'Contact address': 'Lane 1\nTown, "A"',
    })
    const lines = await ask(door, '/api/admin/orders/export?format=jsonl&from=2026-01-02', {
      headers: asAdmin,
    })
    expect(lines.headers.get('content-type')).toBe('application/jsonl')
    const documents = lines.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { note: string })
    const listed = await ask(door, '/api/admin/orders?from=2026-01-02', { headers: asAdmin })
    expect(documents).toEqual(items(listed))
    expect(documents).toHaveLength(2)
  })

  test('many pages are one file; nobody but an administrator gets it', async () => {
    const { door, world } = await shop()
    const token = await ordered(door, world, ['one'])
    const [order] = world.orders.values()
    for (let number = 0; number < 450; number += 1) {
      const id = `o${number.toString(16).padStart(32, '0')}` as OrderId
      world.orders.set(id, { ...(order as OrderRecord), id })
    }
    const { text } = await ask(door, '/api/admin/orders/export?format=jsonl', { headers: asAdmin })
    const ids = text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: string }).id)
    expect([ids.length, new Set(ids).size]).toEqual([451, 451])
    expect((await ask(door, '/api/admin/orders/export', { token })).status).toBe(403)
    expect((await ask(door, '/api/admin/orders/export')).status).toBe(401)
    expect((await ask(door, '/api/admin/orders/export?format=xml', { headers: asAdmin })).status).toBe(400)
  })
})
