/** The command line of launch-cluster.sh: options may stand before or after the verb. */
import { parseArgs } from 'node:util'
import { messageOf, UsageError } from './failure.ts'

export const usage = `usage: launch-cluster.sh [up] [N]      start a cluster of N nodes (default 3), or what is down of it,
                                       and add nodes up to N; never removes any
       launch-cluster.sh status        the nodes, their processes and roles
       launch-cluster.sh start NODE    start a node and wait until it is ready
       launch-cluster.sh stop NODE     SIGTERM: hand over and leave cleanly
       launch-cluster.sh kill NODE     SIGKILL: a crash
       launch-cluster.sh pause NODE    SIGSTOP         resume NODE   SIGCONT, and wait until it is ready
       launch-cluster.sh wipe NODE     kill it and empty its disk; the next start joins as a new member
       launch-cluster.sh add           one more node   remove NODE   out of the cluster for good
       launch-cluster.sh logs NODE     its log (--follow to go on)
       launch-cluster.sh down          stop all nodes; data and membership stay

options (before or after the verb)
  --data DIR         where the cluster lives (default ./.souk)
  --base-port PORT   node k serves HTTP at PORT+k, libp2p at PORT+1000+k (default 8080; DIR remembers it)
  --eligible K       only the first K nodes may become voters (default all; DIR remembers it)
  --fresh            with up: stop the nodes and delete DIR's data first
  --no-sample        with up: a new cluster starts with an empty catalog
  --follow           with logs
  --json             print {"nodes": [...], "primary", "adminTokenFile"} and nothing else
  --help             this text

Exit code 0: done, 1: failed, 2: wrong usage. Nodes are named n1, n2, ...`

const nodeVerbs = ['start', 'stop', 'kill', 'pause', 'resume', 'wipe', 'remove', 'logs'] as const
const plainVerbs = ['status', 'add', 'down'] as const
export type NodeVerb = (typeof nodeVerbs)[number]

export type Verb =
  | { readonly kind: 'up'; readonly count: number }
  | { readonly kind: (typeof plainVerbs)[number] }
  | { readonly kind: NodeVerb; readonly node: string }
  | { readonly kind: 'help' }

export type Options = {
  readonly verb: Verb
  readonly data: string
  /** null: what DIR remembers, else the default. */
  readonly basePort: number | null
  readonly eligible: number | null
  readonly fresh: boolean
  readonly sample: boolean
  readonly follow: boolean
  readonly json: boolean
}

const countDefault = 3
/** More processes than any one machine is known to carry; libp2p's ports start 1000 above HTTP's. */
export const nodeIndexMax = 200
/** Leaves room for the libp2p port of the last node below 65536. */
const basePortMax = 65_535 - 1000 - nodeIndexMax

/** Parses the arguments after the script's name. Throws UsageError. */
export function parseOptions(args: readonly string[]): Options {
  const { values, positionals } = parseRaw(args)
  const verb: Verb = values.help === true ? { kind: 'help' } : parseVerb(positionals)
  if (values.fresh === true && verb.kind !== 'up') throw new UsageError('--fresh goes with up only')
  if (values.follow === true && verb.kind !== 'logs') throw new UsageError('--follow goes with logs only')
  const data = values.data ?? '.souk'
  if (data === '') throw new UsageError('--data needs a directory')
  return {
    verb,
    data,
    basePort: parseNumber('--base-port', values['base-port'], basePortMax),
    eligible: parseNumber('--eligible', values.eligible, nodeIndexMax),
    fresh: values.fresh ?? false,
    sample: values['no-sample'] !== true,
    follow: values.follow ?? false,
    json: values.json ?? false,
  }
}

function parseRaw(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        data: { type: 'string' },
        'base-port': { type: 'string' },
        eligible: { type: 'string' },
        fresh: { type: 'boolean' },
        'no-sample': { type: 'boolean' },
        follow: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    // Node's own advice on how to write an argument that begins with a dash is of no use here.
    const [what = ''] = messageOf(error).split(/\. |\.?\n/)
    throw new UsageError(what, { cause: error })
  }
}

function parseVerb(positionals: readonly string[]): Verb {
  const [first = 'up', ...rest] = positionals
  if (first === 'help') return { kind: 'help' }
  if (first === 'up') return parseUp(rest)
  if (/^[+-]?\d/.test(first)) return parseUp(positionals)
  const plain = plainVerbs.find((verb) => verb === first)
  if (plain !== undefined) {
    if (rest.length > 0) throw new UsageError(`${plain} takes no argument, got ${rest.join(' ')}`)
    return { kind: plain }
  }
  const kind = nodeVerbs.find((verb) => verb === first)
  if (kind === undefined) throw new UsageError(`unknown verb ${first}`)
  const [node, ...extra] = rest
  if (node === undefined) throw new UsageError(`${kind} needs a node, such as n1`)
  if (extra.length > 0) throw new UsageError(`${kind} takes one node, got also ${extra.join(' ')}`)
  return { kind, node }
}

function parseUp(rest: readonly string[]): Verb {
  if (rest.length > 1) throw new UsageError(`up takes one number, got ${rest.join(' ')}`)
  return { kind: 'up', count: parseNumber('N', rest[0], nodeIndexMax) ?? countDefault }
}

function parseNumber(what: string, raw: string | undefined, max: number): number | null {
  if (raw === undefined) return null
  const value = /^\d{1,6}$/.test(raw) ? Number(raw) : 0
  if (value < 1 || value > max)
    throw new UsageError(`${what} must be a whole number from 1 to ${max}, not ${raw}`)
  return value
}
