/**
 * Guests, accounts and log-on (DESIGN.md section 6). Promises: one account per e-mail address, whatever its case; a
 * wrong address and a wrong password can't be told apart, by answer or by time; passwords are hashed off the event
 * loop; a guest's cart follows its shopper to the account, later if it can't be reached now.
 */
import { accountRecordSchema } from '../commands.ts'
import type { AccountRecord } from '../commands.ts'
import { isExpiredGuest } from '../core/carts.ts'
import { instantText } from '../core/apply/outcome.ts'
import { backOffMs } from '../core/outbox.ts'
import { afterTheFact, Fault, assert, isFault } from '../faults.ts'
import { accountId, allSessionsOf, guestId, isGuest, parseUserId } from '../ids.ts'
import type { UserId } from '../ids.ts'
import type { GossipMessage, GossipVerdict } from '../messages.ts'
import type { CancelTimer } from '../ports.ts'
import type { Assignment, UserInfo, Users } from '../replica-api.ts'
import type { Context, HomesView } from './context.ts'
import { Revocations } from './revocations.ts'

/** With one live member of a hundred and sets of three, this many draws miss once in a hundred. */
const guestDrawsMax = 128
/** Guest carts that wait to be merged because a home could not be reached. */
const mergesWaitingMax = 1_000
/** With the back-off this is about ten minutes; the guest's cart stays where it is after that. */
const mergeAttemptsMax = 120
/** A page waits for the name on it: a current read is given this long, then the newest known copy will do. */
const describeTimeoutMs = 1_000
const describeKnownTimeoutMs = 500
/** Longest address that an account has (commands.ts); a longer one is nobody's. */
const emailLengthMax = 254
/** Stands for the password of an account that does not exist. */
const nobodysPassword = 'nobody has this password'

type NewSession = { user: UserInfo; assignment: Assignment }

/** What users need of carts: the guest's cart goes into the account's, wherever their homes are. */
export interface GuestCarts {
  absorbGuest(guest: UserId, account: UserId): Promise<void>
}

/** One spelling of an address: without surrounding space, in lower case, in one Unicode form. */
export function normalEmail(email: string): string {
  return email.trim().normalize('NFC').toLowerCase()
}

export class UserService implements Users {
  readonly #context: Context
  readonly #homes: HomesView
  readonly #carts: GuestCarts
  readonly #revocations: Revocations
  readonly #mergeTimers = new Map<string, CancelTimer>()
  #dummyHash: Promise<string> | null = null
  #stopped = false

  constructor(context: Context, homes: HomesView, carts: GuestCarts) {
    this.#context = context
    this.#homes = homes
    this.#carts = carts
    this.#revocations = new Revocations(context)
  }

  start(): void {
    this.#revocations.start()
  }

  stop(): void {
    this.#stopped = true
    this.#revocations.stop()
    for (const cancel of this.#mergeTimers.values()) cancel()
    this.#mergeTimers.clear()
  }

  // ---------------------------------------------------------------- guests

  /** The id is drawn until a member of its set is alive, so that a new shopper meets no dead home. Fault `no-home`. */
  async createGuest(): Promise<NewSession> {
    const { clock, random } = this.#context
    let id = guestId(clock.wallMs(), random.bytes(12))
    for (let draw = 1; draw < guestDrawsMax && !this.#hasLiveHome(id); draw += 1) {
      id = guestId(clock.wallMs(), random.bytes(12))
    }
    return { user: { id, kind: 'guest' }, assignment: await this.#homes.assign(id, true) }
  }

  #hasLiveHome(user: UserId): boolean {
    const { presence, members } = this.#context
    return this.#homes
      .serverSet(user)
      .some((member) => presence.alive(member) && !(members.get(member)?.draining ?? false))
  }

  isExpired(user: UserId): boolean {
    const { clock, settings } = this.#context
    return isExpiredGuest(user, clock.wallMs(), settings.guestCartDays)
  }

  // ---------------------------------------------------------------- accounts

  /** Faults: `email-taken`, `no-primary`, `outcome-unknown`. A retry with the same `id` gets the same account. */
  async register(input: Parameters<Users['register']>[0]): Promise<NewSession> {
    const { clock, random, hasher, log } = this.#context
    const email = normalEmail(input.email)
    const name = input.name?.trim()
    const account: AccountRecord = {
      id: accountId(random.bytes(16)),
      email,
      ...(name === undefined || name === '' ? {} : { name }),
      passwordHash: await hasher.hash(input.password),
      createdAt: instantText(clock.wallMs()),
    }
    // What does not parse would stop every voter at this log entry; it must not get there.
    if (!accountRecordSchema.safeParse(account).success)
      throw new Fault('invalid-request', 'not a valid e-mail address or name')
    const id = input.id ?? log.freshCommandId()
    const value = await log.run(id, { kind: 'account.create', account }, { waitLocal: true })
    const user = parseUserId((value as { user: unknown }).user)
    const info = userInfo({ ...account, id: user })
    return await this.#session(info, input.guest).catch((error: unknown) =>
      afterTheFact('the account was made', error),
    )
  }

  /** Fault `unauthorized`, with one message for a wrong address and a wrong password. */
  async logOn(input: Parameters<Users['logOn']>[0]): Promise<NewSession> {
    const { hasher } = this.#context
    const account = await this.#accountByEmail(normalEmail(input.email))
    const isRight = await hasher.verify(input.password, account?.passwordHash ?? (await this.#dummy()))
    if (account === null || !isRight) throw new Fault('unauthorized', 'wrong e-mail address or password')
    return await this.#session(userInfo(account), input.guest)
  }

  async #accountByEmail(email: string): Promise<AccountRecord | null> {
    if (email.length > emailLengthMax) return null
    const found = await this.#context.log.query({ kind: 'account-by-email', email })
    return accountRecordSchema.nullable().parse(found ?? null)
  }

  /** Verified against for an unknown address, so that the time of the answer does not tell (OWASP, authentication). */
  async #dummy(): Promise<string> {
    this.#dummyHash ??= this.#context.hasher.hash(nobodysPassword)
    try {
      return await this.#dummyHash
    } catch (error) {
      // Too busy to hash just now: the next log-on tries again.
      this.#dummyHash = null
      throw error
    }
  }

  async #session(user: UserInfo, guest: UserId | undefined): Promise<NewSession> {
    const assignment = await this.#homes.assign(user.id, false)
    if (guest !== undefined && isGuest(guest) && !this.isExpired(guest)) await this.#merge(guest, user.id, 1)
    return { user, assignment }
  }

  /** Fault `unauthorized` when the account is gone. Without a voter an account is described by what its token says. */
  async describe(user: UserId): Promise<NewSession> {
    const [info, assignment] = await Promise.all([this.#describeUser(user), this.#homes.locate(user)])
    return { user: info, assignment }
  }

  async #describeUser(user: UserId): Promise<UserInfo> {
    if (isGuest(user)) return { id: user, kind: 'guest' }
    const { log, logger } = this.#context
    const query = { kind: 'account', user } as const
    try {
      const found = accountRecordSchema
        .nullable()
        .parse((await log.query(query, { timeoutMs: describeTimeoutMs })) ?? null)
      if (found === null) throw goneAccount()
      return userInfo(found)
    } catch (error) {
      // A cut-off minority goes on serving whom it knows (DESIGN.md section 9, P8).
      if (!isFault(error) || error.code === 'unauthorized') throw error
      logger.debug({ code: error.code }, 'no majority could describe an account')
    }
    try {
      const known = await log.query(query, { current: false, timeoutMs: describeKnownTimeoutMs })
      const found = accountRecordSchema.nullable().parse(known ?? null)
      // A copy that may be old can't say that there is no such account.
      return found === null ? { id: user, kind: 'account' } : userInfo(found)
    } catch (error) {
      if (!isFault(error)) throw error
      logger.debug({ code: error.code }, 'no voter could describe an account')
      return { id: user, kind: 'account' }
    }
  }

  // ---------------------------------------------------------------- an account changes, and ends

  async changePassword({ user, current, password }: Parameters<Users['changePassword']>[0]): Promise<void> {
    const { hasher, log } = this.#context
    const previousHash = await this.#checkedHash(user, current)
    const passwordHash = await hasher.hash(password)
    const body = { kind: 'account.password', user, previousHash, passwordHash } as const
    await log.run(log.freshCommandId(), body, { waitLocal: true })
  }

  async deleteAccount({ user, password }: Parameters<Users['deleteAccount']>[0]): Promise<void> {
    const { log } = this.#context
    const previousHash = await this.#checkedHash(user, password)
    await log.run(log.freshCommandId(), { kind: 'account.delete', user, previousHash }, { waitLocal: true })
  }

  /** The hash that this password was checked against, so that applying can tell whether it is still the account's. */
  async #checkedHash(user: UserId, password: string): Promise<string> {
    const { log, hasher } = this.#context
    if (isGuest(user)) throw new Fault('forbidden', 'a guest has no account')
    const account = accountRecordSchema.nullable().parse((await log.query({ kind: 'account', user })) ?? null)
    if (account === null) throw goneAccount()
    if (!(await hasher.verify(password, account.passwordHash)))
      throw new Fault('forbidden', 'the current password is wrong')
    return account.passwordHash
  }

  // ---------------------------------------------------------------- a guest's cart at log-on

  /** Log-on must not fail because the guest's home is away: the merge, which may be repeated, is then done later. */
  async #merge(guest: UserId, account: UserId, attempt: number): Promise<void> {
    assert(!isGuest(account), 'only an account takes a guest’s cart')
    try {
      await this.#carts.absorbGuest(guest, account)
    } catch (error) {
      if (!isFault(error)) throw error
      const { logger } = this.#context
      if (attempt >= mergeAttemptsMax || this.#mergeTimers.size >= mergesWaitingMax) {
        logger.warn({ code: error.code, reason: error.message }, 'a guest’s cart could not be merged')
        return
      }
      logger.info({ code: error.code, attempt }, 'a guest’s cart will be merged later')
      this.#mergeLater(guest, account, attempt)
    }
  }

  #mergeLater(guest: UserId, account: UserId, attempt: number): void {
    if (this.#stopped) return
    const { clock, random, logger } = this.#context
    const name = `${guest} ${account}`
    this.#mergeTimers.get(name)?.()
    const cancel = clock.timer(backOffMs(attempt, random.next()), () => {
      this.#mergeTimers.delete(name)
      this.#merge(guest, account, attempt + 1).catch((error: unknown) => {
        logger.error({ reason: String(error) }, 'merging a guest’s cart failed')
      })
    })
    this.#mergeTimers.set(name, cancel)
  }

  // ---------------------------------------------------------------- log-off

  revoke(tokenId: string, expiresAtMs: number): void {
    this.#revocations.revoke(tokenId, expiresAtMs)
  }

  revokeAll(user: UserId, untilMs: number): void {
    this.#revocations.revoke(allSessionsOf(user), untilMs)
  }

  revokedAllUntilMs(user: UserId): number {
    return this.#context.stores.local.revokedUntilMs(allSessionsOf(user))
  }

  isOver(session: Parameters<Users['isOver']>[0]): boolean {
    return this.#context.stores.local.isSessionOver(session)
  }

  /** A peer connected: whatever it missed is told again. */
  peerConnected(): void {
    this.#revocations.peerConnected()
  }

  heardRevocations(message: GossipMessage<'revocations'>): GossipVerdict {
    return this.#revocations.heard(message)
  }
}

function goneAccount(): Fault {
  return new Fault('unauthorized', 'this account does not exist any more')
}

function userInfo({ id, email, name }: AccountRecord): UserInfo {
  return { id, kind: 'account', email, ...(name === undefined ? {} : { name }) }
}
