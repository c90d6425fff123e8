import xsalsa20 from 'xsalsa20'
import { expect, test } from 'vitest'
import { cipherSizeBytesMax, reserveCipherMemory } from '../../node/net/salsa-memory.ts'

/** The view that each cipher keeps of the memory they all share; it becomes empty when another cipher grows it. */
function memoryBytes(cipher: object): number {
  return (cipher as { _xor: { _memory: Uint8Array } })._xor._memory.length
}

test('ciphers of many connections never grow the memory that they share', () => {
  reserveCipherMemory()
  const ciphers = Array.from({ length: 200 }, (_unused, index) =>
    xsalsa20(new Uint8Array(24).fill(index), new Uint8Array(32).fill(index)),
  )
  const before = ciphers.map(memoryBytes)
  const piece = new Uint8Array(cipherSizeBytesMax)
  for (let round = 0; round < 2; round += 1) for (const cipher of ciphers) cipher.update(piece)
  expect(ciphers.map(memoryBytes)).toEqual(before)
})
