import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FakeDoor } from '../support/http-door.ts'
import { ask, asAdmin, fakeShop } from '../support/http-door.ts'

const currencies = ['USD', 'JPY', 'BHD']
const word = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .map((text) => text.replaceAll('\0', '').trim() || 'x')
const free = fc
  .string({
    unit: fc.constantFrom('a', 'é', '"', ',', '\n', '\r', '\r\n', ' ', ';', '<b>', '漢', '='),
    maxLength: 30,
  })
  .filter((text) => text.isWellFormed())
const tag = word.map((text) => text.replaceAll(',', ' ').trim() || 'x')
const names = fc.uniqueArray(fc.constantFrom('Size', 'Colour', 'Cut, of cloth', 'Größe', 'Title'), {
  maxLength: 3,
})

type Shape = { title: string; names: string[]; values: string[][]; prices: number[]; images: string[] } & {
  [name: string]: unknown
}

const shape: fc.Arbitrary<Shape> = fc.record({
  title: word,
  description: free,
  vendor: word,
  category: word,
  tags: fc.uniqueArray(tag, { maxLength: 3 }),
  status: fc.constantFrom('active', 'draft', 'archived'),
  names,
  values: fc.array(fc.tuple(word, word, word), { minLength: 1, maxLength: 4 }),
  prices: fc.array(fc.integer({ min: 0, max: 1_000_000_000 }), { minLength: 4, maxLength: 4 }),
  images: fc.uniqueArray(word, { maxLength: 5 }),
})

function productOf(
  { names: options, values, prices, images, ...rest }: Shape,
  index: number,
  currency: string,
) {
  const variants = values.map((row, position) => ({
    sku: `SKU-${index}-${position}`,
    options: Object.fromEntries(options.map((name, at) => [name, row[at] ?? 'x'])),
    price: { amount: prices[position] ?? 0, currency },
  }))
  return { ...rest, images: images.map((src) => ({ src, alt: `alt of ${src}` })), variants }
}

async function exported(door: FakeDoor, format = 'csv'): Promise<string> {
  return (await ask(door, `/api/admin/export?format=${format}`, { headers: asAdmin })).text
}

test('export, import into an empty shop, export: the same file; import where it came from: nothing changes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(shape, { minLength: 1, maxLength: 4 }),
      fc.constantFrom(...currencies),
      async (shapes, currency) => {
        const [from, to] = [fakeShop('n1'), fakeShop('n1')]
        const [source, target] = [from.doors[0] as FakeDoor, to.doors[0] as FakeDoor]
        from.world.currency = currency
        to.world.currency = currency
        for (const [index, one] of shapes.entries()) {
          const json = productOf(one, index, currency)
          const put = await ask(source, `/api/admin/products/p${index}`, {
            method: 'PUT',
            headers: asAdmin,
            json,
          })
          expect(put.text).toContain('"handle"')
        }
        const file = await exported(source)
        const load = async (door: FakeDoor) =>
          (await ask(door, '/api/admin/import', { body: file, type: 'text/csv', headers: asAdmin })).json
        expect(await load(target)).toMatchObject({ created: shapes.length, rejected: [] })
        expect(await exported(target)).toBe(file)
        expect(await load(source)).toMatchObject({ unchanged: shapes.length, rejected: [] })
        // JSON Lines say what CSV can't: names of variants. Stamps are the shop's own.
        const lines = await exported(source, 'jsonl')
        const [third] = fakeShop('n1').doors as [FakeDoor]
        third.replica.world.currency = currency
        const put = async (door: FakeDoor) =>
          await ask(door, '/api/admin/import', { body: lines, type: 'application/jsonl', headers: asAdmin })
        expect((await put(third)).json).toMatchObject({ created: shapes.length, rejected: [] })
        const unstamped = (text: string): string =>
          text.replace(/"catalogVersion":\d+,"updatedAt":"[^"]*"/g, '"catalogVersion":0')
        expect(unstamped(await exported(third, 'jsonl'))).toBe(unstamped(lines))
        expect((await put(source)).json).toMatchObject({ unchanged: shapes.length, rejected: [] })
        expect(await exported(source, 'jsonl')).toBe(lines)
      },
    ),
    { numRuns: 150 },
  )
})

test('no file breaks the import', async () => {
  const cell = fc.oneof(
    free,
    fc.constantFrom('Handle', 'Title', 'Variant Price', '1.00', 'a', '"', 'Option1 Name', 'Option1 Value'),
  )
  const file = fc
    .array(
      fc.array(cell, { maxLength: 6 }).map((cells) => cells.join(',')),
      { maxLength: 8 },
    )
    .map((rows) => rows.join('\n'))
  await fc.assert(
    fc.asyncProperty(fc.boolean(), file, async (headed, text) => {
      const door = fakeShop('n1').doors[0] as FakeDoor
      const body = headed ? `Handle,Title,Variant Price,Option1 Name,Option1 Value\n${text}` : text
      const { status } = await ask(door, '/api/admin/import', { body, type: 'text/csv', headers: asAdmin })
      expect([200, 400]).toContain(status)
    }),
    { numRuns: 300 },
  )
})
