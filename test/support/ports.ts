/** Base ports for test clusters that don't collide, not even between test runs side by side. */
import { createServer, type Server } from 'node:net'

/** A cluster takes base+1… for HTTP and base+1001… for libp2p: 30 nodes fit between two bases. */
const basesApart = 30
/** Of 2,000 ports the lower half is for HTTP, the upper half for libp2p; below the ephemeral ports of Linux. */
const blockPorts = 2_000
const firstPort = 10_000
const blocks = 11
const slotsPerBlock = Math.floor(1_000 / basesApart)

export type BasePort = { readonly port: number; readonly release: () => Promise<void> }

/** Claims a base port by listening on it (no node does) until it is released. Throws when all are taken. */
export async function claimBasePort(): Promise<BasePort> {
  const slots = blocks * slotsPerBlock
  for (let attempt = 0; attempt < slots; attempt++) {
    const slot = (process.pid + attempt) % slots
    const block = slot % blocks
    const port = firstPort + block * blockPorts + Math.floor(slot / blocks) * basesApart
    const claim = await listen(port)
    if (claim === null) continue
    if (await allFree(port)) return { port, release: () => close(claim) }
    await close(claim)
  }
  throw new Error('no free range of ports for a test cluster')
}

/** The first nodes' ports only: the launcher checks them all, this is to step over foreign programs. */
async function allFree(base: number): Promise<boolean> {
  for (const port of [1, 2, 3, 4, 5, 1001, 1002, 1003, 1004, 1005].map((offset) => base + offset)) {
    const server = await listen(port)
    if (server === null) return false
    await close(server)
  }
  return true
}

function listen(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(null))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server))
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)))
  })
}
