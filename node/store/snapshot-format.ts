/**
 * How a copy of `shop.db` travels and waits: its bytes in blocks, each compressed by itself (zstd), because what goes
 * through the event loops of two nodes costs each of them time. Catalogs shrink to about a fifth.
 *
 *     "soukcop1"  then for each block: length (4 bytes, big-endian), zstd frame of at most 1 MiB   then length 0
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { Fault } from '../faults.ts'

const magic = Buffer.from('soukcop1')
/** Bounds what one frame can unfold to, whatever it claims. */
export const blockSizeBytes = 1024 * 1024
const lengthSizeBytes = 4
/** Level 1 packs some 400 MB a second; a higher one gains little on pages of text and keys. The checksum finds rot. */
const packing = {
  params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 },
}

/** The one refusal of a copy that can't be taken. */
export function notTaken(reason: string): Fault {
  return new Fault('conflict', `the snapshot is not taken: ${reason}`)
}

function length(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthSizeBytes)
  bytes.writeUInt32BE(sizeBytes)
  return bytes
}

/** What is sent, in pieces, from blocks of at most `blockSizeBytes`. */
export function* pack(blocks: Iterable<Uint8Array>): Generator<Uint8Array> {
  yield magic
  for (const block of blocks) {
    const frame = zstdCompressSync(block, packing)
    yield length(frame.length)
    yield frame
  }
  yield length(0)
}

function unpackFrame(frame: Uint8Array): Buffer {
  try {
    return zstdDecompressSync(frame, { maxOutputLength: blockSizeBytes })
  } catch (error) {
    throw notTaken(`a block can't be unpacked (${String(error)})`)
  }
}

/** The blocks again. `read` gives exactly so many bytes, or fewer at the end. Throws Fault when they are not whole. */
export function* unpack(read: (sizeBytes: number) => Uint8Array): Generator<Uint8Array> {
  const exactly = (sizeBytes: number): Buffer => {
    const bytes = read(sizeBytes)
    if (bytes.byteLength < sizeBytes) throw notTaken('it is torn')
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
  if (!exactly(magic.length).equals(magic)) throw notTaken('it is no copy of this format')
  for (;;) {
    const sizeBytes = exactly(lengthSizeBytes).readUInt32BE(0)
    if (sizeBytes === 0) return
    // Even what can't be compressed grows by less than this.
    if (sizeBytes > 2 * blockSizeBytes) throw notTaken('it has a block of impossible size')
    yield unpackFrame(exactly(sizeBytes))
  }
}

/** Bytes in memory as blocks. */
export function* blocksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let offset = 0; offset < bytes.byteLength; offset += blockSizeBytes)
    yield bytes.subarray(offset, offset + blockSizeBytes)
}

/** Reads bytes in memory as `unpack` wants them. */
export function readerOf(bytes: Uint8Array): (sizeBytes: number) => Uint8Array {
  let offset = 0
  return (sizeBytes) => {
    const part = bytes.subarray(offset, offset + sizeBytes)
    offset += part.byteLength
    return part
  }
}
