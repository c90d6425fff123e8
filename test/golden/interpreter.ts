/** The commands of the golden transcripts; README.md beside this file says what each does. */
import { appendBytesMax } from '../../node/core/raft/replication.ts'
import { encodeConfig } from '../../node/core/raft/config.ts'
import type { LogEntry, RaftEffects, RaftInput, RaftMessage } from '../../node/core/raft/types.ts'
import type { MemberId } from '../../node/ids.ts'
import { memberId, RaftCluster, type ClusterNode, type Envelope } from '../support/raft-cluster.ts'

/** Deliveries of one `settle`: far more than any transcript needs. */
const deliveriesMax = 10_000
const ticksMax = 100

type Command = (words: string[]) => void

export class GoldenCluster {
  #cluster = new RaftCluster({ ids: [] })
  #queue: Envelope[] = []
  #lines: string[] = []
  #seen = new Map<MemberId, string>()
  readonly #commands: ReadonlyMap<string, Command>

  constructor() {
    this.#commands = new Map<string, Command>([
      ['voters', (names) => this.#create(names)],
      ['log', ([name = '', ...terms]) => this.#log(name, terms)],
      ['term', ([name = '', term]) => this.#setTerm(name, Number(term))],
      ['config', ([name = '', ...words]) => this.#appendConfig(name, words)],
      ['start', (names) => this.#start(names)],
      ['crash', ([name = '']) => this.#cluster.crash(this.#node(name))],
      ['tick', ([name = '', times = '1']) => this.#tick(name, Number(times))],
      ['campaign', ([name = '']) => this.#campaign(name)],
      ['time', ([ms]) => void (this.#cluster.nowMs += Number(ms))],
      ['deliver', (words) => this.#deliver(words)],
      ['drop', (words) => void this.#take(words)],
      ['settle', (names) => this.#settle(names)],
      [
        'propose',
        ([name = '', ...data]) => this.#input(name, { kind: 'propose', ref: 0, data: data.join(' ') }),
      ],
      ['read', ([name = '', ref]) => this.#input(name, { kind: 'read', ref: Number(ref) })],
      ['transfer', ([name = '', to]) => this.#transfer(name, to)],
      ['change', ([name = '', ...words]) => this.#change(name, words)],
      [
        'gone',
        ([name = '', member = '']) => this.#input(name, { kind: 'peer-gone', member: memberId(member) }),
      ],
      ['compact', ([name = '', index]) => this.#cluster.compact(this.#node(name), Number(index))],
      ['snapshot', ([name = '', to = '', lost]) => this.#snapshot(name, to, lost === 'lost')],
      ['lease', ([name = '']) => this.#showLease(name)],
      ['configuration', ([name = '']) => this.#showConfiguration(name)],
      ['show', (names) => this.#show(names)],
    ])
  }

  run(line: string): string[] {
    this.#lines = []
    const [verb = '', ...words] = line.trim().split(/\s+/)
    const command = this.#commands.get(verb)
    if (command === undefined) throw new Error(`unknown command: ${line}`)
    command(words)
    return this.#lines
  }

  #node(name: string): ClusterNode {
    return this.#cluster.node(name)
  }

  // ---- setting the scene ----

  #create(names: string[]): void {
    const split = names.indexOf('others')
    const voters = (split < 0 ? names : names.slice(0, split)).map(memberId)
    const ids = names.filter((name) => name !== 'others')
    this.#cluster = new RaftCluster({ ids, config: { voters, learners: [] }, random: () => 0.5 })
    this.#queue = []
    this.#seen.clear()
    this.#cluster.onSend = (envelope) => void this.#queue.push(envelope)
    this.#cluster.onEffects = (node, effects) => this.#report(node, effects)
  }

  #log(name: string, terms: string[]): void {
    const { disk } = this.#node(name)
    for (const word of terms) {
      const data = word.endsWith('*') ? ' '.repeat(appendBytesMax) : ''
      const term = Number.parseInt(word, 10)
      disk.log.append({ index: disk.log.lastIndex() + 1, term, kind: 'command', data })
      disk.hardState = { term, vote: null }
    }
  }

  #setTerm(name: string, term: number): void {
    this.#node(name).disk.hardState = { term, vote: null }
  }

  #appendConfig(name: string, [term = '', ...words]: string[]): void {
    const { log } = this.#node(name).disk
    const entry: LogEntry = {
      index: log.lastIndex() + 1,
      term: Number(term),
      kind: 'config',
      data: encodeConfig(configOf(words)),
    }
    log.append(entry)
  }

  #start(names: string[]): void {
    const chosen =
      names.length === 0 ? [...this.#cluster.nodes.values()] : names.map((name) => this.#node(name))
    for (const node of chosen) {
      this.#cluster.start(node)
      this.#seen.set(node.id, standing(node))
    }
  }

  // ---- moving ----

  #input(name: string, input: RaftInput): void {
    this.#cluster.turn(this.#node(name), [input])
  }

  #tick(name: string, times: number): void {
    for (let time = 0; time < times; time += 1) this.#input(name, { kind: 'tick' })
  }

  /** Ticks until it asks for votes. */
  #campaign(name: string): void {
    const isAsking = () =>
      this.#queue.some(({ from, message }) => from === name && message.kind.endsWith('vote'))
    for (let times = 0; times < ticksMax && !isAsking(); times += 1) this.#input(name, { kind: 'tick' })
    if (!isAsking()) throw new Error(`${name} does not campaign`)
  }

  #transfer(name: string, to: string | undefined): void {
    this.#input(name, { kind: 'transfer', ref: 0, to: to === undefined ? null : memberId(to) })
  }

  #change(name: string, words: string[]): void {
    this.#input(name, { kind: 'change-config', ref: 0, config: configOf(words) })
  }

  /** What covers the beginning of its log reaches the other's disk whole, or not at all; the sender hears how it went. */
  #snapshot(name: string, to: string, isLost: boolean): void {
    const { log } = this.#node(name).disk
    const index = log.snapshotIndex()
    if (!isLost)
      this.#cluster.installSnapshot(this.#node(to), index, log.snapshotTerm(), log.snapshotConfig())
    this.#input(name, { kind: 'snapshot-sent', to: memberId(to), ok: !isLost, index })
  }

  /** `n1 > n2`, `n1 >`, `> n2`: takes the waiting messages that match. */
  #take(words: string[]): Envelope[] {
    const arrow = words.indexOf('>')
    const matches = (names: string[], name: string) => names.length === 0 || names.includes(name)
    const froms = arrow < 0 ? words : words.slice(0, arrow)
    const tos = arrow < 0 ? [] : words.slice(arrow + 1)
    const taken = this.#queue.filter(({ from, to }) => matches(froms, from) && matches(tos, to))
    this.#queue = this.#queue.filter((envelope) => !taken.includes(envelope))
    return taken
  }

  /** Delivers what is waiting now, not what it leads to, and shows each message. */
  #deliver(words: string[]): void {
    for (const { from, to, message } of this.#take(words)) {
      this.#lines.push(`${from} > ${to} ${describe(message)}`)
      this.#input(to, { kind: 'message', from, message })
    }
  }

  /** Delivers among these members until nothing is waiting among them; what goes to others is lost. */
  #settle(names: string[]): void {
    const among = names.length === 0 ? [...this.#cluster.nodes.keys()] : names.map(memberId)
    for (let times = 0; times < deliveriesMax; times += 1) {
      const envelope = this.#queue.shift()
      if (envelope === undefined) return
      const { from, to, message } = envelope
      const isInside = among.includes(from) && among.includes(to)
      if (isInside) this.#input(to, { kind: 'message', from, message })
    }
    throw new Error('the messages never end')
  }

  // ---- showing ----

  #report(node: ClusterNode, effects: RaftEffects): void {
    const now = standing(node)
    if (this.#seen.get(node.id) !== now) this.#lines.push(`  ${node.id} is ${now}`)
    this.#seen.set(node.id, now)
    for (const result of effects.proposals) {
      this.#lines.push(
        result.accepted ? `  ${node.id} appends ${result.index}` : `  ${node.id} refuses: ${result.reason}`,
      )
    }
    for (const { ref, index } of effects.reads)
      this.#lines.push(`  ${node.id} serves read ${ref} at ${index}`)
    for (const ref of effects.readsFailed) this.#lines.push(`  ${node.id} can't serve read ${ref}`)
    for (const { ok } of effects.transfers)
      this.#lines.push(`  ${node.id} hand-over ${ok ? 'done' : 'failed'}`)
    for (const to of effects.snapshotsWanted) this.#lines.push(`  ${node.id} wants a snapshot sent to ${to}`)
  }

  #showLease(name: string): void {
    const { leaseUntilMs } = this.#cluster.raft(name)
    this.#lines.push(leaseUntilMs > this.#cluster.nowMs ? `until ${leaseUntilMs}` : 'none')
  }

  #showConfiguration(name: string): void {
    const { voters, learners } = this.#cluster.raft(name).config
    this.#lines.push([...voters, ...(learners.length > 0 ? ['learners', ...learners] : [])].join(' '))
  }

  /**
   * The terms of the log, as the paper draws it; what is known to be committed stands before the bar. What a snapshot
   * covers is one word in parentheses, its last index and term.
   */
  #show(names: string[]): void {
    const chosen = names.length === 0 ? [...this.#cluster.nodes.keys()] : names.map(memberId)
    for (const id of chosen) {
      const node = this.#node(id)
      const { log } = node.disk
      const commitIndex = node.raft?.commitIndex ?? 0
      const first = log.snapshotIndex() + 1
      const words = log
        .entries(first, log.lastIndex(), Infinity)
        .map(({ kind, term }) => (kind === 'config' ? `${term}c` : `${term}`))
      words.splice(Math.max(0, commitIndex - log.snapshotIndex()), 0, '|')
      if (first > 1) words.unshift(`(${log.snapshotIndex()}@${log.snapshotTerm()})`)
      this.#lines.push(`${id}: ${words.join(' ')}`)
    }
  }
}

function standing({ raft, disk }: ClusterNode): string {
  return `${raft?.role ?? 'down'} in term ${disk.hardState.term}`
}

/** `n1 n2 learners n3` */
function configOf(words: string[]): { voters: MemberId[]; learners: MemberId[] } {
  const split = words.indexOf('learners')
  const voters = split < 0 ? words : words.slice(0, split)
  return { voters: voters.map(memberId), learners: split < 0 ? [] : words.slice(split + 1).map(memberId) }
}

function describe(message: RaftMessage): string {
  switch (message.kind) {
    case 'pre-vote':
    case 'vote': {
      const how = message.kind === 'vote' && message.transfer ? ', handed over' : ''
      return `${message.kind} in term ${message.term}, log ends ${message.lastIndex}@${message.lastTerm}${how}`
    }
    case 'pre-vote-reply':
    case 'vote-reply':
      return `${message.granted ? 'grants' : 'refuses'} ${message.kind.slice(0, -6)} in term ${message.term}`
    case 'append': {
      const terms = message.entries.map(({ index, term }) => `${index}@${term}`).join(' ')
      return `append after ${message.previousIndex}@${message.previousTerm}: ${terms || 'nothing'}, commit ${message.commitIndex}`
    }
    case 'append-reply': {
      if (message.ok) return `has ${message.matchIndex}`
      return `refuses after ${message.matchIndex}, try ${message.conflictIndex}@${message.conflictTerm}, term ${message.term}`
    }
    case 'heartbeat':
      return `heartbeat, commit ${message.commitIndex}`
    case 'heartbeat-reply':
      return `answers heartbeat, term ${message.term}`
    case 'timeout-now':
      return 'campaign now'
    default: {
      const never: never = message
      return never
    }
  }
}
