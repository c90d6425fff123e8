/**
 * Exit code 0 when node_modules is what package-lock.json asks for, else 1. Compares with the record that
 * npm leaves in node_modules, so an installation by hand counts as well. Runs before anything is known to
 * be installed, so it imports nothing but Node.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

type Package = { version?: string; integrity?: string; optional?: boolean; devOptional?: boolean }
export type Lock = { packages?: { [path: string]: Package } }

/** The first difference as a sentence, or null. Optional packages may be absent: most are for other platforms. */
export function lockDifference(wanted: Lock, present: Lock): string | null {
  const here = present.packages ?? {}
  const asked = wanted.packages ?? {}
  for (const [path, entry] of Object.entries(asked)) {
    if (path === '') continue
    const found = here[path]
    if (found === undefined) {
      if (entry.optional === true || entry.devOptional === true) continue
      return `${path} is missing`
    }
    if (found.version !== entry.version || found.integrity !== entry.integrity) return `${path} differs`
  }
  const extra = Object.keys(here).find((path) => asked[path] === undefined)
  return extra === undefined ? null : `${extra} is not in package-lock.json`
}

function readLock(path: string): Lock {
  return JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')) as Lock
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const difference = lockDifference(
    readLock('package-lock.json'),
    readLock('node_modules/.package-lock.json'),
  )
  if (difference !== null) {
    console.error(difference)
    process.exit(1)
  }
}
