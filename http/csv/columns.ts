/** Shopify's product columns that mean something here (API.md, "CSV"). Others are read over. */

export const fixedColumns = [
  'Handle',
  'Title',
  'Body (HTML)',
  'Vendor',
  'Type',
  'Tags',
  'Published',
  'Variant SKU',
  'Variant Price',
  'Image Src',
  'Image Alt Text',
  'Status',
] as const
export type Column = (typeof fixedColumns)[number]

/** Products have up to so many options (Shopify has three). */
export const optionColumnsMax = 10
/** An export has at least these, as Shopify's own. */
export const optionColumnsMin = 3

export function optionNameColumn(position: number): string {
  return `Option${position} Name`
}
export function optionValueColumn(position: number): string {
  return `Option${position} Value`
}

/** How Shopify writes that a product has no options. */
export const noOptionName = 'Title'
export const noOptionValue = 'Default Title'

/** Where each known column is in this file; absent columns are not in it. */
export class Header {
  readonly #positions = new Map<string, number>()
  readonly width: number
  /** Columns that occur twice: which of them counts would be a guess. */
  readonly repeated: string[] = []

  constructor(names: readonly string[]) {
    this.width = names.length
    names.forEach((raw, position) => {
      const name = raw.trim().toLowerCase()
      if (name === '') return
      if (this.#positions.has(name)) this.repeated.push(raw.trim())
      else this.#positions.set(name, position)
    })
  }

  has(column: string): boolean {
    return this.#positions.has(column.toLowerCase())
  }

  /** The field, or null when the file has no such column. */
  get(fields: readonly string[], column: Column | (string & {})): string | null {
    const position = this.#positions.get(column.toLowerCase())
    return position === undefined ? null : (fields[position] ?? '')
  }

  /** Positions 1… of the option column pairs that the file has. */
  optionPositions(): number[] {
    const all = Array.from({ length: optionColumnsMax }, (_, index) => index + 1)
    return all.filter((position) => this.has(optionValueColumn(position)))
  }

  /** Whether rows describe variants at all, or only product fields. */
  get describesVariants(): boolean {
    return this.has('Variant SKU') || this.has('Variant Price') || this.optionPositions().length > 0
  }
}
