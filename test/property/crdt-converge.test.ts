/**
 * Random runs against the model (DESIGN.md section 9, P4 and P6). SOUK_PROPERTY_RUNS scales the number
 * of runs, SOUK_PROPERTY_SEED draws others.
 */
import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import { test } from 'vitest'
import { CartWorld, stepKinds } from '../support/cart-world.ts'
import type { Step } from '../support/cart-world.ts'

const file = 'test/property/crdt-converge.test.ts'
const runs = Number(process.env['SOUK_PROPERTY_RUNS'] ?? 250)
const seed = Number(process.env['SOUK_PROPERTY_SEED'] ?? 20_260_101)

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...stepKinds) as fc.Arbitrary<Step['kind']>,
  replica: fc.nat(99),
  other: fc.nat(99),
  sku: fc.nat(2),
  quantity: fc.nat(99),
  pick: fc.nat(40),
})

/** How the first failing run failed and how to replay it; empty when all passed. */
function failureOf(replicasMin: number, replicasMax: number, stepsMax: number): string {
  const property = fc.property(
    fc.integer({ min: replicasMin, max: replicasMax }),
    fc.nat(0xffff_ffff),
    fc.array(step, { minLength: 1, maxLength: stepsMax, size: 'max' }),
    (replicas, worldSeed, steps) => {
      const world = new CartWorld(worldSeed, replicas)
      for (const each of steps) world.run(each)
      world.settle()
    },
  )
  const result = fc.check(property, { numRuns: runs, seed })
  if (!result.failed) return ''
  const environment = `SOUK_PROPERTY_SEED=${result.seed} SOUK_PROPERTY_RUNS=${runs}`
  const replay = `replay: ${environment} scripts/with-node npx vitest run ${file}`
  return `${fc.defaultReportMessage(result)}\n${String(result.errorInstance)}\n${replay}`
}

test(
  'two or three replicas of an account and two of a guest agree with the model',
  { timeout: 600_000 },
  () => {
    assert.equal(failureOf(2, 3, 80), '')
  },
)

test(
  'four to seven replicas of an account and two of a guest agree with the model',
  { timeout: 600_000 },
  () => {
    assert.equal(failureOf(4, 7, 140), '')
  },
)
