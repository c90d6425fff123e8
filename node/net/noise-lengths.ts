/**
 * noise (17) looks for the length of the next message until there is none, and libp2p's decoder is told so by an
 * exception: one for each piece of data that comes in. Its stack trace cost more than decrypting a small message
 * (`LengthPrefixedDecoder.decode` of @libp2p/utils 7, `uint16BEDecode` of @libp2p/noise).
 */
import type { MessageStream } from '@libp2p/interface'

/** As noise's own decoder: two bytes, big-endian. */
const lengthSizeBytes = 2
/** Thrown again and again, because only making an error is expensive. */
const notHereYet = new RangeError('the length of the next message is not here yet')

/** Bytes in one piece or in several. */
type Bytes = { readonly byteLength: number; subarray(begin: number, end: number): Uint8Array }
/** What the types hide. */
type Decrypting = { readonly decoder?: { lengthDecoder?: (data: Bytes) => number } }

function lengthOf(data: Bytes): number {
  if (data.byteLength < lengthSizeBytes) throw notHereYet
  const [high = 0, low = 0] = data.subarray(0, lengthSizeBytes)
  return high * 256 + low
}

/** From now on the stream, which noise made, reads lengths without making errors. False when it is of another make. */
export function readLengthsCheaply(stream: MessageStream): boolean {
  const { decoder } = stream as unknown as Decrypting
  if (typeof decoder?.lengthDecoder !== 'function') return false
  decoder.lengthDecoder = lengthOf
  return true
}
