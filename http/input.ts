/** Reading what came in: query, path, bodies. Everything that does not fit becomes a Fault, never a crash. */
import type { Context } from 'hono'
import type { z } from 'zod'
import { Fault } from '../node/faults.ts'
import { idempotencyKeyLengthMax, jsonDepthMax, jsonSizeBytesMax } from './limits.ts'

export type FieldError = { readonly path: string; readonly message: string }

/** `400 invalid-request` with the list of what is wrong. */
export function invalidRequest(detail: string, errors: readonly FieldError[] = []): Fault {
  return new Fault('invalid-request', detail, errors.length === 0 ? {} : { errors })
}

/** Issues told of one request; a body with thousands of faults needs no thousand answers. */
const errorsMax = 50

/** Parses `value`, or throws `invalid-request` with `errors: [{path, message}]`. */
export function check<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const errors = parsed.error.issues.slice(0, errorsMax).map((issue) => ({
    path: issue.path.map(String).join('.'),
    message: issue.message,
  }))
  const first = errors[0]
  const where = first === undefined || first.path === '' ? what : `${what}: ${first.path}`
  throw invalidRequest(`${where}: ${first?.message ?? 'not valid'}`, errors)
}

/** The query by name (the first value of each), checked. Unknown names are left alone. */
export function readQuery<S extends z.ZodType>(context: Context, schema: S): z.output<S> {
  return checkQuery(context.req.query(), schema)
}

export function checkQuery<S extends z.ZodType>(
  query: { readonly [name: string]: string },
  schema: S,
): z.output<S> {
  for (const [name, value] of Object.entries(query)) {
    if (!isCleanText(value))
      throw invalidRequest(`query: ${name}: not a text`, [{ path: name, message: 'not a text' }])
  }
  return check(schema, query, 'query')
}

/** Text that every store and every client can hold: no NUL, no lone surrogate. */
export function isCleanText(value: string): boolean {
  return value.isWellFormed() && !value.includes('\0')
}

/** Content type without parameters, lower case; empty when there is none. */
export function contentType(context: Context): string {
  return (context.req.header('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

/** The one of `accepted` that the body has. Fault `unsupported-type` otherwise. */
export function requireType<T extends string>(context: Context, accepted: readonly T[]): T {
  const given = contentType(context)
  const type = accepted.find((candidate) => candidate === given)
  if (type !== undefined) return type
  const said = given === '' ? 'no content type' : given
  throw new Fault('unsupported-type', `this address reads ${accepted.join(' or ')}, not ${said}`, {
    accepts: accepted,
  })
}

/** Nothing here unpacks: a compressed body is answered as what it is, not as broken JSON (RFC 9110, section 15.5.16). */
function refuseEncoded(context: Context): void {
  const encoding = context.req.header('content-encoding')?.trim().toLowerCase()
  if (encoding === undefined || encoding === '' || encoding === 'identity') return
  throw new Fault('unsupported-type', `this address reads bodies as they are, not ${encoding}`, {
    acceptsEncodings: ['identity'],
  })
}

/** The body as it comes, at most `sizeBytesMax`: a larger one is not read to its end. Faults `too-large`, `unsupported-type`. */
export async function* bodyChunks(context: Context, sizeBytesMax: number): AsyncGenerator<Uint8Array> {
  const tooLarge = (): Fault =>
    new Fault('too-large', `the body may have at most ${sizeBytesMax} bytes`, { sizeBytesMax })
  const declared = Number(context.req.header('content-length') ?? 0)
  if (declared > sizeBytesMax) throw tooLarge()
  const body = context.req.raw.body
  if (body === null) return
  refuseEncoded(context)
  let sizeBytes = 0
  try {
    for await (const chunk of body) {
      sizeBytes += chunk.byteLength
      if (sizeBytes > sizeBytesMax) throw tooLarge()
      yield chunk
    }
  } catch (error) {
    // The client went away in the middle: nobody hears the answer, and it is no error of this node.
    if (isCutOff(error)) throw new Fault('invalid-request', 'the body was cut off', {}, { cause: error })
    throw error
  }
}

/** The whole body. Faults as `bodyChunks`. */
export async function readBytes(context: Context, sizeBytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bodyChunks(context, sizeBytesMax)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function isCutOff(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNRESET'
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Strict UTF-8. Fault `invalid-request`. */
export function decodeText(bytes: Uint8Array, what: string): string {
  try {
    return utf8.decode(bytes)
  } catch (error) {
    throw new Fault('invalid-request', `${what} is not UTF-8`, {}, { cause: error })
  }
}

/** JSON without anything that some consumer down the line could trip over. Fault `invalid-request`. */
export function parseJson(text: string, what: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Fault('invalid-request', `${what} is not JSON`, {}, { cause: error })
  }
  const wrong = findForbidden(value, '', 0)
  if (wrong !== null) throw invalidRequest(`${what}: ${wrong.path}: ${wrong.message}`, [wrong])
  return value
}

/** Names that mean something else to JavaScript objects. */
const forbiddenNames = new Set(['__proto__', 'constructor', 'prototype'])

function findForbidden(value: unknown, path: string, depth: number): FieldError | null {
  if (depth > jsonDepthMax) return { path, message: `deeper than ${jsonDepthMax} levels` }
  if (typeof value === 'string') return isCleanText(value) ? null : { path, message: 'not a text' }
  if (typeof value === 'number')
    return Number.isFinite(value) ? null : { path, message: 'too large a number' }
  if (typeof value !== 'object' || value === null) return null
  for (const [name, member] of Object.entries(value)) {
    const inner = path === '' ? name : `${path}.${name}`
    if (forbiddenNames.has(name) || !isCleanText(name)) return { path, message: 'a name that is not allowed' }
    const wrong = findForbidden(member, inner, depth + 1)
    if (wrong !== null) return wrong
  }
  return null
}

/** No body needs no content type (API.md, "General"), so what is wrong with it is that it is missing. */
export async function requireBody(context: Context): Promise<void> {
  if (contentType(context) !== '') return
  const bytes = await readBytes(context, jsonSizeBytesMax)
  if (bytes.length === 0) throw invalidRequest('the body is missing')
}

/** A JSON body, checked. Faults `unsupported-type`, `too-large`, `invalid-request`. */
export async function readJson<S extends z.ZodType>(
  context: Context,
  schema: S,
  options: { sizeBytesMax?: number; types?: readonly string[] } = {},
): Promise<z.output<S>> {
  await requireBody(context)
  requireType(context, options.types ?? ['application/json'])
  const bytes = await readBytes(context, options.sizeBytesMax ?? jsonSizeBytesMax)
  return check(schema, parseJson(decodeText(bytes, 'the body'), 'the body'), 'body')
}

/** As `readJson`, but no body at all stands for `{}`. */
export async function readOptionalJson<S extends z.ZodType>(
  context: Context,
  schema: S,
): Promise<z.output<S>> {
  if (contentType(context) === '') {
    const bytes = await readBytes(context, jsonSizeBytesMax)
    if (bytes.length === 0) return check(schema, {}, 'body')
  }
  return await readJson(context, schema)
}

const keyPattern = new RegExp(`^[\\x21-\\x7e]{1,${idempotencyKeyLengthMax}}$`)

/** The Idempotency-Key, undefined when there is none. Fault `invalid-request` for one that is no key. */
export function idempotencyKey(context: Context): string | undefined {
  const key = context.req.header('idempotency-key')
  if (key === undefined || keyPattern.test(key)) return key
  throw invalidRequest(`Idempotency-Key: 1 to ${idempotencyKeyLengthMax} printable characters`, [
    { path: 'Idempotency-Key', message: 'not a key' },
  ])
}

/** Parses an id of a path; what can't be one names nothing, so it is `not-found`. */
export function pathId<T>(context: Context, name: string, parse: (raw: unknown) => T, what: string): T {
  try {
    return parse(context.req.param(name))
  } catch (error) {
    throw new Fault('not-found', `there is no such ${what}`, {}, { cause: error })
  }
}
