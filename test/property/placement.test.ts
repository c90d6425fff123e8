/** Joins and leaves move only the users that they must (DESIGN.md section 6). */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { serverSet } from '../../node/core/placement.ts'
import type { MemberId, UserId } from '../../node/ids.ts'

const member = fc.record({
  id: fc.integer({ min: 1, max: 60 }).map((number) => `member${number}` as MemberId),
  capacity: fc.double({ min: 0, max: 10, noNaN: true }),
})
const list = fc.uniqueArray(member, { selector: ({ id }) => id, maxLength: 25 })
const user = fc
  .uint8Array({ minLength: 12, maxLength: 12 })
  .map((bytes) => `g20000-${Buffer.from(bytes).toString('hex')}` as UserId)

test('a join puts at most the newcomer into a set, in place of the last', () => {
  fc.assert(
    fc.property(list, member, user, fc.integer({ min: 1, max: 5 }), (members, newcomer, who, size) => {
      fc.pre(members.every(({ id }) => id !== newcomer.id))
      const before = serverSet(who, members, size)
      const after = serverSet(who, [...members, newcomer], size)
      const without = after.filter((id) => id !== newcomer.id)
      expect(before.slice(0, without.length)).toEqual(without)
      expect(before.length - without.length).toBeLessThanOrEqual(1)
    }),
  )
})

test('a leave brings in at most one other, at the end, and changes no order', () => {
  fc.assert(
    fc.property(list, fc.nat(), user, fc.integer({ min: 1, max: 5 }), (members, pick, who, size) => {
      fc.pre(members.length > 0)
      const leaving = members[pick % members.length]?.id
      const before = serverSet(who, members, size).filter((id) => id !== leaving)
      const after = serverSet(
        who,
        members.filter(({ id }) => id !== leaving),
        size,
      )
      expect(after.slice(0, before.length)).toEqual(before)
      expect(after.length - before.length).toBeLessThanOrEqual(1)
    }),
  )
})

test('members without capacity are in no set, all others can be', () => {
  fc.assert(
    fc.property(list, user, (members, who) => {
      const able = members.filter(({ capacity }) => capacity > 0)
      expect(new Set(serverSet(who, members, 100))).toEqual(new Set(able.map(({ id }) => id)))
    }),
  )
})
