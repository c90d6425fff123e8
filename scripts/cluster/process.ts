/**
 * The operating system's view of a node's process. A pid file alone proves nothing: it may be left over,
 * and its number may be another program's by now. So the process's own arguments are read each time.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { codeOf, Failure } from './failure.ts'
import type { NodePlace } from './directory.ts'
import { poll } from './wait.ts'

export type ProcessState =
  | { readonly kind: 'running'; readonly pid: number }
  | { readonly kind: 'paused'; readonly pid: number }
  /** It ended without `stop` or `down`; the pid file is still there. */
  | { readonly kind: 'dead' }
  /** It ended by `stop` or `down`, or was never started. */
  | { readonly kind: 'stopped' }

/** A signal is delivered at once; this covers a machine that is swapping. */
const signalWaitMs = 10_000

/** What the process with the pid file's number is now, if it is this node at all. */
export function processState(place: NodePlace): ProcessState {
  const pid = readPid(place)
  if (pid === null) return { kind: 'stopped' }
  const seen = process.platform === 'linux' ? lookLinux(pid) : lookElsewhere(pid)
  if (seen === null || !isNode(seen.commandLine, place)) return { kind: 'dead' }
  return { kind: seen.paused ? 'paused' : 'running', pid }
}

/** The pid of the live process of this node, or null. */
export function livePid(place: NodePlace): number | null {
  const state = processState(place)
  return 'pid' in state ? state.pid : null
}

type Look = { readonly commandLine: string; readonly paused: boolean }

/** Arguments are compared joined by NUL, as Linux gives them; elsewhere by blanks, as ps does. */
function isNode(commandLine: string, place: NodePlace): boolean {
  const separator = process.platform === 'linux' ? '\0' : ' '
  const needle = ['--name', place.name, '--data', place.directory].join(separator)
  return `${commandLine}${separator}`.includes(`${separator}${needle}${separator}`)
}

function readPid(place: NodePlace): number | null {
  const text = readOrNull(place.pidFile)
  if (text === null) return null
  const pid = Number(text.trim())
  // A damaged pid file still says that the node was started; 0 is no process's number.
  return Number.isInteger(pid) && pid > 0 ? pid : 0
}

function lookLinux(pid: number): Look | null {
  const commandLine = readOrNull(`/proc/${pid}/cmdline`)
  if (commandLine === null) return null
  const threads = threadStates(pid)
  if (threads.length === 0) return null
  return { commandLine, paused: threads.every((state) => state === 'T' || state === 't') }
}

/** One letter a thread (proc(5), "stat"); a process is stopped only when all its threads are. */
function threadStates(pid: number): string[] {
  let threads: string[]
  try {
    threads = readdirSync(`/proc/${pid}/task`)
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
  const states: string[] = []
  for (const thread of threads) {
    const stat = readOrNull(`/proc/${pid}/task/${thread}/stat`)
    // The name in brackets may itself hold brackets and blanks: the state follows the last bracket.
    if (stat !== null) states.push(stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3))
  }
  return states
}

function lookElsewhere(pid: number): Look | null {
  if (pid === 0) return null
  try {
    const text = execFileSync('ps', ['-ww', '-o', 'state=,command=', '-p', String(pid)], { encoding: 'utf8' })
    const [, state = '', commandLine = ''] = /^(\S+)\s+(.*)/s.exec(text.trim()) ?? []
    return state.startsWith('Z') ? null : { commandLine: commandLine.trim(), paused: state.startsWith('T') }
  } catch (error) {
    // ps ends with 1 when there is no such process; anything else is a broken machine.
    if (error instanceof Error && 'status' in error && error.status === 1) return null
    throw error
  }
}

function isGone(error: unknown): boolean {
  return ['ENOENT', 'ESRCH', 'ENOTDIR'].includes(codeOf(error) ?? '')
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isGone(error)) return null
    throw error
  }
}

/** Sends the signal to the node, if it lives. True when it was sent. */
export function signalNode(place: NodePlace, signal: NodeJS.Signals): boolean {
  const pid = livePid(place)
  if (pid === null) return false
  try {
    process.kill(pid, signal)
    return true
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false
    throw new Failure(`can't signal ${place.name} (pid ${pid}): ${codeOf(error) ?? 'unknown error'}`, {
      cause: error,
    })
  }
}

/** True when the process is gone within the time. */
export async function waitGone(place: NodePlace, timeoutMs: number): Promise<boolean> {
  return (await poll(() => (livePid(place) === null ? true : null), timeoutMs)) === true
}

/** SIGKILL, and wait until it is gone. Also for a node that is paused or dead already. Throws Failure. */
export async function killNode(place: NodePlace): Promise<void> {
  signalNode(place, 'SIGKILL')
  if (!(await waitGone(place, signalWaitMs))) throw new Failure(`${place.name} survives SIGKILL`)
}

/** SIGSTOP, and wait until every thread has stopped. Throws Failure when there is nothing to pause. */
export async function pauseNode(place: NodePlace): Promise<void> {
  if (!signalNode(place, 'SIGSTOP')) throw new Failure(`${place.name} is not running`)
  const paused = (): true | null => (processState(place).kind === 'paused' ? true : null)
  if ((await poll(paused, signalWaitMs)) === null) throw new Failure(`${place.name} did not stop on SIGSTOP`)
}
