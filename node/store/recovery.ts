/**
 * Opens a survivor's directory for `--recover` and makes its three databases those of another cluster. All or nothing
 * across the files: a marker with the new cluster id is on disk before the first of them changes and until the last one
 * has, no node starts while it is there, and each step is one transaction that is skipped when it was done.
 */
import { StoreFailure, assert } from '../faults.ts'
import type { ClusterId, LogIndex, MemberId, Term } from '../ids.ts'
import type { MemberRecord } from '../commands.ts'
import type { RaftConfig, Stores } from '../ports.ts'
import type { Connection } from './connection.ts'
import { SqliteLocalStore } from './local-store.ts'
import { SqliteLogStore } from './log-store.ts'
import { DirectoryPlace } from './places.ts'
import type { RecoveryMarker, StoreName } from './places.ts'
import { SqliteShopStore } from './shop-store.ts'

/** Where the new cluster's log begins. */
export type Beginning = { readonly index: LogIndex; readonly term: Term; readonly config: RaftConfig }

export type RecoveryStores = Stores & {
  /** The recovery that was begun here and not finished. */
  marker(): RecoveryMarker | null
  /** From here on no node starts in this directory until `finish`. */
  begin(marker: RecoveryMarker): void
  /** The cluster id that a file holds now. */
  clusterIdOf(name: StoreName): ClusterId | null
  count(what: 'orders' | 'accounts' | 'carts' | 'outbox'): number
  /** `shop.db`: the only member, everything applied through `beginning`. */
  rebindShop(clusterId: ClusterId, member: MemberRecord, beginning: Beginning): void
  /** `local.db`: this node is home of every user whose cart it has. */
  rebindLocal(clusterId: ClusterId, member: MemberId): void
  /** `log.db`: an empty log behind `beginning`; what peers said of the old cluster is forgotten. Last: it is what counts. */
  rebindLog(clusterId: ClusterId, beginning: Beginning): void
  finish(): void
  close(): void
}

/** Throws StoreFailure when the directory holds no node, is damaged, or a node is running in it. */
export function openForRecovery(directory: string): RecoveryStores {
  const place = new DirectoryPlace(directory, { forRecovery: true })
  const opened: Connection[] = []
  try {
    const [log, local, shop] = (['log', 'local', 'shop'] as const).map((name) => {
      if (!place.has(name))
        throw new StoreFailure(
          directory,
          `${name}.db is missing: this node is no survivor; recover another one`,
        )
      const connection = place.open(name)
      opened.push(connection)
      return connection
    })
    assert(log !== undefined && local !== undefined && shop !== undefined, 'three were opened')
    return recoveryStores(place, { log, local, shop })
  } catch (error) {
    for (const connection of opened) connection.close()
    place.release()
    throw error
  }
}

type Connections = { readonly [N in StoreName]: Connection }

function setClusterId(connection: Connection, clusterId: ClusterId): void {
  const sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('cluster_id', ?)"
  connection.run(sql, JSON.stringify(clusterId))
}

function clusterIdOf(connections: Connections, name: StoreName): ClusterId | null {
  if (name === 'log')
    return connections.log.one<{ id: ClusterId | null }>('SELECT cluster_id AS id FROM node')?.id ?? null
  const sql = "SELECT value FROM meta WHERE key = 'cluster_id'"
  const row = connections[name].one<{ value: string }>(sql)
  return row === undefined ? null : (JSON.parse(row.value) as ClusterId)
}

function rebindLocal(local: Connection, clusterId: ClusterId, member: MemberId): void {
  local.transaction(() => {
    // What is held in passing is this node's now: there is nobody else to bring it to.
    local.run("UPDATE carts SET held = 'set', delivered = '{}', synced_hash = NULL")
    local.run("UPDATE sessions SET epoch = epoch + 1, home = ?, previous_members = '[]'", member)
    setClusterId(local, clusterId)
  })
}

function rebindLog(log: Connection, clusterId: ClusterId, { index, term, config }: Beginning): void {
  log.transaction(() => {
    log.run('DELETE FROM entries')
    log.run('DELETE FROM peer_starts')
    log.run(
      `UPDATE node SET cluster_id = ?, term = ?, vote = NULL,
       snapshot_index = ?, snapshot_term = ?, snapshot_config = ?`,
      clusterId,
      term,
      index,
      term,
      JSON.stringify(config),
    )
  })
}

function rebindShop(
  { shop, connection }: { shop: SqliteShopStore; connection: Connection },
  clusterId: ClusterId,
  member: MemberRecord,
  beginning: Beginning,
): void {
  shop.transaction((tables) => {
    for (const { id } of tables.members()) if (id !== member.id) tables.removeMember(id)
    tables.putMember(member)
    tables.setMembersVersion(beginning.index)
    shop.setFeed('log')
    shop.setApplied(beginning)
    setClusterId(connection, clusterId)
  })
}

function recoveryStores(place: DirectoryPlace, connections: Connections): RecoveryStores {
  const shop = new SqliteShopStore(connections.shop, place.directory)
  const count = (connection: Connection, table: string): number =>
    connection.one<{ count: number }>(`SELECT count(*) AS count FROM ${table}`)?.count ?? 0
  return {
    log: new SqliteLogStore(connections.log),
    shop,
    local: new SqliteLocalStore(connections.local),
    marker: () => place.recoveryMarker(),
    begin: (marker) => place.beginRecovery(marker),
    clusterIdOf: (name) => clusterIdOf(connections, name),
    count: (what) =>
      what === 'orders' || what === 'accounts'
        ? count(connections.shop, what)
        : count(connections.local, what),
    rebindShop: (clusterId, member, beginning) =>
      rebindShop({ shop, connection: connections.shop }, clusterId, member, beginning),
    rebindLocal: (clusterId, member) => rebindLocal(connections.local, clusterId, member),
    rebindLog: (clusterId, beginning) => rebindLog(connections.log, clusterId, beginning),
    finish: () => place.endRecovery(),
    close: () => {
      for (const connection of Object.values(connections)) connection.close()
      place.release()
    },
  }
}
