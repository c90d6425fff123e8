/** `cluster.begin` and `member.*`: who belongs to the cluster, decided in log order. */
import type { CommandBody, MemberJoin, MemberRecord } from '../../commands.ts'
import { lowestLevel } from '../../commands.ts'
import type { LogIndex, MemberId } from '../../ids.ts'
import type { Tables } from '../../ports.ts'
import type { ApplyOutcome } from './outcome.ts'
import { done, refused } from './outcome.ts'

type MemberUpdate = Extract<CommandBody, { kind: 'member.update' }>
type MemberWeigh = Extract<CommandBody, { kind: 'member.weigh' }>

function changed(tables: Tables, member: MemberRecord, index: LogIndex): ApplyOutcome {
  tables.putMember(member)
  tables.setMembersVersion(index)
  return done({ member }, { membersChanged: true })
}

function sameMember(a: MemberRecord, b: MemberRecord): boolean {
  return (
    a.node === b.node &&
    a.url === b.url &&
    a.p2p === b.p2p &&
    a.eligible === b.eligible &&
    a.draining === b.draining &&
    a.capacity === b.capacity &&
    a.level === b.level &&
    a.capacityShare === b.capacityShare
  )
}

/** Sets the currency and the first member, once. Value: `{member}`. */
export function applyClusterBegin(
  tables: Tables,
  begin: { readonly currency: string; readonly member: MemberJoin },
  index: LogIndex,
): ApplyOutcome {
  if (tables.currency() !== null || tables.members().length > 0)
    return refused('conflict', 'the cluster has begun already')
  tables.setCurrency(begin.currency)
  return changed(tables, { ...begin.member, draining: false, joinedIndex: index }, index)
}

/**
 * A new member, or one that says where it is now. A node that was emptied comes with a new id under its old name: it
 * replaces that entry, inherits what the operator decided about it, and the old id is refused from then on
 * (DESIGN.md section 2). Value: `{member}`.
 */
export function applyMemberJoin(tables: Tables, join: MemberJoin, index: LogIndex): ApplyOutcome {
  if (tables.currency() === null) return refused('conflict', 'the cluster has not begun')
  if (tables.removedMembers().includes(join.id))
    return refused(
      'forbidden',
      `${join.node} was removed from the cluster; wipe its directory and let it join as a new member`,
    )
  const members = tables.members()
  const own = members.find((member) => member.id === join.id)
  const replaced = members.find((member) => member.node === join.node && member.id !== join.id)
  const levelInUse = lowestLevel(members.filter((member) => member !== replaced))
  // What the others may have put into the log since they all announced this level would halt it as a voter.
  if (own === undefined && (join.level ?? 1) < levelInUse)
    return refused(
      'conflict',
      `${join.node} runs an older program than the cluster; start it with a newer one`,
    )
  if (replaced !== undefined) tables.removeMember(replaced.id)
  const inherited = own ?? replaced
  const member: MemberRecord = {
    ...join,
    eligible: inherited?.eligible ?? join.eligible,
    capacity: inherited?.capacity ?? join.capacity,
    draining: false,
    joinedIndex: own?.joinedIndex ?? index,
  }
  if (own?.capacityShare !== undefined) member.capacityShare = own.capacityShare
  if (own !== undefined && replaced === undefined && sameMember(own, member)) return done({ member: own })
  return changed(tables, member, index)
}

/** A cluster without an eligible member could never have a primary again. */
function isLastEligible(members: readonly MemberRecord[], id: MemberId): boolean {
  return members.every((member) => !member.eligible || member.id === id)
}

/** Value: `{member}`. */
export function applyMemberUpdate(tables: Tables, update: MemberUpdate, index: LogIndex): ApplyOutcome {
  const members = tables.members()
  const before = members.find((member) => member.id === update.id)
  if (before === undefined) return refused('not-found', 'no such member')
  if (update.eligible === false && isLastEligible(members, update.id))
    return refused('conflict', 'the last eligible member must stay eligible')
  const member: MemberRecord = {
    ...before,
    eligible: update.eligible ?? before.eligible,
    draining: update.draining ?? before.draining,
    capacity: update.capacity ?? before.capacity,
    url: update.url ?? before.url,
    p2p: update.p2p ?? before.p2p,
    level: update.level ?? before.level,
  }
  // What an operator decides about it is meant as it is said.
  if (update.capacity !== undefined) delete member.capacityShare
  if (sameMember(before, member)) return done({ member: before })
  return changed(tables, member, index)
}

/** Value: `{member}`. */
export function applyMemberWeigh(tables: Tables, { id, share }: MemberWeigh, index: LogIndex): ApplyOutcome {
  const before = tables.members().find((member) => member.id === id)
  if (before === undefined) return refused('not-found', 'no such member')
  const member: MemberRecord = { ...before }
  if (share === 1) delete member.capacityShare
  else member.capacityShare = share
  if (sameMember(before, member)) return done({ member: before })
  return changed(tables, member, index)
}

/** Out of the cluster for good: the id can never join again. Value: `{id}`. */
export function applyMemberRemove(tables: Tables, id: MemberId, index: LogIndex): ApplyOutcome {
  const members = tables.members()
  if (!members.some((member) => member.id === id)) return refused('not-found', 'no such member')
  if (members.length === 1) return refused('conflict', 'the last member cannot be removed')
  if (isLastEligible(members, id)) return refused('conflict', 'the last eligible member cannot be removed')
  tables.removeMember(id)
  tables.setMembersVersion(index)
  return done({ id }, { membersChanged: true })
}
