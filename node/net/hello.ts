/**
 * The first frame of each peer stream, both ways. It proves that the sender holds the cluster secret: an HMAC
 * under the hello key over all that the hello says and both peer ids. Noise has authenticated the peer id at the
 * other end of the connection, and the proof names it as the sender and this node as the receiver. So a hello
 * that somebody recorded is worthless on any connection but one between the same two nodes, where its start
 * counter tells an old one from a new one.
 */
import { Fault } from '../faults.ts'
import type { ClusterId, MemberId } from '../ids.ts'
import { peerProtocolVersion } from '../messages.ts'
import type { Hello } from '../messages.ts'

/** Of the cluster's keyring what hellos need. */
export type HelloSigner = {
  /** With the first key of the secret. */
  sign(label: 'hello', payload: string): { readonly keyId: string; readonly signature: string }
  /** With any key of it. False for an unknown key id. */
  verify(label: 'hello', keyId: string, payload: string, signature: string): boolean
}

/** What the node says of itself; the transport adds protocol version and proof. */
export type OwnHello = Omit<Hello, 'keyId' | 'proof' | 'protocol'>

function payload(hello: OwnHello & { protocol: number }, from: MemberId, to: MemberId): string {
  const { protocol, clusterId, node, starts, lastTerm, lastIndex } = hello
  return JSON.stringify([protocol, clusterId, from, to, node, starts, lastTerm, lastIndex])
}

export function makeHello(signer: HelloSigner, own: OwnHello, from: MemberId, to: MemberId): Hello {
  const hello = { ...own, protocol: peerProtocolVersion }
  const { keyId, signature } = signer.sign('hello', payload(hello, from, to))
  return { ...hello, keyId, proof: signature }
}

/** Throws the Fault that says why `hello` of `from`, received by `to`, is not acceptable. */
export function checkHello(
  signer: HelloSigner,
  hello: Hello,
  from: MemberId,
  to: MemberId,
  ownCluster: ClusterId | null,
): void {
  if (hello.protocol !== peerProtocolVersion)
    throw new Fault(
      'conflict',
      `the peer speaks version ${hello.protocol} of the peer protocol and this node version ${peerProtocolVersion}; run the same release of Souk on both`,
    )
  if (!signer.verify('hello', hello.keyId, payload(hello, from, to), hello.proof))
    throw new Fault(
      'forbidden',
      `the peer does not hold this cluster's secret (its hello is signed with key ${hello.keyId}); give both nodes the same secret file`,
    )
  checkCluster(hello, ownCluster)
}

/** A node without a cluster may meet any; two clusters never mix. */
export function checkCluster(hello: Hello, ownCluster: ClusterId | null): void {
  if (ownCluster === null || hello.clusterId === null || hello.clusterId === ownCluster) return
  throw new Fault(
    'forbidden',
    `the peer belongs to cluster ${hello.clusterId} and this node to cluster ${ownCluster}; a node can't be moved between clusters, empty its data directory to let it join another`,
  )
}
