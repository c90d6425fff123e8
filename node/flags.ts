/**
 * The flags of one node, each also by environment: the one table from which parsing, checking and `--help` come.
 * Pure: argument list and environment in, settings or a clear message out.
 */
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { currencySchema } from './commands.ts'
import { parseNodeName } from './ids.ts'
import type { Settings } from './replica/context.ts'

/** What `main.ts` needs beside the replica's settings. */
export type NodeFlags = {
  readonly settings: Settings
  readonly dataDirectory: string
  readonly http: { readonly host: string; readonly port: number }
  readonly p2pListen: string
  readonly secretFile: string
  readonly adminTokenFile: string
  readonly logLevel: string
}

export class UsageError extends Error {
  override readonly name = 'UsageError'
}

const hostPort = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}$/, 'HOST:PORT')
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, 'a port up to 65535')

const unitsMs: { readonly [unit: string]: number } = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** `500ms`, `2s`, `10m`, `1h`, `1d` → milliseconds. */
const duration = z
  .string()
  .regex(/^\d{1,9}(ms|s|m|h|d)$/, 'a duration such as 500ms, 2s, 10m or 1h')
  .transform((text) => Number.parseInt(text, 10) * (unitsMs[text.replace(/^\d+/, '')] ?? 1))

const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, `a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `a whole number from ${min} to ${max}`)

const url = z
  .string()
  .regex(/^https?:\/\/[^\s/]+\/?$/, 'a URL such as https://shop.example without a path')
  .transform((text) => text.replace(/\/$/, ''))

type Flag = { value: string; help: string; schema: z.ZodType; fallback?: string; optional?: true }

const flags = {
  name: { value: 'NAME', help: 'name of this node, unique in the cluster', schema: z.string().min(1) },
  data: { value: 'DIR', help: 'directory of this node’s databases', schema: z.string().min(1) },
  http: { value: 'HOST:PORT', help: 'address to serve HTTP at', schema: hostPort },
  p2p: { value: 'HOST:PORT', help: 'address to listen for other nodes at', schema: hostPort },
  'p2p-public': {
    value: 'HOST:PORT',
    help: 'address at which other nodes reach this one (default: --p2p)',
    schema: hostPort,
    optional: true,
  },
  'public-url': {
    value: 'URL',
    help: 'URL at which shoppers reach this node (default: http://HOST:PORT of --http)',
    schema: url,
    optional: true,
  },
  'secret-file': {
    value: 'FILE',
    help: 'cluster secret: one KEYID:BASE64KEY a line, the first signs',
    schema: z.string().min(1),
  },
  'admin-token-file': { value: 'FILE', help: 'administrator token', schema: z.string().min(1) },
  join: {
    value: 'HOST:PORT[,…]',
    help: 'p2p addresses of nodes to join through',
    schema: z.string(),
    optional: true,
  },
  capacity: {
    value: 'N',
    help: 'relative weight of this node in placement',
    schema: z
      .string()
      .regex(/^\d{1,3}(\.\d{1,3})?$/, 'a number from 0 to 999')
      .transform(Number),
    fallback: '1',
  },
  currency: {
    value: 'CODE',
    help: 'the shop’s currency, fixed when the cluster begins',
    schema: currencySchema,
    fallback: 'USD',
  },
  'server-set-size': {
    value: 'N',
    help: 'members that hold each user’s cart',
    schema: wholeNumber(1, 7),
    fallback: '3',
  },
  'cart-acks': {
    value: 'N',
    help: 'disks that have a cart change before it is answered',
    schema: wholeNumber(1, 3),
    fallback: '2',
  },
  'cart-sync-interval': {
    value: 'TIME',
    help: 'how often carts travel through the primary',
    schema: duration,
    fallback: '2s',
  },
  'order-wait': {
    value: 'TIME',
    help: 'how long an order waits for its decision before 202',
    schema: duration,
    fallback: '5s',
  },
  'idle-after': {
    value: 'TIME',
    help: 'a user idle for longer may get another home',
    schema: duration,
    fallback: '30m',
  },
  'guest-cart-days': {
    value: 'N',
    help: 'days after which a guest and its cart expire',
    schema: wholeNumber(1, 3_650),
    fallback: '30',
  },
  heartbeat: { value: 'TIME', help: 'heartbeat of the primary', schema: duration, fallback: '100ms' },
  'election-timeout-min': {
    value: 'TIME',
    help: 'shortest election timeout',
    schema: duration,
    fallback: '500ms',
  },
  'election-timeout-max': {
    value: 'TIME',
    help: 'longest election timeout',
    schema: duration,
    fallback: '1000ms',
  },
  'replace-voter-after': {
    value: 'TIME',
    help: 'a voter dead for longer is replaced',
    schema: duration,
    fallback: '10m',
  },
  confirm: {
    value: 'TEXT',
    help: 'with --recover: that the others are lost; --recover alone says what to type',
    schema: z.string(),
    optional: true,
  },
  'log-level': {
    value: 'LEVEL',
    help: 'debug, info, warn or error',
    schema: z.enum(['debug', 'info', 'warn', 'error']),
    fallback: 'info',
  },
} as const satisfies { [name: string]: Flag }

type FlagName = keyof typeof flags

const switches = {
  init: 'begin a new cluster (ignored when there is data)',
  'not-eligible': 'never become a voter',
  recover: 'when a majority is lost for ever: make what --data holds a cluster of its own, and end',
  help: 'print this help',
  version: 'print the version',
} as const

/** `server-set-size` → `SOUK_SERVER_SET_SIZE`. */
export function environmentName(name: string): string {
  return `SOUK_${name.toUpperCase().replaceAll('-', '_')}`
}

/** The text of `--help`. */
export function helpText(): string {
  const rows: [string, string][] = []
  for (const [name, flag] of Object.entries(flags) as [string, Flag][]) {
    const fallback = flag.fallback === undefined ? '' : ` (default ${flag.fallback})`
    rows.push([`--${name} ${flag.value}`, `${flag.help}${fallback}`])
  }
  for (const [name, help] of Object.entries(switches)) rows.push([`--${name}`, help])
  const width = Math.max(...rows.map(([left]) => left.length))
  return [
    'souk: one node of a shop that runs on many servers',
    '',
    'Usage: scripts/souk --name NAME --data DIR --http HOST:PORT --p2p HOST:PORT \\',
    '         --secret-file FILE --admin-token-file FILE (--init | --join HOST:PORT[,…]) [flags]',
    '',
    'A node that has data needs neither --init nor --join.',
    'Each flag can also be given by environment: --cart-acks as SOUK_CART_ACKS.',
    '',
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    '',
  ].join('\n')
}

export type ParsedFlags =
  | { kind: 'help' }
  | { kind: 'version' }
  | { kind: 'recover'; dataDirectory: string; confirm: string | null }
  | { kind: 'run'; flags: NodeFlags }

/** Parses arguments and environment; throws UsageError with a message for the operator. */
export function parseFlags(
  args: readonly string[],
  environment: { readonly [name: string]: string | undefined },
): ParsedFlags {
  const given = parse(args)
  if (given['help'] === true) return { kind: 'help' }
  if (given['version'] === true) return { kind: 'version' }
  const read = <T>(name: FlagName): T => readFlag(name, given, environment) as T
  // Never by environment: it must be typed.
  if (given['recover'] === true) {
    const confirm = typeof given['confirm'] === 'string' ? given['confirm'] : null
    return { kind: 'recover', dataDirectory: read<string>('data'), confirm }
  }
  const isOn = (name: keyof typeof switches): boolean =>
    given[name] === true || isSwitchedOn(environmentName(name), environment)
  const http = read<string>('http')
  const p2p = read<string>('p2p')
  const settings = settingsOf(read, http, p2p, { init: isOn('init'), eligible: !isOn('not-eligible') })
  if (settings.electionTimeoutMaxMs < settings.electionTimeoutMinMs) {
    throw new UsageError('--election-timeout-max must not be shorter than --election-timeout-min')
  }
  if (settings.heartbeatMs * 3 > settings.electionTimeoutMinMs) {
    throw new UsageError('--election-timeout-min must be at least three heartbeats')
  }
  return {
    kind: 'run',
    flags: {
      settings,
      dataDirectory: read<string>('data'),
      http: splitHostPort(http),
      p2pListen: p2p,
      secretFile: read<string>('secret-file'),
      adminTokenFile: read<string>('admin-token-file'),
      logLevel: read<string>('log-level'),
    },
  }
}

/** What is neither yes nor no is a mistake: a node that was meant to begin a cluster would wait for ever. */
function isSwitchedOn(name: string, environment: { readonly [name: string]: string | undefined }): boolean {
  const value = environment[name] ?? ''
  if (['1', 'true'].includes(value)) return true
  if (['', '0', 'false'].includes(value)) return false
  throw new UsageError(`${name}: 1 or true, 0 or false`)
}

function settingsOf(
  read: <T>(name: FlagName) => T,
  http: string,
  p2p: string,
  on: { init: boolean; eligible: boolean },
): Settings {
  const join = (read<string | undefined>('join') ?? '').split(',').filter((address) => address !== '')
  for (const address of join) {
    if (!hostPort.safeParse(address).success) throw new UsageError(`--join: ${address} is not HOST:PORT`)
  }
  return {
    node: nodeName(read<string>('name')),
    publicUrl: read<string | undefined>('public-url') ?? `http://${http}`,
    p2p: read<string | undefined>('p2p-public') ?? p2p,
    eligible: on.eligible,
    capacity: read<number>('capacity'),
    init: on.init,
    join,
    currency: read<string>('currency'),
    serverSetSize: read<number>('server-set-size'),
    cartAcks: read<number>('cart-acks'),
    cartSyncIntervalMs: read<number>('cart-sync-interval'),
    orderWaitMs: read<number>('order-wait'),
    idleAfterMs: read<number>('idle-after'),
    guestCartDays: read<number>('guest-cart-days'),
    heartbeatMs: read<number>('heartbeat'),
    electionTimeoutMinMs: read<number>('election-timeout-min'),
    electionTimeoutMaxMs: read<number>('election-timeout-max'),
    replaceVoterAfterMs: read<number>('replace-voter-after'),
  }
}

function parse(args: readonly string[]): { readonly [name: string]: string | boolean | undefined } {
  const options: { [name: string]: { type: 'string' | 'boolean' } } = {}
  for (const name of Object.keys(flags)) options[name] = { type: 'string' }
  for (const name of Object.keys(switches)) options[name] = { type: 'boolean' }
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function readFlag(
  name: FlagName,
  given: { readonly [name: string]: string | boolean | undefined },
  environment: { readonly [name: string]: string | undefined },
): unknown {
  const flag: Flag = flags[name]
  const raw = given[name] ?? environment[environmentName(name)] ?? flag.fallback
  if (raw === undefined || raw === '') {
    if (flag.optional === true) return undefined
    throw new UsageError(`--${name} ${flag.value} is missing (or ${environmentName(name)})`)
  }
  const parsed = flag.schema.safeParse(raw)
  if (!parsed.success) throw new UsageError(`--${name}: ${parsed.error.issues[0]?.message ?? 'not valid'}`)
  return parsed.data
}

function nodeName(raw: string): Settings['node'] {
  try {
    return parseNodeName(raw)
  } catch {
    throw new UsageError('--name: letters, digits, dots, dashes and underscores, up to 63')
  }
}

function splitHostPort(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
}
