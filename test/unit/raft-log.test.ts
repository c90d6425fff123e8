/** Model test: the log of memory and disk together against a plain array of everything. */
import assert from 'node:assert/strict'
import { test } from 'vitest'
import { entrySizeBytes, RaftLog, tailEntriesMax } from '../../node/core/raft/log.ts'
import type { LogEntry } from '../../node/core/raft/types.ts'
import { MemoryLog } from '../support/raft-cluster.ts'
import { randomFrom } from '../support/raft-simulation.ts'

const seeds = 300
const stepsPerSeed = 60

/** The obvious log: an array. `disk` is written late, as a driver does. */
class Model {
  readonly disk = new MemoryLog()
  readonly log = new RaftLog(this.disk)
  entries: LogEntry[] = []
  commitIndex = 0
  #unwritten: { truncateFrom: number; entries: LogEntry[] }[] = []

  append(term: number, data: string): void {
    const entry: LogEntry = { index: this.entries.length + 1, term, kind: 'command', data }
    this.entries.push(entry)
    this.log.append(entry)
    this.#unwritten.push({ truncateFrom: entry.index, entries: [entry] })
  }
  truncateFrom(index: number): void {
    this.entries.length = index - 1
    this.log.truncateFrom(index)
    this.#unwritten.push({ truncateFrom: index, entries: [] })
  }
  write(): void {
    for (const { truncateFrom, entries } of this.#unwritten) {
      this.disk.truncateFrom(truncateFrom)
      for (const entry of entries) this.disk.append(entry)
    }
    this.#unwritten = []
    this.log.persisted(this.disk.lastIndex(), this.disk.termAt(this.disk.lastIndex()) ?? 0)
  }
  check(random: () => number, why: string): void {
    const { log, entries } = this
    const first = this.disk.snapshotIndex()
    assert.equal(log.lastIndex, entries.length, why)
    assert.equal(log.lastTerm, entries.at(-1)?.term ?? 0, why)
    assert(log.stableIndex <= this.disk.lastIndex(), why)
    const index = first + Math.floor(random() * (entries.length + 2 - first))
    const expected = index === 0 ? 0 : entries[index - 1]?.term
    assert.equal(log.termAt(index), expected, `${why}, term at ${index}`)
    const from = Math.max(index, first + 1)
    if (from > entries.length) return
    const through = from + Math.floor(random() * (entries.length - from + 1))
    assert.deepEqual([...log.entries(from, through, Infinity)], entries.slice(from - 1, through), why)
    const some = log.entries(from, through, 150)
    assert(some.length > 0, why)
    assert.deepEqual([...some], entries.slice(from - 1, from - 1 + some.length), why)
  }
}

test('memory and disk together are one log, whatever is written when', () => {
  let checks = 0
  for (let seed = 0; seed < seeds; seed += 1) {
    const random = randomFrom(seed)
    const model = new Model()
    let term = 1
    for (let step = 0; step < stepsPerSeed; step += 1) {
      const kind = random()
      const last = model.entries.length
      if (kind < 0.5)
        for (let count = random() * 5; count > 0; count -= 1) model.append(term, `${seed} ${step}`)
      else if (kind < 0.65 && last > model.commitIndex) {
        model.truncateFrom(model.commitIndex + 1 + Math.floor(random() * (last - model.commitIndex)))
        term += 1
      } else if (kind < 0.8) model.write()
      else if (kind < 0.95)
        model.commitIndex += Math.floor(random() * (model.log.stableIndex - model.commitIndex + 1))
      else model.disk.compact(Math.floor(random() * Math.min(model.commitIndex, model.log.stableIndex)))
      model.commitIndex = Math.max(model.commitIndex, model.disk.snapshotIndex())
      model.log.shrink(model.commitIndex)
      model.check(random, `seed ${seed} step ${step}`)
      checks += 1
    }
  }
  assert.equal(checks, seeds * stepsPerSeed)
})

test('what is on disk and committed is dropped from memory beyond the bound, and found on disk', () => {
  const model = new Model()
  const count = 3 * tailEntriesMax
  for (let index = 1; index <= count; index += 1) model.append(1, `"${index}"`)
  model.log.shrink(count)
  model.write()
  model.log.shrink(count)
  const reads: number[] = []
  const real = model.disk.entries.bind(model.disk)
  model.disk.entries = (from, through, sizeBytesMax) => {
    reads.push(from)
    return real(from, through, sizeBytesMax)
  }
  assert.equal(model.log.entries(count - 10, count, Infinity).length, 11)
  assert.deepEqual(reads, [], 'the newest entries come from memory')
  assert.equal(model.log.entries(1, 5, Infinity).length, 5)
  assert.deepEqual(reads, [1])
})

test('a persisted report of an entry that was cut off since says nothing', () => {
  const model = new Model()
  model.append(1, 'a')
  model.truncateFrom(1)
  model.append(2, 'b')
  model.log.persisted(1, 1)
  assert.equal(model.log.stableIndex, 0)
  model.log.persisted(1, 2)
  assert.equal(model.log.stableIndex, 1)
})

test('findConflict goes back whole terms (Raft section 5.3, last part)', () => {
  const model = new Model()
  for (const term of [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]) model.append(term, '')
  assert.equal(model.log.findConflict(9, 3, 0), 3)
  assert.equal(model.log.findConflict(9, 5, 0), 7)
  assert.equal(model.log.findConflict(20, 6, 0), 10)
  assert.equal(model.log.findConflict(9, 0, 0), 0)
  assert.equal(model.log.findConflict(9, 0, 2), 2)
})

test('sizes count every entry, also an empty one', () => {
  assert(entrySizeBytes({ index: 1, term: 1, kind: 'noop', data: '' }) > 0)
})
