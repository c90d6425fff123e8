/**
 * When earlier member lists stop to matter for carts. As long as they do, a takeover needs answers of the sets by those
 * lists as well, and one dead member of an old set makes every cart of it incomplete. Promise: a list is forgotten only
 * when all that was acknowledged under it is on --cart-acks disks of the present sets (or, at a member that left the set,
 * on those of all live ones), so that the answers of a present set suffice (DESIGN.md section 5, "Takeover").
 *
 * Each member says two members versions with its presence. *Placed*: it has looked at every cart on its disk since it has
 * that list, and what had to be brought somewhere then is there. *Settled*: it knew of everybody that they are placed, and
 * what it had to bring somewhere by then, what the others had brought it included, is there. Both stay true whatever
 * comes later, as that is acknowledged by the new list; so a member that has died since is no hindrance.
 */
import type { LogIndex, MemberId } from '../ids.ts'
import type { DirtyCarts } from './cart-dirty.ts'
import type { Context, PlacementVersions } from './context.ts'
import type { Homes } from './homes.ts'

type Mark = { readonly version: LogIndex; readonly atMs: number }

export class Settling {
  readonly #context: Context
  readonly #homes: Homes
  readonly #dirty: DirtyCarts
  #scanned: Mark = { version: 0, atMs: 0 }
  #placed: Mark = { version: 0, atMs: 0 }
  #own: PlacementVersions = { placedVersion: 0, settledVersion: 0 }

  constructor(context: Context, homes: Homes, dirty: DirtyCarts) {
    this.#context = context
    this.#homes = homes
    this.#dirty = dirty
  }

  versions(): PlacementVersions {
    return this.#own
  }

  /** Every cart was looked at since the members were at this version, and by then it was known who lives. */
  scanned(version: LogIndex): void {
    if (version > this.#scanned.version) this.#scanned = this.#now(version)
  }

  turn(): void {
    const { members } = this.#context
    if (!members.selfIsMember()) return
    const placedVersion = this.#reached(this.#own.placedVersion, this.#scanned)
    this.#own = { ...this.#own, placedVersion }
    const everybodys = this.#least(({ placedVersion: version }) => version)
    if (everybodys > this.#placed.version) this.#placed = this.#now(everybodys)
    const settledVersion = this.#reached(this.#own.settledVersion, this.#placed)
    this.#own = { ...this.#own, settledVersion }
    this.#homes.earlier.settle(this.#least(({ settledVersion: version }) => version))
  }

  #now(version: LogIndex): Mark {
    return { version, atMs: this.#context.clock.monotonicMs() }
  }

  #reached(before: LogIndex, { version, atMs }: Mark): LogIndex {
    return version > before && !this.#dirty.hasWaitedSince(atMs) ? version : before
  }

  /** Of all members. Who has not said so in this life of the node, or runs an earlier release, has reached nothing. */
  #least(versionOf: (versions: PlacementVersions) => LogIndex): LogIndex {
    const { members, presence, selfId } = this.#context
    const nothing = { placedVersion: 0, settledVersion: 0 }
    const of = (id: MemberId): PlacementVersions =>
      id === selfId ? this.#own : (presence.get(id) ?? nothing)
    return Math.min(...members.list().map(({ id }) => versionOf(of(id))))
  }
}
