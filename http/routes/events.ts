/** Event streams: of a user at its home, and of the cluster at any node. */
import type { Context } from 'hono'
import { z } from '@hono/zod-openapi'
import type { ClusterEvent, UserEvent } from '../../node/replica-api.ts'
import { atHome } from '../home.ts'
import type { Visitor } from '../home.ts'
import type { Shop } from '../shop.ts'
import { define } from '../shop.ts'
import type { Channel, Channels, Frame, StillGood } from '../sse.ts'
import { cartDocumentOf, orderDocumentOf } from '../views.ts'

const lastEventHeader = z.object({ 'Last-Event-ID': z.string().optional() })
const media = { 'text/event-stream': z.string() }

function userData(event: UserEvent): string {
  return JSON.stringify(event.kind === 'cart' ? cartDocumentOf(event.data) : orderDocumentOf(event.data))
}

/** Opens a stream on a channel: what was missed, or a snapshot, then what comes. */
export async function streamAnswer(
  shop: Shop,
  context: Context,
  channels: Channels,
  source: {
    subject: string
    stillGood: StillGood | null
    subscribe: (channel: Channel) => () => void
    snapshot: () => Promise<{ event: string; data: string }[]>
  },
): Promise<Response> {
  const headers = {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
  }
  // Nobody would ever end the stream of a HEAD request.
  if (context.req.method === 'HEAD') return shop.answers.raw(null, 200, headers)
  const channel = channels.get(source.subject, source.subscribe)
  // Taken before the snapshot, so that an event that races with it is sent again rather than lost.
  const id = channel.newest
  const snapshot = await source.snapshot()
  const missed = channel.since(context.req.header('last-event-id') ?? '')
  const now: Frame[] = snapshot.map((frame) => ({ ...frame, id }))
  const first = missed ?? [...now, ...(channel.since(id) ?? [])]
  const stream = shop.streams.open(source.subject, source.stillGood, () => {
    channel.remove(stream)
    channels.touched(source.subject)
  })
  channel.add(stream)
  channels.touched(source.subject)
  for (const frame of first) stream.send(frame)
  if (first.length === 0) stream.comment()
  return shop.answers.raw(stream.body, 200, headers)
}

/** Ends a stream whose session has ended or whose user has another home by now. */
function stillAtHome(shop: Shop, { shopper }: Visitor): StillGood {
  return {
    session: () => shop.gate.isGood(shopper.claims),
    home: async () => {
      // Not `route`: an open stream is no activity, or a user with a forgotten tab would never be migrated.
      const { assignment } = await shop.replica.users.describe(shopper.claims.user)
      return assignment.home.node === shop.replica.self.node
    },
  }
}

function userEvents(shop: Shop, channels: Channels): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/events',
      summary: 'Server-sent events of the user: cart, order. The first is the cart as it is',
      tag: 'events',
      auth: 'shopper',
      headers: lastEventHeader,
      answers: { 200: media },
      problems: ['not-home', 'no-home', 'overloaded', 'too-many-requests'],
    },
    atHome(shop, async (context, visitor) => {
      const { user } = visitor.shopper.claims
      return await streamAnswer(shop, context, channels, {
        subject: user,
        stillGood: stillAtHome(shop, visitor),
        subscribe: (channel) =>
          shop.replica.onUserEvent(user, (event) => channel.publish(event.kind, userData(event))),
        snapshot: async () => {
          const cart = await shop.replica.carts.view(user)
          return [{ event: 'cart', data: JSON.stringify(cartDocumentOf(cart)) }]
        },
      })
    }),
  )
}

function clusterSnapshot(shop: Shop): { event: string; data: string }[] {
  const { term, primary, catalog } = shop.replica.cluster.view()
  const events: ClusterEvent[] = [
    { kind: 'primary', data: { term, primary } },
    { kind: 'catalog', data: catalog },
  ]
  return events.map((event) => ({ event: event.kind, data: JSON.stringify(event.data) }))
}

function clusterEvents(shop: Shop, channels: Channels): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/cluster/events',
      summary: 'Server-sent events of the cluster: primary, member, catalog, carts',
      tag: 'events',
      auth: 'nobody',
      headers: lastEventHeader,
      answers: { 200: media },
      problems: ['overloaded'],
    },
    async (context) =>
      await streamAnswer(shop, context, channels, {
        subject: 'cluster',
        stillGood: null,
        subscribe: (channel) =>
          shop.replica.onClusterEvent((event) => channel.publish(event.kind, JSON.stringify(event.data))),
        snapshot: async () => await Promise.resolve(clusterSnapshot(shop)),
      }),
  )
}

export function eventRoutes(shop: Shop, channels: Channels): void {
  userEvents(shop, channels)
  clusterEvents(shop, channels)
}
