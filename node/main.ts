/** One node: flags → wiring → listen. Knows every room; imported by nobody. */
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { createHttp } from '../http/app.ts'
import type { HttpDoor } from '../http/app.ts'
import { isFault } from './faults.ts'
import { UsageError, helpText, parseFlags } from './flags.ts'
import type { NodeFlags } from './flags.ts'
import { parseKeyring } from './keyring.ts'
import type { Keyring } from './keyring.ts'
import { createIdentity, createTransport } from './net/transport.ts'
import type { Logger } from './ports.ts'
import { createReplica } from './replica.ts'
import type { ReplicaNode } from './replica.ts'
import { runRecovery } from './main/recover.ts'
import { openStores } from './store/index.ts'
import type { OpenedStores } from './store/index.ts'
import { openForRecovery } from './store/recovery.ts'
import { systemClock, systemLogger, systemPasswordHasher, systemRandom } from './system.ts'
import type { LogLevel } from './system.ts'

/** Exit codes: 1 the node failed, 2 it was called wrongly. */
const exitFailed = 1
const exitUsage = 2
/** A clean stop that takes longer is cut off: an operator's second signal should not be needed. */
const stopTimeoutMs = 25_000
/** Shorter tokens can be guessed. */
const adminTokenLengthMin = 16
/** How often the share of time this process is busy is measured. */
const loadIntervalMs = 1_000

const version = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version

/** Reads a secret file; the message names the file, never its contents. */
function readSecret(path: string, flag: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new UsageError(
      `--${flag}: ${path} can't be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`,
    )
  }
}

function readAdminToken(path: string): string {
  const token = readSecret(path, 'admin-token-file').trim()
  if (token.length < adminTokenLengthMin) {
    throw new UsageError(`--admin-token-file: ${path} holds fewer than ${adminTokenLengthMin} characters`)
  }
  return token
}

/** Share of time that the event loop was busy lately, in percent. */
function loadMeter(): () => number {
  let last = performance.eventLoopUtilization()
  let percent = 0
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization()
    percent = performance.eventLoopUtilization(now, last).utilization * 100
    last = now
  }, loadIntervalMs)
  timer.unref()
  return () => percent
}

class Node {
  readonly #flags: NodeFlags
  readonly #logger: Logger
  readonly #stores: OpenedStores
  readonly #replica: ReplicaNode
  readonly #door: HttpDoor
  #stopping = false

  constructor(flags: NodeFlags, keyring: Keyring, adminToken: string) {
    this.#flags = flags
    const { settings } = flags
    this.#logger = systemLogger({ level: flags.logLevel as LogLevel, base: { node: settings.node } })
    const clock = systemClock()
    const random = systemRandom()
    this.#stores = openStores(flags.dataDirectory, {
      createIdentity,
      onFailure: (failure) => this.fail(failure, 'a database of this node can’t be trusted any more'),
    })
    const identity = this.#stores.log.identity()
    if (identity.clusterId === null && !settings.init && settings.join.length === 0) {
      throw new UsageError(
        `${flags.dataDirectory} has no cluster's data: --init begins a cluster, --join HOST:PORT joins one`,
      )
    }
    const transport = createTransport({
      identity,
      listen: flags.p2pListen,
      announce: settings.p2p,
      keyring,
      logger: this.#logger,
      clock,
      random,
    })
    this.#replica = createReplica({
      settings,
      clock,
      random,
      transport,
      stores: this.#stores,
      hasher: systemPasswordHasher(),
      logger: this.#logger,
      loadPercent: loadMeter(),
      onFatal: (error) => this.fail(error, 'this node can’t go on'),
    })
    this.#door = createHttp({
      replica: this.#replica.api,
      signer: keyring,
      adminToken,
      logger: this.#logger,
      now: () => Date.now(),
      version,
      secureCookies: settings.publicUrl.startsWith('https:'),
    })
    this.#logger.info(
      { member: identity.memberId, starts: identity.starts, version, runtime: process.version },
      'starting',
    )
  }

  async run(): Promise<void> {
    const { http, settings } = this.#flags
    process.on('SIGTERM', () => void this.stop('SIGTERM'))
    process.on('SIGINT', () => void this.stop('SIGINT'))
    process.on('uncaughtException', (error) => this.fail(error, 'an unexpected error'))
    process.on('unhandledRejection', (error) => this.fail(error, 'an unexpected rejection'))
    await this.#door.listen(http.host, http.port)
    await this.#replica.start()
    this.#logger.info({ http: settings.publicUrl, p2p: settings.p2p }, 'listening')
  }

  /** A clean stop: no failed request up to the moment the listener closes (DESIGN.md section 6, "Drain"). */
  async stop(signal: string): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    this.#logger.info({ signal }, 'stopping')
    const timer = setTimeout(() => this.fail(new Error('stopping took too long'), 'cut off'), stopTimeoutMs)
    try {
      await this.#replica.handOver()
      await this.#door.close()
      await this.#replica.stop()
      this.#stores.close()
      clearTimeout(timer)
      this.#logger.info({}, 'stopped')
      process.exit(0)
    } catch (error) {
      this.fail(error, 'stopping failed')
    }
  }

  /** Says why and ends the process: a node that broke an invariant or lost its disk must not answer any more. */
  fail(error: unknown, what: string): never {
    const reason = error instanceof Error ? error.message : String(error)
    this.#logger.error({ reason, stack: error instanceof Error ? error.stack : undefined }, what)
    process.exit(exitFailed)
  }
}

/** What an operator can mend gets one line, everything else its stack. */
function explain(error: unknown): { text: string; exitCode: number } {
  if (error instanceof UsageError) return { text: `${error.message}\nTry --help.`, exitCode: exitUsage }
  if (isFault(error)) return { text: error.message, exitCode: exitFailed }
  if (!(error instanceof Error)) return { text: String(error), exitCode: exitFailed }
  const code = (error as NodeJS.ErrnoException).code
  const isPlain = error.name === 'StoreFailure' || code === 'EADDRINUSE' || code === 'EACCES'
  return { text: isPlain ? error.message : (error.stack ?? error.message), exitCode: exitFailed }
}

/** Offline: neither ports nor secrets are needed. */
function recoverNode(dataDirectory: string, confirm: string | null): void {
  const stores = openForRecovery(dataDirectory)
  try {
    const logger = systemLogger({ level: 'warn', base: {} })
    process.stdout.write(runRecovery(stores, confirm, { random: systemRandom(), logger }))
  } finally {
    stores.close()
  }
}

async function main(): Promise<void> {
  const parsed = parseFlags(process.argv.slice(2), process.env)
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(helpText())
      return
    case 'version':
      process.stdout.write(`${version}\n`)
      return
    case 'recover':
      recoverNode(parsed.dataDirectory, parsed.confirm)
      return
    case 'run': {
      const { flags } = parsed
      const keyring = parseKeyring(readSecret(flags.secretFile, 'secret-file'))
      await new Node(flags, keyring, readAdminToken(flags.adminTokenFile)).run()
    }
  }
}

try {
  await main()
} catch (error) {
  const { text, exitCode } = explain(error)
  process.stderr.write(`souk: ${text}\n`)
  process.exit(exitCode)
}
