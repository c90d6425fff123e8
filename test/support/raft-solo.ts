/** One consensus core with a disk, and the test in the place of all the others. */
import { Raft } from '../../node/core/raft/raft.ts'
import type {
  RaftConfig,
  RaftEffects,
  RaftInput,
  RaftMessage,
  RaftOptions,
} from '../../node/core/raft/types.ts'
import type { MemberId } from '../../node/ids.ts'
import { logOfTerms, memberId, MemoryLog } from './raft-cluster.ts'

export type SoloOptions = {
  readonly config: RaftConfig
  readonly terms?: readonly number[]
  readonly term?: number
  readonly timing?: Partial<RaftOptions>
}

export function configOf(voters: string, learners = ''): RaftConfig {
  const ids = (names: string) => names.split(' ').filter(Boolean).map(memberId)
  return { voters: ids(voters), learners: ids(learners) }
}

export class Solo {
  readonly log: MemoryLog
  readonly raft: Raft
  nowMs = 0
  /** Of the last call, all steps together. */
  messages: { to: MemberId; message: RaftMessage }[] = []

  constructor(options: SoloOptions) {
    this.log = new MemoryLog(options.config)
    for (const entry of logOfTerms(options.terms ?? [])) this.log.append(entry)
    this.raft = new Raft({
      self: memberId('n1'),
      heartbeatTicks: 2,
      electionTicksMin: 10,
      electionTicksMax: 20,
      leaseMs: 400,
      random: () => 0,
      log: this.log,
      hardState: { term: options.term ?? options.terms?.at(-1) ?? 0, vote: null },
      committedIndex: 0,
      ...options.timing,
    })
  }

  /** One turn of the driver: step, persist, step with `persisted`. Returns the effects of the first step. */
  step(...inputs: RaftInput[]): RaftEffects {
    const effects = this.raft.step(inputs, this.nowMs)
    this.messages = [...effects.messages]
    if (effects.truncateFrom !== null) this.log.truncateFrom(effects.truncateFrom)
    for (const entry of effects.append) this.log.append(entry)
    const last = effects.append.at(-1)
    if (last === undefined) return effects
    const more = this.raft.step([{ kind: 'persisted', index: last.index, term: last.term }], this.nowMs)
    this.messages.push(...more.messages)
    effects.reads.push(...more.reads)
    effects.snapshotsWanted.push(...more.snapshotsWanted)
    return { ...effects, commitIndex: more.commitIndex }
  }

  receive(from: string, message: RaftMessage): RaftEffects {
    return this.step({ kind: 'message', from: memberId(from), message })
  }

  tick(times = 1): RaftEffects {
    let effects = this.step({ kind: 'tick' })
    for (let time = 1; time < times; time += 1) effects = this.step({ kind: 'tick' })
    return effects
  }

  to(name: string): RaftMessage[] {
    return this.messages.filter(({ to }) => to === name).map(({ message }) => message)
  }

  kinds(): string[] {
    return this.messages.map(({ message }) => message.kind)
  }

  /** Elected by the others; their logs are found equal, and the no-op is committed. */
  becomePrimary(...others: string[]): void {
    this.tick(20)
    for (const from of others)
      this.receive(from, { kind: 'pre-vote-reply', term: this.raft.term + 1, granted: true })
    for (const from of others) this.receive(from, { kind: 'vote-reply', term: this.raft.term, granted: true })
    for (const from of others) this.acknowledge(from)
  }

  acknowledge(from: string, matchIndex = this.raft.lastIndex, round = 1): RaftEffects {
    const { term } = this.raft
    return this.receive(from, {
      kind: 'append-reply',
      term,
      ok: true,
      matchIndex,
      conflictIndex: 0,
      conflictTerm: 0,
      round,
    })
  }
}
