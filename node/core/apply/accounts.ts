/** `account.*`. An account's e-mail is unique whatever its case; deciding that here is what makes it so. */
import type { AccountRecord } from '../../commands.ts'
import type { UserId } from '../../ids.ts'
import type { Tables } from '../../ports.ts'
import type { ApplyOutcome } from './outcome.ts'
import { done, refused } from './outcome.ts'

/** Value: `{user}`. */
export function applyAccountCreate(tables: Tables, account: AccountRecord): ApplyOutcome {
  if (tables.accountByEmail(account.email) !== null)
    return refused('email-taken', 'an account with this e-mail address exists already')
  if (tables.account(account.id) !== null)
    return refused('conflict', 'an account with this id exists already')
  tables.putAccount(account)
  return done({ user: account.id })
}

/** Value: `{user}`. */
export function applyAccountPassword(tables: Tables, user: UserId, passwordHash: string): ApplyOutcome {
  const account = tables.account(user)
  if (account === null) return refused('not-found', 'no such account')
  tables.putAccount({ ...account, passwordHash })
  return done({ user })
}

/** Erases the account and the contact and note of all its orders; the orders stay. Value: `{user}`. */
export function applyAccountDelete(tables: Tables, user: UserId): ApplyOutcome {
  if (tables.account(user) === null) return refused('not-found', 'no such account')
  tables.deleteAccount(user)
  tables.eraseContacts(user)
  return done({ user })
}
