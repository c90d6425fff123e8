/** When the log is cut: bounded in entries and bytes, never what is not applied, never what a live member needs now. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  logEntriesHeldMax,
  logEntriesMax,
  logSizeBytesHeldMax,
  logSizeBytesMax,
  stepEntriesMax,
  stepSizeBytesMax,
  truncateThrough,
} from '../../node/core/log-truncation.ts'
import type { LogExtent } from '../../node/core/log-truncation.ts'

const extent = (more: Partial<LogExtent>): LogExtent => ({
  snapshotIndex: 0,
  lastIndex: 100,
  appliedIndex: more.lastIndex ?? 100,
  sizeBytes: 100_000,
  needed: [],
  erasedIndex: 0,
  ...more,
})

/** Cuts until nothing is due; returns where the log begins then. */
function cutAll(start: LogExtent): number {
  let { snapshotIndex } = start
  for (;;) {
    const entries = start.lastIndex - snapshotIndex
    const sizeBytes = (start.sizeBytes / (start.lastIndex - start.snapshotIndex)) * entries
    const through = truncateThrough({ ...start, snapshotIndex, sizeBytes })
    if (through === null) return snapshotIndex
    snapshotIndex = through
  }
}

describe('the log', () => {
  test('is left alone while it is small', () => {
    expect(truncateThrough(extent({}))).toBeNull()
    expect(truncateThrough(extent({ lastIndex: logEntriesMax, sizeBytes: logSizeBytesMax }))).toBeNull()
    expect(truncateThrough(extent({ lastIndex: 0, sizeBytes: 8_192 }))).toBeNull()
  })

  test('keeps its newest entries, by number and by bytes', () => {
    expect(cutAll(extent({ lastIndex: 100_000, sizeBytes: 1_000_000 }))).toBe(100_000 - logEntriesMax)
    const large = cutAll(extent({ lastIndex: 1_000, sizeBytes: 100 * 1024 * 1024 }))
    expect((1_000 - large) * 102.4 * 1024).toBeLessThan(logSizeBytesMax + stepSizeBytesMax)
    expect((1_000 - large) * 102.4 * 1024).toBeGreaterThanOrEqual(logSizeBytesMax - 103 * 1024)
  })

  test('holds what a live member goes on from, but not for ever', () => {
    const behind = { lastIndex: 100_000, sizeBytes: 1_000_000, needed: [5_500, 90_000] }
    expect(cutAll(extent(behind))).toBe(5_500)
    const far = { ...behind, lastIndex: logEntriesHeldMax + 50_000 }
    expect(far.lastIndex - cutAll(extent(far))).toBeGreaterThan(logEntriesHeldMax - stepEntriesMax)
    expect(cutAll(extent(far))).toBeGreaterThan(5_500)
    const heavy = { lastIndex: 1_000, sizeBytes: logSizeBytesHeldMax + 64 * 1024 * 1024, needed: [0] }
    expect(cutAll(extent(heavy))).toBeGreaterThan(0)
  })

  test('loses what was personal of an erased account though it is small, but never what a live member needs', () => {
    expect(cutAll(extent({ erasedIndex: 60 }))).toBe(60)
    expect(cutAll(extent({ erasedIndex: 60, appliedIndex: 40 }))).toBe(40)
    expect(cutAll(extent({ erasedIndex: 60, needed: [30, 90] }))).toBe(30)
    expect(cutAll(extent({ erasedIndex: 60, snapshotIndex: 70 }))).toBe(70)
  })

  test('goes in small steps, and loses nothing that is not applied or is needed', () => {
    const number = fc.integer({ min: 0, max: 500_000 })
    fc.assert(
      fc.property(
        number,
        number,
        number,
        fc.nat(1_000_000_000),
        fc.array(number),
        fc.oneof(fc.constant(0), number),
        (a, b, c, sizeBytes, needed, erasedIndex) => {
          const [snapshotIndex, appliedIndex, lastIndex] = [a, b, c].sort((x, y) => x - y) as [
            number,
            number,
            number,
          ]
          const given = { snapshotIndex, appliedIndex, lastIndex, sizeBytes, needed, erasedIndex }
          const through = truncateThrough(given)
          if (through === null) return
          const entries = lastIndex - snapshotIndex
          expect(through).toBeGreaterThan(snapshotIndex)
          expect(through).toBeLessThanOrEqual(appliedIndex)
          expect(through - snapshotIndex).toBeLessThanOrEqual(stepEntriesMax)
          const left = lastIndex - through
          const isLongStill = left >= logEntriesMax || (left * sizeBytes) / entries >= logSizeBytesMax * 0.999
          expect(isLongStill || through <= erasedIndex).toBe(true)
          const isOverHeld = entries > logEntriesHeldMax || sizeBytes > logSizeBytesHeldMax
          for (const index of needed) expect(index >= through || isOverHeld).toBe(true)
        },
      ),
    )
  })
})
