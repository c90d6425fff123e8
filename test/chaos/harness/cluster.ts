/** A cluster of hosts for one run: made, looked at, and taken down. */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Recorder, View } from '../history.ts'
import { ask } from '../workload/http.ts'
import type { Answer, Request } from '../workload/http.ts'
import type { Abilities } from './abilities.ts'
import { Host } from './host.ts'
import { Namespaces, loopback } from './network.ts'
import type { Network, Pair } from './network.ts'

/** Everything that is waited for here comes within seconds, on a machine that is not too busy. */
const waitTimeoutMs = 90_000
const waitPollMs = 250
const secretBytes = 32
/** DESIGN.md section 3: as many voters as eligible members allow. */
const votersMax = 5
/** Members of a cluster that were never told of more would never meet. */
const namesMax = 200

type MemberRow = {
  node: string
  voter: boolean
  oldestUndeliveredMs?: number
  oldestUnderReplicatedMs?: number
}
type ClusterBody = {
  node: string
  term: number
  primary: { node: string } | null
  catalog: { version: number; digest: string }
  orders: { count: number; digest: string } | null
  settled: boolean
  halted?: string | null
  members: MemberRow[]
}

export function votersTarget(members: number): number {
  if (members >= votersMax) return votersMax
  return members >= 3 ? 3 : 1
}

/** Waits until the check holds. Throws with what was awaited, and what it said last. */
export async function until(
  what: string,
  check: () => Promise<string | null>,
  timeoutMs = waitTimeoutMs,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  for (;;) {
    const why = await check()
    if (why === null) return
    if (performance.now() > deadlineMs)
      throw new Error(`waited ${timeoutMs} ms in vain until ${what}: ${why}`)
    await sleep(waitPollMs)
  }
}

export class ChaosCluster {
  readonly directory: string
  readonly recorder: Recorder
  readonly abilities: Abilities
  readonly adminToken = randomBytes(secretBytes).toString('base64url')
  readonly network: Network
  /** Members, and those that are down for a while; a removed one is gone. */
  hosts: Host[] = []
  #nextIndex = 1
  #cuts: readonly Pair[] = []

  private constructor(directory: string, recorder: Recorder, abilities: Abilities, network: Network) {
    this.directory = directory
    this.recorder = recorder
    this.abilities = abilities
    this.network = network
    const secret = `k1:${randomBytes(secretBytes).toString('base64')}\n`
    writeFileSync(this.#secretFile, secret, { mode: 0o600 })
    writeFileSync(this.#adminTokenFile, this.adminToken, { mode: 0o600 })
  }

  static async prepare(directory: string, recorder: Recorder, abilities: Abilities): Promise<ChaosCluster> {
    const network = abilities.partitions.available ? await Namespaces.open() : await loopback()
    return new ChaosCluster(directory, recorder, abilities, network)
  }

  get #secretFile(): string {
    return join(this.directory, 'cluster-secret')
  }

  get #adminTokenFile(): string {
    return join(this.directory, 'admin-token')
  }

  // ---------------------------------------------------------------- nodes

  async #newHost(): Promise<Host> {
    const index = this.#nextIndex
    this.#nextIndex += 1
    if (index > namesMax) throw new Error('too many nodes for one run')
    const host = new Host({
      name: `n${index}`,
      spot: await this.network.place(index),
      directory: this.directory,
      secretFile: this.#secretFile,
      adminTokenFile: this.#adminTokenFile,
      recorder: this.recorder,
      // Every third disk is small, and every other clock can be set: the others are as fast as they can be.
      hasSmallDisk: this.abilities['small disks'].available && index % 3 === 2,
      hasOwnClock: this.abilities['clock jumps'].available && index % 2 === 1,
    })
    await host.format()
    this.hosts.push(host)
    return host
  }

  /** A whole cluster: all are members, as many vote as should, and there is a primary. */
  async begin(count: number): Promise<void> {
    const first = await this.#newHost()
    await first.launch([])
    await first.ready()
    const others = await Promise.all(Array.from({ length: count - 1 }, () => this.#newHost()))
    await Promise.all(others.map((host) => this.start(host)))
    await this.whole()
  }

  async start(host: Host): Promise<void> {
    await host.launch(this.hosts.filter((other) => other !== host).map(({ p2p }) => p2p))
    await host.ready()
  }

  /** One more member. */
  async add(): Promise<Host> {
    const host = await this.#newHost()
    await this.start(host)
    return host
  }

  /** Out of the cluster for good, by the word of another node; then off the disk. */
  async remove(host: Host): Promise<void> {
    const path = `/api/admin/cluster/members/${host.name}`
    await this.administer(path, { method: 'DELETE' }, (other) => other !== host)
    this.hosts = this.hosts.filter((other) => other !== host)
    await host.kill()
    await host.wipe('removed')
  }

  host(name: string): Host {
    const found = this.hosts.find((host) => host.name === name)
    if (found === undefined) throw new Error(`there is no node ${name}`)
    return found
  }

  get live(): Host[] {
    return this.hosts.filter(({ condition }) => condition === 'live')
  }

  // ---------------------------------------------------------------- looking

  async view(host: Host, timeoutMs?: number): Promise<View | null> {
    const answer = await ask(`${host.url}/api/cluster`, timeoutMs === undefined ? {} : { timeoutMs })
    return answer.status === 200 ? viewOf(answer.json as ClusterBody) : null
  }

  async views(): Promise<(View | null)[]> {
    return await Promise.all(this.hosts.map((host) => this.view(host)))
  }

  /** Whom most nodes know as primary. */
  async primary(): Promise<string | null> {
    const views = (await this.views()).filter((view) => view !== null)
    return views.toSorted((one, other) => other.term - one.term).find((view) => view.primary)?.primary ?? null
  }

  /** Why it is not whole; null when it is. */
  async #brokenBy(): Promise<string | null> {
    const names = this.hosts
      .map(({ name }) => name)
      .sort()
      .join()
    const views = await this.views()
    for (const [index, view] of views.entries()) {
      const name = this.hosts[index]?.name
      if (view === null) return `${name} does not answer`
      if (view.members.toSorted().join() !== names)
        return `${name} lists ${view.members.join()}, not ${names}`
      if (view.primary === null) return `${name} knows no primary`
      if (view.voters.length !== votersTarget(this.hosts.length))
        return `${name} knows voters ${view.voters.join()}`
    }
    const primaries = new Set(views.map((view) => `${view?.term} ${view?.primary}`))
    return primaries.size === 1 ? null : `they follow ${[...primaries].join(' and ')}`
  }

  async whole(): Promise<void> {
    await until('the cluster is whole', () => this.#brokenBy())
  }

  /**
   * Everything that was there when this was asked for is on all disks where it belongs. While shoppers are busy there is
   * always something younger on its way, so ages are looked at where a node does not say that it is settled.
   */
  async settled(timeoutMs = waitTimeoutMs): Promise<void> {
    const beganMs = performance.now()
    await until(
      'every node is settled',
      async () => {
        const ageMs = performance.now() - beganMs
        const views = await this.views()
        const late = this.hosts.filter((_, index) => {
          const view = views[index]
          return !view || !(view.settled || view.oldestMs < ageMs)
        })
        return late.length === 0 ? null : late.map(({ name }) => name).join()
      },
      timeoutMs,
    )
  }

  /** A request of the administrator, at one live node after the other until it succeeds. */
  async administer(
    path: string,
    request: Omit<Request, 'token'>,
    through: (host: Host) => boolean = () => true,
  ): Promise<Answer> {
    let answer: Answer | null = null
    let turn = 0
    await until(`${request.method} ${path} succeeds`, async () => {
      const candidates = this.live.filter(through)
      const host = candidates[turn % Math.max(1, candidates.length)]
      turn += 1
      if (host === undefined) return 'no node is live'
      // Another voter has to catch up before one can be removed, so this may take a while.
      const patient = { ...request, token: this.adminToken, timeoutMs: 20_000 }
      answer = await ask(`${host.url}${path}`, patient)
      const { status, problem, detail } = answer
      // An earlier attempt of which nothing was heard has removed it.
      if (request.method === 'DELETE' && status === 404) return null
      return status !== null && status < 300 ? null : `${status} ${problem ?? ''} ${detail ?? ''}`
    })
    if (answer === null) throw new Error('nothing was asked')
    return answer
  }

  // ---------------------------------------------------------------- network

  async cut(pairs: readonly Pair[]): Promise<void> {
    this.#cuts = pairs
    // Before the first packet is dropped, and after the last one was.
    const { recorder } = this
    if (pairs.length > 0) recorder.add({ type: 'cut', pairs, atMs: recorder.nowMs() })
    await this.network.cut(pairs)
    if (pairs.length === 0) recorder.add({ type: 'cut', pairs, atMs: recorder.nowMs() })
  }

  get cuts(): readonly Pair[] {
    return this.#cuts
  }

  async close(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.abandoned()))
    await this.network.close()
  }
}

function viewOf(body: ClusterBody): View {
  const own = body.members.find(({ node }) => node === body.node)
  return {
    node: body.node,
    term: body.term,
    primary: body.primary?.node ?? null,
    catalog: body.catalog,
    orders: body.orders,
    settled: body.settled,
    halted: body.halted ?? null,
    members: body.members.map(({ node }) => node),
    voters: body.members.filter(({ voter }) => voter).map(({ node }) => node),
    oldestMs: Math.max(own?.oldestUndeliveredMs ?? 0, own?.oldestUnderReplicatedMs ?? 0),
  }
}
