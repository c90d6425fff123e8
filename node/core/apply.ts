/**
 * Applying decides (DESIGN.md section 3): every voter runs the same commands in log order over the same tables and
 * comes to the same rows, digests and results. No clock, no chance, no I/O beside the Tables port.
 */
import type { Command, CommandBody } from '../commands.ts'
import { commandVersion } from '../commands.ts'
import { assert } from '../faults.ts'
import type { LogIndex } from '../ids.ts'
import type { Tables } from '../ports.ts'
import { applyAccountCreate, applyAccountDelete, applyAccountPassword } from './apply/accounts.ts'
import { applyCatalogChange } from './apply/catalog.ts'
import {
  applyClusterBegin,
  applyMemberJoin,
  applyMemberRemove,
  applyMemberUpdate,
  applyMemberWeigh,
} from './apply/members.ts'
import { applyOrderPlace, applyOrderStatus } from './apply/orders.ts'
import type { ApplyOutcome } from './apply/outcome.ts'
import { nothingElse } from './apply/outcome.ts'
import { applyStateCheck } from './apply/state.ts'

export type { ApplyOutcome } from './apply/outcome.ts'

function decide(tables: Tables, body: CommandBody, atMs: number, index: LogIndex): ApplyOutcome {
  switch (body.kind) {
    case 'cluster.begin':
      return applyClusterBegin(tables, body, index)
    case 'catalog.change':
      return applyCatalogChange(tables, body, atMs)
    case 'order.place':
      return applyOrderPlace(tables, body.intent, atMs, index)
    case 'order.status':
      return applyOrderStatus(tables, body, atMs, index)
    case 'account.create':
      return applyAccountCreate(tables, body.account)
    case 'account.password':
      return applyAccountPassword(tables, body)
    case 'account.delete':
      return applyAccountDelete(tables, body, index)
    case 'member.join':
      return applyMemberJoin(tables, body.member, index)
    case 'member.update':
      return applyMemberUpdate(tables, body, index)
    case 'member.weigh':
      return applyMemberWeigh(tables, body, index)
    case 'member.remove':
      return applyMemberRemove(tables, body.id, index)
    case 'state.check':
      return applyStateCheck(tables, body.claim, index)
    default: {
      const never: never = body
      throw new Error(`unknown command ${JSON.stringify(never)}: it must halt applying, never be skipped`)
    }
  }
}

/**
 * Applies one committed command inside a transaction of the store. A command id that was applied before gives the
 * kept result and changes nothing. Throws only on a bug or an unknown command: the node must then halt applying.
 */
export function applyEntry(tables: Tables, command: Command, index: LogIndex): ApplyOutcome {
  assert(command.v === commandVersion, 'a command of another format version must not be applied')
  const kept = tables.result(command.id)
  if (kept !== null) return { result: kept, ...nothingElse }
  const outcome = decide(tables, command.body, command.atMs, index)
  tables.putResult(command.id, index, outcome.result)
  return outcome
}
