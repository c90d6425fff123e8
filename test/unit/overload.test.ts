/** When a member is asked for less than its capacity, and for more again (DESIGN.md section 6). */
import { describe, expect, test } from 'vitest'
import { OverloadWatch } from '../../node/core/overload.ts'
import type { ShareChange } from '../../node/core/overload.ts'
import { capacityInUse, serverSet } from '../../node/core/placement.ts'
import type { MemberId, UserId } from '../../node/ids.ts'
import {
  changeCatalog,
  finish,
  lifeOf,
  primaryOf,
  until,
  votersOf,
  withSimCluster,
} from '../support/sim-cluster.ts'

const id = (text: string): MemberId => text as MemberId
const secondMs = 1_000
const minuteMs = 60_000

/** Members with loads that are functions of time, looked at once a second; what is changed takes effect. */
class Watching {
  readonly watch = new OverloadWatch()
  readonly shares = new Map<MemberId, number>()
  readonly changes: (ShareChange & { atMs: number })[] = []
  readonly dead = new Set<string>()
  #nowMs = 0

  run(durationMs: number, loads: { readonly [name: string]: (atMs: number) => number }): this {
    const endMs = this.#nowMs + durationMs
    for (; this.#nowMs < endMs; this.#nowMs += secondMs) {
      const members = Object.entries(loads).map(([name, load]) => ({
        id: id(name),
        alive: !this.dead.has(name),
        loadPercent: load(this.#nowMs),
        share: this.shares.get(id(name)) ?? 1,
      }))
      const change = this.watch.look(members, this.#nowMs)
      if (change === null) continue
      this.shares.set(change.id, change.share)
      this.changes.push({ ...change, atMs: this.#nowMs })
      this.watch.reset()
    }
    return this
  }
}

const always = (percent: number) => () => percent
const share = (watching: Watching, name: string): number => watching.shares.get(id(name)) ?? 1

describe('a member that is overloaded for long', () => {
  test('loses a quarter every two minutes, down to a quarter, and gets it back after ten idle ones', () => {
    const watching = new Watching()
    const others = { n2: always(30), n3: always(40) }
    watching.run(20 * minuteMs, { n1: always(98), ...others })
    expect(watching.changes.map((change) => change.share)).toEqual([0.75, 0.5, 0.25])
    expect(watching.changes.every((change) => change.id === 'n1')).toBe(true)
    expect(watching.changes[0]?.atMs).toBeGreaterThanOrEqual(2 * minuteMs)
    watching.run(9 * minuteMs, { n1: always(20), ...others })
    expect(share(watching, 'n1')).toBe(0.25)
    watching.run(40 * minuteMs, { n1: always(20), ...others })
    expect(watching.changes.map((change) => change.share)).toEqual([0.75, 0.5, 0.25, 0.5, 0.75, 1])
  })

  test('keeps its capacity when all are busy, when it is alone, and when the load comes and goes', () => {
    const watching = new Watching()
    watching.run(10 * minuteMs, { n1: always(99), n2: always(80), n3: always(85) })
    watching.run(10 * minuteMs, { n1: always(99) })
    const inTurns = (atMs: number): number => (atMs % minuteMs < minuteMs / 2 ? 100 : 10)
    watching.run(20 * minuteMs, { n1: inTurns, n2: always(20), n3: always(20) })
    expect(watching.changes).toEqual([])
  })

  test('dead members are no room, and are not judged by what they said last', () => {
    const watching = new Watching()
    watching.dead.add('n2')
    watching.run(10 * minuteMs, { n1: always(99), n2: always(0) })
    watching.dead.clear()
    watching.dead.add('n1')
    watching.run(10 * minuteMs, { n1: always(99), n2: always(0) })
    expect(watching.changes).toEqual([])
  })

  test('one after the other: the longest overloaded first', () => {
    const watching = new Watching()
    watching.run(30 * secondMs, { n1: always(20), n2: always(99), n3: always(20), n4: always(20) })
    watching.run(5 * minuteMs, { n1: always(99), n2: always(99), n3: always(20), n4: always(20) })
    expect(watching.changes.map((change) => change.id)).toEqual(['n2', 'n1'])
  })
})

test('a share moves users away as a smaller capacity does, and only those that it must', () => {
  const members = ['n1', 'n2', 'n3', 'n4', 'n5'].map((name) => ({ id: id(name), capacity: 2 }))
  const spared = members.map((member) => (member.id === 'n1' ? { ...member, capacityShare: 0.5 } : member))
  const smaller = members.map((member) => (member.id === 'n1' ? { ...member, capacity: 1 } : member))
  expect(spared.map(capacityInUse)).toEqual([1, 2, 2, 2, 2])
  for (let number = 0; number < 500; number += 1) {
    const user = `user${number}` as UserId
    const sets = [members, spared, smaller].map((list) => serverSet(user, list, 3))
    expect(sets[1]).toEqual(sets[2])
    const hadIt = (sets[0] as MemberId[]).includes(id('n1'))
    expect(hadIt || String(sets[1]) === String(sets[0])).toBe(true)
  }
})

test('the primary puts it into the log, and every node places users by it', async () => {
  await withSimCluster({ nodes: 3 }, async (cluster) => {
    await until(cluster, 'three voters', () => votersOf(cluster).length === 3)
    const busy = cluster.hosts.find((host) => host !== primaryOf(cluster))
    if (busy === undefined) throw new Error('there are three')
    busy.loadPercent = 97
    const inUse = () =>
      cluster.hosts.map(
        (host) =>
          lifeOf(host)
            .api.cluster.view()
            .members.find(({ node }) => node === busy.name)?.capacityInUse,
      )
    await cluster.runFor(2 * minuteMs)
    expect(inUse()).toEqual([1, 1, 1])
    await until(cluster, 'it is spared', () => inUse().every((capacity) => capacity === 0.75))
    await finish(cluster, 'a change', changeCatalog(busy))
  })
})
