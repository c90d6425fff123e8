/**
 * Gossip topics `souk/CLUSTER/NAME`: names, sizes, and the verdict on each message, in one place. The sentence
 * above each verdict in DESIGN.md section 4 holds here: *reject* what is malformed (its forwarder is punished),
 * *ignore* what is stale, not applicable or from a peer not known yet, because an honest forwarder can't know.
 */
import type { ClusterId, MemberId } from '../ids.ts'
import { gossipSchemas } from '../messages.ts'
import type { GossipMessage, GossipTopic, GossipVerdict } from '../messages.ts'
import type { Logger, TransportHandlers } from '../ports.ts'
import { reasonOf } from './frames.ts'
import type { LogLimiter } from './limiter.ts'

/** Gossipsub silently loses messages over 4 MiB; a quarter of that keeps queues short (LIMITS.md). */
export const gossipSizeBytesMax = 1024 * 1024 - 16 * 1024

export const gossipTopics = Object.keys(gossipSchemas) as GossipTopic[]

export function topicName(cluster: ClusterId, topic: GossipTopic): string {
  return `souk/${cluster}/${topic}`
}

export type GossipContext = {
  logger: Logger
  limiter: LogLimiter
  /** Null before start and after stop: everything is ignored. */
  handlers: () => TransportHandlers | null
  isRemoved: (peer: MemberId) => boolean
}

type Validator = (text: string, from: MemberId) => GossipVerdict

function validator<T extends GossipTopic>(topic: T, context: GossipContext): Validator {
  const schema = gossipSchemas[topic]
  return (text, from) => {
    if (context.isRemoved(from)) return 'reject'
    const parsed = parse(schema, text)
    if (!parsed.ok) {
      if (context.limiter.allows(`gossip ${topic} ${from}`))
        context.logger.warn({ peer: from, topic, reason: parsed.reason }, 'malformed gossip; it is rejected')
      return 'reject'
    }
    return context.handlers()?.gossip(topic, parsed.value as GossipMessage<T>, from) ?? 'ignore'
  }
}

function parse(
  schema: (typeof gossipSchemas)[GossipTopic],
  text: string,
): { ok: true; value: unknown } | { ok: false; reason: string } {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    return { ok: false, reason: 'not JSON' }
  }
  const parsed = schema.safeParse(raw)
  if (parsed.success) return { ok: true, value: parsed.data }
  return { ok: false, reason: reasonOf(parsed.error) }
}

/** A case per topic: a new topic does not compile without one. */
export function gossipValidators(context: GossipContext): { [T in GossipTopic]: Validator } {
  return {
    lease: validator('lease', context),
    catalog: validator('catalog', context),
    presence: validator('presence', context),
    revocations: validator('revocations', context),
  }
}
