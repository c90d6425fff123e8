/**
 * Who should vote (DESIGN.md section 3, "Voters"). A pure decision: one step at a time from what is known
 * now, so that a new primary goes on wherever the old one stopped.
 */
import type { MemberId } from '../ids.ts'
import type { RaftConfig } from './raft/types.ts'

/** A member of the cluster as the primary sees it. Whoever is not listed was removed, or replaced under its name. */
export type VoterCandidate = {
  readonly id: MemberId
  readonly eligible: boolean
  readonly alive: boolean
  /** Its log is near the end, so that it can vote without holding up commits. */
  readonly caughtUp: boolean
  /** 0 while alive. */
  readonly deadForMs: number
}

export type VoterSituation = {
  readonly members: readonly VoterCandidate[]
  readonly config: RaftConfig
  readonly replaceVoterAfterMs: number
  /** The primary, which decides. */
  readonly self: MemberId
}

export type VoterDecision =
  | { kind: 'none' }
  /** The next configuration: one member differs. */
  | { kind: 'change'; reason: 'learner' | 'promote' | 'remove'; config: RaftConfig }
  /** The primary may not stay a voter, and somebody else can go on. */
  | { kind: 'hand-over'; to: MemberId }

/** A learner that is dead for so long gives its place to a live one: long enough not to start over for a hiccup. */
export const learnerPatienceMs = 10_000

const none: VoterDecision = { kind: 'none' }

/** 1 voter with one or two eligible members, 3 with three or four, 5 with five or more. */
export function targetVoterCount(eligibleCount: number): number {
  if (eligibleCount >= 5) return 5
  return eligibleCount >= 3 ? 3 : 1
}

/** What follows from the situation, named once. */
type View = {
  readonly config: RaftConfig
  readonly self: MemberId
  readonly target: number
  readonly member: (id: MemberId) => VoterCandidate | undefined
  /** Not a member any more, or not eligible: an operator wants it out. */
  readonly isUnfit: (id: MemberId) => boolean
  /** Voters that are to give way to others. */
  readonly replaceable: readonly MemberId[]
  /** Learners that may be promoted now. */
  readonly ready: readonly MemberId[]
  /** Live eligible members that don't vote, learners first. */
  readonly spares: readonly MemberId[]
}

function viewOf({ members, config, replaceVoterAfterMs, self }: VoterSituation): View {
  const byId = new Map(members.map((member) => [member.id, member]))
  const member = (id: MemberId): VoterCandidate | undefined => byId.get(id)
  const isUnfit = (id: MemberId): boolean => member(id)?.eligible !== true
  const isLongDead = (id: MemberId): boolean => {
    const known = member(id)
    return known !== undefined && id !== self && !known.alive && known.deadForMs >= replaceVoterAfterMs
  }
  const isLearner = (id: MemberId): boolean => config.learners.includes(id)
  const spares = members
    .filter(({ id, eligible, alive }) => eligible && alive && !config.voters.includes(id))
    .map(({ id }) => id)
    .sort((a, b) => Number(isLearner(b)) - Number(isLearner(a)) || (a < b ? -1 : 1))
  return {
    config,
    self,
    target: targetVoterCount(members.filter(({ eligible }) => eligible).length),
    member,
    isUnfit,
    replaceable: config.voters.filter((id) => isUnfit(id) || isLongDead(id)),
    ready: spares.filter((id) => isLearner(id) && member(id)?.caughtUp === true),
    spares,
  }
}

/** The next step towards the voters that should be; `none` when there is nothing to do, or only to wait. */
export function nextVoterChange(situation: VoterSituation): VoterDecision {
  const view = viewOf(situation)
  const { config, self, target } = view
  const count = config.voters.length
  if (count === 0 || !situation.members.some(({ eligible }) => eligible)) return none
  if (config.voters.includes(self) && view.isUnfit(self)) {
    const to = successor(view)
    if (to !== null) return { kind: 'hand-over', to }
  }
  if (count > target) return removeWorst(view)
  if (count % 2 === 0) return leaveEven(view)
  return count === target ? replaceOne(view) : growByTwo(view)
}

function successor({ config, self, member, isUnfit }: View): MemberId | null {
  const others = config.voters.filter((id) => id !== self && !isUnfit(id) && member(id)?.alive === true)
  return others.find((id) => member(id)?.caughtUp === true) ?? null
}

/** 2 or 4 voters are only passed through: one more if somebody can come, else one fewer. */
function leaveEven(view: View): VoterDecision {
  const [next] = view.ready
  if (next !== undefined) return promote(view, next)
  return view.spares.length > 0 ? tendLearners(view, 1, 0) : removeWorst(view)
}

/** A voter that must go, or is dead for too long, goes only after another one has come. */
function replaceOne(view: View): VoterDecision {
  if (view.replaceable.length === 0) return tendLearners(view, 0)
  const [next] = view.ready
  return next === undefined ? tendLearners(view, 1) : promote(view, next)
}

/** Begins only with two that are alive and caught up, so that it is over in two changes. */
function growByTwo(view: View): VoterDecision {
  const [first, second] = view.ready
  if (first !== undefined && second !== undefined) return promote(view, first)
  const isBrieflyAway = (id: MemberId): boolean => {
    const { alive = true, deadForMs = 0 } = view.member(id) ?? {}
    return !view.isUnfit(id) && !alive && deadForMs < learnerPatienceMs
  }
  const coming = view.spares.length + view.config.learners.filter(isBrieflyAway).length
  return coming >= 2 ? tendLearners(view, 2) : replaceOne(view)
}

function promote({ config }: View, member: MemberId): VoterDecision {
  const learners = config.learners.filter((id) => id !== member)
  const voters = [...config.voters, member].sort()
  return { kind: 'change', reason: 'promote', config: { voters, learners } }
}

/**
 * Never the primary itself: it hands over first. Those that an operator wants out go before the dead, the
 * dead before the living. But first those without whom the rest has a majority that can answer: with two of five
 * dead, a living one that an operator wants out goes when one of the dead has gone, or nothing would be agreed any more.
 */
function removeWorst({ config, self, isUnfit, member }: View): VoterDecision {
  const rank = (id: MemberId): number => {
    if (isUnfit(id)) return 3
    const known = member(id)
    if (known?.alive !== true) return 2
    return known.caughtUp ? 0 : 1
  }
  const deadForMs = (id: MemberId): number => member(id)?.deadForMs ?? 0
  const canAnswer = (id: MemberId): boolean =>
    id === self || (member(id)?.alive === true && member(id)?.caughtUp === true)
  const spared = (id: MemberId): number => {
    const rest = config.voters.filter((other) => other !== id)
    return Number(rest.filter(canAnswer).length > rest.length / 2)
  }
  const [worst] = config.voters
    .filter((id) => id !== self)
    .sort(
      (a, b) => spared(b) - spared(a) || rank(b) - rank(a) || deadForMs(b) - deadForMs(a) || (a < b ? 1 : -1),
    )
  if (worst === undefined) return none
  const voters = config.voters.filter((id) => id !== worst)
  return { kind: 'change', reason: 'remove', config: { voters, learners: config.learners } }
}

/**
 * Brings the learners to `wanted` live ones where there are so many, and drops those that are of no use:
 * a dead one after `patienceMs`, if a live one can take its place.
 */
function tendLearners(view: View, wanted: number, patienceMs = learnerPatienceMs): VoterDecision {
  const { voters, learners } = view.config
  const chosen = view.spares.slice(0, wanted)
  const newcomer = chosen.find((id) => !learners.includes(id))
  const isSpent = (id: MemberId): boolean => {
    const deadForMs = view.member(id)?.deadForMs ?? 0
    return newcomer !== undefined && !chosen.includes(id) && deadForMs >= patienceMs
  }
  const isSurplus = (id: MemberId): boolean => learners.length > wanted && !chosen.includes(id)
  const useless = learners.find((id) => view.isUnfit(id) || isSpent(id) || isSurplus(id))
  if (useless !== undefined) {
    const rest = learners.filter((id) => id !== useless)
    return { kind: 'change', reason: 'learner', config: { voters, learners: rest } }
  }
  if (newcomer === undefined || learners.length >= wanted) return none
  return { kind: 'change', reason: 'learner', config: { voters, learners: [...learners, newcomer].sort() } }
}
