/** How a step's messages leave a node: at once, but for news that the next append tells as well. */
import { expect, test } from 'vitest'
import type { RaftMessage } from '../../node/core/raft/types.ts'
import type { MemberId } from '../../node/ids.ts'
import type { Transport } from '../../node/ports.ts'
import { ConsensusSender } from '../../node/replica/consensus-sender.ts'

const [one, other] = ['one', 'other'] as unknown as [MemberId, MemberId]

function heartbeat(round: number, commitIndex: number, term = 3): RaftMessage {
  return { kind: 'heartbeat', term, commitIndex, round }
}

function append(round: number, commitIndex: number, term = 3): RaftMessage {
  return { kind: 'append', term, previousIndex: 9, previousTerm: 3, entries: [], commitIndex, round }
}

function watched(): { sender: ConsensusSender; log: unknown[] } {
  const log: unknown[] = []
  const transport = {
    send: (to: MemberId, message: RaftMessage) => log.push([to, message]),
    flush: (to: MemberId) => log.push(`flush ${to}`),
  } as unknown as Transport
  return { sender: new ConsensusSender(transport), log }
}

test('what is no news leaves at once, one flush for each receiver', () => {
  const { sender, log } = watched()
  sender.send(
    [
      { to: one, message: append(1, 5) },
      { to: other, message: append(1, 5) },
      { to: one, message: heartbeat(1, 5) },
    ],
    false,
  )
  expect(log).toEqual([
    [one, append(1, 5)],
    [other, append(1, 5)],
    [one, heartbeat(1, 5)],
    'flush one',
    'flush other',
  ])
  expect(sender.isWaiting).toBe(false)
})

test('news waits for the next turn, which must come', () => {
  const { sender, log } = watched()
  sender.send([{ to: one, message: heartbeat(2, 6) }], true)
  expect([log, sender.isWaiting]).toEqual([[], true])
  sender.sendNews([])
  expect([log, sender.isWaiting]).toEqual([[[one, heartbeat(2, 6)]], false])
})

test('an append of the next turn to the same member takes its place', () => {
  const { sender, log } = watched()
  sender.send(
    [
      { to: one, message: heartbeat(2, 6) },
      { to: other, message: heartbeat(2, 6) },
    ],
    true,
  )
  sender.sendNews([{ to: one, message: append(3, 6) }])
  expect(log).toEqual([[other, heartbeat(2, 6)]])
})

test.each([
  ['an older round', append(1, 6)],
  ['less that is committed', append(3, 5)],
  ['another term', append(3, 6, 4)],
  ['no append', heartbeat(3, 6)],
])('but not one with %s', (_what, message) => {
  const { sender, log } = watched()
  sender.send([{ to: one, message: heartbeat(2, 6) }], true)
  sender.sendNews([{ to: one, message }])
  expect(log).toEqual([[one, heartbeat(2, 6)]])
})

test('appends of a step that commits leave at once all the same', () => {
  const { sender, log } = watched()
  sender.send(
    [
      { to: one, message: append(2, 6) },
      { to: other, message: heartbeat(2, 6) },
    ],
    true,
  )
  expect(log).toEqual([[one, append(2, 6)], 'flush one'])
  expect(sender.isWaiting).toBe(true)
})
