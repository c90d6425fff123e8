import { expect, test } from 'vitest'
import type { MemberRecord } from '../../node/commands.ts'
import { memberEvents } from '../../node/replica/events.ts'

function member(node: string, more: Partial<MemberRecord> = {}): MemberRecord {
  return { id: `id-${node}`, node, capacity: 1, ...more } as unknown as MemberRecord
}

test('operators hear of the members that changed, and of no others', () => {
  const before = [member('n1'), member('n2'), member('n3')]
  const changes = (after: MemberRecord[]): string[] =>
    memberEvents(before, after).map(({ data }) => `${data.node} ${data.change}`)
  expect(changes(before)).toEqual([])
  expect(changes([member('n1'), member('n2', { capacity: 2 }), member('n3')])).toEqual(['n2 updated'])
  expect(changes([...before, member('n4')])).toEqual(['n4 joined'])
  expect(changes([member('n1'), member('n3')])).toEqual(['n2 removed'])
  const rejoined = { id: 'another' } as unknown as Partial<MemberRecord>
  expect(changes([member('n1'), member('n2', rejoined), member('n3')])).toEqual(['n2 updated'])
})
