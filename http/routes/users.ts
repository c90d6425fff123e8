/** Guests, accounts and sessions: answered at any node. */
import { createHash } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { afterTheFact, isFault } from '../../node/faults.ts'
import type { UserId } from '../../node/ids.ts'
import { isGuest, parseCommandId } from '../../node/ids.ts'
import type { Assignment, UserInfo } from '../../node/replica-api.ts'
import type { Shopper } from '../auth.ts'
import { sessionDocument } from '../documents.ts'
import { idempotencyKey, readJson, readOptionalJson, readQuery } from '../input.ts'
import { sessionClockSkewMs, sessionLifetimeMs } from '../limits.ts'
import { accountBody, deleteAccountBody, logOffQuery, logOnBody, passwordBody } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { clientAddress, define } from '../shop.ts'
import { sessionDocumentOf } from '../views.ts'

export type Account = z.output<typeof accountBody>
export type NewSession = { user: UserInfo; assignment: Assignment }

/** The guest whose cart is to be merged: the one of the session that came along, if it is a guest's. */
export function guestOf(shop: Shop, context: Context): UserId | undefined {
  const given = shop.gate.credentials(context)
  if (given.kind !== 'session' || !isGuest(given.claims.user)) return undefined
  return given.claims.user
}

/**
 * Who sends the same key, address and password again gets the first answer. The password is part of the id:
 * without it a guessed key would open the account.
 */
function commandIdOf(
  key: string | undefined,
  { email, password }: Account,
): { id?: ReturnType<typeof parseCommandId> } {
  if (key === undefined) return {}
  const hash = createHash('sha256')
    .update(JSON.stringify([key, email.toLowerCase(), password]))
    .digest('hex')
  return { id: parseCommandId(`account:${hash}`) }
}

/** Faults `email-taken`, `too-many-requests`. */
export async function register(
  shop: Shop,
  context: Context,
  account: Account,
  key?: string,
): Promise<NewSession> {
  await shop.rates.beforeRegistration(clientAddress(context))
  const guest = guestOf(shop, context)
  const { email, password, name } = account
  return await shop.replica.users.register({
    email,
    password,
    ...(name === undefined ? {} : { name }),
    ...(guest === undefined ? {} : { guest }),
    ...commandIdOf(key, account),
  })
}

/** Faults `unauthorized`, `too-many-requests`. */
export async function logOn(
  shop: Shop,
  context: Context,
  { email, password }: { email: string; password: string },
): Promise<NewSession> {
  const address = clientAddress(context)
  await shop.rates.beforeLogOn(email, address)
  const guest = guestOf(shop, context)
  try {
    const result = await shop.replica.users.logOn({
      email,
      password,
      ...(guest === undefined ? {} : { guest }),
    })
    await shop.rates.logOnSucceeded(email)
    return result
  } catch (error) {
    if (isFault(error) && error.code === 'unauthorized') await shop.rates.logOnFailed(email, address)
    throw error
  }
}

/** Faults `forbidden` for a wrong password, counted like failed log-ons, `too-many-requests`. */
async function withPassword(
  shop: Shop,
  context: Context,
  user: UserId,
  run: () => Promise<void>,
): Promise<void> {
  const address = clientAddress(context)
  await shop.rates.beforeLogOn(user, address)
  try {
    await run()
  } catch (error) {
    if (isFault(error) && error.code === 'forbidden') await shop.rates.logOnFailed(user, address)
    throw error
  }
  await shop.rates.logOnSucceeded(user)
}

/** Every session of the user ends, on every device; tokens issued from now on live longer than that. */
export function logOffEverywhere(shop: Shop, user: UserId): void {
  const { users } = shop.replica
  // A token that was issued after an earlier log-off everywhere expires a millisecond after what that one ended.
  const issuedUntilMs = users.revokedAllUntilMs(user) + 1
  users.revokeAll(user, Math.max(issuedUntilMs, shop.now() + sessionLifetimeMs + sessionClockSkewMs))
}

/** The session of the shopper who asks goes on, as a new one; all others end. */
export async function changePassword(
  shop: Shop,
  context: Context,
  user: UserId,
  { current, password }: { current: string; password: string },
): Promise<void> {
  await withPassword(shop, context, user, () =>
    shop.replica.users.changePassword({ user, current, password }),
  )
  logOffEverywhere(shop, user)
}

export async function deleteAccount(
  shop: Shop,
  context: Context,
  user: UserId,
  password: string,
): Promise<void> {
  await withPassword(shop, context, user, () => shop.replica.users.deleteAccount({ user, password }))
  logOffEverywhere(shop, user)
}

export function freshSession(shop: Shop, user: UserId): Shopper {
  return shop.tokens.issue(user, shop.replica.users.revokedAllUntilMs(user))
}

/** A fresh token (sessions change at log-on, DESIGN.md section 8), in body and cookie. */
function sessionAnswer(shop: Shop, status: 200 | 201, { user, assignment }: NewSession): Response {
  const issued = freshSession(shop, user.id)
  const document = sessionDocumentOf(issued.token, user, assignment)
  return shop.answers.json(document, status, { 'Set-Cookie': shop.gate.cookie(issued) })
}

function guestRoute(shop: Shop): void {
  define(
    shop,
    {
      method: 'post',
      path: '/api/guests',
      summary: 'A new guest with a session',
      tag: 'users',
      auth: 'nobody',
      answers: { 201: sessionDocument },
      problems: ['no-home', 'overloaded'],
    },
    async (context) => {
      await readOptionalJson(context, z.unknown())
      return sessionAnswer(shop, 201, await shop.replica.users.createGuest())
    },
  )
}

function accountRoutes(shop: Shop): void {
  define(
    shop,
    {
      method: 'post',
      path: '/api/accounts',
      summary: 'A new account with a session; the cart of a guest is merged',
      tag: 'users',
      auth: 'nobody',
      body: { media: { 'application/json': accountBody }, required: true },
      answers: { 201: sessionDocument },
      problems: ['email-taken', 'too-many-requests', 'no-primary', 'outcome-unknown'],
    },
    async (context) => {
      const key = idempotencyKey(context)
      const account = await readJson(context, accountBody)
      return sessionAnswer(shop, 201, await register(shop, context, account, key))
    },
  )
  define(
    shop,
    {
      method: 'post',
      path: '/api/session',
      summary: 'Log on; the cart of a guest is merged',
      tag: 'users',
      auth: 'nobody',
      body: { media: { 'application/json': logOnBody }, required: true },
      answers: { 200: sessionDocument },
      problems: ['unauthorized', 'too-many-requests', 'no-primary', 'no-home'],
    },
    async (context) => {
      const credentials = await readJson(context, logOnBody)
      return sessionAnswer(shop, 200, await logOn(shop, context, credentials))
    },
  )
}

function sessionRoutes(shop: Shop): void {
  define(
    shop,
    {
      method: 'get',
      path: '/api/session',
      summary: 'The session: user, home, server set',
      tag: 'users',
      auth: 'shopper',
      answers: { 200: sessionDocument },
      problems: ['no-home', 'no-primary'],
    },
    async (context) => {
      const { token, claims } = shop.gate.shopper(context)
      const { user, assignment } = await shop.replica.users.describe(claims.user)
      return shop.answers.json(sessionDocumentOf(token, user, assignment))
    },
  )
  define(
    shop,
    {
      method: 'delete',
      path: '/api/session',
      summary: 'Log off: the token, or all of the user, is refused everywhere from now on',
      tag: 'users',
      auth: 'shopper',
      query: logOffQuery,
      answers: { 204: 'Logged off' },
    },
    (context) => {
      const { claims } = shop.gate.shopper(context)
      const { everywhere } = readQuery(context, logOffQuery)
      if (everywhere === true) logOffEverywhere(shop, claims.user)
      else shop.replica.users.revoke(claims.id, claims.expiresAtMs)
      return shop.answers.empty(204, { 'Set-Cookie': shop.gate.clearedCookie() })
    },
  )
}

const accountProblems = ['conflict', 'too-many-requests', 'no-primary', 'outcome-unknown'] as const

function ownAccountRoutes(shop: Shop): void {
  define(
    shop,
    {
      method: 'put',
      path: '/api/account/password',
      summary: 'Another password; all other sessions of the account end, the answer is a new one',
      tag: 'users',
      auth: 'shopper',
      body: { media: { 'application/json': passwordBody }, required: true },
      answers: { 200: sessionDocument },
      problems: accountProblems,
    },
    async (context) => {
      const { user } = shop.gate.shopper(context).claims
      await changePassword(shop, context, user, await readJson(context, passwordBody))
      const session = await shop.replica.users
        .describe(user)
        .catch((error: unknown) => afterTheFact('the password was changed', error))
      return sessionAnswer(shop, 200, session)
    },
  )
  define(
    shop,
    {
      method: 'delete',
      path: '/api/account',
      summary: 'Erase the account with its personal data; its orders stay, without contact and note',
      tag: 'users',
      auth: 'shopper',
      body: { media: { 'application/json': deleteAccountBody }, required: true },
      answers: { 204: 'Erased' },
      problems: accountProblems,
    },
    async (context) => {
      const { user } = shop.gate.shopper(context).claims
      const { password } = await readJson(context, deleteAccountBody)
      await deleteAccount(shop, context, user, password)
      return shop.answers.empty(204, { 'Set-Cookie': shop.gate.clearedCookie() })
    },
  )
}

export function userRoutes(shop: Shop): void {
  guestRoute(shop)
  accountRoutes(shop)
  sessionRoutes(shop)
  ownAccountRoutes(shop)
}
