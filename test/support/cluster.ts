/**
 * Real clusters for tests, made by scripts/launch-cluster.sh in a temporary directory with ports of their
 * own. Use `withCluster`: it takes the cluster down at the end, and shows the logs when the test failed.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { text } from 'node:stream/consumers'
import { placeOf, readRecord } from '../../scripts/cluster/directory.ts'
import type { NodePlace } from '../../scripts/cluster/directory.ts'
import { checkPorts } from '../../scripts/cluster/ports.ts'
import { killNode } from '../../scripts/cluster/process.ts'
import { launch, readyWaitMs, waitReady } from '../../scripts/cluster/start.ts'
import { claimBasePort } from './ports.ts'
import { root } from './sources.ts'

export type NodeState = 'ready' | 'starting' | 'paused' | 'stopped' | 'dead'
export type NodeInfo = { node: string; url: string; pid: number | null; state: NodeState }
export type ClusterInfo = { nodes: NodeInfo[]; primary: string | null; adminTokenFile: string }
export type Outcome = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

export type ClusterOptions = {
  readonly nodes: number
  readonly eligible?: number
  /** Load the sample catalog; default false, because most tests bring products of their own. */
  readonly sample?: boolean
  /** Another program in place of node/main.ts, and more environment for it. */
  readonly entry?: string
  readonly env?: { readonly [name: string]: string }
}

const logTailLines = 40
const waitTimeoutMs = 60_000
const waitIntervalMs = 50

export class TestCluster {
  readonly directory: string
  readonly basePort: number
  readonly #env: NodeJS.ProcessEnv

  constructor(directory: string, basePort: number, env: NodeJS.ProcessEnv) {
    this.directory = directory
    this.basePort = basePort
    this.#env = env
  }

  /** Runs the launcher with any arguments; never throws because of its exit code. */
  async run(...args: string[]): Promise<Outcome> {
    const script = join(root, 'scripts/launch-cluster.sh')
    const place = ['--data', this.directory, '--base-port', String(this.basePort)]
    const child = spawn(script, [...args, ...place], { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] })
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
    return { code: child.exitCode, stdout, stderr }
  }

  /** Runs a verb with --json, such as `verb('kill', 'n1')`. Throws with the launcher's words when it fails. */
  async verb(...args: string[]): Promise<ClusterInfo> {
    const { code, stdout, stderr } = await this.run(...args, '--json')
    if (code !== 0) throw new Error(`launch-cluster.sh ${args.join(' ')} ended with ${code}:\n${stderr}`)
    return JSON.parse(stdout) as ClusterInfo
  }

  status(): Promise<ClusterInfo> {
    return this.verb('status')
  }

  async node(name: string): Promise<NodeInfo> {
    const found = (await this.status()).nodes.find(({ node }) => node === name)
    if (found === undefined) throw new Error(`no node ${name} in ${this.directory}`)
    return found
  }

  /** `url('n1', '/api/products')`, also while the node is down. */
  url(name: string, path = ''): string {
    return `http://127.0.0.1:${this.basePort + Number(name.slice(1))}${path}`
  }

  adminToken(): string {
    return readFileSync(join(this.directory, 'admin-token'), 'utf8').trim()
  }

  adminHeaders(): { authorization: string } {
    return { authorization: `Bearer ${this.adminToken()}` }
  }

  #place(name: string): NodePlace {
    const record = readRecord(this.directory)
    if (record === null) throw new Error(`no cluster in ${this.directory}`)
    return placeOf(this.directory, record, Number(name.slice(1)))
  }

  /** The launcher's `kill`, without a process for it: for tests that do it often. */
  async crash(name: string): Promise<void> {
    await killNode(this.#place(name))
  }

  /** The launcher's `start` after a crash, in the same way; resolves when the node is ready. */
  async restart(name: string): Promise<void> {
    const record = readRecord(this.directory)
    const place = this.#place(name)
    if (record === null) throw new Error(`no cluster in ${this.directory}`)
    await checkPorts([place])
    await launch(this.directory, record, place)
    await waitReady(place, readyWaitMs)
  }

  log(name: string): string {
    const path = join(this.directory, `${name}.log`)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }

  /** The ends of all logs, for a failed test's message. */
  logTails(): string {
    const record = join(this.directory, 'cluster.json')
    if (!existsSync(record)) return ''
    const { nodes } = JSON.parse(readFileSync(record, 'utf8')) as { nodes: number[] }
    const tail = (name: string): string =>
      this.log(name).trimEnd().split('\n').slice(-logTailLines).join('\n')
    return nodes.map((index) => `--- n${index}.log\n${tail(`n${index}`)}`).join('\n')
  }
}

/** A cluster that is not started yet: an empty directory and free ports. `close` kills whatever runs there. */
export async function prepareCluster(options: Omit<ClusterOptions, 'nodes'>): Promise<{
  readonly cluster: TestCluster
  readonly close: (keep: boolean) => Promise<void>
}> {
  const base = await claimBasePort()
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'souk-test-')))
  const entry = options.entry === undefined ? {} : { SOUK_NODE_ENTRY: options.entry }
  const cluster = new TestCluster(directory, base.port, { ...process.env, ...entry, ...options.env })
  const close = async (keep: boolean): Promise<void> => {
    const { nodes } = existsSync(join(directory, 'cluster.json')) ? await cluster.status() : { nodes: [] }
    await Promise.all(nodes.filter(({ pid }) => pid !== null).map(({ node }) => cluster.verb('kill', node)))
    if (!keep) rmSync(directory, { recursive: true, force: true })
    await base.release()
  }
  return { cluster, close }
}

/** Starts a cluster, runs the test, and takes the cluster down. A failure carries the ends of all logs. */
export async function withCluster<T>(
  options: ClusterOptions,
  task: (cluster: TestCluster, info: ClusterInfo) => Promise<T>,
): Promise<T> {
  const { cluster, close } = await prepareCluster(options)
  let failed = true
  try {
    const eligible = options.eligible === undefined ? [] : ['--eligible', String(options.eligible)]
    const sample = options.sample === true ? [] : ['--no-sample']
    const info = await cluster.verb('up', String(options.nodes), ...eligible, ...sample)
    const result = await task(cluster, info)
    failed = false
    return result
  } catch (error) {
    console.error(error, `cluster kept in ${cluster.directory}\n${cluster.logTails()}`)
    throw error
  } finally {
    await close(failed)
  }
}

/** Waits until the check gives something other than undefined, false or null. Says what was awaited if it doesn't. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false | null> | T | undefined | false | null,
  timeoutMs = waitTimeoutMs,
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs
  for (;;) {
    const value = await check()
    if (value !== undefined && value !== false && value !== null) return value
    if (performance.now() > deadlineMs) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`)
    await sleep(waitIntervalMs)
  }
}
