/**
 * A disk that fails under a running node (DESIGN.md section 2): it says so and ends at once, no reply leaves it after that,
 * and what it had acknowledged is there when the disk works again. The failure is the kernel's: writes beyond the limit of
 * a file's size (`ulimit -f`) fail, which SQLite reports as an I/O error.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '../support/cluster.ts'
import { claimBasePort } from '../support/ports.ts'
import { root } from '../support/sources.ts'

const adminToken = 'an-administrator-token'
/** Room for the databases of a cluster that begins, not for many products. */
const limitKibibytes = 2_048
/** Some 60 of them fill the write-ahead log of log.db or shop.db. */
const descriptionLength = 16_000
const productsMax = 400

type Running = { ended: Promise<{ code: number | null; output: string }>; kill: () => void }

function start(directory: string, port: number, limit: string): Running {
  const words = ['--name', 'n1', '--data', join(directory, 'n1'), '--init', '--log-level', 'info']
  const addresses = ['--http', `127.0.0.1:${port + 1}`, '--p2p', `127.0.0.1:${port + 1001}`]
  const files = ['--secret-file', join(directory, 'secret'), '--admin-token-file', join(directory, 'token')]
  const command = `trap '' XFSZ; ulimit -f ${limit}; exec "$@"`
  const args = ['-c', command, 'bash', join(root, 'scripts/souk'), ...words, ...addresses, ...files]
  const child = spawn('bash', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)]).then(
    ([, stdout, stderr]) => ({ code: child.exitCode, output: stdout + stderr }),
  )
  return { ended, kill: () => child.kill('SIGKILL') }
}

async function statusOf(url: string, init: RequestInit = {}): Promise<number | null> {
  try {
    const headers = {
      authorization: `Bearer ${adminToken}`,
      'content-type': 'application/json',
      connection: 'close',
    }
    return (await fetch(url, { ...init, headers })).status
  } catch {
    return null
  }
}

test('a node whose disk fails ends with an error, and has kept what it acknowledged', async () => {
  const base = await claimBasePort()
  const directory = mkdtempSync(join(tmpdir(), 'souk-disk-'))
  writeFileSync(join(directory, 'secret'), `k1:${Buffer.alloc(32, 7).toString('base64')}\n`, { mode: 0o600 })
  writeFileSync(join(directory, 'token'), adminToken, { mode: 0o600 })
  let running = start(directory, base.port, String(limitKibibytes))
  onTestFinished(async () => {
    running.kill()
    await running.ended
    rmSync(directory, { recursive: true, force: true })
    await base.release()
  })
  const url = `http://127.0.0.1:${base.port + 1}`
  const product = (number: number) => ({
    title: 'Lamp',
    description: 'x'.repeat(descriptionLength),
    status: 'active',
    variants: [{ sku: `LAMP-${number}`, price: { amount: 1_000, currency: 'USD' } }],
  })
  const put = (number: number): Promise<number | null> =>
    statusOf(`${url}/api/admin/products/p${number}`, { method: 'PUT', body: JSON.stringify(product(number)) })
  await until('the node takes changes', async () => [200, 201].includes((await put(0)) ?? 0))
  const acknowledged: number[] = [0]
  let last: number | null = 200
  for (let number = 1; number < productsMax && last !== null; number += 1) {
    last = await put(number)
    if (last === 200 || last === 201) acknowledged.push(number)
  }
  const { code, output } = await running.ended
  expect([code, last]).toEqual([1, null])
  expect(output).toContain('SQLITE_IOERR_WRITE')
  expect(output).toContain('trusted')

  running = start(directory, base.port, 'unlimited')
  await until('the node takes changes again', async () => [200, 201].includes((await put(0)) ?? 0))
  const found = await Promise.all(acknowledged.map((number) => statusOf(`${url}/api/products/p${number}`)))
  expect(new Set(found)).toEqual(new Set([200]))
})
