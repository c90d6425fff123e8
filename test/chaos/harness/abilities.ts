/** What this machine lets a run do to nodes beyond signals: each is tried once at the start, and the summary says so. */
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
/** Each of these takes milliseconds; a machine that is swapping may take longer. */
const commandTimeoutMs = 20_000

export const abilityNames = ['partitions', 'small disks', 'failing fsync', 'clock jumps'] as const
export type AbilityName = (typeof abilityNames)[number]
export type Ability = { readonly available: boolean; readonly why: string }
export type Abilities = { readonly [Name in AbilityName]: Ability }

/** Where distributions put it. */
const clockLibraries = ['x86_64-linux-gnu', 'aarch64-linux-gnu', '']
  .flatMap((triplet) => [join('/usr/lib', triplet, 'faketime'), join('/usr/local/lib', triplet, 'faketime')])
  .map((directory) => join(directory, 'libfaketimeMT.so.1'))

/** Runs a command to its end. Throws with what it printed when it fails. */
export async function command(name: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(name, args, { timeout: commandTimeoutMs })
  return stdout
}

/** Runs a command that reads this text from its standard input. */
export async function feed(text: string, name: string, ...args: string[]): Promise<void> {
  const child = spawn(name, args, { stdio: ['pipe', 'ignore', 'pipe'], timeout: commandTimeoutMs })
  const words: string[] = []
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => words.push(chunk))
  child.stdin.end(text)
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`${name} ${args.join(' ')} ended with ${code}: ${words.join('')}`)
}

async function tried(attempt: () => Promise<string>): Promise<Ability> {
  try {
    return { available: true, why: await attempt() }
  } catch (error) {
    const words = error instanceof Error ? error.message.trim().split('\n').at(-1) : String(error)
    return { available: false, why: words ?? '' }
  }
}

async function tryNamespaces(): Promise<string> {
  const name = `souk-try-${process.pid}`
  await command('ip', 'netns', 'add', name)
  try {
    await command(
      'ip',
      'link',
      'add',
      `st${process.pid}`,
      'type',
      'veth',
      'peer',
      'name',
      'inside',
      'netns',
      name,
    )
    await feed('add table inet souk\n', 'ip', 'netns', 'exec', name, 'nft', '-f', '-')
    const bridge = `sb${process.pid}`
    await command('ip', 'link', 'add', bridge, 'type', 'bridge')
    await command('ip', 'link', 'del', bridge)
  } finally {
    await command('ip', 'netns', 'del', name)
  }
  return 'network namespaces, veth and nft'
}

async function trySmallDisk(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'souk-disk-'))
  try {
    await command('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory)
    await command('mount', '-o', 'remount,size=2m', directory)
    await command('umount', directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  return 'tmpfs'
}

/** Attaches to a process of our own, as it will to a node. */
async function tryFsync(): Promise<string> {
  const child = spawn('sleep', ['20'], { stdio: 'ignore' })
  await once(child, 'spawn')
  try {
    const strace = spawn('strace', fsyncArguments(child.pid ?? 0), { stdio: ['ignore', 'ignore', 'pipe'] })
    const words: string[] = []
    strace.stderr.setEncoding('utf8').on('data', (chunk: string) => words.push(chunk))
    const ended = once(strace, 'close')
    const attached = once(strace.stderr, 'data')
    await Promise.race([attached, ended])
    strace.kill('SIGTERM')
    await ended
    if (!words.join('').includes('attached')) throw new Error(words.join('') || 'strace says nothing')
  } finally {
    child.kill('SIGKILL')
  }
  return 'strace'
}

/** What makes every fsync of a running process fail. */
export function fsyncArguments(pid: number): string[] {
  const calls = 'fsync,fdatasync'
  return ['-f', '-p', String(pid), '-e', `trace=${calls}`, '-e', `inject=${calls}:error=EIO`]
}

/** Environment of a process whose wall clock is off by what the file says; the monotonic clock is left alone. */
export function clockEnvironment(file: string): NodeJS.ProcessEnv {
  const library = clockLibraries.find((path) => existsSync(path))
  if (library === undefined) return {}
  return {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    // Read again often enough that a jump is seen at once, and not at every look at the clock.
    FAKETIME_CACHE_DURATION: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
    FAKETIME_DISABLE_SHM: '1',
    NO_FAKE_STAT: '1',
  }
}

async function tryClock(): Promise<string> {
  const library = clockLibraries.find((path) => existsSync(path))
  if (library === undefined) throw new Error('libfaketime is not installed')
  const directory = mkdtempSync(join(tmpdir(), 'souk-clock-'))
  const file = join(directory, 'clock')
  writeFileSync(file, '+3600s\n')
  const env = { ...process.env, ...clockEnvironment(file) }
  const script = 'console.log(Date.now(), process.hrtime.bigint() / 1000000n)'
  const { stdout } = await run(process.execPath, ['-e', script], { env, timeout: commandTimeoutMs })
  rmSync(directory, { recursive: true, force: true })
  const [wall, monotonic] = stdout.trim().replace('n', '').split(' ').map(Number)
  const own = Number(process.hrtime.bigint() / 1_000_000n)
  const isOff = Math.abs((wall ?? 0) - Date.now() - 3_600_000) < 60_000
  const isLeft = Math.abs((monotonic ?? 0) - own) < 60_000
  if (!isOff || !isLeft) throw new Error('libfaketime does not do what it should with this Node')
  return 'libfaketime'
}

/** Tries everything that needs more than signals. */
export async function probeAbilities(wanted: (name: AbilityName) => boolean): Promise<Abilities> {
  const attempts: { [Name in AbilityName]: () => Promise<string> } = {
    partitions: tryNamespaces,
    'small disks': trySmallDisk,
    'failing fsync': tryFsync,
    'clock jumps': tryClock,
  }
  const one = async (name: AbilityName): Promise<Ability> => {
    if (!wanted(name)) return { available: false, why: 'not asked for' }
    if (process.platform !== 'linux') return { available: false, why: 'only on Linux' }
    return await tried(attempts[name])
  }
  return {
    partitions: await one('partitions'),
    'small disks': await one('small disks'),
    'failing fsync': await one('failing fsync'),
    'clock jumps': await one('clock jumps'),
  }
}
