/** What proves that a process is gone, and what does not (DESIGN.md section 3, fast failover). */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { probe } from '../../node/net/probe.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function listening(onConnection: (socket: Socket, server: Server) => void): Promise<string> {
  const server = createServer((socket) =>
    onConnection(
      socket.on('error', () => undefined),
      server,
    ),
  )
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('whoever greets is alive', async () => {
  expect(await probe(await listening((socket) => socket.write('nonce')))).toBe('open')
})

test('a port that nobody listens at proves it', async () => {
  const address = await listening(() => undefined)
  servers[0]?.close()
  expect(await probe(address)).toBe('refused')
})

test('a process that is being killed resets some connections before its port is closed: it is asked again', async () => {
  for (const endsAfter of [1, 2, 3]) {
    let connections = 0
    const address = await listening((socket, server) => {
      connections += 1
      if (connections === endsAfter) server.close()
      socket.resetAndDestroy()
    })
    expect(await probe(address)).toBe('refused')
    expect(connections).toBe(endsAfter)
  }
})

test('a machine that accepts and says nothing is not known to be dead', async () => {
  expect(await probe(await listening(() => undefined))).toBe('open')
})
