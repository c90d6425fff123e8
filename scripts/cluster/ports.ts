/** Are the ports of the nodes that are about to start free? Asked before anything is started. */
import { createServer } from 'node:net'
import { codeOf, Failure } from './failure.ts'
import type { NodePlace } from './directory.ts'
import { poll } from './wait.ts'

const host = '127.0.0.1'
/** A process that was just killed is gone before the kernel has closed its sockets, on a busy machine by a second. */
const releaseWaitMs = 3_000

/** Throws Failure that names every port that can't be had, and for what it was wanted. */
export async function checkPorts(places: readonly NodePlace[]): Promise<void> {
  let taken: string[] = []
  const free = async (): Promise<true | null> => {
    taken = await takenPorts(places)
    return taken.length === 0 ? true : null
  }
  if ((await poll(free, releaseWaitMs)) === true) return
  throw new Failure(
    `${taken.join('\n  ')}\n  nothing was started; free it, or use another --base-port and --data`,
  )
}

async function takenPorts(places: readonly NodePlace[]): Promise<string[]> {
  const taken: string[] = []
  for (const place of places) {
    for (const [port, use] of [[place.httpPort, 'HTTP'] as const, [place.p2pPort, 'libp2p'] as const]) {
      const code = await listenError(port)
      if (code === null) continue
      const why = code === 'EADDRINUSE' ? 'is taken by another program' : `can't be opened (${code})`
      taken.push(`port ${port} (${use} of ${place.name}) ${why}`)
    }
  }
  return taken
}

/** The error code of listening there for a moment, or null. */
function listenError(port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error) => resolve(codeOf(error) ?? 'unknown error'))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(null)))
  })
}
