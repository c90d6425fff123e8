/** The verbs that look after an existing cluster. Each returns when it is done, or throws Failure. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import {
  placeOf,
  placesOf,
  readAdminToken,
  readRecord,
  resolveDirectory,
  withAsked,
  withMoreNodes,
  writeRecord,
  type ClusterRecord,
  type NodePlace,
} from './directory.ts'
import { Failure, progress } from './failure.ts'
import { removeMember, undeliveredCarts } from './http.ts'
import { withLock } from './lock.ts'
import type { NodeVerb, Options } from './options.ts'
import { checkPorts } from './ports.ts'
import { killNode, livePid, pauseNode, signalNode, waitGone } from './process.ts'
import { launch, readyWaitMs, waitReady } from './start.ts'
import { clusterStatus } from './status.ts'
import { poll } from './wait.ts'

/** A clean stop hands over the lease and the users; what takes longer than this hangs. */
const stopWaitMs = 30_000
/** A node that was removed brings its carts to those that have their users now: the next turn of its syncing, and some. */
const handedOverWaitMs = 15_000

type Target = { readonly directory: string; readonly record: ClusterRecord; readonly place: NodePlace }

/** The cluster in DIR. Throws Failure when there is none, or it is another than the one asked for. */
export function openCluster(options: Options): { directory: string; record: ClusterRecord } {
  const directory = resolveDirectory(options.data)
  const record = readRecord(directory)
  if (record === null)
    throw new Failure(`there is no cluster in ${directory}; make one: launch-cluster.sh up`)
  return { directory, record: withAsked(directory, record, options) }
}

function openNode(options: Options, name: string): Target {
  const { directory, record } = openCluster(options)
  const place = placesOf(directory, record).find((candidate) => candidate.name === name)
  if (place !== undefined) return { directory, record, place }
  const names = record.nodes.map((index) => `n${index}`).join(' ')
  throw new Failure(`there is no node ${name} in ${directory}; it has ${names}`)
}

export async function runNodeVerb(options: Options, verb: NodeVerb, name: string): Promise<void> {
  const target = openNode(options, name)
  const { directory, place } = target
  switch (verb) {
    case 'start':
      await withLock(directory, () => start(target))
      return waitReady(place, readyWaitMs)
    case 'resume':
      if (!signalNode(place, 'SIGCONT')) throw new Failure(`${name} is not running; use start`)
      return waitReady(place, readyWaitMs)
    case 'stop':
      return stop(place)
    case 'kill':
      return killNode(place)
    case 'pause':
      return pauseNode(place)
    case 'wipe':
      return withLock(directory, () => wipe(target))
    case 'remove':
      return remove(options, target)
    case 'logs':
      return showLog(place, options)
    default: {
      const never: never = verb
      return never
    }
  }
}

async function start({ directory, record, place }: Target): Promise<void> {
  if (livePid(place) === null) await checkPorts([place])
  await launch(directory, record, place)
}

/**
 * SIGTERM, and SIGCONT so that a paused node hears it. One that does not end in time is killed, because
 * an operator who stops a node wants it gone; a kill loses nothing (DESIGN.md section 9), but is reported.
 */
async function stop(place: NodePlace): Promise<void> {
  if (signalNode(place, 'SIGTERM')) {
    signalNode(place, 'SIGCONT')
    if (!(await waitGone(place, stopWaitMs))) {
      await killNode(place)
      throw new Failure(`${place.name} did not stop within ${stopWaitMs / 1000} s and was killed`)
    }
    progress(`${place.name} stopped`)
    // Without the pid file the node counts as stopped; with it, as dead. Somebody may have started it again.
    if (livePid(place) === null) rmSync(place.pidFile, { force: true })
  }
}

async function wipe({ directory, record, place }: Target): Promise<void> {
  const { view } = await clusterStatus(directory, record)
  const voters = view?.members.filter(({ voter }) => voter) ?? []
  await killNode(place)
  if (voters.length === 1 && voters[0]?.node === place.name) {
    progress(
      `${place.name} was the only voter: catalog, orders and accounts are gone with its disk; begin anew: up --fresh`,
    )
  }
  rmSync(place.directory, { recursive: true, force: true })
  // The empty directory stays: it says that this cluster has begun, and n1 must join like everyone.
  mkdirSync(place.directory, { mode: 0o700 })
}

/** Throws Failure when a node hangs; the others are stopped nevertheless. */
export async function down(options: Options): Promise<void> {
  const { directory, record } = openCluster(options)
  const ends = await withLock(directory, () => Promise.allSettled(placesOf(directory, record).map(stop)))
  const failures = ends.flatMap((end) =>
    end.status === 'rejected' ? [String((end.reason as Error).message)] : [],
  )
  if (failures.length > 0) throw new Failure(failures.join('\n  '))
}

export async function add(options: Options): Promise<void> {
  const directory = openCluster(options).directory
  const place = await withLock(directory, async () => {
    const { record: before } = openCluster(options)
    if (!placesOf(directory, before).some((other) => livePid(other) !== null)) {
      throw new Failure('no node is running that a new one could join; use up first')
    }
    const record = withMoreNodes(before, 1)
    const added = placeOf(directory, record, before.nextIndex)
    await checkPorts([added])
    writeRecord(directory, record)
    await launch(directory, record, added)
    return added
  })
  await waitReady(place, readyWaitMs)
}

/** Out of the cluster first, so that nobody counts on it any more, then off the disk. */
async function remove(options: Options, { directory, record, place }: Target): Promise<void> {
  if (record.nodes.length === 1) throw new Failure(`${place.name} is the only node; use down, or up --fresh`)
  const ready = (await clusterStatus(directory, record)).nodes.filter(({ state }) => state === 'ready')
  const through = ready.find((node) => node.place.index !== place.index)
  if (through === undefined)
    throw new Failure(`no other node is ready to take ${place.name} out of the cluster`)
  await removeMember(through.place, place.name, readAdminToken(directory))
  await handedOver(place)
  await withLock(directory, async () => {
    await stop(place)
    for (const path of [place.directory, place.logFile, `${place.logFile}.1`, place.pidFile]) {
      rmSync(path, { recursive: true, force: true })
    }
    const now = openCluster(options).record
    writeRecord(directory, { ...now, nodes: now.nodes.filter((index) => index !== place.index) })
  })
}

/** What is on the disk of a removed node alone would go with its directory. */
async function handedOver(place: NodePlace): Promise<void> {
  let left = 0
  const isDone = await poll(async () => {
    const undelivered = await undeliveredCarts(place)
    left = undelivered ?? left
    // One that does not answer was dead before, and others have looked after its carts since.
    return undelivered === null || undelivered === 0 ? true : null
  }, handedOverWaitMs)
  if (isDone === null)
    progress(`${place.name} could not hand over ${left} carts to the others; it is stopped all the same`)
}

/** The log to standard output; with --json that belongs to the JSON, so it goes to standard error. */
async function showLog(place: NodePlace, options: Options): Promise<void> {
  if (!existsSync(place.logFile)) throw new Failure(`${place.name} has no log yet`)
  const follow = options.follow ? ['-F'] : []
  const output = options.json ? 2 : 1
  const child = spawn('tail', ['-n', '+1', ...follow, '--', place.logFile], { stdio: ['ignore', output, 2] })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0 && code !== null) throw new Failure(`can't read ${place.logFile}`)
}
