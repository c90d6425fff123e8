/**
 * What happened, for the event streams of shoppers and operators. Promises: every listener that is there hears every
 * event, in the order of publishing; the number of listeners is bounded; nobody listens any more after `stop`.
 */
import type { MemberRecord } from '../commands.ts'
import { Fault } from '../faults.ts'
import type { NodeName, UserId } from '../ids.ts'
import type { ClusterEvent, Unsubscribe, UserEvent } from '../replica-api.ts'

/** Event streams of one node hold a connection each, so their number is bounded long before this (http/). */
const listenersMax = 20_000

type Listener<Event> = (event: Event) => void

export class Events {
  readonly #users = new Map<UserId, Set<Listener<UserEvent>>>()
  readonly #cluster = new Set<Listener<ClusterEvent>>()
  #userListeners = 0
  #stopped = false

  /** Tells whoever listens for this user. */
  user(user: UserId, event: UserEvent): void {
    tellAll(this.#users.get(user) ?? [], event)
  }

  /** Tells every operator who listens. */
  cluster(event: ClusterEvent): void {
    tellAll(this.#cluster, event)
  }

  /** Whether anybody would hear an event of this user; an expensive event need not be made for nobody. */
  hasListener(user: UserId): boolean {
    return this.#users.has(user)
  }

  /** Fault `overloaded` when there are too many listeners. */
  onUser(user: UserId, listener: Listener<UserEvent>): Unsubscribe {
    this.#checkRoom(this.#userListeners)
    // One entry per subscription, even if the same function subscribes twice.
    const own: Listener<UserEvent> = (event) => listener(event)
    const listeners = this.#users.get(user) ?? new Set()
    if (!this.#stopped) {
      this.#users.set(user, listeners.add(own))
      this.#userListeners += 1
    }
    return () => {
      if (!listeners.delete(own)) return
      this.#userListeners -= 1
      if (listeners.size === 0 && this.#users.get(user) === listeners) this.#users.delete(user)
    }
  }

  /** Fault `overloaded` when there are too many listeners. */
  onCluster(listener: Listener<ClusterEvent>): Unsubscribe {
    this.#checkRoom(this.#cluster.size)
    const own: Listener<ClusterEvent> = (event) => listener(event)
    if (!this.#stopped) this.#cluster.add(own)
    return () => this.#cluster.delete(own)
  }

  #checkRoom(count: number): void {
    if (count < listenersMax) return
    throw new Fault('overloaded', 'too many event streams at this node', {}, { retryAfterSeconds: 5 })
  }

  stop(): void {
    this.#stopped = true
    for (const listeners of this.#users.values()) listeners.clear()
    this.#users.clear()
    this.#cluster.clear()
    this.#userListeners = 0
  }
}

/** What became of the members, by name: an emptied node that joins again is the same member to an operator. */
export function memberEvents(
  before: readonly MemberRecord[],
  after: readonly MemberRecord[],
): Extract<ClusterEvent, { kind: 'member' }>[] {
  const textsOf = (members: readonly MemberRecord[]): Map<NodeName, string> =>
    new Map(members.map((member) => [member.node, JSON.stringify(member)]))
  const [old, now] = [textsOf(before), textsOf(after)]
  const events: Extract<ClusterEvent, { kind: 'member' }>[] = []
  for (const [node, text] of now) {
    const change = !old.has(node) ? 'joined' : old.get(node) !== text ? 'updated' : null
    if (change !== null) events.push({ kind: 'member', data: { node, change } })
  }
  for (const node of old.keys()) {
    if (!now.has(node)) events.push({ kind: 'member', data: { node, change: 'removed' } })
  }
  return events
}

/** A listener that throws is a bug: the others still hear the event, then the bug comes out. */
function tellAll<Event>(listeners: Iterable<Listener<Event>>, event: Event): void {
  const errors: unknown[] = []
  for (const listener of listeners) {
    try {
      listener(event)
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}
