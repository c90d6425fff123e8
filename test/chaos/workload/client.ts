/**
 * A client as API.md describes it: asks any node, follows redirects, and repeats what was not answered, with the same
 * Idempotency-Key at another node. Each attempt is recorded with its outcome by the outcome rule.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../sim/random.ts'
import type { ChaosCluster } from '../harness/cluster.ts'
import type { Host } from '../harness/host.ts'
import { outcomeOf } from '../history.ts'
import type { Asked, Attempt, Kind, Outcome, Recorder } from '../history.ts'
import { answeredOf } from './answers.ts'
import type { Reading } from './answers.ts'
import { ask } from './http.ts'
import type { Answer, Request } from './http.ts'

/** API.md, "Redirection". */
const redirectsMax = 2
/** Somebody who waits longer has gone to another shop. */
const giveUpMs = 20_000
/** Between two attempts: soon, but not so that clients keep the nodes busy. */
const pauseMs = 80
/** A node that did not answer is left alone for so long, as a browser with several addresses does. */
const avoidMs = 2_000

export type Doing = {
  readonly process: string
  readonly kind: Kind
  readonly path: string
  readonly request: Request
  readonly asked: Asked
  readonly reading: Reading
  /** Repeated until it is answered for good; else one attempt is all. */
  readonly insists: boolean
  /** An order that is answered 202 is asked for again until it is decided. */
  readonly chases?: boolean
  readonly at?: Host
}

export type Done = {
  readonly outcome: Outcome
  /** Of the last attempt. */
  readonly answer: Answer
  readonly attempt: Attempt
}

export type ClientOptions = {
  readonly cluster: ChaosCluster
  readonly recorder: Recorder
  readonly random: SeededRandom
  readonly isOver: () => boolean
}

/** API.md, "Outcome rule". What never reached a node did not happen. */
function outcomeBy({ status, isUnsent }: Answer): Outcome {
  if (status === null) return isUnsent ? 'fail' : 'unknown'
  if (status < 300) return 'ok'
  return status === 500 || status === 504 ? 'unknown' : 'fail'
}

export class Client {
  readonly #options: ClientOptions
  readonly #avoidedUntilMs = new Map<string, number>()

  constructor(options: ClientOptions) {
    this.#options = options
  }

  /** One operation: attempts until one is answered for good, or the client gives up. */
  async operate(doing: Doing): Promise<Done> {
    const { recorder } = this.#options
    const operation = recorder.nextOperation()
    const beganMs = recorder.nowMs()
    const attempts: Attempt[] = []
    for (;;) {
      const { attempt, answer, wasRedirected } = await this.#attempt(doing, operation)
      attempts.push(attempt)
      const isFinal = !this.#mayRepeat(doing, answer, wasRedirected)
      const isOutOfTime = recorder.nowMs() - beganMs > giveUpMs
      if (isFinal || isOutOfTime || !doing.insists) return { outcome: outcomeOf(attempts), answer, attempt }
      await sleep(pauseMs)
    }
  }

  #mayRepeat(doing: Doing, { status }: Answer, wasRedirected: boolean): boolean {
    if (status === null || status === 307 || status >= 500 || status === 429) return true
    // A ticket is good by the clocks of two nodes; when one of them is off, another way leads there.
    if (status === 401) return wasRedirected
    return status === 202 && doing.chases === true
  }

  async #attempt(
    doing: Doing,
    operation: number,
  ): Promise<{ attempt: Attempt; answer: Answer; wasRedirected: boolean }> {
    const { recorder } = this.#options
    const { process, kind, asked, reading } = doing
    const host = doing.at ?? this.#pick()
    const calledMs = recorder.nowMs()
    const { answer, wasRedirected } = await this.#follow(host, doing)
    const server = answer.headers['souk-node']
    const attempt: Attempt = {
      type: 'attempt',
      process,
      operation,
      kind,
      node: host.name,
      server: typeof server === 'string' ? server : null,
      calledMs,
      returnedMs: recorder.nowMs(),
      outcome: outcomeBy(answer),
      status: answer.status,
      problem: answer.problem,
      asked,
      answered: answeredOf(answer, reading),
    }
    recorder.add(attempt)
    if (answer.status === null) this.#avoidedUntilMs.set(host.name, recorder.nowMs() + avoidMs)
    return { attempt, answer, wasRedirected }
  }

  /** As curl -L does between ports: without credentials, the ticket stands for them. */
  async #follow(host: Host, { path, request }: Doing): Promise<{ answer: Answer; wasRedirected: boolean }> {
    let answer = await ask(`${host.url}${path}`, request)
    let redirects = 0
    const { token: _dropped, ...rest } = request
    while (answer.status === 307 && redirects < redirectsMax) {
      redirects += 1
      answer = await ask(String(answer.headers['location']), rest)
    }
    return { answer, wasRedirected: redirects > 0 }
  }

  /** Any node; mostly one that answered lately. */
  #pick(): Host {
    const { cluster, recorder, random } = this.#options
    const nowMs = recorder.nowMs()
    const answering = cluster.hosts.filter(({ name }) => (this.#avoidedUntilMs.get(name) ?? 0) <= nowMs)
    return random.pick(answering.length === 0 ? cluster.hosts : answering)
  }
}
