/**
 * A client as HTTP would be: a request goes to one node, follows at most two redirects, may be answered, refused,
 * lost or late, and is repeated with its key. Tells what it knows, and what may still be running somewhere.
 */
import { isFault } from '../../node/faults.ts'
import type { Fault, FaultCode } from '../../node/faults.ts'
import type { NodeName, UserId } from '../../node/ids.ts'
import type { Replica } from '../../node/replica-api.ts'
import type { Cluster } from './cluster.ts'
import type { Host, Life } from './host.ts'
import type { SeededRandom } from './random.ts'

/** API.md: a request meets at most two redirects. */
const redirectsMax = 2
/** A client that waits longer has given up. */
const requestTimeoutMs = 8_000
const retriesMax = 6

/** `refused` says that it did not and will not happen (API.md, "Outcome rule"). */
export type Outcome<T> =
  | { kind: 'done'; value: T; node: NodeName; epoch: number }
  | { kind: 'refused'; fault: Fault }
  | { kind: 'unknown'; reason: string }

/** One operation with all its attempts. */
export type Operation<T> = {
  outcome: Outcome<T>
  /** No attempt of it runs at any server any more, nor ever will. */
  ended: () => boolean
  /** What was answered was done by the answering attempt, not by an earlier one elsewhere. */
  sole: boolean
}

type Attempt = { running: boolean }

/** What an API call at one server came to. */
type Answer<T> =
  { kind: 'answer'; value: T } | { kind: 'fault'; fault: Fault } | { kind: 'lost'; reason: string }

const unknownCodes: ReadonlySet<FaultCode> = new Set(['internal', 'outcome-unknown'])
const retriedCodes: ReadonlySet<FaultCode> = new Set([
  'internal',
  'outcome-unknown',
  'no-primary',
  'no-home',
  'behind',
  'overloaded',
  'disk-full',
])

export type Tally = { [what: string]: number }

export class Client {
  readonly #cluster: Cluster
  readonly #random: SeededRandom
  readonly tally: Tally
  /** What shoppers and administrators asked for, each with all its attempts. */
  operations = 0

  constructor(cluster: Cluster, random: SeededRandom, tally: Tally) {
    this.#cluster = cluster
    this.#random = random
    this.tally = tally
  }

  count(what: string): void {
    this.tally[what] = (this.tally[what] ?? 0) + 1
  }

  /** At any node; repeated at others until there is an answer, up to a bound. */
  async anywhere<T>(work: (api: Replica, host: Host) => Promise<T>): Promise<Operation<T>> {
    return await this.#repeat(async (host) => {
      const attempt: Attempt = { running: true }
      const answer = await this.#send(host, attempt, (life) => work(life.api, host))
      return { attempt, outcome: toOutcome(answer, (value) => ({ value, node: host.name, epoch: 0 })) }
    })
  }

  /** At the user's home, which is found by redirects. */
  async atHome<T>(user: UserId, work: (api: Replica) => Promise<T>): Promise<Operation<T>> {
    return await this.#repeat((host) => this.#followRedirects(user, host, work))
  }

  async #repeat<T>(
    once: (host: Host) => Promise<{ attempt: Attempt; outcome: Outcome<T> }>,
  ): Promise<Operation<T>> {
    this.operations += 1
    const attempts: Attempt[] = []
    let last: Outcome<T> = { kind: 'unknown', reason: 'nothing was tried' }
    let isUnknown = false
    let sent = 0
    for (let retry = 0; retry < retriesMax; retry += 1) {
      if (retry > 0) await this.#cluster.sleep(this.#random.between(100, 900))
      // An impatient client, or a proxy, sends the same thing to two nodes at once.
      const hosts = this.#random.chance(0.06) ? [this.#anyHost(), this.#anyHost()] : [this.#anyHost()]
      sent += hosts.length
      const answers = await Promise.all(hosts.map((host) => once(host)))
      for (const { attempt } of answers) attempts.push(attempt)
      const done = answers.find(({ outcome }) => outcome.kind === 'done')
      isUnknown ||= answers.some(({ outcome }) => outcome.kind === 'unknown')
      last = (done ?? answers.at(-1))?.outcome ?? last
      if (last.kind === 'done') break
      if (last.kind === 'refused' && !retriedCodes.has(last.fault.code)) break
      this.count(last.kind === 'refused' ? last.fault.code : 'lost answers')
    }
    // A definite refusal says nothing about an earlier attempt of which nothing was heard.
    if (last.kind === 'refused' && isUnknown)
      last = { kind: 'unknown', reason: 'an earlier attempt was not answered' }
    return { outcome: last, ended: () => attempts.every((attempt) => !attempt.running), sole: sent === 1 }
  }

  #anyHost(): Host {
    const up = this.#cluster.hosts.filter((host) => host.isUp)
    // Mostly one that is there, as a client learns; sometimes a dead one.
    return this.#random.pick(up.length > 0 && this.#random.chance(0.9) ? up : this.#cluster.hosts)
  }

  async #followRedirects<T>(
    user: UserId,
    first: Host,
    work: (api: Replica) => Promise<T>,
  ): Promise<{ attempt: Attempt; outcome: Outcome<T> }> {
    const attempt: Attempt = { running: true }
    let host = first
    for (let hops = 0; ; hops += 1) {
      const answer = await this.#send(host, attempt, async ({ api }) => {
        const route = await api.carts.route(user, hops)
        if (route.kind === 'redirect') return route
        return { kind: 'served' as const, epoch: route.epoch, value: await work(api) }
      })
      if (answer.kind !== 'answer') return { attempt, outcome: toOutcome<T, never>(answer, (none) => none) }
      const { value } = answer
      if (value.kind === 'served') return { attempt, outcome: { ...value, kind: 'done', node: host.name } }
      attempt.running = true
      this.count('redirects')
      this.#checkRedirect(user, host, value.home.node, hops)
      if (hops >= redirectsMax) return { attempt, outcome: { kind: 'unknown', reason: 'too many redirects' } }
      host = this.#cluster.host(value.home.node)
    }
  }

  #checkRedirect(user: UserId, from: Host, to: NodeName, hops: number): void {
    if (to === from.name) this.#cluster.violation(`${from.name} redirects ${user} to itself`)
    if (hops >= redirectsMax) this.#cluster.violation(`${from.name} redirects ${user} a third time, to ${to}`)
  }

  /** One request to one node over a network that is the client's own: it may be slow, and the node may die. */
  #send<T>(host: Host, attempt: Attempt, work: (life: Life) => Promise<T>): Promise<Answer<T>> {
    const { scheduler } = this.#cluster
    this.count('requests')
    return new Promise((resolve) => {
      const lost = (reason: string): void => resolve({ kind: 'lost', reason })
      scheduler.after(requestTimeoutMs, () => lost('no answer in time'))
      scheduler.after(this.#random.between(1, 20), () => {
        const { life } = host
        if (life === null) {
          attempt.running = false
          return lost('connection refused')
        }
        const forget = life.onEnd(() => {
          attempt.running = false
          scheduler.after(1, () => lost('connection broken'))
        })
        const finish = (answer: Answer<T>): void => {
          attempt.running = false
          forget()
          life.clock.run(() => void scheduler.after(this.#random.between(1, 20), () => resolve(answer)))
        }
        life.clock.run(() => {
          attempt.running = true
          work(life).then(
            (value) => finish({ kind: 'answer', value }),
            (error: unknown) => finish(this.#failed(host, life, error)),
          )
        })
      })
    })
  }

  #failed(host: Host, life: Life, error: unknown): Answer<never> {
    if (isFault(error)) return { kind: 'fault', fault: error }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    if (life.alive) this.#cluster.violation(`P9: ${host.name} answered a request with a bug: ${text}`)
    return { kind: 'lost', reason: text }
  }
}

function toOutcome<T, V>(
  answer: Answer<V>,
  done: (value: V) => { value: T; node: NodeName; epoch: number },
): Outcome<T> {
  switch (answer.kind) {
    case 'answer':
      return { kind: 'done', ...done(answer.value) }
    case 'fault':
      return unknownCodes.has(answer.fault.code)
        ? { kind: 'unknown', reason: answer.fault.code }
        : { kind: 'refused', fault: answer.fault }
    case 'lost':
      return { kind: 'unknown', reason: answer.reason }
    default: {
      const never: never = answer
      throw new Error(`unknown answer ${String(never)}`)
    }
  }
}
