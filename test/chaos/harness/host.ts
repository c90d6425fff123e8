/** One node: its process, its place on the network, its disk and its clock. Says everything that happens to it. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { NodeCondition, Recorder } from '../history.ts'
import { ask } from '../workload/http.ts'
import { clockEnvironment, command, fsyncArguments } from './abilities.ts'
import type { Spot } from './network.ts'

const entry = fileURLToPath(new URL('../../../node/main.ts', import.meta.url))
/** On a machine where everything else runs too; a node is ready within two seconds as a rule. */
const readyTimeoutMs = 60_000
const readyPollMs = 100
/** A clean stop takes this long at most (node/main.ts cuts it off after 25 s). */
const stopTimeoutMs = 30_000
/** Every node writes at least once a second while shoppers are busy, so a disk that fails is met soon. */
const failTimeoutMs = 20_000
/** A small disk; a full one has this much less than is on it. */
const diskSizeBytes = 256 * 1024 * 1024
const pageBytes = 4_096
/** A busy node writes every few milliseconds, two commands take about as long: one of a few attempts comes between. */
const fillAttemptsMax = 20
/** 202 should be met often, so nodes do not wait long for a decision. */
const orderWaitMs = 1_000
const logTailLines = 30

export type HostOptions = {
  readonly name: string
  readonly spot: Spot
  readonly directory: string
  readonly secretFile: string
  readonly adminTokenFile: string
  readonly recorder: Recorder
  readonly hasSmallDisk: boolean
  readonly hasOwnClock: boolean
}

export class Host {
  readonly name: string
  readonly url: string
  readonly #options: HostOptions
  #child: ChildProcess | null = null
  #exited: Promise<unknown> = Promise.resolve()
  #isEnding = false
  #strace: ChildProcess | null = null
  condition: NodeCondition = 'dead'

  constructor(options: HostOptions) {
    this.#options = options
    this.name = options.name
    this.url = `http://${options.spot.host}:${options.spot.httpPort}`
  }

  get p2p(): string {
    return `${this.#options.spot.host}:${this.#options.spot.p2pPort}`
  }

  get dataDirectory(): string {
    return join(this.#options.directory, this.name)
  }

  get logFile(): string {
    return join(this.#options.directory, `${this.name}.log`)
  }

  get hasSmallDisk(): boolean {
    return this.#options.hasSmallDisk
  }

  get hasOwnClock(): boolean {
    return this.#options.hasOwnClock
  }

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  set(condition: NodeCondition): void {
    this.condition = condition
    const { recorder } = this.#options
    recorder.add({ type: 'node', node: this.name, condition, atMs: recorder.nowMs() })
  }

  // ---------------------------------------------------------------- starting

  /** Makes the disk: a directory, or a small file system of its own. */
  async format(): Promise<void> {
    mkdirSync(this.dataDirectory, { mode: 0o700, recursive: true })
    if (!this.hasSmallDisk) return
    await command('mount', '-t', 'tmpfs', '-o', `size=${diskSizeBytes},mode=700`, 'tmpfs', this.dataDirectory)
  }

  /** `join`: p2p addresses; none means that it begins the cluster. Ignored by a node that has data. */
  async launch(join: readonly string[]): Promise<void> {
    const { spot, secretFile, adminTokenFile, hasOwnClock } = this.#options
    const http = `${spot.host}:${spot.httpPort}`
    const flags = ['--name', this.name, '--data', this.dataDirectory, '--http', http, '--p2p', this.p2p]
    flags.push('--secret-file', secretFile, '--admin-token-file', adminTokenFile)
    flags.push('--order-wait', `${orderWaitMs}ms`)
    flags.push(...(join.length === 0 ? ['--init'] : ['--join', join.join(',')]))
    const [program = '', ...args] = [...spot.prefix, process.execPath, entry, ...flags]
    this.set('starting')
    this.#isEnding = false
    const log = openSync(this.logFile, 'a', 0o600)
    if (hasOwnClock && !existsSync(this.#clockFile)) writeFileSync(this.#clockFile, '+0s\n')
    const env = { ...process.env, ...(hasOwnClock ? clockEnvironment(this.#clockFile) : {}) }
    const child = spawn(program, args, { stdio: ['ignore', log, log], env })
    closeSync(log)
    this.#child = child
    this.#exited = once(child, 'exit').then((end) => {
      const [code, signal] = end as [number | null, string | null]
      this.#ended(code, signal)
    })
    await once(child, 'spawn')
  }

  #ended(code: number | null, signal: string | null): void {
    const { recorder } = this.#options
    const expected = this.#isEnding
    recorder.add({ type: 'exit', node: this.name, code, signal, expected, atMs: recorder.nowMs() })
    this.#child = null
    if (!expected) this.set('dead')
  }

  /** Waits until it says that it is ready, and then counts as live. Throws when it ends, or is late. */
  async ready(): Promise<void> {
    const deadlineMs = performance.now() + readyTimeoutMs
    while (!(await this.isReady())) {
      if (this.#child === null) throw new Error(`${this.name} ended while starting:\n${this.logTail()}`)
      if (performance.now() > deadlineMs)
        throw new Error(`${this.name} does not get ready:\n${this.logTail()}`)
      await sleep(readyPollMs)
    }
    this.set('live')
  }

  async isReady(): Promise<boolean> {
    const answer = await ask(`${this.url}/readyz`, {})
    return answer.status === 200
  }

  // ---------------------------------------------------------------- ending

  async kill(): Promise<void> {
    this.#isEnding = true
    this.set('dead')
    this.#child?.kill('SIGKILL')
    await this.#exited
  }

  /** SIGTERM. Throws when it does not end in time, or not with success. */
  async stop(): Promise<void> {
    const child = this.#child
    if (child === null) return
    this.#isEnding = true
    this.set('stopping')
    child.kill('SIGTERM')
    const isOver = await Promise.race([this.#exited.then(() => true), sleep(stopTimeoutMs, false)])
    if (!isOver) {
      await this.kill()
      throw new Error(`${this.name} did not end ${stopTimeoutMs / 1_000} s after SIGTERM`)
    }
    this.set('dead')
    if (child.exitCode !== 0)
      throw new Error(`${this.name} stopped with ${child.exitCode}:\n${this.logTail()}`)
  }

  /** Its disk is gone, and what it was with it. */
  async wipe(condition: 'wiped' | 'removed'): Promise<void> {
    this.set(condition)
    if (this.hasSmallDisk && existsSync(this.dataDirectory)) await command('umount', this.dataDirectory)
    rmSync(this.dataDirectory, { recursive: true, force: true })
  }

  // ---------------------------------------------------------------- hurting

  pause(): void {
    this.set('paused')
    this.#child?.kill('SIGSTOP')
  }

  /** Counts as live once it answers again. */
  async resume(): Promise<void> {
    this.#child?.kill('SIGCONT')
    await this.ready()
  }

  /** From now on nothing more fits on its disk. */
  async fillDisk(): Promise<void> {
    this.set('full')
    for (let attempt = 1; ; attempt += 1) {
      const used = Number(
        (await command('df', '--output=used', '-B1', this.dataDirectory)).trim().split('\n')[1],
      )
      const pages = Math.ceil(used / pageBytes) + 1
      try {
        await command('mount', '-o', `remount,size=${pages * pageBytes}`, this.dataDirectory)
        return
      } catch (error) {
        // The node writes meanwhile, and a tmpfs does not become smaller than what is on it.
        if (attempt === fillAttemptsMax) throw error
      }
    }
  }

  async emptyDisk(): Promise<void> {
    await command('mount', '-o', `remount,size=${diskSizeBytes}`, this.dataDirectory)
  }

  /** Every fsync fails from now on; a node whose disk can't be trusted must end (DESIGN.md section 2). */
  async failFsync(): Promise<void> {
    const pid = this.#child?.pid
    if (pid === undefined) return
    this.#isEnding = true
    this.set('failing')
    const strace = spawn('strace', fsyncArguments(pid), { stdio: 'ignore' })
    this.#strace = strace
    const isOver = await Promise.race([this.#exited.then(() => true), sleep(failTimeoutMs, false)])
    strace.kill('SIGTERM')
    this.#strace = null
    if (!isOver) {
      await this.kill()
      throw new Error(`${this.name} goes on although no fsync succeeds`)
    }
    this.set('dead')
  }

  get #clockFile(): string {
    return join(this.#options.directory, `${this.name}.clock`)
  }

  /** Its wall clock is off by so much from now on. */
  setClock(offsetMs: number): void {
    const { recorder } = this.#options
    const seconds = Math.round(offsetMs / 1_000)
    writeFileSync(this.#clockFile, `${seconds < 0 ? '' : '+'}${seconds}s\n`)
    recorder.add({ type: 'clock', node: this.name, offsetMs, atMs: recorder.nowMs() })
  }

  /** Ends everything at once, without a word; for the end of a run that failed. */
  abandon(): void {
    this.#isEnding = true
    this.#strace?.kill('SIGKILL')
    this.#child?.kill('SIGKILL')
  }

  async abandoned(): Promise<void> {
    this.abandon()
    await this.#exited
    if (this.hasSmallDisk && existsSync(this.dataDirectory)) {
      const mounts = readFileSync('/proc/mounts', 'utf8')
      if (mounts.includes(` ${this.dataDirectory} `)) await command('umount', this.dataDirectory)
    }
  }

  logTail(): string {
    if (!existsSync(this.logFile)) return ''
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-logTailLines).join('\n')
  }
}
