/** Styles, scripts and drawings, all served by the node itself. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { html } from 'hono/html'
import { Fault } from '../../node/faults.ts'
import { matches } from '../routes/catalog.ts'
import type { Shop } from '../shop.ts'
import { atVersion, headerOf } from '../shop.ts'

const script = 'text/javascript; charset=utf-8'
const style = 'text/css; charset=utf-8'

/** Name in addresses → where it is and what it is. */
const files: { readonly [name: string]: { readonly url: string; readonly type: string } } = {
  'pico.css': { url: import.meta.resolve('@picocss/pico/css/pico.min.css'), type: style },
  'htmx.js': { url: import.meta.resolve('htmx.org/dist/htmx.min.js'), type: script },
  'souk.css': { url: new URL('../assets/souk.css', import.meta.url).href, type: style },
  'office.css': { url: new URL('../assets/office.css', import.meta.url).href, type: style },
  'shop.js': { url: new URL('../assets/shop.js', import.meta.url).href, type: script },
  'cluster.js': { url: new URL('../assets/cluster.js', import.meta.url).href, type: script },
  'souk.svg': { url: new URL('../assets/souk.svg', import.meta.url).href, type: 'image/svg+xml' },
}

type Asset = { readonly bytes: Uint8Array<ArrayBuffer>; readonly type: string; readonly etag: string }

function load(name: string): Asset | null {
  const file = Object.hasOwn(files, name) ? files[name] : undefined
  if (file === undefined) return null
  const bytes = new Uint8Array(readFileSync(fileURLToPath(file.url)))
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 16)}"`
  return { bytes, type: file.type, etag }
}

/** Kept for a day without asking, then asked about by its tag: names stay the same over versions. */
const keep = 'public, max-age=86400'

const palettes = [
  ['#c2571a', '#f2b880', '#fdf6ec'],
  ['#1f6f6b', '#8fc1a9', '#eef6f2'],
  ['#7a3b69', '#d8a7c7', '#f8eff5'],
  ['#2f4b7c', '#9db4d6', '#eef2f8'],
  ['#8a6d1d', '#e2c36b', '#fbf6e4'],
  ['#8c2f39', '#e0a3a8', '#fbeff0'],
] as const

/** A tile of the bazaar with the product's initials; the same name always gets the same one. */
async function placeholder(name: string): Promise<string> {
  const hash = createHash('sha256').update(name).digest()
  const [dark, middle, light] = palettes[(hash[0] ?? 0) % palettes.length] ?? palettes[0]
  const size = 40 + ((hash[1] ?? 0) % 4) * 10
  const words = name.split(/[^\p{L}\p{N}]+/u).filter((word) => word !== '')
  const initials = words
    .slice(0, 2)
    .map((word) => String.fromCodePoint(word.codePointAt(0) ?? 0x20).toUpperCase())
    .join('')
  const turn = ((hash[2] ?? 0) % 2) * 45
  const half = size / 2
  const text = await html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300">
    <defs>
      <pattern
        id="t"
        width="${size}"
        height="${size}"
        patternUnits="userSpaceOnUse"
        patternTransform="rotate(${turn})"
      >
        <rect width="${size}" height="${size}" fill="${light}" />
        <g fill="none" stroke="${middle}" stroke-width="2">
          <rect x="${size * 0.2}" y="${size * 0.2}" width="${size * 0.6}" height="${size * 0.6}" />
          <rect
            x="${size * 0.2}"
            y="${size * 0.2}"
            width="${size * 0.6}"
            height="${size * 0.6}"
            transform="rotate(45 ${half} ${half})"
          />
          <circle cx="${half}" cy="${half}" r="${size * 0.12}" />
        </g>
      </pattern>
    </defs>
    <rect width="400" height="300" fill="url(#t)" />
    <circle cx="200" cy="150" r="74" fill="${light}" stroke="${dark}" stroke-width="4" />
    <text
      x="200"
      y="150"
      dy=".35em"
      text-anchor="middle"
      font-family="Georgia, serif"
      font-size="58"
      fill="${dark}"
    >
      ${initials}
    </text>
  </svg>`
  return text.toString()
}

export function assetRoutes(shop: Shop): void {
  const loaded = new Map<string, Asset | null>(Object.keys(files).map((name) => [name, load(name)]))
  shop.app.get(
    '/assets/:name',
    atVersion(shop, (context) => {
      const asset = loaded.get(context.req.param('name') ?? '') ?? null
      if (asset === null) throw new Fault('not-found', 'there is no such file')
      const headers = { ETag: asset.etag, 'Cache-Control': keep, 'X-Content-Type-Options': 'nosniff' }
      const seen = headerOf(context, 'if-none-match')
      if (seen !== undefined && matches(seen, asset.etag)) return shop.answers.empty(304, headers)
      return shop.answers.raw(asset.bytes, 200, { ...headers, 'Content-Type': asset.type })
    }),
  )
  shop.app.get(
    '/assets/placeholder/:name',
    atVersion(shop, async (context) => {
      const name = (context.req.param('name') ?? '')
        .replace(/\.svg$/, '')
        .slice(0, 100)
        .toWellFormed()
      return shop.answers.raw(await placeholder(name.replaceAll('\0', '')), 200, {
        'Content-Type': 'image/svg+xml',
        'Cache-Control': keep,
        'X-Content-Type-Options': 'nosniff',
        'Content-Security-Policy': "default-src 'none'",
      })
    }),
  )
}
