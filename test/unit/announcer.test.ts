import { expect, test } from 'vitest'
import { Announcer } from '../../node/replica/announcer.ts'
import type { AnnouncerOptions } from '../../node/replica/announcer.ts'
import { Scheduler, SimClock } from '../sim/scheduler.ts'

test('a primary whose lease comes a moment after its election is announced at once, not with the next interval', async () => {
  const scheduler = new Scheduler()
  let isPrimary = false
  const published: string[] = []
  const announcer = new Announcer({
    selfId: 'me',
    clock: new SimClock(scheduler),
    transport: { publish: (topic: string) => published.push(topic) },
    shop: {
      read: { catalog: () => ({ version: 1, digest: '' }) },
      applied: () => ({ index: 1, config: { voters: [], learners: [] } }),
      ordersIndex: () => 0,
    },
    members: { selfIsMember: () => true, version: () => 1 },
    isPrimary: () => isPrimary,
    term: () => 2,
    heard: () => undefined,
  } as unknown as AnnouncerOptions)
  announcer.soon()
  await scheduler.runFor(5)
  isPrimary = true
  await scheduler.runFor(100)
  expect(published).toEqual(['lease'])
})
