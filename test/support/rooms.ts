/** The rooms of the code (DESIGN.md section 10): who may import what, and who may name time and chance. */
import type { Facts, Import } from './sources.ts'

type Room = {
  readonly name: string
  readonly files: RegExp
  /** Files of ours that may be imported as values. */
  readonly values: RegExp
  /** Files of ours of which only types may be imported. */
  readonly types?: RegExp
  readonly packages?: RegExp
  /** True: of node:crypto the hash functions, and no other module of Node. */
  readonly pure: boolean
}

const contract = /^node\/(ids|faults|messages|commands|ports|ports-local|replica-api)\.ts$/
const libp2pFamily =
  /^(xsalsa20|libp2p|@libp2p\/.+|@chainsafe\/.+|@multiformats\/.+|multiformats(\/.+)?|it-.+|uint8array.+)$/
/** What http may use is everything but the libraries that belong to other rooms. */
const notHttp = 'better-sqlite3|yjs|libp2p|@libp2p\\/|@chainsafe\\/|@multiformats\\/'

/** The first room whose pattern fits is the file's room. Tests, scripts and benchmarks are in none. */
const rooms: readonly Room[] = [
  {
    name: 'crdt',
    files: /^crdt\//,
    values: /^(crdt\/|node\/(ids|faults)\.ts$)/,
    packages: /^yjs$/,
    pure: true,
  },
  {
    name: 'node/core',
    files: /^node\/core\//,
    values: /^node\/(core\/|(ids|faults|messages|commands)\.ts$)/,
    types: /^node\/ports\.ts$/,
    pure: true,
  },
  {
    name: 'node/store',
    files: /^node\/store\//,
    // The digest is a property of the rows; the thread that checks a received copy can't be handed a function.
    values: /^node\/(store\/|core\/digest\.ts$|(ids|faults|commands|ports)\.ts$)/,
    packages: /^better-sqlite3$/,
    pure: false,
  },
  {
    name: 'node/net',
    files: /^node\/net\//,
    values: /^node\/(net\/|(ids|faults|messages|ports)\.ts$)/,
    packages: libp2pFamily,
    pure: false,
  },
  {
    name: 'the contract files',
    files: contract,
    values: contract,
    types: /^(node\/core|crdt)\//,
    packages: /^zod$/,
    pure: true,
  },
  {
    name: 'the replica',
    files: /^node\/replica(\.ts$|\/)/,
    values:
      /^(crdt\/|node\/(replica\.ts$|replica\/|core\/|(ids|faults|messages|commands|ports|replica-api)\.ts$))/,
    // What the log or a peer answered is checked by schema before it is believed.
    packages: /^zod$/,
    pure: true,
  },
  {
    name: 'http',
    files: /^http\//,
    values: /^(http\/|node\/(ids|faults|commands)\.ts$)/,
    types: /^node\/replica(-api)?\.ts$/,
    packages: new RegExp(`^(?!${notHttp})`),
    pure: false,
  },
  { name: 'main', files: /^node\/main(\.ts$|\/)/, values: /^(node|http|crdt)\//, packages: /./, pure: false },
  {
    name: 'other files of node/',
    files: /^node\//,
    values: /^node\/(?!(main|store|net|replica)(\.ts$|\/))/,
    types: /^node\/replica(\.ts$|\/)/,
    packages: /./,
    pure: false,
  },
]

/** Only these may name time, chance and timers; everybody else gets them through a port. */
const worldly = /^(node\/(main(\.ts$|\/)|net\/|system\.ts$)|http\/|scripts\/|test\/|bench\/)/
const worldlyModule = /^(node:)?(timers(\/promises)?|perf_hooks)$/
const worldlyUse =
  /^(Date|performance|setTimeout|setInterval|setImmediate|Math\.random|process\.hrtime|crypto\.(random.+|getRandomValues))$/
const worldlyImport = /^(random.+|getRandomValues|webcrypto|\*)$/
const hashing = /^(hash|createHash|createHmac|timingSafeEqual|Hash|Hmac)$/

/** What the file does that its room forbids, each as `file:line what`. */
export function violations(path: string, facts: Facts): string[] {
  const room = rooms.find(({ files }) => files.test(path))
  const found: string[] = []
  for (const imported of facts.imports) {
    const at = `${path}:${imported.line}`
    if (/^node\/main\.ts$/.test(imported.target)) found.push(`${at} imports node/main.ts, which nobody may`)
    else if (room !== undefined && !allowed(room, imported)) {
      const what = imported.typeOnly
        ? 'types of '
        : imported.target === 'node:crypto'
          ? 'more than hashing from '
          : ''
      found.push(`${at} imports ${what}${imported.target}, which ${room.name} may not`)
    }
  }
  return worldly.test(path) ? found : [...found, ...worldlyViolations(path, facts)]
}

function allowed(room: Room, { target, typeOnly, names }: Import): boolean {
  if (/^(node|crdt|http|scripts|test|bench)\//.test(target)) {
    return room.values.test(target) || (typeOnly && room.types?.test(target) === true)
  }
  if (target.startsWith('node:')) {
    if (!room.pure || typeOnly) return true
    return target === 'node:crypto' && names.every((name) => hashing.test(name))
  }
  return room.packages?.test(target) === true
}

function worldlyViolations(path: string, { imports, uses }: Facts): string[] {
  const found: string[] = []
  for (const { target, typeOnly, names, line } of imports) {
    if (typeOnly) continue
    const name = worldlyModule.test(target)
      ? target
      : /^(node:)?crypto$/.test(target) && names.find((candidate) => worldlyImport.test(candidate))
    if (typeof name === 'string') found.push(`${path}:${line} takes ${name} from ${target}; use a port`)
  }
  for (const { name, line } of uses) {
    if (worldlyUse.test(name)) found.push(`${path}:${line} names ${name}; use a port`)
  }
  return found
}
