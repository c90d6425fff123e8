import { expect, test } from 'vitest'
import { Announcer } from '../../node/replica/announcer.ts'
import type { AnnouncerOptions } from '../../node/replica/announcer.ts'
import { Voting } from '../../node/replica/voting.ts'
import type { VotingOptions } from '../../node/replica/voting.ts'
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

test('a primary that fell silent is unknown after a while; who votes is known until others are announced', async () => {
  const scheduler = new Scheduler()
  const announcer = new Announcer({
    selfId: 'me',
    clock: new SimClock(scheduler),
    members: { isRemoved: () => false, get: () => ({}) },
    heard: () => undefined,
  } as unknown as AnnouncerOptions)
  const message = { term: 3, primary: 'a', voters: ['a', 'b', 'c'], learners: [], configIndex: 7 }
  type Receive = Parameters<Announcer['receive']>
  expect(announcer.receive(message as unknown as Receive[0], 'a' as Receive[1])).toBe('accept')
  const voting = new Voting({
    selfId: 'me',
    stores: { shop: { feed: () => 'broadcast' } },
    consensus: () => ({ raft: { primary: null, term: 0 } }),
    hint: () => announcer.hint(),
    lastHeard: () => announcer.lastHeard(),
    clock: new SimClock(scheduler),
  } as unknown as VotingOptions)
  expect([voting.primaryHint(), voting.voters()]).toEqual([{ id: 'a', term: 3 }, ['a', 'b', 'c']])
  await scheduler.runFor(60_000)
  expect([voting.primaryHint(), voting.voters(), voting.newestTerm()]).toEqual([null, ['a', 'b', 'c'], 3])
})

test('a word that gossip brings late does not undo the latest one of the same primary', () => {
  const heard: number[] = []
  const announcer = new Announcer({
    selfId: 'me',
    clock: new SimClock(new Scheduler()),
    members: { isRemoved: () => false, get: () => ({}) },
    heard: ({ configIndex }: { configIndex: number }) => heard.push(configIndex),
  } as unknown as AnnouncerOptions)
  type Receive = Parameters<Announcer['receive']>
  const receive = (term: number, configIndex: number, voters: string[]): string =>
    announcer.receive(
      { term, primary: 'a', voters, learners: [], configIndex } as unknown as Receive[0],
      'a' as Receive[1],
    )
  expect(receive(3, 9, ['a', 'b', 'c'])).toBe('accept')
  expect(receive(3, 8, ['a'])).toBe('ignore')
  expect(announcer.lastHeard()?.voters).toEqual(['a', 'b', 'c'])
  expect([receive(3, 9, ['a', 'b', 'c']), receive(4, 8, ['a', 'b'])]).toEqual(['accept', 'accept'])
  expect(announcer.lastHeard()?.voters).toEqual(['a', 'b'])
  expect(heard).toEqual([9, 9, 8])
})
