/**
 * Branded identifiers. Each is parsed once, at the edge where it enters; inside the program the brand
 * is the proof that it was (DESIGN.md section 10; "parse, don't validate").
 */
import { Fault } from './faults.ts'

/** A member's identity: its libp2p peer id in base58. Bound to its `log.db` for life. */
export type MemberId = string & { readonly __brand: 'MemberId' }
/** The operator's name of a node, such as `n1`. Unique among the members of one cluster. */
export type NodeName = string & { readonly __brand: 'NodeName' }
/** 32 lower-case hex digits, drawn once when a cluster begins. */
export type ClusterId = string & { readonly __brand: 'ClusterId' }
/** `a…` (account) or `g…` (guest; the second part is the creation day). */
export type UserId = string & { readonly __brand: 'UserId' }
export type Sku = string & { readonly __brand: 'Sku' }
export type Handle = string & { readonly __brand: 'Handle' }
/** Derived from user and idempotency key, so that one key means one order wherever it is sent. */
export type OrderId = string & { readonly __brand: 'OrderId' }
/** One state-machine command; a retry carries the same id and gets the first result. */
export type CommandId = string & { readonly __brand: 'CommandId' }
/** 64 lower-case hex digits. */
export type Digest = string & { readonly __brand: 'Digest' }
/** Tag of a cart entry: `k:…` when an idempotency key made it, else its dot `writer.n`. */
export type Tag = string & { readonly __brand: 'Tag' }

/** Raft term. */
export type Term = number
/** Position in the replicated log; the first entry has index 1. */
export type LogIndex = number
/** Number of catalog changes applied so far. */
export type CatalogVersion = number

/** Longest stock keeping unit taken; shops use up to 255 characters (Shopify's own limit). */
export const skuLengthMax = 255
/** Longest product handle taken (Shopify's own limit). */
export const handleLengthMax = 255
/** Milliseconds of a day, the unit in which guest ids age. */
export const dayMs = 86_400_000

const printable = /^[^\p{Cc}\p{Cs}]+$/u

/** A lone surrogate is not a character and can't be stored as UTF-8. */
function isText(raw: unknown, lengthMax: number): raw is string {
  return typeof raw === 'string' && raw.length > 0 && raw.length <= lengthMax && printable.test(raw)
}

function invalid(what: string): Fault {
  return new Fault('invalid-request', `not a valid ${what}`)
}

export function parseSku(raw: unknown): Sku {
  if (!isText(raw, skuLengthMax) || raw.trim() !== raw) throw invalid('SKU')
  return raw as Sku
}

/** Handles are what shops put in URLs: any text without spaces, slashes or control characters. */
export function parseHandle(raw: unknown): Handle {
  if (!isText(raw, handleLengthMax) || /[\s/?#\\]/u.test(raw)) throw invalid('handle')
  return raw as Handle
}

export function parseNodeName(raw: unknown): NodeName {
  if (typeof raw !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(raw)) throw invalid('node name')
  return raw as NodeName
}

export function parseMemberId(raw: unknown): MemberId {
  if (typeof raw !== 'string' || !/^[A-Za-z0-9]{1,100}$/.test(raw)) throw invalid('member id')
  return raw as MemberId
}

export function parseClusterId(raw: unknown): ClusterId {
  if (typeof raw !== 'string' || !/^[0-9a-f]{32}$/.test(raw)) throw invalid('cluster id')
  return raw as ClusterId
}

export function parseDigest(raw: unknown): Digest {
  if (typeof raw !== 'string' || !/^[0-9a-f]{64}$/.test(raw)) throw invalid('digest')
  return raw as Digest
}

export function parseOrderId(raw: unknown): OrderId {
  if (typeof raw !== 'string' || !/^o[0-9a-f]{32}$/.test(raw)) throw invalid('order id')
  return raw as OrderId
}

export function parseCommandId(raw: unknown): CommandId {
  if (typeof raw !== 'string' || !/^[\x21-\x7e]{1,200}$/.test(raw)) throw invalid('command id')
  return raw as CommandId
}

/** `g` + creation day (days since 1970, decimal) + `-` + 24 hex digits, or `a` + 32 hex digits. */
export function parseUserId(raw: unknown): UserId {
  if (typeof raw !== 'string' || !/^(g\d{1,6}-[0-9a-f]{24}|a[0-9a-f]{32})$/.test(raw))
    throw invalid('user id')
  return raw as UserId
}

/** Stands in the table of revoked tokens for all tokens of a user that end by then; no token has such an id. */
export function allSessionsOf(user: UserId): string {
  return `user:${user}`
}

export function isGuest(user: UserId): boolean {
  return user.startsWith('g')
}

/** Day (since 1970) on which a guest was created, so that any node can refuse one that is too old. */
export function guestDay(user: UserId): number {
  return Number(user.slice(1, user.indexOf('-')))
}

export function guestId(wallMs: number, random: Uint8Array): UserId {
  return `g${Math.floor(wallMs / dayMs)}-${Buffer.from(random.subarray(0, 12)).toString('hex')}` as UserId
}

export function accountId(random: Uint8Array): UserId {
  return `a${Buffer.from(random.subarray(0, 16)).toString('hex')}` as UserId
}
