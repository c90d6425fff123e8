/** `cluster.begin` and `member.*` applied (DESIGN.md sections 2 and 3). */
import { describe, expect, test } from 'vitest'
import type { MemberRecord } from '../../node/commands.ts'
import { commandLevel, lowestLevel } from '../../node/commands.ts'
import { applyEntry } from '../../node/core/apply.ts'
import { stateDigest } from '../../node/core/apply/state.ts'
import type { CommandId, MemberId } from '../../node/ids.ts'
import { Applying, applying, memberJoin, memoryStores } from '../support/store-world.ts'

const id = (text: string): MemberId => text as MemberId

function join(shop: Applying, name: string, memberId = `id${name}`, more = {}) {
  return shop.run({ kind: 'member.join', member: { ...memberJoin(name, memberId), ...more } })
}

const names = (shop: Applying): string[] =>
  shop.shop.read.members().map((member) => `${member.node}=${member.id}`)

describe('members', () => {
  test('a cluster begins once', () => {
    const shop = new Applying(memoryStores().shop)
    expect(join(shop, 'n9').result).toMatchObject({ ok: false, code: 'conflict' })
    shop.begin()
    expect(shop.shop.read.currency()).toBe('USD')
    expect(shop.shop.read.members()).toEqual([{ ...memberJoin('n1'), draining: false, joinedIndex: 2 }])
    const again = shop.run({ kind: 'cluster.begin', currency: 'EUR', member: memberJoin('n2') })
    expect([again.result.ok, again.membersChanged, shop.shop.read.currency()]).toEqual([false, false, 'USD'])
  })

  test('joining sets the version to the index; the same again changes nothing', () => {
    const shop = applying()
    const first = join(shop, 'n2')
    expect([first.membersChanged, shop.shop.read.membersVersion()]).toEqual([true, shop.index])
    const version = shop.index
    const again = join(shop, 'n2')
    expect(again.result).toEqual(first.result)
    expect([again.membersChanged, shop.shop.read.membersVersion()]).toEqual([false, version])
  })

  test('one that says another address keeps what the operator decided', () => {
    const shop = applying()
    join(shop, 'n2')
    shop.run({ kind: 'member.update', id: id('idn2'), eligible: false, capacity: 5, draining: true })
    const moved = join(shop, 'n2', 'idn2', { p2p: 'elsewhere:1' })
    expect(moved.membersChanged).toBe(true)
    const expected: Partial<MemberRecord> = {
      p2p: 'elsewhere:1',
      eligible: false,
      capacity: 5,
      draining: false,
      joinedIndex: 2,
    }
    expect(shop.shop.read.members()[1]).toMatchObject(expected)
  })

  test('an emptied node replaces its entry, inherits eligibility, and its old id is refused for ever', () => {
    const shop = applying()
    join(shop, 'n2')
    shop.run({ kind: 'member.update', id: id('idn2'), eligible: false })
    join(shop, 'n2', 'fresh')
    expect(names(shop)).toEqual(['n1=idn1', 'n2=fresh'])
    expect(shop.shop.read.members()[1]?.eligible).toBe(false)
    expect(shop.shop.read.removedMembers()).toEqual(['idn2'])
    expect(join(shop, 'n2', 'idn2').result).toMatchObject({ ok: false, code: 'forbidden' })
    expect(join(shop, 'other', 'idn2').result).toMatchObject({ ok: false, code: 'forbidden' })
    expect(names(shop)).toEqual(['n1=idn1', 'n2=fresh'])
  })

  test('removing is for good; the last one, and the last eligible one, stay', () => {
    const shop = applying()
    const remove = (memberId: string) => shop.run({ kind: 'member.remove', id: id(memberId) }).result
    expect(remove('idn1')).toMatchObject({ ok: false, code: 'conflict' })
    join(shop, 'n2')
    expect(remove('nobody')).toMatchObject({ ok: false, code: 'not-found' })
    shop.run({ kind: 'member.update', id: id('idn2'), eligible: false })
    expect(remove('idn1')).toMatchObject({ ok: false, code: 'conflict' })
    const last = shop.run({ kind: 'member.update', id: id('idn1'), eligible: false })
    expect(last.result).toMatchObject({ ok: false, code: 'conflict' })
    expect(remove('idn2')).toEqual({ ok: true, value: { id: 'idn2' } })
    expect([names(shop), shop.shop.read.membersVersion()]).toEqual([['n1=idn1'], shop.index])
    expect(join(shop, 'n2').result).toMatchObject({ ok: false, code: 'forbidden' })
  })

  test('updates change what they name', () => {
    const shop = applying()
    const update = shop.run({ kind: 'member.update', id: id('idn1'), url: 'http://new:1', capacity: 2 })
    expect(update.membersChanged).toBe(true)
    expect(shop.shop.read.members()[0]).toMatchObject({ url: 'http://new:1', capacity: 2, eligible: true })
    expect(shop.run({ kind: 'member.update', id: id('idn1'), capacity: 2 }).membersChanged).toBe(false)
    expect(shop.run({ kind: 'member.update', id: id('nobody') }).result).toMatchObject({ code: 'not-found' })
  })
})

test('a share of the capacity survives a restart of the member and ends with what its operator says', () => {
  const shop = applying()
  join(shop, 'n2')
  const shareOf = () => shop.shop.read.members()[1]?.capacityShare
  const weigh = (share: number, memberId = 'idn2') =>
    shop.run({ kind: 'member.weigh', id: id(memberId), share })
  const digest = () => shop.shop.transaction((tables) => stateDigest(tables))
  const before = digest()
  expect([weigh(0.5).membersChanged, shareOf(), digest() === before]).toEqual([true, 0.5, false])
  expect([weigh(0.5).membersChanged, shop.shop.read.members()[1]?.capacity]).toEqual([false, 1])
  join(shop, 'n2', 'idn2', { p2p: 'elsewhere:1' })
  expect(shareOf()).toBe(0.5)
  shop.run({ kind: 'member.update', id: id('idn2'), draining: true })
  expect(shareOf()).toBe(0.5)
  shop.run({ kind: 'member.update', id: id('idn2'), capacity: 1 })
  expect(shareOf()).toBeUndefined()
  weigh(0.25)
  join(shop, 'n2', 'fresh')
  expect(shareOf()).toBeUndefined()
  expect([weigh(0.25, 'fresh').membersChanged, weigh(1, 'fresh').membersChanged]).toEqual([true, true])
  expect(shop.shop.read.members()[1]).not.toHaveProperty('capacityShare')
  expect(weigh(0.5, 'nobody').result).toMatchObject({ ok: false, code: 'not-found' })
})

test('a command of another version or kind halts applying', () => {
  const { shop } = memoryStores()
  const apply = (v: number, kind: string) => () =>
    shop.transaction((tables) =>
      applyEntry(tables, { v, id: 'x' as CommandId, atMs: 0, body: { kind } } as never, 1),
    )
  expect(apply(2, 'member.remove')).toThrow('format version')
  expect(apply(1, 'future.kind')).toThrow('never be skipped')
  expect(shop.read.result('x' as CommandId)).toBeNull()
})

describe('levels of programs (DESIGN.md section 3: a new kind is used once every member announced it)', () => {
  const newest = { level: commandLevel }

  test('what all members have is in use; a member that says nothing has 1', () => {
    expect([lowestLevel([]), lowestLevel([newest, {}]), lowestLevel([newest, { level: 99 }])]).toEqual([
      commandLevel,
      1,
      commandLevel,
    ])
  })

  test('a member announces its program, when it joins and later', () => {
    const shop = applying()
    join(shop, 'n2', 'idn2', newest)
    const levels = (): (number | undefined)[] => shop.shop.read.members().map(({ level }) => level)
    expect(levels()).toEqual([undefined, commandLevel])
    const update = { kind: 'member.update', id: id('idn1'), ...newest } as const
    expect(shop.run(update).membersChanged).toBe(true)
    expect(shop.run(update).membersChanged).toBe(false)
    expect(levels()).toEqual([commandLevel, commandLevel])
  })

  test('once all have a level, nobody joins with less; until then anybody does', () => {
    const shop = applying()
    expect(join(shop, 'n2', 'idn2').result.ok).toBe(true)
    for (const member of ['idn1', 'idn2']) shop.run({ kind: 'member.update', id: id(member), ...newest })
    const refusal = join(shop, 'n3', 'idn3')
    expect(refusal.result).toMatchObject({ ok: false, code: 'conflict' })
    expect(join(shop, 'n2', 'emptied').result.ok).toBe(false)
    expect(names(shop)).toEqual(['n1=idn1', 'n2=idn2'])
    expect(join(shop, 'n3', 'idn3', newest).result.ok).toBe(true)
  })
})
