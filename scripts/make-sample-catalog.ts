/**
 * Writes scripts/data/sample-catalog.csv: three hundred products of an invented bazaar, in Shopify's
 * product CSV format (API.md, "CSV"). No randomness: the same vocabulary gives the same file, and a test
 * compares the two. Run it after a change: scripts/with-node node scripts/make-sample-catalog.ts
 */
import { stringify } from 'csv-stringify/sync'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { goodsCategories } from './sample-catalog/goods.ts'
import { homeCategories } from './sample-catalog/home.ts'
import type { Category, Choice, Kind, Style } from './sample-catalog/types.ts'

export const columns = [
  'Handle',
  'Title',
  'Body (HTML)',
  'Vendor',
  'Type',
  'Tags',
  'Published',
  'Option1 Name',
  'Option1 Value',
  'Variant SKU',
  'Variant Price',
  'Image Src',
  'Image Alt Text',
  'Status',
] as const

type Row = Partial<Record<(typeof columns)[number], string>>

/** One in this many products is a draft, has no image, or has no choices: so that pages meet such ones. */
const draftEvery = 29
const noImageEvery = 11
const singleVariantEvery = 13

export function sampleCatalogCsv(): string {
  const rows: Row[] = []
  let position = 0
  for (const category of [...homeCategories, ...goodsCategories]) {
    for (const kind of category.kinds) {
      for (const style of category.styles) rows.push(...product(category, kind, style, position++))
    }
  }
  return stringify(rows, { header: true, columns: [...columns] })
}

function product(category: Category, kind: Kind, style: Style, position: number): Row[] {
  const title = `${style.name} ${kind.name}`
  const handle = title
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
  const single = position % singleVariantEvery === singleVariantEvery - 1
  const draft = position % draftEvery === draftEvery - 1
  const image = position % noImageEvery === noImageEvery - 1 ? '' : `${category.name}/${handle}.jpg`
  const vendor = category.vendors[position % category.vendors.length] ?? ''
  const [first, ...others] = single
    ? [variant(category, kind, style, null)]
    : category.choices.map((choice) => variant(category, kind, style, choice))
  return [
    {
      Handle: handle,
      Title: title,
      'Body (HTML)': description(category, kind, style, position),
      Vendor: vendor,
      Type: category.name,
      Tags: [...new Set([category.name, ...kind.tags, ...style.tags])].join(', '),
      Published: draft ? 'FALSE' : 'TRUE',
      'Option1 Name': single ? 'Title' : category.option,
      ...first,
      'Image Src': image,
      'Image Alt Text': image === '' ? '' : title,
      Status: draft ? 'draft' : 'active',
    },
    ...others.map((row) => ({ Handle: handle, ...row })),
  ]
}

function variant(category: Category, kind: Kind, style: Style, choice: Choice | null): Row {
  const parts = [category.code, kind.code, style.code, ...(choice === null ? [] : [choice.code])]
  return {
    'Option1 Value': choice?.name ?? 'Default Title',
    'Variant SKU': parts.join('-'),
    'Variant Price': price(kind.priceCents * style.factor * (choice?.factor ?? 1)),
  }
}

/** Prices as shops write them: to 10 cents below 20, to the whole unit less 10 cents from there on. */
function price(cents: number): string {
  const rounded = cents < 2000 ? Math.round(cents / 10) * 10 : Math.round(cents / 100) * 100 - 10
  return (rounded / 100).toFixed(2)
}

function description(category: Category, kind: Kind, style: Style, position: number): string {
  const { facts } = category
  const chosen = [facts[position % facts.length], facts[(position + 1 + (position % 3)) % facts.length]]
  const list = [...new Set(chosen)].map((fact) => `<li>${fact}</li>`).join('')
  const sentences =
    position % 2 === 0
      ? `<p>${kind.says} ${style.says}</p>`
      : `<p><strong>${style.says}</strong></p>\n<p>${kind.says}</p>`
  return `${sentences}\n<ul>${list}</ul>`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL('./data/sample-catalog.csv', import.meta.url), sampleCatalogCsv())
}
