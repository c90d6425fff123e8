/**
 * What travels on a peer stream: a length (4 bytes, big-endian) and so many bytes of JSON, one frame after the
 * other. Everything is parsed here, once, before any other part of the node sees it (DESIGN.md section 8).
 */
import { z } from 'zod'
import { Fault, isFault } from '../faults.ts'
import type { RaftMessage } from '../core/raft/types.ts'
import {
  frameSizeBytesMax,
  helloSchema,
  peerFaultSchema,
  peerRequestSchemas,
  peerResponseSchemas,
  raftMessageSchema,
} from '../messages.ts'
import type { Hello, PeerRequest, PeerRequestKind, PeerResponseOf } from '../messages.ts'

export type WireFault = z.infer<typeof peerFaultSchema>

export type Frame =
  /** First frame, both ways; again when a node that had no cluster has one. */
  | { kind: 'hello'; hello: Hello }
  /** Your hello was accepted. */
  | { kind: 'welcome' }
  /** Your hello was not; the connection closes after this. */
  | { kind: 'refused'; fault: WireFault }
  | { kind: 'raft'; message: RaftMessage }
  | { kind: 'request'; id: number; request: PeerRequest }
  /** The value is parsed by whoever asked, who knows what for. */
  | { kind: 'answer'; id: number; value: unknown }
  | { kind: 'fault'; id: number; fault: WireFault }

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

const requestId = z.int().min(0)
const frameSchemas = {
  hello: z.object({ kind: z.literal('hello'), hello: helloSchema }),
  welcome: z.object({ kind: z.literal('welcome') }),
  refused: z.object({ kind: z.literal('refused'), fault: peerFaultSchema }),
  raft: z.object({ kind: z.literal('raft'), message: raftMessageSchema }),
  answer: z.object({ kind: z.literal('answer'), id: requestId, value: z.unknown() }),
  fault: z.object({ kind: z.literal('fault'), id: requestId, fault: peerFaultSchema }),
} as const

function reasonOf(error: z.ZodError): string {
  return z.prettifyError(error).replaceAll('\n', ' ').slice(0, reasonLengthMax)
}

function refused(reason: string, id: unknown): ParsedFrame {
  const parsed = requestId.safeParse(id)
  return { ok: false, reason, requestId: parsed.success ? parsed.data : null }
}

function parseRequest(raw: { id?: unknown; request?: unknown }): ParsedFrame {
  const id = requestId.safeParse(raw.id)
  if (!id.success) return refused('a request without a number', null)
  const { request } = raw
  if (typeof request !== 'object' || request === null || !('kind' in request))
    return refused('a request without a kind', raw.id)
  const { kind } = request
  if (typeof kind !== 'string' || !Object.hasOwn(peerRequestSchemas, kind))
    return refused('a request of a kind that this node does not know', raw.id)
  const body = peerRequestSchemas[kind as PeerRequestKind].safeParse(request)
  if (!body.success) return refused(`${kind}: ${reasonOf(body.error)}`, raw.id)
  return {
    ok: true,
    frame: { kind: 'request', id: id.data, request: { kind, ...body.data } as PeerRequest },
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
  const { kind } = raw
  if (kind === 'request') return parseRequest(raw as { id?: unknown; request?: unknown })
  if (typeof kind !== 'string' || !Object.hasOwn(frameSchemas, kind))
    return refused('a frame of a kind that this node does not know', null)
  const parsed = frameSchemas[kind as keyof typeof frameSchemas].safeParse(raw)
  return parsed.success
    ? { ok: true, frame: parsed.data as Frame }
    : refused(`${kind}: ${reasonOf(parsed.error)}`, null)
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
export function faultToWire(error: unknown): WireFault {
  const fault = isFault(error) ? error : new Fault('internal', 'an error inside the peer; its log says more')
  return {
    code: fault.code,
    message: fault.message.slice(0, faultMessageLengthMax),
    data: fault.data as Record<string, unknown>,
    ...(fault.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: fault.retryAfterSeconds }),
  }
}

export function faultFromWire(fault: WireFault): Fault {
  const { code, message, data, retryAfterSeconds } = fault
  return new Fault(code, message, data, retryAfterSeconds === undefined ? {} : { retryAfterSeconds })
}

/** Length and JSON text in one buffer; null when it is larger than a frame may be. */
export function encodeFrame(frame: Frame): Buffer | null {
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
