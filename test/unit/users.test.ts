/** Guests, accounts, log-on, log-off (DESIGN.md section 6). */
import { describe, expect, test } from 'vitest'
import { Fault } from '../../node/faults.ts'
import type { CommandId, MemberId, UserId } from '../../node/ids.ts'
import { accountId, dayMs, guestId, isGuest } from '../../node/ids.ts'
import { Events } from '../../node/replica/events.ts'
import type { UserService } from '../../node/replica/users.ts'
import { OrderWorld } from '../support/order-world.ts'

const password = 'correct horse'

/** Of a user who logged off nothing else, and whose token lives for long. */
function isRevoked(users: Pick<UserService, 'isOver'>, id: string): boolean {
  return users.isOver({ id, user: 'gnobody' as UserId, expiresAtMs: Number.MAX_SAFE_INTEGER })
}

describe('guests', () => {
  test('get an id and a home', async () => {
    const world = new OrderWorld(2)
    const { user, assignment } = await world.run(world.home().users.createGuest())
    expect(user.kind).toBe('guest')
    expect(isGuest(user.id)).toBe(true)
    expect(assignment.home.node).toBe('n1')
  })

  test('the id is drawn until a member of its set is alive, at most so often', async () => {
    const world = new OrderWorld(3)
    const [, second, third] = world.homes.map(({ id }) => id) as [MemberId, MemberId, MemberId]
    world.dead.add(second)
    let draws = 0
    world.setOf = () => {
      draws += 1
      return draws < 10 ? [second] : [third]
    }
    await world.run(world.home().users.createGuest())
    expect(draws).toBeGreaterThanOrEqual(10)
    draws = 0
    world.homeFault = new Fault('no-home', 'nobody')
    world.dead.add(third)
    await expect(world.run(world.home().users.createGuest())).rejects.toMatchObject({ code: 'no-home' })
    expect(draws).toBeLessThan(200)
  })

  test('older ones than the limit have expired; accounts never do', () => {
    const world = new OrderWorld()
    const { users, clock } = world.home()
    const bornDaysAgo = (days: number): UserId =>
      guestId(clock.wallMs() - days * dayMs, world.random.bytes(12))
    expect([0, 30, 31, 400].map((days) => users.isExpired(bornDaysAgo(days)))).toEqual([
      false,
      false,
      true,
      true,
    ])
    expect(users.isExpired(accountId(world.random.bytes(16)))).toBe(false)
  })
})

describe('accounts', () => {
  test('one per address, whatever its spelling; log-on at another node', async () => {
    const world = new OrderWorld(2)
    const [one, two] = [world.home(1).users, world.home(2).users]
    const { user } = await world.run(one.register({ email: ' Ada@Example.test ', password, name: ' Ada ' }))
    expect(user).toEqual({ id: user.id, kind: 'account', email: 'ada@example.test', name: 'Ada' })
    await expect(
      world.run(two.register({ email: 'ADA@example.TEST', password: 'another one' })),
    ).rejects.toMatchObject({ code: 'email-taken' })
    const again = await world.run(two.logOn({ email: 'ada@EXAMPLE.test', password }))
    expect(again.user).toEqual(user)
    expect((await world.run(two.describe(user.id))).user).toEqual(user)
  })

  test('decomposed and composed letters are one address', async () => {
    const world = new OrderWorld()
    const { users } = world.home()
    await world.run(users.register({ email: 'rene\u0301@example.test', password }))
    await expect(
      world.run(users.register({ email: 'ren\u00e9@example.test', password })),
    ).rejects.toMatchObject({ code: 'email-taken' })
  })

  test('a retry with the same id gets the same account', async () => {
    const world = new OrderWorld()
    const { users } = world.home()
    const input = { email: 'ada@example.test', password, id: 'account:1' as CommandId }
    const first = await world.run(users.register(input))
    expect((await world.run(users.register(input))).user).toEqual(first.user)
  })

  test('that were made and found no home are no refusal: a retry gets the same account', async () => {
    const world = new OrderWorld(3)
    const { users } = world.home()
    const input = { email: 'ada@example.test', password, id: 'register-1' as CommandId }
    world.homeFault = new Fault('no-home', 'nobody')
    await expect(world.run(users.register(input))).rejects.toMatchObject({ code: 'outcome-unknown' })
    world.homeFault = null
    const { user } = await world.run(users.register(input))
    expect((await world.run(users.logOn({ email: input.email, password }))).user).toEqual(user)
  })

  test('what no log entry may hold never gets there', async () => {
    const world = new OrderWorld()
    const { users } = world.home()
    for (const email of ['x', `${'x'.repeat(260)}@example.test`]) {
      await expect(world.run(users.register({ email, password }))).rejects.toMatchObject({
        code: 'invalid-request',
      })
    }
    expect(world.log.applied).toEqual([])
  })

  test('a wrong address can’t be told from a wrong password', async () => {
    const world = new OrderWorld()
    const { users } = world.home()
    await world.run(users.register({ email: 'ada@example.test', password }))
    const failing = async (email: string, given: string): Promise<unknown> => {
      const before = world.verified.length
      const error: unknown = await world
        .run(users.logOn({ email, password: given }))
        .catch((one: unknown) => one)
      // The same work is done in either case.
      expect(world.verified.length).toBe(before + 1)
      return error
    }
    const wrongPassword = await failing('ada@example.test', 'wrong')
    const wrongAddress = await failing('bob@example.test', password)
    const overlong = await failing(`${'x'.repeat(300)}@example.test`, password)
    expect(wrongPassword).toMatchObject({ code: 'unauthorized' })
    expect(wrongAddress).toEqual(wrongPassword)
    expect(overlong).toEqual(wrongPassword)
  })

  test('without a majority: no log-on; a known account is described from the newest copy', async () => {
    const world = new OrderWorld()
    const { users } = world.home()
    const { user } = await world.run(users.register({ email: 'ada@example.test', password }))
    world.log.isDown = true
    await expect(world.run(users.logOn({ email: 'ada@example.test', password }))).rejects.toMatchObject({
      code: 'no-primary',
    })
    expect((await world.run(users.describe(user.id))).user).toEqual(user)
  })

  test('an account that is gone', async () => {
    const world = new OrderWorld()
    const user = accountId(world.random.bytes(16))
    await expect(world.run(world.home().users.describe(user))).rejects.toMatchObject({ code: 'unauthorized' })
  })
})

describe('an account that changes', () => {
  test('takes a new password for the old one, and for nothing else', async () => {
    const world = new OrderWorld(2)
    const [one, two] = [world.home(1).users, world.home(2).users]
    const { user } = await world.run(one.register({ email: 'ada@example.test', password }))
    const change = (current: string): Promise<void> =>
      world.run(two.changePassword({ user: user.id, current, password: 'battery staple' }))
    await expect(change('wrong')).rejects.toMatchObject({ code: 'forbidden' })
    await change(password)
    await expect(change(password)).rejects.toMatchObject({ code: 'forbidden' })
    await expect(world.run(one.logOn({ email: 'ada@example.test', password }))).rejects.toMatchObject({
      code: 'unauthorized',
    })
    await world.run(one.logOn({ email: 'ada@example.test', password: 'battery staple' }))
  })

  test('of two changes at once one is refused', async () => {
    const world = new OrderWorld(2)
    const { user } = await world.run(world.home().users.register({ email: 'ada@example.test', password }))
    const outcomes = await world.run(
      Promise.allSettled(
        world.homes.map(({ users, id }) =>
          users.changePassword({ user: user.id, current: password, password: `of ${id} now` }),
        ),
      ),
    )
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'conflict' },
    })
  })

  test('is erased with its password only, and its address is free again', async () => {
    const world = new OrderWorld(2)
    const { users } = world.home()
    const { user } = await world.run(users.register({ email: 'ada@example.test', password }))
    await expect(world.run(users.deleteAccount({ user: user.id, password: 'wrong' }))).rejects.toMatchObject({
      code: 'forbidden',
    })
    await world.run(users.deleteAccount({ user: user.id, password }))
    await expect(world.run(users.describe(user.id))).rejects.toMatchObject({ code: 'unauthorized' })
    await expect(world.run(users.deleteAccount({ user: user.id, password }))).rejects.toMatchObject({
      code: 'unauthorized',
    })
    const again = await world.run(users.register({ email: 'ada@example.test', password }))
    expect(again.user.id).not.toBe(user.id)
  })

  test('is not a guest', async () => {
    const world = new OrderWorld()
    const { users } = world.home()
    await expect(
      world.run(users.changePassword({ user: world.guest(), current: password, password })),
    ).rejects.toMatchObject({ code: 'forbidden' })
  })
})

describe('a guest’s cart', () => {
  test('goes to the account, at registration and at log-on; an expired one does not', async () => {
    const world = new OrderWorld()
    const { users, carts, clock } = world.home()
    const [first, second] = [world.guest(), world.guest()]
    const old = guestId(clock.wallMs() - 31 * dayMs, world.random.bytes(12))
    const { user } = await world.run(users.register({ email: 'ada@example.test', password, guest: first }))
    await world.run(users.logOn({ email: 'ada@example.test', password, guest: second }))
    await world.run(users.logOn({ email: 'ada@example.test', password, guest: old }))
    expect(carts.absorbs).toEqual([
      { guest: first, account: user.id },
      { guest: second, account: user.id },
    ])
  })

  test('whose home is away is merged later; the log-on succeeds', async () => {
    const world = new OrderWorld()
    const { users, carts } = world.home()
    carts.absorbFault = new Fault('no-home', 'away')
    const guest = world.guest()
    const { user } = await world.run(users.register({ email: 'ada@example.test', password, guest }))
    await world.scheduler.runFor(20_000)
    expect(carts.absorbs).toEqual([])
    carts.absorbFault = null
    expect(await world.until(() => carts.absorbs.length > 0)).toBe(true)
    await world.scheduler.runFor(60_000)
    expect(carts.absorbs).toEqual([{ guest, account: user.id }])
  })
})

describe('log-off', () => {
  test('is known here at once, after a restart, and told to others', () => {
    const world = new OrderWorld(2)
    const [one, two] = [world.home(1), world.home(2)]
    const expiresAtMs = one.clock.wallMs() + dayMs
    one.users.revoke('token', expiresAtMs)
    one.users.revoke('token', expiresAtMs)
    expect(one.published).toEqual([{ tokens: [{ id: 'token', expiresAtMs }] }])
    expect(isRevoked(two.users, 'token')).toBe(false)
    expect(two.users.heardRevocations(one.published[0]!)).toBe('accept')
    // Passed on although it is known: it may be meant for somebody who was away.
    expect(two.users.heardRevocations(one.published[0]!)).toBe('accept')
    for (const home of world.homes) expect(isRevoked(home.crash().start().users, 'token')).toBe(true)
    expect(isRevoked(one.users, 'other')).toBe(false)
  })

  test('everywhere ends every session that expires by then, here and at others, and the latest end counts', () => {
    const world = new OrderWorld(2)
    const [one, two] = [world.home(1), world.home(2)]
    const user = world.guest()
    const untilMs = one.clock.wallMs() + 30 * dayMs
    const isOver = (home: typeof one, expiresAtMs: number): boolean =>
      home.users.isOver({ id: `of-${expiresAtMs}`, user, expiresAtMs })
    one.users.revokeAll(user, untilMs)
    expect([isOver(one, untilMs), isOver(one, untilMs + 1), isOver(two, untilMs)]).toEqual([
      true,
      false,
      false,
    ])
    two.users.heardRevocations(one.published[0]!)
    expect([isOver(two, untilMs), isOver(two, untilMs + 1)]).toEqual([true, false])
    // Another log-off everywhere later; the earlier one, heard again, takes nothing back.
    two.users.revokeAll(user, untilMs + 5)
    one.users.heardRevocations(two.published[0]!)
    one.users.heardRevocations(one.published[0]!)
    for (const home of [one, two]) {
      expect([isOver(home, untilMs + 5), isOver(home, untilMs + 6)]).toEqual([true, false])
      expect(home.users.revokedAllUntilMs(user)).toBe(untilMs + 5)
    }
    expect(one.users.isOver({ id: 'x', user: world.guest(), expiresAtMs: untilMs })).toBe(false)
  })

  test('a peer that connects is told everything that is of use, once for many peers', async () => {
    const world = new OrderWorld()
    const home = world.home()
    for (let number = 0; number < 1_500; number += 1)
      home.stores.local.revoke(`token-${number}`, home.clock.wallMs() + dayMs)
    home.stores.local.revoke('expired', home.clock.wallMs() - 1)
    home.users.peerConnected()
    home.users.peerConnected()
    await world.scheduler.runFor(5_000)
    expect(home.published.map(({ tokens }) => tokens.length)).toEqual([1_000, 500])
    expect(new Set(home.published.flatMap(({ tokens }) => tokens.map(({ id }) => id))).size).toBe(1_500)
  })

  test('nonsense is neither kept nor passed on, and the number kept is bounded', () => {
    const world = new OrderWorld()
    const { users, clock } = world.home()
    const laterMs = clock.wallMs() + dayMs
    expect(users.heardRevocations({ tokens: [] })).toBe('ignore')
    expect(users.heardRevocations({ tokens: [{ id: 'a', expiresAtMs: clock.wallMs() - 1 }] })).toBe('ignore')
    expect(users.heardRevocations({ tokens: [{ id: 'b', expiresAtMs: 1e300 }] })).toBe('ignore')
    expect(users.heardRevocations({ tokens: [{ id: '', expiresAtMs: laterMs }] })).toBe('reject')
    expect(isRevoked(users, 'b')).toBe(false)
    for (let batch = 0; batch < 25; batch += 1) {
      const tokens = Array.from({ length: 1_000 }, (_, number) => ({
        id: `t-${batch}-${number}`,
        expiresAtMs: laterMs,
      }))
      users.heardRevocations({ tokens })
    }
    expect(isRevoked(users, 't-19-999')).toBe(true)
    expect(isRevoked(users, 't-24-0')).toBe(false)
    // The own shoppers' log-offs always count.
    users.revoke('own', laterMs)
    expect(isRevoked(users, 'own')).toBe(true)
  })

  test('what has expired leaves the disk', async () => {
    const world = new OrderWorld()
    const home = world.home()
    home.users.revoke('token', home.clock.wallMs() + 1_000)
    await world.scheduler.runFor(1_300_000)
    expect(isRevoked(home.users, 'token')).toBe(false)
  })
})

describe('events', () => {
  test('reach who listens for the user, until they stop listening', () => {
    const world = new OrderWorld()
    const [ada, bob] = [world.guest(), world.guest()]
    const events = new Events()
    const heard: string[] = []
    const listener = (): void => void heard.push('ada')
    const stops = [events.onUser(ada, listener), events.onUser(ada, listener)]
    events.onUser(bob, () => heard.push('bob'))
    const event = { kind: 'order', data: { id: 'o' } } as never
    events.user(ada, event)
    expect(heard).toEqual(['ada', 'ada'])
    for (const stop of [...stops, ...stops]) stop()
    expect(events.hasListener(ada)).toBe(false)
    events.user(ada, event)
    events.stop()
    events.user(bob, event)
    expect(heard).toEqual(['ada', 'ada'])
  })

  test('a listener that fails does not keep others from hearing; the bug comes out', () => {
    const events = new Events()
    const heard: string[] = []
    events.onCluster(() => {
      throw new Error('a bug')
    })
    const stop = events.onCluster(({ kind }) => heard.push(kind))
    const event = { kind: 'catalog', data: { version: 1, digest: '' } } as const
    expect(() => events.cluster(event)).toThrow('a bug')
    expect(heard).toEqual(['catalog'])
    stop()
    events.stop()
    events.cluster(event)
    expect(heard).toEqual(['catalog'])
  })
})
