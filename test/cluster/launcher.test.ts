/** The launcher with real processes, against a stand-in for the node program: fast, and only about the launcher. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { describe, expect, test } from 'vitest'
import { prepareCluster, until, withCluster, type ClusterInfo, type TestCluster } from '../support/cluster.ts'
import { root } from '../support/sources.ts'

const entry = join(root, 'test/support/fake-node.ts')
const states = ({ nodes }: ClusterInfo): string[] => nodes.map(({ state }) => state)
const database = (cluster: TestCluster, name: string): string =>
  readFileSync(join(cluster.directory, name, 'log.db'), 'utf8')

describe('up', () => {
  test('starts a cluster, and says so in JSON only', async () => {
    const { cluster, close } = await prepareCluster({ entry })
    try {
      const { code, stdout } = await cluster.run('up', '3', '--json')
      expect(code).toBe(0)
      const info = JSON.parse(stdout) as ClusterInfo
      expect(Object.keys(info)).toEqual(['nodes', 'primary', 'adminTokenFile'])
      expect(info.nodes.map(({ node }) => node)).toEqual(['n1', 'n2', 'n3'])
      expect(info.nodes[1]).toEqual({
        node: 'n2',
        url: cluster.url('n2'),
        pid: expect.any(Number),
        state: 'ready',
      })
      expect(info.primary).toBe('n1')
      expect(info.adminTokenFile).toBe(join(cluster.directory, 'admin-token'))
      expect(database(cluster, 'n1')).toContain('init')
      expect(database(cluster, 'n3')).toContain(`join=127.0.0.1:${cluster.basePort + 1001},`)
      expect(
        readFileSync(join(cluster.directory, 'n1', 'imported'), 'utf8')
          .trim()
          .split('\n'),
      ).toHaveLength(1)
    } finally {
      await close(false)
    }
  })

  test('again is harmless; starts what is down, continues what is paused, and adds up to N', async () => {
    await withCluster({ nodes: 3, eligible: 3, entry }, async (cluster, first) => {
      expect(await cluster.verb('up', '3')).toEqual(first)
      await cluster.verb('kill', 'n2')
      await cluster.verb('pause', 'n3')
      const second = await cluster.verb('up', '5')
      expect(states(second)).toEqual(['ready', 'ready', 'ready', 'ready', 'ready'])
      expect(second.nodes[0]?.pid).toBe(first.nodes[0]?.pid)
      expect(second.nodes[2]?.pid).toBe(first.nodes[2]?.pid)
      expect(database(cluster, 'n5')).toContain('eligible=false')
      expect((await cluster.verb('up', '1')).nodes).toHaveLength(5)
      expect(existsSync(join(cluster.directory, 'n1', 'imported'))).toBe(false)
    })
  })

  test('--fresh begins anew, with new secrets', async () => {
    await withCluster({ nodes: 2, entry }, async (cluster, first) => {
      const token = cluster.adminToken()
      const second = await cluster.verb('up', '1', '--fresh', '--no-sample')
      expect(second.nodes).toHaveLength(1)
      expect(second.nodes[0]?.pid).not.toBe(first.nodes[0]?.pid)
      expect(cluster.adminToken()).not.toBe(token)
      expect(existsSync(join(cluster.directory, 'n2'))).toBe(false)
      const args = ['up', '1', '--fresh', '--no-sample', '--json', '--data', cluster.directory]
      const third = execFileSync(join(root, 'scripts/launch-cluster.sh'), args, {
        env: { ...process.env, SOUK_NODE_ENTRY: entry },
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      expect((JSON.parse(third) as ClusterInfo).nodes[0]?.url).toBe(cluster.url('n1'))
    })
  })

  test('names a taken port and starts nothing', async () => {
    const { cluster, close } = await prepareCluster({ entry })
    const intruder = createServer().listen(cluster.basePort + 1002, '127.0.0.1')
    try {
      await once(intruder, 'listening')
      const { code, stderr } = await cluster.run('up', '3')
      expect(code).toBe(1)
      expect(stderr).toContain(`port ${cluster.basePort + 1002} (libp2p of n2) is taken`)
      expect(existsSync(join(cluster.directory, 'n1'))).toBe(false)
    } finally {
      intruder.close()
      await close(false)
    }
  })

  test('waits for a port that is just being given up', async () => {
    const { cluster, close } = await prepareCluster({ entry })
    const holder = createServer()
    try {
      holder.listen(cluster.basePort + 1, '127.0.0.1')
      await once(holder, 'listening')
      const running = cluster.run('up', '1')
      // The lock is the last thing before the ports are looked at; the launcher then waits for 3 s.
      await until('the launcher is at work', () => existsSync(join(cluster.directory, 'launcher.lock')))
      holder.close()
      expect(await running).toMatchObject({ code: 0 })
    } finally {
      holder.close()
      await close(false)
    }
  })

  test('shows why a node ended', async () => {
    const { cluster, close } = await prepareCluster({ entry: '/nonexistent/node.ts' })
    try {
      const { code, stderr } = await cluster.run('up', '1')
      expect(code).toBe(1)
      expect(stderr).toMatch(/n1 ended while starting:[^]*Cannot find module/)
    } finally {
      await close(false)
    }
  })

  test('twice at once makes one cluster', async () => {
    const { cluster, close } = await prepareCluster({ entry })
    try {
      const [one, other] = await Promise.all([cluster.verb('up', '3'), cluster.verb('up', '3')])
      expect(one).toEqual(other)
      expect(states(one)).toEqual(['ready', 'ready', 'ready'])
    } finally {
      await close(false)
    }
  })
})

describe('one node', () => {
  test('is killed, started, paused, resumed, stopped', async () => {
    await withCluster({ nodes: 3, entry }, async (cluster) => {
      expect(states(await cluster.verb('kill', 'n2'))).toEqual(['ready', 'dead', 'ready'])
      expect(states(await cluster.verb('kill', 'n2'))).toEqual(['ready', 'dead', 'ready'])
      const started = await cluster.verb('start', 'n2')
      expect(states(started)).toEqual(['ready', 'ready', 'ready'])
      expect(await cluster.verb('start', 'n2')).toEqual(started)
      const paused = await cluster.verb('pause', 'n1')
      expect(states(paused)).toEqual(['paused', 'ready', 'ready'])
      expect(paused.primary).toBeNull()
      expect(states(await cluster.verb('resume', 'n1'))).toEqual(['ready', 'ready', 'ready'])
      expect(states(await cluster.verb('stop', 'n3'))).toEqual(['ready', 'ready', 'stopped'])
      await cluster.verb('pause', 'n2')
      expect(states(await cluster.verb('stop', 'n2'))).toEqual(['ready', 'stopped', 'stopped'])
      expect((await cluster.run('pause', 'n2')).code).toBe(1)
      expect((await cluster.run('resume', 'n2')).code).toBe(1)
      expect((await cluster.run('kill', 'n9')).stderr).toContain('there is no node n9')
      expect((await cluster.run('kill')).code).toBe(2)
      expect(states(await cluster.verb('down'))).toEqual(['stopped', 'stopped', 'stopped'])
      expect(states(await cluster.verb('up'))).toEqual(['ready', 'ready', 'ready'])
    })
  })

  test('joins after it was wiped, also n1', async () => {
    await withCluster({ nodes: 3, entry }, async (cluster) => {
      const wiped = await cluster.verb('wipe', 'n1')
      expect(states(wiped)).toEqual(['dead', 'ready', 'ready'])
      expect(readdirSync(join(cluster.directory, 'n1'))).toEqual([])
      await cluster.verb('start', 'n1')
      expect(database(cluster, 'n1')).toMatch(/^join=/)
    })
  })

  test('that was the only voter is not wiped in silence', async () => {
    await withCluster({ nodes: 2, entry }, async (cluster) => {
      expect((await cluster.run('wipe', 'n2')).stderr).not.toContain('the only voter')
      await cluster.verb('start', 'n2')
      expect((await cluster.run('wipe', 'n1')).stderr).toContain('n1 was the only voter')
    })
  })

  test('is added and removed for good', async () => {
    await withCluster({ nodes: 2, entry }, async (cluster) => {
      expect((await cluster.verb('add')).nodes.map(({ node }) => node)).toEqual(['n1', 'n2', 'n3'])
      expect((await cluster.verb('remove', 'n2')).nodes.map(({ node }) => node)).toEqual(['n1', 'n3'])
      expect(existsSync(join(cluster.directory, 'n2'))).toBe(false)
      await cluster.verb('remove', 'n3')
      expect((await cluster.verb('add')).nodes.map(({ node }) => node)).toEqual(['n1', 'n4'])
      await cluster.verb('kill', 'n4')
      expect((await cluster.run('remove', 'n1')).stderr).toContain('no other node is ready')
    })
  })

  test('is not confused with a program that has its old pid', async () => {
    await withCluster({ nodes: 1, entry }, async (cluster) => {
      await cluster.verb('kill', 'n1')
      const bystander = spawn('sleep', ['60'])
      try {
        writeFileSync(join(cluster.directory, 'n1.pid'), `${bystander.pid}\n`)
        expect(states(await cluster.verb('kill', 'n1'))).toEqual(['dead'])
        expect(bystander.exitCode).toBeNull()
        expect(states(await cluster.verb('start', 'n1'))).toEqual(['ready'])
      } finally {
        bystander.kill('SIGKILL')
      }
    })
  })

  test('shows its log', async () => {
    await withCluster({ nodes: 1, entry }, async (cluster) => {
      const { stdout } = await cluster.run('logs', 'n1')
      expect(stdout).toContain('listening')
      const { nodes } = JSON.parse((await cluster.run('logs', 'n1', '--json')).stdout) as ClusterInfo
      expect(nodes).toHaveLength(1)
    })
  })
})

describe('processes', () => {
  test('live in their own session and hold nothing of the caller', async () => {
    const { cluster, close } = await prepareCluster({ entry })
    try {
      const script = join(root, 'scripts/launch-cluster.sh')
      const place = ['--data', cluster.directory, '--base-port', String(cluster.basePort)]
      const child = spawn(script, ['up', '1', '--no-sample', ...place], {
        env: { ...process.env, SOUK_NODE_ENTRY: entry },
        stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
      })
      // A pipe ends when nobody holds its other side any more: the node runs, but does not hold it.
      const ends = child.stdio.filter((stream) => stream !== null && stream !== undefined) as Readable[]
      expect(ends).toHaveLength(4)
      await Promise.all(ends.map((stream) => finished(stream.resume(), { writable: false })))
      const { pid, state } = await cluster.node('n1')
      expect(state).toBe('ready')
      const session = execFileSync('ps', ['-o', 'sid=', '-p', String(pid)], { encoding: 'utf8' })
      expect(Number(session)).toBe(pid)
    } finally {
      await close(false)
    }
  })

  test('of two clusters live side by side', async () => {
    await withCluster({ nodes: 1, entry }, async (one) => {
      await withCluster({ nodes: 1, entry }, async (other) => {
        await one.verb('down')
        expect(states(await other.status())).toEqual(['ready'])
      })
    })
  })

  test('of a cluster that is not there', async () => {
    const { cluster, close } = await prepareCluster({ entry })
    try {
      const { code, stdout, stderr } = await cluster.run('status', '--json')
      expect(code).toBe(1)
      expect(JSON.parse(stdout)).toMatchObject({ nodes: [], primary: null })
      expect(stderr).toContain('there is no cluster')
      expect((await cluster.run('down')).code).toBe(0)
    } finally {
      await close(false)
    }
  })
})

test('wrong usage is named in a line, not buried in the help', async () => {
  const { cluster, close } = await prepareCluster({ entry })
  try {
    expect(await cluster.run('start')).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'launch-cluster: start needs a node, such as n1\nlaunch-cluster.sh --help lists all verbs and options\n',
    })
    const unknown = await cluster.run('up', '--frob')
    expect(unknown).toMatchObject({ code: 2, stdout: '' })
    expect(unknown.stderr).toMatch(/^launch-cluster: Unknown option '--frob'\n/)
  } finally {
    await close(false)
  }
})

test('a node by hand with nothing to begin, join or go on with says so, and does not wait for ever', () => {
  const directory = mkdtempSync(join(tmpdir(), 'souk-alone-'))
  try {
    const [secret, token] = [join(directory, 'secret'), join(directory, 'token')]
    writeFileSync(secret, `k1:${Buffer.alloc(32, 7).toString('base64')}\n`)
    writeFileSync(token, 'a token that is long enough for an administrator\n')
    const place = [
      '--name',
      'a',
      '--data',
      join(directory, 'a'),
      '--http',
      '127.0.0.1:1',
      '--p2p',
      '127.0.0.1:2',
    ]
    const files = ['--secret-file', secret, '--admin-token-file', token]
    const { status, stderr } = spawnSync(join(root, 'scripts/souk'), [...place, ...files], {
      encoding: 'utf8',
    })
    expect(stderr).toContain('--init begins a cluster, --join HOST:PORT joins one')
    expect(status).toBe(2)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
