/**
 * What happened, for the event streams of shoppers and operators. Promises: every listener that is there hears every
 * event, in the order of publishing; the number of listeners is bounded; nobody listens any more after `stop`.
 */
import { Fault } from '../faults.ts'
import type { UserId } from '../ids.ts'
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
