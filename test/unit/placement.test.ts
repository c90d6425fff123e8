import { describe, expect, test } from 'vitest'
import { isClearlyMoreLoaded, leastLoaded, serverSet } from '../../node/core/placement.ts'
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

  test('migration needs a clear difference, and one move never turns it round', () => {
    const load = (users: number, loadPercent = 0, capacity = 1): Load => ({ users, loadPercent, capacity })
    expect(isClearlyMoreLoaded(load(60), load(0))).toBe(true)
    expect(isClearlyMoreLoaded(load(15), load(0))).toBe(false)
    expect(isClearlyMoreLoaded(load(110), load(100))).toBe(false)
    expect(isClearlyMoreLoaded(load(10, 95), load(10, 20))).toBe(true)
    expect(isClearlyMoreLoaded(load(60), load(0, 0, 0))).toBe(false)
    const turnedRound: string[] = []
    for (let from = 0; from < 200; from += 7)
      for (let to = 0; to < 200; to += 5) {
        const isBack = isClearlyMoreLoaded(load(to + 1), load(from - 1))
        if (isClearlyMoreLoaded(load(from), load(to)) && isBack) turnedRound.push(`${from} to ${to}`)
      }
    expect(turnedRound).toEqual([])
  })
})
