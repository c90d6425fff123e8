/**
 * Where nodes are on the network. On one address with ports of their own, as everywhere; or, where the machine allows it,
 * each in a network namespace with an address of its own on a bridge, so that packets between two of them can be dropped
 * in one direction or both, while clients reach every node.
 */
import { claimBasePort } from '../../support/ports.ts'
import { command, feed } from './abilities.ts'

export type Spot = {
  readonly host: string
  readonly httpPort: number
  readonly p2pPort: number
  /** What a command line begins with that is to run there. */
  readonly prefix: readonly string[]
}
export type Pair = readonly [from: string, to: string]

export interface Network {
  /** Makes a place for node number `index`. */
  place(index: number): Promise<Spot>
  /** From now on exactly these packets are dropped; names are those of nodes. */
  cut(pairs: readonly Pair[]): Promise<void>
  close(): Promise<void>
}

const p2pPortsBeyond = 1_000

export async function loopback(): Promise<Network> {
  const base = await claimBasePort()
  return {
    place: (index) =>
      Promise.resolve({
        host: '127.0.0.1',
        httpPort: base.port + index,
        p2pPort: base.port + p2pPortsBeyond + index,
        prefix: [],
      }),
    cut: () => Promise.reject(new Error('nothing can be cut on one address')),
    close: () => base.release(),
  }
}

const httpPort = 8_080
const p2pPort = 9_080
/** Addresses of nodes begin here; the bridge, where the clients are, is .1. */
const firstHost = 10
/** Names that this program gives begin so; what an earlier run left behind is known by its process id in them. */
const marker = 'souk-chaos-'

/** Each run has a network of its own: 10.64.0.0 to 10.127.255.0, by process id. */
function subnetOf(pid: number): string {
  return `10.${64 + ((pid >> 8) & 63)}.${pid & 255}`
}

function bridgeOf(pid: number): string {
  return `sk${pid}`
}

export class Namespaces implements Network {
  readonly #subnet = subnetOf(process.pid)
  readonly #bridge = bridgeOf(process.pid)
  readonly #indexes: number[] = []

  static async open(): Promise<Namespaces> {
    await removeLeftovers()
    const network = new Namespaces()
    await command('ip', 'link', 'add', network.#bridge, 'type', 'bridge')
    await command('ip', 'addr', 'add', `${network.#subnet}.1/24`, 'dev', network.#bridge)
    await command('ip', 'link', 'set', network.#bridge, 'up')
    return network
  }

  #nameOf(index: number): string {
    return `${marker}${process.pid}-${index}`
  }

  #addressOf(index: number): string {
    return `${this.#subnet}.${firstHost + index}`
  }

  async place(index: number): Promise<Spot> {
    const name = this.#nameOf(index)
    const link = `${this.#bridge}n${index}`
    this.#indexes.push(index)
    await command('ip', 'netns', 'add', name)
    await command('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
    await command('ip', 'link', 'set', link, 'master', this.#bridge, 'up')
    const inside = ['netns', 'exec', name, 'ip']
    await command('ip', ...inside, 'addr', 'add', `${this.#addressOf(index)}/24`, 'dev', 'eth0')
    await command('ip', ...inside, 'link', 'set', 'eth0', 'up')
    await command('ip', ...inside, 'link', 'set', 'lo', 'up')
    const table = 'add table inet souk\nadd chain inet souk in { type filter hook input priority 0; }\n'
    await feed(table, 'ip', 'netns', 'exec', name, 'nft', '-f', '-')
    return {
      host: this.#addressOf(index),
      httpPort,
      p2pPort,
      prefix: ['nsenter', `--net=/var/run/netns/${name}`, '--'],
    }
  }

  async cut(pairs: readonly Pair[]): Promise<void> {
    await Promise.all(
      this.#indexes.map(async (index) => {
        const rules = pairs
          .filter(([, to]) => to === `n${index}`)
          .map(([from]) => `add rule inet souk in ip saddr ${this.#addressOf(Number(from.slice(1)))} drop\n`)
        const text = `flush chain inet souk in\n${rules.join('')}`
        await feed(text, 'ip', 'netns', 'exec', this.#nameOf(index), 'nft', '-f', '-')
      }),
    )
  }

  async close(): Promise<void> {
    await removeAll(process.pid)
  }
}

async function removeAll(pid: number): Promise<void> {
  for (const name of await namespaces())
    if (name.startsWith(`${marker}${pid}-`)) await command('ip', 'netns', 'del', name)
  const links = await command('ip', '-o', 'link', 'show')
  if (links.includes(` ${bridgeOf(pid)}:`)) await command('ip', 'link', 'del', bridgeOf(pid))
}

async function namespaces(): Promise<string[]> {
  const text = await command('ip', 'netns', 'list')
  return text.split('\n').flatMap((line) => line.split(' ')[0] || [])
}

/** What runs left behind that were killed. */
async function removeLeftovers(): Promise<void> {
  const pids = (await namespaces()).flatMap((name) =>
    name.startsWith(marker) ? [Number(name.slice(marker.length).split('-')[0])] : [],
  )
  for (const pid of new Set(pids)) if (!isRunning(pid)) await removeAll(pid)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
