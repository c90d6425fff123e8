/**
 * Products with one rule broken, each by replacing what one module exports when it is loaded: the product itself knows
 * nothing of it. `broken.test.ts` demands that the simulated cluster finds every one of them.
 */
import { baseFact } from '../../crdt/facts.ts'
import type * as Lineages from '../../crdt/lineages.ts'
import type { CommandResult } from '../../node/commands.ts'
import type * as ApplyOrders from '../../node/core/apply/orders.ts'
import type * as Feed from '../../node/core/feed.ts'
import type * as Homes from '../../node/core/homes.ts'
import type * as Outbox from '../../node/core/outbox.ts'
import type { CommandId } from '../../node/ids.ts'
import type { CatalogVersionRecord } from '../../node/messages.ts'
import type { Tables } from '../../node/ports.ts'
import type * as CartReplication from '../../node/replica/cart-replication.ts'
import type * as CartSets from '../../node/replica/cart-sets.ts'
import type * as CatalogFeed from '../../node/replica/catalog-feed.ts'
import type * as Consensus from '../../node/replica/consensus.ts'
import type * as LogClient from '../../node/replica/log-client.ts'
import type * as Takeover from '../../node/replica/takeover.ts'
import type * as VoterReads from '../../node/replica/voter-reads.ts'
import type { Connection } from '../../node/store/connection.ts'
import type * as LocalStore from '../../node/store/local-store.ts'
import type * as LogStore from '../../node/store/log-store.ts'
import type * as Results from '../../node/store/results.ts'
import { LateDisk, instead, lateClock } from './broken-parts.ts'

/** What a module exports, and what takes the place of some of it. `file` is below the repository's root. */
export type Replacement = { readonly file: string; readonly change: (real: object) => object }

export type Variant = {
  readonly name: string
  /** A violation that says what was broken, or what a node stumbles over because of it. */
  readonly shownBy: RegExp
  /** The world that is tried first (it found it when this was written), and how many are tried at most. */
  readonly firstSeed: number
  readonly seedsMax: number
  readonly replacements: readonly Replacement[]
  /** Not wrong, but seldom: makes the occasion for the rule frequent. The intact product has to cope with it as well. */
  readonly circumstances?: readonly Replacement[]
}

function replace<Module extends object>(
  file: string,
  change: (real: Module) => Partial<Module>,
): Replacement {
  return { file, change: (real) => change(real as Module) }
}

const placing = (methods: (tables: Tables, ...rest: PlaceArguments) => Partial<Tables>): Replacement =>
  replace<typeof ApplyOrders>('node/core/apply/orders.ts', (real) => ({
    applyOrderPlace: (tables, ...rest) =>
      real.applyOrderPlace(instead(tables, methods(tables, ...rest)), ...rest),
  }))
type PlaceArguments =
  Parameters<typeof ApplyOrders.applyOrderPlace> extends [Tables, ...infer Rest] ? Rest : never

/** A broadcast that claims the digest of the true version. */
function forged(record: CatalogVersionRecord): CatalogVersionRecord {
  const changes = record.changes.map(({ handle, product }) => ({
    handle,
    product: product === null ? null : { ...product, title: 'forged' },
  }))
  return { ...record, changes }
}

const consensusVariants: Variant[] = [
  {
    name: 'the vote is not on disk',
    shownBy: /P1: the disk/,
    firstSeed: 1,
    seedsMax: 40,
    replacements: [
      replace<typeof LogStore>('node/store/log-store.ts', (real) => ({
        SqliteLogStore: class extends real.SqliteLogStore {
          override persist(write: Parameters<LogStore.SqliteLogStore['persist']>[0]): void {
            const { hardState } = write
            super.persist({
              ...write,
              hardState: hardState === null ? null : { ...hardState, vote: null },
            })
          }
        },
      })),
    ],
  },
  {
    name: 'log entries are acknowledged before they are on disk',
    shownBy: /P1|P2/,
    firstSeed: 1,
    seedsMax: 40,
    replacements: [
      replace<typeof LogStore>('node/store/log-store.ts', (real) => ({
        SqliteLogStore: class extends real.SqliteLogStore {
          readonly #disk: LateDisk

          constructor(connection: Connection) {
            const disk = new LateDisk(connection)
            super(disk.connection)
            this.#disk = disk
          }

          override persist(write: Parameters<LogStore.SqliteLogStore['persist']>[0]): void {
            this.#disk.append(() => super.persist(write))
          }
        },
      })),
    ],
  },
  {
    name: 'the lease is kept while it is handed over',
    shownBy: /P1: .* keeps its lease/,
    firstSeed: 3,
    seedsMax: 40,
    replacements: [
      replace<typeof Consensus>('node/replica/consensus.ts', (real) => ({
        Consensus: class extends real.Consensus {
          override leaseRemainingMs(): number {
            return this.raft.isTransferring ? 100 : super.leaseRemainingMs()
          }
        },
      })),
    ],
  },
  {
    name: 'a current read asks nobody whether it is current',
    shownBy: /P2/,
    firstSeed: 2,
    seedsMax: 40,
    replacements: [
      replace<typeof VoterReads>('node/replica/voter-reads.ts', (real) => ({
        VoterReads: class extends real.VoterReads {
          override queryHere(
            query: Parameters<VoterReads.VoterReads['queryHere']>[0],
            _current: boolean,
            timeoutMs: number,
          ): Promise<unknown> {
            return super.queryHere(query, false, timeoutMs)
          }
        },
      })),
    ],
  },
]

const orderVariants: Variant[] = [
  {
    name: 'applying does not ask whether an entry is sold',
    shownBy: /P4/,
    // Rare: it takes two devices at two homes.
    firstSeed: 23,
    seedsMax: 200,
    replacements: [
      placing((tables) => ({
        soldTo: () => null,
        insertSold: (user, tag, order) => {
          if (tables.soldTo(user, tag) === null) tables.insertSold(user, tag, order)
        },
      })),
    ],
  },
  {
    name: 'applying does not ask whether an order id is decided',
    shownBy: /P2|P4/,
    firstSeed: 5,
    seedsMax: 40,
    replacements: [
      replace<typeof Results>('node/store/results.ts', (real) => ({
        ResultTable: class extends real.ResultTable {
          override get(id: CommandId): CommandResult | null {
            return id.startsWith('order:') ? null : super.get(id)
          }
        },
      })),
      placing((tables) => ({
        order: () => null,
        insertOrder: (order, index, tags) => {
          if (tables.order(order.id) === null) tables.insertOrder(order, index, tags)
          else tables.updateOrder(order, index)
        },
      })),
    ],
  },
  {
    name: 'applying takes an order at a price that has moved',
    shownBy: /P7: order/,
    firstSeed: 1,
    seedsMax: 40,
    replacements: [
      placing((tables, intent) => ({
        sku: (sku) => {
          const known = tables.sku(sku)
          const price = intent.lines.find((line) => line.sku === sku)?.unitPrice
          return known === null || price === undefined ? known : { ...known, price }
        },
      })),
    ],
  },
  {
    // The cart holds the intent as well, so a lost row alone breaks no promise: asking again has to go, too.
    name: 'the outbox gives an order up when the first attempt brings no decision',
    shownBy: /P3/,
    firstSeed: 1,
    seedsMax: 40,
    circumstances: [
      replace<typeof LogClient>('node/replica/log-client.ts', (real) => ({
        ReplicaLogClient: class extends real.ReplicaLogClient {
          readonly #attempts = new Map<CommandId, number>()

          override async run(...command: Parameters<LogClient.ReplicaLogClient['run']>): Promise<unknown> {
            const [id, body, options] = command
            const attempt = (this.#attempts.get(id) ?? 0) + 1
            this.#attempts.set(id, attempt)
            const isTooEarly = body.kind === 'order.place' && attempt <= 3
            return await super.run(id, body, isTooEarly ? { ...options, timeoutMs: 0 } : options)
          }
        },
      })),
    ],
    replacements: [
      replace<typeof LocalStore>('node/store/local-store.ts', (real) => ({
        SqliteLocalStore: class extends real.SqliteLocalStore {
          override putOutbox(): void {}
        },
      })),
      replace<typeof Outbox>('node/core/outbox.ts', (real) => ({
        planOutbox: (entries, nowMs) =>
          real.planOutbox(
            [...entries].filter(({ stage, dueAtMs }) => stage !== 'open' || dueAtMs === 0),
            nowMs,
          ),
      })),
    ],
  },
]

const catalogVariants: Variant[] = [
  {
    name: 'a catalog version is applied though one before it is missing',
    shownBy: /P7|P9: .* digest/,
    // Not 3: there the last shopper orders at the old price before the new one, late as all of them here, has come.
    firstSeed: 4,
    seedsMax: 40,
    circumstances: [
      replace<typeof CatalogFeed>('node/replica/catalog-feed.ts', (real) => ({
        CatalogFeed: class extends real.CatalogFeed {
          constructor(options: CatalogFeed.CatalogFeedOptions) {
            super({ ...options, clock: lateClock(options.clock) })
          }

          override heard(...[record, from]: Parameters<CatalogFeed.CatalogFeed['heard']>) {
            return record.version % 3 === 0 ? 'ignore' : super.heard(record, from)
          }
        },
      })),
    ],
    replacements: [
      replace<typeof Feed>('node/core/feed.ts', (real) => ({
        decideFeed: (input) => {
          const decision = real.decideFeed(input)
          return decision === 'gap' && input.feed === 'broadcast' ? 'apply' : decision
        },
        applyVersion: (tables, record) => {
          const catalog = { version: record.version - 1, digest: record.previousDigest }
          real.applyVersion(instead(tables, { catalog: () => catalog }), record)
        },
      })),
    ],
  },
  {
    name: 'the digest of a broadcast is not checked against its rows',
    // By the checker, or by the node itself, which recomputes its digest (replica/catalog-audit.ts).
    shownBy: /P7: the rows|are not those of its digest/,
    firstSeed: 2,
    seedsMax: 20,
    replacements: [
      replace<typeof CatalogFeed>('node/replica/catalog-feed.ts', (real) => ({
        CatalogFeed: class extends real.CatalogFeed {
          override heard(...[record, from]: Parameters<CatalogFeed.CatalogFeed['heard']>) {
            return super.heard(forged(record), from)
          }
        },
      })),
      replace<typeof Feed>('node/core/feed.ts', () => ({
        applyVersion: (tables, record) => {
          for (const { handle, product } of record.changes) {
            if (product === null) tables.deleteProduct(handle)
            else tables.putProduct(product)
          }
          tables.setCatalog({ version: record.version, digest: record.digest })
          tables.appendVersion(record)
        },
      })),
    ],
  },
]

const cartVariants: Variant[] = [
  {
    name: 'a cart change is acknowledged before a second disk has it',
    shownBy: /P5/,
    firstSeed: 1,
    seedsMax: 40,
    replacements: [
      replace<typeof CartReplication>('node/replica/cart-replication.ts', (real) => ({
        Replication: class extends real.Replication {
          override async push(...change: Parameters<CartReplication.Replication['push']>): Promise<number> {
            void super.push(...change)
            return Math.max(change[2], 2)
          }
        },
      })),
    ],
  },
  {
    name: 'a takeover skips the pull',
    shownBy: /P5|P6/,
    firstSeed: 2,
    seedsMax: 40,
    replacements: [
      replace<typeof Takeover>('node/replica/takeover.ts', (real) => ({
        Takeover: class extends real.Takeover {
          override async pull(): Promise<boolean> {
            return true
          }
        },
      })),
    ],
  },
  {
    name: 'the sets before a change of members are not asked',
    shownBy: /P5|P6/,
    firstSeed: 93,
    seedsMax: 40,
    replacements: [
      replace<typeof CartSets>('node/replica/cart-sets.ts', (real) => ({
        EarlierSets: class extends real.EarlierSets {
          override get areSettled(): boolean {
            return true
          }
        },
      })),
    ],
  },
  {
    name: 'a rebase copies live entries only',
    shownBy: /P6/,
    firstSeed: 1,
    seedsMax: 40,
    circumstances: [
      replace<{ rebaseSizeBytesMin: number }>('crdt/types.ts', () => ({ rebaseSizeBytesMin: 600 })),
    ],
    replacements: [
      replace<typeof Lineages>('crdt/lineages.ts', (real) => ({
        rebaseFacts: (knowledge, options) =>
          real.rebaseFacts(knowledge, options).map((fact) =>
            fact.map === 'b' && fact.key === options.lineage
              ? baseFact(options.lineage, {
                  seen: new Map(),
                  live: new Set(),
                  goneDots: new Set(),
                  goneTags: new Map(),
                  folded: [],
                })
              : fact,
          ),
      })),
    ],
  },
  {
    name: 'a lower epoch wins',
    shownBy: /P5|P6|progress/,
    firstSeed: 1,
    seedsMax: 40,
    replacements: [
      replace<typeof Homes>('node/core/homes.ts', (real) => ({
        isHigher: (one, than) => one !== null && (than === null || real.compareRecords(one, than) < 0),
      })),
    ],
  },
]

export const variants: readonly Variant[] = [
  ...consensusVariants,
  ...orderVariants,
  ...catalogVariants,
  ...cartVariants,
]
