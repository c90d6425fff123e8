/**
 * Many carts on each of three nodes: `npm run bench:cart-memory`. They are put into the databases of stopped nodes, as if
 * their shoppers had come over weeks; then a node is started again and again until it is ready, and shoppers at random look
 * at their carts and add to them, round after round: documents stay on disk, so memory must not grow with who has come.
 * `--carts N` (default 100,000), `--starts N` (default 5), `--rounds N` (default 8), `--requests N` a round (default 5,000).
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { CartDocument, newLineage, writerId } from '../crdt/cart.ts'
import { SessionTokens } from '../http/tokens.ts'
import { guestId } from '../node/ids.ts'
import type { MemberId, Sku, UserId } from '../node/ids.ts'
import { parseKeyring } from '../node/keyring.ts'
import type { CartRow } from '../node/ports.ts'
import { openStores } from '../node/store/index.ts'
import { filesOf } from '../scripts/cluster/directory.ts'
import { prepareCluster } from '../test/support/cluster.ts'
import type { TestCluster } from '../test/support/cluster.ts'
import { Report, median } from './kit.ts'
import { drive } from './posts.ts'
import type { Post } from './posts.ts'
import { skus, stock } from './stock.ts'

const names = ['n1', 'n2', 'n3']
const linesPerCart = 4
const rowsPerTransaction = 2_000
const connections = 16
/** Rounds in which caches fill: the largest holds 20,000 users. */
const warmUpRounds = 3
/** What counts as flat: less than the runtime's own ups and downs between two collections. */
const growthAim = { below: 10 } as const
const startAim = { below: 3_000 } as const

const { values } = parseArgs({
  options: {
    carts: { type: 'string', default: '100000' },
    starts: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '8' },
    requests: { type: 'string', default: '5000' },
  },
})
const requests = Number(values.requests)

type Seeded = { readonly user: UserId; readonly state: Uint8Array; readonly hash: string }

function filledCart(user: UserId, number: number): Seeded {
  const document = CartDocument.create({
    clientId: number + 1,
    lineage: newLineage(randomBytes(12)),
  })
  const writer = writerId(user, 'seed', 1, 0)
  for (let line = 0; line < linesPerCart; line += 1)
    document.edit({ kind: 'add', sku: skus[(number + line) % skus.length] as Sku, quantity: 1 }, writer)
  return { user, state: document.encode(), hash: document.contentHash() }
}

const noIdentity = (): never => {
  throw new Error('the node has no databases')
}

/** Every cart on every node, known to be there; a third of them at home at each. */
function seed(cluster: TestCluster, count: number): UserId[] {
  const places = names.map((name) => join(cluster.directory, name))
  const nodes = places.map((place) => openStores(place, { createIdentity: noIdentity }))
  const ids = nodes.map(({ log }) => log.identity().memberId)
  const users: UserId[] = []
  const nowMs = Date.now()
  for (let from = 0; from < count; from += rowsPerTransaction) {
    const size = Math.min(rowsPerTransaction, count - from)
    const carts = Array.from({ length: size }, (_, index) =>
      filledCart(guestId(nowMs, randomBytes(12)), from + index),
    )
    users.push(...carts.map(({ user }) => user))
    for (const [position, { local }] of nodes.entries())
      local.transaction(() => {
        for (const [index, cart] of carts.entries()) {
          const home = ids[index % ids.length] as MemberId
          const others = ids.filter((id) => id !== ids[position])
          const row: CartRow = {
            ...cart,
            delivered: Object.fromEntries(others.map((id) => [id, cart.hash])),
            syncedHash: cart.hash,
            held: 'set',
            updatedAtMs: nowMs,
          }
          local.putCart(row)
          const record = { epoch: 1, home }
          local.putSession({ user: cart.user, record, previousMembers: ids, lastActiveAtMs: nowMs })
        }
      })
  }
  for (const stores of nodes) stores.close()
  return users
}

/** Milliseconds from the start of the process until it is ready. */
async function timeToReady(cluster: TestCluster, name: string): Promise<number> {
  await cluster.crash(name)
  const startedMs = performance.now()
  await cluster.restart(name)
  return performance.now() - startedMs
}

/** Resident megabytes of each node (proc(5), VmRSS). */
async function memoryMb(cluster: TestCluster): Promise<number[]> {
  const { nodes } = await cluster.status()
  return nodes.map(({ pid }) => {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1_024
  })
}

const { cluster, close } = await prepareCluster({})
try {
  await cluster.verb('up', '3', '--no-sample')
  await stock(cluster)
  for (const name of names) await cluster.verb('stop', name)
  const users = seed(cluster, Number(values.carts))
  // Together: a voter alone has nobody to hear the catalog's version from.
  await Promise.all(names.map((name) => cluster.restart(name)))
  const startsMs: number[] = []
  for (let start = 0; start < Number(values.starts); start += 1)
    startsMs.push(await timeToReady(cluster, names[start % names.length] as string))

  const keyring = parseKeyring(readFileSync(filesOf(cluster.directory).secret, 'utf8'))
  const tokens = new SessionTokens(keyring, () => Date.now())
  let number = 0
  const servers = names.map((name) => cluster.url(name))
  const post = (server: string): Post => {
    number += 1
    // Another user each time, spread over all who are at home there.
    const thirds = Math.floor(users.length / names.length)
    const index = ((number * 7_919) % thirds) * names.length + servers.indexOf(server)
    const user = users[index] as UserId
    return {
      path: '/api/cart/items',
      headers: { authorization: `Bearer ${tokens.issue(user).token}`, 'idempotency-key': `bench-${number}` },
      body: JSON.stringify({ sku: skus[number % skus.length], quantity: 1 }),
    }
  }
  const memory: number[][] = []
  for (let round = 0; round < Number(values.rounds); round += 1) {
    // Somebody may have got another home meanwhile.
    await drive(servers, { connections, count: requests, status: 200 }, post, () => undefined)
    memory.push(await memoryMb(cluster))
  }
  const report = new Report(
    'cart-memory',
    `${users.length.toLocaleString('en')} carts on each of three nodes`,
  )
  report.add({
    what: 'from the start of a process until it is ready',
    unit: 'ms',
    runs: startsMs,
    aim: startAim,
  })
  const warm = median(memory[warmUpRounds - 1] as number[])
  report.add({
    what: 'memory of a node after warm-up',
    unit: 'MB',
    runs: memory[warmUpRounds - 1] as number[],
  })
  const last = memory.at(-1) as number[]
  report.add({ what: 'memory of a node at the end', unit: 'MB', runs: last })
  report.add({
    what: `growth by ${(memory.length - warmUpRounds) * requests} more additions`,
    unit: '%',
    runs: last.map((each) => (each / warm - 1) * 100),
    aim: growthAim,
  })
  report.note(`Megabytes by round: ${memory.map((each) => Math.round(median(each))).join(', ')}.`)
  report.finish()
} finally {
  await close(false)
}
