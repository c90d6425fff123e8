/**
 * The simulated cluster is itself tested: each broken variant of the product must be found within a bounded number of
 * worlds, and the product as it is must keep its promises in the very world that found it. `npm run sim:broken` tries
 * every variant in SIM_BROKEN_SEEDS worlds instead (default 20), and says in how many it was found.
 */
import assert from 'node:assert/strict'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { variants } from './broken-variants.ts'
import type { Replacement, Variant } from './broken-variants.ts'
import * as intact from './world.ts'

const root = '../..'
const timeLimitMs = 600_000
const surveySeeds = Number(process.env['SIM_BROKEN_SEEDS'] ?? 0)

/** A broken node's promises may fail after its world has ended; only what a world reports counts here. */
const listeners = process.listeners('unhandledRejection')
beforeAll(() => {
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', () => undefined)
})
afterAll(() => {
  process.removeAllListeners('unhandledRejection')
  for (const listener of listeners) process.on('unhandledRejection', listener)
})

let replaced: string[] = []

function putBack(): void {
  for (const file of replaced) vi.doUnmock(`${root}/${file}`)
  replaced = []
  vi.resetModules()
}

/** The simulation over modules that are loaded anew, with these changes. */
async function simulationOf(replacements: readonly Replacement[]): Promise<typeof intact> {
  putBack()
  for (const { file, change } of replacements) {
    replaced.push(file)
    vi.doMock(`${root}/${file}`, async (load: () => Promise<object>) => {
      const real = await load()
      return { ...real, ...change(real) }
    })
  }
  return await import('./world.ts')
}

async function broken({ replacements, circumstances = [] }: Variant): Promise<typeof intact> {
  return await simulationOf([...circumstances, ...replacements])
}

async function unbroken({ circumstances }: Variant): Promise<typeof intact> {
  return circumstances === undefined ? intact : await simulationOf(circumstances)
}

afterEach(putBack)

function shows(variant: Variant, violations: readonly string[]): boolean {
  return violations.some((violation) => variant.shownBy.test(violation))
}

/** The first of its worlds that shows that the variant is broken; null when none does. */
async function firstFinding(variant: Variant): Promise<number | null> {
  const { runWorld } = await broken(variant)
  const last = variant.firstSeed + variant.seedsMax
  for (let seed = variant.firstSeed; seed < last; seed += 1) {
    const { violations } = await runWorld({ seed, trace: false, endsAtViolation: true })
    if (shows(variant, violations)) return seed
  }
  return null
}

// Not test.each: it cuts long names short.
for (const variant of variants) {
  test.runIf(surveySeeds === 0)(`finds: ${variant.name}`, { timeout: timeLimitMs }, async () => {
    const seed = await firstFinding(variant)
    assert(seed !== null, `not found in ${variant.seedsMax} worlds from seed ${variant.firstSeed} on`)
    const { runWorld } = await unbroken(variant)
    const { violations } = await runWorld({ seed, trace: false })
    expect(violations, `the intact product, seed ${seed}`).toEqual([])
  })

  test.runIf(surveySeeds > 0)(`how often: ${variant.name}`, { timeout: timeLimitMs }, async () => {
    const { runWorld } = await broken(variant)
    const found: number[] = []
    const others = new Set<string>()
    for (let seed = 1; seed <= surveySeeds; seed += 1) {
      const { violations } = await runWorld({ seed, trace: false, endsAtViolation: true })
      if (shows(variant, violations)) found.push(seed)
      else if (violations[0] !== undefined) others.add(violations[0].slice(0, 300))
    }
    console.log(
      [`${variant.name}: ${found.length} of ${surveySeeds} (${found.join(' ')})`, ...others].join('\n  '),
    )
    expect(found).not.toEqual([])
  })
}
