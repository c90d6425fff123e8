import { expect, test } from 'vitest'
import type { MemberId } from '../../node/ids.ts'
import type { GossipMessage } from '../../node/messages.ts'
import type { PeerInfo } from '../../node/ports.ts'
import type { PlacementVersions } from '../../node/replica/context.ts'
import { Presence, type PresenceOptions } from '../../node/replica/presence.ts'
import { Scheduler, SimClock } from '../sim/scheduler.ts'

const other = 'other' as MemberId
const quiet = {
  draining: false,
  users: 0,
  carts: 0,
  undeliveredCarts: 0,
  underReplicatedCarts: 0,
  oldestUndeliveredMs: 0,
  oldestUnderReplicatedMs: 0,
  loadPercent: 0,
  catalogVersion: 1,
  catalogDigest: '00',
}

/** One node's view of one other member, which speaks once a second for as long as it lives. */
class View {
  readonly scheduler = new Scheduler()
  readonly gone: string[] = []
  readonly changes: boolean[] = []
  readonly presence: Presence

  constructor() {
    const record = { id: other, p2p: '127.0.0.1:1' }
    this.presence = new Presence({
      selfId: 'me',
      starts: 1,
      clock: new SimClock(this.scheduler),
      logger: { debug: () => undefined },
      transport: { publish: () => undefined, connected: () => [], probe: async () => 'refused' },
      members: { selfIsMember: () => true, isRemoved: () => false, get: () => record, list: () => [record] },
      own: () => quiet,
      gone: (member: string) => this.gone.push(member),
    } as unknown as PresenceOptions)
    this.presence.onChange((_, alive) => this.changes.push(alive))
    this.presence.start()
  }

  async life(starts: number, beats: number): Promise<void> {
    this.presence.peerConnected({ id: other, hello: { starts } } as PeerInfo)
    for (let sequence = 1; sequence <= beats; sequence += 1) {
      await this.scheduler.runFor(1000)
      this.say({ starts, sequence })
    }
  }

  say(what: { starts: number; sequence: number } & Partial<PlacementVersions>): string {
    const message = {
      ...quiet,
      ...what,
      member: other,
      stopping: false,
    } as unknown as GossipMessage<'presence'>
    return this.presence.heard(message, other)
  }
}

test('a member that restarted is heard at once, however long its last life was', async () => {
  const view = new View()
  await view.life(1, 50)
  view.presence.peerDisconnected(other)
  await view.scheduler.runFor(100)
  expect(view.changes).toEqual([true, false])
  await view.life(2, 10)
  expect(view.changes).toEqual([true, false, true])
  expect(view.presence.lastSeenMs(other)).toBe(0)
})

test('words of an earlier life, and words that were heard before, are stale', async () => {
  const view = new View()
  await view.life(1, 5)
  await view.life(2, 2)
  expect(view.gone).toEqual([other])
  expect(view.say({ starts: 1, sequence: 6 })).toBe('ignore')
  expect(view.say({ starts: 2, sequence: 2 })).toBe('ignore')
  expect(view.say({ starts: 2, sequence: 3 })).toBe('accept')
})

test('a silent member is dead after three missed beats', async () => {
  const view = new View()
  await view.life(1, 2)
  await view.scheduler.runFor(3000)
  expect(view.presence.alive(other)).toBe(true)
  await view.scheduler.runFor(2000)
  expect(view.presence.alive(other)).toBe(false)
})

test('what a member brought to its place stays so in its next life, which has not looked yet', async () => {
  const view = new View()
  await view.life(1, 1)
  expect(view.presence.get(other)).toMatchObject({ placedVersion: 0, settledVersion: 0 })
  view.say({ starts: 1, sequence: 2, placedVersion: 7, settledVersion: 5 })
  view.say({ starts: 2, sequence: 1, placedVersion: 0, settledVersion: 0 })
  expect(view.presence.get(other)).toMatchObject({ placedVersion: 7, settledVersion: 5 })
  view.presence.stop()
})
