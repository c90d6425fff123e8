/** What state the cluster is in, and how it is shown: a table for people, JSON for programs. */
import { filesOf, placesOf, type ClusterRecord, type NodePlace } from './directory.ts'
import { clusterView, isReady, type ClusterView } from './http.ts'
import { processState } from './process.ts'

export type StateWord = 'ready' | 'starting' | 'paused' | 'stopped' | 'dead'
export type Role = 'primary' | 'voter' | 'member' | 'not admitted' | 'unknown'

export type NodeStatus = {
  readonly place: NodePlace
  readonly pid: number | null
  readonly state: StateWord
  readonly view: ClusterView | null
}

export type ClusterStatus = {
  readonly nodes: readonly NodeStatus[]
  /** The newest view that any ready node has, or null when none is ready. */
  readonly view: ClusterView | null
  readonly primary: string | null
}

/** Voters wanted for a number of eligible members (DESIGN.md section 3, "Voters"). */
export function votersTarget(eligible: number): number {
  if (eligible < 3) return Math.min(eligible, 1)
  return eligible < 5 ? 3 : 5
}

/** Looks at all nodes at once; a node that hangs costs no more than the time-out of one request. */
export async function clusterStatus(directory: string, record: ClusterRecord): Promise<ClusterStatus> {
  const nodes = await Promise.all(placesOf(directory, record).map(nodeStatus))
  return { nodes, ...judge(nodes) }
}

async function nodeStatus(place: NodePlace): Promise<NodeStatus> {
  const process = processState(place)
  if (process.kind !== 'running') {
    return { place, pid: 'pid' in process ? process.pid : null, state: process.kind, view: null }
  }
  const [ready, view] = await Promise.all([isReady(place), clusterView(place)])
  return { place, pid: process.pid, state: ready ? 'ready' : 'starting', view: ready ? view : null }
}

/**
 * The newest view wins: the highest term, and in it one that knows the primary. A primary whose process
 * does not run is none, even while the others have not noticed yet.
 */
export function judge(nodes: readonly NodeStatus[]): Pick<ClusterStatus, 'view' | 'primary'> {
  let best: ClusterView | null = null
  for (const { view } of nodes) {
    if (view === null) continue
    const newer = best === null || view.term > best.term
    if (newer || (view.term === best?.term && best.primary === null)) best = view
  }
  const runs = nodes.some(
    ({ place, state }) => place.name === best?.primary && (state === 'ready' || state === 'starting'),
  )
  return { view: best, primary: runs ? (best?.primary ?? null) : null }
}

function roleOf(status: ClusterStatus, name: string): Role {
  if (status.primary === name) return 'primary'
  if (status.view === null) return 'unknown'
  const member = status.view.members.find(({ node }) => node === name)
  if (member === undefined) return 'not admitted'
  return member.voter ? 'voter' : 'member'
}

/** Exactly what the README promises to programs. */
export function statusJson(directory: string, status: ClusterStatus): string {
  return JSON.stringify({
    nodes: status.nodes.map(({ place, pid, state }) => ({ node: place.name, url: place.url, pid, state })),
    primary: status.primary,
    adminTokenFile: filesOf(directory).adminToken,
  })
}

export function statusTable(directory: string, status: ClusterStatus): string {
  const rows = status.nodes.map(({ place, pid, state }) => [
    place.name,
    place.url,
    pid === null ? '-' : String(pid),
    roleOf(status, place.name),
    state,
  ])
  const all = [['NODE', 'URL', 'PID', 'ROLE', 'STATE'], ...rows]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const lines = all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
  return [
    ...lines,
    `admin token: ${filesOf(directory).adminToken}`,
    'pages at every URL: / shop, /cluster operations console, /admin back office, /docs HTTP interface',
  ].join('\n')
}
