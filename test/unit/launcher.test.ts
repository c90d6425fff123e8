/** The launcher's decisions that need no processes. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  claimDirectory,
  deleteData,
  ensureSecrets,
  filesOf,
  newRecord,
  placeOf,
  placesOf,
  readRecord,
  withAsked,
  withMoreNodes,
  writeRecord,
} from '../../scripts/cluster/directory.ts'
import { Failure, UsageError } from '../../scripts/cluster/failure.ts'
import { parseView, type ClusterView } from '../../scripts/cluster/http.ts'
import { lockDifference } from '../../scripts/cluster/installed.ts'
import { withLock } from '../../scripts/cluster/lock.ts'
import { parseOptions } from '../../scripts/cluster/options.ts'
import { processState } from '../../scripts/cluster/process.ts'
import { nodeArguments } from '../../scripts/cluster/start.ts'
import {
  judge,
  statusJson,
  votersTarget,
  type NodeStatus,
  type StateWord,
} from '../../scripts/cluster/status.ts'

const fresh = newRecord({ basePort: null, eligible: null, sample: true })
let directory = ''

beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'souk-launcher-')))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('the command line', () => {
  test('without anything is up 3 in ./.souk', () => {
    expect(parseOptions([])).toEqual({
      verb: { kind: 'up', count: 3 },
      data: '.souk',
      basePort: null,
      eligible: null,
      fresh: false,
      sample: true,
      follow: false,
      json: false,
    })
  })

  test.each([
    [['5'], { kind: 'up', count: 5 }],
    [['up'], { kind: 'up', count: 3 }],
    [['up', '25', '--json'], { kind: 'up', count: 25 }],
    [['--json', 'kill', 'n2'], { kind: 'kill', node: 'n2' }],
    [['kill', '--data', 'd', 'n2'], { kind: 'kill', node: 'n2' }],
    [['logs', 'n1', '--follow'], { kind: 'logs', node: 'n1' }],
    [['down'], { kind: 'down' }],
    [['-h'], { kind: 'help' }],
  ])('%j', (args, verb) => {
    expect(parseOptions(args).verb).toEqual(verb)
  })

  test('takes options before and after the verb', () => {
    const before = parseOptions(['--data', 'd', '--base-port=9000', '--eligible', '3', '--fresh', 'up', '5'])
    expect(before).toEqual(
      parseOptions(['up', '5', '--fresh', '--eligible=3', '--base-port', '9000', '--data=d']),
    )
    expect(before).toMatchObject({ data: 'd', basePort: 9000, eligible: 3, fresh: true })
  })

  test.each([
    [['up', '0']],
    [['up', '-1']],
    [['up', 'three']],
    [['up', '3.5']],
    [['0']],
    [['up', '3', '4']],
    [['201']],
    [['kill']],
    [['kill', 'n1', 'n2']],
    [['status', 'n1']],
    [['explode']],
    [['--base-port', '0']],
    [['--base-port', '64400']],
    [['--base-port', 'http']],
    [['--eligible', '0']],
    [['--data', '']],
    [['--data']],
    [['--unknown']],
    [['status', '--fresh']],
    [['status', '--follow']],
  ])('%j is wrong usage', (args) => {
    expect(() => parseOptions(args)).toThrow(UsageError)
  })
})

describe('the directory', () => {
  test('is for its owner only, and so are the secrets', () => {
    claimDirectory(directory)
    ensureSecrets(directory, [])
    const { secret, adminToken } = filesOf(directory)
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    for (const file of [secret, adminToken]) expect(statSync(file).mode & 0o777).toBe(0o600)
    const [, key = ''] = /^[0-9a-f]{8}:([A-Za-z0-9+/]{43}=)\n$/.exec(readFileSync(secret, 'utf8')) ?? []
    expect(Buffer.from(key, 'base64')).toHaveLength(32)
  })

  test('keeps its secrets, and does not make new ones under nodes with data', () => {
    ensureSecrets(directory, [])
    const { secret } = filesOf(directory)
    const before = readFileSync(secret, 'utf8')
    const place = placeOf(directory, fresh, 1)
    mkdirSync(place.directory)
    writeFileSync(join(place.directory, 'log.db'), '')
    ensureSecrets(directory, [place])
    expect(readFileSync(secret, 'utf8')).toBe(before)
    rmSync(secret)
    expect(() => ensureSecrets(directory, [place])).toThrow(/cluster-secret is missing/)
  })

  test('of somebody else is refused, and --fresh deletes nothing that is not ours', () => {
    writeFileSync(join(directory, 'thesis.txt'), '')
    expect(() => claimDirectory(directory)).toThrow(/thesis.txt/)
    writeRecord(directory, fresh)
    mkdirSync(join(directory, 'n1'))
    claimDirectory(directory)
    deleteData(directory)
    expect(existsSync(join(directory, 'n1'))).toBe(false)
    expect(readRecord(directory)).toBeNull()
    expect(existsSync(join(directory, 'thesis.txt'))).toBe(true)
  })

  test('with nodes but without cluster.json is refused', () => {
    mkdirSync(join(directory, 'n1'))
    expect(() => claimDirectory(directory)).toThrow(/no cluster.json/)
  })

  test.each(['', '{', '[]', 'null', '{"format":"souk-cluster-1","nodes":["n1"]}'])(
    'damaged record %j',
    (text) => {
      writeFileSync(filesOf(directory).record, text)
      expect(() => readRecord(directory)).toThrow(/damaged/)
    },
  )

  test('remembers base port and K', () => {
    const record = withMoreNodes({ ...fresh, basePort: 9000, eligible: 3 }, 5)
    writeRecord(directory, record)
    expect(readRecord(directory)).toEqual(record)
    expect(withAsked(directory, record, { basePort: 9000, eligible: 3 })).toEqual(record)
    expect(() => withAsked(directory, record, { basePort: 9100, eligible: null })).toThrow(/base port 9000/)
    expect(() => withAsked(directory, record, { basePort: null, eligible: 4 })).toThrow(/--eligible 3/)
  })

  test('takes another K as long as no node changes by it', () => {
    const record = withMoreNodes(fresh, 3)
    expect(withAsked(directory, record, { basePort: null, eligible: 3 }).eligible).toBe(3)
    expect(() => withAsked(directory, record, { basePort: null, eligible: 2 })).toThrow(Failure)
  })

  test('never gives the index of a removed node to another one', () => {
    const three = withMoreNodes(fresh, 3)
    const two = { ...three, nodes: three.nodes.filter((index) => index !== 3) }
    expect(withMoreNodes(two, 1).nodes).toEqual([1, 2, 4])
    expect(() => withMoreNodes(three, 198)).toThrow(/no more than 200/)
  })
})

describe("a node's arguments", () => {
  const record = withMoreNodes({ ...fresh, basePort: 9000, eligible: 2 }, 3)
  const flags = (index: number, state = record): string =>
    nodeArguments(directory, state, placeOf(directory, state, index)).join(' ')

  test('are what node/main.ts takes', () => {
    expect(flags(2)).toBe(
      `--name n2 --data ${directory}/n2 --http 127.0.0.1:9002 --p2p 127.0.0.1:10002 ` +
        `--public-url http://127.0.0.1:9002 --secret-file ${directory}/cluster-secret ` +
        `--admin-token-file ${directory}/admin-token --join 127.0.0.1:10001,127.0.0.1:10003`,
    )
    expect(flags(3)).toMatch(/--not-eligible$/)
  })

  test('begin a cluster only at n1, once, and while nobody else has a directory', () => {
    expect(flags(1)).toContain('--init')
    expect(flags(1, { ...record, initialised: true })).toContain('--join 127.0.0.1:10002,127.0.0.1:10003')
    mkdirSync(join(directory, 'n1'))
    expect(flags(1)).toContain('--init')
    mkdirSync(join(directory, 'n2'))
    expect(flags(1)).not.toContain('--init')
  })

  test('are impossible for an emptied node that was alone', () => {
    const alone = { ...withMoreNodes(fresh, 1), initialised: true }
    expect(() => flags(1, alone)).toThrow(/the cluster is lost/)
    mkdirSync(join(directory, 'n1'))
    writeFileSync(join(directory, 'n1', 'local.db'), '')
    expect(flags(1, alone)).not.toMatch(/--init|--join/)
  })
})

describe('the state of a process', () => {
  const place = (): ReturnType<typeof placeOf> => placeOf(directory, fresh, 1)

  test('is stopped without, and dead with, a pid file of nobody', () => {
    expect(processState(place())).toEqual({ kind: 'stopped' })
    for (const text of ['4194304999', 'nonsense', '']) {
      writeFileSync(place().pidFile, text)
      expect(processState(place())).toEqual({ kind: 'dead' })
    }
  })

  test("is dead when the pid is another program's by now", () => {
    writeFileSync(place().pidFile, `${process.pid}\n`)
    expect(processState(place())).toEqual({ kind: 'dead' })
  })
})

describe('the status', () => {
  const view = (term: number, primary: string | null): ClusterView => ({
    term,
    primary,
    catalogVersion: 0,
    members: [],
  })
  const node = (index: number, state: StateWord, seen: ClusterView | null): NodeStatus => ({
    place: placeOf(directory, fresh, index),
    pid: 1,
    state,
    view: seen,
  })

  test.each([
    [0, 0],
    [1, 1],
    [2, 1],
    [3, 3],
    [4, 3],
    [5, 5],
    [25, 5],
  ])('%i eligible members want %i voters', (eligible, voters) => {
    expect(votersTarget(eligible)).toBe(voters)
  })

  test('believes the highest term, and no primary whose process is gone', () => {
    const both = [node(1, 'ready', view(3, 'n1')), node(2, 'ready', view(4, 'n2'))]
    expect(judge(both).primary).toBe('n2')
    expect(judge([node(1, 'ready', view(4, null)), node(2, 'ready', view(4, 'n2'))]).primary).toBe('n2')
    expect(judge([node(1, 'dead', null), node(2, 'ready', view(3, 'n1'))]).primary).toBeNull()
    expect(judge([node(1, 'paused', null), node(2, 'ready', view(3, 'n1'))]).primary).toBeNull()
    expect(judge([node(1, 'dead', null)])).toEqual({ view: null, primary: null })
  })

  test('is for programs what issue and README promise', () => {
    const status = { nodes: [node(1, 'ready', view(1, 'n1'))], view: view(1, 'n1'), primary: 'n1' }
    expect(JSON.parse(statusJson('/somewhere', status))).toEqual({
      nodes: [{ node: 'n1', url: 'http://127.0.0.1:8081', pid: 1, state: 'ready' }],
      primary: 'n1',
      adminTokenFile: '/somewhere/admin-token',
    })
  })

  test('takes no nonsense for a view', () => {
    for (const raw of [null, 1, [], {}, { term: '1', members: [] }, { term: 1 }])
      expect(parseView(raw)).toBeNull()
    const member = { node: 'n1', eligible: true, voter: true, url: 'u' }
    const catalog = { version: 7, digest: '00' }
    expect(parseView({ term: 2, primary: { node: 'n1' }, catalog, members: [member, 7] })).toEqual({
      catalogVersion: 7,
      term: 2,
      primary: 'n1',
      members: [{ node: 'n1', eligible: true, voter: true }],
    })
  })
})

describe('what is installed', () => {
  const entry = { version: '1.0.0', integrity: 'sha512-a' }
  test('is compared with what is asked for', () => {
    const asked = { packages: { '': {}, a: entry, other: { ...entry, optional: true } } }
    expect(lockDifference(asked, { packages: { a: entry } })).toBeNull()
    expect(lockDifference(asked, {})).toBe('a is missing')
    expect(lockDifference(asked, { packages: { a: { ...entry, version: '1.0.1' } } })).toBe('a differs')
    expect(lockDifference(asked, { packages: { a: entry, b: entry } })).toMatch(/^b is not/)
  })
})

describe('the lock', () => {
  test('lets one in at a time, and the next when the first is done or failed', async () => {
    const order: string[] = []
    let release = (): void => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    const first = withLock(directory, async () => {
      order.push('first in')
      await held
      order.push('first out')
      throw new Error('failed')
    })
    const second = withLock(directory, async () => order.push('second in'))
    release()
    await expect(first).rejects.toThrow('failed')
    await second
    expect(order).toEqual(['first in', 'first out', 'second in'])
  })
})

test('places follow from DIR, base port and index', () => {
  const [, second] = placesOf('/d', withMoreNodes(fresh, 2))
  expect(second).toMatchObject({ name: 'n2', httpPort: 8082, p2pPort: 9082, url: 'http://127.0.0.1:8082' })
})
