/** Words as shoppers type them and products as they are searched. Accents and case never matter. */
import type { Product } from '../commands.ts'

/** Enough to order by; longer titles that agree so far are ordered by handle. Bounds the indexes. */
const titleKeyLengthMax = 80
/** More words than this add cost, not meaning. */
const searchWordsMax = 12
const searchWordLengthMax = 64
/** Words from this length on are found as beginnings: "lamps" is what somebody wants who types "lamp red". */
const beginningLengthMin = 3
/** Further words only decide what is found; each ranked one is three more looks into the index. */
const rankedWordsMax = 5
/** Characters that SQLite's unicode61 tokenizer takes as parts of words (letters, digits, marks, private use). */
const words = /[\p{L}\p{N}\p{M}\p{Co}]+/gu

/** Sort key of a title: without accents and case. */
export function titleKey(title: string): string {
  return title.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase().slice(0, titleKeyLengthMax)
}

/** FTS5 expressions for typed words. */
export type SearchWords = {
  /** Every word occurs. */
  readonly all: string
  /** For each word that counts in the order, and all words besides: where it was found. */
  readonly ranked: readonly { readonly title: string; readonly exact: string; readonly label: string }[]
}

/**
 * What to look for: every word must occur, long ones also as a beginning, the last one in any case (it may still be
 * typed). Null when there is no word at all. Each word is a quoted string of letters and digits: no input is a syntax
 * error.
 */
export function searchWords(typed: string): SearchWords | null {
  const found = (typed.normalize('NFC').match(words) ?? []).slice(0, searchWordsMax)
  if (found.length === 0) return null
  const quoted = found.map((word) => `"${word.slice(0, searchWordLengthMax)}"`)
  const begun = quoted.map((word, place) => {
    const isBeginning = place === found.length - 1 || (found[place]?.length ?? 0) >= beginningLengthMin
    return isBeginning ? `${word}*` : word
  })
  const all = begun.join(' ')
  const ranked = quoted.slice(0, rankedWordsMax).map((word, place) => ({
    title: `{title} : ${begun[place] ?? word} ${all}`,
    exact: `{title} : ${word} ${all}`,
    label: `{vendor category tags} : ${begun[place] ?? word} ${all}`,
  }))
  return { all, ranked }
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
