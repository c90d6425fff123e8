/**
 * The cluster's directory on this machine: what is where in it, what it remembers, and its secrets.
 * Nothing here looks at processes.
 */
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { codeOf, Failure, messageOf } from './failure.ts'
import { nodeIndexMax } from './options.ts'

/** What DIR remembers; the file cluster.json. */
export type ClusterRecord = {
  readonly format: 'souk-cluster-1'
  readonly basePort: number
  /** Only nodes up to this index may become voters; null: all. */
  readonly eligible: number | null
  /** Indexes of the nodes of this cluster, in the order in which they were added. */
  readonly nodes: readonly number[]
  /** Goes up only: the index of a removed node is not given to another one. */
  readonly nextIndex: number
  /** True once n1 was ready for the first time. From then on nothing is ever started with --init. */
  readonly initialised: boolean
  /** `wanted` until it is loaded, so that an interrupted first `up` is finished by the next one. */
  readonly sample: 'wanted' | 'loaded' | 'none'
}

/** One node of the cluster, as far as it follows from DIR and its index. */
export type NodePlace = {
  readonly index: number
  readonly name: string
  readonly directory: string
  readonly logFile: string
  readonly pidFile: string
  readonly httpPort: number
  readonly p2pPort: number
  readonly url: string
  readonly eligible: boolean
}

export type Files = {
  readonly record: string
  readonly secret: string
  readonly adminToken: string
  readonly lock: string
}

const basePortDefault = 8080
const secretBytes = 32
/** Everything that this tool puts into DIR, and nothing else: `--fresh` deletes by this pattern. */
const ownEntry =
  /^(n\d+|n\d+\.(log|log\.1|pid)|cluster\.json(\.new)?|cluster-secret|admin-token|launcher\.lock(-journal)?)$/

export function filesOf(directory: string): Files {
  return {
    record: join(directory, 'cluster.json'),
    secret: join(directory, 'cluster-secret'),
    adminToken: join(directory, 'admin-token'),
    lock: join(directory, 'launcher.lock'),
  }
}

/** The absolute path that process arguments are compared with, so symbolic links are resolved. */
export function resolveDirectory(data: string): string {
  const path = resolve(data)
  return existsSync(path) ? realpathSync(path) : path
}

/** Makes DIR (for its owner only) unless it exists. A directory with strange content is refused. */
export function claimDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new Failure(`can't make the directory ${directory}: ${messageOf(error)}`, { cause: error })
  }
  // Listed before the record is looked for: another launcher writes the record first, then the rest.
  const entries = readdirSync(directory)
  if (readRecord(directory) !== null) return
  const strange = entries.find((entry) => !ownEntry.test(entry))
  if (strange !== undefined) {
    throw new Failure(
      `${directory} is not a cluster's directory (it has no cluster.json, but ${strange}); give another --data`,
    )
  }
  const node = entries.find((entry) => /^n\d+$/.test(entry))
  if (node !== undefined) {
    throw new Failure(
      `${directory} has no cluster.json, but ${node}; put it back, or delete ${directory} by hand`,
    )
  }
  chmodSync(directory, 0o700)
}

/** Deletes what this tool has put into DIR; what it did not put there stays. */
export function deleteData(directory: string): void {
  for (const entry of readdirSync(directory)) {
    // The lock is held while this runs; deleting it would let a second launcher in.
    if (!ownEntry.test(entry) || entry === 'launcher.lock') continue
    rmSync(join(directory, entry), { recursive: true, force: true })
  }
}

/** The record, or null when there is none. Throws Failure when it can't be read as one. */
export function readRecord(directory: string): ClusterRecord | null {
  const path = filesOf(directory).record
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null
    throw new Failure(`can't read ${path}: ${messageOf(error)}`, { cause: error })
  }
  const record = parseRecord(text)
  if (record === null) throw new Failure(`${path} is damaged; repair it, or delete the data in ${directory}`)
  return record
}

function parseRecord(text: string): ClusterRecord | null {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
  const record = raw as Partial<ClusterRecord> | null
  const isIndex = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 1
  const whole =
    record?.format === 'souk-cluster-1' &&
    isIndex(record.basePort) &&
    (record.eligible === null || isIndex(record.eligible)) &&
    Array.isArray(record.nodes) &&
    record.nodes.every(isIndex) &&
    isIndex(record.nextIndex) &&
    typeof record.initialised === 'boolean' &&
    ['wanted', 'loaded', 'none'].includes(record.sample ?? '')
  return whole ? (record as ClusterRecord) : null
}

/** Replaces the record as a whole, so that a reader never meets half of one. */
export function writeRecord(directory: string, record: ClusterRecord): void {
  const path = filesOf(directory).record
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600, flush: true })
  renameSync(`${path}.new`, path)
}

export function newRecord(options: {
  readonly basePort: number | null
  readonly eligible: number | null
  readonly sample: boolean
}): ClusterRecord {
  return {
    format: 'souk-cluster-1',
    basePort: options.basePort ?? basePortDefault,
    eligible: options.eligible,
    nodes: [],
    nextIndex: 1,
    initialised: false,
    sample: options.sample ? 'wanted' : 'none',
  }
}

/**
 * The record with what was asked for. DIR remembers base port and K: another port, or a K that changes what
 * a node is that exists already, is a mistake. Throws Failure then.
 */
export function withAsked(
  directory: string,
  record: ClusterRecord,
  asked: { readonly basePort: number | null; readonly eligible: number | null },
): ClusterRecord {
  if (asked.basePort !== null && asked.basePort !== record.basePort) {
    throw new Failure(
      `the cluster in ${directory} has base port ${record.basePort}, not ${asked.basePort}; ` +
        'leave --base-port out, or give another --data',
    )
  }
  if (asked.eligible === null || asked.eligible === record.eligible) return record
  const after = { ...record, eligible: asked.eligible }
  if (record.nodes.some((index) => isEligible(record, index) !== isEligible(after, index))) {
    const before = record.eligible === null ? 'without --eligible' : `with --eligible ${record.eligible}`
    throw new Failure(`the cluster in ${directory} was made ${before}; leave it out, or give another --data`)
  }
  return after
}

function isEligible(record: ClusterRecord, index: number): boolean {
  return record.eligible === null || index <= record.eligible
}

/** The record with `count` more nodes. Throws Failure when the machine has no more ports for them. */
export function withMoreNodes(record: ClusterRecord, count: number): ClusterRecord {
  const added = Array.from({ length: count }, (_, position) => record.nextIndex + position)
  if (record.nextIndex + count - 1 > nodeIndexMax) {
    throw new Failure(`no more than ${nodeIndexMax} nodes can ever be added to one cluster on one machine`)
  }
  return { ...record, nodes: [...record.nodes, ...added], nextIndex: record.nextIndex + count }
}

export function placeOf(directory: string, record: ClusterRecord, index: number): NodePlace {
  const name = `n${index}`
  const httpPort = record.basePort + index
  return {
    index,
    name,
    directory: join(directory, name),
    logFile: join(directory, `${name}.log`),
    pidFile: join(directory, `${name}.pid`),
    httpPort,
    p2pPort: record.basePort + 1000 + index,
    url: `http://127.0.0.1:${httpPort}`,
    eligible: isEligible(record, index),
  }
}

export function placesOf(directory: string, record: ClusterRecord): NodePlace[] {
  return record.nodes.map((index) => placeOf(directory, record, index))
}

/** True when the node has any of its databases, and so an identity of its own. */
export function hasData(place: NodePlace): boolean {
  return ['log.db', 'shop.db', 'local.db'].some((file) => existsSync(join(place.directory, file)))
}

/**
 * Makes the cluster secret (a keyring, DESIGN.md section 8: one `KEYID:BASE64KEY` a line, the first line
 * signs) and the admin token, both for their owner only. They are not made again for nodes that have data,
 * because running ones would go on with the lost ones. Throws Failure then.
 */
export function ensureSecrets(directory: string, places: readonly NodePlace[]): void {
  const files = filesOf(directory)
  const key = `${randomBytes(4).toString('hex')}:${randomBytes(secretBytes).toString('base64')}`
  const wanted: [string, string][] = [
    [files.secret, key],
    [files.adminToken, randomBytes(secretBytes).toString('base64url')],
  ]
  for (const [path, content] of wanted) {
    if (existsSync(path)) continue
    if (places.some(hasData)) throw new Failure(`${path} is missing though the cluster has data; put it back`)
    writeFileSync(path, `${content}\n`, { mode: 0o600, flag: 'wx', flush: true })
  }
}

/** Throws Failure when the token is not there. */
export function readAdminToken(directory: string): string {
  const path = filesOf(directory).adminToken
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new Failure(`can't read the admin token: ${messageOf(error)}`, { cause: error })
  }
}
