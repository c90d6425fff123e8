/** The verb `up`: from nothing, or from whatever is there, to a complete cluster. */
import { existsSync, readFileSync } from 'node:fs'
import {
  claimDirectory,
  deleteData,
  ensureSecrets,
  newRecord,
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
import { clusterView, importCsv, type ClusterView } from './http.ts'
import { withLock } from './lock.ts'
import type { Options } from './options.ts'
import { checkPorts } from './ports.ts'
import { killNode, livePid } from './process.ts'
import { launch, launchAll, mayInitialise, readyWaitUpMs, waitReady } from './start.ts'
import { clusterStatus, votersTarget } from './status.ts'
import { poll } from './wait.ts'

/** Each change of the voters is an entry or two; the rest of the time is for catching up with the catalog. */
const votersWaitMs = 90_000
const sampleCatalog = new URL('../data/sample-catalog.csv', import.meta.url)

/** Throws Failure when the cluster is not complete in the end; what runs by then goes on running. */
export async function up(options: Options, count: number): Promise<void> {
  // An unreadable directory or record must stop this before anything is made.
  claimDirectory(resolveDirectory(options.data))
  const directory = resolveDirectory(options.data)
  const record = await withLock(directory, () => startAll(directory, options, count))
  const places = placesOf(directory, record)
  await Promise.all(places.map((place) => waitReady(place, readyWaitUpMs)))
  await waitVoters(directory, record)
  if (record.sample !== 'wanted') return
  await withLock(directory, () => loadSample(directory))
  await waitSameCatalog(places)
}

/** Everybody has what was imported, so that the table that follows shows nobody still catching up. */
async function waitSameCatalog(places: readonly NodePlace[]): Promise<void> {
  await poll(async () => {
    const views = await Promise.all(places.map(clusterView))
    const versions = new Set(views.map((view) => view?.catalogVersion ?? -1))
    return versions.size === 1 && !versions.has(-1) ? true : null
  }, readyWaitUpMs)
  await Promise.all(places.map((place) => waitReady(place, readyWaitUpMs)))
}

async function startAll(directory: string, options: Options, count: number): Promise<ClusterRecord> {
  // A cluster that begins anew stays where its users look for it.
  const basePort = options.basePort ?? readRecord(directory)?.basePort ?? null
  if (options.fresh) await deleteCluster(directory)
  const before = withAsked(directory, readRecord(directory) ?? newRecord({ ...options, basePort }), options)
  let record = withMoreNodes(before, Math.max(0, count - before.nodes.length))
  const down = placesOf(directory, record).filter((place) => livePid(place) === null)
  await checkPorts(down)
  ensureSecrets(directory, placesOf(directory, record))
  writeRecord(directory, record)
  const first = placesOf(directory, record).find(({ index }) => index === 1)
  if (!record.initialised && first !== undefined) record = await initialise(directory, record, first)
  await launchAll(directory, record, placesOf(directory, record))
  return record
}

/** Starts n1 alone and remembers that it was ready: only then can others have joined it. */
async function initialise(
  directory: string,
  record: ClusterRecord,
  first: NodePlace,
): Promise<ClusterRecord> {
  const others = placesOf(directory, record).filter(({ index }) => index !== 1)
  if (!mayInitialise(record, first, others)) return record
  await launch(directory, record, first)
  await waitReady(first, readyWaitUpMs)
  const after = { ...record, initialised: true }
  writeRecord(directory, after)
  return after
}

async function deleteCluster(directory: string): Promise<void> {
  const record = readRecord(directory)
  if (record !== null) {
    progress(`deleting the cluster in ${directory}`)
    await Promise.all(placesOf(directory, record).map(killNode))
  }
  deleteData(directory)
}

/** What nodes have to agree on: members that live on gossip hear of the last new voter a moment after the others. */
function beliefs({ term, primary, members }: ClusterView): string {
  const voters = members.filter(({ voter }) => voter).map(({ node }) => node)
  const names = members.map(({ node }) => node)
  return JSON.stringify([term, primary, voters.sort(), names.sort()])
}

/** Every node admitted, as many voters as their number asks for, and a primary; and every node knows all of it. */
async function waitVoters(directory: string, record: ClusterRecord): Promise<void> {
  let seen = 'no node answers'
  const complete = await poll(async () => {
    const { view, primary, nodes } = await clusterStatus(directory, record)
    if (view === null) return null
    const names = placesOf(directory, record).map(({ name }) => name)
    const missing = names.filter((name) => !view.members.some(({ node }) => node === name))
    const voters = view.members.filter(({ voter }) => voter).length
    const target = votersTarget(view.members.filter(({ eligible }) => eligible).length)
    seen = `${voters} of ${target} voters, primary ${primary ?? 'none'}`
    if (missing.length > 0) seen += `, not admitted: ${missing.join(' ')}`
    const unaware = nodes.filter((node) => node.view === null || beliefs(node.view) !== beliefs(view))
    if (unaware.length > 0) seen += `, not known yet to ${unaware.map(({ place }) => place.name).join(' ')}`
    const whole = missing.length === 0 && voters >= target && primary !== null
    return whole && unaware.length === 0 ? true : null
  }, votersWaitMs)
  if (complete === null)
    throw new Failure(`the cluster is not complete after ${votersWaitMs / 1000} s: ${seen}`)
}

/** Done once in a cluster's life; the record is read again because another `up` may have done it. */
async function loadSample(directory: string): Promise<void> {
  const record = readRecord(directory)
  if (record?.sample !== 'wanted') return
  if (!existsSync(sampleCatalog)) throw new Failure(`the sample catalog ${sampleCatalog.pathname} is missing`)
  const through = (await clusterStatus(directory, record)).nodes.find(({ state }) => state === 'ready')
  if (through === undefined) throw new Failure('no node is ready to take the sample catalog')
  const token = readAdminToken(directory)
  const count = await importCsv(through.place, readFileSync(sampleCatalog, 'utf8'), token)
  progress(`sample catalog loaded: ${count} products`)
  writeRecord(directory, { ...record, sample: 'loaded' })
}
