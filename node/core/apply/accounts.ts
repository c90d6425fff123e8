/** `account.*`. An account's e-mail is unique whatever its case; deciding that here is what makes it so. */
import type { AccountRecord } from '../../commands.ts'
import type { LogIndex, UserId } from '../../ids.ts'
import type { Tables } from '../../ports.ts'
import { RunningDigest, accountText } from '../digest.ts'
import type { ApplyOutcome } from './outcome.ts'
import { done, refused } from './outcome.ts'

function noteDigest(tables: Tables, before: AccountRecord | null, after: AccountRecord | null): void {
  const digest = new RunningDigest(tables.accountsDigest())
  if (before !== null) digest.remove(accountText(before))
  if (after !== null) digest.add(accountText(after))
  tables.setAccountsDigest(digest.toDigest())
}

/** Value: `{user}`. */
export function applyAccountCreate(tables: Tables, account: AccountRecord): ApplyOutcome {
  if (tables.accountByEmail(account.email) !== null)
    return refused('email-taken', 'an account with this e-mail address exists already')
  if (tables.account(account.id) !== null)
    return refused('conflict', 'an account with this id exists already')
  // Every node lets go of whatever it holds of an erased id, for ever: nobody could shop under it.
  if (tables.isErasedAccount(account.id)) return refused('conflict', 'the account with this id was erased')
  tables.putAccount(account)
  noteDigest(tables, null, account)
  return done({ user: account.id })
}

/** The hash against which the node checked the password: another change may have been applied meanwhile. */
type Checked = { readonly user: UserId; readonly previousHash: string }

function checked(tables: Tables, { user, previousHash }: Checked): AccountRecord | ApplyOutcome {
  const account = tables.account(user)
  if (account === null) return refused('not-found', 'no such account')
  if (account.passwordHash !== previousHash)
    return refused('conflict', 'the password was changed meanwhile; try again with the new one')
  return account
}

/** Value: `{user}`. */
export function applyAccountPassword(
  tables: Tables,
  change: Checked & { readonly passwordHash: string },
): ApplyOutcome {
  const account = checked(tables, change)
  if ('result' in account) return account
  const changed = { ...account, passwordHash: change.passwordHash }
  tables.putAccount(changed)
  noteDigest(tables, account, changed)
  return done({ user: account.id })
}

/** Erases the account and the contact and note of all its orders; the orders stay. Value: `{user}`. */
export function applyAccountDelete(tables: Tables, change: Checked, index: LogIndex): ApplyOutcome {
  const account = checked(tables, change)
  if ('result' in account) return account
  tables.deleteAccount(account.id, index)
  noteDigest(tables, account, null)
  tables.eraseContacts(account.id)
  return done({ user: account.id })
}
