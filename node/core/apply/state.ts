/**
 * `state.check`: the digest checks that the log carries (DESIGN.md section 3, "Commands"). Each check is applied at the
 * same place of the log everywhere, so every voter that came there by the same decisions marks the same digest. The
 * next check carries the proposer's mark of an earlier one; whoever has another one there tells its driver. Who of the
 * two is wrong, a majority of the voters says (replica/state-checks.ts): an entry of the log can't know.
 */
import { hash } from 'node:crypto'
import type { MemberRecord, StateMark } from '../../commands.ts'
import type { Digest, LogIndex } from '../../ids.ts'
import type { Tables } from '../../ports.ts'
import type { ApplyOutcome } from './outcome.ts'
import { done } from './outcome.ts'

/** Marks kept: the claim of a new primary, and the questions of an audit, may be about one or two checks ago. */
export const stateMarksKept = 4

/** Every member of the record in one order, whichever way it came. */
function memberText(member: MemberRecord): unknown[] {
  const { id, node, url, p2p, eligible, draining, capacity, joinedIndex, level, capacityShare } = member
  const text = [id, node, url, p2p, eligible, draining, capacity, joinedIndex, level ?? null]
  // Programs that don't know shares mark the same digest while there are none.
  return capacityShare === undefined ? text : [...text, capacityShare]
}

/** All that later commands are decided against, in 32 bytes. Cheap: rows that may be many have running digests. */
export function stateDigest(tables: Tables): Digest {
  const { version, digest } = tables.catalog()
  const orders = tables.ordersDigest()
  const state = [
    tables.currency(),
    [version, digest],
    [orders.count, orders.digest],
    tables.accountsDigest(),
    [tables.membersVersion(), tables.members().map(memberText), tables.removedMembers()],
  ]
  return hash('sha256', JSON.stringify(state), 'hex') as Digest
}

/** Value: null, everywhere: whether this voter agrees is no part of what the log decided. */
export function applyStateCheck(tables: Tables, claim: StateMark | null, index: LogIndex): ApplyOutcome {
  const marks = tables.stateMarks()
  const own = marks.find((mark) => mark.index === claim?.index)
  tables.setStateMarks([...marks, { index, digest: stateDigest(tables) }].slice(-stateMarksKept))
  const disagreement = own === undefined || own.digest === claim?.digest ? null : own
  return done(null, { disagreement })
}
