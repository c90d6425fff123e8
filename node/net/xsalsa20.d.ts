declare module 'xsalsa20' {
  type Cipher = { update(input: Uint8Array, output?: Uint8Array): Uint8Array; finalize(): void }
  const xsalsa20: {
    (nonce: Uint8Array, key: Uint8Array): Cipher
    readonly NONCEBYTES: number
    readonly KEYBYTES: number
  }
  export default xsalsa20
}
