/**
 * The cluster secret: a keyring whose first key signs and whose keys all verify, so that it can be changed
 * without a moment in which nodes don't believe each other (DESIGN.md section 8). Pure; used by `net/` for the
 * pre-shared key and hellos, and handed to `http/` by `main.ts` for session tokens and tickets.
 *
 * To change the secret: put the new key first in the file of every node and restart them one by one; when every
 * old token has expired, remove the old key everywhere and restart all nodes together.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { Fault } from './faults.ts'

/** Shorter secrets can be guessed; 16 bytes are 128 bits. */
const keySizeBytesMin = 16
/** Longer ones are a mistake (another file), not more security. */
const keySizeBytesMax = 1_024
/** A rotation needs two keys; more than a few is a mistake. */
const keysMax = 16
/** Every derived key is as long as the hash it is used with (RFC 5869 section 2.3, SHA-256). */
const derivedSizeBytes = 32

const keyIdPattern = /^[A-Za-z0-9._-]{1,32}$/
const base64Pattern = /^[A-Za-z0-9+/]+={0,2}$/

/** What a key of the cluster secret is used for; each use has an independent key (HKDF, RFC 5869). */
export type KeyLabel = 'session' | 'ticket' | 'hello'
export type Signature = {
  readonly keyId: string
  /** HMAC-SHA-256, base64url without padding. */
  readonly signature: string
}

/** Signs with the first key of the cluster secret, verifies with all of them. */
export interface Signer {
  sign(label: KeyLabel, payload: string | Uint8Array): Signature
  /** Constant time in the signature. False for an unknown key id. */
  verify(label: KeyLabel, keyId: string, payload: string | Uint8Array, signature: string): boolean
}

type Key = { readonly id: string; readonly secret: Buffer }

export interface Keyring extends Signer {
  /**
   * Key of the private network (libp2p pnet), 32 bytes. Derived from the **last** key of the file: it must be
   * the same on all nodes at every moment, and while a new key is being put first on one node after the other,
   * the last one is what all of them still share.
   */
  preSharedKey(): Uint8Array
  /** Ids in file order, for logs; never the secrets. */
  keyIds(): readonly string[]
}

function malformed(line: number, what: string): Fault {
  // Never the line itself: it may hold the secret.
  return new Fault('invalid-request', `cluster secret file, line ${line}: ${what}`)
}

function parseLine(text: string, line: number): Key {
  const colon = text.indexOf(':')
  if (colon < 0) throw malformed(line, 'expected KEYID:BASE64KEY')
  const id = text.slice(0, colon).trim()
  const encoded = text.slice(colon + 1).trim()
  if (!keyIdPattern.test(id))
    throw malformed(line, 'a key id is 1 to 32 letters, digits, dots, dashes or underscores')
  if (!base64Pattern.test(encoded)) throw malformed(line, 'the key is not base64')
  const secret = Buffer.from(encoded, 'base64')
  if (secret.length < keySizeBytesMin)
    throw malformed(line, `the key is shorter than ${keySizeBytesMin} bytes`)
  if (secret.length > keySizeBytesMax)
    throw malformed(line, `the key is longer than ${keySizeBytesMax} bytes`)
  return { id, secret }
}

function parseKeys(text: string): Key[] {
  const keys: Key[] = []
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const key = parseLine(line, index + 1)
    if (keys.some((other) => other.id === key.id)) throw malformed(index + 1, 'this key id occurs twice')
    if (keys.length === keysMax) throw malformed(index + 1, `more than ${keysMax} keys`)
    keys.push(key)
  }
  if (keys.length === 0) throw new Fault('invalid-request', 'the cluster secret file holds no key')
  return keys
}

/** HKDF (RFC 5869): one label, one independent key, so that a hello can never be taken for a session token. */
function derive(secret: Buffer, label: KeyLabel | 'pre-shared-key'): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, 'souk', `souk ${label} v1`, derivedSizeBytes))
}

/** Reads a secret file's text. Fault `invalid-request` that names the line and never a secret. */
export function parseKeyring(text: string): Keyring {
  const keys = parseKeys(text)
  const first = keys[0] as Key
  const last = keys.at(-1) as Key
  const derived = new Map<string, Buffer>()
  const keyFor = (label: KeyLabel, key: Key): Buffer => {
    const name = `${label} ${key.id}`
    const known = derived.get(name)
    if (known !== undefined) return known
    const fresh = derive(key.secret, label)
    derived.set(name, fresh)
    return fresh
  }
  const mac = (label: KeyLabel, key: Key, payload: string | Uint8Array): Buffer =>
    createHmac('sha256', keyFor(label, key)).update(payload).digest()
  return {
    sign: (label, payload): Signature => ({
      keyId: first.id,
      signature: mac(label, first, payload).toString('base64url'),
    }),
    verify: (label, keyId, payload, signature) => {
      const key = keys.find((candidate) => candidate.id === keyId)
      if (key === undefined) return false
      const expected = mac(label, key, payload)
      const given = Buffer.from(signature, 'base64url')
      // The last of 43 characters holds two spare bits (RFC 4648 section 3.5): one signature, one spelling.
      const isCanonical = given.toString('base64url') === signature
      return isCanonical && given.length === expected.length && timingSafeEqual(given, expected)
    },
    preSharedKey: () => derive(last.secret, 'pre-shared-key'),
    keyIds: () => keys.map((key) => key.id),
  }
}
