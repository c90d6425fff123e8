/** `host:port` as operators write it, and what libp2p and node:net make of it. */
import { isIPv4, isIPv6 } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { Fault } from '../faults.ts'
import type { MemberId } from '../ids.ts'

export type Address = { readonly host: string; readonly port: number }

const hostNamePattern = /^(?!-)[A-Za-z0-9._-]{1,253}$/

/** Takes `1.2.3.4:9080`, `[::1]:9080` and `name:9080`. Fault `invalid-request`. */
export function parseAddress(text: string): Address {
  const colon = text.lastIndexOf(':')
  const bracketed = text.slice(0, Math.max(0, colon))
  const host = /^\[.*\]$/.test(bracketed) ? bracketed.slice(1, -1) : bracketed
  const digits = text.slice(colon + 1)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : Number.NaN
  const known = isIPv4(host) || isIPv6(host) || (!bracketed.startsWith('[') && hostNamePattern.test(host))
  if (!known || !(port <= 65_535))
    throw new Fault('invalid-request', `not an address host:port: ${text.slice(0, 300)}`)
  return { host, port }
}

/** With `peer`, the connection only comes about when that peer answers. */
export function toMultiaddr(p2p: string, peer: MemberId | null = null): Multiaddr {
  const { host, port } = parseAddress(p2p)
  const family = isIPv4(host) ? 'ip4' : isIPv6(host) ? 'ip6' : 'dns4'
  return multiaddr(`/${family}/${host}/tcp/${port}${peer === null ? '' : `/p2p/${peer}`}`)
}
