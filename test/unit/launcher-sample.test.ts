/** The sample catalog that a new cluster starts with. */
import { parse } from 'csv-parse/sync'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { columns, sampleCatalogCsv } from '../../scripts/make-sample-catalog.ts'

type Row = Record<(typeof columns)[number], string>

const committed = readFileSync(new URL('../../scripts/data/sample-catalog.csv', import.meta.url), 'utf8')
const rows: Row[] = parse(committed, { columns: true })
const products = rows.filter((row) => row.Title !== '')

describe('the sample catalog', () => {
  test('is what its script writes', () => {
    expect(
      committed === sampleCatalogCsv(),
      'run: scripts/with-node node scripts/make-sample-catalog.ts',
    ).toBe(true)
  })

  test('has a few hundred products in a dozen categories, a few of them drafts', () => {
    expect(products.length).toBe(300)
    expect(new Set(products.map((row) => row.Handle)).size).toBe(products.length)
    expect(new Set(products.map((row) => row.Type)).size).toBe(12)
    const drafts = products.filter((row) => row.Status === 'draft')
    expect(drafts.length).toBeGreaterThan(3)
    expect(drafts.every((row) => row.Published === 'FALSE')).toBe(true)
  })

  test('gives every variant a SKU of its own and a price', () => {
    expect(new Set(rows.map((row) => row['Variant SKU'])).size).toBe(rows.length)
    expect(
      rows.filter((row) => !/^\d+\.\d\d$/.test(row['Variant Price']) || row['Variant Price'] === '0.00'),
    ).toEqual([])
  })

  test('describes every product in its own words', () => {
    expect(new Set(products.map((row) => row['Body (HTML)'])).size).toBe(products.length)
  })
})
