/** Carts on several disks: changes, delivery, takeover, two homes, sold notices. */
import { afterEach, describe, expect, test } from 'vitest'
import type { Sku, UserId } from '../../node/ids.ts'
import { CartWorld, orderOf, tagsOf } from '../support/cart-service-world.ts'
import type { CartNode } from '../support/cart-service-world.ts'

let world: CartWorld
afterEach(() => world.close())

const settled = (): boolean =>
  world.nodes.every((node) => {
    const { undelivered, underReplicated } = node.carts.counts()
    return !node.isUp || undelivered + underReplicated === 0
  })

describe('changes', () => {
  test('a retry with the same key is the same change, at another home as well', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'), 2, 'key-1')
    await world.add(user, node, 2, 'key-1')
    expect(node.carts.localView(user)?.total).toBe(2_000)
    node.crash()
    const other = world.nodes.find((one) => one !== node) as CartNode
    const again = await world.add(user, other, 2, 'key-1')
    expect(again.node.carts.localView(user)?.total).toBe(2_000)
  })

  test('refuses unknown and unsaleable SKUs and changes nothing', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    const before = node.stores.local.cart(user)?.hash
    const add = (sku: string, quantity = 1): Promise<unknown> =>
      world.run(node.carts.change(user, { kind: 'add', sku: sku as Sku, quantity }))
    await expect(add('NOTHING')).rejects.toMatchObject({ code: 'not-found' })
    await expect(add('LAMP', 1_000)).rejects.toMatchObject({ code: 'invalid-request' })
    node.stores.shop.transaction((tables) => {
      const lamp = tables.product('lamp' as never)
      if (lamp !== null) tables.putProduct({ ...lamp, status: 'archived' })
    })
    await expect(add('LAMP')).rejects.toMatchObject({
      code: 'not-for-sale',
      data: { changes: [{ sku: 'LAMP', old: 1_000, new: null }] },
    })
    expect(node.stores.local.cart(user)?.hash).toBe(before)
    const set = (quantity: number): Promise<unknown> =>
      world.run(node.carts.change(user, { kind: 'set', sku: 'LAMP' as Sku, quantity }))
    await expect(set(5)).rejects.toMatchObject({ code: 'not-for-sale' })
    await set(0)
    expect(node.carts.localView(user)?.items).toEqual([])
  })

  test('a receiver that lacks what a delta builds on gets the whole cart', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    await world.until(settled)
    const other = world.nodes.find((one) => one !== node) as CartNode
    // Its disk lost the cart, which the home can't know.
    other.crash()
    other.stores.local.deleteCart(user)
    other.start()
    world.sent.length = 0
    await world.add(user, node)
    await world.until(() => world.quantities(user).every((quantity) => quantity === 2))
    const pushes = world.sent.filter(({ to, request }) => to === other.id && request.kind === 'cart-push')
    expect(pushes).toHaveLength(2)
    expect(world.quantities(user)).toEqual([2, 2, 2])
  })

  test('a failed write changes nothing, and the next change numbers afresh', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    const { local } = node.stores
    const putCart = local.putCart.bind(local)
    local.putCart = () => {
      throw new Error('no space')
    }
    const failing = node.carts.change(user, { kind: 'add', sku: 'SHADE' as Sku, quantity: 1 })
    await expect(world.run(failing)).rejects.toThrow('no space')
    local.putCart = putCart
    expect(node.carts.localView(user)?.items.map(({ sku }) => sku)).toEqual(['LAMP'])
    await world.add(user, node)
    expect(new Set(tagsOf(node, user).map((tag) => tag.split('.')[0])).size).toBe(2)
  })

  test('a cart that has grown is rebased at home, and everybody follows', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    let home = world.node('n1')
    for (let count = 0; count < 200; count += 1) {
      home = (await world.add(user, home, 2)).node
      await world.run(home.carts.change(user, { kind: 'clear' }))
    }
    await world.add(user, home, 3)
    await world.until(() => settled() && world.quantities(user).every((quantity) => quantity === 3))
    expect(home.carts.peek(user)?.generation).toBeGreaterThan(0)
    expect(world.quantities(user)).toEqual([3, 3, 3])
    expect(new Set(world.nodes.map((node) => node.stores.local.cart(user)?.hash)).size).toBe(1)
  })
})

describe('takeover', () => {
  test('the next home has what was acknowledged, at once', async () => {
    world = new CartWorld(5)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'), 4)
    node.crash()
    const at = world.nodes.find((one) => one !== node) as CartNode
    const beganAtMs = world.scheduler.nowMs
    const { node: next } = await world.follow(user, at)
    const view = await world.run(next.carts.view(user))
    expect(view).toMatchObject({ total: 4_000, complete: true })
    expect(world.scheduler.nowMs - beganAtMs).toBeLessThan(300)
  })

  test('too few answers: served after a second, not complete, and complete when one of them is back', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    await world.until(settled)
    const [next, third] = world.nodes.filter((one) => one !== node) as [CartNode, CartNode]
    next.crash()
    // On the first home and the third only.
    await world.add(user, node)
    node.crash()
    third.crash()
    next.start()
    const beganAtMs = world.scheduler.nowMs
    await world.follow(user, next)
    expect(await world.run(next.carts.view(user))).toMatchObject({ complete: false, total: 1_000 })
    expect(world.scheduler.nowMs - beganAtMs).toBeLessThan(1_100)
    expect(next.context.counters.value('takeovers_incomplete_total')).toBe(1)
    third.start()
    expect(await world.until(() => next.carts.localView(user)?.complete === true, 20_000)).toBe(true)
    expect((await world.run(next.carts.view(user))).total).toBe(2_000)
  })

  test('a change of an incomplete cart is answered as incomplete, though the rest has come meanwhile', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    await world.until(settled)
    const [next, third] = world.nodes.filter((one) => one !== node) as [CartNode, CartNode]
    next.crash()
    await world.add(user, node)
    node.crash()
    next.start()
    world.cutBothWays(next, third)
    expect(await world.run(world.follow(user, next).then(() => next.carts.view(user)))).toMatchObject({
      complete: false,
      total: 1_000,
    })
    const clearing = next.carts.change(user, { kind: 'clear' })
    await world.scheduler.runFor(100)
    world.heal()
    const { cart } = await world.run(clearing)
    expect(cart).toMatchObject({ complete: false, total: 1_000 })
    expect(await world.run(next.carts.view(user))).toMatchObject({ complete: true, total: 1_000 })
  })

  test('who came into the set while its home was down knows, also after a restart, that the home alone has the cart', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node: home } = await world.add(user, world.node('n1'))
    const [one, other] = world.nodes.filter((node) => node !== home) as [CartNode, CartNode]
    home.crash()
    for (const [gone, name] of [
      [one, 'n4'],
      [other, 'n5'],
    ] as const) {
      gone.crash()
      world.replace(gone.name, name)
    }
    const [next, last] = [world.node('n4'), world.node('n5')]
    for (const node of [next, last]) node.crash()
    for (const node of [next, last]) node.start()
    const { node: at } = await world.follow(user, next)
    expect(await world.run(at.carts.view(user))).toMatchObject({ complete: false, total: 0 })
    home.start()
    expect(await world.until(() => at.carts.localView(user)?.complete === true, 20_000)).toBe(true)
    expect(world.quantities(user)).toContain(1)
  })

  test('two homes at once merge, and what came from the other one is shown, also when the answer is lost', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    await world.until(settled)
    const others = world.nodes.filter((one) => one !== node)
    for (const other of others) {
      world.cutBothWays(node, other)
      other.sees(node, false)
      node.sees(other, false)
    }
    const { node: next } = await world.add(user, others[0] as CartNode, 2)
    await world.add(user, node, 3)
    expect(next).not.toBe(node)
    world.heal()
    for (const other of others) {
      other.sees(node, true)
      node.sees(other, true)
    }
    expect(
      await world.until(() => settled() && world.quantities(user).every((quantity) => quantity === 6)),
    ).toBe(true)
    const serving = await world.follow(user, node)
    expect(serving.node).toBe(next)
    const view = await world.run(next.carts.view(user))
    expect(view.merged).toEqual([{ sku: 'LAMP', quantity: 3 }])
    // That answer never arrived; the client asks again.
    expect((await world.run(next.carts.view(user))).merged).toEqual([{ sku: 'LAMP', quantity: 3 }])
    await world.scheduler.runFor(10_000)
    expect((await world.run(next.carts.view(user))).merged).toEqual([])
    expect(next.context.counters.value('cart_merges_total')).toBeGreaterThan(0)
  })

  test('a home that restarted serves its cart again under the same record', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    const record = node.homes.record(user)
    node.crash()
    node.start()
    const { node: again } = await world.follow(user, node)
    expect(again).toBe(node)
    expect(node.homes.record(user)).toEqual(record)
    expect((await world.run(node.carts.view(user))).total).toBe(1_000)
  })
})

describe('a price that moved', () => {
  test('has a remark until an order is placed, also at the next home', async () => {
    world = new CartWorld(3)
    const user = world.guest()
    const { node } = await world.add(user, world.node('n1'))
    const freeze = async (home: CartNode, digit: string, unitPrice: number, createdAtMs: number) =>
      await world.run(
        home.carts.mutate(user, (document) => {
          const { lines, tags, dots } = document.checkout()
          const id = orderOf(digit)
          const priced = lines.map((line) => ({ ...line, unitPrice }))
          const rest = { bodyHash: 'b', cartHash: 'c', currency: 'USD', catalogVersion: 1 } as const
          document.freeze({ id, user, ...rest, lines: priced, tags, dots, verdict: 'agreed', createdAtMs })
        }),
      )
    const refuse = async (home: CartNode, digit: string, reason: string): Promise<void> =>
      await world.run(home.carts.settle(user, orderOf(digit), { status: 'refused', reason, soldTags: {} }))
    const remark = async (home: CartNode): Promise<number | undefined> =>
      (await world.run(home.carts.view(user))).items[0]?.previousPrice
    await freeze(node, '1', 900, 1)
    await refuse(node, '1', 'price-changed')
    expect(await remark(node)).toBe(900)
    await freeze(node, '2', 1_000, 2)
    await refuse(node, '2', 'cart-changed')
    expect(await remark(node)).toBe(900)
    await world.until(settled)
    node.crash()
    const other = world.nodes.find((one) => one !== node) as CartNode
    const { node: next } = await world.follow(user, other)
    expect(await remark(next)).toBe(900)
    // The price that was agreed to last is the one that counts; at that price there is nothing to remark.
    await freeze(next, '3', 1_000, 3)
    await refuse(next, '3', 'price-changed')
    expect(await remark(next)).toBeUndefined()
    await freeze(next, '4', 800, 4)
    await refuse(next, '4', 'not-for-sale')
    expect(await remark(next)).toBe(800)
    await freeze(next, '5', 1_000, 5)
    const tags = next.carts.peek(user)?.undecidedIntents()[0]?.tags ?? []
    await world.run(next.carts.settle(user, orderOf('5'), { status: 'placed', tags: [...tags] }))
    await world.add(user, next)
    expect(await remark(next)).toBeUndefined()
  })
})

describe('sold notices', () => {
  const freeze = async (node: CartNode, user: UserId, digit: string): Promise<void> => {
    await world.run(
      node.carts.mutate(user, (document) => {
        const { lines, tags, dots } = document.checkout()
        document.freeze({
          id: orderOf(digit),
          user,
          bodyHash: 'body',
          cartHash: 'cart',
          currency: 'USD',
          lines: lines.map((line) => ({ ...line, unitPrice: 1_000 })),
          tags,
          dots,
          catalogVersion: 1,
          verdict: 'agreed',
          createdAtMs: 1,
        })
      }),
    )
  }
  const place = (user: UserId, digit: string, tags: ReturnType<typeof tagsOf>, index: number): void => {
    const { shop } = world.node('n1').stores
    shop.transaction((tables) => {
      const order = {
        id: orderOf(digit),
        number: '1',
        user,
        status: 'placed',
        bodyHash: 'body',
        currency: 'USD',
        lines: [],
        total: 0,
        catalogVersion: 1,
        createdAt: '2026-01-01T00:00:00Z',
        history: [],
      } as const
      tables.insertOrder({ ...order, lines: [], history: [] }, index, tags)
    })
  }

  test('reach every member of the set, though the home died a moment after the order', async () => {
    world = new CartWorld(3)
    const user = world.guestOf('n2')
    const { node } = await world.add(user, world.node('n2'))
    await freeze(node, user, '1')
    await world.until(settled)
    const tags = node.carts.peek(user)?.intents()[0]?.tags ?? []
    expect(tags).toHaveLength(1)
    place(user, '1', [...tags], 7)
    if (node.name !== 'n1') node.crash()
    for (const one of world.nodes) if (one.isUp) one.carts.noticeOrders(7)
    const sold = (): boolean =>
      world.nodes.every(
        (one) =>
          !one.isUp ||
          (one.carts.localView(user)?.ordering.length === 0 && one.stores.local.soldWatermark() === 7),
      )
    expect(await world.until(sold, 10_000)).toBe(true)
    if (!node.isUp) node.start()
    node.carts.noticeOrders(7)
    expect(await world.until(() => sold() && settled())).toBe(true)
    expect(world.quantities(user)).toEqual([0, 0, 0])
  })

  test('an erased account leaves every disk, also that of a member that was away, and does not come back', async () => {
    world = new CartWorld(3)
    const user = world.accountOf('n1', 'n2', 'n3')
    const { node } = await world.add(user, world.node('n1'))
    await world.until(settled)
    const away = world.nodes.find((one) => one !== node && one.name !== 'n1') as CartNode
    away.crash()
    world.node('n1').stores.shop.transaction((tables) => {
      tables.putAccount({ id: user, email: 'a@b.c', passwordHash: 'h', createdAt: 'now' })
      tables.deleteAccount(user, 9)
    })
    const isGone = ({ stores, isUp }: CartNode): boolean =>
      !isUp || (stores.local.cart(user) === null && stores.local.session(user) === null)
    for (const one of world.nodes) if (one.isUp) one.carts.noticeOrders(9)
    expect(await world.until(() => world.nodes.every(isGone) && settled(), 10_000)).toBe(true)
    // It comes back with the cart on its disk, offers it to the others, and learns only then.
    away.start()
    expect(away.stores.local.cart(user)).not.toBeNull()
    await world.run(away.carts.view(user).catch(() => null))
    expect(world.nodes.filter((one) => one !== away).every(isGone)).toBe(true)
    away.carts.noticeOrders(9)
    expect(await world.until(() => world.nodes.every(isGone) && settled(), 10_000)).toBe(true)
    for (const { stores } of world.nodes)
      expect(stores.local.isSessionOver({ id: 'any', user, expiresAtMs: Number.MAX_SAFE_INTEGER })).toBe(true)
  })

  test('an undecided intent is reported by the home, by the keeper when it is dead, and by the primary', async () => {
    world = new CartWorld(5, { primary: 'n5' })
    const user = world.guestOf('n1', 'n2', 'n3')
    const { node } = await world.add(user, world.node('n1'))
    await freeze(node, user, '2')
    const reports = new Map<string, number>()
    for (const one of world.nodes)
      one.carts.onUndecided(({ id }) => {
        expect(id).toBe(orderOf('2'))
        reports.set(one.name, (reports.get(one.name) ?? 0) + 1)
      })
    await world.until(() => reports.size >= 2, 10_000)
    expect([...reports.keys()].sort()).toEqual([node.name, 'n5'].sort())
    node.crash()
    const keeper = ['n1', 'n2', 'n3'].find((name) => world.node(name).isUp)
    expect(await world.until(() => reports.has(keeper as string), 10_000)).toBe(true)
  })
})
