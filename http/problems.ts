/** The one map from Fault to HTTP: RFC 9457 problem documents, and what each means (`/problems/NAME`). */
import type { FaultCode, FaultData } from '../node/faults.ts'
import { Fault, isFault } from '../node/faults.ts'

export type ProblemKind = {
  readonly status: 307 | 400 | 401 | 403 | 404 | 405 | 409 | 412 | 413 | 415 | 422 | 429 | 500 | 503 | 504
  readonly title: string
  /** What it means, for the page. */
  readonly meaning: string
  /** What the client should do. */
  readonly remedy: string
  /** Seconds for Retry-After when the fault names none. */
  readonly retryAfterSeconds?: number
}

export const problemKinds = {
  'invalid-request': {
    status: 400,
    title: 'Invalid request',
    meaning: 'The request does not have the form that the interface asks for; nothing was changed.',
    remedy: 'Correct what `detail` and `errors` name, and send it again.',
  },
  unauthorized: {
    status: 401,
    title: 'Not authorized',
    meaning:
      'No valid token came with the request: none at all, one that expired, was logged off, or a ticket that was used before.',
    remedy: 'Get a session (POST /api/guests, /api/accounts or /api/session) and send its token.',
  },
  forbidden: {
    status: 403,
    title: 'Forbidden',
    meaning:
      'The token is valid but not for this: a shopper at administration, an administrator at a cart, or a cookie sent by another site.',
    remedy: 'Use the token that belongs to this path, in the Authorization header.',
  },
  'not-found': {
    status: 404,
    title: 'Not found',
    meaning: 'There is nothing of this name here, or it is not yours.',
    remedy: 'Check the address; lists show what exists.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    meaning: 'The address exists, but not with this method.',
    remedy: 'Use one of the methods in the Allow header.',
  },
  'precondition-failed': {
    status: 412,
    title: 'Precondition failed',
    meaning:
      'What you wanted to change has changed since you read it (If-Match), or exists already (If-None-Match).',
    remedy: 'Read it again, make your change to the new state, and send its ETag.',
  },
  'too-large': {
    status: 413,
    title: 'Too large',
    meaning: 'The body is larger than the bound for this address; nothing was changed.',
    remedy: 'Send less at a time.',
  },
  'unsupported-type': {
    status: 415,
    title: 'Unsupported media type',
    meaning: 'The body has a content type, or a compression, that this address does not read.',
    remedy: 'Send one of the content types in the Accept header of the answer, not compressed.',
  },
  'key-reused': {
    status: 422,
    title: 'Idempotency-Key reused',
    meaning: 'The same Idempotency-Key came with another body before. Nothing was done this time.',
    remedy: 'Draw a fresh key for each new operation; repeat a key only with the same body.',
  },
  'too-many-requests': {
    status: 429,
    title: 'Too many requests',
    meaning: 'Too many attempts from this address or for this account.',
    remedy: 'Wait as long as Retry-After says.',
    retryAfterSeconds: 60,
  },
  'not-home': {
    status: 307,
    title: 'Not the home',
    meaning: 'Another node is home of this user and serves this request.',
    remedy: 'Send the same request, method and body, to the address in Location, within 30 seconds.',
  },
  'price-changed': {
    status: 409,
    title: 'Price changed',
    meaning:
      'A price is not the one that the shopper agreed to. The order was refused; the cart is as before.',
    remedy: 'Show `changes`, read the cart again, and order with its new hash and a new key.',
  },
  'not-for-sale': {
    status: 409,
    title: 'Not for sale',
    meaning: 'The product is not for sale (any more).',
    remedy: 'Remove what `changes` names from the cart, and order with a new key.',
  },
  'cart-changed': {
    status: 409,
    title: 'Cart changed',
    meaning: 'The cart is not the one whose hash was sent. The order was refused.',
    remedy: 'Show `cart`, and order with its hash and a new key.',
  },
  'already-sold': {
    status: 409,
    title: 'Already sold',
    meaning: 'Entries of the cart were taken by another order of the same user.',
    remedy: 'Look at the order that `order` names.',
  },
  'empty-cart': {
    status: 409,
    title: 'Empty cart',
    meaning: 'There was nothing to order.',
    remedy: 'Add something, and order with a new key.',
  },
  conflict: {
    status: 409,
    title: 'Conflict',
    meaning: 'The present state does not allow it.',
    remedy: 'Read the present state; `detail` says what stands in the way.',
  },
  'email-taken': {
    status: 409,
    title: 'E-mail address taken',
    meaning: 'There is an account with this e-mail address.',
    remedy: 'Log on instead, or use another address.',
  },
  internal: {
    status: 500,
    title: 'Internal error',
    meaning: 'The node met a bug. Whether a change happened is unknown.',
    remedy: 'Repeat the request with the same Idempotency-Key; tell the operator the `requestId`.',
  },
  'outcome-unknown': {
    status: 504,
    title: 'Outcome unknown',
    meaning: 'The change was sent to the log, but no answer came in time. It may have happened.',
    remedy: 'Repeat the request with the same Idempotency-Key, at any node.',
  },
  'no-primary': {
    status: 503,
    title: 'No primary',
    meaning: 'There is no primary now, so nothing can be decided. It did not happen.',
    remedy: 'Try again after Retry-After; an election takes a second or two.',
    retryAfterSeconds: 1,
  },
  'no-home': {
    status: 503,
    title: 'No home',
    meaning: 'No member of this user’s server set can be reached from here. It did not happen.',
    remedy: 'Try again after Retry-After, or at another node.',
    retryAfterSeconds: 2,
  },
  behind: {
    status: 503,
    title: 'Behind',
    meaning: 'This node has not reached the catalog version that was asked for, or is not ready yet.',
    remedy: 'Try again after Retry-After, or at another node.',
    retryAfterSeconds: 1,
  },
  overloaded: {
    status: 503,
    title: 'Overloaded',
    meaning: 'The node has as much to do as it can bound. It did not happen.',
    remedy: 'Try again after Retry-After, or at another node.',
    retryAfterSeconds: 2,
  },
  'disk-full': {
    status: 503,
    title: 'Disk full',
    meaning: 'The node can not store anything now. It did not happen.',
    remedy: 'Try another node; the operator must make room.',
    retryAfterSeconds: 10,
  },
} as const satisfies { readonly [code in FaultCode]: ProblemKind }

/** A problem document before it becomes an answer. */
export type Problem = {
  readonly status: ProblemKind['status']
  readonly body: { readonly [name: string]: unknown }
  readonly retryAfterSeconds: number | null
}

/** The standard members win over the fault's data, whatever the data is called. */
function problem(code: FaultCode, detail: string, data: FaultData, retryAfterSeconds?: number): Problem {
  const kind: ProblemKind = problemKinds[code]
  const retry = retryAfterSeconds ?? kind.retryAfterSeconds ?? null
  const body = { ...data, type: `/problems/${code}`, title: kind.title, status: kind.status, detail }
  return {
    status: kind.status,
    body,
    retryAfterSeconds: retry === null ? null : Math.max(1, Math.ceil(retry)),
  }
}

/** What an expected failure is answered with. An `internal` fault tells nothing about the inside. */
export function problemOf(fault: Fault): Problem {
  if (fault.code === 'internal') return internalProblem(null)
  return problem(fault.code, fault.message, fault.data, fault.retryAfterSeconds)
}

/** For what nobody expected; the log has the rest under the same request id. */
export function internalProblem(requestId: string | null): Problem {
  const data = requestId === null ? {} : { requestId }
  return problem('internal', 'The node met an error that it did not expect.', data)
}

export function isProblemName(name: string): name is FaultCode {
  return Object.hasOwn(problemKinds, name)
}

export { Fault, isFault }
