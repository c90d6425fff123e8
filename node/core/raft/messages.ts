/** What a message's term means (Raft section 5.1), and which rule takes the message. */
import { assert } from '../../faults.ts'
import type { MemberId } from '../../ids.ts'
import { ignoresVote, onPreVote, onPreVoteReply, onTimeoutNow, onVote, onVoteReply } from './election.ts'
import { isSoundAppend, onAppend, onAppendReply, onHeartbeat, onHeartbeatReply } from './replication.ts'
import { becomeFollower } from './roles.ts'
import type { RaftState } from './state.ts'
import { driveTransfer } from './transfer.ts'
import type { RaftMessage } from './types.ts'

export function onMessage(core: RaftState, from: MemberId, message: RaftMessage): void {
  if (from === core.self) return
  if (message.kind === 'append' && !isSoundAppend(message)) return
  if (message.term < core.term) {
    answerStale(core, from, message)
    return
  }
  if (message.term > core.term && !takesLaterTerm(core, from, message)) return
  dispatch(core, from, message)
}

/** A stale member learns the term from the answer; stale answers say nothing. */
function answerStale(core: RaftState, from: MemberId, message: RaftMessage): void {
  const { term, log } = core
  switch (message.kind) {
    case 'pre-vote':
      core.send(from, { kind: 'pre-vote-reply', term, granted: false })
      return
    case 'vote':
      core.send(from, { kind: 'vote-reply', term, granted: false })
      return
    case 'append': {
      const { previousIndex: matchIndex, round } = message
      const refusal = { ok: false, matchIndex, conflictIndex: 0, conflictTerm: 0 }
      core.send(from, { kind: 'append-reply', term, ...refusal, round })
      return
    }
    case 'heartbeat':
      core.send(from, { kind: 'heartbeat-reply', term, round: message.round, lastIndex: log.lastIndex })
      return
    case 'pre-vote-reply':
    case 'vote-reply':
    case 'append-reply':
    case 'heartbeat-reply':
    case 'timeout-now':
      return
    default: {
      const never: never = message
      return never
    }
  }
}

/** Takes up the message's later term, or leaves it; false when the message is to be ignored. */
function takesLaterTerm(core: RaftState, from: MemberId, message: RaftMessage): boolean {
  switch (message.kind) {
    case 'pre-vote':
      return true
    case 'vote':
      if (ignoresVote(core, from, message)) return false
      break
    case 'pre-vote-reply':
      // A granting one carries the term that was asked about, which nobody has yet.
      if (message.granted) return true
      if (isStrangersReply(core, from)) return false
      break
    case 'vote-reply':
    case 'append-reply':
    case 'heartbeat-reply':
      if (isStrangersReply(core, from)) return false
      break
    case 'append':
    case 'heartbeat':
    case 'timeout-now':
      break
    default: {
      const never: never = message
      return never
    }
  }
  becomeFollower(core, message.term, null)
  return true
}

/** A removed member's late answers don't depose a primary (dissertation, section 4.2.3). */
function isStrangersReply(core: RaftState, from: MemberId): boolean {
  return core.role === 'primary' && !core.progress.has(from)
}

function dispatch(core: RaftState, from: MemberId, message: RaftMessage): void {
  switch (message.kind) {
    case 'pre-vote':
      onPreVote(core, from, message)
      return
    case 'pre-vote-reply':
      onPreVoteReply(core, from, message)
      return
    case 'vote':
      onVote(core, from, message)
      return
    case 'vote-reply':
      onVoteReply(core, from, message)
      return
    case 'append':
      followPrimary(core, from)
      onAppend(core, from, message)
      return
    case 'heartbeat':
      followPrimary(core, from)
      onHeartbeat(core, from, message)
      return
    case 'append-reply':
      onAppendReply(core, from, message)
      return
    case 'heartbeat-reply':
      onHeartbeatReply(core, from, message)
      if (core.transfer?.target === from) driveTransfer(core, true)
      return
    case 'timeout-now':
      onTimeoutNow(core, from)
      return
    default: {
      const never: never = message
      return never
    }
  }
}

function followPrimary(core: RaftState, from: MemberId): void {
  assert(core.role !== 'primary', 'there is one primary in a term (Raft, Election Safety)')
  becomeFollower(core, core.term, from)
}
