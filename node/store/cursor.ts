/** Cursors of lists: where the page before ended, by sort key and unique id. Stable while rows come and go. */
import { Fault } from '../faults.ts'

export type CursorPosition = { readonly key: string | number; readonly id: string }

/** Sort key and handle at their longest, as JSON in base64url. */
const cursorLengthMax = 2_000

function notValid(): Fault {
  return new Fault('invalid-request', 'the cursor is not one of this list; start again without it')
}

/** `list` names the list and its order: a cursor of another one is refused. */
export function encodeCursor(list: string, position: CursorPosition): string {
  return Buffer.from(JSON.stringify([list, position.key, position.id])).toString('base64url')
}

/** Fault `invalid-request` for anything that `encodeCursor` did not make for this list. */
export function decodeCursor(list: string, keyType: 'string' | 'number', cursor: string): CursorPosition {
  if (cursor.length > cursorLengthMax || !/^[A-Za-z0-9_-]+$/.test(cursor)) throw notValid()
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
  } catch {
    throw notValid()
  }
  if (!Array.isArray(parsed) || parsed.length !== 3) throw notValid()
  const [name, key, id] = parsed as unknown[]
  if (name !== list || typeof id !== 'string' || typeof key !== keyType) throw notValid()
  return { key: key as string | number, id }
}
