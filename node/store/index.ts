/** The three stores of a node (DESIGN.md section 2): opened together, checked against each other, or refused. */
import { StoreFailure, assert } from '../faults.ts'
import type { ClusterId, MemberId } from '../ids.ts'
import type { Stores } from '../ports.ts'
import type { Connection } from './connection.ts'
import { SqliteLocalStore } from './local-store.ts'
import { SqliteLogStore, createNode } from './log-store.ts'
import { DamagedDatabase } from './open.ts'
import { DirectoryPlace, MemoryPlace, storeNames } from './places.ts'
import type { Place, StoreImages } from './places.ts'
import { SqliteShopStore } from './shop-store.ts'

export { StoreFailure } from '../faults.ts'
export type { StoreImages } from './places.ts'

export type OpenOptions = {
  /** Called once in the life of a node: when there is no database yet. */
  readonly createIdentity: () => { readonly memberId: MemberId; readonly privateKey: Uint8Array }
  /** Data of another cluster is refused. */
  readonly clusterIdExpected?: ClusterId
  /** One of the databases can't be used or trusted any more: the process must end before anything else leaves it. */
  readonly onFailure?: (failure: StoreFailure) => void
}

export type OpenedStores = Stores & {
  /** `shop.db` was missing or damaged and begins empty: applied index 0, to be rebuilt from the log or a snapshot. */
  readonly shopWasRebuilt: boolean
  /** All three databases as bytes: a crash image for `{memory: …}`. Only between transactions, only in memory. */
  image(): { log: Buffer; shop: Buffer; local: Buffer }
  /** Closes all three and lets another process in. */
  close(): void
}

type Connections = { readonly log: Connection; readonly shop: Connection; readonly local: Connection }

const remedy = "wipe this node's directory and let it join the cluster again as a new member"

function createAll(place: Place, options: OpenOptions): Connections {
  place.beginCreation()
  const connections = { local: place.create('local'), shop: place.create('shop'), log: place.create('log') }
  const { memberId, privateKey } = options.createIdentity()
  createNode(connections.log, memberId, privateKey)
  place.endCreation()
  return connections
}

/** Identity and carts can't be had again from anywhere: without them the node is another node. */
function openNeeded(place: Place, name: 'log' | 'local'): Connection {
  if (!place.has(name)) throw new StoreFailure(place.title, `${name}.db is missing; ${remedy}`)
  try {
    return place.open(name)
  } catch (error) {
    if (error instanceof DamagedDatabase)
      throw new StoreFailure(place.title, `${error.message}; ${remedy}`, error)
    throw error
  }
}

/** What applying produced can be produced again. */
function openShop(place: Place): { connection: Connection; wasRebuilt: boolean } {
  if (place.has('shop')) {
    try {
      return { connection: place.open('shop'), wasRebuilt: false }
    } catch (error) {
      if (!(error instanceof DamagedDatabase)) throw error
      place.setAside('shop')
    }
  }
  return { connection: place.create('shop'), wasRebuilt: true }
}

function openExisting(place: Place): Connections & { wasRebuilt: boolean } {
  const opened: Connection[] = []
  try {
    opened.push(openNeeded(place, 'log'), openNeeded(place, 'local'))
    const shop = openShop(place)
    const [log, local] = opened
    assert(log !== undefined && local !== undefined, 'both were opened')
    return { log, local, shop: shop.connection, wasRebuilt: shop.wasRebuilt }
  } catch (error) {
    for (const connection of opened) connection.close()
    throw error
  }
}

/** A crash between setting one file's cluster id and the next one's leaves some without; two different ones are a mix. */
function checkClusterIds(place: Place, connections: Connections, expected: ClusterId | undefined): void {
  const ofNode =
    connections.log.one<{ id: ClusterId | null }>('SELECT cluster_id AS id FROM node')?.id ?? null
  const ofMeta = (connection: Connection): ClusterId | null => {
    const row = connection.one<{ value: string }>("SELECT value FROM meta WHERE key = 'cluster_id'")
    return row === undefined ? null : (JSON.parse(row.value) as ClusterId)
  }
  const ids = { log: ofNode, shop: ofMeta(connections.shop), local: ofMeta(connections.local) }
  const known = new Set(Object.values(ids).filter((id) => id !== null))
  if (known.size > 1)
    throw new StoreFailure(
      place.title,
      `its databases are of different clusters (${storeNames.map((name) => `${name}.db: ${ids[name] ?? 'none'}`).join(', ')}); ${remedy}`,
    )
  if (expected !== undefined && known.size === 1 && !known.has(expected))
    throw new StoreFailure(place.title, `holds data of cluster ${[...known].join()}, not of ${expected}`)
}

/** The log's cluster id is what counts; files that were made or rebuilt later get it. */
function completeClusterIds({ log, shop, local }: Stores): void {
  const clusterId = log.identity().clusterId
  if (clusterId === null) return
  shop.setClusterId(clusterId)
  local.setClusterId(clusterId)
}

function openAt(place: Place, options: OpenOptions): OpenedStores {
  const isNew = !storeNames.some((name) => place.has(name))
  const opened = isNew ? { ...createAll(place, options), wasRebuilt: false } : openExisting(place)
  const connections: Connections = opened
  const closeAll = (): void => {
    for (const name of storeNames) connections[name].close()
  }
  try {
    checkClusterIds(place, connections, options.clusterIdExpected)
    const stores: Stores = {
      log: new SqliteLogStore(connections.log),
      shop: new SqliteShopStore(connections.shop, place.directory),
      local: new SqliteLocalStore(connections.local),
    }
    completeClusterIds(stores)
    if (options.onFailure !== undefined)
      for (const name of storeNames) connections[name].onFailure(options.onFailure)
    return {
      ...stores,
      shopWasRebuilt: opened.wasRebuilt,
      image: () => ({
        log: connections.log.serialize(),
        shop: connections.shop.serialize(),
        local: connections.local.serialize(),
      }),
      close: () => {
        for (const name of storeNames) stores[name].close()
        place.release()
      },
    }
  } catch (error) {
    closeAll()
    throw error
  }
}

/**
 * Opens (or, in an empty place, makes) the three databases of a node and counts this start, on disk. Throws
 * StoreFailure, naming file and remedy, when the node must not start; then nothing was changed.
 */
export function openStores(
  location: string | { readonly memory: Partial<StoreImages> },
  options: OpenOptions,
): OpenedStores {
  const place: Place =
    typeof location === 'string'
      ? new DirectoryPlace(location)
      : new MemoryPlace({ log: undefined, shop: undefined, local: undefined, ...location.memory })
  try {
    return openAt(place, options)
  } catch (error) {
    place.release()
    throw error
  }
}
