/** What the primary takes into the log: commands and changes of the configuration. */
import type { LogIndex } from '../../ids.ts'
import { encodeConfig, isAllowedChange } from './config.ts'
import { entrySizeBytes } from './log.ts'
import { followConfig } from './roles.ts'
import type { RaftState } from './state.ts'
import type { EntryKind, ProposalResult, RaftConfig } from './types.ts'

/** Entries not committed yet: half a second of the fastest stream of commits that we aim at. */
export const uncommittedEntriesMax = 16_384
/** The same in bytes, because they all stay in memory; at least one entry always goes. */
export const uncommittedBytesMax = 32 * 1024 * 1024

type Refusal = Extract<ProposalResult, { accepted: false }>['reason']

function refusal(core: RaftState): Refusal | null {
  if (core.role !== 'primary') return 'not-primary'
  if (core.transfer !== null) return 'transferring'
  const isFull =
    core.log.lastIndex - core.commitIndex >= uncommittedEntriesMax ||
    core.uncommittedBytes >= uncommittedBytesMax
  return isFull ? 'too-many' : null
}

function take(core: RaftState, ref: number, kind: EntryKind, data: string): void {
  const index: LogIndex = core.log.lastIndex + 1
  const entry = { index, term: core.term, kind, data }
  core.append(entry)
  core.uncommittedBytes += entrySizeBytes(entry)
  core.effects.proposals.push({ ref, accepted: true, index, term: core.term })
}

export function propose(core: RaftState, ref: number, data: string): void {
  const reason = refusal(core)
  if (reason !== null) core.effects.proposals.push({ ref, accepted: false, reason })
  else take(core, ref, 'command', data)
}

/**
 * One change at a time, and only once an entry of the own term is committed: without that, two
 * primaries' changes could make majorities that don't meet (Ongaro, "bug in single-server membership
 * changes", raft-dev, 10 July 2015).
 */
export function changeConfig(core: RaftState, ref: number, config: RaftConfig): void {
  let reason = refusal(core)
  if (reason === null && (core.pendingConfigIndex > 0 || !core.hasCommittedInTerm)) reason = 'change-pending'
  if (reason === null && !isAllowedChange(core.config, config)) reason = 'invalid-change'
  if (reason !== null) {
    core.effects.proposals.push({ ref, accepted: false, reason })
    return
  }
  take(core, ref, 'config', encodeConfig(config))
  followConfig(core)
}
