/** What the launcher asks of running nodes. Every request has a time-out, because a node may hang. */
import { codeOf, Failure, messageOf } from './failure.ts'
import type { NodePlace } from './directory.ts'
import { poll } from './wait.ts'

/** A local node answers in milliseconds; one that takes longer is not ready for shoppers. */
const askTimeoutMs = 1_000
/** An import or a change of membership is one or two log entries, and may wait for an election. */
const changeTimeoutMs = 30_000
/** How long a refusal for the moment (503) is tried again. */
const changeRetryMs = 60_000

/** The parts of GET /api/cluster (API.md) that the launcher needs. */
export type ClusterView = {
  readonly term: number
  readonly primary: string | null
  /** Catalog version of the node that was asked. */
  readonly catalogVersion: number
  readonly members: readonly { readonly node: string; readonly eligible: boolean; readonly voter: boolean }[]
}

/** What stands for "no answer": refused, reset, timed out. A bug in this program is not among them. */
async function ask(url: string, init: RequestInit, timeoutMs: number): Promise<Response | null> {
  try {
    return await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.timeout(timeoutMs) })
  } catch (error) {
    if (isNoAnswer(error)) return null
    throw error
  }
}

function isNoAnswer(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error.name === 'TimeoutError' || (error instanceof TypeError && codeOf(error.cause) !== undefined)
}

export async function isReady(place: NodePlace): Promise<boolean> {
  const answer = await ask(`${place.url}/readyz`, {}, askTimeoutMs)
  await discard(answer)
  return answer?.status === 200
}

async function discard(answer: Response | null): Promise<void> {
  await answer?.body?.cancel()
}

/** How the node sees the cluster, or null when it does not answer sensibly. */
export async function clusterView(place: NodePlace): Promise<ClusterView | null> {
  const answer = await ask(`${place.url}/api/cluster`, {}, askTimeoutMs)
  if (answer?.status !== 200) {
    await discard(answer)
    return null
  }
  try {
    return parseView(await answer.json())
  } catch (error) {
    if (error instanceof SyntaxError || isNoAnswer(error)) return null
    throw error
  }
}

/** Takes only what has the shape of API.md; null for anything else. */
export function parseView(raw: unknown): ClusterView | null {
  if (!isObject(raw) || typeof raw['term'] !== 'number' || !Array.isArray(raw['members'])) return null
  const primary = isObject(raw['primary']) ? raw['primary']['node'] : null
  const members = raw['members'].filter(isObject).map((member) => ({
    node: String(member['node']),
    eligible: member['eligible'] === true,
    voter: member['voter'] === true,
  }))
  const version = isObject(raw['catalog']) ? raw['catalog']['version'] : 0
  return {
    term: raw['term'],
    primary: typeof primary === 'string' ? primary : null,
    catalogVersion: typeof version === 'number' ? version : 0,
    members,
  }
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Loads a CSV through the node, and says how many products it had. Safe to repeat: products are upserted by handle.
 * Throws Failure, also when a product was rejected.
 */
export async function importCsv(place: NodePlace, csv: string, adminToken: string): Promise<number> {
  const headers = { 'content-type': 'text/csv', authorization: `Bearer ${adminToken}` }
  const init = { method: 'POST', headers, body: csv }
  const answer = await change(`import through ${place.name}`, `${place.url}/api/admin/import`, init, [200])
  const result = (await answer.json()) as {
    readonly [count in 'created' | 'updated' | 'unchanged']: number
  } & { readonly rejected: readonly unknown[] }
  if (result.rejected.length > 0)
    throw new Failure(`import through ${place.name} rejected ${JSON.stringify(result.rejected.slice(0, 3))}`)
  return result.created + result.updated + result.unchanged
}

/** Takes the member out of the cluster for good; one that is none any more is fine. Throws Failure. */
export async function removeMember(through: NodePlace, name: string, adminToken: string): Promise<void> {
  const url = `${through.url}/api/admin/cluster/members/${encodeURIComponent(name)}`
  const init = { method: 'DELETE', headers: { authorization: `Bearer ${adminToken}` } }
  await discard(await change(`removal of ${name} through ${through.name}`, url, init, [200, 204, 404]))
}

/**
 * Carts on the node that not every member of their server set has, by its metrics; null when it does not answer. A node
 * that was removed is in nobody's list of members any more, so `GET /api/cluster` says nothing of it.
 */
export async function undeliveredCarts(place: NodePlace): Promise<number | null> {
  const answer = await ask(`${place.url}/metrics`, {}, askTimeoutMs)
  if (answer?.status !== 200) {
    await discard(answer)
    return null
  }
  try {
    const line = /^souk_carts_undelivered (\d+)$/m.exec(await answer.text())
    return line === null ? null : Number(line[1])
  } catch (error) {
    if (isNoAnswer(error)) return null
    throw error
  }
}

/** Sends a change that may be repeated, again on 503, 500, 504 and silence, until it is done or refused. */
async function change(what: string, url: string, init: RequestInit, fine: number[]): Promise<Response> {
  let last = 'no answer'
  const answer = await poll(async () => {
    const got = await ask(url, init, changeTimeoutMs)
    if (got === null) return null
    if (fine.includes(got.status)) return got
    last = `${got.status} ${(await got.text().catch(messageOf)).slice(0, 500)}`
    if (got.status < 500) throw new Failure(`${what} was refused: ${last}`)
    return null
  }, changeRetryMs)
  if (answer === null) throw new Failure(`${what} did not succeed: ${last}`)
  return answer
}
