/**
 * A bare server for comparison: `node:http` and one indexed query by better-sqlite3, answering with the same bytes as
 * the program, without schemas, versions, problems or anything else. `baseline.ts SHOP_DB` prints its port.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Database from 'better-sqlite3'

const database = new Database(process.argv[2], { readonly: true })
const one = database.prepare('SELECT json FROM products WHERE handle = ?').pluck()
const versionText = (
  JSON.parse(database.prepare(`SELECT value FROM meta WHERE key = 'catalog'`).pluck().get() as string) as {
    version: number
  }
).version.toString()

type Sort = {
  column: string
  index: string
  sign: string
  direction: string
  first: [string | number, string]
}
const last: [number, string] = [Number.MAX_SAFE_INTEGER, '\u{10ffff}']
const sorts: { [name: string]: Sort } = {
  title: { column: 'title_key', index: 'title', sign: '>', direction: 'ASC', first: ['', ''] },
  price: { column: 'price', index: 'price', sign: '>', direction: 'ASC', first: [-1, ''] },
  newest: { column: 'created_version', index: 'created', sign: '<', direction: 'DESC', first: last },
}
const lists = Object.fromEntries(
  Object.entries(sorts).map(([name, { column, index, sign, direction }]) => [
    name,
    database.prepare(
      `SELECT json, ${column} AS key, handle FROM products INDEXED BY products_by_category_${index}
       WHERE category = ? AND status = 'active' AND (${column}, handle) ${sign} (?, ?)
       ORDER BY ${column} ${direction}, handle ${direction} LIMIT ?`,
    ),
  ]),
)
const count = database
  .prepare(`SELECT count FROM facet_counts WHERE facet = 'category' AND value = ? AND status = 'active'`)
  .pluck()

type Row = { json: string; key: string | number; handle: string }

function list(query: URLSearchParams): string {
  const category = query.get('category') ?? ''
  const sort = query.get('sort') ?? 'title'
  const limit = Number(query.get('limit'))
  const cursor = query.get('cursor')
  const [key, handle] =
    cursor === null
      ? (sorts[sort] as Sort).first
      : (JSON.parse(Buffer.from(cursor, 'base64url').toString()) as [string, string, string]).slice(1)
  const rows = lists[sort]?.all(category, key, handle, limit + 1) as Row[]
  const items = rows.slice(0, limit)
  const end = items.at(-1)
  const next =
    rows.length > limit && end !== undefined
      ? Buffer.from(JSON.stringify([`list:${sort}`, end.key, end.handle])).toString('base64url')
      : null
  return `{"items":[${items.map(({ json }) => json).join(',')}],"next":${JSON.stringify(next)},"total":${String(count.get(category))},"catalogVersion":${versionText}}`
}

const server = createServer((request, response) => {
  const url = request.url ?? ''
  const at = url.indexOf('?')
  const text =
    at < 0
      ? (one.get(url.slice('/api/products/'.length)) as string)
      : list(new URLSearchParams(url.slice(at)))
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
})
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
