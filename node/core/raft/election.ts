/**
 * Elections: pre-vote, votes, stickiness and fast failover (Raft section 5.2 and 5.4.1; dissertation,
 * sections 4.2.3 and 9.6; DESIGN.md section 3).
 */
import type { MemberId } from '../../ids.ts'
import { isMajority, voteResult } from '../quorum.ts'
import { becomeCandidate, becomeFollower, becomePreCandidate, becomePrimary } from './roles.ts'
import type { RaftState } from './state.ts'
import type { RaftMessage } from './types.ts'

/** First spread of campaigns after a primary is gone: [0, 1] ticks. Survivors that collide give way by a rule. */
const goneSpreadTicks = 1
/** Reports of a gone primary further apart than this many longest election timeouts are not one flapping link. */
const goneMemoryTimeouts = 10
/** Shortest wait before a campaign after a gone primary is tried again; doubled each time. */
const retryTicks = 2

type Of<Kind extends RaftMessage['kind']> = Extract<RaftMessage, { kind: Kind }>

/**
 * A voter campaigns. So does one whose own removal is in its log and not known to be committed: it may
 * be needed to commit just that (dissertation, section 4.2.2, Figure 4.6).
 */
export function mayCampaign(core: RaftState): boolean {
  if (!core.canLead || core.config.voters.length === 0) return false
  if (core.isVoter(core.self)) return true
  return core.pendingConfigIndex > 0 && core.configs.committed.voters.includes(core.self)
}

/** Time goes on for whoever can't lead: its stickiness must end, or its vote would be missing at an election. */
export function setCanLead(core: RaftState, can: boolean): void {
  if (can && !core.canLead) core.resetElectionTimer()
  core.canLead = can
  if (!can && core.role !== 'follower') becomeFollower(core, core.term, null)
}

/**
 * Stickiness: whoever heard from a primary within the minimal election timeout keeps to it (dissertation,
 * section 4.2.3), and the lease rests on that.
 */
export function isSticky(core: RaftState): boolean {
  if (core.role === 'primary') return true
  return core.primary !== null && core.ticksSincePrimary < core.options.electionTicksMin
}

export function tickElection(core: RaftState): void {
  core.ticksSincePrimary += 1
  if (!mayCampaign(core)) return
  core.electionElapsedTicks += 1
  // A single voter need not wait for anybody, except for the lease of a primary that just made it the only one.
  const isAlone = core.config.voters.length === 1 && core.isVoter(core.self) && !isSticky(core)
  if (isAlone || core.electionElapsedTicks >= core.electionTimeoutTicks) preCampaign(core)
}

function othersToAsk(core: RaftState): MemberId[] {
  return core.config.voters.filter((voter) => voter !== core.self)
}

function preCampaign(core: RaftState): void {
  becomePreCandidate(core)
  setRetryTimer(core)
  if (voteResult(core.config.voters, core.votes) === 'won') {
    campaign(core, false)
    return
  }
  const { lastIndex, lastTerm } = core.log
  for (const to of othersToAsk(core)) {
    core.send(to, { kind: 'pre-vote', term: core.term + 1, lastIndex, lastTerm })
  }
}

/** Campaigns in the next term; `transfer` when the primary itself asked for it, so that nobody is sticky. */
export function campaign(core: RaftState, transfer: boolean): void {
  becomeCandidate(core)
  setRetryTimer(core)
  if (voteResult(core.config.voters, core.votes) === 'won') {
    becomePrimary(core)
    return
  }
  const { lastIndex, lastTerm } = core.log
  for (const to of othersToAsk(core)) {
    core.send(to, { kind: 'vote', term: core.term, lastIndex, lastTerm, transfer })
  }
}

/** An ordinary timeout, or after a gone primary a short one that doubles until it would be ordinary. */
function setRetryTimer(core: RaftState): void {
  if (core.fastRetries !== null) {
    const ticks = retryTicks * 2 ** core.fastRetries
    core.fastRetries += 1
    if (ticks < core.options.electionTicksMin) {
      core.fireElectionIn(ticks + Math.floor(core.options.random() * (ticks + 1)))
      return
    }
    core.fastRetries = null
  }
  core.resetElectionTimer()
}

/**
 * The driver proved that `member` is gone. Clears the own stickiness towards it and campaigns after a
 * short random delay, longer each time it happens again soon, so that a flapping link makes no storm.
 */
export function peerGone(core: RaftState, member: MemberId): void {
  if (core.role === 'primary') {
    core.progress.get(member)?.gone()
    return
  }
  if (member !== core.primary) return
  core.primary = null
  if (!mayCampaign(core)) return
  const { electionTicksMax, random } = core.options
  const isRepeated = core.tick - core.lastGoneTick < goneMemoryTimeouts * electionTicksMax
  core.goneStreak = core.goneStreak > 0 && isRepeated ? core.goneStreak + 1 : 1
  core.lastGoneTick = core.tick
  core.fastRetries = 0
  const leastTicks = core.goneStreak === 1 ? 0 : Math.min(2 ** core.goneStreak, electionTicksMax)
  const spreadTicks = Math.max(goneSpreadTicks, leastTicks)
  const delayTicks = leastTicks + Math.floor(random() * (spreadTicks + 1))
  if (delayTicks === 0) preCampaign(core)
  else core.fireElectionIn(delayTicks)
}

export function onPreVote(core: RaftState, from: MemberId, message: Of<'pre-vote'>): void {
  const granted =
    message.term > core.term && !isSticky(core) && core.log.isUpToDate(message.lastIndex, message.lastTerm)
  const term = granted ? message.term : core.term
  core.send(from, { kind: 'pre-vote-reply', term, granted })
  if (granted) giveWay(core, from, message)
}

/**
 * Two survivors that campaign at once would split the vote and both wait for a whole timeout. So whoever
 * grants a pre-vote and is about to campaign itself lets the other one go first; when both already are
 * pre-candidates, the one with the better log, or else the lower id. Timing only: safety is not touched.
 */
function giveWay(core: RaftState, rival: MemberId, message: Of<'pre-vote'>): void {
  if (core.role === 'follower' && core.fastRetries !== null) {
    setRetryTimer(core)
    return
  }
  if (core.role !== 'pre-candidate') return
  const isEqual = message.lastTerm === core.log.lastTerm && message.lastIndex === core.log.lastIndex
  if (isEqual && rival > core.self) return
  core.role = 'follower'
  core.votes.clear()
  setRetryTimer(core)
}

export function onPreVoteReply(core: RaftState, from: MemberId, message: Of<'pre-vote-reply'>): void {
  if (core.role !== 'pre-candidate') return
  if (message.granted !== (message.term === core.term + 1)) return
  count(core, from, message.granted, () => campaign(core, false))
}

export function onVote(core: RaftState, from: MemberId, message: Of<'vote'>): void {
  const isFree = core.vote === from || (core.vote === null && core.primary === null)
  const granted = isFree && core.log.isUpToDate(message.lastIndex, message.lastTerm)
  if (granted) {
    core.vote = from
    core.resetElectionTimer()
  }
  core.send(from, { kind: 'vote-reply', term: core.term, granted })
}

export function onVoteReply(core: RaftState, from: MemberId, message: Of<'vote-reply'>): void {
  if (core.role !== 'candidate') return
  count(core, from, message.granted, () => becomePrimary(core))
}

function count(core: RaftState, from: MemberId, granted: boolean, won: () => void): void {
  if (!core.votes.has(from)) core.votes.set(from, granted)
  const result = voteResult(core.config.voters, core.votes)
  if (result === 'won') won()
  // The timer that was set when the campaign began goes on: the next attempt is as far away as it was.
  if (result === 'lost') core.role = 'follower'
}

/**
 * True when a request for a vote in a later term is to be ignored, term and all: by a sticky member, and
 * when it comes from a stranger to the configuration that could not win here anyway. A stranger with a
 * good log is heard, because the change that made it a voter may not have arrived here yet.
 */
export function ignoresVote(core: RaftState, from: MemberId, message: Of<'vote'>): boolean {
  if (message.transfer) return false
  if (isSticky(core)) return true
  const isKnown = core.isVoter(from) || core.config.learners.includes(from)
  return !isKnown && !core.log.isUpToDate(message.lastIndex, message.lastTerm)
}

/** Hand-over: the primary of this term asks this voter to campaign at once. */
export function onTimeoutNow(core: RaftState, from: MemberId): void {
  if (core.role !== 'follower' || core.primary !== from || !mayCampaign(core)) return
  campaign(core, true)
}

/** Steps down when no majority answered within the longest election timeout (dissertation, section 6.2). */
export function checkQuorum(core: RaftState): void {
  const { electionTicksMax } = core.options
  const isThere = (voter: MemberId): boolean => {
    if (voter === core.self) return true
    const progress = core.progress.get(voter)
    return progress !== undefined && core.tick - progress.lastContactTick < electionTicksMax
  }
  if (!isMajority(core.config.voters, isThere)) becomeFollower(core, core.term, null)
}
