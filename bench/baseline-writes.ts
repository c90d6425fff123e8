/**
 * A bare server for comparison: Hono, and one row by better-sqlite3 in a commit of its own with synchronous=FULL, without
 * schemas, sessions, carts or anything else. `baseline-writes.ts FILE` prints its port.
 */
import { serve } from '@hono/node-server'
import Database from 'better-sqlite3'
import { Hono } from 'hono'

const database = new Database(process.argv[2])
database.pragma('journal_mode = WAL')
database.pragma('synchronous = FULL')
database.exec('CREATE TABLE items (id INTEGER PRIMARY KEY, user TEXT, sku TEXT, quantity INTEGER)')
const insert = database.prepare('INSERT INTO items (user, sku, quantity) VALUES (?, ?, ?)')

const app = new Hono()
app.post('/api/cart/items', async (context) => {
  const { sku, quantity } = await context.req.json<{ sku: string; quantity: number }>()
  insert.run(context.req.header('authorization'), sku, quantity)
  return context.json({ sku, quantity })
})
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => console.log(port))
