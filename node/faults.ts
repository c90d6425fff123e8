/**
 * The one fault type. A fault is a code, a sentence for the person who caused or meets it, and data
 * for programs. `http/problems.ts` is the one place that turns it into an RFC 9457 problem document.
 */

/** Every code is also the NAME of a problem page (API.md, "Errors"). */
export const faultCodes = [
  'invalid-request',
  'unauthorized',
  'forbidden',
  'not-found',
  'method-not-allowed',
  'precondition-failed',
  'too-large',
  'unsupported-type',
  'key-reused',
  'too-many-requests',
  'not-home',
  'price-changed',
  'not-for-sale',
  'cart-changed',
  'already-sold',
  'empty-cart',
  'conflict',
  'email-taken',
  'internal',
  'outcome-unknown',
  'no-primary',
  'no-home',
  'behind',
  'overloaded',
  'disk-full',
] as const

export type FaultCode = (typeof faultCodes)[number]

/** Plain JSON data that goes into the problem document beside the standard members. */
export type FaultData = { readonly [name: string]: unknown }

/** An expected failure. Anything else that is thrown is a bug and is answered as `internal`. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: FaultCode
  readonly data: FaultData
  /** Seconds after which a retry makes sense; becomes Retry-After. */
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: FaultCode,
    message: string,
    data: FaultData = {},
    options: { retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.data = data
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

export function isFault(error: unknown): error is Fault {
  return error instanceof Fault
}

/**
 * For what fails after something was done: a refusal would say that it was not, and never will be (API.md, "Outcome rule").
 * `what` was done. Throws Fault `outcome-unknown` for a fault, anything else as it is.
 */
export function afterTheFact(what: string, error: unknown): never {
  if (!isFault(error)) throw error
  throw new Fault('outcome-unknown', `${what}; what should follow failed`, {}, { cause: error })
}

/** A broken invariant: a bug in Souk, never an input. The node that meets one must not go on as if nothing was. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/**
 * A database of this node can't be used or can no longer be trusted: I/O error, damage, another cluster's file.
 * Thrown by `store/`; the driver stops voting and acknowledging, says so and exits (LIMITS.md, "SQLite").
 */
export class StoreFailure extends Error {
  override readonly name = 'StoreFailure'
  /** The file (or directory) that it is about. */
  readonly file: string

  constructor(file: string, message: string, cause?: unknown) {
    super(`${file}: ${message}`, cause === undefined ? undefined : { cause })
    this.file = file
  }
}

/** States an invariant where it could break; the message says why it must hold. */
export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw new InvariantError(`invariant broken: ${why}`)
}
