/**
 * noise (17) looks for the length of the next message until there is none, and its decoder is told so by an exception:
 * one for each piece of data that comes in, which cost more than decrypting a small message
 * (`LengthPrefixedDecoder.decode` of @libp2p/utils 7, `uint16BEDecode` of @libp2p/noise).
 */
import type { MessageStream } from '@libp2p/interface'

/** As noise's own decoder: two bytes, big-endian. */
const lengthSizeBytes = 2
/** A message of this length is never here while not even its length is: the decoder waits for more. */
const lengthMax = 2 ** 16 - 1

/** Bytes in one piece or in several. */
type Bytes = { readonly byteLength: number; subarray(begin: number, end: number): Uint8Array }
/** What the types hide. */
type Decrypting = { readonly decoder?: { lengthDecoder?: (data: Bytes) => number } }

function lengthOf(data: Bytes): number {
  if (data.byteLength < lengthSizeBytes) return lengthMax
  const bytes = data.subarray(0, lengthSizeBytes)
  return (bytes[0] as number) * 256 + (bytes[1] as number)
}

/** From now on the stream, which noise made, reads lengths without making errors. False when it is of another make. */
export function readLengthsCheaply(stream: MessageStream): boolean {
  const { decoder } = stream as unknown as Decrypting
  if (typeof decoder?.lengthDecoder !== 'function') return false
  decoder.lengthDecoder = lengthOf
  return true
}
