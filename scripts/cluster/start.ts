/** Starting node processes, and waiting until they are ready. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { filesOf, hasData, placesOf, type ClusterRecord, type NodePlace } from './directory.ts'
import { codeOf, Failure, progress } from './failure.ts'
import { isReady } from './http.ts'
import { livePid, processState, signalNode } from './process.ts'
import { mapBounded, poll } from './wait.ts'

/** Issue 2: `start`, `resume` and `add` give up after this. */
export const readyWaitMs = 30_000
/** At `up` many nodes share the cores; the last of 25 may take its time. */
export const readyWaitUpMs = 90_000
/** More starts at once only make each of them slower, on the 2 cores that are the reference. */
const startsAtOnce = 4
/** A node may need the others in order to get ready, so none holds its place among the starting for longer. */
const startSlotMs = 8_000
/** A log that has outgrown this is set aside at the next start, with one predecessor kept. */
const logSizeMaxBytes = 16 * 1024 * 1024
/** Enough to show why a node ended, without a page of JSON. */
const logTailLines = 20
const logTailBytes = 64 * 1024

/** The program that a node runs. SOUK_NODE_ENTRY puts a stand-in there; it exists for the launcher's own tests. */
export function nodeEntry(): string {
  return process.env['SOUK_NODE_ENTRY'] ?? fileURLToPath(new URL('../../node/main.ts', import.meta.url))
}

/**
 * True when this start may begin the cluster: n1, which has never been ready, and nobody else has a
 * directory. Once it was ready others may have joined it, so an emptied n1 has to join them instead.
 */
export function mayInitialise(
  record: ClusterRecord,
  place: NodePlace,
  others: readonly NodePlace[],
): boolean {
  return place.index === 1 && !record.initialised && others.every(({ directory }) => !existsSync(directory))
}

/** The node's arguments. `--join` is ignored by a node that is a member already. Throws Failure when it can't join. */
export function nodeArguments(directory: string, record: ClusterRecord, place: NodePlace): string[] {
  const files = filesOf(directory)
  const others = placesOf(directory, record).filter(({ index }) => index !== place.index)
  const flags = ['--name', place.name, '--data', place.directory]
  flags.push('--http', `127.0.0.1:${place.httpPort}`, '--p2p', `127.0.0.1:${place.p2pPort}`)
  flags.push('--public-url', place.url, '--secret-file', files.secret, '--admin-token-file', files.adminToken)
  if (mayInitialise(record, place, others)) flags.push('--init')
  else if (others.length > 0)
    flags.push('--join', others.map(({ p2pPort }) => `127.0.0.1:${p2pPort}`).join(','))
  else if (!hasData(place)) {
    throw new Failure(
      `${place.name} has no data and nobody to join: the cluster is lost; begin anew: up --fresh`,
    )
  }
  if (!place.eligible) flags.push('--not-eligible')
  return flags
}

/**
 * Makes the node's process run: continues a paused one, starts one that is down. It lives in its own
 * session, with no descriptor but its log, so that it outlives the terminal and the caller's pipes.
 */
export async function launch(directory: string, record: ClusterRecord, place: NodePlace): Promise<void> {
  const state = processState(place)
  if (state.kind === 'running') return
  if (state.kind === 'paused') {
    progress(`${place.name} is paused; continuing it`)
    signalNode(place, 'SIGCONT')
    return
  }
  const flags = nodeArguments(directory, record, place)
  mkdirSync(place.directory, { recursive: true, mode: 0o700 })
  rotateLog(place)
  const log = openSync(place.logFile, 'a', 0o600)
  try {
    const child = spawn(process.execPath, [nodeEntry(), ...flags], {
      cwd: dirname(place.directory),
      detached: true,
      stdio: ['ignore', log, log],
      env: nodeEnvironment(),
    })
    await once(child, 'spawn')
    child.unref()
    writeFileSync(place.pidFile, `${child.pid}\n`, { mode: 0o600 })
    progress(`started ${place.name} (pid ${child.pid}) at ${place.url}`)
  } finally {
    closeSync(log)
  }
}

/** Flags can also be given by environment; what the operator's shell has there is not meant for every node. */
function nodeEnvironment(): NodeJS.ProcessEnv {
  const own = /^SOUK_(NAME|DATA|HTTP|P2P|PUBLIC_URL|SECRET_FILE|ADMIN_TOKEN_FILE|INIT|JOIN|NOT_ELIGIBLE)$/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)))
}

function rotateLog(place: NodePlace): void {
  try {
    if (statSync(place.logFile).size > logSizeMaxBytes) renameSync(place.logFile, `${place.logFile}.1`)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}

/** True when ready within the time; false when it is late. Throws Failure at once when the process ends. */
async function readyWithin(place: NodePlace, timeoutMs: number): Promise<boolean> {
  const ready = await poll(async () => {
    if (livePid(place) === null) throw new Failure(`${place.name} ended while starting:\n${logTail(place)}`)
    return (await isReady(place)) ? true : null
  }, timeoutMs)
  return ready === true
}

/** Throws Failure when the node is not ready in time. */
export async function waitReady(place: NodePlace, timeoutMs: number): Promise<void> {
  if (await readyWithin(place, timeoutMs)) return
  throw new Failure(`${place.name} is not ready after ${timeoutMs / 1000} s:\n${logTail(place)}`)
}

function logTail(place: NodePlace): string {
  const text = existsSync(place.logFile) ? readFileSync(place.logFile, 'utf8').slice(-logTailBytes) : ''
  const lines = text.trimEnd().split('\n').slice(-logTailLines)
  return [...lines, `see ${place.logFile}`].map((line) => `  ${line}`).join('\n')
}

/** Starts all of them, a few at a time: first those that know the cluster already, then those that join. */
export async function launchAll(
  directory: string,
  record: ClusterRecord,
  places: readonly NodePlace[],
): Promise<void> {
  for (const joins of [false, true]) {
    const group = places.filter((place) => hasData(place) !== joins)
    await mapBounded(group, startsAtOnce, async (place) => {
      await launch(directory, record, place)
      await readyWithin(place, startSlotMs)
    })
  }
}
