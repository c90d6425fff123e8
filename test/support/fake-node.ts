/**
 * A stand-in for node/main.ts, for the launcher's own tests (SOUK_NODE_ENTRY): it takes the same flags,
 * keeps its membership in a file beside the other nodes' directories, and answers what the launcher asks.
 */
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'

const string = { type: 'string' } as const
const boolean = { type: 'boolean', default: false } as const
const { values } = parseArgs({
  options: {
    name: string,
    data: string,
    http: string,
    p2p: string,
    'public-url': string,
    'secret-file': string,
    'admin-token-file': string,
    join: string,
    init: boolean,
    'not-eligible': boolean,
  },
})
const { name = '', data = '', http = '' } = values
const cluster = dirname(data)
const database = join(data, 'log.db')

type Member = { node: string; eligible: boolean; index: number }

function members(): Member[] {
  const names = readdirSync(cluster).filter((entry) => existsSync(join(cluster, entry, 'log.db')))
  const all = names.map((node) => ({
    node,
    eligible: readFileSync(join(cluster, node, 'log.db'), 'utf8').includes('eligible=true'),
    index: Number(node.slice(1)),
  }))
  return all.toSorted((one, other) => one.index - other.index)
}

function view(): unknown {
  const all = members()
  const eligible = all.filter((member) => member.eligible)
  const target = eligible.length < 3 ? 1 : eligible.length < 5 ? 3 : 5
  const voters = eligible.slice(0, target).map(({ node }) => node)
  return {
    node: name,
    term: 1,
    primary: voters[0] === undefined ? null : { node: voters[0], url: '' },
    members: all.map((member) => ({ ...member, voter: voters.includes(member.node) })),
  }
}

function authorized(request: IncomingMessage): boolean {
  const token = readFileSync(values['admin-token-file'] ?? '', 'utf8').trim()
  return request.headers.authorization === `Bearer ${token}`
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? ''
  if (path === '/readyz') return void response.end('ok')
  if (path === '/api/cluster') return void response.end(JSON.stringify(view()))
  if (!authorized(request)) return void response.writeHead(401).end()
  if (path === '/api/admin/import') {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    appendFileSync(join(cluster, 'n1', 'imported'), `${body.length}\n`)
    const created = body.split('\n').length
    return void response.end(JSON.stringify({ created, updated: 0, unchanged: 0, rejected: [] }))
  }
  if (request.method === 'DELETE') {
    rmSync(join(cluster, path.slice(path.lastIndexOf('/') + 1), 'log.db'), { force: true })
    return void response.writeHead(204).end()
  }
  response.writeHead(404).end()
}

if (!existsSync(database)) {
  if (!values.init && values.join === undefined) throw new Error('neither --init nor --join, and no data')
  const how = values.init ? 'init' : `join=${values.join}`
  writeFileSync(database, `${how} eligible=${!values['not-eligible']}\n`)
}
const [host, port] = http.split(':')
const server = createServer((request, response) => void answer(request, response))
server.listen(Number(port), host, () => console.log(JSON.stringify({ msg: 'listening', argv: process.argv })))
process.on('SIGTERM', () => process.exit(0))
