/** How often one account or one network address may try to log on or register. In memory, per node. */
import { createHash } from 'node:crypto'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { Fault } from '../node/faults.ts'
import {
  logOnFailuresPerAccountMax,
  logOnFailuresPerAddressMax,
  logOnWindowSeconds,
  registrationsPerAddressMax,
  registrationWindowSeconds,
} from './limits.ts'

/** Keys are hashed: no personal data is kept, and no key is long. */
function keyOf(text: string): string {
  return createHash('sha256').update(text.trim().toLowerCase()).digest('base64url')
}

export class RateGuard {
  readonly #accountFailures = new RateLimiterMemory({
    points: logOnFailuresPerAccountMax,
    duration: logOnWindowSeconds,
  })
  readonly #addressFailures = new RateLimiterMemory({
    points: logOnFailuresPerAddressMax,
    duration: logOnWindowSeconds,
  })
  readonly #registrations = new RateLimiterMemory({
    points: registrationsPerAddressMax,
    duration: registrationWindowSeconds,
  })

  /** Fault `too-many-requests` while the account or the address has failed too often. */
  async beforeLogOn(email: string, address: string): Promise<void> {
    const account = await this.#accountFailures.get(keyOf(email))
    const host = await this.#addressFailures.get(keyOf(address))
    if (account !== null && account.consumedPoints >= logOnFailuresPerAccountMax) throw tooMany(account)
    if (host !== null && host.consumedPoints >= logOnFailuresPerAddressMax) throw tooMany(host)
  }

  async logOnFailed(email: string, address: string): Promise<void> {
    await this.#accountFailures.penalty(keyOf(email))
    await this.#addressFailures.penalty(keyOf(address))
  }

  async logOnSucceeded(email: string): Promise<void> {
    await this.#accountFailures.delete(keyOf(email))
  }

  /** Fault `too-many-requests`. */
  async beforeRegistration(address: string): Promise<void> {
    try {
      await this.#registrations.consume(keyOf(address))
    } catch (error) {
      if (error instanceof RateLimiterRes) throw tooMany(error)
      throw error
    }
  }
}

function tooMany(state: RateLimiterRes): Fault {
  const retryAfterSeconds = Math.max(1, Math.ceil(state.msBeforeNext / 1000))
  return new Fault('too-many-requests', 'too many attempts; wait a while', {}, { retryAfterSeconds })
}
