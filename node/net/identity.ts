/** A node's identity: an Ed25519 key, whose public half is the member id (libp2p peer ids specification). */
import { generateKeyPairSync } from 'node:crypto'
import { privateKeyFromProtobuf, privateKeyFromRaw, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey, PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { assert } from '../faults.ts'
import { parseMemberId } from '../ids.ts'
import type { MemberId } from '../ids.ts'

/** Draws a new identity; `privateKey` is protobuf-encoded, as libp2p keeps it. */
export function createIdentity(): { memberId: MemberId; privateKey: Uint8Array } {
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  // libp2p's raw form: the seed, then the public key (RFC 8032 section 5.1.5).
  const raw = Buffer.concat([
    Buffer.from(jwk.d as string, 'base64url'),
    Buffer.from(jwk.x as string, 'base64url'),
  ])
  const key = privateKeyFromRaw(raw) as Ed25519PrivateKey
  return { memberId: memberIdOf(peerIdFromPrivateKey(key)), privateKey: privateKeyToProtobuf(key) }
}

export function memberIdOf(peer: PeerId): MemberId {
  return parseMemberId(peer.toString())
}

export function peerIdOf(member: MemberId): PeerId {
  return peerIdFromString(member)
}

/** Decodes the key and asserts that it belongs to the member id beside it. */
export function privateKeyOf(identity: { memberId: MemberId; privateKey: Uint8Array }): PrivateKey {
  const key = privateKeyFromProtobuf(identity.privateKey)
  assert(
    peerIdFromPrivateKey(key).toString() === identity.memberId,
    'the stored private key must belong to the stored member id',
  )
  return key
}
