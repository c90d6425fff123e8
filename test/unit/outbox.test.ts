/** The plan of the outbox: what is sent, settled, and waited for. */
import { describe, expect, test } from 'vitest'
import {
  backOffMaxMs,
  backOffMinMs,
  backOffMs,
  planOutbox,
  sendsUnderWayMax,
} from '../../node/core/outbox.ts'
import type { OutboxEntry } from '../../node/core/outbox.ts'
import { orderId } from '../support/store-world.ts'

const nowMs = 1_000

function entry(number: number, stage: OutboxEntry['stage'], more: Partial<OutboxEntry> = {}): OutboxEntry {
  return { order: orderId(number), stage, dueAtMs: 0, urgent: false, ...more }
}

describe('the plan', () => {
  test('nothing to do', () => {
    expect(planOutbox([], nowMs)).toEqual({ send: [], settle: [], wakeAtMs: null })
  })

  test('open ones that are due are sent, decided ones settled; others are left alone', () => {
    const plan = planOutbox(
      [
        entry(1, 'freezing'),
        entry(2, 'open'),
        entry(3, 'under-way'),
        entry(4, 'decided'),
        entry(5, 'settling'),
        entry(6, 'open', { dueAtMs: nowMs }),
      ],
      nowMs,
    )
    expect(plan).toEqual({ send: [orderId(2), orderId(6)], settle: [orderId(4)], wakeAtMs: null })
  })

  test('it wakes for the first that falls due, sent or settled', () => {
    const waiting = [
      entry(1, 'open', { dueAtMs: nowMs + 500 }),
      entry(2, 'decided', { dueAtMs: nowMs + 200 }),
      entry(3, 'under-way', { dueAtMs: nowMs + 1 }),
    ]
    expect(planOutbox(waiting, nowMs)).toEqual({ send: [], settle: [], wakeAtMs: nowMs + 200 })
  })

  test('orders somebody waits for go before older ones', () => {
    const plan = planOutbox([entry(1, 'open'), entry(2, 'open', { urgent: true }), entry(3, 'open')], nowMs)
    expect(plan.send).toEqual([orderId(2), orderId(1), orderId(3)])
  })

  test('no more than the bound are under way', () => {
    const underWay = Array.from({ length: sendsUnderWayMax - 2 }, (_, index) => entry(index, 'under-way'))
    const open = Array.from({ length: 5 }, (_, index) => entry(1_000 + index, 'open'))
    expect(planOutbox([...underWay, ...open], nowMs).send).toHaveLength(2)
    const full = Array.from({ length: sendsUnderWayMax }, (_, index) => entry(index, 'under-way'))
    expect(planOutbox([...full, ...open], nowMs).send).toEqual([])
  })
})

test('the back-off doubles from its smallest to its largest wait, and is spread over half of it', () => {
  expect(backOffMs(1, 0)).toBe(backOffMinMs / 2)
  expect(backOffMs(1, 1)).toBe(backOffMinMs)
  expect(backOffMs(3, 1)).toBe(backOffMinMs * 4)
  expect(backOffMs(1_000_000, 1)).toBe(backOffMaxMs)
  expect(backOffMs(0, 1)).toBe(backOffMinMs)
})
