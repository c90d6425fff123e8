/**
 * Makes xsalsa20's WebAssembly memory large enough before libp2p's private network uses it, because it must never
 * grow afterwards. All ciphers of a process share that memory, and each keeps a view of it: when one of them grows
 * it, the views of all others become empty, so each of those grows it again at its next message, and so on until
 * `WebAssembly.Memory.grow(): Maximum memory size exceeded` ends the process. It happened with ten nodes and one
 * catalog import (xsalsa20 1.2, `index.js`, `WASM.prototype.update`).
 */
import xsalsa20 from 'xsalsa20'

/** Most bytes that are enciphered at once: outgoing data is cut to this, incoming comes in reads of 64 kB. */
export const cipherSizeBytesMax = 256 * 1024
/** Room for one such piece, and for the states (128 bytes, never given back by pnet) of 120,000 connections in a life. */
const memorySizeBytes = 16 * 1024 * 1024

/** Call once, before the first connection. */
export function reserveCipherMemory(): void {
  const cipher = xsalsa20(new Uint8Array(xsalsa20.NONCEBYTES), new Uint8Array(xsalsa20.KEYBYTES))
  cipher.update(new Uint8Array(memorySizeBytes))
  cipher.finalize()
}
