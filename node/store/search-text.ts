/** Words as shoppers type them and products as they are searched. Accents and case never matter. */
import type { Product } from '../commands.ts'

/** Enough to order by; longer titles that agree so far are ordered by handle. Bounds the indexes. */
const titleKeyLengthMax = 80
/** More words than this add cost, not meaning. */
const searchWordsMax = 12
const searchWordLengthMax = 64
/** Characters that SQLite's unicode61 tokenizer takes as parts of words (letters, digits, marks, private use). */
const words = /[\p{L}\p{N}\p{M}\p{Co}]+/gu

/** Sort key of a title: without accents and case. */
export function titleKey(title: string): string {
  return title.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase().slice(0, titleKeyLengthMax)
}

/**
 * FTS5 expression for typed words: every word must occur, the last one as a beginning (it may still be typed). Null
 * when there is no word at all. Each word is a quoted string of letters and digits: no input is a syntax error.
 */
export function matchExpression(typed: string): string | null {
  const found = typed.normalize('NFC').match(words) ?? []
  const quoted = found.slice(0, searchWordsMax).map((word) => `"${word.slice(0, searchWordLengthMax)}"`)
  return quoted.length === 0 ? null : `${quoted.join(' ')}*`
}

/** Text of a description for searching: tags and the commonest entities become spaces. Never shown to anybody. */
function withoutMarkup(html: string): string {
  return html
    .replaceAll(/<(script|style)\b[^>]*>[^<]*<\/\1\s*>/giu, ' ')
    .replaceAll(/<[^>]*>/gu, ' ')
    .replaceAll(/&(?:nbsp|amp|lt|gt|quot|#\d{1,7});/giu, ' ')
}

/** Values of the search row, in the order of its columns. */
export function searchRow(product: Product): [string, string, string, string, string] {
  const { title, vendor, category, tags, description } = product
  return [title, vendor, category, tags.join(' '), withoutMarkup(description)]
}
