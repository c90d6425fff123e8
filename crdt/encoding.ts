/**
 * The frame around a Yjs update, on disk and between members:
 *
 *   byte  0       0xc5, so that nothing else is taken for a cart
 *   byte  1       version: 1 = Yjs update encoding v1. Yjs takes v2 bytes for an empty v1 document, so the
 *                 encoding is named, never guessed (LIMITS.md, "Yjs")
 *   byte  2       0 = full state, 1 = delta
 *   bytes 3–6     generation, big-endian
 *   bytes 7–10    size after the last rebase in bytes (full states only, else 0)
 *   byte  11      length of the lineage, then the lineage in ASCII
 *   8 bytes       the first of SHA-256 over everything else: damage is refused before it is read
 *   the rest      the update
 */
import { Fault } from '../node/faults.ts'
import { sha256 } from './hash.ts'
import { lineagePattern } from './names.ts'
import { cartDocumentSizeBytesMax } from './types.ts'

export type Frame = {
  readonly kind: 'full' | 'delta'
  readonly generation: number
  readonly lineage: string
  readonly restSizeBytes: number
  readonly update: Uint8Array
}

const magic = 0xc5
const versionYjs1 = 1
const fixedSizeBytes = 12
const checksumSizeBytes = 8
/** Each rebase adds one; a cart that is rebased every second for a century stays below. */
export const generationMax = 0xffff_fffe

function checksum(head: Uint8Array, update: Uint8Array): Buffer {
  return sha256(Buffer.concat([head, update])).subarray(0, checksumSizeBytes)
}

export function encodeFrame(frame: Frame): Uint8Array {
  const head = Buffer.alloc(fixedSizeBytes + frame.lineage.length)
  head[0] = magic
  head[1] = versionYjs1
  head[2] = frame.kind === 'full' ? 0 : 1
  head.writeUInt32BE(frame.generation, 3)
  head.writeUInt32BE(frame.restSizeBytes, 7)
  head[11] = frame.lineage.length
  head.write(frame.lineage, fixedSizeBytes, 'ascii')
  return new Uint8Array(Buffer.concat([head, checksum(head, frame.update), frame.update]))
}

/** The lineage that a frame claims, unchecked; null when it is no frame. */
export function claimedLineage(bytes: Uint8Array): string | null {
  if (bytes.length < fixedSizeBytes || bytes[0] !== magic) return null
  const end = fixedSizeBytes + (bytes[fixedSizeBytes - 1] ?? 0)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1', fixedSizeBytes, end)
}

/** Faults: `too-large`, `invalid-request`. */
export function decodeFrame(bytes: Uint8Array): Frame {
  if (bytes.byteLength > cartDocumentSizeBytesMax) {
    throw new Fault('too-large', `a cart document has at most ${cartDocumentSizeBytesMax} bytes`)
  }
  const invalid = (what: string): Fault => new Fault('invalid-request', `not a cart document: ${what}`)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length < fixedSizeBytes || buffer[0] !== magic) throw invalid('no frame')
  if (buffer[1] !== versionYjs1) throw invalid('unknown encoding')
  const kindByte = buffer[2]
  if (kindByte !== 0 && kindByte !== 1) throw invalid('unknown kind')
  const headSizeBytes = fixedSizeBytes + (buffer[11] ?? 0)
  const head = buffer.subarray(0, headSizeBytes)
  const lineage = head.toString('latin1', fixedSizeBytes)
  if (!lineagePattern.test(lineage)) throw invalid('lineage')
  const update = buffer.subarray(headSizeBytes + checksumSizeBytes)
  if (!checksum(head, update).equals(buffer.subarray(headSizeBytes, headSizeBytes + checksumSizeBytes))) {
    throw invalid('damaged')
  }
  const generation = buffer.readUInt32BE(3)
  if (generation > generationMax) throw invalid('generation')
  return {
    kind: kindByte === 0 ? 'full' : 'delta',
    generation,
    lineage,
    restSizeBytes: buffer.readUInt32BE(7),
    update: new Uint8Array(update),
  }
}
