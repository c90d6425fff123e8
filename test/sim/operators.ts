/**
 * What people do to a running cluster: hand-over, drain, eligibility, new machines, removals, disks replaced. They look
 * before they act (a majority stays, no cart is lost), and ask again until they know what became of it.
 */
import { isFault } from '../../node/faults.ts'
import type { MemberRecord } from '../../node/commands.ts'
import type { NodeName, UserId } from '../../node/ids.ts'
import type { Host, Life } from './host.ts'
import { breaksMajority, newestMembers, soleCopies } from './losses.ts'
import type { Action, Scene } from './scene.ts'

/** Machines in service at once (the issue: 3 to 7), and over a whole world. */
const nodesMax = 7
const machinesMax = 9
/** Fewer than three eligible members would leave a single voter. */
const eligibleMin = 3
const askAgainMs = 500

export class Operators {
  readonly #scene: Scene
  /** Removals of which it is not known yet whether they happened, or whose machine still runs. */
  pending = 0

  constructor(scene: Scene) {
    this.#scene = scene
  }

  actions(): Action[] {
    return [
      { name: 'hand over', weight: 0.7, perform: () => this.#handOver() },
      { name: 'drain', weight: 0.7, perform: () => this.#drain() },
      { name: 'change eligibility', weight: 0.7, perform: () => this.#changeEligibility() },
      { name: 'a machine joins', weight: 0.7, perform: () => this.#join() },
      { name: 'a member is removed', weight: 0.8, perform: () => this.#remove() },
      { name: 'a disk is wiped', weight: 1.2, perform: () => this.#wipe() },
    ]
  }

  #handOver(): boolean {
    const primary = this.#scene.primary()
    this.#scene.note(`hands over the lease of ${primary?.name ?? 'nobody'}`)
    // Refusals are an operator's business, and whatever else is wrong shows in what follows.
    primary?.life?.api.cluster.handOver(null).catch(() => undefined)
    return primary !== null
  }

  #drain(): boolean {
    const host = this.#scene.anybody()
    if (host === null) return false
    this.#scene.note(`drains ${host.name}`)
    this.#patch(host.name, { draining: true })
    this.#scene.later(3_000, 10_000, () => {
      this.#scene.note(`${host.name} is back in service`)
      this.#patch(host.name, { draining: false })
    })
    return true
  }

  #patch(node: NodeName, patch: { draining?: boolean; eligible?: boolean }): void {
    this.#scene
      .anybody()
      ?.life?.api.cluster.patchMember(node, patch)
      .catch(() => this.#scene.note(`the patch of ${node} was refused`))
  }

  #members(): readonly MemberRecord[] {
    return newestMembers(this.#scene.cluster)
  }

  #maySpare(host: Host): boolean {
    const eligible = this.#members().filter((member) => member.eligible)
    return eligible.length > eligibleMin || eligible.every(({ node }) => node !== host.name)
  }

  #changeEligibility(): boolean {
    const host = this.#scene.anybody()
    const own = this.#members().find(({ node }) => node === host?.name)
    if (host === null || own === undefined || (own.eligible && !this.#maySpare(host))) return false
    this.#scene.note(`makes ${host.name} ${own.eligible ? 'not ' : ''}eligible`)
    this.#patch(host.name, { eligible: !own.eligible })
    return true
  }

  #join(): boolean {
    const { cluster } = this.#scene
    if (cluster.inService.length >= nodesMax || cluster.hosts.length >= machinesMax) return false
    const host = cluster.addHost()
    this.#scene.note(`sets up ${host.name}`)
    host.start()
    return true
  }

  // ---------------------------------------------------------------- losses

  #users(): UserId[] {
    return this.#scene.shoppers.flatMap(({ users }) => users)
  }

  /**
   * A machine whose new disk was not let in yet: removed by name, it would go by its old entry and come in after it; and
   * wiped again, the join that is under way for this disk might come in after that of the next, in whose place it would be.
   */
  #isListed(host: Host): boolean {
    return this.#members().some(({ id }) => id === host.id)
  }

  #canLose(host: Host): boolean {
    const { cluster } = this.#scene
    if (host.isRemoved || host.stores === null || breaksMajority(cluster, host)) return false
    return soleCopies(cluster, host, this.#users()).length === 0
  }

  #wipe(): boolean {
    const { cluster, random } = this.#scene
    const host = random
      .shuffle(cluster.inService)
      .find((other) => this.#isListed(other) && this.#canLose(other))
    if (host === undefined) return false
    this.#scene.note(`wipes the disk of ${host.name}`)
    host.wipe(cluster.addressesBut(host))
    this.#scene.restartLater(host)
    return true
  }

  #remove(): boolean {
    const { cluster, random } = this.#scene
    const staying = cluster.inService.filter(({ isRemoved }) => !isRemoved)
    if (staying.length <= 3) return false
    const host = random
      .shuffle(staying)
      .find((other) => this.#isListed(other) && this.#maySpare(other) && this.#canLose(other))
    if (host === undefined) return false
    this.#scene.note(`removes ${host.name}`)
    host.isRemoved = true
    this.pending += 1
    void this.#carryOut(host).finally(() => {
      this.pending -= 1
    })
    return true
  }

  async #carryOut(host: Host): Promise<void> {
    const { cluster, random } = this.#scene
    if (!(await this.#askUntilRemoved(host))) {
      host.isRemoved = false
      return
    }
    this.#scene.note(`${host.name} is removed`)
    await cluster.sleep(random.between(0, 6_000))
    // However long it takes until it is in touch with the set and has handed over what it holds: it may have been cut off
    // when it was removed, and have taken changes together with another one that was, which are promised (P5).
    while (soleCopies(cluster, host, this.#users()).length > 0) await cluster.sleep(askAgainMs)
    this.#scene.note(`shuts ${host.name} down for good`)
    host.kill()
    host.isRetired = true
    if (random.chance(0.6)) this.#setUpAgain(host)
  }

  /** False when the cluster would not do it. */
  async #askUntilRemoved(host: Host): Promise<boolean> {
    const { cluster } = this.#scene
    for (;;) {
      const life = this.#scene.anybody()?.life ?? null
      const answer = life === null ? 'again' : await this.#ask(life, host)
      if (answer !== 'again') return answer === 'done'
      await cluster.sleep(askAgainMs)
    }
  }

  #ask(life: Life, host: Host): Promise<'done' | 'refused' | 'again'> {
    return new Promise((resolve) => {
      life.onEnd(() => resolve('again'))
      life.clock.run(() => {
        life.api.cluster.removeMember(host.name).then(
          () => resolve('done'),
          (error: unknown) => {
            if (!isFault(error)) return resolve('again')
            // An earlier attempt may have done it; a node that is behind may not know the member yet.
            const isListed = this.#members().some(({ id }) => id === host.id)
            if (error.code === 'not-found') return resolve(isListed ? 'again' : 'done')
            resolve(error.code === 'conflict' ? 'refused' : 'again')
          },
        )
      })
    })
  }

  #setUpAgain(host: Host): void {
    const { cluster } = this.#scene
    this.#scene.later(500, 8_000, () => {
      if (cluster.inService.length >= nodesMax) return
      this.#scene.note(`sets ${host.name} up again, empty`)
      host.wipe(cluster.addressesBut(host))
      host.isRetired = false
      host.start()
    })
  }
}
