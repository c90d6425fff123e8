/** The rules of DESIGN.md section 10 about the code itself: rooms, sizes, and what must not be in the repository. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { violations } from '../support/rooms.ts'
import { factsOf, repositoryFiles, root } from '../support/sources.ts'

const fileLinesMax = 400
const files = repositoryFiles()
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const isSource = (path: string): boolean => /\.tsx?$/.test(path)

describe('the repository', () => {
  test('keeps the import rule, and time and chance in their places', () => {
    const found = files.filter(isSource).flatMap((path) => violations(path, factsOf(path, read(path))))
    expect(found.join('\n')).toBe('')
  })

  test(`has no file above ${fileLinesMax} lines`, () => {
    const measured = files.filter((path) => /\.(tsx?|m?js|sh|css)$|^\.ci\/|^scripts\/[^./]+$/.test(path))
    const found = measured
      .map((path) => ({ path, lines: read(path).trimEnd().split('\n').length }))
      .filter(({ lines }) => lines > fileLinesMax)
      .map(({ path, lines }) => `${path} has ${lines} lines`)
    expect(found.join('\n')).toBe('')
  })

  test('names no package registry and no place on one machine', () => {
    const binary = /\.(png|jpe?g|gif|ico|woff2?|gz|db)$/
    const found = files.filter((path) => !binary.test(path)).flatMap((path) => foreignNames(path, read(path)))
    expect(found.join('\n')).toBe('')
  })

  test('locks packages without saying where they were downloaded', () => {
    const lock = JSON.parse(read('package-lock.json')) as {
      packages: { [path: string]: { resolved?: string } }
    }
    const hosts = Object.entries(lock.packages).filter(([, { resolved }]) => resolved !== undefined)
    expect(hosts.map(([path, { resolved }]) => `${path}: ${resolved}`).join('\n')).toBe('')
  })
})

/** Short roots such as /app are words in many a URL, so only deeper ones are looked for. */
const machinePaths = [root, homedir()].filter((path) => path.split('/').length > 2)
const foreign = /\bregistry\.[a-z0-9-]+\.[a-z]+|(?<![\w./:-])\/(work|root|Users|home)\/[\w.-]+\/[\w.-]+/i

function foreignNames(path: string, text: string): string[] {
  const lines = text.split('\n')
  return lines.flatMap((line, index) => {
    const found = machinePaths.find((machinePath) => line.includes(machinePath)) ?? foreign.exec(line)?.[0]
    return found === undefined ? [] : [`${path}:${index + 1} has ${found}`]
  })
}

describe('the checker itself', () => {
  const check = (path: string, source: string): string[] => violations(path, factsOf(path, source))

  const forbidden: [string, string][] = [
    ['crdt/a.ts', `import { step } from '../node/core/raft/raft.ts'`],
    ['crdt/a.ts', `import { readFileSync } from 'node:fs'`],
    ['node/core/a.ts', `import { open } from '../store/open.ts'`],
    ['node/core/a.ts', `import { value } from '../ports.ts'`],
    ['node/core/a.ts', `import { randomBytes } from 'node:crypto'`],
    ['node/core/a.ts', `export * from '../replica.ts'`],
    ['node/core/a.ts', `const late = await import('../net/streams.ts')`],
    ['node/core/a.ts', `const now = Date.now()`],
    ['node/core/a.ts', `const now = globalThis.Date.now()`],
    ['node/core/a.ts', `const chance = Math['random']()`],
    ['node/store/a.ts', `import type { Frame } from '../net/frames.ts'`],
    ['node/store/a.ts', `setTimeout(() => {}, 1)`],
    ['node/store/a.ts', `import { randomUUID } from 'node:crypto'`],
    ['node/net/a.ts', `import Database from 'better-sqlite3'`],
    ['node/replica/a.ts', `import { openStores } from '../store/open.ts'`],
    ['node/replica/a.ts', `import { setTimeout as sleep } from 'node:timers/promises'`],
    ['http/a.tsx', `import { Replica } from '../node/replica.ts'`],
    ['http/a.tsx', `import Database from 'better-sqlite3'`],
    ['test/unit/a.test.ts', `import '../../node/main.ts'`],
  ]
  test.each(forbidden)('%s may not: %s', (path, source) => {
    expect(check(path, source)).not.toEqual([])
  })

  const permitted: [string, string][] = [
    ['crdt/a.ts', `import * as Y from 'yjs'; import { createHash } from 'node:crypto'`],
    ['node/core/a.ts', `import type { Clock } from '../ports.ts'; import { type Random } from '../ports.ts'`],
    [
      'node/core/a.ts',
      `// Date.now() in a comment\nconst text = 'setTimeout'; const o = { performance: 1 }; o.performance`,
    ],
    ['node/core/a.ts', `type Stamp = { Date: string; setTimeout(): void }`],
    ['node/store/a.ts', `import Database from 'better-sqlite3'; import { join } from 'node:path'`],
    ['node/net/a.ts', `import { createLibp2p } from 'libp2p'; setTimeout(() => {}, 1)`],
    [
      'node/main.ts',
      `import { openStores } from './store/open.ts'; import { app } from '../http/app.ts'; Date.now()`,
    ],
    ['node/system.ts', `export const wallMs = () => Date.now()`],
    ['http/a.tsx', `import type { Replica } from '../node/replica.ts'; const page = <p>Date</p>`],
  ]
  test.each(permitted)('%s may: %s', (path, source) => {
    expect(check(path, source)).toEqual([])
  })

  test('says where, and what', () => {
    expect(check('node/core/a.ts', `\nconst now = Date.now()`)).toEqual([
      'node/core/a.ts:2 names Date; use a port',
    ])
  })
})
