/**
 * Additions to carts: `npm run bench:carts`. Three nodes, 32 connections, each at the home of its shoppers, every addition
 * on two disks before its answer (and, beside it, on one); in turn with a bare server that writes one row with
 * synchronous=FULL on one disk (`baseline-writes.ts`). Many carts with a few entries each, as shops have them. The client
 * and all nodes share the processor, so the figure is one of the whole machine.
 * `--runs N` (default 5), `--additions N` a run (default 8,000), `--shoppers N` (default 2,000), `--connections N`,
 * `--profile DIR` writes CPU profiles.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { prepareCluster } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { Shopper } from '../test/support/shopper.ts'
import { Report, median } from './kit.ts'
import { drive, usedMs } from './posts.ts'
import type { Load, Post } from './posts.ts'
import { skus, stock } from './stock.ts'

/** The bare server must be a fair one: 0.8 times the slowest '1 row a commit' that a quiet machine like this reached. */
const baselineAim = { least: 0.8 * 3_700 } as const
const p99Aim = { below: 25 } as const
const nodes = ['n1', 'n2', 'n3']
/** Shoppers made at one time. */
const arrivalsAtOnce = 16

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    additions: { type: 'string', default: '8000' },
    shoppers: { type: 'string', default: '2000' },
    connections: { type: 'string', default: '32' },
    acks: { type: 'string', default: '2,1' },
    profile: { type: 'string' },
  },
})
const options = { connections: Number(values.connections), count: Number(values.additions), status: 200 }

/** Guests, at whatever node is their home. */
class Guests {
  readonly #authorizations = new Map<string, string[]>()
  #number = 0

  async arrive(cluster: TestCluster, count: number): Promise<void> {
    for (const node of nodes) this.#authorizations.set(cluster.url(node), [])
    let left = count
    const work = async (): Promise<void> => {
      while (left > 0) {
        left -= 1
        const shopper = await new Shopper([cluster.url(nodes[left % nodes.length] as string)]).becomeGuest()
        this.#at((await shopper.cart()).home.url).push(`Bearer ${shopper.token}`)
      }
    }
    await Promise.all(Array.from({ length: arrivalsAtOnce }, work))
  }

  #at(server: string): string[] {
    const here = this.#authorizations.get(server)
    if (here === undefined) throw new Error(`no node at ${server}`)
    return here
  }

  /** One more lamp for the next guest of a server; a key with each, as pages send them. */
  addition(server: string): Post {
    this.#number += 1
    const here = this.#at(server)
    if (here.length === 0) throw new Error(`${server} is nobody's home: give more --shoppers`)
    return addition(here[this.#number % here.length] as string, this.#number)
  }

  /** Nodes even out their users meanwhile, as they do in a shop. */
  moved({ headers }: Post, from: string, location: string): void {
    const authorization = headers['authorization'] as string
    const here = this.#at(from)
    const index = here.indexOf(authorization)
    if (index < 0) return
    here.splice(index, 1)
    this.#at(new URL(location).origin).push(authorization)
  }
}

function addition(authorization: string, number: number): Post {
  return {
    path: '/api/cart/items',
    headers: { authorization, 'idempotency-key': `bench-${number}` },
    body: JSON.stringify({ sku: skus[number % skus.length], quantity: 1 }),
  }
}

async function startBaseline(directory: string): Promise<{ base: string; process: ChildProcess }> {
  const path = fileURLToPath(new URL('baseline-writes.ts', import.meta.url))
  const child = spawn(process.execPath, [path, join(directory, 'items.db')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { base: `http://127.0.0.1:${line.toString().trim()}`, process: child }
}

type Round = { readonly own: Load; readonly bare: Load; readonly costMs: number }

async function bench(acks: string, bareBase: string): Promise<Round[]> {
  const profiled =
    values.profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${values.profile}` }
  const { cluster, close } = await prepareCluster({ env: { ...profiled, SOUK_CART_ACKS: acks } })
  try {
    await cluster.verb('up', '3', '--no-sample')
    await stock(cluster)
    const guests = new Guests()
    await guests.arrive(cluster, Number(values.shoppers))
    let bareNumber = 0
    const rounds: Round[] = []
    const servers = nodes.map((node) => cluster.url(node))
    // One more to warm up.
    for (let run = 0; run <= Number(values.runs); run += 1) {
      const bare = await drive([bareBase], options, () => addition('Bearer nobody', (bareNumber += 1)))
      const beforeMs = await usedMs(cluster)
      const own = await drive(
        servers,
        options,
        (server) => guests.addition(server),
        (post, from, location) => guests.moved(post, from, location),
      )
      const costMs = ((await usedMs(cluster)) - beforeMs) / options.count
      if (run > 0) rounds.push({ own, bare, costMs })
    }
    // A clean stop, which writes the profiles.
    if (values.profile !== undefined) await cluster.verb('down')
    return rounds
  } finally {
    await close(false)
  }
}

const report = new Report('carts', 'Additions to carts, 3 nodes')
report.note(`${values.connections} connections, ${values.runs} runs of ${values.additions} additions each.`)
const directory = mkdtempSync(join(tmpdir(), 'souk-bench-'))
const bare = await startBaseline(directory)
try {
  const bareRuns: Load[] = []
  for (const acks of values.acks.split(',')) {
    const rounds = await bench(acks, bare.base)
    bareRuns.push(...rounds.map((round) => round.bare))
    const base = median(rounds.map((round) => round.bare.perSecond))
    const p99Ms = rounds.map((round) => round.own.p99Ms)
    const disks = acks === '1' ? 'one disk' : `${acks} disks`
    report.add({
      what: `on ${disks}`,
      unit: 'a second',
      runs: rounds.map((round) => round.own.perSecond),
      p99Ms,
      aim: { least: base },
      baseline: base,
    })
    report.add({ what: `their 99th percentile`, unit: 'ms', runs: p99Ms, aim: p99Aim })
    const runs = rounds.map((round) => round.costMs)
    report.add({ what: `processor time of all nodes for one on ${disks}`, unit: 'ms', runs })
  }
  report.add({
    what: 'bare server, one row on one disk',
    unit: 'a second',
    runs: bareRuns.map((run) => run.perSecond),
    p99Ms: bareRuns.map((run) => run.p99Ms),
    aim: baselineAim,
  })
  report.finish()
} finally {
  bare.process.kill()
  rmSync(directory, { recursive: true, force: true })
}
