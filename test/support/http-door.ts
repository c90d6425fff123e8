/** Doors of a fake cluster, and short words to ask them. */
import type { Logger } from '../../node/ports.ts'
import { createHttp } from '../../http/app.ts'
import type { HttpDoor } from '../../http/app.ts'
import type { FakeReplica } from './fake-replica.ts'
import type { FakeWorld } from './fake-world.ts'
import { fakeReplicas, fakeSigner } from './fake-replica.ts'

export const adminToken = 'the-token-of-the-administrator'
export const asAdmin = { authorization: `Bearer ${adminToken}` }

export type Logged = { level: string; data: object; message: string }
export type FakeDoor = { door: HttpDoor; replica: FakeReplica; url: string }
export type FakeShop = { world: FakeWorld; doors: FakeDoor[]; logged: Logged[] }

export function fakeShop(...names: string[]): FakeShop {
  const { world, replicas } = fakeReplicas(...names)
  const logged: Logged[] = []
  const log = (level: string) => (data: object, message: string) => void logged.push({ level, data, message })
  const logger: Logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') }
  const doors = replicas.map((replica) => {
    const now = (): number => world.nowMs
    const options = {
      replica,
      signer: fakeSigner,
      adminToken,
      logger,
      now,
      version: '1.2.3',
      secureCookies: false,
    }
    return { door: createHttp(options), replica, url: replica.self.url }
  })
  return { world, doors, logged }
}

export type Ask = {
  method?: string
  headers?: { [name: string]: string }
  token?: string
  json?: unknown
  body?: string | Uint8Array<ArrayBuffer>
  type?: string
}

export type Answered = {
  status: number
  headers: Headers
  text: string
  /** The body as JSON, whatever it should be: tests say what they expect of it. */
  json: Json
}
export type Json = { readonly [name: string]: Json } & readonly Json[] & (string | number | boolean | null)

export async function ask({ door, url }: FakeDoor, path: string, options: Ask = {}): Promise<Answered> {
  const headers = new Headers(options.headers)
  if (options.token !== undefined) headers.set('authorization', `Bearer ${options.token}`)
  if (options.json !== undefined) headers.set('content-type', 'application/json')
  if (options.type !== undefined) headers.set('content-type', options.type)
  const body = options.json === undefined ? options.body : JSON.stringify(options.json)
  const target = path.startsWith('http') ? path : `${url}${path}`
  const response = await door.app.request(target, {
    method: options.method ?? (body === undefined ? 'GET' : 'POST'),
    headers,
    ...(body === undefined ? {} : { body }),
  })
  const text = await response.text()
  const isJson = (response.headers.get('content-type') ?? '').includes('json')
  const json = (isJson && text !== '' && !text.includes('\n{') ? JSON.parse(text) : null) as Json
  return { status: response.status, headers: response.headers, text, json }
}

export const shirt = {
  title: 'Linen Shirt',
  description: '<p>Cool in summer.</p><script>alert(1)</script>',
  vendor: 'Loom Street',
  category: 'textiles',
  tags: ['linen', 'summer'],
  images: [{ src: 'https://images.example/shirt.jpg', alt: 'A shirt' }],
  variants: [
    { sku: 'SHIRT-S', options: { Size: 'S' }, price: { amount: 4_900, currency: 'USD' } },
    { sku: 'SHIRT-M', options: { Size: 'M' }, price: { amount: 5_200, currency: 'USD' } },
  ],
}
export const lamp = {
  title: 'Brass Lamp',
  category: 'lamps',
  variants: [{ sku: 'LAMP', price: { amount: 12_999, currency: 'USD' } }],
}
export const secret = {
  title: 'Not Yet',
  status: 'draft',
  variants: [{ sku: 'SECRET', price: { amount: 1, currency: 'USD' } }],
}

/** Puts the three products above into the catalog. */
export async function stock(door: FakeDoor): Promise<void> {
  for (const [handle, product] of Object.entries({ shirt, lamp, secret })) {
    const path = `/api/admin/products/${handle}`
    const answer = await ask(door, path, { method: 'PUT', headers: asAdmin, json: product })
    if (answer.status !== 200) throw new Error(answer.text)
  }
}

/** A guest's token, made at this door; its home is the next node in turn. */
export async function guest(door: FakeDoor): Promise<{ token: string; user: string; home: string }> {
  const { json } = await ask(door, '/api/guests', { method: 'POST' })
  return {
    token: String(json['token']),
    user: String(json['user']?.['id']),
    home: String(json['home']?.['node']),
  }
}
