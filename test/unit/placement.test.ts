import { describe, expect, test } from 'vitest'
import {
  hasClearlyMoreUsers,
  hasMoreUsers,
  isMuchBusier,
  leastLoaded,
  serverSet,
} from '../../node/core/placement.ts'
import type { Load } from '../../node/core/placement.ts'
import type { MemberId, UserId } from '../../node/ids.ts'

const user = (number: number): UserId => `g20000-${number.toString(16).padStart(24, '0')}` as UserId
const members = (count: number, capacity = 1): { id: MemberId; capacity: number }[] =>
  Array.from({ length: count }, (_, index) => ({ id: `member${index + 1}` as MemberId, capacity }))

describe('server sets', () => {
  test('do not depend on the order of the members list', () => {
    const list = members(9)
    for (let number = 0; number < 50; number += 1)
      expect(serverSet(user(number), list.toReversed(), 3)).toEqual(serverSet(user(number), list, 3))
  })

  // Placement decides where carts are: another answer after an upgrade would strand them.
  test('stay what they were in the first release', () => {
    const first = [1, 2].map((number) => serverSet(user(number), members(5), 3).join(' '))
    expect(first).toEqual(['member1 member3 member5', 'member2 member4 member5'])
  })

  test('are as large as there are members with capacity', () => {
    expect(serverSet(user(1), [], 3)).toEqual([])
    expect(serverSet(user(1), members(2), 3)).toHaveLength(2)
    const list = members(4).map((member, index) => ({ ...member, capacity: index === 0 ? 0 : 1 }))
    for (let number = 0; number < 200; number += 1)
      expect(serverSet(user(number), list, 3)).not.toContain('member1')
  })

  test('give each member users in proportion to its capacity', () => {
    const list = members(4).map((member, index) => ({ ...member, capacity: index === 0 ? 3 : 1 }))
    let first = 0
    for (let number = 0; number < 6_000; number += 1)
      if (serverSet(user(number), list, 1)[0] === 'member1') first += 1
    expect(first / 6_000).toBeGreaterThan(0.47)
    expect(first / 6_000).toBeLessThan(0.53)
  })
})

describe('the least loaded', () => {
  const loads = new Map<string, Load>([
    ['a', { users: 10, loadPercent: 10, capacity: 1 }],
    ['b', { users: 10, loadPercent: 20, capacity: 2 }],
    ['c', { users: 0, loadPercent: 90, capacity: 1 }],
    ['d', { users: 10, loadPercent: 5, capacity: 1 }],
  ])
  const least = (...candidates: string[]): MemberId | null =>
    leastLoaded(candidates as MemberId[], (member) => loads.get(member) as Load)

  test('has the fewest users for its capacity among the not busy; the first of equals', () => {
    expect(least('a', 'b', 'c', 'd')).toBe('b')
    expect(least('a', 'c')).toBe('a')
    expect(least('d', 'a')).toBe('d')
    expect(least('a', 'd')).toBe('a')
    expect(least()).toBe(null)
  })

  test('migration needs a clear difference to begin, ends when it is small, and never turns it round', () => {
    const load = (users: number, loadPercent = 0, capacity = 1): Load => ({ users, loadPercent, capacity })
    expect(hasClearlyMoreUsers(load(60), load(0))).toBe(true)
    expect(hasClearlyMoreUsers(load(15), load(0))).toBe(false)
    expect(hasClearlyMoreUsers(load(110), load(100))).toBe(false)
    expect(hasClearlyMoreUsers(load(60), load(0, 0, 0))).toBe(false)
    expect(hasMoreUsers(load(110), load(100))).toBe(true)
    expect(hasMoreUsers(load(103), load(100))).toBe(false)
    expect(hasMoreUsers(load(60), load(0, 0, 0))).toBe(false)
    expect(isMuchBusier(load(10, 95), load(10, 20))).toBe(true)
    expect(isMuchBusier(load(10, 60), load(10, 20))).toBe(false)
    const turnedRound: string[] = []
    for (const [capacityFrom, capacityTo] of [
      [1, 1],
      [1, 4],
      [4, 1],
    ] as const)
      for (let from = 0; from < 400; from += 7)
        for (let to = 0; to < 400; to += 5) {
          const [before, after] = [load(from, 0, capacityFrom), load(to, 0, capacityTo)]
          if (!hasMoreUsers(before, after) && !hasClearlyMoreUsers(before, after)) continue
          const back = [load(to + 1, 0, capacityTo), load(from - 1, 0, capacityFrom)] as const
          if (hasClearlyMoreUsers(...back) || hasMoreUsers(...back)) turnedRound.push(`${from} to ${to}`)
        }
    expect(turnedRound).toEqual([])
  })
})

/** Sets of 6,000 users before and after one more member: how many places the newcomer took, and how many others changed. */
test('one more member of N takes its share of the places, and nobody else moves', () => {
  for (const count of [3, 5, 10, 25]) {
    const [before, after] = [members(count), members(count + 1)]
    const newcomer = `member${count + 1}`
    const size = 3
    let [taken, others] = [0, 0]
    for (let number = 0; number < 6_000; number += 1) {
      const [old, now] = [serverSet(user(number), before, size), serverSet(user(number), after, size)]
      if ((now as string[]).includes(newcomer)) taken += 1
      others += now.filter((member) => member !== newcomer && !old.includes(member)).length
    }
    expect(others).toBe(0)
    // Each set has three places of N + 1 members: a set changes with a chance of 3 / (N + 1), a place with 1 / (N + 1).
    expect((taken / (6_000 * size)) * (count + 1), `${count} members`).toBeGreaterThan(0.9)
    expect((taken / (6_000 * size)) * (count + 1), `${count} members`).toBeLessThan(1.1)
  }
})
