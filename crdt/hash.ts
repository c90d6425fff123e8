/** Names made by hashing. All are base64url, truncated to what their use needs; the reasons are stated. */
import { hash } from 'node:crypto'
import type { UserId } from '../node/ids.ts'
import type { CartEdit, RequestKey } from './types.ts'

/** 72 bits: unkeyed tags (`writer.n`) are unique in the orders table across all carts of a shop. */
export const writerLength = 12
/** 96 bits: with the operation's 48 a keyed tag has 144, and is unique in the orders table as well. */
export const keyHashLength = 16
/** 48 bits: only tells apart the operations of one request key. */
export const operationHashLength = 8
/** 96 random bits; two lineages must never meet by chance. */
export const lineageLength = 16

function hashText(purpose: string, parts: readonly (string | number)[], length: number): string {
  return sha256Base64(JSON.stringify([purpose, ...parts])).slice(0, length)
}

/** One life of one process in one user's cart; `nonce` is another one after each failed write (CART.md, "Dot"). */
export function writerId(user: UserId, member: string, startCounter: number, nonce: number | string): string {
  return hashText('writer', [user, member, startCounter, String(nonce)], writerLength)
}

/** What a request key asked for; part of the tag, so that an entry can be checked against its own tag. */
export function operationHash(edit: CartEdit): string {
  const sku = edit.kind === 'clear' ? '' : edit.sku
  const quantity = edit.kind === 'add' || edit.kind === 'set' ? edit.quantity : 0
  return hashText('operation', [edit.kind, sku, quantity], operationHashLength)
}

/** The request key of an edit that came with an Idempotency-Key; keys of two users never meet. */
export function requestKey(user: UserId, key: string, edit: CartEdit): RequestKey {
  return { keyHash: hashText('request', [user, key], keyHashLength), operationHash: operationHash(edit) }
}

/** A lineage from at least 12 random bytes. */
export function newLineage(random: Uint8Array): string {
  return Buffer.from(random.subarray(0, 12)).toString('base64url')
}

export function sha256Hex(text: string): string {
  return hash('sha256', text, 'hex')
}

export function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer')
}

export function sha256Base64(text: string): string {
  return hash('sha256', text, 'base64url')
}
