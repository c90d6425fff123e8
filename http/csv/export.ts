/** Products as Shopify CSV: one row per variant or image, continuation rows with the handle alone. */
import { stringify } from 'csv-stringify/sync'
import type { Product } from '../../node/commands.ts'
import { InvariantError } from '../../node/faults.ts'
import { noOptionName, noOptionValue } from './columns.ts'
import { optionNameColumn, optionValueColumn } from './columns.ts'
import { formatPrice } from './price.ts'

type Variant = Product['variants'][number]

export function headerText(optionColumns: number): string {
  const options = Array.from({ length: optionColumns }, (_, index) => [
    optionNameColumn(index + 1),
    optionValueColumn(index + 1),
  ]).flat()
  const before = ['Handle', 'Title', 'Body (HTML)', 'Vendor', 'Type', 'Tags', 'Published']
  const after = ['Variant SKU', 'Variant Price', 'Image Src', 'Image Alt Text', 'Status']
  return stringify([[...before, ...options, ...after]])
}

/** Names on the first row only, as Shopify writes them. */
function optionFields(
  product: Product,
  variant: Variant | undefined,
  first: boolean,
  columns: number,
): string[] {
  const fields: string[] = []
  const plain = product.options.length === 0
  for (let index = 0; index < columns; index += 1) {
    const option = product.options[index]
    if (plain && index === 0 && variant !== undefined) fields.push(first ? noOptionName : '', noOptionValue)
    else if (option === undefined || variant === undefined) fields.push('', '')
    else fields.push(first ? option.name : '', variant.options[option.name] ?? '')
  }
  return fields
}

export function productText(product: Product, optionColumns: number, digits: number): string {
  if (product.options.length > optionColumns)
    throw new InvariantError(`${product.handle} got more options while the export ran`)
  const rows = Math.max(product.variants.length, product.images.length)
  const lines = Array.from({ length: rows }, (_, index) => {
    const first = index === 0
    const variant = product.variants[index]
    const image = product.images[index]
    const published = product.status === 'active' ? 'TRUE' : 'FALSE'
    const { title, description, vendor, category, tags, status } = product
    return [
      product.handle,
      ...(first
        ? [title, description, vendor, category, tags.join(', '), published]
        : ['', '', '', '', '', '']),
      ...optionFields(product, variant, first, optionColumns),
      variant?.sku ?? '',
      variant === undefined ? '' : formatPrice(variant.price.amount, digits),
      image?.src ?? '',
      image?.alt ?? '',
      first ? status : '',
    ]
  })
  // A carriage return alone must be quoted as well, or it would end the record when it is read again.
  return stringify(lines, { quoted_match: /[\r\n]/ })
}
