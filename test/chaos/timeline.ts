/** Which nodes served, and which could reach each other, at each moment of a run. Pure, from the history. */
import type { History, NodeCondition } from './history.ts'

type Change<T> = { readonly atMs: number; readonly value: T }
type Pair = readonly [string, string]

/** Serve reads of the catalog, whatever else they can't do. */
const serving: ReadonlySet<NodeCondition> = new Set(['live', 'draining', 'full'])
/** May be counted on to hold carts and to vote. */
const sound: ReadonlySet<NodeCondition> = new Set(['live', 'draining'])

export class Timeline {
  readonly #conditions = new Map<string, Change<NodeCondition>[]>()
  readonly #cuts: readonly Change<readonly Pair[]>[]
  readonly #voters: readonly Change<readonly string[]>[]
  /** Every moment at which anything about nodes or links changed, in order. */
  readonly changesMs: readonly number[]

  constructor(history: History) {
    for (const { node, condition, atMs } of history.nodes) {
      const changes = this.#conditions.get(node) ?? []
      changes.push({ atMs, value: condition })
      this.#conditions.set(node, changes)
    }
    this.#cuts = history.cuts.map(({ atMs, pairs }) => ({ atMs, value: pairs }))
    this.#voters = votersOf(history)
    const all = [...history.nodes, ...history.cuts].map(({ atMs }) => atMs)
    this.changesMs = all.sort((a, b) => a - b)
  }

  nodesAt(atMs: number): string[] {
    return [...this.#conditions.keys()].filter((node) => {
      const condition = this.conditionAt(node, atMs)
      return condition !== null && condition !== 'removed'
    })
  }

  /** Null before the node existed. */
  conditionAt(node: string, atMs: number): NodeCondition | null {
    return at(this.#conditions.get(node) ?? [], atMs) ?? null
  }

  /** The conditions that a node was in, at any moment from `fromMs` to `toMs`. */
  conditionsDuring(node: string, fromMs: number, toMs: number): NodeCondition[] {
    const changes = this.#conditions.get(node) ?? []
    const first = at(changes, fromMs)
    const later = changes.filter(({ atMs }) => atMs > fromMs && atMs <= toMs).map(({ value }) => value)
    return first === undefined ? later : [first, ...later]
  }

  /** It served reads for all of that time. */
  isServing(node: string, fromMs: number, toMs: number): boolean {
    const conditions = this.conditionsDuring(node, fromMs, toMs)
    return this.conditionAt(node, fromMs) !== null && conditions.every((condition) => serving.has(condition))
  }

  cutsAt(atMs: number): readonly Pair[] {
    return at(this.#cuts, atMs) ?? []
  }

  /** Sound, and no packet from or to it is dropped. */
  isWholeAt(node: string, atMs: number): boolean {
    const condition = this.conditionAt(node, atMs)
    return (
      condition !== null &&
      sound.has(condition) &&
      this.cutsAt(atMs).every(([from, to]) => from !== node && to !== node)
    )
  }

  /** Every one of these moments: the beginning, and each change until the end. */
  #momentsOf(fromMs: number, toMs: number): number[] {
    return [fromMs, ...this.changesMs.filter((atMs) => atMs > fromMs && atMs <= toMs)]
  }

  /** At least `count` of these nodes were whole at each moment. */
  hasWhole(nodes: readonly string[], count: number, fromMs: number, toMs: number): boolean {
    return this.#momentsOf(fromMs, toMs).every(
      (atMs) => nodes.filter((node) => this.isWholeAt(node, atMs)).length >= count,
    )
  }

  /** At most `count` nodes were not whole at each moment, so that any set of three had two that were. */
  hasAtMostBroken(count: number, fromMs: number, toMs: number): boolean {
    return this.#momentsOf(fromMs, toMs).every(
      (atMs) => this.nodesAt(atMs).filter((node) => !this.isWholeAt(node, atMs)).length <= count,
    )
  }

  votersAt(atMs: number): readonly string[] {
    return at(this.#voters, atMs) ?? []
  }

  /** More than half of the voters are sound and reach each other, both ways. */
  hasMajorityAt(atMs: number): boolean {
    const voters = this.votersAt(atMs)
    const cut = new Set(this.cutsAt(atMs).flatMap(([one, other]) => [`${one} ${other}`, `${other} ${one}`]))
    const up = voters.filter((node) => {
      const condition = this.conditionAt(node, atMs)
      return condition !== null && sound.has(condition)
    })
    const needed = Math.floor(voters.length / 2) + 1
    return voters.length > 0 && hasClique(up, needed, (one, other) => !cut.has(`${one} ${other}`))
  }

  /** Since when a majority has been there without any change to nodes or links; null when there is none. */
  calmMajoritySince(atMs: number): number | null {
    if (!this.hasMajorityAt(atMs)) return null
    return this.changesMs.findLast((changeMs) => changeMs <= atMs) ?? 0
  }

  /** Something made a node silent without ending it: a pause, a cut, a disk that failed or was full. */
  wasDisturbed(fromMs: number, toMs: number): boolean {
    const silent: ReadonlySet<NodeCondition> = new Set(['paused', 'failing', 'full'])
    if (this.#momentsOf(fromMs, toMs).some((atMs) => this.cutsAt(atMs).length > 0)) return true
    return [...this.#conditions.keys()].some((node) =>
      this.conditionsDuring(node, fromMs, toMs).some((condition) => silent.has(condition)),
    )
  }
}

/** The value that the newest change until then gave. */
function at<T>(changes: readonly Change<T>[], atMs: number): T | undefined {
  let low = 0
  let high = changes.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((changes[middle] as Change<T>).atMs <= atMs) low = middle + 1
    else high = middle
  }
  return changes[low - 1]?.value
}

/** Whom the primary of the newest term, or whoever knows of it, names as voters. */
function votersOf({ views }: History): Change<readonly string[]>[] {
  const found: Change<readonly string[]>[] = []
  let newestTerm = 0
  for (const { atMs, term, primary, voters } of views) {
    if (term < newestTerm || primary === null || voters.length === 0) continue
    newestTerm = term
    if (found.at(-1)?.value.join() !== voters.join()) found.push({ atMs, value: voters })
  }
  return found
}

/** Is there a group of that size in which all reach each other? Voters are five at most, so trying all is cheap. */
function hasClique(
  nodes: readonly string[],
  size: number,
  inTouch: (one: string, other: string) => boolean,
): boolean {
  if (size === 0) return true
  return nodes.some((node, index) =>
    hasClique(
      nodes.slice(index + 1).filter((other) => inTouch(node, other)),
      size - 1,
      inTouch,
    ),
  )
}
