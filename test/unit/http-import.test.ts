/** Imports as jobs: progress, differences of a dry run, the file on disk, going on after a failure. */
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { catalogChangeItemsMax } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import { readCsv } from '../../http/csv/records.ts'
import { Spool, linesOf } from '../../http/spool.ts'
import type { FakeDoor } from '../support/http-door.ts'
import { ask, asAdmin, fakeShop, stock } from '../support/http-door.ts'

function shop(...nodes: string[]) {
  const made = fakeShop(...(nodes.length === 0 ? ['n1'] : nodes))
  const [door] = made.doors as [FakeDoor]
  const load = async (body: string, query = '', headers: { [name: string]: string } = {}, at = door) =>
    await ask(at, `/api/admin/import${query}`, {
      body,
      type: body.startsWith('{') ? 'application/jsonl' : 'text/csv',
      headers: { ...asAdmin, ...headers },
    })
  const get = async (path: string, at = door) => await ask(at, path, { headers: asAdmin })
  return { ...made, door, load, get }
}

function csv(count: number, price = '1'): string {
  const rows = Array.from({ length: count }, (_, index) => `p${index},P ${index},${price}`)
  return `Handle,Title,Variant Price\n${rows.join('\n')}\n`
}

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size))
}

describe('a dry run', () => {
  test('tells what would change, field by field, and changes nothing', async () => {
    const { door, load, world } = shop()
    await stock(door)
    const before = (await ask(door, '/api/admin/export?format=jsonl', { headers: asAdmin })).text
    const file =
      'Handle,Title,Vendor,Variant SKU,Variant Price\nlamp,Old Lamp,,LAMP,100\nnew,New,,N,1\nsecret,Not Yet,,SECRET,0.01\nbad,,,B,1\n'
    const { json } = await load(file, '?dryRun=true')
    expect(json).toMatchObject({
      created: 1,
      updated: 1,
      unchanged: 1,
      rejected: [{ line: 5, reason: 'the title is empty' }],
      diff: [
        {
          handle: 'lamp',
          line: 2,
          change: 'updated',
          fields: [
            { field: 'title', before: 'Brass Lamp', after: 'Old Lamp' },
            { field: 'variants.LAMP.price', before: '12999 USD', after: '10000 USD' },
          ],
        },
        { handle: 'new', line: 3, change: 'created', fields: [] },
      ],
    })
    expect(world.version).toBe(3)
    expect((await ask(door, '/api/admin/export?format=jsonl', { headers: asAdmin })).text).toBe(before)
    expect((await load(file)).json['diff']).toBeUndefined()
  })
})

describe('an import as a job', () => {
  test('respond-async answers with its address; it tells how far it is and how it ended', async () => {
    const { load, get, door } = shop()
    const accepted = await load(csv(450), '', { prefer: 'wait=1, respond-async', 'souk-admin': 'Ada' })
    expect(accepted.status).toBe(202)
    expect(accepted.headers.get('preference-applied')).toBe('respond-async')
    const address = accepted.headers.get('location') ?? ''
    const stream = await door.door.app.request(`${door.url}${address}/events`, { headers: asAdmin })
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    while (!text.includes('"state":"done"')) text += (await reader?.read())?.value ?? ''
    await reader?.cancel()
    const { json } = await get(address)
    expect(json).toMatchObject({
      state: 'done',
      by: 'Ada',
      products: 450,
      done: 450,
      created: 450,
      problem: null,
      answer: { created: 450, catalogVersion: 3 },
    })
    const states = text.match(/"state":"\w+"/g) ?? []
    expect(new Set(states).has('"state":"changing"')).toBe(true)
    expect((await get('/api/admin/imports')).json['items']).toMatchObject([{ id: json['id'] }])
    expect((await get('/api/admin/imports/x')).json['type']).toBe('/problems/not-found')
    expect((await ask(door, address)).status).toBe(401)
    expect((await ask(door, `${address}/events`)).status).toBe(401)
  })

  test('a failure is kept in it, and nothing was changed by a file that can’t be read to its end', async () => {
    const { load, get, world } = shop()
    const broken = `${csv(450)}"never closed`
    expect((await load(broken)).status).toBe(400)
    const accepted = await load(broken, '', { prefer: 'respond-async' })
    const address = accepted.headers.get('location') ?? ''
    await vi.waitFor(async () => expect((await get(address)).json['state']).toBe('failed'))
    expect((await get(address)).json['problem']).toMatchObject({ type: '/problems/invalid-request' })
    expect(world.version).toBe(0)
  })

  test('what fails in the middle goes on at another node with the same key, and counts everything once', async () => {
    const { load, world, doors } = shop('n1', 'n2')
    const [one, other] = doors as [FakeDoor, FakeDoor]
    const change = one.replica.catalog.change.bind(one.replica.catalog)
    let batches = 0
    one.replica.catalog.change = async (...given) => {
      batches += 1
      if (batches === 3) throw new Fault('disk-full', 'no room')
      return await change(...given)
    }
    const key = { 'idempotency-key': 'k' }
    const failed = await load(csv(1_000), '', key, one)
    expect([failed.status, failed.json['type']]).toEqual([504, '/problems/outcome-unknown'])
    expect(world.products.size).toBe(2 * catalogChangeItemsMax)
    const done = await load(csv(1_000), '', key, other)
    expect(done.json).toMatchObject({ created: 1_000, updated: 0, catalogVersion: 5 })
    expect((await load(csv(1_000), '', key, one)).json).toEqual(done.json)
    expect(world.version).toBe(5)
    // Another file under the same key is another import, and without a key it is one, too.
    expect((await load(csv(1_000, '2'), '', key, other)).json).toMatchObject({ updated: 1_000 })
    expect((await load(csv(1_000))).json).toMatchObject({ updated: 1_000 })
    expect((await load(csv(1_000))).json).toMatchObject({ unchanged: 1_000 })
  })
})

describe('reading', () => {
  test('records and their lines are the same in whatever pieces the file comes', async () => {
    const cell = fc.constantFrom('a', '"b\r\nc"', '"d\ne"', 'é', '"x ""y"""', '', '漢')
    const row = fc.array(cell, { minLength: 2, maxLength: 3 }).map((cells) => cells.join(','))
    const file = fc
      .array(fc.tuple(row, fc.constantFrom('\n', '\r\n', '\r')), { minLength: 1, maxLength: 8 })
      .map((rows) => `\uFEFFHandle,Title\n${rows.map((pair) => pair.join('')).join('')}`)
    const read = async (bytes: Buffer, size: number): Promise<unknown[]> => {
      const found: unknown[] = []
      for await (const record of (await readCsv(pieces(bytes, size))).records) found.push(record)
      return found
    }
    await fc.assert(
      fc.asyncProperty(file, fc.integer({ min: 1, max: 7 }), async (text, size) => {
        const bytes = Buffer.from(text)
        expect(await read(bytes, size)).toEqual(await read(bytes, bytes.length))
      }),
      { numRuns: 60 },
    )
  })

  test('rows of a product need not be neighbours; who comes first has a SKU', async () => {
    const { load, get } = shop()
    const head = 'Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price\n'
    const rows = ['a,A,Size,S,A-S,1', 'b,B,Size,S,A-M,1', 'c,C,Size,S,C-S,1', 'a,,,M,A-M,2', 'c,,,M,C-M,2']
    expect((await load(`${head}${rows.join('\n')}`)).json).toMatchObject({
      created: 2,
      rejected: [{ line: 3, reason: 'SKU A-M belongs to product a' }],
    })
    expect((await get('/api/admin/products/a')).json['variants']).toHaveLength(2)
  })

  test('a spool gives back what was written, as often as it is read, and leaves no file behind', async () => {
    const spool = await Spool.open()
    const lines = Array.from({ length: 5_000 }, (_, index) => `${index} ${'é漢😀'.repeat(index % 40)}`)
    for (const line of lines) await spool.appendLine(line)
    for (let time = 0; time < 2; time += 1) {
      const read: string[] = []
      for await (const line of spool.lines()) read.push(line)
      expect(read).toEqual(lines)
    }
    await spool.close()
  })

  test('a line that never ends, and bytes that are no text, are refused', async () => {
    const all = async (bytes: Buffer, max: number): Promise<string[]> => {
      const found: string[] = []
      for await (const line of linesOf(pieces(bytes, 3), 'the file', max)) found.push(line)
      return found
    }
    expect(await all(Buffer.from('a\nbé\n\nc'), 10)).toEqual(['a', 'bé', '', 'c'])
    await expect(all(Buffer.from('x'.repeat(50)), 10)).rejects.toThrow('a line of more than 10')
    for (const wrong of [[0x61, 0xff], [0xc3]])
      await expect(all(Buffer.from(wrong), 10)).rejects.toThrow('UTF-8')
  })
})
