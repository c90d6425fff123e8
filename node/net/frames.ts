/**
 * What travels on a peer stream: a length (4 bytes, big-endian) and so many bytes of JSON, one frame after the
 * other. Everything is parsed here, once, before any other part of the node sees it (DESIGN.md section 8).
 */
import { Fault, isFault } from '../faults.ts'
import {
  frameSizeBytesMax,
  helloSchema,
  peerFaultSchema,
  peerRequestSchemas,
  peerResponseSchemas,
  raftMessageSchema,
} from '../messages.ts'
import type {
  Hello,
  PeerFault,
  PeerRequest,
  PeerRequestKind,
  PeerResponseOf,
  RaftMessage,
} from '../messages.ts'

export type Frame =
  /** First frame, both ways; again when a node that had no cluster has one. */
  | { kind: 'hello'; hello: Hello }
  /** Your hello was accepted. */
  | { kind: 'welcome' }
  /** Your hello was not; the connection closes after this. */
  | { kind: 'refused'; fault: PeerFault }
  | { kind: 'raft'; message: RaftMessage }
  | { kind: 'request'; id: number; request: PeerRequest }
  /** The value is parsed by whoever asked, who knows what for. */
  | { kind: 'answer'; id: number; value: unknown }
  | { kind: 'fault'; id: number; fault: PeerFault }

export type ParsedFrame =
  | { ok: true; frame: Frame }
  /** `requestId` is there when it is a request that can be answered with a fault. */
  | { ok: false; reason: string; requestId: number | null }

/** Bytes of the length before each frame. */
export const lengthSizeBytes = 4
/** Before a peer has proved anything it can't make this node hold more than a hello. */
export const helloFrameSizeBytesMax = 16 * 1024
/** Longest reason that is logged or told: enough to find the mistake. */
const reasonLengthMax = 300
/** As `peerFaultSchema` allows. */
const faultMessageLengthMax = 2_000

type Failure = {
  readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]
}

/** What is wrong and where, without the input itself. */
export function reasonOf({ issues }: Failure): string {
  const reasons = issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  )
  return reasons.join('; ').slice(0, reasonLengthMax)
}

/** Parsed JSON with at least a kind; nothing else is known of it. */
type RawFrame = {
  kind: unknown
  id?: unknown
  hello?: unknown
  fault?: unknown
  message?: unknown
  request?: unknown
  value?: unknown
}

function isRequestId(raw: unknown): raw is number {
  return typeof raw === 'number' && Number.isSafeInteger(raw) && raw >= 0
}

function refused(reason: string, id: unknown): ParsedFrame {
  return { ok: false, reason, requestId: isRequestId(id) ? id : null }
}

function parseRequest({ id, request }: RawFrame): ParsedFrame {
  if (!isRequestId(id)) return refused('a request without a number', null)
  if (typeof request !== 'object' || request === null || !('kind' in request))
    return refused('a request without a kind', id)
  const { kind } = request
  if (typeof kind !== 'string' || !Object.hasOwn(peerRequestSchemas, kind))
    return refused('a request of a kind that this node does not know', id)
  const body = peerRequestSchemas[kind as PeerRequestKind].safeParse(request)
  if (!body.success) return refused(`${kind}: ${reasonOf(body.error)}`, id)
  return {
    ok: true,
    frame: { kind: 'request', id, request: { kind, ...body.data } as PeerRequest },
  }
}

/** Wraps what a schema made of the frame's content. */
function content<T>(
  kind: string,
  parsed: { success: true; data: T } | { success: false; error: Failure },
  wrap: (data: T) => Frame,
): ParsedFrame {
  return parsed.success
    ? { ok: true, frame: wrap(parsed.data) }
    : refused(`${kind}: ${reasonOf(parsed.error)}`, null)
}

function parseKind(raw: RawFrame): ParsedFrame {
  const { kind, id } = raw
  switch (kind) {
    case 'hello':
      return content(kind, helloSchema.safeParse(raw.hello), (hello) => ({ kind, hello }))
    case 'welcome':
      return { ok: true, frame: { kind } }
    case 'refused':
      return content(kind, peerFaultSchema.safeParse(raw.fault), (fault) => ({ kind, fault }))
    case 'raft':
      return content(kind, raftMessageSchema.safeParse(raw.message), (message) => ({ kind, message }))
    case 'request':
      return parseRequest(raw)
    case 'answer':
      if (!isRequestId(id)) return refused('an answer without a number', null)
      return { ok: true, frame: { kind, id, value: raw.value } }
    case 'fault':
      if (!isRequestId(id)) return refused('a fault without a number', null)
      return content(kind, peerFaultSchema.safeParse(raw.fault), (fault) => ({ kind, id, fault }))
    default:
      return refused('a frame of a kind that this node does not know', null)
  }
}

/** Parses one frame's JSON text. Never throws. */
export function parseFrame(text: string): ParsedFrame {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    return refused('not JSON', null)
  }
  if (typeof raw !== 'object' || raw === null || !('kind' in raw)) return refused('not a frame', null)
  return parseKind(raw)
}

/** Parses the value of an answer to a request of `kind`; null when it is not what was asked for. */
export function parseAnswer<K extends PeerRequestKind>(
  kind: K,
  value: unknown,
): { ok: true; value: PeerResponseOf<K> } | { ok: false; reason: string } {
  const parsed = peerResponseSchemas[kind].safeParse(value)
  return parsed.success
    ? { ok: true, value: parsed.data as PeerResponseOf<K> }
    : { ok: false, reason: reasonOf(parsed.error) }
}

/** What a peer is told of a failure here: faults as they are, bugs without their insides. */
export function faultToWire(error: unknown): PeerFault {
  const fault = isFault(error) ? error : new Fault('internal', 'an error inside the peer; its log says more')
  return {
    code: fault.code,
    message: fault.message.slice(0, faultMessageLengthMax),
    data: fault.data as Record<string, unknown>,
    ...(fault.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: fault.retryAfterSeconds }),
  }
}

export function faultFromWire(fault: PeerFault): Fault {
  const { code, message, data, retryAfterSeconds } = fault
  return new Fault(code, message, data, retryAfterSeconds === undefined ? {} : { retryAfterSeconds })
}

/** Appends go to several members, and are most of what a primary puts into bytes. Nobody changes these. */
const encodedAppends = new WeakMap<RaftMessage, Buffer>()

/** Length and JSON text in one buffer; null when it is larger than a frame may be. */
export function encodeFrame(frame: Frame): Buffer | null {
  if (frame.kind !== 'raft' || frame.message.kind !== 'append') return toBytes(frame)
  const known = encodedAppends.get(frame.message)
  if (known !== undefined) return known
  const bytes = toBytes(frame)
  if (bytes !== null) encodedAppends.set(frame.message, bytes)
  return bytes
}

function toBytes(frame: Frame): Buffer | null {
  const text = JSON.stringify(frame)
  const sizeBytes = Buffer.byteLength(text)
  if (sizeBytes > frameSizeBytesMax) return null
  const bytes = Buffer.allocUnsafe(lengthSizeBytes + sizeBytes)
  bytes.writeUInt32BE(sizeBytes, 0)
  bytes.write(text, lengthSizeBytes)
  return bytes
}

/** Cuts a stream of bytes into frames' texts. Holds at most one unfinished frame. */
export class FrameReader {
  /** Greatest frame taken now; small until the peer's hello is accepted. */
  sizeBytesMax = helloFrameSizeBytesMax
  #chunks: Uint8Array[] = []
  #held = 0

  /** Adds bytes. */
  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes)
    this.#held += bytes.byteLength
  }

  /** The next whole frame's text, or null. Fault `too-large`: the stream can't be read on. */
  next(): string | null {
    if (this.#held < lengthSizeBytes) return null
    const sizeBytes = this.#peek(lengthSizeBytes).readUInt32BE(0)
    if (sizeBytes > this.sizeBytesMax)
      throw new Fault('too-large', `a frame of ${sizeBytes} bytes; ${this.sizeBytesMax} is the most`)
    if (this.#held < lengthSizeBytes + sizeBytes) return null
    const frame = this.#peek(lengthSizeBytes + sizeBytes)
    const text = frame.toString('utf8', lengthSizeBytes, lengthSizeBytes + sizeBytes)
    this.#drop(lengthSizeBytes + sizeBytes)
    return text
  }

  /** The first bytes in one piece; joins chunks only when they don't lie in the first one. */
  #peek(sizeBytes: number): Buffer {
    let first = this.#chunks[0] as Uint8Array
    if (first.byteLength < sizeBytes) {
      first = Buffer.concat(this.#chunks)
      this.#chunks = [first]
    }
    return Buffer.from(first.buffer, first.byteOffset, first.byteLength)
  }

  #drop(sizeBytes: number): void {
    const first = this.#chunks[0] as Uint8Array
    this.#held -= sizeBytes
    if (first.byteLength === sizeBytes) this.#chunks.shift()
    else this.#chunks[0] = first.subarray(sizeBytes)
  }
}
