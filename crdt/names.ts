/** The shapes of names inside a cart document. None contains a space or a slash, which separate them. */
import { keyHashLength, operationHashLength, writerLength } from './hash.ts'

const letter = '[A-Za-z0-9_-]'
/** Nine digits: a writer that edits a cart once a microsecond for a quarter of an hour. */
const dot = `${letter}{${writerLength}}\\.[1-9][0-9]{0,8}`
const keyedTag = `k:${letter}{${keyHashLength + operationHashLength}}`

export const writerPattern = new RegExp(`^${letter}{${writerLength}}$`)
export const dotPattern = new RegExp(`^${dot}$`)
export const keyedTagPattern = new RegExp(`^${keyedTag}$`)
export const tagPattern = new RegExp(`^(?:${dot}|${keyedTag})$`)
export const lineagePattern = new RegExp(`^${letter}{8,32}$`)

export function isKeyedTag(name: string): boolean {
  return name.startsWith('k:')
}

export function splitDot(name: string): { writer: string; n: number } {
  return { writer: name.slice(0, writerLength), n: Number(name.slice(writerLength + 1)) }
}

/** The parts of a keyed tag: which key, and which operation was asked for with it. */
export function splitKeyedTag(tag: string): { keyHash: string; operationHash: string } {
  return { keyHash: tag.slice(2, 2 + keyHashLength), operationHash: tag.slice(2 + keyHashLength) }
}
