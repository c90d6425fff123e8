/** Records of a CSV file as catalog changes: upsert by handle, absent columns keep their values. */
import type { ProductChange, ProductFields, ProductPatch, ProductStatus } from '../../node/commands.ts'
import { priceAmountMax } from '../../node/commands.ts'
import { Fault } from '../../node/faults.ts'
import type { Handle, Sku } from '../../node/ids.ts'
import { parseHandle, parseSku } from '../../node/ids.ts'
import { isCleanText } from '../input.ts'
import { importProductsMax } from '../limits.ts'
import { optionsOf, variantTitle } from '../products.ts'
import { Header, noOptionName, noOptionValue, optionNameColumn } from './columns.ts'
import { optionValueColumn } from './columns.ts'
import { parsePrice } from './price.ts'
import type { CsvFile, CsvRecord } from './records.ts'

export type Rejected = { readonly line: number; readonly reason: string }
/** A change with the lines it came from, for what is found wrong later. */
export type LineChange = { readonly change: ProductChange; readonly line: number }

type Patch = Extract<ProductChange, { op: 'merge' }>['fields']
type PatchVariant = NonNullable<Patch['variants']>[number]
type Group = { readonly handle: Handle; readonly records: CsvRecord[] }

/** What a product is now: variants keep a name of their own, if somebody gave them one. */
export type CurrentProduct = (handle: Handle) => ProductFields | null

/** Thrown inside one product; becomes a rejected line. */
class LineError extends Error {
  readonly line: number
  constructor(line: number, reason: string) {
    super(reason)
    this.line = line
  }
}

type Reading = {
  readonly header: Header
  readonly currency: string
  readonly digits: number
  readonly current: CurrentProduct
  /** SKUs of products accepted so far, in the order of the file. */
  readonly owners: Map<Sku, Handle>
}

/** Where rows wait until all of their product are together. */
export type Rows = {
  appendLine(text: string): Promise<void>
  lines(): AsyncIterable<string>
}
/** Where it is told what was not taken. */
export type Refusals = { push(...rejected: readonly Rejected[]): void }

/** Rows that wait for others of their product, in characters: in a file that is sorted by handle hardly any do. */
const rowsApartLengthMax = 64 * 1024 * 1024

function handleOf(header: Header, { line, fields }: CsvRecord, rejected: Refusals): Handle | null {
  const raw = (header.get(fields, 'Handle') ?? '').trim()
  try {
    return parseHandle(raw)
  } catch {
    const reason = raw === '' ? 'the handle is empty' : `"${raw.slice(0, 60)}" is not a handle`
    rejected.push({ line, reason })
    return null
  }
}

/** First pass: all rows into `rows`, and how many each product has. */
async function countRows(file: CsvFile, rows: Rows, rejected: Refusals): Promise<Map<Handle, number>> {
  const counts = new Map<Handle, number>()
  for await (const record of file.records) {
    const handle = handleOf(file.header, record, rejected)
    if (handle === null) continue
    if (counts.size >= importProductsMax && !counts.has(handle))
      throw new Fault('too-large', `an import has at most ${importProductsMax} products`)
    counts.set(handle, (counts.get(handle) ?? 0) + 1)
    await rows.appendLine(JSON.stringify([handle, record.line, record.fields]))
  }
  return counts
}

/**
 * Second pass: products in the order of their first line (who comes first has a SKU), each once all of its rows are
 * there; rows of one product need not be neighbours.
 */
async function* groupsOf(rows: Rows, counts: ReadonlyMap<Handle, number>): AsyncGenerator<Group> {
  const waiting = new Map<Handle, { records: CsvRecord[]; length: number }>()
  let waitingLength = 0
  for await (const text of rows.lines()) {
    const [handle, line, fields] = JSON.parse(text) as [Handle, number, string[]]
    const group = waiting.get(handle) ?? { records: [], length: 0 }
    group.records.push({ line, fields })
    group.length += text.length
    waitingLength += text.length
    waiting.set(handle, group)
    for (const [first, { records, length }] of waiting) {
      if (records.length < (counts.get(first) ?? 1)) break
      waiting.delete(first)
      waitingLength -= length
      yield { handle: first, records }
    }
    if (waitingLength > rowsApartLengthMax)
      throw new Fault(
        'too-large',
        'the rows of products are too far apart: sort the file by its Handle column',
      )
  }
}

function checkRecord(header: Header, { line, fields }: CsvRecord): void {
  if (fields.length !== header.width)
    throw new LineError(line, `the line has ${fields.length} fields, the header has ${header.width}`)
  if (!fields.every(isCleanText)) throw new LineError(line, 'the line holds a NUL character')
}

function statusOf(header: Header, { line, fields }: CsvRecord): ProductStatus | undefined {
  const status = header.get(fields, 'Status')?.trim().toLowerCase()
  const published = header.get(fields, 'Published')?.trim().toLowerCase()
  if (status === undefined && published === undefined) return undefined
  if (!['active', 'draft', 'archived', '', undefined].includes(status))
    throw new LineError(line, `"${status?.slice(0, 40)}" is not a status`)
  if (!['true', 'false', '', undefined].includes(published))
    throw new LineError(line, `Published is TRUE or FALSE, not "${published?.slice(0, 40)}"`)
  if (status === 'archived') return 'archived'
  return status === 'draft' || published === 'false' ? 'draft' : 'active'
}

function tagsOf(text: string): string[] {
  const tags = text.split(',').map((tag) => tag.trim())
  return [...new Set(tags.filter((tag) => tag !== ''))]
}

/** Fields of the first row; a column that the file does not have is not in the answer. */
function productFields(header: Header, record: CsvRecord): Patch {
  const patch: Patch = {}
  const title = header.get(record.fields, 'Title')?.trim()
  if (title === '') throw new LineError(record.line, 'the title is empty')
  const description = header.get(record.fields, 'Body (HTML)')
  const vendor = header.get(record.fields, 'Vendor')
  const category = header.get(record.fields, 'Type')
  const tags = header.get(record.fields, 'Tags')
  const status = statusOf(header, record)
  if (title !== undefined) patch.title = title
  if (description !== null) patch.description = description
  if (vendor !== null) patch.vendor = vendor.trim()
  if (category !== null) patch.category = category.trim()
  if (tags !== null) patch.tags = tagsOf(tags)
  if (status !== undefined) patch.status = status
  return patch
}

function imagesOf(header: Header, records: readonly CsvRecord[]): ProductFields['images'] {
  const images: ProductFields['images'] = []
  for (const { fields } of records) {
    const src = (header.get(fields, 'Image Src') ?? '').trim()
    if (src !== '') images.push({ src, alt: header.get(fields, 'Image Alt Text') ?? '' })
  }
  return images
}

/** Option names by position: the first row that says one (Shopify repeats none). */
function optionNames(header: Header, records: readonly CsvRecord[]): Map<number, string> {
  const names = new Map<number, string>()
  for (const position of header.optionPositions()) {
    const said = records.map(({ fields }) => (header.get(fields, optionNameColumn(position)) ?? '').trim())
    const name = said.find((candidate) => candidate !== '')
    if (name !== undefined) names.set(position, name)
  }
  return names
}

function isVariantRow(header: Header, { fields }: CsvRecord, first: boolean): boolean {
  if (first) return true
  const said = (column: string): boolean => (header.get(fields, column) ?? '').trim() !== ''
  return (
    said('Variant SKU') ||
    said('Variant Price') ||
    header.optionPositions().some((position) => said(optionValueColumn(position)))
  )
}

type ReadOptions = { readonly options: { [name: string]: string }; readonly values: string[] }

function readOptions(header: Header, names: Map<number, string>, { line, fields }: CsvRecord): ReadOptions {
  const options: { [name: string]: string } = {}
  for (const position of header.optionPositions()) {
    const value = (header.get(fields, optionValueColumn(position)) ?? '').trim()
    if (value === '') continue
    const name = names.get(position)
    if (name === undefined) throw new LineError(line, `option ${position} has a value but no name`)
    if (['__proto__', 'constructor', 'prototype'].includes(name) || name in options)
      throw new LineError(line, `"${name.slice(0, 60)}" can't be the name of option ${position}`)
    options[name] = value
  }
  return { options, values: Object.values(options) }
}

/** Shopify's way to say: this product has no options. */
function saysNoOptions(names: Map<number, string>, rows: readonly ReadOptions[]): boolean {
  if ([...names.values()].some((name) => name !== noOptionName)) return false
  return rows.every(({ values }) => values.every((value) => value === noOptionValue))
}

function priceOf(reading: Reading, { line, fields }: CsvRecord): PatchVariant['price'] {
  const text = reading.header.get(fields, 'Variant Price')
  if (text === null) return undefined
  if (text.trim() === '') throw new LineError(line, 'the price is missing')
  const amount = parsePrice(text, reading.digits)
  if (typeof amount === 'string') throw new LineError(line, amount)
  if (amount > priceAmountMax) throw new LineError(line, 'the price is too high')
  return { amount, currency: reading.currency }
}

function skuOf(header: Header, group: Group, record: CsvRecord, values: readonly string[]): Sku {
  const raw = (header.get(record.fields, 'Variant SKU') ?? '').trim()
  try {
    return parseSku(raw === '' ? [group.handle, ...values].join('-') : raw)
  } catch {
    throw new LineError(record.line, 'the SKU is not valid')
  }
}

/** The name that the row gives a variant; none when somebody named the variant otherwise and may keep that. */
function titleOf(
  before: ProductFields | null,
  sku: Sku,
  options: { [name: string]: string },
): string | undefined {
  const known = before?.variants.find((variant) => variant.sku === sku)
  const named = known !== undefined && known.title !== '' && known.title !== variantTitle(known.options)
  return named ? undefined : variantTitle(options)
}

function variantsOf(reading: Reading, group: Group): Pick<Patch, 'variants' | 'options'> {
  const { header } = reading
  const names = optionNames(header, group.records)
  const hasOptions = header.optionPositions().length > 0
  const rows = group.records
    .filter((record, index) => isVariantRow(header, record, index === 0))
    .map((record) => ({ record, ...readOptions(header, names, record) }))
  const plain = saysNoOptions(names, rows)
  const before = reading.current(group.handle)
  const seen = new Set<Sku>()
  const variants = rows.map(({ record, options: read, values }): PatchVariant => {
    const options = plain ? {} : read
    const sku = skuOf(header, group, record, plain ? [] : values)
    claim(reading, group.handle, seen, sku, record.line)
    const price = priceOf(reading, record)
    const title = hasOptions || before === null ? titleOf(before, sku, options) : undefined
    return {
      sku,
      ...(title === undefined ? {} : { title }),
      ...(hasOptions ? { options } : {}),
      ...(price === undefined ? {} : { price }),
    }
  })
  if (!hasOptions) return { variants }
  return { variants, options: optionsOf(variants.map(({ options }) => ({ options: options ?? {} }))) }
}

/** A SKU belongs to one variant of one product; the first in the file has it. */
function claim(reading: Reading, handle: Handle, seen: Set<Sku>, sku: Sku, line: number): void {
  const owner = reading.owners.get(sku)
  if (seen.has(sku)) throw new LineError(line, `SKU ${sku} occurs twice in the product`)
  if (owner !== undefined && owner !== handle)
    throw new LineError(line, `SKU ${sku} belongs to product ${owner}`)
  seen.add(sku)
}

/** All lines are looked at, so that one import names all that is wrong with them; the fields by their first fault. */
function readGroup(reading: Reading, group: Group, rejected: Refusals): LineChange | null {
  const { header } = reading
  const first = group.records[0]
  if (first === undefined) return null
  const broken = group.records.flatMap((record) => lineErrors(header, record))
  rejected.push(...broken)
  if (broken.length > 0) return null
  try {
    const fields: ProductPatch = productFields(header, first)
    if (header.has('Image Src')) fields.images = imagesOf(header, group.records)
    if (header.describesVariants) Object.assign(fields, variantsOf(reading, group))
    return { change: { op: 'merge', handle: group.handle, fields }, line: first.line }
  } catch (error) {
    if (!(error instanceof LineError)) throw error
    rejected.push({ line: error.line, reason: error.message })
    return null
  }
}

function lineErrors(header: Header, record: CsvRecord): Rejected[] {
  try {
    checkRecord(header, record)
    return []
  } catch (error) {
    if (!(error instanceof LineError)) throw error
    return [{ line: error.line, reason: error.message }]
  }
}

/** Products of the file in the order of their first line; a product with a rejected line is left out as a whole. */
export async function* productsOf(
  file: CsvFile,
  rows: Rows,
  shop: { currency: string; digits: number; current: CurrentProduct },
  rejected: Refusals,
): AsyncGenerator<LineChange> {
  const reading: Reading = { ...shop, header: file.header, owners: new Map() }
  const counts = await countRows(file, rows, rejected)
  for await (const group of groupsOf(rows, counts)) {
    const found = readGroup(reading, group, rejected)
    if (found === null) continue
    if (found.change.op === 'merge')
      for (const { sku } of found.change.fields.variants ?? []) reading.owners.set(sku, group.handle)
    yield found
  }
}
